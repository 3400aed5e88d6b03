"""Corners, overlaps and suppression of boxes: WS-3DVG's (axis-aligned, z up) and Group-Free 3D's (oriented, camera
frame, y down)."""

from pathlib import Path

import numpy as np
import torch

from g3d.geometry.boxes import box_corners
from g3d.ops.box_iou import axis_aligned_iou_3d, camera_from_scene_boxes, rotated_iou_3d, rotated_iou_bev
from g3d.ops.nms import nms_3d
from parity.check import Check, compare
from parity.describe import stated_number


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    centres, sizes, headings = (
        [arrays[f"in.{name}{which}"] for which in ("", "2")] for name in ("center", "size", "heading")
    )
    count = len(centres[0])
    pairs = (torch.arange(count), torch.arange(count))
    level = [torch.from_numpy(np.hstack([c, s])) for c, s in zip(centres, sizes, strict=True)]
    cam = [_camera_rows(c, s, h) for c, s, h in zip(centres, sizes, headings, strict=True)]
    aligned = axis_aligned_iou_3d(level[0].double(), level[1].double(), pairs)
    found = {
        "corners_axis": _level_corners(level[0]),
        "iou_axis": aligned,
        "iou_axis_f64": aligned,
        "corners_cam": _corners(cam[0]),
        "iou_oriented": rotated_iou_3d(*cam, pairs),
        "iou_bev": rotated_iou_bev(*cam, pairs),
        "corners_ws_heading": _turned_about_y(centres[0], sizes[0], headings[0]),
    }
    low, high, scores, classes = np.split(arrays["in.nms_boxes"].astype(np.float64), [3, 6, 7], axis=1)
    boxes = torch.from_numpy(np.hstack([(low + high) / 2, high - low]))
    threshold = float(arrays["in.nms_iou"][0])
    kept = {
        "nms_any": nms_3d(boxes, torch.from_numpy(scores[:, 0]), threshold),
        "nms_samecls": nms_3d(boxes, torch.from_numpy(scores[:, 0]), threshold, torch.from_numpy(classes[:, 0]).long()),
    }
    corners, overlaps = (
        stated_number(case["tolerance"], rf"\b{word} atol #", f"tolerance, {word}") for word in ("corners", "IoU")
    )
    checks = {
        name: compare(name, np.asarray(value), arrays[f"out.{name}"], overlaps if "iou" in name else corners)
        for name, value in found.items()
    }
    return checks | {name: compare(name, value.numpy(), arrays[f"out.{name}"]) for name, value in kept.items()}


def _camera_rows(centres: np.ndarray, sizes: np.ndarray, headings: np.ndarray) -> torch.Tensor:
    """Group-Free's boxes (length, width, height; the centre in the middle) as rows of the camera frame."""
    length, width, height = sizes.T.astype(np.float64)
    x, y, z = centres.T
    return torch.from_numpy(np.stack([x, y + height / 2, z, height, width, length, headings], -1))


def _corners(rows: torch.Tensor) -> np.ndarray:
    numbers = rows.numpy()
    return box_corners(numbers[:, :3], numbers[:, 3:6], numbers[:, 6])


def _level_corners(boxes: torch.Tensor) -> np.ndarray:
    """ScanRefer's order: the upper face first, in the scene's axes."""
    rows = camera_from_scene_boxes(torch.cat([boxes.double(), torch.zeros(len(boxes), 1)], 1))
    corners = _corners(rows)[:, [4, 5, 6, 7, 0, 1, 2, 3]]
    return np.stack([corners[..., 0], corners[..., 2], -corners[..., 1]], -1)


def _turned_about_y(centres: np.ndarray, sizes: np.ndarray, headings: np.ndarray) -> np.ndarray:
    """Return corners as WS-3DVG computes them, which takes the scene's y as the axis of the yaw.

    None of its data sets has headings.
    """
    along_x, along_y, along_z = sizes.T
    bottom = centres + np.stack([np.zeros_like(along_y), along_y / 2, np.zeros_like(along_y)], -1)
    return box_corners(bottom, np.stack([along_y, along_z, along_x], -1), headings)[:, [0, 4, 7, 3, 1, 5, 6, 2]]
