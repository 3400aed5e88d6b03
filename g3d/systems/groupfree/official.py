"""Import of published Group-Free 3D checkpoints (zeliu98/Group-Free-3D).

Parameter names and shapes are the published ones. Published checkpoints hold each position embedding under two names;
this network has it once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from g3d.errors import InputError
from g3d.nn.groupfree import GroupFree
from g3d.nn.import_report import ImportReport
from g3d.nn.weights import load_weights, state_dict_of

_ALIAS = re.compile(r"decoder_(self|cross)_posembeds\.(\d+)\.")


def import_official(checkpoint: Mapping[str, Any], model: GroupFree) -> ImportReport:
    """Load a published checkpoint.

    Args:
        checkpoint: the result of `torch.load`: {model, optimizer, epoch, save_path, ...}, or the state dict alone, as
            WS-3DVG distributes it; a `module.` prefix is removed.
        model: changed only if everything fits.

    Raises:
        InputError: there is no state dict; the file has another number of decoder layers; the two names of a position
            embedding have different values; or entries are missing, unknown or of another shape (the message lists the
            first ones).
    """
    state = state_dict_of(checkpoint, "model")
    layers = {int(match[1]) for name in state if (match := re.match(r"decoder\.(\d+)\.", name))}
    if layers and len(layers) != len(model.decoder):
        raise InputError(
            f"Group-Free 3D checkpoint: has {len(layers)} decoder layers, this model has {len(model.decoder)}",
            f"set model.decoder_layers={len(layers)}",
        )
    return load_weights(
        model,
        state,
        "Group-Free 3D checkpoint",
        _aliases(state),
        hint="do model.width, model.input_features and model.channels fit the file?",
    )


def _aliases(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the entries that repeat a layer's position embedding -> the reason why they are not loaded.

    Raises:
        InputError: the two entries differ.
    """
    ignored = {}
    for name, value in state.items():
        match = _ALIAS.match(name)
        if match is None:
            continue
        own = f"decoder.{match[2]}.{match[1]}_posembed.{name[match.end() :]}"
        if own in state:
            if not torch.equal(value, state[own]):
                raise InputError(f"Group-Free 3D checkpoint: {name} and {own} differ, expected two names of one tensor")
            ignored[name] = "a second name of the layer's own position embedding"
    return ignored
