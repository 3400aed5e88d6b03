"""Read what a page carries: its tags, its data and its pictures."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image


class Tags(HTMLParser):
    """Collects tags with their attributes, and the contents of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts[-1] += data


def parse(path: Path) -> Tags:
    tags = Tags()
    tags.feed(path.read_text("utf-8"))
    return tags


def data_of(path: Path) -> dict[str, Any]:
    return json.loads(next(text for text in parse(path).scripts if text.startswith('{"title"')))


def picture(data: dict[str, Any], number: int) -> tuple[str, Image.Image]:
    """A picture of a page, and its kind."""
    kind, _, encoded = data["pictures"][number].removeprefix("data:").partition(";base64,")
    return kind, Image.open(io.BytesIO(base64.b64decode(encoded)))
