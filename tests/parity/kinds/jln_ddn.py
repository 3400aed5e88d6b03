"""Depth classes, painted depth targets and the depth map's loss."""

from pathlib import Path

import numpy as np
import torch

from g3d.systems.jln.depth_map import depth_bin, depth_map_loss, focal_depth_loss, paint_depths

MAX_DEPTH = 60.0


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    maps, bins = arrays["out.target_bins"], 80
    logits = torch.from_numpy(
        np.random.RandomState(1081).standard_normal((3, 81, *maps.shape[1:])).astype(np.float32)
    ).requires_grad_()
    counts = arrays["in.boxes_per_image"]
    present = torch.arange(int(counts.max())) < torch.from_numpy(counts)[:, None]
    boxes, depth = torch.zeros(*present.shape, 4), torch.zeros(present.shape)
    boxes[present], depth[present] = (torch.from_numpy(arrays[name]) for name in ("in.boxes_xyxy", "in.depth"))
    targets = paint_depths(boxes, depth, present, (maps.shape[1], maps.shape[2]), published=True)
    classes = depth_bin(targets.depth, bins, MAX_DEPTH)
    loss = depth_map_loss(logits, targets, MAX_DEPTH) / classes.numel()
    loss.backward()
    assert logits.grad is not None
    return {
        "depth_map": targets.depth.numpy(),
        "target_bins": classes.numpy(),
        "pixel_loss_sub": focal_depth_loss(logits, classes)[:, ::3, ::5].detach().numpy(),
        "loss": loss.detach().numpy(),
        "grad_sub": logits.grad[:, ::4, ::3, ::5].numpy(),
        "bin_probe": depth_bin(torch.from_numpy(arrays["in.depth_probe"]), bins, MAX_DEPTH).numpy(),
    }
