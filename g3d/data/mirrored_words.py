"""Sentences about a mirrored image: left and right, east and west change places, word by word.

By word and not by substring: "bright", "upright", "leftover" and "Easter" stay. Capitals are kept (Left, LEFT). A hyphen separates words,
so "right-hand", "far-left" and "north-western" change. "right" stays where it names no side:

- after "all", and before "angle", "angles", "angled", "away", "now", "of way";
- as an adverb, "exactly": before a preposition of place or "here", "there" ("right behind the van", "right in front of us"), unless the
  word before it shows that a side is meant ("on the right behind the van", "my right", "front right", "turning right next to").

North and south, clock positions and degrees stay; "northwesterly direction of 10 degrees" becomes "northeasterly direction of 10 degrees".
"""

from __future__ import annotations

import re

_SIDES = ("", "s", "most", "hand", "handed", "ward", "wards", "side")  # left, lefts, leftmost, lefthand, ...
_POINTS = ("", "ern", "ernmost", "erly", "ward", "wards", "wardly", "bound", "side")  # east, eastern, easternmost, easterly, ...
_SWAPPED = {a + ending: b + ending for a, b in (("left", "right"), ("right", "left")) for ending in _SIDES}
_SWAPPED |= {pole + a + ending: pole + b + ending for a, b in (("east", "west"), ("west", "east"))
             for pole in ("", "north", "south", "northnorth", "southsouth") for ending in _POINTS}  # fmt: skip
_INITIALS = {"NE": "NW", "NW": "NE", "SE": "SW", "SW": "SE", "NNE": "NNW", "NNW": "NNE", "SSE": "SSW", "SSW": "SSE"}

_WORD = re.compile(r"[^\W\d_]+")
_NEVER_AFTER = {"all"}
_NEVER_BEFORE = re.compile(r"[\s-]+(?:angle[sd]?|away|now|of[\s-]+way)\b", re.IGNORECASE)
_EXACTLY_BEFORE = re.compile(
    r"\s+(?:behind|in\s+(?:front|between|the\s+middle)|next\s+to|beside|besides|by|near|ahead|above|below|beneath|under|underneath|over|on\s+top|"
    r"between|among|amid|after|before|across|opposite|against|along|alongside|adjacent|outside|inside|around|beyond|past|up|down|here|there)\b",
    re.IGNORECASE,
)
_SIDE_AFTER = re.compile(
    r"the|my|our|your|his|her|its|their|us|me|far|near|front|rear|back|top|bottom|upper|lower|middle|cent(?:er|re)|immediate|slight(?:ly)?|"
    r"hard|turn(?:s|ed|ing)?|veer(?:s|ed|ing)?|bend(?:s|ing)?|bent|curv(?:es|ed|ing)|fac(?:e|es|ed|ing)|point(?:s|ed|ing)?|"
    r"to|towards?|from|left|or|and",
    re.IGNORECASE,
)


def mirrored(sentence: str) -> str:
    """The sentence of the mirrored image; everything but the swapped words stays as it is."""
    before = ""

    def swap(match: re.Match[str]) -> str:
        nonlocal before
        word, previous = match[0], before
        before = word
        if word in _INITIALS:
            return _INITIALS[word]
        other = _SWAPPED.get(word.lower())
        if other is None or (word.lower() == "right" and not _is_side(previous, sentence[match.end() :])):
            return word
        return _like(word, other)

    return _WORD.sub(swap, sentence)


def _is_side(previous: str, rest: str) -> bool:
    """Whether "right" between a word and the rest of a sentence means a side."""
    if previous.lower() in _NEVER_AFTER or _NEVER_BEFORE.match(rest):
        return False
    return not _EXACTLY_BEFORE.match(rest) or _SIDE_AFTER.fullmatch(previous) is not None


def _like(word: str, other: str) -> str:
    """`other` with the capitals of `word`."""
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other
