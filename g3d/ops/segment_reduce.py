"""Operators `segment_reduce` and `segment_max` over kernels/segment_reduce.py: argument checks, dispatch by device,
gradients, registration."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import segment_reduce as kernel
from g3d.ops.registry import Operator


def segment_reduce(
    values: Tensor, segments: Tensor, count: int, reduce: Literal["sum", "mean", "max"] = "sum"
) -> Tensor:
    """Return the sum, mean or maximum of the rows of each segment; differentiable.

    Args:
        values: (N, C) or (N,) floating point. Half precision is computed in float32.
        segments: (N,) int64, the segment of each row, 0 to count - 1, in any order; same device.
        count: number of segments S.
        reduce: the reduction. The gradient of a maximum goes only to the first row that attains it.

    Returns:
        (S, C) or (S,) in the dtype of `values`; 0 for a segment without rows. On a CPU the result is bit-identical for
        any number of threads.

    Raises:
        ValueError: shapes, dtypes or devices do not match; on a CPU also: a segment is not in 0 .. count - 1.

    Source: superpoint pooling, SPFormer (Sun et al. 2023) section 3.1.
    """
    if reduce == "max":
        return segment_max(values, segments, count)[0]
    if reduce not in ("sum", "mean"):
        raise ValueError(f"reduce: expected sum, mean or max, found {reduce!r}")
    _check(values, segments, count)
    result: Tensor = _sum(_wide(values), segments, count)
    if reduce == "mean":
        rows = torch.zeros(count, dtype=torch.int64, device=values.device).index_add_(
            0, segments, torch.ones_like(segments)
        )
        result = result / rows.clamp(min=1)[:, None]
    return _like(result, values)


def segment_max(values: Tensor, segments: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the maximum of each segment and the row that holds it.

    Arguments and errors are those of segment_reduce.

    Returns:
        Maxima (S, C) or (S,) in the dtype of `values`, 0 for a segment without rows, and their rows, int64 of the same
        shape: the lowest row if several hold the maximum, the first NaN if there is one, -1 for a segment without rows.
    """
    _check(values, segments, count)
    best, rows = _max(_wide(values), segments, count)
    return _like(best, values), rows if values.dim() == 2 else rows[:, 0]


def _check(values: Tensor, segments: Tensor, count: int) -> None:
    if values.dim() not in (1, 2) or not values.is_floating_point():
        raise ValueError(f"values: expected (N, C) or (N,) floating point, found {tuple(values.shape)} {values.dtype}")
    if segments.shape != values.shape[:1] or segments.dtype != torch.int64 or segments.device != values.device:
        wanted = f"({len(values)},) int64 on {values.device}"
        raise ValueError(
            f"segments: expected {wanted}, found {tuple(segments.shape)} {segments.dtype} on {segments.device}"
        )
    if count < 0:
        raise ValueError(f"count: expected 0 or more segments, found {count}")
    if segments.device.type == "cpu" and not torch.compiler.is_compiling():
        _check_range(segments, count)


def _check_range(segments: Tensor, count: int) -> None:
    if len(segments):
        least, most = (int(bound) for bound in segments.aminmax())
        if least < 0 or most >= count:
            raise ValueError(f"segments: expected 0..{count - 1}, found {least}..{most}")


def _wide(values: Tensor) -> Tensor:
    """Return the values as (N, C) float32 or float64."""
    values = values if values.dim() == 2 else values[:, None]
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def _like(result: Tensor, values: Tensor) -> Tensor:
    return (result if values.dim() == 2 else result[:, 0]).to(values.dtype)


def _cpu_sum(values: Tensor, segments: Tensor, count: int) -> Tensor:
    out = values.new_zeros(count, values.shape[1])
    segments = segments.contiguous()
    kernel.cpu_sum(values.contiguous().numpy(), segments.numpy(), _bounds(segments, count), out.numpy())
    return out


def _cpu_max(values: Tensor, segments: Tensor, count: int) -> tuple[Tensor, Tensor]:
    out = values.new_zeros(count, values.shape[1])
    rows = torch.full(out.shape, -1, dtype=torch.int64)
    segments = segments.contiguous()
    met = np.zeros(count, dtype=np.bool_)
    kernel.cpu_max(
        values.contiguous().numpy(), segments.numpy(), _bounds(segments, count), out.numpy(), rows.numpy(), met
    )
    return out, rows


def _bounds(segments: Tensor, count: int) -> np.ndarray:
    """Return the first segment of each thread's part, then `count`: int64 (P + 1,). The parts have about the same
    number of rows."""
    _check_range(
        segments, count
    )  # check again: the kernel does not check, and torch.compile skips the check before the operator
    parts = torch.get_num_threads()
    if parts == 1 or count < parts:
        return np.array([0, count])
    rows = np.bincount(segments.numpy(), minlength=count).cumsum()
    inner = np.searchsorted(rows, np.arange(1, parts) * len(segments) / parts, side="right")
    return np.concatenate([[0], inner, [count]])


def _example() -> tuple[Tensor, Tensor, int]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(200, 5, generator=draw), torch.randint(0, 17, (200,), generator=draw), 20


_sum = Operator(
    "segment_sum",
    reference=kernel.reference_sum,
    cpu=_cpu_sum,
    cuda=None,
    fake=lambda values, segments, count: values.new_empty((count, values.shape[1])),
    example=_example,
)
_max = Operator(
    "segment_max",
    reference=kernel.reference_max,
    cpu=_cpu_max,
    cuda=None,
    fake=lambda values, segments, count: (
        values.new_empty((count, values.shape[1])),
        values.new_empty((count, values.shape[1]), dtype=torch.int64),
    ),
    example=_example,
)


def _sum_setup(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _sum_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (segments,) = ctx.saved_tensors
    return grad.index_select(0, segments), None, None


def _max_setup(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.rows = len(inputs[0])


def _max_backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
    (rows,) = ctx.saved_tensors
    # A row of a channel is the maximum of at most one segment, so no gradients are summed; empty segments add 0.
    zeros = grad.new_zeros(ctx.rows, grad.shape[1])
    return (
        zeros if ctx.rows == 0 else zeros.scatter_add_(0, rows.clamp(min=0), grad.masked_fill(rows < 0, 0)),
        None,
        None,
    )


_sum.register_autograd(_sum_backward, _sum_setup)
_max.register_autograd(_max_backward, _max_setup)
