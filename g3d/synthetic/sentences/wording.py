"""Wording of statements: several phrases for each family, and the sentence forms that combine them.

Every phrase can follow a noun ("the red car ...") and a verb ("it is ..."). "left" and "right" are always image
directions and always separate words, so that swapping them mirrors the sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from g3d.synthetic.sentences.statements import Statement

_NOUNS = {
    "truck": ("truck", "lorry"),
    "pedestrian": ("pedestrian", "person on foot"),
    "cyclist": ("cyclist", "rider on a bicycle"),
    "adult": ("adult", "grown-up"),
    "suv": ("suv", "off-roader"),
    "sedan": ("sedan", "saloon car"),
    "estate": ("estate car", "station wagon"),
    "panel van": ("panel van", "delivery van"),
    "minibus": ("minibus", "people carrier"),
}
_PHRASES: dict[str, dict[Any, tuple[str, ...]]] = {
    "place": {
        "own lane": ("in our own lane", "in the same lane as the camera", "driving ahead of us in our lane"),
        "same-direction lane": ("in the lane beside ours", "in another lane of our direction"),
        "oncoming lane": (
            "in the oncoming lane",
            "in a lane of the oncoming traffic",
            "driving on the other side of the road",
        ),
        "crossing street": (
            "on the street that crosses ahead",
            "driving on the crossing street",
            "at the crossroads ahead",
        ),
        "parking": ("parked at the kerb", "parked beside the road", "standing in a parking space"),
        "pavement": ("on the pavement", "on the sidewalk"),
        "roadside": ("on the verge of the road", "beside the country road"),
        "zebra crossing": ("on the zebra crossing", "crossing the street"),
        "road edge": ("at the edge of the road", "keeping to the edge of the lane"),
    },
    "state": {
        "driving": ("driving", "in motion"),
        "parked": ("parked", "not moving"),
        "walking": ("walking", "going on foot"),
        "standing": ("standing still", "standing"),
        "riding": ("riding", "on the move"),
    },
    "side": {
        "left": ("on the left side of the picture", "in the left part of the image", "on the left", "to our left"),
        "middle": ("in the middle of the picture", "near the centre of the image"),
        "right": ("on the right side of the picture", "in the right part of the image", "on the right", "to our right"),
    },
    "facing": {
        "away": ("facing away from us", "seen from behind", "heading away from the camera", "showing its rear"),
        "towards": ("facing us", "seen from the front", "heading towards the camera", "showing its front"),
        "left": ("facing left", "seen from the side and pointing left", "heading to the left"),
        "right": ("facing right", "seen from the side and pointing right", "heading to the right"),
    },
    "range": {
        "near": ("close to us", "close to the camera", "not far from the camera"),
        "far": ("far away", "far down the road", "a long way off"),
    },
    "seen": {
        "whole": ("in full view", "completely visible", "not hidden by anything"),
        "cut left": ("cut off by the left edge of the picture", "only partly in the picture on the left"),
        "cut right": ("cut off by the right edge of the picture", "only partly in the picture on the right"),
    },
}
_NUMBERS = {
    "distance": (
        "about {} meters away",
        "roughly {} meters from the camera",
        "at a distance of about {} meters",
        "some {} meters from us",
    ),
    "height": ("about {:.1f} meters tall", "some {:.1f} meters high", "roughly {:.1f} meters in height"),
    "length": ("about {:.1f} meters long", "some {:.1f} meters in length", "roughly {:.1f} meters long"),
}
_HIDDEN = ("partly hidden behind a {}", "partly covered by a {}", "partly concealed by a {}")
_RELATIONS = {
    "left of": ("to the left of the {}", "further left than the {}", "left of the {}"),
    "right of": ("to the right of the {}", "further right than the {}", "right of the {}"),
    "behind": ("behind the {}", "beyond the {}", "a little farther away than the {}, and in line with it"),
    "in front of": ("in front of the {}", "between us and the {}", "nearer to us than the {}, and in line with it"),
    "next to": ("next to the {}", "close to the {}", "beside the {}"),
}
_ORDINALS = ("first", "second", "third")
_ENDS = {
    "left": (
        ("the {noun} farthest to the left", "the {noun} nearest to the left edge"),
        ("the {rank} {noun} from the left",),
    ),
    "right": (
        ("the {noun} farthest to the right", "the {noun} nearest to the right edge"),
        ("the {rank} {noun} from the right",),
    ),
    "near": (("the nearest {noun}", "the closest {noun}"), ("the {rank} nearest {noun}", "the {rank} closest {noun}")),
    "far": (
        ("the most distant {noun}", "the farthest {noun}"),
        ("the {rank} most distant {noun}", "the {rank} farthest {noun}"),
    ),
}
_REQUESTS = ("find", "look for", "locate", "please mark", "we mean", "show me", "point out")


def compose(rng: np.random.Generator, meaning: Sequence[Statement]) -> str:
    """Compose one to three sentences of about 8 to 45 words that express the statements, one of which is the noun."""
    said = dict(meaning)
    noun = _pick(rng, _NOUNS.get(said["noun"], (said["noun"],)))
    tails = [_phrase(rng, statement) for statement in meaning if statement.family not in ("noun", "colour", "order")]
    tails = [tails[k] for k in rng.permutation(len(tails))]
    named = noun
    if "colour" in said:
        if said["noun"] in ("pedestrian", "adult", "child", "cyclist"):
            named = f"{noun} {_pick(rng, ('in {}', 'wearing {}', 'dressed in {}')).format(said['colour'])}"
        else:
            named = f"{said['colour']} {noun}"
    if "order" in said:
        tails.append(_phrase(rng, Statement("order", said["order"])))
    text = _put_together(rng, named, tails)
    return text[0].upper() + text[1:]


def _put_together(rng: np.random.Generator, named: str, tails: list[str]) -> str:
    form = int(rng.integers(5))
    if form == 0 or len(tails) == 1:
        return f"the {named} is {_list(tails)}."
    if form == 1:
        return f"there is {_article(named)}. It is {_list(tails)}."
    split = int(rng.integers(1, len(tails)))
    first, rest = tails[:split], tails[split:]
    if form == 2:
        return f"the {named} that is {_list(first)} is {_list(rest)}."
    if form == 3:
        return f"{_pick(rng, _REQUESTS)} the {named} that is {_list(first)}. It is {_list(rest)}."
    return (
        f"the {_pick(rng, ('object', 'one', 'thing'))} meant is the {named}. It is {_list(first)}. It is {_list(rest)}."
    )


def _phrase(rng: np.random.Generator, statement: Statement) -> str:
    family, value = statement
    if family in _PHRASES:
        return _pick(rng, _PHRASES[family][value])
    if family in _NUMBERS:
        return _pick(rng, _NUMBERS[family]).format(value)
    if family == "bearing":
        return f"{abs(value)} degrees to the {'left' if value < 0 else 'right'} of straight ahead"
    if family == "hidden by":
        return _pick(rng, _HIDDEN).format(value)
    if family == "order":
        end, rank, noun, colour = value
        named = _coloured(rng, noun, colour)
        first, later = _ENDS[end]
        return _pick(rng, first if rank == 1 else later).format(rank=_ORDINALS[rank - 1], noun=named)
    return _pick(rng, _RELATIONS[family]).format(_coloured(rng, *value))


def _coloured(rng: np.random.Generator, noun: str, colour: str | None) -> str:
    """Return a noun with its colour before it, or for people with the colour of the clothes after it."""
    name = _pick(rng, _NOUNS.get(noun, (noun,)))
    if colour is None:
        return name
    return f"{name} in {colour}" if noun in ("pedestrian", "adult", "child", "cyclist") else f"{colour} {name}"


def _list(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' or noun.startswith('suv') else 'a'} {noun}"


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]
