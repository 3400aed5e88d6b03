"""Which parameters of a network are optimised how."""

from __future__ import annotations

from typing import Any

from torch import nn


def no_decay_on_biases(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two optimiser groups of the trained parameters: those with "bias" in their name without decay, the others (scales
    of norms too) with.

    Source: xinzhuma/monodle, and the systems that grew from it.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for name, p in named if "bias" in name], "weight_decay": 0.0},
        {"params": [p for name, p in named if "bias" not in name], "weight_decay": weight_decay},
    ]
