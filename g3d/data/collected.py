"""Predictions that an evaluation collects: each sample once, and none of the split missing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from g3d.data.types import Prediction
from g3d.errors import InputError, MissingDataError

log = logging.getLogger(__name__)


class Collected(dict[str, Prediction]):
    """Predictions by sample.

    Args:
        what: name of a sample in messages, such as "sentence".
        empty: name of a sample whose prediction is empty, such as "a scene without detections"; None if there is none.
    """

    def __init__(self, what: str, empty: str | None = None) -> None:
        super().__init__()
        self.what, self.empty = what, empty

    def add(self, predictions: Sequence[Prediction]) -> None:
        """Add predictions.

        Raises:
            InputError: a sample has one already.
        """
        for prediction in predictions:
            if prediction.sample in self:
                raise InputError(f"predictions: {self.what} {prediction.sample} comes twice")
            self[prediction.sample] = prediction

    def require(self, samples: Sequence[str]) -> None:
        """Check that all of some samples have a prediction.

        Raises:
            MissingDataError: predictions are missing.
        """
        missing = [sample for sample in samples if sample not in self]
        if missing:
            counts = f"{len(missing)} of {len(samples)} {self.what}s"
            need = f"; {self.empty} needs an empty prediction" if self.empty else ""
            raise MissingDataError(
                f"predictions: {counts} of the split are missing (first: {missing[0]})",
                f"evaluate another --split, or predict them all{need}",
            )

    def warn_of_other_sentences(self, sentences: Mapping[str, str]) -> None:
        """Log how many predictions answer another sentence than that of their sample; case does not count."""
        asked = {sample: self[sample].expression for sample in sentences}
        other = [
            sample
            for sample, said in asked.items()
            if said is not None and said.strip().lower() != sentences[sample].strip().lower()
        ]
        if other:
            text = "predictions: %d of %d answer another sentence than the data set's (first: %s)"
            log.warning(text, len(other), len(asked), other[0])
