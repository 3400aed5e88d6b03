"""The weights of a case: an official state dict filled from a manifest by the rules of support/fill.py."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support import paths
from support.fill import fill_array
from torch import Tensor

from parity.describe import agreed, stated


def filled_state(case: dict[str, Any], folder: Path) -> dict[str, Tensor]:
    """Return the official state dict that a case's manifest, gain and salt describe.

    `manifest` (a file beside the case, or the entries themselves), `gain` (1 if it is not stated), `salt` (empty if it
    is not stated) and `fill_name` lie at the top of the case or under `weights`.

    Raises:
        DescriptionError: no place names the manifest, or the two places contradict each other.
    """
    gain, salt = float(_rule(case, "gain", 1.0)), str(_rule(case, "salt", ""))
    renamed = _rule(case, "fill_name", None)
    manifest = _rule(case, "manifest")
    if isinstance(manifest, str):
        manifest = json.loads(beside(folder, str(case["system"]), manifest).read_text(encoding="utf-8"))
    state: dict[str, Tensor] = {}
    for name, entry in manifest.items():
        source = entry.get("alias_of", name)
        source_entry = manifest.get(source, entry)
        if "value" in source_entry:
            value = np.asarray(source_entry["value"], entry["dtype"]).reshape(entry["shape"])
        else:
            fill_name = source_entry.get("fill_name", _fill_name(renamed, source))
            value = fill_array(fill_name, entry["shape"], entry["dtype"], gain, salt)
        state[name] = torch.from_numpy(value)
    return state


def beside(folder: Path, system: str, name: str) -> Path:
    """Return the path of a file or folder that a case uses.

    The case's own folder and its parent are searched first, then, for cases kept elsewhere, the known cases of the
    system.
    """
    places = (folder, folder.parent, paths.SHARED / "golden" / system, paths.GOLDEN / system)
    return next((place / name for place in places if (place / name).exists()), folder / name)


_REQUIRED = object()


def _rule(case: dict[str, Any], key: str, otherwise: Any = _REQUIRED) -> Any:
    """Return a rule of the case that lies at its top or under `weights`."""
    weights = case.get("weights")
    places = {key: case.get(key), f"weights.{key}": weights.get(key) if isinstance(weights, dict) else None}
    if otherwise is not _REQUIRED and all(value is None for value in places.values()):
        return otherwise
    return agreed(places, key)


def _fill_name(rule: str | None, name: str) -> str:
    """Return the name under which values are filled.

    Args:
        rule: for example "names ending in '.gamma' are filled under NAME + '.weight'"; None for no rule.
        name: official name of a weight.
    """
    if rule is None:
        return name
    ending, added = stated(rule, r"\bnames ending in '([^']+)' are filled under NAME \+ '([^']+)'", "fill_name")
    return name + added if re.search(re.escape(ending) + "$", name) else name
