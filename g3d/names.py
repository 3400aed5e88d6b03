"""Convert names and texts found in data to safe file names and safe terminal output."""

from __future__ import annotations

import hashlib
import re

MAX_FILE_NAME_BYTES = 180
"""Default length limit of `file_name`. File systems allow 255 bytes; the difference is reserved for a prefix, a number
and a suffix."""

_DIGEST_DIGITS = 32
# Control characters, line and paragraph separators, characters that reorder the text after them, and surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def file_name(name: str, max_bytes: int = MAX_FILE_NAME_BYTES) -> str:
    """Return a file name for a name found in data. Different names give different file names.

    Letters and digits of every script, `_`, `-` and all dots but a leading one are kept. Every other character is
    written as `=` and two hexadecimal digits per UTF-8 byte (`a/b` becomes `a=2Fb`), so the result has no separator, no
    control character and no surrogate, and is never empty, `.` or `..`. A result that is too long keeps its beginning
    and ends with `==` and a hash of the whole name.

    Args:
        name: any text; surrogates (undecodable bytes of a file name, or `\\ud800` in JSON) are allowed.
        max_bytes: largest length in UTF-8 bytes, without the suffix that the caller appends.
    """
    parts = [_part(character, first=index == 0) for index, character in enumerate(name)]
    whole = "".join(parts) or "="
    if len(whole.encode()) <= max_bytes:
        return whole
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    room = max_bytes - _DIGEST_DIGITS - 2
    kept = []
    for part in parts:
        room -= len(part.encode())
        if room < 0:
            break
        kept.append(part)
    return "".join(kept) + "==" + digest


def _part(character: str, first: bool) -> str:
    if character.isalnum() or character in "_-" or (character == "." and not first):
        return character
    return "".join(f"={byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def shown(text: object, lines: bool = False) -> str:
    """Return a text that is safe to write to a terminal.

    Control characters (including the escape character of terminal sequences), line separators, characters that
    change the direction of writing, and surrogates are escaped as `\\x1b`, `\\n` or `\\u202e`. All other characters
    are unchanged.

    Args:
        text: a text, or an object whose `str` is shown.
        lines: keep line feeds, for texts of several lines that the program itself composes.
    """
    plain = str(text)
    return _UNSAFE.sub(_escaped_in_lines if lines else _escaped, plain)


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _escaped_in_lines(match: re.Match[str]) -> str:
    return "\n" if match.group() == "\n" else _escaped(match)
