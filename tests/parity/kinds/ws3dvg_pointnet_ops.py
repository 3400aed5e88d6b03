"""The point operators, each on the inputs that the published one had, and their gradients."""

from pathlib import Path

import numpy as np
import torch

from g3d.ops.ball_query import ball_query
from g3d.ops.furthest_point_sample import furthest_point_sample
from g3d.ops.group_points import gather_points, group_points
from g3d.ops.three_interpolate import three_interpolate
from g3d.ops.three_nn import interpolation_weights, three_nn
from parity.check import Check, compare
from parity.describe import stated, stated_number


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    step = interpolation_step(case["settings"])
    found = {f"out.{name}": value.detach().numpy() for name, value in _compute(arrays, step).items()}
    absolute, relative = (
        stated_number(case["tolerance"], rf"\bfloat outputs:[^;]*\b{word} #", f"tolerance, {word}")
        for word in ("atol", "rtol")
    )
    return {
        name: compare(name, found[name], expected, *((absolute, relative) if expected.dtype.kind == "f" else ()))
        for name, expected in arrays.items()
        if name in found
    }


def interpolation_step(settings: dict) -> int:
    """Return n where `three_nn runs on every nth point`, 1 for a case whose notes do not restrict it."""
    notes = settings.get("notes", "")
    if "three_nn" not in notes:
        return 1
    return int(stated(notes, r"\bthree_nn runs on every (\d+)(?:st|nd|rd|th) point\b", "settings.notes")[0])


def _compute(arrays: dict[str, np.ndarray], step: int) -> dict[str, torch.Tensor]:
    given = {
        name.removeprefix("in."): torch.from_numpy(value) for name, value in arrays.items() if name.startswith("in.")
    }
    points, centres, radius = given["xyz"], given["centres"], given["radius"].item()
    features = given["features"].requires_grad_()
    chosen = furthest_point_sample(points, given["fps_npoint"].item(), skip_origin=True)
    balls = ball_query(points, centres, radius, given["nsample"].item())
    grouped = group_points(features, balls)
    found = {"fps_inds": chosen, "ball_inds": balls, "grouped": grouped, "grouped_mean": grouped.mean((1, 2, 3))}
    if "g_group" in given:
        offsets = group_points(points.transpose(1, 2), balls) - centres.transpose(1, 2)[..., None]
        found["qg_features"] = torch.cat([offsets / radius, grouped], 1)
        found["grad_features"] = torch.autograd.grad(grouped, features, given["g_group"], retain_graph=True)[0]
    if "g_gather" in given:
        found["gathered"] = gather_points(features, chosen)
        found["grad_gather"] = torch.autograd.grad(found["gathered"], features, given["g_gather"])[0]
    return found | _interpolation(given, points[:, ::step])


def _interpolation(given: dict[str, torch.Tensor], points: torch.Tensor) -> dict[str, torch.Tensor]:
    known_features = given["known_features"].requires_grad_()
    distances, indices = three_nn(points, given["known"])
    weights = interpolation_weights(distances)
    result = three_interpolate(known_features, indices, weights)
    gradient = torch.autograd.grad(result, known_features, given["g_interp"])[0]
    return {"nn_dist": distances, "nn_inds": indices, "nn_weight": weights, "interp": result, "grad_known": gradient}
