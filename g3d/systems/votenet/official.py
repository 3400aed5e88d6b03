"""Import of published VoteNet checkpoints (facebookresearch/votenet): names and shapes are the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from g3d.nn.import_report import ImportReport
from g3d.nn.votenet import VoteNet
from g3d.nn.weights import load_weights, state_dict_of


def import_official(checkpoint: Mapping[str, Any], model: VoteNet) -> ImportReport:
    """Load a published checkpoint.

    Args:
        checkpoint: the result of `torch.load` of a .tar file: {epoch, optimizer_state_dict, loss, model_state_dict}, or
            the state dict alone; a `module.` prefix is removed.
        model: changed only if everything fits.

    Raises:
        InputError: there is no state dict, or entries are missing, unknown or of another shape (the message lists the
            first ones).
    """
    return load_weights(
        model,
        state_dict_of(checkpoint, "model_state_dict"),
        "VoteNet checkpoint",
        hint="do model.input_features (1 with height), model.channels and model.width fit the file?",
    )
