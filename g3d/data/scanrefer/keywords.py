"""Keywords of sentences, which WS-3DVG masks: adjectives of the first sentence, and nouns after prepositions.

The published masks come from a constituency parser (Stanford PCFG, Java): a word of the first sentence is a keyword if
its path has JJ, and a word of the whole text if its path has both PP and NN. The rule here approximates this without a
parser, on the words of the file:

- Attributes: words of the first sentence that are in the list of adjectives below, or end like one (`-ish`, `-ular`,
  `-shaped`, `-colored`), or are joined by a hyphen.
- Relations: a prepositional phrase begins at a preposition and ends at a verb, a relative pronoun, or a mark other than
  a comma; `to` begins one only if no verb follows. Every word in it that is no function word, adjective, number or
  verb counts as a noun and is a keyword.

With a spaCy model, its tags take the place of the lists: JJ of the first sentence, and NN below a preposition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from g3d.errors import EnvironmentProblem

SPACY_MODEL = "en_core_web_sm"
_END = (".", "!", "?")
_MARKS = (";", ":", "(", ")", "-", "--")


def _words(text: str) -> frozenset[str]:
    """Return the words of a list that is written as text."""
    return frozenset(text.split())


ADJECTIVES = _words(
    """
    black white gray grey brown red green blue yellow orange purple pink beige tan golden gold silver dark light
    bright colorful transparent clear tall short long big large small little tiny huge wide narrow thin thick
    high low deep round square rectangular circular oval curved flat straight triangular cylindrical wooden
    metallic plastic leather glass soft hard smooth shiny modern old new empty full open closed single double
    left right front back upper lower top middle central rear first second third fourth fifth last next same
    similar different other only main adjacent nearest closest farthest furthest biggest largest smallest
    tallest shortest leftmost rightmost topmost bottommost outer inner opposite comfortable electronic digital
    typical normal regular standard large-sized skinny slim medium medium-sized cushioned padded armless
    upholstered multicolored striped reclining folded hanging mounted
    """
)
_ENDINGS = ("ish", "ular", "shaped", "colored", "coloured", "most")
PREPOSITIONS = _words(
    """
    in on at of to by with under above below beneath behind beside besides near between among against along
    across around over inside outside into onto toward towards from within without through beyond off atop
    alongside facing underneath opposite amidst like for upon
    """
)
_VERBS = _words(
    """
    is are was were be been being has have had do does did can could will would should may might must sits sit
    sitting stands stand standing lies lie lying placed located positioned situated hangs hang hanging hung
    leaning leans rests resting faces looks look looking see seen seems appears belongs used using made make
    contains holds holding goes go comes come attached mounted surrounded stacked tucked pushed pulled connected
    set choose pick find face stood enter entering entered walk walking start turn point points pointing
    """
)
_STOP = _words(
    """
    a an the this that these those it its they them their there he she his her you your i my we our us me one
    ones each every all both some any no none and or but as if so not very also just than then when while where
    which who whose what how too more most much many few several another itself because only up down here now
    about out away s 's
    """
)
_RELATIVE = frozenset(("that", "which", "who", "where", "when", "while", "whose", "because", "if"))
_NUMBERS = _words(
    """
    one two three four five six seven eight nine ten
    """
)


@dataclass(frozen=True)
class Agreement:
    """Comparison of computed with published keywords.

    Attributes:
        both, only_computed, only_published: number of words that are keywords in both or in one.
    """

    both: int = 0
    only_computed: int = 0
    only_published: int = 0

    @property
    def precision(self) -> float | None:
        """Share of the computed keywords that are published; None without computed ones."""
        computed = self.both + self.only_computed
        return self.both / computed if computed else None

    @property
    def recall(self) -> float | None:
        """Share of the published keywords that are computed; None without published ones."""
        published = self.both + self.only_published
        return self.both / published if published else None


def first_sentence(words: Sequence[str]) -> int:
    """Return the number of words up to the first full stop, included; all words if there is none."""
    return next((k + 1 for k, word in enumerate(words) if word in _END), len(words))


def attributes(words: Sequence[str]) -> tuple[int, ...]:
    """Return 0 or 1 for each word of the first sentence: 1 for an adjective."""
    return tuple(int(_is_adjective(word.lower())) for word in words[: first_sentence(words)])


def relations(words: Sequence[str]) -> tuple[int, ...]:
    """Return 0 or 1 for each word: 1 for a noun in a prepositional phrase."""
    marks, inside = [], False
    for k, word in enumerate(map(str.lower, words)):
        following = words[k + 1].lower() if k + 1 < len(words) else ""
        if word in PREPOSITIONS:
            inside = word != "to" or following not in _VERBS
            marks.append(0)
            continue
        if word in _VERBS or word in _RELATIVE or word in _END or word in _MARKS:
            inside = False
        marks.append(int(inside and _is_noun(word, following)))
    return tuple(marks)


def _is_adjective(word: str) -> bool:
    joined = "-" in word and word.replace("-", "").isalpha()
    return word in ADJECTIVES or joined or (len(word) > 5 and word.endswith(_ENDINGS))


def _is_noun(word: str, following: str) -> bool:
    if not word[:1].isalpha() or word in _STOP or word in _NUMBERS:
        return False
    if word in ("left", "right", "front", "back", "top", "bottom", "middle", "center", "side", "rear"):
        return not following[:1].isalpha() or following in _STOP or following in PREPOSITIONS  # "on the left"
    return not _is_adjective(word)


Marker = Callable[[Sequence[str]], tuple[tuple[int, ...], tuple[int, ...]]]


def marked_by_rules(words: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the marks of the relations and of the attributes of a sentence, by the lists of this file."""
    return relations(words), attributes(words)


def spacy_marker(load: Callable[[str], Any] | None = None) -> Marker:
    """Return a function like `marked_by_rules` that uses a spaCy model.

    Args:
        load: function from a model's name to the model; by default `spacy.load`.

    Raises:
        EnvironmentProblem: spaCy or its model is not installed.
    """
    try:
        import spacy
        from spacy.tokens import Doc

        model = (load or spacy.load)(SPACY_MODEL)
    except (ImportError, OSError) as error:
        raise EnvironmentProblem(
            f"--keywords spacy: spaCy and its model {SPACY_MODEL} are not installed",
            f"pip install 'g3d[spacy]' && python -m spacy download {SPACY_MODEL}, or --keywords rules",
        ) from error

    def mark(words: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return marks_of_tokens(model(Doc(model.vocab, words=list(words))), first_sentence(words))

    return mark


def marks_of_tokens(tokens: Iterable[Any], first: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the marks of tagged words: NN below a preposition (dependency `prep`) of all, JJ of the first ones.

    Args:
        tokens: words with the attributes tag_, dep_ and ancestors of spaCy's tokens.
        first: number of words of the first sentence.
    """
    kept = list(tokens)
    nouns = tuple(int(t.tag_.startswith("NN") and any(a.dep_ == "prep" for a in t.ancestors)) for t in kept)
    return nouns, tuple(int(t.tag_.startswith("JJ")) for t in kept[:first])


def agreement(computed: Iterable[Sequence[int]], published: Iterable[Sequence[int]]) -> Agreement:
    """Return the comparison of the marks of sentences; marks after the shorter of two lists count as 0."""
    both = only_computed = only_published = 0
    for found, expected in zip(computed, published, strict=True):
        ours = {k for k, mark in enumerate(found) if mark}
        theirs = {k for k, mark in enumerate(expected) if mark}
        both += len(ours & theirs)
        only_computed += len(ours - theirs)
        only_published += len(theirs - ours)
    return Agreement(both, only_computed, only_published)
