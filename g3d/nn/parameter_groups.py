"""Parameter groups of the optimiser."""

from __future__ import annotations

from typing import Any

from torch import nn


def no_decay_on_biases(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two optimiser groups of the trainable parameters: without and with weight decay.

    Parameters with "bias" in their name have no decay; all others, including the scales of norms, have it.

    Source: xinzhuma/monodle, and the systems derived from it.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for name, p in named if "bias" in name], "weight_decay": 0.0},
        {"params": [p for name, p in named if "bias" not in name], "weight_decay": weight_decay},
    ]
