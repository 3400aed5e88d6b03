"""Depth classes, painted depth targets and the loss of the depth map."""

from pathlib import Path

import numpy as np
import torch

from g3d.systems.jln.config import ModelConfig
from g3d.systems.jln.depth_map import depth_bin, depth_map_loss, focal_depth_loss, paint_depths
from parity.describe import DescriptionError, parse_stream, stored_part

MAX_DEPTH = ModelConfig().max_depth
"""Metres where the last bin ends: the published setting, in neither the JSON nor the arrays of a case."""
GRADIENT_CHANNEL_STEP = 4
"""Step over the channels of out.grad_sub, for a case that states none and whose shapes allow several."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    logits = logits_of(case, arrays)
    bins, size = logits.shape[1] - 1, (logits.shape[2], logits.shape[3])
    counts = arrays["in.boxes_per_image"]
    present = torch.arange(int(counts.max(initial=1))) < torch.from_numpy(counts)[:, None]
    boxes, depth = torch.zeros(*present.shape, 4), torch.zeros(present.shape)
    boxes[present], depth[present] = (torch.from_numpy(arrays[name]) for name in ("in.boxes_xyxy", "in.depth"))
    targets = paint_depths(boxes, depth, present, size, published=True)
    classes = depth_bin(targets.depth, bins, MAX_DEPTH)
    loss = depth_map_loss(logits, targets, MAX_DEPTH) / classes.numel()
    loss.backward()
    assert logits.grad is not None
    pixels = focal_depth_loss(logits, classes).detach()
    part = stored_part(case, "out.pixel_loss_sub", pixels.shape, arrays["out.pixel_loss_sub"].shape)
    spatial = [index.step or 1 for index in part[1:] if isinstance(index, slice)]
    gradient_part = stored_part(
        case, "out.grad_sub", logits.shape, arrays["out.grad_sub"].shape, (1, GRADIENT_CHANNEL_STEP, *spatial)
    )
    return {
        "depth_map": targets.depth.numpy(),
        "target_bins": classes.numpy(),
        "pixel_loss_sub": pixels[part].numpy(),
        "loss": loss.detach().numpy(),
        "grad_sub": logits.grad[gradient_part].numpy(),
        "bin_probe": depth_bin(torch.from_numpy(arrays["in.depth_probe"]), bins, MAX_DEPTH).numpy(),
    }


def logits_of(case: dict, arrays: dict[str, np.ndarray]) -> torch.Tensor:
    """Return the logits (B, bins + 1, h, w) that the text of `inputs` describes, as a leaf with gradient.

    Raises:
        DescriptionError: the text describes something else, or another batch than that of the boxes.
    """
    stream = parse_stream(case.get("inputs"))
    shapes = [draw.shape for draw in stream.draws]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise DescriptionError(f"inputs: expected one shape (B, bins + 1, h, w), found {shapes}")
    images = len(arrays["in.boxes_per_image"])
    if shapes[0][0] != images:
        raise DescriptionError(f"inputs: {shapes[0][0]} images of logits, but in.boxes_per_image has {images}")
    return torch.from_numpy(stream.arrays()[0]).requires_grad_()
