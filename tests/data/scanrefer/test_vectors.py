"""Word vectors: both forms give the same, only words in use are kept, and bad files are refused in one line."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from support.sentence_world import write_glove

from g3d.data.scanrefer.vectors import WordVectors, read_glove, read_vectors, write_vectors
from g3d.errors import InputError, MissingDataError


@pytest.mark.parametrize("name", ["glove.p", "glove.6B.txt"])
def test_only_words_in_use_and_the_special_ones_are_kept(tmp_path: Path, name: str) -> None:
    path = write_glove(tmp_path / name)
    found = read_glove(path, {"chair", "wall", "unheard"})
    assert found.words == ("chair", "eos", "pad", "sos", "unk", "wall")
    assert found.vectors.shape == (6, 6)
    assert found.vectors.dtype == np.float32
    expected = pickle.loads(write_glove(tmp_path / "again.p").read_bytes())
    assert np.array_equal(found["wall"], expected["wall"].astype(np.float32))
    assert np.array_equal(found["unheard"], expected["pad"].astype(np.float32))
    assert "unheard" not in found


def test_words_of_a_text_file_may_have_blanks(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("unk 1 2 3\npad 4 5 6\nat name 7 8 9\nof 1 1 1\n")
    found = read_glove(tmp_path / "g.txt", {"at name", "of"})
    assert found["at name"].tolist() == [7, 8, 9]


def test_stored_vectors_are_read_back(tmp_path: Path) -> None:
    vectors = WordVectors(("pad", "unk", "étagère"), np.arange(6, dtype=np.float32).reshape(3, 2))
    write_vectors(tmp_path / "v.safetensors", vectors)
    found = read_vectors(tmp_path / "v.safetensors")
    assert found.words == vectors.words
    assert np.array_equal(found.vectors, vectors.vectors)


class _Hostile:
    def __reduce__(self) -> tuple:
        return (exec, ("raise SystemExit",))


def test_a_hostile_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "glove.p"
    path.write_bytes(pickle.dumps({"unk": _Hostile()}))
    with pytest.raises(
        InputError, match=r"word vectors .*glove.p: refused: it would run code \(it names builtins.exec"
    ):
        read_glove(path, {"chair"})


@pytest.mark.parametrize("word", ["unk", "pad"])
@pytest.mark.parametrize("name", ["glove.p", "glove.txt"])
def test_a_file_without_a_special_word_is_refused(tmp_path: Path, word: str, name: str) -> None:
    path = write_glove(tmp_path / name, tuple(w for w in ("chair", "unk", "pad") if w != word))
    with pytest.raises(InputError, match=rf"word vectors .*{name}: no vector of '{word}'"):
        read_glove(path, {"chair"})


@pytest.mark.parametrize(
    ("line", "says"),
    [("chair 1 2", "found 2 numbers"), ("chair 1 2 nan", "not finite"), ("chair 1 2 x", "expected numbers")],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "g.txt"
    path.write_text(f"unk 1 2 3\npad 1 2 3\n{line}\n")
    if line == "chair 1 2":  # a shorter line has no word left
        with pytest.raises(InputError, match="line 3: found 'chair 1 2', expected a word and its 3 numbers"):
            read_glove(path, {"chair"})
        return
    with pytest.raises(InputError, match=rf"line 3: .*{says}"):
        read_glove(path, {"chair"})


def test_vectors_of_two_lengths_in_a_pickle_are_refused(tmp_path: Path) -> None:
    content = {"unk": np.zeros(3), "pad": np.zeros(3), "chair": np.zeros(2)}
    (tmp_path / "glove.p").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"expected [23] finite numbers"):
        read_glove(tmp_path / "glove.p", {"chair"})


def test_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "glove.p").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(InputError, match="found list, expected a dict"):
        read_glove(tmp_path / "glove.p", {"chair"})
    (tmp_path / "v.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(InputError, match=r"v.safetensors"):
        read_vectors(tmp_path / "v.safetensors")
    with pytest.raises(MissingDataError, match="no such file"):
        read_vectors(tmp_path / "none.safetensors")
