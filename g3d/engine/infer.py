"""A trained model on a user's own data."""

from __future__ import annotations

import logging
from dataclasses import replace

from g3d.data.types import Prediction
from g3d.engine.distributed import Processes
from g3d.engine.evaluate import predict
from g3d.engine.model import LoadedModel
from g3d.errors import InputError
from g3d.progress import Progress
from g3d.systems.base import InferRequest

log = logging.getLogger(__name__)


def infer(loaded: LoadedModel, request: InferRequest, progress: Progress | None = None) -> list[Prediction]:
    """Predictions for a request, one per image (and sentence), in its order. All sentences about an image are one
    batch.

    Raises:
        InputError, MissingDataError: an image or a calibration file cannot be used.
        InputError: sentences for a system that takes none, none for one that needs them, or maps that it does not make.
    """
    _check_expressions(loaded, request)
    if request.maps:
        loaded = _with_maps(loaded)
    if request.calibration is None:
        log.warning(
            "warning: no calibration: distances scale with the focal length; the principal point is taken to "
            "be the middle"
        )
    samples = loaded.system.inputs(loaded.config, request)
    batch = max(1, len(request.expressions))
    found = predict(loaded.model, loaded.config, samples, Processes(0, 1, loaded.device), batch, progress)
    assert found is not None  # the only process is the first
    return found


def _check_expressions(loaded: LoadedModel, request: InferRequest) -> None:
    name = loaded.config.name
    if request.expressions and not loaded.system.takes_expressions:
        raise InputError(
            f"--text: {name} finds all objects of an image and takes no sentence", "leave --text and --texts away"
        )
    if loaded.system.takes_expressions and not request.expressions:
        raise InputError(
            f"g3d infer: {name} finds what a sentence describes: which sentence?", '--text "the white van on the left"'
        )


def _with_maps(loaded: LoadedModel) -> LoadedModel:
    """The model with its setting `decode.maps` on."""
    decode = getattr(loaded.config, "decode", None)
    if decode is None or not hasattr(decode, "maps"):
        raise InputError(f"--maps: {loaded.config.name} makes no maps", "leave --maps away")
    return replace(loaded, config=loaded.config.model_copy(update={"decode": decode.model_copy(update={"maps": True})}))
