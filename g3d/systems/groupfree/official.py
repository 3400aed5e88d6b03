"""Import of published Group-Free 3D checkpoints (zeliu98/Group-Free-3D).

Parameter names and shapes are the published ones. Published checkpoints hold each position embedding under two names;
this network has it once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from g3d.errors import InputError
from g3d.nn.groupfree import GroupFree, position_aliases
from g3d.nn.import_report import ImportReport
from g3d.nn.weights import load_weights, state_dict_of


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
        position_aliases(state, "Group-Free 3D checkpoint"),
        hint="do model.width, model.input_features and model.channels fit the file?",
    )
