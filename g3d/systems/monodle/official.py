"""Published checkpoints -> this network: xinzhuma/monodle, mingyuShin/DDML-M3DOD, and the ImageNet weights of DLA-34.

Parameter names and shapes are the published ones, so an import is a strict check: every entry is loaded, or the report says why not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from g3d.errors import InputError
from g3d.systems.base import ImportReport

_AUXILIARY = "obj_depth."
_AT_MOST = 8  # names of a kind in one message


def import_official(checkpoint: Mapping[str, Any], model: nn.Module) -> ImportReport:
    """Load a published checkpoint.

    Args:
        checkpoint: as `torch.load` gives it: {epoch, model_state, optimizer_state}, or the state dict alone; a `module.` prefix is removed.
        model: a MonoDLE; changed only if everything fits.

    The auxiliary depth head alone may be missing on either side: a MonoDLE checkpoint has none, and so has a model without `object_depth`.

    Raises:
        InputError: no state dict; entries are missing, unknown or of another shape: all of them are listed.
    """
    state = _state_dict(checkpoint, "model_state")
    own = model.state_dict()
    ignored = {name: "auxiliary depth head, used in training only; this model has none (model.object_depth: false)"
               for name in state if name.startswith(_AUXILIARY) and not any(n.startswith(_AUXILIARY) for n in own)}  # fmt: skip
    fresh = {name: "auxiliary depth head, used in training only; a MonoDLE checkpoint has none"
             for name in own if name.startswith(_AUXILIARY) and not any(n.startswith(_AUXILIARY) for n in state)}  # fmt: skip
    return _load(model, {n: v for n, v in state.items() if n not in ignored}, ignored, fresh, "MonoDLE checkpoint")


def import_backbone(checkpoint: Mapping[str, Any], model: nn.Module) -> ImportReport:
    """Load ImageNet weights of DLA-34 (dla34-ba72cf86.pth) into the backbone of a MonoDLE; neck and heads keep their values.

    Raises:
        InputError: as `import_official`.
    """
    return _load(model.get_submodule("backbone"), _state_dict(checkpoint, "state_dict"), {}, {}, "DLA-34 weights")


def _state_dict(checkpoint: Mapping[str, Any], key: str) -> dict[str, Tensor]:
    """The tensors by name, without the prefix of a data-parallel wrapper."""
    state = checkpoint.get(key, checkpoint) if isinstance(checkpoint, Mapping) else {}
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        found = f"keys {_some(map(str, checkpoint))}" if isinstance(checkpoint, Mapping) else type(checkpoint).__name__
        raise InputError(f"checkpoint: expected a state dict, or one under {key!r}; found {found}")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _load(module: nn.Module, state: dict[str, Tensor], ignored: dict[str, str], fresh: dict[str, str], source: str) -> ImportReport:
    own = module.state_dict()
    missing = [name for name in own if name not in state and name not in fresh and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in own]
    shapes = [f"{name} is {tuple(value.shape)}, expected {tuple(own[name].shape)}"
              for name, value in state.items() if name in own and value.shape != own[name].shape]  # fmt: skip
    said = [f"{what}: {_some(names)}" for what, names in
            (("missing", missing), ("unknown", unknown), ("of another shape", shapes)) if names]  # fmt: skip
    if said:
        raise InputError(f"{source} does not fit this model: entries {'; '.join(said)}", "was it made with another system or preset?")
    counters = {name: "a counter that older PyTorch did not store" for name in own if name not in state and name not in fresh}
    module.load_state_dict(own | state)  # strict: what the file lacks keeps its own value, as the report says
    return ImportReport(tuple(state), ignored, fresh | counters)


def _some(names: Any) -> str:
    names = list(names)
    rest = f" and {len(names) - _AT_MOST} more" if len(names) > _AT_MOST else ""
    return ", ".join(names[:_AT_MOST]) + rest
