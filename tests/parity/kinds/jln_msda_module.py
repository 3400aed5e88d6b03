"""The module of multi-scale deformable attention with filled weights: its result, gradients to its inputs and to its
weights."""

from pathlib import Path

import numpy as np
import torch
from support.fill import fill_array

from g3d.nn.deformable_attention import MSDeformAttn
from parity.describe import agreed, stated


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    module = MSDeformAttn(*module_sizes(case["ran"], arrays))
    gain, salt = case["weights"]["gain"], case["weights"]["salt"]
    state = {
        name: torch.from_numpy(fill_array(name, weight.shape, gain=gain, salt=salt))
        for name, weight in module.state_dict().items()
    }
    module.load_state_dict(state)
    query, maps = (torch.from_numpy(arrays[f"in.{name}"]).requires_grad_() for name in ("query", "input"))
    reference, padding, grad = (
        torch.from_numpy(arrays[f"in.{name}"]) for name in ("reference", "padding_mask", "grad_out")
    )
    output = module(query, reference, maps, arrays["in.shapes_hw"].tolist(), padding)
    output.backward(grad)
    found = {"output": output.detach().numpy(), "grad_query": query.grad.numpy(), "grad_input": maps.grad.numpy()}
    return found | {
        f"grad_stats.{name}": _statistics(weight.grad.double().numpy()) for name, weight in module.named_parameters()
    }


def module_sizes(text: str, arrays: dict[str, np.ndarray]) -> tuple[int, int, int, int]:
    """Return channels, levels, heads and points that a text states, such as (d 256, 4 levels, 8 heads, 4 points).

    Raises:
        DescriptionError: the text does not state them, or the arrays have other channels or levels.
    """
    channels, levels, heads, points = map(
        int, stated(text, r"\(d (\d+), (\d+) levels?, (\d+) heads?, (\d+) points?\)", "ran")
    )
    agreed({"ran": channels, "in.query": arrays["in.query"].shape[-1]}, "channels")
    agreed({"ran": levels, "in.shapes_hw": len(arrays["in.shapes_hw"])}, "levels")
    return channels, levels, heads, points


def _statistics(gradient: np.ndarray) -> np.ndarray:
    return np.array([gradient.mean(), np.abs(gradient).mean(), gradient.std()])
