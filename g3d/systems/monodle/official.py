"""Import of published checkpoints: xinzhuma/monodle, mingyuShin/DDML-M3DOD, and the ImageNet weights of DLA-34.

Parameter names and shapes are the published ones, so that an import is a strict check: every entry is loaded, or the
report states why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from g3d.nn.import_report import ImportReport
from g3d.nn.weights import load_weights, state_dict_of

_AUXILIARY = "obj_depth."


def import_official(checkpoint: Mapping[str, Any], model: nn.Module) -> ImportReport:
    """Load a published checkpoint.

    Only the auxiliary depth head may be missing on either side: a MonoDLE checkpoint has none, and neither has a model
    without `object_depth`.

    Args:
        checkpoint: the result of `torch.load`: {epoch, model_state, optimizer_state}, or the state dict alone; a
            `module.` prefix is removed.
        model: a MonoDLE; changed only if everything fits.

    Raises:
        InputError: there is no state dict, or entries are missing, unknown or of another shape (the message lists the
            first ones).
    """
    state = state_dict_of(checkpoint, "model_state")
    own = model.state_dict()
    ignored = {
        name: "auxiliary depth head, used in training only; this model has none (model.object_depth: false)"
        for name in state
        if name.startswith(_AUXILIARY) and not any(n.startswith(_AUXILIARY) for n in own)
    }
    fresh = {
        name: "auxiliary depth head, used in training only; a MonoDLE checkpoint has none"
        for name in own
        if name.startswith(_AUXILIARY) and not any(n.startswith(_AUXILIARY) for n in state)
    }
    return load_weights(model, state, "MonoDLE checkpoint", ignored, fresh)


def import_backbone(checkpoint: Mapping[str, Any], model: nn.Module) -> ImportReport:
    """Load ImageNet weights of DLA-34 (dla34-ba72cf86.pth) into the backbone of a MonoDLE; keep the neck and the heads.

    Raises:
        InputError: as in `import_official`.
    """
    return load_weights(model.get_submodule("backbone"), state_dict_of(checkpoint, "state_dict"), "DLA-34 weight file")
