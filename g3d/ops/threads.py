"""How many threads the Numba kernels run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch


@contextmanager
def kernel_threads() -> Iterator[None]:
    """Inside, Numba kernels use as many threads as PyTorch does; afterwards PyTorch's number is what it was.

    Numba would take every core, whatever OMP_NUM_THREADS or torch.set_num_threads say, and on starting its OpenMP threads it sets the
    number for the whole process: PyTorch would silently go on with more threads, and with other last bits in its sums.
    """
    threads = torch.get_num_threads()
    try:
        numba.set_num_threads(min(threads, vars(numba.config)["NUMBA_NUM_THREADS"]))
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
