"""Colours by class: the same in every picture and page, told apart by colour-blind readers, in a bright and a deep version.

The hues follow Okabe and Ito's colour-universal set (sky blue, orange, bluish green, ...), with lightness adjusted so that the bright
version reads on photographs and dark grounds, and the deep one on white. Ground truth has no hue: it is neutral, and dashed.
"""

from __future__ import annotations

import zlib

_BRIGHT_DEEP = {
    "Car": ("#56B4E9", "#0072B2"),
    "Van": ("#A6B1FF", "#4A55C4"),
    "Truck": ("#E19BD0", "#A03A83"),
    "Tram": ("#F0785A", "#B33A1C"),
    "Pedestrian": ("#F5A623", "#B86E00"),
    "Person_sitting": ("#F7DC6F", "#8C7300"),
    "Cyclist": ("#2BC79A", "#00805E"),
    "Misc": ("#BFC6CF", "#6B7480"),
}
_OTHERS = tuple(_BRIGHT_DEEP.values())[1:7]

TRUTH = ("#FFFFFF", "#1F2630")


def class_colour(name: str, deep: bool = False) -> str:
    """The colour of a class as "#RRGGBB"; a name that KITTI does not know always gets the same one of the others.

    Args:
        name: class name; "" for objects without a class.
        deep: the version for light grounds.
    """
    pair = _BRIGHT_DEEP.get(name) or _OTHERS[zlib.crc32(name.encode()) % len(_OTHERS)]
    return pair[deep]


def rgba(colour: str, opacity: float = 1.0) -> tuple[int, int, int, int]:
    """Give "#RRGGBB" and an opacity in 0..1 the way Pillow takes them."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), round(255 * opacity)
