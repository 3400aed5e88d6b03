"""Assemble a page: fill the placeholders of a skeleton from assets/ and encode data for its scripts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np


def asset(name: str) -> str:
    """Return a file of assets/ as text."""
    return (files("g3d.visualize") / "assets" / name).read_text("utf-8")


def fill(skeleton: str, parts: Mapping[str, str]) -> str:
    """Return the skeleton with each of its {{placeholders}} replaced by the part of that name."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], asset(skeleton))


def json_for_script(data: Any) -> str:
    """Return JSON that is safe inside a <script>: it has no "<", so no string contains `</script>` or `<!--`."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def base64_array(values: np.ndarray) -> str:
    """Return the bytes of an array as base64 text; the page's scripts expect little-endian numbers."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def rounded(values: Any, decimals: int) -> Any:
    """Return numbers as nested lists, rounded."""
    return np.round(np.asarray(values, float), decimals).tolist()
