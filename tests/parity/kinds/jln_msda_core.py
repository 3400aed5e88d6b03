"""The operator of multi-scale deformable attention: its result and gradients."""

from pathlib import Path

import numpy as np
import torch

from g3d.ops.ms_deform_attn import ms_deform_attn


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    inputs = [torch.from_numpy(arrays[f"in.{name}"]).requires_grad_() for name in ("value", "locations", "weights")]
    value, locations, weights = inputs
    output = ms_deform_attn(value, arrays["in.shapes_hw"].tolist(), locations, weights)
    gradients = torch.autograd.grad(output, inputs, torch.from_numpy(arrays["in.grad_out"]))
    names = ("grad_value", "grad_locations", "grad_weights")
    return {"output": output.detach().numpy()} | {
        name: gradient.numpy() for name, gradient in zip(names, gradients, strict=True)
    }
