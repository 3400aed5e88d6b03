"""Mirroring of sentences about an image: left and right, east and west are swapped, word by word.

Whole words are swapped, not substrings: "bright", "upright", "leftover" and "Easter" stay. Capitals are kept (Left,
LEFT). A hyphen separates words, so "right-hand", "far-left" and "north-western" change. "right" stays where it does not
name a side:

- after "all", and before "angle", "angles", "angled", "away", "now", "of way";
- as an adverb that means "exactly": before a preposition of place or "here", "there" ("right behind the van", "right
  in front of us"), unless the word just before it shows that a side is meant ("on the right behind the van", "my
  right", "front right", "turning right next to").

North and south, clock positions and degrees stay; "northwesterly direction of 10 degrees" becomes "northeasterly
direction of 10 degrees".
"""

from __future__ import annotations

import re

_SIDES = ("", "s", "most", "hand", "handed", "ward", "wards", "side")  # left, lefts, leftmost, lefthand, ...
_POINTS = (
    "",
    "ern",
    "ernmost",
    "erly",
    "ward",
    "wards",
    "wardly",
    "bound",
    "side",
)  # east, eastern, easternmost, easterly, ...
_SWAPPED = {a + ending: b + ending for a, b in (("left", "right"), ("right", "left")) for ending in _SIDES}
_SWAPPED |= {
    pole + a + ending: pole + b + ending
    for a, b in (("east", "west"), ("west", "east"))
    for pole in ("", "north", "south", "northnorth", "southsouth")
    for ending in _POINTS
}
_INITIALS = {"NE": "NW", "NW": "NE", "SE": "SW", "SW": "SE", "NNE": "NNW", "NNW": "NNE", "SSE": "SSW", "SSW": "SSE"}

_WORD = re.compile(r"[^\W\d_]+")
_NEVER_AFTER = re.compile(r"\ball\s+$", re.IGNORECASE)
_NEVER_BEFORE = re.compile(r"[\s-]+(?:angle[sd]?|away|now|of[\s-]+way)\b", re.IGNORECASE)
_EXACTLY_BEFORE = re.compile(
    r"\s+(?:behind|in|into|inside|on|at|next\s+to|by|near|beside|besides|alongside|adjacent|opposite|against|ahead|before|after|past|beyond|"
    r"above|below|beneath|under|underneath|over|between|among|across|along|around|outside|up|down|here|there|where|"
    r"to\s+(?:the|my|our|your)\s+(?:left|right))\b",
    re.IGNORECASE,
)
_SIDE_AFTER = re.compile(
    r"\b(?:the|my|our|your|his|her|its|their|on|at|to|towards?|far|near|front|rear|back|top|bottom|upper|lower|middle|cent(?:er|re)|"
    r"immediate|slight(?:ly)?|hard|turn(?:s|ed|ing)?|veer(?:s|ed|ing)?|bend(?:s|ing)?|bent|fac(?:e|es|ed|ing)|point(?:s|ed|ing)?)[\s-]+$",
    re.IGNORECASE,
)


def mirrored(sentence: str) -> str:
    """Return the sentence for the mirrored image; all words except the swapped ones stay unchanged."""
    return _WORD.sub(_swap, sentence)


def _swap(match: re.Match[str]) -> str:
    word, sentence = match[0], match.string
    if word in _INITIALS:
        return _INITIALS[word]
    other = _SWAPPED.get(word.lower())
    if other is None or (word.lower() == "right" and not _is_side(sentence[: match.start()], sentence[match.end() :])):
        return word
    return _like(word, other)


def _is_side(before: str, after: str) -> bool:
    """Return whether "right" between two parts of a sentence means a side."""
    if _NEVER_AFTER.search(before) or _NEVER_BEFORE.match(after):
        return False
    return not _EXACTLY_BEFORE.match(after) or _SIDE_AFTER.search(before) is not None


def _like(word: str, other: str) -> str:
    """Return `other` with the capitalisation of `word`."""
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other
