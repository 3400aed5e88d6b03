"""The MonoDLE network: DLA-34, DLAUp and one small head per quantity.

Layers and parameter names are those of xinzhuma/monodle. Letters in shapes: B images of H x W pixels, feature maps of h
= H/4 x w = W/4 cells and C channels, K cells per image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.geometry.heading import HEADING_BINS
from g3d.nn.cells import gather_cells, gather_patches
from g3d.nn.dla import DLA34, PUBLISHED_CHANNELS, SIZE_MULTIPLE, DLAUp
from g3d.nn.precision import at_least_float32

HEATMAP_CLASSES = 3
OBJECT_HEADS = {"offset_2d": 2, "size_2d": 2, "depth": 2, "offset_3d": 2, "size_3d": 3, "heading": 2 * HEADING_BINS}
"""Number of channels of each head that is evaluated at object centres only."""


class ObjectValues(NamedTuple):
    """The heads' raw values at K cells of each image, each (B, K, channels).

    Attributes:
        offset_2d, offset_3d: offset from the cell's corner to the centre of the 2D box or to the projected 3D centre,
            feature pixels.
        size_2d: width, height in feature pixels.
        depth: raw depth a with z = 1 / (sigmoid(a) + 1e-6) - 1 metres, and log scale s.
        size_3d: height, width, length in metres; the difference from the class mean if the model has mean sizes.
        heading: 12 bin logits, 12 residuals.
    """

    offset_2d: Tensor
    size_2d: Tensor
    depth: Tensor
    offset_3d: Tensor
    size_3d: Tensor
    heading: Tensor


class Outputs(NamedTuple):
    """The network's outputs for training.

    Attributes:
        heatmap: (B, 3, h, w) logits.
        obj_depth: (B, 2, h, w), the same quantities as `depth`, or None.
        features: (B, C, h, w).
        objects: values at the given cells.
    """

    heatmap: Tensor
    obj_depth: Tensor | None
    features: Tensor
    objects: ObjectValues


class MonoDLE(nn.Module):
    """The detector.

    Three methods share all weights: `forward` for training evaluates the object heads at given cells, `detect` for
    inference evaluates them at the strongest peaks, and `maps` evaluates all heads at every cell.

    Args:
        channels: channels of the six DLA levels.
        head_channels: width of every head's hidden layer.
        object_depth: build the auxiliary object-wise depth head (arXiv 2401.01075), which is used in training only.
    """

    def __init__(
        self, channels: Sequence[int] = PUBLISHED_CHANNELS, head_channels: int = 256, object_depth: bool = False
    ) -> None:
        super().__init__()
        self.backbone = DLA34(channels)
        self.neck = DLAUp(channels[2:])
        width = channels[2]
        self.heatmap = Head(width, head_channels, HEATMAP_CLASSES)
        nn.init.constant_(
            cast(Tensor, self.heatmap.output.bias), -2.19
        )  # initial probability 0.1, to limit the first focal losses
        for name, outputs in OBJECT_HEADS.items():
            self.add_module(name, Head(width, head_channels, outputs).small_init())
        self.obj_depth: Head | None = Head(width, head_channels, 2).small_init() if object_depth else None

    def forward(self, images: Tensor, cells: Tensor) -> Outputs:
        """Return the outputs that the losses need.

        Args:
            images: (B, 3, H, W) float, normalised; H and W multiples of 32.
            cells: (B, K) int64, row-major cells of the feature map at which the object heads are evaluated.

        Raises:
            ValueError: the image size does not fit.
        """
        features = self.features(images)
        obj_depth = None if self.obj_depth is None else self.obj_depth(features)
        return Outputs(self.heatmap(features), obj_depth, features, self.at(features, cells))

    def detect(self, images: Tensor, count: int) -> tuple[Peaks, ObjectValues]:
        """Return the `count` strongest peaks of each image and the object heads' values there.

        Args:
            images: as in `forward`.
            count: K.
        """
        features = self.features(images)
        peaks = find_peaks(self.heatmap(features), count)
        return peaks, self.at(features, peaks.cells)

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return every head at every cell, (B, channels, h, w) by head name, and the neck's output as "features"."""
        features = self.features(images)
        heads = ["heatmap", *OBJECT_HEADS, *(["obj_depth"] if self.obj_depth is not None else [])]
        return {name: self.get_submodule(name)(features) for name in heads} | {"features": features}

    def features(self, images: Tensor) -> Tensor:
        """Return the neck's features (B, C, h, w) of images (B, 3, H, W)."""
        height, width = images.shape[-2:]
        if height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
            raise ValueError(f"images: height and width must be multiples of {SIZE_MULTIPLE}, found {height} x {width}")
        return self.neck(self.backbone(images))

    def at(self, features: Tensor, cells: Tensor) -> ObjectValues:
        """Return the object heads' values at cells (B, K), in float32 even under autocast.

        The values are those of `maps`, for a fraction of the computation.
        """
        with torch.autocast(features.device.type, enabled=False):
            patches = at_least_float32(gather_patches(features, cells, 3))
            return ObjectValues(*(cast(Head, self.get_submodule(name)).at(patches) for name in OBJECT_HEADS))


class Head(nn.Sequential):
    """3x3 convolution, ReLU, 1x1 convolution, both with bias.

    The last layer stays in float32 under autocast: rounding to bfloat16 would make neighbouring heatmap cells equal and
    change depths by a percent.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, hidden, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(hidden, outputs, 1))

    @property
    def hidden(self) -> nn.Conv2d:
        return cast(nn.Conv2d, self[0])

    @property
    def output(self) -> nn.Conv2d:
        return cast(nn.Conv2d, self[2])

    def small_init(self) -> Head:
        """Initialise weights by N(0, 0.001) and biases by 0, and return self.

        The published code initialises all heads except the heatmap in this way.
        """
        for convolution in (self.hidden, self.output):
            nn.init.normal_(convolution.weight, std=0.001)
            nn.init.zeros_(cast(Tensor, convolution.bias))
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Return the head's output (B, outputs, h, w), float32 even under autocast, for features (B, inputs, h, w)."""
        hidden = F.relu(self.hidden(features), inplace=True)
        with torch.autocast(hidden.device.type, enabled=False):
            return self.output(at_least_float32(hidden))

    def at(self, patches: Tensor) -> Tensor:
        """Return the head's output (B, K, outputs) for 3x3 patches (B, K, 9, inputs) from `gather_patches`."""
        hidden = F.linear(patches.flatten(2), self.hidden.weight.permute(0, 2, 3, 1).flatten(1), self.hidden.bias)
        return F.linear(F.relu(hidden), self.output.weight.flatten(1), self.output.bias)


class Peaks(NamedTuple):
    """Heatmap peaks, best first: scores (B, K) in (0, 1), classes (B, K) int64, cells (B, K) int64."""

    scores: Tensor
    classes: Tensor
    cells: Tensor


def find_peaks(heatmap: Tensor, count: int) -> Peaks:
    """Return the strongest local maxima over 3x3 cells: first `count` per class, then `count` of all classes.

    There are fewer peaks if the map has fewer cells.

    Args:
        heatmap: (B, classes, h, w) logits.
        count: maximum number of peaks.
    """
    scores = heatmap_scores(heatmap)
    is_peak = F.max_pool2d(scores, 3, 1, 1) == scores
    scores = (scores * is_peak).flatten(2)
    count = min(count, scores.shape[2])
    class_scores, class_cells = scores.topk(count)
    best, ranks = class_scores.flatten(1).topk(count)
    return Peaks(best, ranks // count, class_cells.flatten(1).gather(1, ranks))


def heatmap_scores(heatmap: Tensor) -> Tensor:
    """Return logits as probabilities in [1e-4, 1 - 1e-4]."""
    return at_least_float32(heatmap).sigmoid().clamp(1e-4, 1 - 1e-4)


def values_in_maps(maps: dict[str, Tensor], cells: Tensor) -> ObjectValues:
    """Return the object heads' values at cells (B, K), read from dense maps."""
    return ObjectValues(*(gather_cells(maps[name], cells) for name in OBJECT_HEADS))
