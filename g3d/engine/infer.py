"""Run a trained model on a user's own images or scenes."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from g3d.data.files import require_writable
from g3d.data.predictions import write_predictions
from g3d.data.request import CAMERA_NEEDED
from g3d.data.types import Prediction
from g3d.datasets.base import get_dataset
from g3d.engine.distributed import Processes
from g3d.engine.evaluate import predict
from g3d.engine.model import LoadedModel
from g3d.errors import InputError
from g3d.progress import Progress
from g3d.systems.base import InferRequest

log = logging.getLogger(__name__)


def infer(loaded: LoadedModel, request: InferRequest, progress: Progress | None = None) -> list[Prediction]:
    """Return the predictions for a request: one for each image or scene and sentence, in the order of the request.

    All sentences about one image or scene form one batch.

    Raises:
        InputError: the request does not have the inputs that the model takes, asks for maps that the model does not
            make, or has an image, scene or calibration file that cannot be used.
        MissingDataError: an image, a scene or a calibration file is missing.
    """
    _check_takes(loaded, request)
    if request.maps:
        loaded = _with_maps(loaded)
    if "camera" in loaded.system.takes and request.calibration is None:
        log.warning(
            "warning: no calibration: distances scale with the focal length; the principal point is taken to be the "
            "middle"
        )
    config = loaded.system.asked(loaded.config, request)
    samples = loaded.system.inputs(config, request)
    found = predict(loaded.model, config, samples, Processes(0, 1, loaded.device), 1, progress)
    assert found is not None  # the only process is the first
    return found


def write_found(loaded: LoadedModel, found: list[Prediction], out: Path) -> list[Path]:
    """Write predictions.jsonl, and the data set's own result files if they need no labels. Return the written files.

    Raises:
        EnvironmentProblem: the folder cannot be written.
    """
    require_writable(out)
    dataset = get_dataset(loaded.config.data.dataset)
    write_predictions(out / "predictions.jsonl", found)
    native = dataset.native.write(found, out / dataset.name, True, None) if dataset.native else []
    return [out / "predictions.jsonl", *native]


def _check_takes(loaded: LoadedModel, request: InferRequest) -> None:
    """Raise InputError unless the request has exactly the inputs that the system takes."""
    name, takes = loaded.config.name, loaded.system.takes
    if request.images and "image" not in takes:
        raise InputError(f"--image: {name} reads scenes, not images", "give --scene FILE_OR_FOLDER")
    if request.scenes and "scene" not in takes:
        raise InputError(f"--scene: {name} reads images, not scenes", "give --image FILE_OR_FOLDER")
    if not request.images and not request.scenes:
        wanted = " or ".join(f"--{kind}" for kind in ("image", "scene") if kind in takes)
        raise InputError(f"g3d infer: {name} needs {wanted}: which one?", f"{wanted} FILE_OR_FOLDER")
    if request.has_camera and "camera" not in takes:
        raise InputError(f"g3d infer: {name} uses no camera", "leave --calib, --focal and --fov away")
    if "camera" in takes and not request.has_camera:
        raise InputError(*CAMERA_NEEDED)
    if request.expressions and "expression" not in takes:
        what = "an image" if request.images else "a scene"
        raise InputError(
            f"--text: {name} finds all objects of {what} and takes no sentence", "leave --text and --texts away"
        )
    if "expression" in takes and not request.expressions:
        raise InputError(
            f"g3d infer: {name} finds what a sentence describes: which sentence?", '--text "the white van on the left"'
        )


def _with_maps(loaded: LoadedModel) -> LoadedModel:
    """Return the model with its setting `decode.maps` turned on.

    Raises:
        InputError: the model does not make maps.
    """
    decode = getattr(loaded.config, "decode", None)
    if decode is None or not hasattr(decode, "maps"):
        raise InputError(f"--maps: {loaded.config.name} makes no maps", "leave --maps away")
    return replace(loaded, config=loaded.config.model_copy(update={"decode": decode.model_copy(update={"maps": True})}))
