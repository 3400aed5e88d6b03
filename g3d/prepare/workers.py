"""Apply a function to many items, optionally in worker processes, and continue after broken items.

The function takes an item and returns plain data. If it raises, the item is broken: a G3DError is kept as the error of
the item, and any other exception becomes an ItemFailed, whose traceback goes to the debug log.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any, Generic, TypeVar

from g3d.errors import EnvironmentProblem, G3DError
from g3d.progress import Progress, Silent

Item = TypeVar("Item")
Result = TypeVar("Result")
_LONGEST_REASON = 200  # characters
log = logging.getLogger(__name__)


class ItemFailed(G3DError):
    """An item could not be made because of an unexpected exception: exit code 1.

    Attributes:
        trace: the traceback, for the debug log.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None, trace: str = "") -> None:
        super().__init__(message, hint)
        self.trace = trace

    def __reduce__(self) -> tuple:
        return type(self), (self.message, self.hint, self.trace)


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """Results of the good items and errors of the broken ones, each in the order of the items."""

    good: tuple[tuple[Item, Result], ...]
    broken: tuple[tuple[Item, G3DError], ...]


def apply(
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
        items: the items. The message of an unexpected error begins with the `name` of the item, or with its `str` if it
            has no name.
        label: name of the work in the progress display.
        workers: number of processes; with 1 the work is done in this process.
        progress: is advanced by one for every item.
        at_once: largest number of items that a process takes at a time: 1 for long work, more for work of milliseconds.

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
                if isinstance(result, ItemFailed):
                    log.debug("%s\n%s", result.message, result.trace)
            else:
                good.append((item, result))
            progress.advance()
    progress.end()
    return Outcome(tuple(good), tuple(broken))


class _Guarded:
    """Callable that calls a function and returns its errors instead of raising them."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work

    def __call__(self, item: Any) -> Any:
        try:
            return self.work(item)
        except G3DError as error:
            return error
        except Exception as error:  # whatever is wrong with one item must not stop the others
            text = " ".join(str(error).split())[:_LONGEST_REASON]
            reason = f"{getattr(item, 'name', item)}: {type(error).__name__}" + (f": {text}" if text else "")
            return ItemFailed(reason, "g3d --verbose shows the traceback", traceback.format_exc())


@contextmanager
def _mapper(workers: int, at_once: int) -> Iterator[Callable[[Callable, Sequence], Iterable]]:
    if workers <= 1:
        yield lambda work, items: map(_Guarded(work), items)
        return
    # spawn, not fork, because the caller may have running threads
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
            stop.set()  # otherwise the workers would finish their current items, which may take minutes
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker(stop: Event) -> None:
    """Set up a worker process: it ignores Ctrl-C, stops when the parent asks, and ends if the parent is killed."""
    signal.signal(signal.SIGINT, _interrupt)
    threading.Thread(target=_stop_when_told, args=(stop,), daemon=True).start()
    threading.Thread(target=_end_with_parent, daemon=True).start()


_at_work = _told = False  # state of a worker process: a call is running; the parent has asked it to stop


class _InWorker(_Guarded):
    """Callable that calls a function in a worker process until the parent asks it to stop.

    After the request, the running call is interrupted by SystemExit, and no other call begins.
    """

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
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # do not interrupt the clean-up of the call
        raise SystemExit(1)


def _stop_when_told(stop: Event) -> None:
    global _told
    stop.wait()
    _told = True
    while True:  # a signal that arrives while the handler handles an earlier one does not interrupt a system call
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
