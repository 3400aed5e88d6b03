"""Check that Triton can compile and run a kernel on this machine; it needs a supported driver and a C compiler."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl

from g3d.kernels.compiled import KernelUnavailable


@triton.jit
def _add_one(values, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(values + at, tl.load(values + at) + 1)


@functools.cache
def probe() -> None:
    """Run a minimal kernel, once per process.

    Raises:
        KernelUnavailable: the kernel does not run or its result is wrong; the message holds Triton's reason.
    """
    values = torch.zeros(16, device="cuda")
    try:
        _add_one[(1,)](values, 16)
    except torch.cuda.OutOfMemoryError:
        raise
    except (
        Exception
    ) as error:  # any cause (no compiler, unknown device, broken installation) prevents all Triton kernels
        reason = str(error).strip().partition("\n")[0]
        raise KernelUnavailable(f"Triton cannot run: {type(error).__name__}: {reason}") from error
    if values.sum().item() != 16:
        raise KernelUnavailable("Triton computes wrong numbers on this device")
