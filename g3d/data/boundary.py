"""The boundary around readers of files: whatever a file's content breaks becomes one line that names the file.

A reader checks what its format demands and raises InputError with the line or field. What it does not foresee (a
truncated archive, a value of another type, nesting that exhausts the stack) raises whatever the library underneath
raises; `reading` turns that into an InputError as well, so that no content of a file looks like a bug of g3d.
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

_BUGS = (AssertionError, ImportError, NameError)  # no content of a file raises these
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_LONGEST = 300
_DAMAGED = "damaged"


class reading:
    """Context manager in which a file is read: exceptions caused by its content become errors that name it.

    FileNotFoundError becomes a MissingDataError. Every other exception becomes an InputError of one line, chained to
    the original, so that `g3d --traceback` shows both. An InputError or MissingDataError of the reader itself passes;
    the path is prefixed if its message lacks it. Errors that no content can cause (AssertionError, ImportError,
    NameError) pass unchanged, because they are bugs or faults of the installation.

    Entering and leaving without an error costs less than a microsecond.

    Args:
        path: the file.
        what: what it holds, the first word of the message: "calibration", "label"; "" for the path alone.
        hint: what to do about a damaged file.
        problem: what is said before the reason of an exception that is not one of the known kinds.
        missing_hint: what to do about a missing file.
        expected: what the message expects where a folder is found.
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
    """Decorate a function whose first parameter is `path`, the file that it reads: its body runs in `reading`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def read(*args: Any, **options: Any) -> Any:
            path = args[0] if args else options["path"]
            with reading(path, what, hint, problem):
                return function(*args, **options)

        return cast(F, read)

    return decorate


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, cut to a readable length; its type where it has no message."""
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
    """The name of the missing file where it is not the one that was to be read."""
    name = error.filename
    other = isinstance(name, str | os.PathLike) and os.fspath(name) != path
    return f": {os.fspath(name)}" if other else ""
