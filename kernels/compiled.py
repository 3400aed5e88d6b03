"""How the CPU kernels are compiled: by Numba, at their first call, once for all processes that share the cache.

`@kernel` marks a function that operators call; `@part` one that kernels of the same file call. A kernel with
parallel=True may use `prange`; it exists twice, with threads and without, and only what is called is compiled.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from g3d.errors import EnvironmentProblem

try:
    import numba
    from numba import prange
    from numba.core import event

    UNAVAILABLE = ""
except ImportError as error:  # Numba refuses a NumPy that is newer than it
    UNAVAILABLE = f"Numba cannot be imported: {error}"
    prange = range  # type: ignore[assignment,misc]

__all__ = ["Kernel", "KernelUnavailable", "cache_folder", "kernel", "part", "prange"]
log = logging.getLogger(__name__)
_LOCK_SECONDS = 120.0  # longer than any kernel takes to compile; a waiting process then compiles for itself
_lock = threading.RLock()
_parallel_process: int | None = None
_warned = False


class KernelUnavailable(EnvironmentProblem):
    """A compiled kernel cannot run on this machine; the text says why. An operator then runs as its reference."""


class Kernel:
    """A function that Numba compiles when it is first called. Calling it raises KernelUnavailable where Numba does not
    work."""

    def __init__(self, function: Callable[..., Any], parallel: bool, options: dict[str, Any]) -> None:
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.__doc__ = function.__doc__
        self._function, self._parallel, self._options = function, parallel, options
        self._compiled: dict[bool, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        threads = self._threads()
        if threads == 1:
            return self._variant(parallel=False)(*arguments)
        variant = self._variant(parallel=True)
        with _numba_threads(threads):
            return variant(*arguments)

    def serial(self, *arguments: Any) -> Any:
        """Run without threads, as where there is only one piece of work: waking them would cost more than it gives."""
        return self._variant(parallel=False)(*arguments)

    def _threads(self) -> int:
        """1 also in a process forked from one that ran threads: OpenMP ends a process that uses it again after a
        fork."""
        global _parallel_process
        threads = torch.get_num_threads() if self._parallel else 1
        if threads == 1 or _parallel_process not in (None, os.getpid()):
            return 1
        _parallel_process = os.getpid()
        return threads

    def _variant(self, parallel: bool) -> Callable[..., Any]:
        found = self._compiled.get(parallel)
        if found is None:
            with _lock:
                found = self._compiled[parallel] = self._build(parallel)
        return found

    def _build(self, parallel: bool) -> Callable[..., Any]:
        if UNAVAILABLE:
            raise KernelUnavailable(UNAVAILABLE)
        function = self._function
        if self._parallel and not parallel:  # under a name of its own: Numba's cache does not tell the two apart
            name = f"{function.__name__}_serial"
            function = types.FunctionType(function.__code__, function.__globals__, name, function.__defaults__)
            function.__qualname__ = f"{self._function.__qualname__}_serial"
            function.__module__ = self._function.__module__
        compiled = numba.njit(parallel=parallel, **self._options)(function)
        try:
            compiled.enable_caching()
            folder = Path(compiled.stats.cache_path)
        except RuntimeError:  # no folder can be written
            source = Path(function.__code__.co_filename).parent
            _warn_once(
                f"compiled kernels cannot be kept: neither {source} nor the user's cache folder can be written. "
                "Every process compiles them again; set NUMBA_CACHE_DIR to a folder that can be written."
            )
            folder = None
        compiled.compile = _announced(compiled.compile, self.name, folder)
        return compiled


def cache_folder() -> Path | None:
    """Where compiled kernels are kept: NUMBA_CACHE_DIR, else beside their source, else the user's cache, whichever can
    be written first.

    Raises:
        KernelUnavailable: Numba does not work here.
    """
    if UNAVAILABLE:
        raise KernelUnavailable(UNAVAILABLE)
    compiled = numba.njit()(_warn_once)  # any function of this room; it is never compiled
    try:
        compiled.enable_caching()
    except RuntimeError:  # no folder can be written
        return None
    folder = compiled.stats.cache_path
    return Path(folder) if folder else None


def kernel(*, parallel: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a Kernel of a function; `options` are those of numba.njit. Arithmetic is IEEE's, unfused, unless fastmath is
    given."""
    return lambda function: Kernel(function, parallel, options)


def part(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function that kernels of the same file call; `options` are those of numba.njit. It is compiled into its
    callers."""
    return (lambda function: function) if UNAVAILABLE else numba.njit(**options)


@contextmanager
def _numba_threads(threads: int) -> Iterator[None]:
    """Inside, Numba uses as many threads as PyTorch does; afterwards PyTorch's number is what it was.

    Numba would take every core, whatever OMP_NUM_THREADS or torch.set_num_threads say, and on starting its OpenMP
    threads it sets the number for the whole process: PyTorch would silently go on with more threads, and with other
    last bits in its sums.
    """
    try:
        numba.set_num_threads(min(threads, vars(numba.config)["NUMBA_NUM_THREADS"]))
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _announced(compile_: Callable[..., Any], name: str, folder: Path | None) -> Callable[..., Any]:
    """A dispatcher's `compile` that says what takes long, and that one process does while the others wait for its file.

    Two processes that write kernels of one cache at the same time could each index the other's code.
    """

    def compile_once(signature: Any) -> Any:
        with _lock, _between_processes(folder), _said(name, folder):
            try:
                return compile_(signature)
            except OSError as error:  # compiled, but not written: the dispatcher holds it now
                _warn_once(
                    f"compiled kernels cannot be kept in {folder} ({error.strerror or error}): every process compiles "
                    f"them again."
                )
                return compile_(signature)

    return compile_once


@contextmanager
def _said(name: str, folder: Path | None) -> Iterator[None]:
    """Log the first compilation inside; one that is read from the disk says nothing."""

    class Listener(event.Listener):  # type: ignore[misc]
        began = 0.0

        def on_start(self, event: Any) -> None:
            if not self.began:
                self.began = time.perf_counter()
                log.info("compiling %s for this processor (once%s)", name, f"; kept in {folder}" if folder else "")

        def on_end(self, event: Any) -> None:
            pass

    listener = Listener()
    with event.install_listener("numba:compile", listener):
        yield
    if listener.began:
        log.debug("compiled %s in %.1f s", name, time.perf_counter() - listener.began)


@contextmanager
def _between_processes(folder: Path | None) -> Iterator[None]:
    """Hold the cache folder's lock, or give up waiting for it."""
    file = _locked_file(folder) if folder is not None else None
    try:
        yield
    finally:
        if file is not None:
            file.close()  # which unlocks; so does the end of a process, however it ends


def _locked_file(folder: Path) -> IO[str] | None:
    """The folder's lock file, open and held; None where files cannot be locked (Windows, some network folders) or it
    stays taken."""
    try:
        import fcntl

        file = open(folder / "g3d.lock", "a")  # noqa: SIM115
    except (ImportError, OSError):
        return None
    give_up = time.monotonic() + _LOCK_SECONDS
    while time.monotonic() < give_up:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:
            break
    file.close()
    return None


def _warn_once(text: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        log.warning("%s", text)
