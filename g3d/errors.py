"""Errors that the command line turns into one clear line and an exit code; anything else is a bug and exits 1 with a
traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class G3DError(Exception):
    """A mistake that the user can mend.

    Args:
        message: what is wrong: the file, the line or field, what was found and what was expected.
        hint: what to do about it, if that is not obvious; printed on a line of its own.
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
    """A file, option or setting that cannot be used as it is: exit code 2."""


class MissingDataError(G3DError):
    """Something that the command needs is not there: exit code 3."""

    exit_code = 3


class EnvironmentProblem(G3DError):
    """The machine or the installation cannot do what was asked: exit code 4."""

    exit_code = 4


class Interrupted(G3DError):
    """Stopped by Ctrl-C or SIGTERM after the state was saved: exit code 130."""

    exit_code = 130


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return a suggestion to append to an error message about an unknown name.

    Upper and lower case count as equal in the comparison.

    Args:
        word: the name that was found; a value that is not text has no suggestion.
        known: the names that would have been accepted.

    Returns:
        `; did you mean 'x'?` with the nearest known name, or an empty string if no name is near.
    """
    names: dict[str, str] = {}
    for name in known:
        names.setdefault(name.lower(), name)
    near = difflib.get_close_matches(word.lower(), names, 1, cutoff=0.5) if isinstance(word, str) else []
    return f"; did you mean {names[near[0]]!r}?" if near else ""
