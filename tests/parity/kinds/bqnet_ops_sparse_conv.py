"""Submanifold, strided and inverse sparse convolutions, and their gradients."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from g3d.nn.sparse_conv import SparseConv3d, SparseInverseConv3d, SparseTensor, SubMConv3d


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name in sorted({key.split(".")[1] for key in arrays if key.startswith("in.")}):
        given = {
            key.split(".")[2]: torch.from_numpy(array) for key, array in arrays.items() if key.startswith(f"in.{name}.")
        }
        found |= {f"{name}.{key}": value.detach().numpy() for key, value in _run_set(given).items()}
    return found


def _run_set(given: dict[str, Tensor]) -> dict[str, Tensor]:
    layers = {
        name: _layer(kind, given[f"w_{name}"])
        for name, kind in [
            ("subm3", SubMConv3d),
            ("subm1", SubMConv3d),
            ("down", SparseConv3d),
            ("inv", SparseInverseConv3d),
        ]
    }
    sites = given["coords"]
    x, y, z = given["spatial_shape"].tolist()
    features = given["feats"].requires_grad_()
    at_input = SparseTensor.of(features, sites, (x, y, z), int(sites[:, 0].max()) + 1)
    subm3 = layers["subm3"](at_input)
    subm1 = layers["subm1"](at_input)
    down = layers["down"](subm3)
    inverse = layers["inv"](down)
    subm3.features.retain_grad()
    down.features.retain_grad()
    ((inverse.features * given["grad_inv"]).sum() + (subm1.features * given["grad_subm1"]).sum()).backward()
    by_site = torch.from_numpy(np.lexsort(down.sites.numpy().T[::-1]))  # the case lists coarse sites in ascending order
    gradients = {
        "grad_feats": features.grad,
        "grad_subm3_out": subm3.features.grad,
        "grad_down_out": down.features.grad[by_site],
        **{f"grad_w_{name}": layer.weight.grad for name, layer in layers.items()},
    }
    return gradients | {
        "subm3": subm3.features,
        "subm1": subm1.features,
        "inv": inverse.features,
        "down": down.features[by_site],
        "down_coords": down.sites[by_site],
        "down_shape": torch.tensor(down.spatial_shape),
    }


def _layer(kind: type, weight: Tensor) -> nn.Module:
    channels = weight.shape[-1], weight.shape[0]
    layer = kind(*channels, weight.shape[1]) if kind is SubMConv3d else kind(*channels)
    layer.load_state_dict({"weight": weight})
    return layer
