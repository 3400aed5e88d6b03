"""Overlap of axis-aligned boxes in an image or in space.

Boxes are rows of 2 D numbers, the D minimum coordinates and then the D maximum coordinates, for D = 2 (x1 y1 x2 y2) or
D = 3 (x1 y1 z1 x2 y2 z2). A box is the product of the closed intervals between them; no pixel is added. A box with an
extent that is not above 0 overlaps nothing, not even itself.

Shapes: N and M boxes, P pairs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part, prange


def reference(first: Tensor, second: Tensor, coverage: bool) -> Tensor:
    """Return the IoU of broadcast boxes (..., 2 D), or with `coverage` the share of the first that the second covers.

    This is the reference of the kernels; it runs on any device and is differentiable.
    """
    (low_a, high_a), (low_b, high_b) = first.chunk(2, -1), second.chunk(2, -1)
    common = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0).prod(-1)
    whole_a, whole_b = (high_a - low_a).prod(-1), (high_b - low_b).prod(-1)
    whole = whole_a if coverage else whole_a + whole_b - common
    return torch.where(common > 0, common / torch.where(common > 0, whole, 1), 0)


def gradient(first: Tensor, second: Tensor, coverage: bool) -> tuple[Tensor, Tensor]:
    """Return the derivatives of the overlap by `first` and by `second`, each (..., 2 D), in closed form.

    Sides that coincide share the derivative equally, as in torch.minimum.
    """
    first, second = torch.broadcast_tensors(first, second)
    (low_a, high_a), (low_b, high_b) = first.chunk(2, -1), second.chunk(2, -1)
    sides = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0)
    common = sides.prod(-1, keepdim=True)
    used = common > 0
    by_side = torch.where(used, common / torch.where(used, sides, 1), 0)
    ends_a, starts_a = (torch.heaviside(d, torch.full_like(d, 0.5)) for d in (high_b - high_a, low_a - low_b))
    size_a, size_b = (torch.where(used, high - low, 1) for high, low in ((high_a, low_a), (high_b, low_b)))
    whole_a, whole_b = size_a.prod(-1, keepdim=True), size_b.prod(-1, keepdim=True)
    whole = whole_a if coverage else whole_a + whole_b - common
    by_common = 1 / whole if coverage else (whole_a + whole_b) / whole.square()
    found = []
    for size, whole_own, ends, starts, counts in (
        (size_a, whole_a, ends_a, starts_a, True),
        (size_b, whole_b, 1 - ends_a, 1 - starts_a, not coverage),
    ):
        by_own = common / whole.square() * (whole_own / size) if counts else torch.zeros_like(size)
        slope = torch.cat([by_own - by_common * by_side * starts, by_common * by_side * ends - by_own], -1)
        found.append(torch.where(used, slope, 0))
    return found[0], found[1]


@part()
def _overlap(a: np.ndarray, b: np.ndarray, dimensions: int, coverage: bool) -> float:
    """Return the IoU or coverage of two boxes (2 D,)."""
    for k in range(dimensions):
        if not (a[k] < b[dimensions + k] and b[k] < a[dimensions + k]):
            return 0.0
    common, whole_a, whole_b = 1.0, 1.0, 1.0
    for k in range(dimensions):
        side = min(a[dimensions + k], b[dimensions + k]) - max(a[k], b[k])
        if not side > 0:
            return 0.0
        common *= side
        whole_a *= a[dimensions + k] - a[k]
        whole_b *= b[dimensions + k] - b[k]
    return common / (whole_a if coverage else whole_a + whole_b - common)


@kernel(parallel=True)
def cpu_matrix(first: np.ndarray, second: np.ndarray, coverage: bool, out: np.ndarray) -> None:
    """Fill `out` (N, M) for every box of `first` (N, 2 D) and every box of `second` (M, 2 D), all float64."""
    columns, wholes = _by_column(second)
    for i in prange(first.shape[0]):
        _overlap_row(first[i], columns, wholes, 0, coverage, out[i])


@part()
def _by_column(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (N, 2 D) as (2 D, N), so that loops over boxes vectorise, and their areas or volumes (N,)."""
    columns, wholes = np.empty((boxes.shape[1], boxes.shape[0])), np.empty(boxes.shape[0])
    for n in range(boxes.shape[0]):
        for k in range(boxes.shape[1]):
            columns[k, n] = boxes[n, k]
        wholes[n] = _whole(boxes[n])
    return columns, wholes


@part()
def _whole(box: np.ndarray) -> float:
    dimensions = len(box) // 2
    whole = 1.0
    for k in range(dimensions):
        whole *= box[dimensions + k] - box[k]
    return whole


@part()
def _overlap_row(
    box: np.ndarray, columns: np.ndarray, wholes: np.ndarray, start: int, coverage: bool, out: np.ndarray
) -> None:
    """Fill out[start:] with the overlaps of one box and the boxes from `start` on, in the form of `_by_column`."""
    dimensions, whole = len(box) // 2, _whole(box)
    for k in range(dimensions):
        low, high, lows, highs = box[k], box[dimensions + k], columns[k], columns[dimensions + k]
        for j in range(start, len(out)):
            side = max(0.0, min(high, highs[j]) - max(low, lows[j]))
            out[j] = side if k == 0 else out[j] * side
    for j in range(start, len(out)):
        union = whole if coverage else whole + wholes[j] - out[j]
        out[j] = out[j] / union if out[j] > 0 else 0.0


@kernel(parallel=True)
def cpu_pairs(
    first: np.ndarray, second: np.ndarray, rows: np.ndarray, columns: np.ndarray, coverage: bool, out: np.ndarray
) -> None:
    """Fill `out` (P,) for boxes first[rows[p]] and second[columns[p]]; boxes float64, rows and columns int64."""
    dimensions = first.shape[1] // 2
    for p in prange(rows.shape[0]):
        out[p] = _overlap(first[rows[p]], second[columns[p]], dimensions, coverage)


@kernel()
def cpu_suppress(boxes: np.ndarray, classes: np.ndarray, threshold: float, kept: np.ndarray) -> None:
    """Clear kept[j] for each suppressed box (kernels/nms.py). Boxes (N, 2 D) are float64 by descending score; `kept`
    (N,) is True on entry."""
    columns, wholes = _by_column(boxes)
    overlap = np.empty(boxes.shape[0])
    for i in range(boxes.shape[0]):
        if kept[i]:
            _overlap_row(boxes[i], columns, wholes, i + 1, False, overlap)
            for j in range(i + 1, boxes.shape[0]):
                if overlap[j] > threshold and classes[i] == classes[j]:
                    kept[j] = False
