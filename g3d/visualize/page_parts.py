"""How pages are put together: a skeleton from assets/ with its placeholders replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any


def asset(name: str) -> str:
    """A file of assets/ as text."""
    return (files("g3d.visualize") / "assets" / name).read_text("utf-8")


def fill(skeleton: str, parts: Mapping[str, str]) -> str:
    """The skeleton with its {{placeholders}} replaced, each by exactly what belongs there."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], asset(skeleton))


def json_for_script(data: Any) -> str:
    """JSON that may stand inside a <script>: no "<", so neither `</script>` nor `<!--` can occur in a string."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
