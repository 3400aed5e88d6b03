"""Errors that the command line reports as one line and an exit code.

Any other exception is a bug: the command line exits with code 1 and a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class G3DError(Exception):
    """An error that the user can correct.

    Args:
        message: what is wrong: the file, the line or field, what was found and what was expected.
        hint: how to correct it, if that is not obvious; printed on a line of its own.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple:
        return type(self), (self.message, self.hint)  # worker processes send errors back to their parent


class InputError(G3DError):
    """A file, option or setting that cannot be used: exit code 2."""


class MissingDataError(G3DError):
    """Data that the command needs is missing: exit code 3."""

    exit_code = 3


class EnvironmentProblem(G3DError):
    """The machine or the installation cannot run the command: exit code 4."""

    exit_code = 4


class Interrupted(G3DError):
    """Ctrl-C or SIGTERM stopped the run after its state was saved: exit code 130."""

    exit_code = 130


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return a suggestion to append to an error message about an unknown name.

    Upper and lower case count as equal in the comparison.

    Args:
        word: the name that was found. There is no suggestion for a value that is not a string.
        known: the accepted names.

    Returns:
        `; did you mean 'x'?` with the nearest known name, or an empty string if no known name is similar.
    """
    names: dict[str, str] = {}
    for name in known:
        names.setdefault(name.lower(), name)
    near = difflib.get_close_matches(word.lower(), names, 1, cutoff=0.5) if isinstance(word, str) else []
    return f"; did you mean {names[near[0]]!r}?" if near else ""
