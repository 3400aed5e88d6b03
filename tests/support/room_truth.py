"""A second reading of the statements about rooms, written apart from the generator: plain meanings without margins,
evaluated over the objects of <scene>.room.json."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from g3d.synthetic.rooms.description import describe
from g3d.synthetic.rooms.room_types import furnish
from g3d.synthetic.rooms.scan import kind_of

Object = dict[str, Any]
WIDER = {
    "chair": {"chair", "office chair", "armchair"},
    "table": {"table", "dining table", "round table", "coffee table", "end table"},
    "cabinet": {"cabinet", "file cabinet"},
    "lamp": {"lamp", "table lamp"},
    "picture": {"picture", "painting"},
}
OTHER_WORDS = {
    "trash can": "garbage can", "couch": "sofa", "tv": "television", "refrigerator": "fridge", "rug": "carpet",
    "wardrobe closet": "wardrobe|closet", "monitor": "computer screen", "nightstand": "bedside table", "gray": "grey",
    "bookshelf": "bookshelves", "shelf": "shelves",
}  # fmt: skip
FAMILY_WORDS = {
    "on": "on", "on a": "on", "carries": "on it|on them", "next to": "next to|beside|close to", "above": "above|over",
    "under": "under|below", "in front of": "in front of", "left of": "left", "right of": "right", "between": "between",
    "corner": "corner",
}  # fmt: skip
ORDER_WORDS = {
    "largest": "largest|biggest", "nearest": "closest|nearest", "farthest": "farthest", "leftmost": "leftmost|left",
    "rightmost": "rightmost|right",
}  # fmt: skip


def furnished(index: int, seed: int = 11) -> dict[str, Any]:
    """Return the description of a furnished room all of whose objects were seen, without making its scan."""
    room = furnish(np.random.default_rng([seed, index]), kind_of(seed, index))
    count = len(room.objects)
    scan: Any = SimpleNamespace(
        room=room,
        annotated=tuple(range(count)),
        annotation=np.repeat(np.arange(count), 50),
        starts=np.zeros(count + 1, int),
        shapes=SimpleNamespace(kinds=()),
        mesh=SimpleNamespace(voxel=0.02),
    )
    return describe(scan, f"scene{index:04d}_00")


def furnishings(room: dict[str, Any]) -> list[Object]:
    """Return the objects of a room without its floor, ceiling and walls."""
    return [entry for entry in room["objects"] if "center" in entry]


def fits(form: list[Any], room: dict[str, Any]) -> list[int]:
    """Return the objectIds of which all statements of a form are true."""
    objects = furnishings(room)
    return [o["object_id"] for o in objects if all(reads_true(family, value, o, room) for family, value in form)]


def called(description: Any, objects: list[Object]) -> list[Object]:
    """Return the objects that a name with a colour or None may mean."""
    name, colour = description
    return [o for o in objects if o["label"] in WIDER.get(name, {name}) and colour in (None, o["colour"])]


def the(description: Any, room: dict[str, Any]) -> Object:
    """Return the object that a description means, of which there must be one."""
    found = called(description, furnishings(room))
    assert len(found) == 1, (description, room["scene"])
    return found[0]


def reads_true(family: str, value: Any, thing: Object, room: dict[str, Any]) -> bool:
    """Return whether a statement is true of an object in its plain meaning."""
    objects = furnishings(room)
    if family == "noun":
        return bool(called((value, None), [thing]))
    if family == "colour":
        return bool(thing["colour"] == value)
    if family == "place":
        return bool(thing["support"]["on"] == value)
    if family == "corner":
        return all(abs(c) > side / 2 - 0.9 for c, side in zip(thing["center"], room["size"][:2], strict=False))
    if family == "order":
        order, name, colour, other = value
        group = called((name, colour), objects)
        return thing in group and thing is max(group, key=lambda o: rank(order, o, other and the(other, room)))
    if family == "carries":
        return any(o["support"].get("object_id") == thing["object_id"] for o in called(value, objects))
    if family == "on a":
        return any(thing["support"].get("object_id") == o["object_id"] for o in called(value, objects))
    if family == "side":
        side, seen = value
        return leftness(thing["center"], the(seen, room)) * (1 if side == "left" else -1) > 0
    if family == "between":
        ends = called((value, None), objects) if isinstance(value, str) else [the(part, room) for part in value]
        assert len(ends) == 2
        return thing not in ends and is_between(thing, *ends)
    if family in ("left of", "right of"):
        other, seen = (the(part, room) for part in value)
        shift = [a - b for a, b in zip(thing["center"], other["center"], strict=True)]
        return leftness(shift, seen) * (1 if family == "left of" else -1) > 0
    return related(family, thing, the(value, room))


def related(family: str, thing: Object, other: Object) -> bool:
    """Return whether a thing has a relation to another one."""
    if thing is other:
        return False
    if family == "on":
        return bool(thing["support"].get("object_id") == other["object_id"])
    gaps = [abs(a - b) - (p + q) / 2 for a, b, p, q in zip(*boxes(thing, other), strict=True)]
    across, apart = (math.hypot(*(max(g, 0.0) for g in part)) for part in (gaps[:2], gaps))
    if family == "next to":
        return apart < 0.6
    if family in ("above", "under"):
        upper, lower = (thing, other) if family == "above" else (other, thing)
        return upper["center"][2] > lower["center"][2] and across < 0.5 and gaps[2] > 0
    assert family == "in front of"
    (fx, fy), (dx, dy) = other["front"], [a - b for a, b in zip(thing["center"], other["center"], strict=True)][:2]
    ahead, aside = fx * dx + fy * dy, abs(fx * dy - fy * dx)
    return 0 < ahead - other["size"][1] / 2 < 2.4 and aside < other["size"][0] / 2 + 0.5


def boxes(thing: Object, other: Object) -> tuple[list[float], list[float], list[float], list[float]]:
    return thing["center"], other["center"], thing["extent"], other["extent"]


def rank(order: str, thing: Object, other: Object | None) -> float:
    """Return what the first thing of an order has most of."""
    if order in ("largest", "smallest", "tallest"):
        volume = math.prod(thing["size"])
        return {"largest": volume, "smallest": -volume, "tallest": thing["extent"][2]}[order]
    if order in ("highest", "lowest"):
        return float(thing["center"][2] * (1 if order == "highest" else -1))
    assert other is not None
    if order in ("nearest", "farthest"):
        return math.dist(thing["center"][:2], other["center"][:2]) * (1 if order == "farthest" else -1)
    return leftness(thing["center"], other) * (1 if order == "leftmost" else -1)


def leftness(place: list[float], seen: Object) -> float:
    """Return how far to the left a place is for a person who looks at a thing against its front, metres."""
    ahead = math.atan2(-seen["front"][1], -seen["front"][0])
    return place[1] * math.cos(ahead) - place[0] * math.sin(ahead)


def is_between(thing: Object, first: Object, second: Object) -> bool:
    (ax, ay), (bx, by), (px, py) = (o["center"][:2] for o in (first, second, thing))
    length = math.dist((ax, ay), (bx, by))
    share = ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / length**2
    aside = abs((bx - ax) * (py - ay) - (by - ay) * (px - ax)) / length
    return abs(share - 0.5) < 0.35 and aside < 0.55


def lacks(form: list[Any], text: str) -> list[str]:
    """Return the words of a form, with alternatives after "|", that its sentence does not have."""
    wanted: list[str] = []
    for family, value in form:
        wanted += [FAMILY_WORDS[family]] if family in FAMILY_WORDS else []
        if family == "order":
            wanted.append(ORDER_WORDS.get(value[0], value[0]))
        parts = value[1:] if family == "order" else value if isinstance(value, list) else [value]
        wanted += [word for word in flat(parts) if isinstance(word, str)]
    return [words for words in wanted if not any(word in text for word in spoken(words))]


def spoken(words: str) -> list[str]:
    return [*words.split("|"), *OTHER_WORDS.get(words, "").split("|")[: 2 if words in OTHER_WORDS else 0]]


def flat(parts: Any) -> list[Any]:
    return [leaf for part in parts for leaf in (flat(part) if isinstance(part, list) else [part])]


def shaken(room: dict[str, Any], seed: int, most: float = 0.02) -> dict[str, Any]:
    """Return a room whose objects are moved along each axis by up to `most` metres, what stands on others with them."""
    rng = np.random.default_rng(seed)
    moved: dict[int, np.ndarray] = {}
    objects = []
    for entry in room["objects"]:
        shift = moved.get(entry.get("support", {}).get("object_id"))
        shift = rng.uniform(-most, most, 3) * [1, 1, 0] if shift is None else shift
        moved[entry["object_id"]] = shift
        objects.append(
            {**entry, "center": (np.array(entry["center"]) + shift).tolist()} if "center" in entry else entry
        )
    return {**room, "objects": objects}
