"""Heading bins, the warp to the network's frame, region masks with their published bugs, and the camera."""

from pathlib import Path

import numpy as np

from g3d.data.images.image import affine_from_crop, invert_affine
from g3d.geometry.boxes import wrap_angle
from g3d.geometry.cameras import project_at_depth, ray_angle, unproject
from g3d.geometry.heading import HEADING_BINS, heading_angle, heading_bins
from g3d.systems.jln.targets import region_masks
from parity.check import Check
from parity.describe import stated


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    resolution = _size(case["ran"], r"\bget_affine_transform to (\d+)x(\d+)")
    image_size = _size(case["ran"], r"\boriginal size (\d+)x(\d+)")
    bins, residuals = heading_bins(arrays["in.angle"])
    one_hot = np.eye(HEADING_BINS)[bins]
    crops = zip(arrays["in.center"], arrays["in.crop_size"][:, 0], strict=True)
    affine = [affine_from_crop(center, width, resolution) for center, width in crops]
    regions = [
        region_masks(box.reshape(2, 2), resolution, image_size, "published") for box in arrays["in.region_boxes"]
    ]
    camera, points = arrays["in.P2"], arrays["in.points"]
    pixels = project_at_depth(points, camera)
    return {
        "heading_bin": bins,
        "heading_res": residuals,
        "angle_back": heading_angle(one_hot, np.tile(residuals[:, None], (1, HEADING_BINS))),
        "affine": np.stack(affine),
        "affine_inv": np.stack([invert_affine(matrix) for matrix in affine]),
        "region_masks": np.stack([np.concatenate([level.ravel() for level in levels]) for levels in regions]),
        "uv": pixels,
        "depth": points[:, 2],
        "back_projected": unproject(pixels, points[:, 2], camera),
        "ry": wrap_angle(arrays["in.alpha"] + ray_angle(arrays["in.u"], camera)),
    }


def _size(text: str, pattern: str) -> tuple[int, int]:
    """Return the width and height that a pattern finds in a text."""
    width, height = stated(text, pattern, "ran")
    return int(width), int(height)
