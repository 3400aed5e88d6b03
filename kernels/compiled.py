"""Compilation of the CPU kernels by Numba, at their first call, once for all processes that share the cache.

`@kernel` marks a function that operators call; `@part` marks a function that kernels of the same file call. A kernel
with parallel=True may use `prange`; it has a parallel and a serial variant, and only variants that are called are
compiled.
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
except ImportError as error:  # Numba rejects NumPy versions newer than it supports
    UNAVAILABLE = f"Numba cannot be imported: {error}"
    prange = range  # type: ignore[assignment,misc]

__all__ = ["Kernel", "KernelUnavailable", "cache_folder", "kernel", "part", "prange"]
log = logging.getLogger(__name__)
_LOCK_SECONDS = (
    120.0  # longer than the compilation of any kernel; a process that waits longer compiles without the lock
)
_lock = threading.RLock()
_parallel_process: int | None = None
_warned = False


class KernelUnavailable(EnvironmentProblem):
    """The error of a compiled kernel that cannot run on this machine. The operator then runs its reference."""


class Kernel:
    """A function that Numba compiles at its first call. A call raises KernelUnavailable if Numba does not work."""

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
        """Run without threads. If there is only one work item, starting threads would cost more than it saves."""
        return self._variant(parallel=False)(*arguments)

    def _threads(self) -> int:
        """Return the number of threads to use. It is 1 in a process forked from one that ran threads, because OpenMP
        terminates a process that uses it again after a fork."""
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
        if self._parallel and not parallel:  # rename it: Numba's cache does not distinguish the variants
            name = f"{function.__name__}_serial"
            function = types.FunctionType(function.__code__, function.__globals__, name, function.__defaults__)
            function.__qualname__ = f"{self._function.__qualname__}_serial"
            function.__module__ = self._function.__module__
        compiled = numba.njit(parallel=parallel, **self._options)(function)
        try:
            compiled.enable_caching()
            folder = Path(compiled.stats.cache_path)
        except RuntimeError:  # no folder is writable
            source = Path(function.__code__.co_filename).parent
            _warn_once(
                f"compiled kernels cannot be kept: neither {source} nor the user's cache folder can be written. "
                "Every process compiles them again; set NUMBA_CACHE_DIR to a folder that can be written."
            )
            folder = None
        compiled.compile = _announced(compiled.compile, self.name, folder)
        return compiled


def cache_folder() -> Path | None:
    """Return the folder of compiled kernels: the first writable one of NUMBA_CACHE_DIR, the folder of their source and
    the user's cache, or None if none is writable.

    Raises:
        KernelUnavailable: Numba does not work here.
    """
    if UNAVAILABLE:
        raise KernelUnavailable(UNAVAILABLE)
    compiled = numba.njit()(_warn_once)  # any function of this package works; it is never compiled
    try:
        compiled.enable_caching()
    except RuntimeError:  # no folder is writable
        return None
    folder = compiled.stats.cache_path
    return Path(folder) if folder else None


def kernel(*, parallel: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """Return a decorator that makes a Kernel of a function; `options` are passed to numba.njit. Arithmetic follows IEEE
    754 without fused operations unless fastmath is set."""
    return lambda function: Kernel(function, parallel, options)


def part(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator for a function that kernels of the same file call; `options` are passed to numba.njit. The
    function is compiled as part of its callers."""
    return (lambda function: function) if UNAVAILABLE else numba.njit(**options)


@contextmanager
def _numba_threads(threads: int) -> Iterator[None]:
    """Make Numba use `threads` threads in this block; afterwards restore PyTorch's thread count.

    Numba would use every core and ignore OMP_NUM_THREADS and torch.set_num_threads. When it starts its OpenMP threads,
    it also sets the thread count of the whole process: PyTorch would silently continue with more threads, and its sums
    would differ in their last bits.
    """
    try:
        numba.set_num_threads(min(threads, vars(numba.config)["NUMBA_NUM_THREADS"]))
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _announced(compile_: Callable[..., Any], name: str, folder: Path | None) -> Callable[..., Any]:
    """Wrap a dispatcher's `compile` so that it logs and so that one process compiles while the others wait.

    Two processes that write kernels to one cache at the same time could each index the other's code.
    """

    def compile_once(signature: Any) -> Any:
        with _lock, _between_processes(folder), _said(name, folder):
            try:
                return compile_(signature)
            except OSError as error:  # compiled but not written: the dispatcher holds the code now
                _warn_once(
                    f"compiled kernels cannot be kept in {folder} ({error.strerror or error}): every process compiles "
                    f"them again."
                )
                return compile_(signature)

    return compile_once


@contextmanager
def _said(name: str, folder: Path | None) -> Iterator[None]:
    """Log the first compilation in this block. A kernel that is read from the cache is not logged."""

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
    """Hold the cache folder's lock during this block; continue without it if it stays taken."""
    file = _locked_file(folder) if folder is not None else None
    try:
        yield
    finally:
        if file is not None:
            file.close()  # this releases the lock, as does any end of the process


def _locked_file(folder: Path) -> IO[str] | None:
    """Open and lock the folder's lock file. Return None if files cannot be locked (Windows, some network folders) or
    the lock stays taken."""
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
