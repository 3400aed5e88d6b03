"""Files of sentences."""

from __future__ import annotations

import re
from pathlib import Path

from g3d.data.files import read_text
from g3d.errors import InputError


def read_sentences(path: Path) -> tuple[str, ...]:
    """Return the sentences of a text file, one on each line; empty lines are skipped.

    Only LF and CRLF end a line: other characters that Unicode counts as line ends belong to their sentence.

    Raises:
        MissingDataError: no such file.
        InputError: not text, no sentence in it, or a line without words.
    """
    texts = re.split(r"\r?\n", read_text(path, "sentences"))
    lines = {number: line.strip() for number, line in enumerate(texts, 1) if line.strip()}
    if not lines:
        raise InputError(f"sentences {path}: found none, expected one on each line")
    for number, line in lines.items():
        if not any(letter.isalpha() for letter in line):
            raise InputError(f"sentences {path}: line {number}: found {line[:40]!r}, expected a sentence")
    return tuple(lines.values())
