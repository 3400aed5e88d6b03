"""Keywords by rules: adjectives of the first sentence, nouns after prepositions; agreement with published ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from g3d.data.scanrefer.keywords import (
    agreement,
    attributes,
    first_sentence,
    marked_by_rules,
    marks_of_tokens,
    relations,
    spacy_marker,
)
from g3d.errors import EnvironmentProblem


def chosen(text: str) -> tuple[list[str], list[str]]:
    """Return the keywords of a text: nouns after prepositions, and adjectives of the first sentence."""
    words = text.split()
    nouns, adjectives = marked_by_rules(words)
    return [w for w, m in zip(words, nouns, strict=True) if m], [
        w for w, m in zip(words, adjectives, strict=False) if m
    ]


@pytest.mark.parametrize(
    ("text", "nouns", "adjectives"),
    [
        ("a dark brown chair . it is in the corner of the room .", ["corner", "room"], ["dark", "brown"]),
        ("the chair is next to the desk , facing the tall window .", ["desk", "window"], ["next", "tall"]),
        ("it stands on the left", ["left"], ["left"]),
        ("the lamp on the left side of the bed", ["side", "bed"], ["left"]),
        ("you have to find the table that is round", [], ["round"]),
        ("there are two chairs . the round one is ours", [], []),
        ("an l-shaped couch with three cushions", ["cushions"], ["l-shaped"]),
    ],
)
def test_the_rule(text: str, nouns: list[str], adjectives: list[str]) -> None:
    assert chosen(text) == (nouns, adjectives)


def test_marks_have_the_length_of_the_words() -> None:
    words = ["a", "red", "box", ".", "on", "the", "table"]
    assert first_sentence(words) == 4
    assert (len(relations(words)), len(attributes(words))) == (7, 4)
    assert first_sentence(["a", "box"]) == 2


def test_precision_and_recall_count_words() -> None:
    found = agreement([(1, 1, 0), (0, 0)], [(1, 0, 0), (1, 0, 1)])
    assert (found.both, found.only_computed, found.only_published) == (1, 1, 2)
    assert (found.precision, found.recall) == (1 / 2, 1 / 3)
    assert agreement([(0, 0)], [(0, 0)]).precision is None


@dataclass
class Token:
    """A tagged word, with the attributes of spaCy's tokens that are read."""

    tag_: str
    dep_: str = ""
    ancestors: list[Token] = field(default_factory=list)


def test_tagged_words_are_marked_below_prepositions() -> None:
    near = Token("IN", "prep")
    of_wall = Token("NN", "pobj", [near])
    tokens = [Token("DT"), Token("JJ"), Token("NN"), near, Token("JJ", "amod", [of_wall, near]), of_wall, Token("JJ")]
    assert marks_of_tokens(tokens, 5) == ((0, 0, 0, 0, 0, 1, 0), (0, 1, 0, 0, 1))


def test_a_missing_model_is_an_error_of_the_environment() -> None:
    def missing(name: str) -> None:
        raise OSError(f"no model {name}")

    with pytest.raises(EnvironmentProblem, match=r"--keywords spacy: spaCy and its model en_core_web_sm are not"):
        spacy_marker(missing)


def test_a_model_gets_the_words_of_the_file() -> None:
    """Read a real spaCy document, whose tags and tree are given instead of predicted."""
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import Doc

    words = ["the", "red", "box", "near", "the", "wall"]

    class Model:
        vocab = spacy.blank("en").vocab

        def __call__(self, doc: Doc) -> Doc:
            assert [token.text for token in doc] == words
            heads, deps = [2, 2, 2, 2, 5, 3], ["det", "amod", "ROOT", "prep", "det", "pobj"]
            return Doc(self.vocab, words=words, tags=["DT", "JJ", "NN", "IN", "DT", "NN"], heads=heads, deps=deps)

    mark = spacy_marker(lambda name: Model())
    assert mark(words) == ((0, 0, 0, 0, 0, 1), (0, 1, 0, 0, 0, 0))
