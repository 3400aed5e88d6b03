"""Import of published WS-3DVG checkpoints (ZzZZCHS/WS-3DVG): parameter names and shapes are the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from g3d.errors import InputError
from g3d.nn.groupfree import position_aliases
from g3d.nn.import_report import ImportReport
from g3d.nn.weights import load_weights, state_dict_of
from g3d.systems.ws3dvg.model import WS3DVG

_VOCABULARY = "recnet.vocab_fc.weight"
_SOURCE = "WS-3DVG checkpoint"
_WORDS = "words._extra_state"


def vocabulary_size(checkpoint: Mapping[str, Any]) -> int:
    """Return the number of words that a published checkpoint was trained with; it depends on what ran before.

    Raises:
        InputError: there is no state dict, or it has no vocabulary layer.
    """
    weight = _state(checkpoint).get(_VOCABULARY)
    if weight is None or weight.dim() != 2:
        raise InputError(f"{_SOURCE}: expected {_VOCABULARY} of shape (words, channels), found none")
    return len(weight)


def import_official(checkpoint: Mapping[str, Any], model: WS3DVG) -> ImportReport:
    """Load a published checkpoint, detector included.

    Args:
        checkpoint: the result of `torch.load`: the state dict alone (model.pth, model_last.pth), or
            {epoch, model_state_dict, optimizer_state_dict, best} (checkpoint.tar); a `module.` prefix is removed.
        model: changed only if everything fits.

    Raises:
        InputError: there is no state dict; the file has another detector or another number of words; the two names of a
            position embedding have different values; or entries are missing, unknown or of another shape (the message
            lists the first ones).
    """
    state = _state(checkpoint)
    words, config = vocabulary_size(checkpoint), model.config
    if words != config.vocabulary:
        raise InputError(
            f"{_SOURCE}: predicts {words} words, this model {config.vocabulary}", f"set model.vocabulary={words}"
        )
    found = "groupfree" if any(name.startswith("group_free.") for name in state) else "votenet"
    if found != config.detector:
        raise InputError(
            f"{_SOURCE}: has the detector {found}, this model {config.detector}", f"set model.detector={found}"
        )
    return load_weights(
        model,
        state,
        _SOURCE,
        position_aliases(state, _SOURCE, "group_free."),
        {_WORDS: "word vectors, which text.vectors names"} if _WORDS in model.state_dict() else None,
        hint="do model.channels, model.width, model.input_features and model.teacher_layers fit the file?",
    )


def _state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    return state_dict_of(checkpoint, "model_state_dict")
