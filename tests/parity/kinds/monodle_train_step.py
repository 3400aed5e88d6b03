"""Training-mode forward, all losses, the gradient norm of every parameter, and Adam steps on one batch."""

from pathlib import Path

import numpy as np
import torch

from g3d.nn.parameter_groups import no_decay_on_biases
from g3d.systems.monodle.losses import losses
from parity.describe import DescriptionError, meaning_of, stated
from parity.kinds.monodle import filled_model, loss_config, seeded_image, setting, targets_from
from parity.kinds.monodle_losses import NAMES


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    model = filled_model(case, folder).train()
    images, targets, config = seeded_image(arrays), targets_from(arrays), loss_config(case, arrays)
    rate, decay = setting(case, "lr", "lr"), setting(case, "weight_decay", "weight decay")
    order = loss_order(case)
    optimizer = torch.optim.Adam(no_decay_on_biases(model, decay), lr=rate)
    reported, norms = [], np.zeros(0)
    for step in range(len(arrays["out.losses"])):
        optimizer.zero_grad(set_to_none=True)
        terms = losses(model(images, targets.cells), targets, config)
        terms["total"].backward()
        values = [terms[name].item() for name in order]
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


def loss_order(case: dict) -> list[str]:
    """Return our names of the terms in a row of out.losses; one more column holds the total minus the others."""
    (words,) = stated(meaning_of(case, "out.losses"), r"\((total(?:, \w+)+), total minus those\b", "out.losses")
    names = words.split(", ")
    unknown = set(names) - set(NAMES)
    if unknown:
        raise DescriptionError(f"out.losses: unknown terms {', '.join(sorted(unknown))}")
    return [NAMES[name] for name in names]
