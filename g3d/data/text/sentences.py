"""Reader of text files with sentences."""

from __future__ import annotations

import re
from pathlib import Path

from g3d.data.files import read_text
from g3d.errors import InputError


def read_sentences(path: Path) -> tuple[str, ...]:
    """Return the sentences of a text file, one on each line; empty lines are skipped.

    Only LF and CRLF end a line; other Unicode line separators are part of a sentence.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is not text, has no sentence, or has a line without letters.
    """
    texts = re.split(r"\r?\n", read_text(path, "sentences"))
    lines = {number: line.strip() for number, line in enumerate(texts, 1) if line.strip()}
    if not lines:
        raise InputError(f"sentences {path}: found none, expected one on each line")
    for number, line in lines.items():
        if not any(letter.isalpha() for letter in line):
            raise InputError(f"sentences {path}: line {number}: found {line[:40]!r}, expected a sentence")
    return tuple(lines.values())
