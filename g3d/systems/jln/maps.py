"""Region and depth maps of the network, warped to the frame of the original image for display."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.systems.jln.config import STRIDES
from g3d.systems.jln.model import Outputs

_STEP = 4  # pixels of the image per cell of a map


def image_maps(
    outputs: Outputs,
    transforms: Sequence[np.ndarray],
    image_sizes: Sequence[tuple[int, int]],
    resolution: tuple[int, int],
) -> list[dict[str, np.ndarray]]:
    """Return maps over each sample's image, with one cell for every 4 x 4 pixels.

    Args:
        outputs: the network's outputs.
        transforms: (2, 3) each, pixels of the image -> network pixels.
        image_sizes: width, height of the images.
        resolution: width, height of the network's input.

    Returns:
        For each sample, "depth": (h, w) float32, metres; and, for JLN, "region": (h, w) float32, 0..1, the region score
        of the finest level. Places outside the network's input are 0.
    """
    width, height = resolution
    found = []
    for k, (transform, size) in enumerate(zip(transforms, image_sizes, strict=True)):
        grid = _network_places(transform, size, resolution).to(outputs.depth_map.device)
        maps = {"depth": _sample(outputs.depth_map[k].float(), grid)}
        if outputs.regions is not None:
            rows, columns = height // STRIDES[0], width // STRIDES[0]
            finest = outputs.regions[k, : rows * columns].float().view(rows, columns)
            maps["region"] = _sample(finest.clamp(0, 1), grid)
        found.append(maps)
    return found


def _network_places(transform: np.ndarray, size: tuple[int, int], resolution: tuple[int, int]) -> Tensor:
    """Return (h, w, 2): positions of the cell centres in the network's input, -1..1 from edge to edge."""
    columns, rows = (np.arange(0, pixels, _STEP) + _STEP / 2 for pixels in size)
    x = (transform[0, 0] * columns + transform[0, 2]) / resolution[0]
    y = (transform[1, 1] * rows + transform[1, 2]) / resolution[1]
    grid = np.stack(np.meshgrid(x, y), -1) * 2 - 1
    return torch.from_numpy(grid.astype(np.float32))


def _sample(values: Tensor, grid: Tensor) -> np.ndarray:
    """Return values (H, W) at places (h, w, 2) as (h, w) float32: bilinear interpolation, 0 outside."""
    return F.grid_sample(values[None, None], grid[None], align_corners=False)[0, 0].cpu().numpy()
