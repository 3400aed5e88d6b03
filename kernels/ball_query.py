"""Ball query: for each centre, the first `k` points within `radius`, in index order.

PointNet++ (Qi et al. 2017, section 3.3), with the published operator's rules: the distance test is strict, slots left over repeat
the first hit, and a centre without a hit gets index 0 in every slot.

Shapes: B clouds, N points, M centres, k neighbours. Coordinates in metres, any frame.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.kernels.compiled import kernel, prange


def reference(points: Tensor, centres: Tensor, radius: float, k: int) -> Tensor:
    """The oracle: (B, N, 3) and (B, M, 3) -> int64 (B, M, k). Memory grows with B * M * N."""
    count = points.shape[1]
    inside = (centres[:, :, None] - points[:, None]).square().sum(-1) < radius * radius
    hits = torch.where(inside, torch.arange(count, device=points.device), count)
    found = F.pad(hits.sort(-1).values[..., :k], (0, max(0, k - count)), value=count)
    first = torch.where(found[..., :1] < count, found[..., :1], 0)
    return torch.where(found < count, found, first)


@kernel(parallel=True)
def cpu(points: np.ndarray, centres: np.ndarray, radius2: np.float32, found: np.ndarray) -> None:
    """Fill `found` (B, M, k). One thread per centre; a cell grid would make it independent of N."""
    batches, centre_count, k = found.shape
    for row in prange(batches * centre_count):
        b, m = row // centre_count, row % centre_count
        x, y, z = centres[b, m]
        hits = 0
        for n in range(points.shape[1]):
            dx, dy, dz = points[b, n, 0] - x, points[b, n, 1] - y, points[b, n, 2] - z
            if dx * dx + dy * dy + dz * dz < radius2:
                if hits == 0:
                    found[b, m, :] = n
                found[b, m, hits] = n
                hits += 1
                if hits == k:
                    break
