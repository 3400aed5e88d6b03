"""Sentences of ScanRefer, Nr3D and Sr3D as WS-3DVG reads them: word numbers, keyword masks, classes and groups.

Source: lib/dataset.py of ZzZZCHS/WS-3DVG, which follows daveredrum/ScanRefer; for the groups also referit3d/referit3d.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

import numpy as np

from g3d.data.scannet.labels import OTHERS, SEMANTIC20_IDS, LabelTable

MAXIMUM_WORDS = 126
"""Words of a sentence that count; the rest is cut off."""
SPECIAL_WORDS = ("pad_", "unk", "sos", "eos")
"""The first words of every vocabulary."""
WORD, KEYWORD, PADDING = 0, 1, 2
"""Values of keyword masks."""
VIEW_WORDS = frozenset(
    ("front", "behind", "back", "right", "left", "facing", "leftmost", "rightmost", "looking", "across")
)
"""A sentence is view-dependent if one of its words is exactly one of these."""


_WORD = re.compile(r"n't\b|'(?:s|re|ll|ve|d|m)\b|[^\W_]+(?:-[^\W_]+)*|[^\w\s]|_")


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a sentence in lower case, as the files of ScanRefer have them.

    Marks are words of their own, and so are endings after an apostrophe: "it", "'s"; "do", "n't". Words that hyphens
    join stay whole.
    """
    plain = text.lower().replace("\u2019", "'")
    return tuple(_WORD.findall(re.sub(r"n't\b", " n't", plain)))


def vocabulary(sentences: Iterable[Sequence[str]], known: Container[str]) -> dict[str, int]:
    """Return the number of each word: the special words, then the known words by falling count.

    Words of one count keep the order of their first occurrence.

    Args:
        sentences: words of each sentence; the first MAXIMUM_WORDS count.
        known: words that have a vector.
    """
    counts = Counter(word for words in sentences for word in words[:MAXIMUM_WORDS] if word in known)
    ordered = [word for word, _ in counts.most_common() if word not in SPECIAL_WORDS]
    return {word: number for number, word in enumerate((*SPECIAL_WORDS, *ordered))}


def word_numbers(words: Sequence[str], numbers: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each word of a sentence, and whether it is in the vocabulary.

    Args:
        words: of the sentence.
        numbers: the vocabulary.

    Returns:
        (MAXIMUM_WORDS,) int64, with the number of "pad_" for unknown words and after the end; (MAXIMUM_WORDS,) bool.
    """
    ids = np.full(MAXIMUM_WORDS, numbers[SPECIAL_WORDS[0]], np.int64)
    known = np.zeros(MAXIMUM_WORDS, bool)
    for k, word in enumerate(words[:MAXIMUM_WORDS]):
        if word in numbers:
            ids[k], known[k] = numbers[word], True
    return ids, known


def keyword_mask(
    count: int,
    keywords: Sequence[int] | None,
    first_keywords: Sequence[int] | None = None,
    published: bool = False,
) -> np.ndarray:
    """Return the keyword mask of a sentence, (MAXIMUM_WORDS,) int64: WORD, KEYWORD or PADDING.

    A sentence without keyword lists has no padding either: its mask is WORD everywhere, as published.

    Args:
        count: number of words.
        keywords: 0 or 1 for each word; None if the file has no list.
        first_keywords: 0 or 1 for each word of the first sentence; None if the file has no list.
        published: the published fault. The two lists are added, so that a word in both becomes padding.
    """
    mask = np.zeros(MAXIMUM_WORDS, np.int64)
    if keywords is None:
        return mask
    for marks in (keywords, first_keywords or ()):
        cut = np.asarray(marks[:MAXIMUM_WORDS], np.int64)
        mask[: len(cut)] += cut
    if not published:
        mask = np.minimum(mask, KEYWORD)
    mask[min(count, MAXIMUM_WORDS) :] = PADDING
    return mask


def class_of_object(name: str, table: LabelTable) -> int:
    """Return WS-3DVG's class 0..17 of an object's name with `_` for spaces.

    It is the class of the name, else that of the last of its words that the table has, else OTHERS.
    """
    whole = name.replace("_", " ")
    found = next((word for word in (whole, *reversed(whole.split())) if word in table), None)
    return OTHERS if found is None else table.class_of_expression(found)


def unique_or_multiple(objects: Sequence[tuple[str, str, str]], table: LabelTable) -> list[bool]:
    """Return, for each sentence, whether its scene has several objects of its class among the described ones.

    An object has the name that its first sentence states. An unknown name is OTHERS, as in ScanRefer.

    Args:
        objects: scene, object id and object name of each sentence.
        table: the label table.
    """
    first: dict[tuple[str, str], str] = {}
    for scene, number, name in objects:
        first.setdefault((scene, number), name)
    counts = Counter((scene, table.class_of_expression(name)) for (scene, _), name in first.items())
    return [counts[scene, table.class_of_expression(name)] != 1 for scene, _, name in objects]


def unique_or_multiple_nyu40(objects: Sequence[tuple[str, str, str]], table: LabelTable) -> list[bool]:
    """Return the same as `unique_or_multiple` by the 20 benchmark classes of ScanNet, as M3DRef-CLIP counts.

    Wall and floor are classes of their own. Every other nyu40 class, and every unknown name, is one with "other
    furniture" (39). An object with several names has its first one, where the published code stops.
    """
    first: dict[tuple[str, str], str] = {}
    for scene, number, name in objects:
        first.setdefault((scene, number), name)

    def group(name: str) -> int:
        raw = name.replace("_", " ")
        nyu40 = table[raw].nyu40 if raw in table else SEMANTIC20_IDS[-1]
        return nyu40 if nyu40 in SEMANTIC20_IDS else SEMANTIC20_IDS[-1]

    counts = Counter((scene, group(name)) for (scene, _), name in first.items())
    return [counts[scene, group(name)] != 1 for scene, _, name in objects]


def view_dependent(words: Iterable[str]) -> bool:
    """Return whether a sentence depends on where its speaker stands: it has one of VIEW_WORDS."""
    return any(word in VIEW_WORDS for word in words)
