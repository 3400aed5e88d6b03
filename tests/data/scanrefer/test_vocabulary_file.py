"""WS-3DVG's vocabulary file is read with its numbers checked; sentences are split into words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import paths

from g3d.data.scanrefer.sentences import SPECIAL_WORDS, words_of
from g3d.data.scanrefer.vocabulary_file import read_vocabulary
from g3d.errors import InputError, MissingDataError

NUMBERS = {word: number for number, word in enumerate((*SPECIAL_WORDS, "the", "chair"))}


def test_words_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "scanrefer_vocabulary.json"
    file.write_text(json.dumps({"word2idx": dict(reversed(NUMBERS.items())), "idx2word": {}}))
    assert list(read_vocabulary(file).items()) == list(NUMBERS.items())
    with pytest.raises(MissingDataError):
        read_vocabulary(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected an object word2idx"),
        ('{"word2idx": {}}', "expected an object word2idx"),
        (json.dumps({"word2idx": {**NUMBERS, "chair": "5"}}), "word2idx.chair: found '5', expected a whole number"),
        (
            json.dumps({"word2idx": {**NUMBERS, "chair": 7}}),
            "numbers 0..5, each once; found 7 for 'chair' in place of 5",
        ),
        (json.dumps({"word2idx": {**NUMBERS, "chair": 4}}), "found 4 for 'chair' in place of 5"),
        (
            json.dumps({"word2idx": {"<unk>": 0, "<pad>": 1}}),
            "expected the first words pad_, unk, sos, eos, found <unk>",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "v.json").write_text(content)
    with pytest.raises(InputError) as error:
        read_vocabulary(tmp_path / "v.json")
    assert says in error.value.message
    assert "v.json" in error.value.message


def test_marks_and_endings_are_words_and_hyphens_join() -> None:
    assert words_of("It's the L-shaped, DARK-brown chair (left of 2 desks).") == (
        *("it", "'s", "the", "l-shaped", ",", "dark-brown", "chair", "(", "left", "of", "2", "desks", ")", "."),
    )
    assert words_of("They don\u2019t, can't, isn't.") == (
        *("they", "do", "n't", ",", "ca", "n't", ",", "is", "n't", "."),
    )
    assert words_of("  \n") == ()
    assert words_of("a_b ölbild 'x'") == ("a", "_", "b", "ölbild", "'", "x", "'")


def test_a_real_sample_has_the_words_of_its_file() -> None:
    file = paths.REAL / "referring3d" / "scanrefer_format_sample.json"
    if not file.is_file():
        pytest.skip("the real sample is not here")
    for record in json.loads(file.read_text()):
        assert list(words_of(record["description"])) == record["token"]
