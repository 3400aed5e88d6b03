"""One runner for every recipe: checks or makes many items, in worker processes where asked, and goes on past broken
ones.

A worker function takes an item and returns plain data. A G3DError that it raises makes the item broken; anything else
is a bug and ends the run.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Generic, TypeVar

from g3d.data.files import atomic_write
from g3d.errors import EnvironmentProblem, G3DError, InputError
from g3d.progress import Progress, Silent

Item = TypeVar("Item")
Result = TypeVar("Result")
MANIFEST = "manifest.json"
_SAMPLE = 2**14  # bytes


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of every item, in order: results of the good ones, errors of the broken ones."""

    good: tuple[tuple[Item, Result], ...]
    broken: tuple[tuple[Item, G3DError], ...]


def run(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    label: str,
    workers: int = 1,
    progress: Progress | None = None,
    at_once: int = 16,
) -> Outcome[Item, Result]:
    """Apply `work` to every item.

    Args:
        work: a picklable function of one item.
        items: in any number.
        label: what the progress is called.
        workers: processes; with 1 the work is done in this one.
        progress: told of every item.
        at_once: items that a process is given at a time, at most: 1 for long work, more for what takes milliseconds.

    Raises:
        EnvironmentProblem: a worker process was killed from outside.
    """
    progress = progress or Silent()
    progress.begin(label, len(items))
    good, broken = [], []
    with _mapper(min(workers, len(items)), at_once) as mapper:
        for item, result in zip(items, mapper(work, items), strict=True):
            if isinstance(result, G3DError):
                broken.append((item, result))
            else:
                good.append((item, result))
            progress.advance()
    progress.end()
    return Outcome(tuple(good), tuple(broken))


class _Guarded:
    """Returns the errors that name a broken item instead of raising them."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work

    def __call__(self, item: Any) -> Any:
        try:
            return self.work(item)
        except G3DError as error:
            return error


@contextmanager
def _mapper(workers: int, at_once: int) -> Iterator[Callable[[Callable, Sequence], Iterable]]:
    if workers <= 1:
        yield lambda work, items: map(_Guarded(work), items)
        return
    # spawned, not forked: the caller may hold threads of its own
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(workers, context, _start_worker, (stop,)) as pool:
        try:
            yield lambda work, items: pool.map(
                _InWorker(work), items, chunksize=max(1, min(at_once, len(items) // (8 * workers)))
            )
        except BrokenProcessPool:
            raise EnvironmentProblem(
                "a worker process was killed", "out of memory? try fewer --workers; what was finished is kept"
            ) from None
        except BaseException:
            stop.set()  # without it the workers would finish what they are at, which may take minutes
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker(stop: Event) -> None:
    """Leave Ctrl-C to the parent, stop when it says so, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, _interrupt)
    threading.Thread(target=_stop_when_told, args=(stop,), daemon=True).start()
    threading.Thread(target=_end_with_parent, daemon=True).start()


_at_work = _told = False  # of a worker process


class _InWorker(_Guarded):
    """In a worker process: once the parent says stop, what is being made ends as by an error, and nothing more is
    begun."""

    def __call__(self, item: Any) -> Any:
        global _at_work
        _at_work = True
        try:
            if _told:
                raise SystemExit(1)
            return super().__call__(item)
        finally:
            _at_work = False


def _interrupt(number: int, frame: object) -> None:
    if _told and _at_work:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once: it tidies up
        raise SystemExit(1)


def _stop_when_told(stop: Event) -> None:
    global _told
    stop.wait()
    _told = True
    while True:  # a signal that comes while the handler answers an earlier one does not wake a sleeping system call
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def fingerprint(files: Iterable[Path]) -> str:
    """A hash of the files' names, sizes, and content at the beginning, in the middle and at the end: it differs when
    one was replaced.

    Times of change are left out: a copy of the data is the same data.
    """
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            digest.update(f"{file.name} {size}\n".encode())
            for place in (0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)):
                opened.seek(place)
                digest.update(opened.read(_SAMPLE))
    return digest.hexdigest()


def require_space(wanted: int, folder: Path) -> int:
    """Bytes free where a folder will lie.

    Raises:
        EnvironmentProblem: fewer than are wanted.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < wanted:
        raise EnvironmentProblem(
            f"{folder}: {wanted / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            "choose another place with --out, or make room",
        )
    return free


def write_manifest(folder: Path, values: Mapping[str, Any], name: str = MANIFEST) -> None:
    """Say what a prepared folder holds; written last, so that a folder with a manifest is complete."""
    with atomic_write(folder / name) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())


def read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any] | None:
    """The manifest of a prepared folder; None where there is none.

    Raises:
        InputError: it is not JSON.
    """
    path = folder / name
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})", "delete it and run g3d prepare again") from None
    if not isinstance(values, dict):
        raise InputError(
            f"{path}: expected an object, found {type(values).__name__}", "delete it and run g3d prepare again"
        )
    return values
