"""Word vectors: the published pickle `glove.p` and GloVe's text files, cut to the words in use.

    glove.p             pickle of a dict, word -> (300,) float64
    glove.*.txt         <word> <number> ... on each line, without a header

The files hold hundreds of thousands of words (about 1 GB); the sentences use a few thousand. The cut vectors are stored
as safetensors in the prepared folder, so that no training reads the large file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from g3d.data import pickles
from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.errors import InputError

UNKNOWN, PADDING = "unk", "pad"
"""Words that every file must have: replacements of hidden words, and of words without a vector."""
SPECIAL = (UNKNOWN, PADDING, "sos", "eos")
SCHEMA = "g3d.word_vectors/1"


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of some words.

    Attributes:
        words: the words, sorted.
        vectors: (W, D) float32.
    """

    words: tuple[str, ...]
    vectors: np.ndarray

    def __contains__(self, word: object) -> bool:
        return word in self._rows

    def __getitem__(self, word: str) -> np.ndarray:
        """Return the vector (D,) of a word; that of PADDING for a word without one, as published."""
        return self.vectors[self._rows.get(word, self._rows[PADDING])]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {word: row for row, word in enumerate(self.words)})

    _rows: dict[str, int] = None  # type: ignore[assignment]  # __post_init__ fills it


def read_glove(path: Path, wanted: Collection[str]) -> WordVectors:
    """Return the vectors of the wanted words and of SPECIAL that a file has.

    Args:
        path: a pickle (.p, .pkl, .pickle), or a text file.
        wanted: the words in use.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file would run code, is damaged, has vectors of several lengths or numbers that are not finite,
            or has no vector of UNKNOWN or PADDING.
    """
    needed = {*wanted, *SPECIAL}
    found = _from_pickle(path, needed) if path.suffix in (".p", ".pkl", ".pickle") else _from_text(path, needed)
    for word in (UNKNOWN, PADDING):
        if word not in found:
            raise InputError(
                f"word vectors {path}: no vector of {word!r}, which stands for "
                f"{'hidden' if word == UNKNOWN else 'unknown'} words; expected {UNKNOWN} and {PADDING} among the words"
            )
    words = tuple(sorted(found))
    return WordVectors(words, np.stack([found[word] for word in words]).astype(np.float32))


def _from_pickle(path: Path, needed: Collection[str]) -> dict[str, np.ndarray]:
    content = pickles.read(path, "word vectors")
    if not isinstance(content, dict) or not content:
        raise InputError(f"word vectors {path}: found {type(content).__name__}, expected a dict of word -> numbers")
    return _checked(path, ((repr(word), word, content[word]) for word in sorted(needed) if word in content))


def _from_text(path: Path, needed: Collection[str]) -> dict[str, np.ndarray]:
    """Return the needed vectors of a text file, which is read line by line; words may have blanks in them."""
    length = 0

    def rows() -> Iterable[tuple[str, str, Any]]:
        nonlocal length
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                parts = line.rstrip("\r\n").split(" ")
                length = length or len(parts) - 1
                word = " ".join(parts[: len(parts) - length])
                if length < 2 or not word:
                    raise InputError(
                        f"word vectors {path}: line {number}: found {line[:40].rstrip()!r}, expected a word and its "
                        f"{length or ''} numbers"
                    )
                if word in needed:
                    yield f"line {number}", word, parts[len(parts) - length :]

    with reading(path, "word vectors", problem="not a text file of words and numbers"):
        return _checked(path, rows())


def _checked(path: Path, rows: Iterable[tuple[str, str, Any]]) -> dict[str, np.ndarray]:
    """Return vectors by word after checking that all have the same length and finite numbers."""
    found: dict[str, np.ndarray] = {}
    length = None
    for place, word, values in rows:
        try:
            vector = np.asarray(values, np.float64)
        except (ValueError, TypeError) as error:
            raise InputError(f"word vectors {path}: {place}: found {error}, expected numbers") from error
        length = vector.shape if length is None else length
        if vector.ndim != 1 or vector.shape != length or not np.isfinite(vector).all():
            what = f"{vector.size} numbers" if np.isfinite(vector).all() else "a number that is not finite"
            raise InputError(
                f"word vectors {path}: {place}: found {what}, expected {length[0] if length else ''} finite numbers"
            )
        found.setdefault(word, vector)
    return found


def write_vectors(path: Path, vectors: WordVectors) -> None:
    """Write vectors; equal vectors give equal bytes.

    Raises:
        EnvironmentProblem: the file cannot be written.
    """
    about = {"schema": SCHEMA, "words": json.dumps(vectors.words, ensure_ascii=False)}
    with atomic_write(path) as file:
        file.write(save({"vectors": np.ascontiguousarray(vectors.vectors)}, about))


def read_vectors(path: Path) -> WordVectors:
    """Return the vectors that `write_vectors` has written.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is damaged, or was written by another program or version.
    """
    with reading(
        path, "word vectors", "run g3d prepare again", missing_hint="g3d prepare makes it with --vectors FILE"
    ):
        if not path.is_file():
            raise FileNotFoundError(2, "no such file", str(path))
        with safe_open(path, "numpy") as stored:
            about = stored.metadata() or {}
            if about.get("schema") != SCHEMA:
                raise InputError(f"found schema {about.get('schema')}, expected {SCHEMA}")
            words, vectors = tuple(json.loads(about["words"])), stored.get_tensor("vectors")
        if vectors.ndim != 2 or len(vectors) != len(words) or not {UNKNOWN, PADDING} <= set(words):
            raise InputError(f"{len(words)} words and vectors of shape {vectors.shape} do not fit each other")
    return WordVectors(words, vectors)
