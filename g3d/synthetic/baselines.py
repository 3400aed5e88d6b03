"""Blind baselines of grounding: a model without its sentence, a model without its image, and one constant box.

A model that grounds must be far better than the best of these; a model that has only learned the usual positions of
objects is not.
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
_CANDIDATES = 400  # training boxes that are tried as the most likely box
_REACH = 15.0  # metres between the centres of boxes that may still overlap


class _Changed:
    """The samples of a split with one change to each sample."""

    drawn = None

    def __init__(self, samples: Samples) -> None:
        self.samples, self.ids = samples, samples.ids

    def __len__(self) -> int:
        return len(self.samples)

    def group(self, index: int) -> str:
        return self.samples.group(index)


class WithoutSentence(_Changed):
    """The samples of a split, all with the expression `NO_SENTENCE`. A model can only choose a prominent object."""

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[ImageSample]:
        return [replace(sample, expression=NO_SENTENCE) for sample in self.samples.read(indices, rng)]


class WithoutImage(_Changed):
    """The samples of a split, all with a mean image instead of their own image.

    A model can only use the content of the sentence.

    Args:
        samples: the samples of the split.
        mean: (3, H, W) uint8, in the network's size (`mean_image`).
    """

    def __init__(self, samples: Samples, mean: torch.Tensor) -> None:
        super().__init__(samples)
        self.mean = mean

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[ImageSample]:
        return [replace(sample, image=self.mean) for sample in self.samples.read(indices, rng)]


def mean_image(samples: Samples, count: int = 64) -> torch.Tensor:
    """Return the mean image, (3, H, W) uint8, of up to `count` samples that are evenly spaced in the split."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int))
    total = sum(samples.read([int(index)], None)[0].image.double() for index in chosen)
    return (torch.as_tensor(total) / len(chosen)).round().to(torch.uint8)


def most_likely_box(objects: Sequence[CameraBoxes], seed: int = 0) -> CameraBoxes:
    """Return the training box that is correct most often if it is the answer to every training sentence.

    Args:
        objects: objects of the training sentences, one row each.
        seed: seed of the choice of candidates; at most 400 boxes are tried as the answer.

    Returns:
        One row with score 1: the box with the most hits, where a hit is an IoU above 0.25 with a training box; hits by
        the published and by the oriented IoU are added.
    """
    boxes, first, counts = np.unique(box_rows(objects), axis=0, return_index=True, return_counts=True)
    tried = np.random.default_rng(seed).permutation(len(boxes))[:_CANDIDATES]
    hits = [
        sum(_hits(boxes[index], boxes, counts, overlap) for overlap in (published_iou, oriented_iou)) for index in tried
    ]
    best = objects[int(first[tried[int(np.argmax(hits))]])]
    return replace(best, scores=np.ones(1))


def always(box: CameraBoxes, samples: Samples) -> list[Prediction]:
    """Return predictions that give the same box as the answer to every sentence."""
    return [Prediction(sample, ImageSource(), (box,)) for sample in samples.ids]


def _hits(
    box: np.ndarray, boxes: np.ndarray, counts: np.ndarray, overlap: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> int:
    near = np.hypot(*(boxes[:, [0, 2]] - box[[0, 2]]).T) < _REACH
    return int(counts[near][overlap(np.broadcast_to(box, boxes[near].shape), boxes[near]) > IOU].sum())
