"""A trained model on a user's own data."""

from __future__ import annotations

from g3d.data.types import Prediction
from g3d.engine.distributed import Processes
from g3d.engine.evaluate import predict
from g3d.engine.model import LoadedModel
from g3d.progress import Progress
from g3d.systems.base import InferRequest


def infer(loaded: LoadedModel, request: InferRequest, progress: Progress | None = None) -> list[Prediction]:
    """Predictions for a request, one per image (and sentence), in its order.

    Raises:
        InputError, MissingDataError: an image or a calibration file cannot be used.
    """
    samples = loaded.system.inputs(loaded.config, request)
    found = predict(loaded.model, loaded.config, samples, Processes(0, 1, loaded.device), batch=1, progress=progress)
    assert found is not None  # the only process is the first
    return found
