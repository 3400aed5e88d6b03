"""What can be guessed blindly: a grounding model without its sentence or without its picture, and one box for
everything.

A model that grounds must beat the best of these by far; one that has only learned where objects usually are does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from g3d.data.types import CameraBoxes, ImageSample, ImageSource, Prediction
from g3d.metrics.grounding import box_rows, oriented_iou, published_iou
from g3d.systems.base import Samples

NO_SENTENCE = "the object."
IOU = 0.25
_CANDIDATES = 400  # training boxes that are tried as the most likely one
_REACH = 15.0  # metres between the centres of boxes that may still overlap


class _Changed:
    """The samples of a split, each changed in one way."""

    drawn = None

    def __init__(self, samples: Samples) -> None:
        self.samples, self.ids = samples, samples.ids

    def __len__(self) -> int:
        return len(self.samples)

    def group(self, index: int) -> str:
        return self.samples.group(index)


class WithoutSentence(_Changed):
    """The samples of a split, all asked for the same: `NO_SENTENCE`. A model can answer with what is most prominent."""

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[ImageSample]:
        return [replace(sample, expression=NO_SENTENCE) for sample in self.samples.read(indices, rng)]


class WithoutImage(_Changed):
    """The samples of a split, all with the mean of some pictures instead of their own.

    A model can answer with what the sentence says.

    Args:
        samples: of the split.
        mean: (3, H, W) uint8, in the network's size (`mean_image`).
    """

    def __init__(self, samples: Samples, mean: torch.Tensor) -> None:
        super().__init__(samples)
        self.mean = mean

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[ImageSample]:
        return [replace(sample, image=self.mean) for sample in self.samples.read(indices, rng)]


def mean_image(samples: Samples, count: int = 64) -> torch.Tensor:
    """(3, H, W) uint8, the mean of up to `count` samples' images, evenly spread over the samples."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int))
    total = sum(samples.read([int(index)], None)[0].image.double() for index in chosen)
    return (torch.as_tensor(total) / len(chosen)).round().to(torch.uint8)


def most_likely_box(objects: Sequence[CameraBoxes], seed: int = 0) -> CameraBoxes:
    """The one box that, given as the answer to every training sentence, is right most often.

    Args:
        objects: of training sentences, one row each.
        seed: of the choice among them: at most 400 are tried as the answer.

    Returns:
        one row with score 1: the box that has an IoU above 0.25 with most of them, published and oriented counted
        together.
    """
    boxes, first, counts = np.unique(box_rows(objects), axis=0, return_index=True, return_counts=True)
    tried = np.random.default_rng(seed).permutation(len(boxes))[:_CANDIDATES]
    hits = [
        sum(_hits(boxes[index], boxes, counts, overlap) for overlap in (published_iou, oriented_iou)) for index in tried
    ]
    best = objects[int(first[tried[int(np.argmax(hits))]])]
    return replace(best, scores=np.ones(1))


def always(box: CameraBoxes, samples: Samples) -> list[Prediction]:
    """The same answer to every sentence."""
    return [Prediction(sample, ImageSource(), (box,)) for sample in samples.ids]


def _hits(
    box: np.ndarray, boxes: np.ndarray, counts: np.ndarray, overlap: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> int:
    near = np.hypot(*(boxes[:, [0, 2]] - box[[0, 2]]).T) < _REACH
    return int(counts[near][overlap(np.broadcast_to(box, boxes[near].shape), boxes[near]) > IOU].sum())
