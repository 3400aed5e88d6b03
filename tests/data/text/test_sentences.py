"""Files of sentences: one on each line, where only LF and CRLF end a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from g3d.data.text.sentences import read_sentences
from g3d.errors import InputError, MissingDataError


def test_sentences_of_a_file_are_its_lines_that_are_not_empty(tmp_path: Path) -> None:
    file = tmp_path / "sentences.txt"
    file.write_bytes("\ufeffthe van\r\n\r\n  das weiße Auto \n \n".encode())
    assert read_sentences(file) == ("the van", "das weiße Auto")
    file.write_text("\n \n")
    with pytest.raises(InputError, match=r"sentences\.txt: found none"):
        read_sentences(file)
    file.write_bytes(b"the van\xff")
    with pytest.raises(InputError, match="byte 7 is not text"):
        read_sentences(file)
    with pytest.raises(MissingDataError, match="no such file"):
        read_sentences(tmp_path / "gone.txt")
    file.write_text('[\n{"a": 1},\n')
    with pytest.raises(InputError, match=r"line 1: found '\[', expected a sentence"):
        read_sentences(file)


def test_only_lf_and_crlf_end_a_line(tmp_path: Path) -> None:
    file = tmp_path / "sentences.txt"
    file.write_bytes("a car\u2028at the\x0bkerb\x0cthere\r\nthe van\n".encode())
    assert read_sentences(file) == ("a car\u2028at the\x0bkerb\x0cthere", "the van")
