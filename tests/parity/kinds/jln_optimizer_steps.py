"""The published AdamW, with and without decay, step by step."""

from pathlib import Path

import numpy as np
import torch

from g3d.systems.jln.optimizer import AdamWScaledDecay


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    def steps(weight_decay: float) -> np.ndarray:
        parameter = torch.from_numpy(arrays["in.param"].copy()).requires_grad_()
        optimizer = AdamWScaledDecay(
            [parameter], lr=case["lr"], betas=case["betas"], eps=case["eps"], weight_decay=weight_decay
        )
        after = []
        for gradient in arrays["in.grads"]:
            parameter.grad = torch.from_numpy(gradient.copy())
            optimizer.step()
            after.append(parameter.detach().numpy().copy())
        return np.stack(after)

    return {"param_with_decay": steps(case["weight_decay"]), "param_no_decay": steps(0.0)}
