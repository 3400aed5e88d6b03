"""Colours of classes, identical in all PNG files and pages, in a bright and a deep version.

The hues follow Okabe and Ito's set for colour-blind readers (sky blue, orange, bluish green, ...), with lightness
adjusted so that the bright version is legible on photographs and dark backgrounds, and the deep version on white.
Ground truth has no hue: it is white or near-black, and dashed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

_BRIGHT_DEEP = {
    "Car": ("#56B4E9", "#0072B2"),
    "Van": ("#A6B1FF", "#4A55C4"),
    "Truck": ("#E19BD0", "#A03A83"),
    "Tram": ("#F0785A", "#B33A1C"),
    "Pedestrian": ("#F5A623", "#B86E00"),
    "Person_sitting": ("#F7DC6F", "#8C7300"),
    "Cyclist": ("#2BC79A", "#00805E"),
    "Misc": ("#BFC6CF", "#6B7480"),
    "Bus": ("#D3A579", "#80522A"),
    "Motorcyclist": ("#B6D957", "#577A0A"),
}
_OTHERS = tuple(_BRIGHT_DEEP.values())[1:7]

_VIRIDIS = (
    "#440154",
    "#482878",
    "#3E4989",
    "#31688E",
    "#26828E",
    "#1F9E89",
    "#35B779",
    "#6ECE58",
    "#B5DE2B",
    "#FDE725",
)

TRUTH = ("#FFFFFF", "#1F2630")
"""Colours of ground truth in images, on dark and on light backgrounds."""

ANSWER, LABEL, BOTH, OTHER = "#F58518", "#2F8CFF", "#35D07F", "#B08CFF"
"""Colours in scenes: the answer to a sentence, its label, points of both, and other predictions."""


def class_colour(name: str, deep: bool = False) -> str:
    """Return the colour of a class as "#RRGGBB"; an unlisted name gets one of six listed colours by its checksum.

    Args:
        name: class name, capitalised or not; "" for objects without a class.
        deep: return the version for light backgrounds.
    """
    pair = _BRIGHT_DEEP.get(name[:1].upper() + name[1:]) or _OTHERS[zlib.crc32(name.encode()) % len(_OTHERS)]
    return pair[deep]


def rgba(colour: str, opacity: float = 1.0) -> tuple[int, int, int, int]:
    """Convert "#RRGGBB" and an opacity in 0..1 to Pillow's RGBA tuple."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), round(255 * opacity)


def viridis(share: np.ndarray) -> np.ndarray:
    """Return viridis colours, (N, 3) RGB 0..255 float, of values 0..1 (N,): violet to yellow with uniformly increasing
    lightness.

    Source: ten samples of the default colour map of matplotlib/matplotlib.
    """
    return blend(_VIRIDIS, share)


def blend(stops: Sequence[str], share: np.ndarray) -> np.ndarray:
    """Interpolate evenly spaced colours "#RRGGBB" at values 0..1 (N,); return (N, 3) RGB 0..255 float."""
    known = np.array([rgba(stop)[:3] for stop in stops], float)
    places = np.linspace(0, 1, len(known))
    return np.stack([np.interp(share, places, channel) for channel in known.T], -1)
