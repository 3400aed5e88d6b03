"""Error boundary of the file readers: any exception that a file's content causes becomes one line with its path.

A reader checks the rules of its format and raises InputError with the line or field. Other faults (a truncated archive,
a value of another type, nesting that exhausts the stack) raise exceptions of the underlying library. `reading` turns
those into InputErrors too, so that no file content looks like a bug of g3d.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from g3d.errors import EnvironmentProblem, G3DError, InputError, MissingDataError

F = TypeVar("F", bound=Callable[..., Any])
AnyPath = str | os.PathLike[str]

_BUGS = (AssertionError, ImportError, NameError)  # a file's content never raises these
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_LONGEST = 300
_DAMAGED = "damaged"


class reading:
    """Context manager for reading a file: exceptions that its content causes become errors with the file's path.

    FileNotFoundError becomes a MissingDataError. Every other exception becomes an InputError of one line, chained to
    the original, so that `g3d --traceback` shows both. An InputError or MissingDataError of the reader itself passes;
    if its message lacks the path, the path is prefixed. Errors that no content can cause (AssertionError, ImportError,
    NameError) pass unchanged, because they are bugs or faults of the installation.

    Entering and leaving without an error costs less than a microsecond.

    Args:
        path: the file.
        what: kind of content, the first word of the message: "calibration", "label"; "" for the path alone.
        hint: advice on a damaged file.
        problem: text before the reason of an exception that is not of a known kind.
        missing_hint: advice on a missing file.
        expected: what the message expects if the path is a folder.
    """

    __slots__ = ("expected", "hint", "missing_hint", "path", "problem", "what")

    def __init__(
        self,
        path: AnyPath,
        what: str = "",
        hint: str | None = None,
        problem: str = _DAMAGED,
        missing_hint: str | None = None,
        expected: str = "a file",
    ) -> None:
        self.path = path
        self.what = what
        self.hint = hint
        self.problem = problem
        self.missing_hint = missing_hint
        self.expected = expected

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, _BUGS):
            return
        path = os.fspath(self.path)
        where = f"{self.what} {path}" if self.what else path
        if isinstance(error, G3DError):
            if isinstance(error, InputError | MissingDataError) and path not in error.message:
                error.message = f"{where}: {error.message}"
                error.args = (error.message,)
            return
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            raise EnvironmentProblem(f"{where}: cannot be read: {error.strerror}") from error
        if isinstance(error, FileNotFoundError):
            raise MissingDataError(f"{where}: no such file{_other_file(error, path)}", self.missing_hint) from error
        reason = (
            f"is a folder, expected {self.expected}"
            if isinstance(error, IsADirectoryError)
            else _reason(error, self.problem)
        )
        raise InputError(f"{where}: {reason}", self.hint) from error


def reader(what: str = "", hint: str | None = None, problem: str = _DAMAGED) -> Callable[[F], F]:
    """Decorate a reader whose first parameter is `path`, the file that it reads, so that its body runs in `reading`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def read(*args: Any, **options: Any) -> Any:
            path = args[0] if args else options["path"]
            with reading(path, what, hint, problem):
                return function(*args, **options)

        return cast(F, read)

    return decorate


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, cut after 300 characters; without a message, its type."""
    said = str(error).strip()
    line = said.splitlines()[0].strip() if said else type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _reason(error: Exception, problem: str) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        prefix = "" if problem == _DAMAGED else f"{problem}: "
        encoding = error.encoding.upper().removesuffix("-SIG")
        return f"{prefix}byte {error.start} is not text, expected {encoding}"
    if isinstance(error, MemoryError):
        return f"{problem}: its content asks for more memory than there is"
    if isinstance(error, RecursionError):
        return f"{problem}: its content is nested too deeply"
    if isinstance(error, KeyError):
        return f"{problem}: it has no entry {first_line(error)}"
    return f"{problem}: {first_line(error)}"


def _other_file(error: FileNotFoundError, path: str) -> str:
    """Return ": " and the name of the missing file if it differs from `path`, otherwise an empty text."""
    name = error.filename
    other = isinstance(name, str | os.PathLike) and os.fspath(name) != path
    return f": {os.fspath(name)}" if other else ""
