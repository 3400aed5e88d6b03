"""File locks, and atomic creation of folders: a folder is filled under a hidden name, then renamed.

    <parent>/<name>/              complete
    <parent>/.<name>.partial/     being filled; locked while its process runs
    <parent>/.<name>.old/         the folder that is being replaced

A killed process leaves a partial folder, which the next process empties. Symbolic links at these paths are refused, and
nothing is deleted through a link.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from g3d.errors import EnvironmentProblem, InputError

log = logging.getLogger(__name__)
_warned = False


@contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `final` when the block ends.

    On an error, the folder is removed and `final` stays unchanged. If another process is filling the same folder, wait
    until it ends.

    Raises:
        EnvironmentProblem: the folder cannot be written, or the disk is full.
        InputError: the path of the folder is a symbolic link.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with partial_folder(final.parent, final.name) as folder:
                if folder is not None:
                    refuse_link(final)
                    yield folder
                    replace_folder(folder, final)
                    return
            time.sleep(0.2)
    except OSError as error:
        raise EnvironmentProblem(f"{final}: cannot be written: {error.strerror or error}") from error


@contextmanager
def partial_folder(parent: Path, name: str) -> Iterator[Path | None]:
    """Yield the empty folder `.<name>.partial`, locked by this process; None while another process holds the lock.

    The folder is removed at the end of the block, unless `replace_folder` has renamed it.

    Raises:
        EnvironmentProblem: the folder cannot be written.
        InputError: the path of the folder is a symbolic link.
    """
    folder = parent / f".{name}.partial"
    held = _open_locked(folder)
    if held is None:
        yield None
        return
    try:
        for left in folder.iterdir():  # left by a process that was killed
            discard(left)
        discard(parent / f".{name}.old")
        yield folder
    finally:
        if _is_at(held, folder):
            discard(folder)
        os.close(held)


def has_leftovers(parent: Path, name: str) -> bool:
    """Return whether a killed process has left a partial or a replaced folder of this name."""
    return any(os.path.lexists(parent / f".{name}.{what}") for what in ("partial", "old"))


def flush_files(folder: Path) -> dict[str, int]:
    """Wait until all files of a folder are on the disk; return their sizes in bytes by their path in the folder."""
    sizes = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    return sizes


def replace_folder(folder: Path, final: Path) -> None:
    """Rename a partial folder to its final name; an older folder of that name is removed.

    Raises:
        InputError: the final path is a symbolic link.
    """
    refuse_link(final)
    old = final.with_name(f".{final.name}.old")
    if final.exists():
        discard(old)
        final.rename(old)
    folder.rename(final)
    discard(old)


def refuse_link(path: Path) -> None:
    """Check that the path of an output folder is not a symbolic link.

    Raises:
        InputError: the path is a symbolic link.
    """
    if path.is_symlink():
        raise InputError(
            f"{path}: found a symbolic link, expected a folder or nothing: output is not written through links",
            "remove the link, or choose another folder with --out",
        )


def discard(path: Path) -> None:
    """Remove a file, a folder with its content, or a symbolic link without its target."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class FileLock:
    """Lock on a file, held until `release` is called or the process ends for any reason.

    The lock belongs to the process: child processes do not inherit it and do not prolong it.
    """

    def __init__(self, path: Path, what: str) -> None:
        """Take the lock. The file is created if it is missing; the process id and the host are written to it.

        Args:
            path: the file to lock.
            what: the first words of an error: "run runs/jln/a".

        Raises:
            InputError: another process holds the lock; the message names it.
            OSError: the file cannot be written.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        self._file: IO[str] | None = os.fdopen(descriptor, "r+", encoding="utf-8")
        if not _try_lock("lockf", descriptor, path):
            holder = self._file.read().strip() or "of an unknown number"
            self.release()
            raise InputError(f"{what}: process {holder} is using it", "wait until it ends, or stop it")
        self._file.truncate(0)
        self._file.write(f"{os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def release(self) -> None:
        """Release the lock. The file stays, because removing it could remove the lock of the next process."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _open_locked(folder: Path) -> int | None:
    """Return an open, locked descriptor of a folder, created if missing; None if another process holds the lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_link(folder)
        held = os.open(folder, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return None  # its owner renamed it in between
    except OSError as error:
        refuse_link(folder)
        raise EnvironmentProblem(f"{folder}: cannot be written: {error.strerror or error}") from error
    if not _try_lock("flock", held, folder):
        os.close(held)
        return None
    if not _is_at(held, folder):  # it was locked just after its owner renamed it
        os.close(held)
        return None
    return held


def _try_lock(kind: str, descriptor: int, path: Path) -> bool:
    """Return whether the lock was taken. Without locks (some network disks, Windows), warn once and return True.

    Args:
        kind: "flock" (belongs to the open file, works for folders), or "lockf" (belongs to the process).
    """
    try:
        import fcntl

        lock: Callable[[int, int], None] = getattr(fcntl, kind)
        lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN and EACCES: another process holds it
        return False
    except (ImportError, OSError) as error:
        global _warned
        if not _warned:
            _warned = True
            log.warning("%s: locks are not available here (%s): do not start the same work twice", path, error)
    return True


def _is_at(held: int, folder: Path) -> bool:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and os.path.samestat(os.fstat(held), found)
