"""What the network looked at: its region and depth maps, brought into the frame of the original image to be drawn."""

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
    """For each sample, maps over its image, one cell for every 4 x 4 pixels.

    Args:
        outputs: of the network.
        transforms: (2, 3) each, pixels of the image -> network pixels.
        image_sizes: width, height of the images.
        resolution: width, height of the network's input.

    Returns:
        "depth": (h, w) float32, metres; and, of JLN, "region": how much each place belongs to the object of the
        sentence, 0..1, from the finest level. Places that the network does not see are 0.
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
    """(h, w, 2): where the middles of the map's cells lie in the network's input, -1..1 from edge to edge."""
    columns, rows = (np.arange(0, pixels, _STEP) + _STEP / 2 for pixels in size)
    x = (transform[0, 0] * columns + transform[0, 2]) / resolution[0]
    y = (transform[1, 1] * rows + transform[1, 2]) / resolution[1]
    grid = np.stack(np.meshgrid(x, y), -1) * 2 - 1
    return torch.from_numpy(grid.astype(np.float32))


def _sample(values: Tensor, grid: Tensor) -> np.ndarray:
    """(H, W) at places (h, w, 2), bilinear, 0 outside -> (h, w) float32."""
    return F.grid_sample(values[None, None], grid[None], align_corners=False)[0, 0].cpu().numpy()
