"""Drive a page in headless Chromium as a reader would."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from g3d.visualize.palette import rgba

# What a browser needs as root, without a screen or a GPU, and without calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


class Reader:
    """A tab that remembers what went wrong and what was asked of the network."""

    def __init__(self, browser: Any, html: Path, before: str = "", **context: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1000, "height": 640}, reduced_motion="reduce", **context)
        self.tab = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: message.type == "error" and self.problems.append(message.text))
        self.tab.on("pageerror", lambda error: self.problems.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        if before:
            self.tab.add_init_script(before)
        self.tab.goto(html.as_uri())
        self.tab.wait_for_selector("[data-panel=objects] h2")

    def count(self, selector: str) -> int:
        return self.tab.locator(selector).count()

    def text(self, selector: str) -> str:
        return self.tab.locator(selector).inner_text()

    def slide(self, value: float) -> None:
        self.tab.locator("#threshold").fill(str(value))

    def scene_pixels(self, colour: str) -> int:
        """Pixels of about this colour in the 3D view, once the frame after this one is drawn."""
        self.tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        picture = Image.open(io.BytesIO(self.tab.locator(".scene canvas").screenshot())).convert("RGB")
        return int((np.abs(np.asarray(picture, int) - rgba(colour)[:3]).max(-1) < 24).sum())
