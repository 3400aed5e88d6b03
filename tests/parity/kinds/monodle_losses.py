"""Raw heads and targets -> every loss term and its gradients."""

from pathlib import Path

import numpy as np
import torch

from g3d.nn.cells import gather_patches
from g3d.systems.monodle.losses import bound_violations, losses
from g3d.systems.monodle.model import Outputs, values_in_maps
from parity.check import Check, compare, tolerance_of
from parity.kinds.monodle import loss_config, targets_from

NAMES = {
    "total": "total",
    "seg": "heatmap",
    "offset2d": "offset_2d",
    "size2d": "size_2d",
    "offset3d": "offset_3d",
    "depth": "depth",
    "size3d": "size_3d",
    "heading": "heading",
    "obj_depth": "obj_depth",
}


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    heads = {
        name.removeprefix("in.head."): torch.from_numpy(value).requires_grad_()
        for name, value in arrays.items()
        if name.startswith("in.head.")
    }
    features = torch.from_numpy(arrays["in.feat"]).requires_grad_()
    targets, config = targets_from(arrays), loss_config(case, arrays)
    qi = config.quasi_isometric
    terms = losses(
        Outputs(heads["heatmap"], heads.get("obj_depth"), features, values_in_maps(heads, targets.cells)),
        targets,
        config,
    )
    terms["total"].backward()

    found: dict[str, np.ndarray | Check] = {
        f"loss.{name}": terms[ours].detach().numpy() for name, ours in NAMES.items() if ours in terms
    }
    if qi is not None:
        found["loss.qi"] = (qi.weight * terms["quasi_isometric"]).detach().numpy()
    found |= _empty_terms(case, arrays, found)
    for name, value in {**heads, "feat": features}.items():
        gradient = torch.zeros_like(value) if value.grad is None else value.grad
        found[f"grad.{name}"] = gradient.numpy()
        found[f"grad_norm.{name}"] = gradient.double().norm().numpy()
    if qi is None:
        return found
    with torch.no_grad():
        pooled = gather_patches(features, targets.cells, qi.pool)[targets.mask_3d].mean(1)
        upper, lower, pairs = bound_violations(pooled, targets.depth[targets.mask_3d], qi)
    return found | {"qi.descriptors": pooled.numpy(), "qi.upper_lower_pairs": np.array([len(upper), len(lower), pairs])}


def _empty_terms(case: dict, arrays: dict[str, np.ndarray], found: dict) -> dict[str, Check]:
    """Check the terms that have no objects: the published code reports NaN for them, and ours are 0.

    The total is the sum of the other terms.
    """
    published = {name.removeprefix("out."): value for name, value in arrays.items() if name.startswith("out.loss.")}
    others = np.nansum([value for name, value in published.items() if name != "loss.total"], dtype=np.float32)
    checks = {}
    for name in (n for n, value in published.items() if np.isnan(value)):
        wanted = others if name == "loss.total" else np.float32(0)
        note = (
            "published NaN: a term without objects is 0"
            if wanted == 0
            else "published NaN: the sum of the terms with objects"
        )
        checks[name] = compare(
            name, np.asarray(found[name]), np.asarray(wanted), *tolerance_of(case["tolerance"], name), note=note
        )
    return checks
