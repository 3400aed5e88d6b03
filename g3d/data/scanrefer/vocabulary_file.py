"""WS-3DVG's vocabulary file `<data set>_vocabulary.json`: the numbers of the words that its teacher predicts.

{"word2idx": {"pad_": 0, "unk": 1, "sos": 2, "eos": 3, "the": 4, ...}, "idx2word": {"0": "pad_", ...}}
"""

from __future__ import annotations

import json
from pathlib import Path

from g3d.data.boundary import reading
from g3d.data.scanrefer.sentences import SPECIAL_WORDS
from g3d.errors import InputError

_FIELD = "word2idx"


def read_vocabulary(path: Path) -> dict[str, int]:
    """Return the number of each word, in the order of the numbers.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is damaged, numbers repeat or are left out, or the first words are not SPECIAL_WORDS.
    """
    with reading(path, "vocabulary", "copy it again from WS-3DVG's data/", "not valid JSON"):
        content = json.loads(path.read_bytes())
    found = content.get(_FIELD) if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found:
        raise InputError(f"vocabulary {path}: expected an object {_FIELD} of word -> number, found none")
    wrong = next((word for word, number in found.items() if type(number) is not int), None)
    if wrong is not None:
        raise InputError(f"vocabulary {path}: {_FIELD}.{wrong}: found {found[wrong]!r}, expected a whole number")
    ordered = sorted(found.items(), key=lambda entry: entry[1])
    place = next((k for k, (_, number) in enumerate(ordered) if number != k), None)
    if place is not None:
        raise InputError(
            f"vocabulary {path}: {_FIELD}: expected the numbers 0..{len(found) - 1}, each once; found "
            f"{ordered[place][1]} for {ordered[place][0]!r} in place of {place}"
        )
    if tuple(word for word, _ in ordered[: len(SPECIAL_WORDS)]) != SPECIAL_WORDS:
        raise InputError(
            f"vocabulary {path}: {_FIELD}: expected the first words {', '.join(SPECIAL_WORDS)}, found "
            f"{', '.join(word for word, _ in ordered[: len(SPECIAL_WORDS)])}"
        )
    return dict(ordered)
