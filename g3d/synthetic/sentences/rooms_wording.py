"""Wording of statements about furnishings of rooms: several phrases for each family, and forms that combine them.

All words are lower-case. A phrase may follow a noun ("the chair next to the desk") or stand in a clause ("it is next to
the desk"); some have a clause only ("when facing the door, it is on the left of the desk").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from g3d.synthetic.sentences.rooms_names import PLURAL
from g3d.synthetic.sentences.rooms_statements import Description
from g3d.synthetic.sentences.statements import Statement

Style = Literal["scanrefer", "nr3d", "sr3d"]
SPOKEN = {
    "trash can": ("trash can", "garbage can"),
    "couch": ("couch", "sofa"),
    "tv": ("tv", "television"),
    "refrigerator": ("refrigerator", "fridge"),
    "rug": ("rug", "carpet"),
    "wardrobe closet": ("wardrobe", "closet"),
    "monitor": ("monitor", "computer screen"),
    "nightstand": ("nightstand", "bedside table"),
    "gray": ("gray", "grey"),
}
"""Words for names and colours that have several."""
_PLACES = {"floor": ("on the floor", "standing on the floor"), "wall": ("on the wall", "mounted on the wall")}
_RELATIONS = {
    "on": ("on the {}", "on top of the {}", "sitting on the {}"),
    "on a": ("on {a}", "on top of {a}"),
    "next to": ("next to the {}", "right beside the {}", "close to the {}"),
    "above": ("above the {}", "over the {}"),
    "under": ("under the {}", "below the {}"),
    "in front of": ("in front of the {}", "right in front of the {}"),
}
_ORDERS = {
    "largest": ("the largest {noun}", "the biggest {noun}", "the largest of the {nouns}"),
    "smallest": ("the smallest {noun}", "the smallest of the {nouns}"),
    "tallest": ("the tallest {noun}", "the tallest of the {nouns}"),
    "highest": ("the highest {noun}", "the {noun} that {is} highest up"),
    "lowest": ("the lowest {noun}", "the {noun} that {is} lowest down"),
    "nearest": ("the {noun} closest to the {other}", "the {noun} nearest to the {other}"),
    "farthest": ("the {noun} farthest from the {other}", "the {noun} farthest away from the {other}"),
    "leftmost": ("the leftmost {noun}", "the {noun} farthest to the left"),
    "rightmost": ("the rightmost {noun}", "the {noun} farthest to the right"),
}
_BARE = {"nearest": ("closest to the {other}", "nearest to the {other}"), "farthest": ("farthest from the {other}",)}
"""Phrases of orders that follow the name of the group."""
_VIEWS = ("when facing the {}", "if you are facing the {}", "facing the {}", "looking at the {}")
_ASKED = ("pick the {}", "choose the {}", "the {}", "the {}", "you want the {}", "find the {}", "select the {}")
_WORD = re.compile(r"[a-z0-9]+|[.,]")


def compose(rng: np.random.Generator, meaning: Sequence[Statement], style: Style) -> str:
    """Return one to three sentences that express the statements, one of which is the noun.

    Args:
        rng: chooses phrases and forms.
        meaning: the statements; "noun" and "colour" make the name, every other one a phrase.
        style: of which data set the form is.
    """
    said = dict(meaning)
    voice = _Voice(rng)
    plural = said["noun"] in PLURAL
    named = (said["noun"], said.get("colour"))
    name = voice.described(named)
    parts = [_Part(voice, statement, named) for statement in meaning if statement.family not in ("noun", "colour")]
    if style != "scanrefer":
        text = _request(voice, name, parts, style)
    elif voice.rng.random() < 0.5 or not parts:
        text = _introduced(voice, name, parts, plural)
    else:
        text = _direct(voice, name, parts)
    return _agreed(text, plural)


def words_of(text: str, punctuation: bool) -> list[str]:
    """Return the words of a sentence, with or without full stops and commas as words."""
    return [word for word in _WORD.findall(text) if punctuation or word not in ".,"]


class _Voice:
    """The speaker of one sentence, who has one word for each name and colour."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.words = {name: self.choice(words) for name, words in SPOKEN.items()}

    def choice(self, options: Sequence[str]) -> str:
        """Return one of the options."""
        return options[int(self.rng.integers(len(options)))]

    def described(self, description: Description) -> str:
        """Return a name with its colour, if one is given, before it."""
        name, colour = description
        spoken = self.words.get(name, name)
        return spoken if colour is None else f"{self.words.get(colour, colour)} {spoken}"


class _Part:
    """The two forms of a phrase in a sentence about a thing with the given name and colour.

    Attributes:
        tail: words after a noun; None if the phrase cannot follow one.
        clause: a clause with the subject {it} and the verbs {is} and {has}.
        superlative: whether the phrase is true of one thing only, so that its noun takes "the" and not "a".
    """

    def __init__(self, voice: _Voice, statement: Statement, named: Description) -> None:
        family, value = statement
        self.tail: str | None = None
        self.superlative = family == "order"
        if family in ("left of", "right of", "side"):
            self.clause = _viewed(voice, family, value)
        elif family == "order":
            phrase = _ordered(voice, value, named)
            if value[0] in ("leftmost", "rightmost"):
                view = voice.choice(_VIEWS).format(voice.described(value[3]))
                self.clause = f"{view}, {{it}} {{is}} {phrase}"
            else:
                self.tail = None if phrase.startswith("the ") else phrase
                self.clause = f"{{it}} {{is}} {phrase}"
        elif family == "carries":
            carried = _with_article(voice.described(value), value[0] in PLURAL)
            self.tail, self.clause = f"with {carried} on {{top}}", f"{{it}} {{has}} {carried} on {{top}}"
        else:
            self.tail = _tail(voice, family, value)
            self.clause = "{it} {is} " + self.tail


def _tail(voice: _Voice, family: str, value: Any) -> str:
    if family == "place":
        return voice.choice(_PLACES[value])
    if family == "corner":
        return voice.choice(("in the corner of the room", "in a corner", "in the corner"))
    if family == "between":
        if isinstance(value, str):
            return f"between the two {_plural(voice.described((value, None)), value)}"
        first, second = (value[k] for k in voice.rng.permutation(2))
        return f"between the {voice.described(first)} and the {voice.described(second)}"
    name = voice.described(value)
    return voice.choice(_RELATIONS[family]).format(name, a=_with_article(name, value[0] in PLURAL))


def _ordered(voice: _Voice, value: tuple[str, str, str | None, Description | None], named: Description) -> str:
    """Return "the brown chair closest to the door"; "closest to the door" or "the one ..." if the group is named."""
    order, name, colour, other = value
    noun = voice.described((name, colour))
    landmark = "" if other is None else voice.described(other)
    repeated = (name, colour) == named
    if repeated and order in _BARE and voice.rng.random() < 0.7:
        return voice.choice(_BARE[order]).format(other=landmark)
    phrase = voice.choice(_ORDERS[order])
    if repeated and voice.rng.random() < 0.6:
        noun = "ones" if name in PLURAL else "one"
        phrase = _ORDERS[order][0]
    verb = "are" if name in PLURAL else "is"
    return phrase.format(**{"noun": noun, "nouns": _plural(noun, name), "other": landmark, "is": verb})


def _viewed(voice: _Voice, family: str, value: Any) -> str:
    """Return a clause about left or right, with the thing that is faced."""
    if family == "side":
        side, seen = value
        place = voice.choice(("on the {} side of the room", "in the {} half of the room")).format(side)
    else:
        other, seen = value
        side = family.removesuffix(" of")
        place = voice.choice(("to the {} of the {}", "on the {} of the {}", "{} of the {}"))
        place = place.format(side, voice.described(other))
    view = voice.choice(_VIEWS).format(voice.described(seen))
    return f"{view}, {{it}} {{is}} {place}" if voice.rng.random() < 0.7 else f"{{it}} {{is}} {place} {view}"


def _introduced(voice: _Voice, name: str, parts: Sequence[_Part], plural: bool) -> str:
    """Return "this is a brown chair. it is ..." and its variants."""
    article = _with_article(name, plural)
    opening = voice.choice((f"{{this}} {{is}} {article}", f"there {{is}} {article}", f"{{this}} {{is}} {article}"))
    rest = list(parts)
    if len(rest) > 1 and rest[0].tail is not None and not rest[0].superlative and voice.rng.random() < 0.5:
        opening += f" {rest.pop(0).tail}"
    clauses = [part.clause for part in rest]
    return ". ".join([opening, *_joined(voice, clauses)]) + "."


def _direct(voice: _Voice, name: str, parts: Sequence[_Part]) -> str:
    """Return "the brown chair is next to the desk. it is ..." and its variants."""
    first, rest = parts[0], list(parts[1:])
    subject = f"the {name}"
    if rest and first.tail is not None and voice.rng.random() < 0.5:
        subject += f" {first.tail}"
        first = rest.pop(0)
    opening = first.clause.replace("{it}", subject)
    return ". ".join([opening, *_joined(voice, [part.clause for part in rest])]) + "."


def _joined(voice: _Voice, clauses: Sequence[str]) -> list[str]:
    """Return the clauses, the last two of them joined or not."""
    if len(clauses) > 1 and voice.rng.random() < 0.6:
        return [*clauses[:-2], f"{clauses[-2]} and {clauses[-1]}"]
    return list(clauses)


def _request(voice: _Voice, name: str, parts: Sequence[_Part], style: Style) -> str:
    """Return "pick the chair that is ..." and its variants."""
    asked = voice.choice(_ASKED)
    if style == "sr3d":
        asked = voice.choice(("find the {}", "the {}", "select the {}", "choose the {}"))
    named = name
    clauses = [part.clause for part in parts]
    if parts and parts[0].tail is not None and voice.rng.random() < 0.7:
        named, clauses = f"{name} {parts[0].tail}", clauses[1:]
    elif parts and clauses[0].startswith("{it} "):
        named, clauses = f"{name} that{clauses[0].removeprefix('{it}')}", clauses[1:]
    return ". ".join([asked.format(named), *clauses])


def _plural(noun: str, name: str) -> str:
    if name in PLURAL:
        return noun
    if noun.endswith(("shelf", "f")):
        return noun.removesuffix("f") + "ves"
    return noun + ("es" if noun.endswith(("x", "s", "ch", "sh")) else "s")


def _with_article(noun: str, plural: bool) -> str:
    if plural:
        return f"some {noun}"
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _agreed(text: str, plural: bool) -> str:
    """Return a text with the pronouns and verbs of one thing or of several."""
    single = {"it": "it", "is": "is", "has": "has", "this": "this", "top": "it"}
    several = {"it": "they", "is": "are", "has": "have", "this": "these", "top": "them"}
    return text.format(**(several if plural else single))
