"""Names of furnishings and colours: the names that are true of an object, and those that a reader may confuse."""

from __future__ import annotations

from collections.abc import Iterable

from g3d.synthetic.rooms.categories import CATEGORIES

WIDER = {
    "office chair": "chair",
    "armchair": "chair",
    "dining table": "table",
    "round table": "table",
    "coffee table": "table",
    "end table": "table",
    "file cabinet": "cabinet",
    "table lamp": "lamp",
    "painting": "picture",
}
"""A wider name that is true as well, by label."""
PLURAL = frozenset(("books", "shoes", "kitchen cabinets"))
"""Labels of several things together, which are spoken of as "they"."""
UNCOLOURED = frozenset(("books", "window", "picture", "painting", "mirror", "tv", "monitor", "ceiling light"))
"""Labels whose colour is not stated: it is that of a frame, or of a part, or always the same."""


def _pairs(*groups: str) -> frozenset[frozenset[str]]:
    """Return all pairs of names within each group of names, which are separated by commas."""
    named = [[name.strip() for name in group.split(",")] for group in groups]
    return frozenset(frozenset((a, b)) for names in named for a in names for b in names if a != b)


_ALIKE = _pairs(
    "painting, picture",
    "bookshelf, shelf",
    "chair, stool",
    "chair, armchair",
    "couch, armchair",
    "couch, bench",
    "ottoman, stool, bench, coffee table",
    "end table, nightstand, coffee table, stool",
    "table, dining table, desk",
    "table, round table, dining table, coffee table",
    "cabinet, dresser, nightstand, file cabinet, tv stand",
    "cabinet, wardrobe closet, bookshelf",
    "cabinet, kitchen cabinet, kitchen cabinets, bathroom vanity, kitchen counter",
    "trash can, storage bin, laundry basket, box",
    "rug, mat",
    "tv, monitor",
    "curtain, shower curtain",
    "cup, bowl, bottle",
    "mirror, picture",
    "kettle, bottle",
    "backpack, suitcase",
)
_ALIKE_COLOURS = _pairs(
    "white, beige",
    "white, gray",
    "gray, black",
    "beige, brown",
    "beige, yellow",
    "brown, black",
    "brown, red",
    "brown, orange",
    "orange, red",
    "orange, yellow",
    "orange, pink",
    "pink, red",
    "pink, purple",
    "pink, beige",
    "purple, blue",
)


def names_of(label: str) -> tuple[str, ...]:
    """Return the names that are true of objects with a label: the label itself, and a wider name if it has one."""
    return (label, WIDER[label]) if label in WIDER else (label,)


_LABELS_NAMED: dict[str, list[str]] = {}
for _label in CATEGORIES:
    for _name in names_of(_label):
        _LABELS_NAMED.setdefault(_name, []).append(_label)


def named(name: str, label: str) -> bool | None:
    """Return whether a name is true of objects with a label; None if a reader may take them for so named ones."""
    labels = _LABELS_NAMED[name]
    if label in labels:
        return True
    return None if any(frozenset((label, other)) in _ALIKE for other in labels) else False


def coloured(said: str, label: str, colour: str) -> bool | None:
    """Return whether a colour is that of an object; None if they look alike, or if the object has no one colour."""
    if said == colour and label not in UNCOLOURED:
        return True
    alike = frozenset((said, colour)) in _ALIKE_COLOURS or said == colour or label in UNCOLOURED
    return None if alike else False


def all_of(truths: Iterable[bool | None]) -> bool | None:
    """Return whether all are true: False if one is false, else None if one is undecided."""
    found = set(truths)
    return False if False in found else None if None in found else True
