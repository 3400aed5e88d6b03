"""Sparse convolution: out[o] = sum over offsets k of features[neighbours[k, o]] @ weight[k], over the existing sites.

One operator serves submanifold, strided and inverse convolutions; they differ in their rules (kernels/sparse_rules.py).
Output rows are computed tile by tile in the order of the sites, so that a tile's neighbours are in the cache. One
thread computes each row, so the result does not depend on the number of threads. The inner loop multiplies a few
gathered rows with a block of weights in vector registers. It is written in LLVM IR, because Numba's own loops would
keep the sums in memory.

Shapes: V_in and V_out rows, C_in and C_out channels, K offsets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, prange

intrinsic: Any
try:
    import llvmlite.binding as llvm  # type: ignore[import-untyped]
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba.core import cgutils, types
    from numba.extending import intrinsic
except ImportError:  # the kernels are then unavailable and raise when they are called
    intrinsic = lambda function: function  # noqa: E731


def reference(
    features: Tensor,
    weight: Tensor,
    neighbours: Tensor,
    order: Tensor,
    back_neighbours: Tensor,
    back_order: Tensor,
    mirrored: bool,
) -> Tensor:
    """Return the convolution (V_out, C_out) of features (V_in, C_in) with weight (K, C_in, C_out), in plain PyTorch.

    Half precision is summed in float32.
    """
    wide = torch.promote_types(features.dtype, torch.float32)
    out = torch.zeros(len(order), weight.shape[2], dtype=wide, device=features.device)
    for sources, matrix in zip(neighbours.long(), weight.to(wide), strict=True):
        columns = (sources >= 0).nonzero()[:, 0]
        out = out.index_add(0, order[columns].long(), features[sources[columns]].to(wide) @ matrix)
    return out.to(features.dtype)


def weight_gradient_reference(features: Tensor, gradient: Tensor, neighbours: Tensor, order: Tensor) -> Tensor:
    """Return the gradient of the weight (K, C_in, C_out) from features (V_in, C_in) and gradient (V_out, C_out), in
    plain PyTorch."""
    wide = torch.promote_types(features.dtype, torch.float32)
    found = []
    for sources in neighbours.long():
        columns = (sources >= 0).nonzero()[:, 0]
        found.append(features[sources[columns]].to(wide).T @ gradient[order[columns].long()].to(wide))
    return torch.stack(found).to(features.dtype)


def _vector_lanes() -> int:
    """Return the number of float32 lanes in a vector register: 16 with AVX-512, else (or if unknown) 8."""
    try:
        return 16 if llvm.get_host_cpu_features().get("avx512f") else 8
    except (NameError, RuntimeError):
        return 8


LANES = _vector_lanes()
COLUMNS = 2 * LANES  # columns of a block of sums
ROWS = (
    LANES // 2
)  # rows of a block: its sums use 2 * ROWS of the 32 (16) registers, enough to hide the latency of multiply-add


def _sum_block(builder: Any, sums: list[Any], count: Any, operands: Callable[[Any], tuple[list[Any], Any]]) -> None:
    """Emit a loop over i below `count` (at least 1) that adds scalar[r] * vector to block row r, kept in registers.

    `sums` points to the block's ROWS rows of COLUMNS floats; `operands(i)` returns pointers to the ROWS scalars and to
    COLUMNS floats.
    """
    vector_type = ir.VectorType(ir.FloatType(), LANES)
    unset, first_lane = (
        ir.Constant(vector_type, ir.Undefined),
        ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES),
    )
    signature = ir.FunctionType(vector_type, [vector_type] * 3)
    multiply_add = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fmuladd.v{LANES}f32")
    halves = [[_vector_at(builder, row, LANES * half) for half in range(2)] for row in sums]
    before = [[builder.load(pointer, align=4) for pointer in row] for row in halves]
    entry, loop, done = builder.block, builder.append_basic_block("sum"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(ir.IntType(64))
    running = [[builder.phi(vector_type) for _ in row] for row in halves]
    scalars, vector = operands(i)
    vectors = [builder.load(_vector_at(builder, vector, LANES * half), align=4) for half in range(2)]
    after = []
    for pointer, row in zip(scalars, running, strict=True):
        one = builder.insert_element(unset, builder.load(pointer), _constant(0, 32))
        same = builder.shuffle_vector(one, unset, first_lane)
        after.append(
            [builder.call(multiply_add, [same, part, total]) for part, total in zip(vectors, row, strict=True)]
        )
    following = builder.add(i, _constant(1))
    for phi, first, last in [(i, _constant(0), following), *_flat(running, before, after)]:
        phi.add_incoming(first, entry)
        phi.add_incoming(last, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
    builder.position_at_end(done)
    for pointer, total, _ in _flat(halves, after, after):
        builder.store(total, pointer, align=4)


def _flat(*grids: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [items for rows in zip(*grids, strict=True) for items in zip(*rows, strict=True)]


def _constant(value: int, bits: int = 64) -> Any:
    return ir.Constant(ir.IntType(bits), value)


def _vector_at(builder: Any, base: Any, offset: int) -> Any:
    return builder.bitcast(builder.gep(base, [_constant(offset)]), ir.VectorType(ir.FloatType(), LANES).as_pointer())


def _row(builder: Any, array: Any, row: Any, column: Any) -> Any:
    """Emit a pointer to array[row, column]."""
    width = builder.extract_value(array.shape, 1)
    return builder.gep(array.data, [builder.add(builder.mul(row, width), column)])


def _number(builder: Any, array: Any, at: Any) -> Any:
    return builder.sext(builder.load(builder.gep(array.data, [at])), ir.IntType(64))


@intrinsic
def multiply_rows(typing, features, weights, sums, sources, targets, first, column):  # type: ignore[no-untyped-def]
    """Add features[sources] @ weights, with weights a (C_in, COLUMNS) block, to sums[targets, column:][:COLUMNS] for
    the ROWS pairs from `first` on."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, w, s, source, target = _arrays(context, builder, signature, arguments, 5)
        at, begin = arguments[5:]
        pairs = [builder.add(at, _constant(r)) for r in range(ROWS)]
        rows = [_row(builder, x, _number(builder, source, pair), _constant(0)) for pair in pairs]
        blocks = [_row(builder, s, _number(builder, target, pair), begin) for pair in pairs]

        def operands(i: Any) -> tuple[list[Any], Any]:
            return [builder.gep(row, [i]) for row in rows], _row(builder, w, i, _constant(0))

        _sum_block(builder, blocks, builder.extract_value(x.shape, 1), operands)
        return context.get_dummy_value()

    return types.void(features, weights, sums, sources, targets, types.int64, types.int64), emit


@intrinsic
def add_outer(typing, features, gradients, sums, sources, targets, count, channel, column):  # type: ignore[no-untyped-def]
    """Add features[sources[:count], channel:][:, :ROWS].T @ gradients[targets[:count], column:][:, :COLUMNS] to the
    (ROWS, COLUMNS) block of `sums` at (channel, column)."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, g, s, source, target = _arrays(context, builder, signature, arguments, 5)
        pairs, top, left = arguments[5:]
        blocks = [_row(builder, s, builder.add(top, _constant(r)), left) for r in range(ROWS)]

        def operands(i: Any) -> tuple[list[Any], Any]:
            row = _row(builder, x, _number(builder, source, i), top)
            return [builder.gep(row, [_constant(r)]) for r in range(ROWS)], _row(
                builder, g, _number(builder, target, i), left
            )

        _sum_block(builder, blocks, pairs, operands)
        return context.get_dummy_value()

    return types.void(features, gradients, sums, sources, targets, types.int64, types.int64, types.int64), emit


def _arrays(context: Any, builder: Any, signature: Any, arguments: Any, count: int) -> list[Any]:
    return [context.make_array(signature.args[n])(context, builder, arguments[n]) for n in range(count)]


@kernel(parallel=True)
def cpu(features: np.ndarray, weights: np.ndarray, neighbours: np.ndarray, order: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (V_out, C_out). `weights` (K, blocks, C_in, COLUMNS) holds the zero-padded columns of each offset's
    matrix."""
    offsets, rows = neighbours.shape
    blocks = weights.shape[1]
    tile = max(64, min(512, 32768 // (blocks * COLUMNS)))  # its sums fit into the L2 cache beside a matrix
    for number in prange((rows + tile - 1) // tile):
        begin = number * tile
        height = min(tile, rows - begin)
        sums = np.zeros((tile + 1, blocks * COLUMNS), np.float32)  # the last row receives the padding pairs
        sources, targets = np.empty(tile + ROWS, np.int32), np.empty(tile + ROWS, np.int32)
        for k in range(offsets):
            pairs = 0
            for j in range(height):  # branch-free: the next pair overwrites a missing one
                sources[pairs], targets[pairs] = neighbours[k, begin + j], j
                pairs += neighbours[k, begin + j] >= 0
            for pair in range(pairs, pairs + ROWS):
                sources[pair], targets[pair] = sources[0], tile
            for block in range(blocks):
                for first in range(0, pairs, ROWS):
                    multiply_rows(features, weights[k, block], sums, sources, targets, first, block * COLUMNS)
        for j in range(height):
            row = order[begin + j]
            for channel in range(out.shape[1]):
                out[row, channel] = sums[j, channel]


@kernel(parallel=True)
def weight_gradient(
    features: np.ndarray,
    gradients: np.ndarray,
    neighbours: np.ndarray,
    order: np.ndarray,
    chunk: int,
    group: int,
    partial: np.ndarray,
) -> None:
    """Fill `partial` (chunks, K, C_in, C_out), whose sum over the chunks of `chunk` output rows is the gradient.

    A thread processes `group` offsets of a chunk at a time. C_in is a multiple of ROWS, C_out a multiple of COLUMNS.
    """
    chunks, offsets, channels, columns = partial.shape
    tile = max(64, min(512, 16384 // (channels + columns)))  # its pairs' rows fit into the L1 cache
    groups = (offsets + group - 1) // group
    for task in prange(chunks * groups):
        part, first = task // groups, task % groups * group
        last, end = min(offsets, first + group), min(order.shape[0], (part + 1) * chunk)
        partial[part, first:last] = 0
        sources, targets = np.empty(tile, np.int32), np.empty(tile, np.int32)
        for begin in range(part * chunk, end, tile):
            for k in range(first, last):
                pairs = 0
                for j in range(begin, min(end, begin + tile)):
                    sources[pairs], targets[pairs] = neighbours[k, j], order[j]
                    pairs += neighbours[k, j] >= 0
                if pairs > 0:
                    for channel in range(0, channels, ROWS):
                        for column in range(0, columns, COLUMNS):
                            add_outer(features, gradients, partial[part, k], sources, targets, pairs, channel, column)
