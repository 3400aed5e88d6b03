"""Training-mode forward, all losses, the gradient norm of every parameter, and Adam steps on one batch."""

from pathlib import Path

import numpy as np
import torch

from g3d.nn.parameter_groups import no_decay_on_biases
from g3d.systems.monodle.losses import losses
from parity.kinds.monodle import filled_model, loss_config, seeded_image, setting, targets_from

ORDER = ("total", "heatmap", "offset_2d", "size_2d", "offset_3d", "depth", "size_3d", "heading")


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    model = filled_model(case, folder).train()
    images, targets, config = seeded_image(arrays), targets_from(arrays), loss_config(case, arrays)
    rate, decay = setting(case, "lr", "lr", 1e-4), setting(case, "weight_decay", "weight decay", 1e-5)
    optimizer = torch.optim.Adam(no_decay_on_biases(model, decay), lr=rate)
    reported, norms = [], np.zeros(0)
    for step in range(len(arrays["out.losses"])):
        optimizer.zero_grad(set_to_none=True)
        terms = losses(model(images, targets.cells), targets, config)
        terms["total"].backward()
        values = [terms[name].item() for name in ORDER]
        reported.append([*values, values[0] - sum(values[1:])])
        if step == 0:
            gradients = {name: p.grad for name, p in model.named_parameters()}
            norms = np.array(
                [-1.0 if (g := gradients[name]) is None else g.norm().item() for name in case["parameter_order"]]
            )
        optimizer.step()
    state = model.state_dict()
    after = {
        name: state[name.removeprefix("out.after.")].flatten()[: len(expected)].numpy()
        for name, expected in arrays.items()
        if name.startswith("out.after.")
    }
    return {"losses": np.array(reported), "grad_norm": norms, **after}
