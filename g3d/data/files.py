"""Reading of text files with clear errors, and atomic writing: a temporary file is written, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from g3d.data.boundary import reading
from g3d.errors import EnvironmentProblem


def read_text(path: Path | str, what: str) -> str:
    """Return the content of a UTF-8 text file, with or without a byte order mark.

    Args:
        path: the file.
        what: kind of content, the first word of an error: "calibration", "label".

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is not UTF-8 text or cannot be read.
    """
    with reading(path, what), open(path, "rb") as file:
        return file.read().decode("utf-8-sig")


@contextmanager
def atomic_write(path: Path | str, durable: bool = True) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` when the block ends.

    On an error, the temporary file is removed and `path` stays unchanged.

    Args:
        path: the file to write; missing parent folders are created.
        durable: wait until the content is on the disk. If False, a power failure may leave an incomplete file.

    Raises:
        EnvironmentProblem: the folder cannot be created or written, or the disk is full.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o666 & ~_umask())  # mkstemp creates files that only their owner may read
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise EnvironmentProblem(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def require_writable(folder: Path, option: str = "--out") -> None:
    """Check that a folder can be created or written, without creating it, so that a long run fails before its work.

    Raises:
        EnvironmentProblem: the folder cannot be created or written.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "may not be written" if there.is_dir() else "is no folder"
        raise EnvironmentProblem(
            f"{folder}: cannot be written: {there} {reason}", f"choose another folder with {option}"
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
