"""Run-length coded masks: the face of kernels/mask_rle.py, in the formats of COCO (images) and BQ-Net (points).

A coded mask is its counts: int64 (R,) on the CPU, the lengths of the runs of 0 and 1 in turn, starting with zeros, column by column.
Functions take and give lists of them, so that a call handles many masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from g3d.kernels import mask_rle as kernel
from g3d.ops.registry import Operator

_WRONG = {
    kernel.BAD_CHARACTER: "holds a character that run-length codes do not have",
    kernel.CUT_OFF: "ends within a number",
    kernel.NEGATIVE: "holds a run of negative length",
}


def rle_encode(masks: Tensor) -> list[Tensor]:
    """Masks (N, H, W), bool or integers (set where not 0), on any device -> the counts of each.

    Raises:
        ValueError: another shape or dtype, or no pixels.
    """
    if masks.dim() != 3 or masks.shape[1] * masks.shape[2] == 0 or masks.is_floating_point():
        raise ValueError(f"masks: expected (N, H > 0, W > 0) bool or integers, found {tuple(masks.shape)} {masks.dtype}")
    counts, lengths = _encode(masks.cpu() if masks.dtype == torch.bool else masks.cpu() != 0)
    return list(counts.split(lengths.tolist()))


def rle_decode(counts: Sequence[Tensor], height: int, width: int) -> Tensor:
    """The counts of N masks -> bool (N, height, width).

    Raises:
        ValueError: counts are not int64 (R,), are negative, or do not sum to height * width.
    """
    flat, lengths = _checked("counts", counts, height * width)
    return _decode(flat, lengths, height, width)


def rle_to_strings(counts: Sequence[Tensor]) -> list[str]:
    """The counts of N masks -> COCO's compressed form of each.

    Raises:
        ValueError: counts are not int64 (R,), or are negative.
    """
    characters, lengths = _pack(*_checked("counts", counts, None))
    text, found, start = characters.numpy().tobytes().decode("ascii"), [], 0
    for length in lengths.tolist():
        found.append(text[start : start + length])
        start += length
    return found


def rle_from_strings(texts: Sequence[str | bytes]) -> list[Tensor]:
    """COCO's compressed form of N masks -> the counts of each.

    Raises:
        ValueError: a text is not a run-length code; says which and why.
    """
    raw = [text if isinstance(text, bytes) else text.encode() for text in texts]
    joined = bytearray(b"".join(raw))
    characters = torch.frombuffer(joined, dtype=torch.uint8) if joined else torch.zeros(0, dtype=torch.uint8)
    counts, lengths, wrong = _unpack(characters, torch.tensor([len(text) for text in raw], dtype=torch.int64))
    for k, fault in enumerate(wrong.tolist()):
        if fault:
            raise ValueError(f"mask {k}: {texts[k]!r} {_WRONG[fault]}")
    return list(counts.split(lengths.tolist()))


def rle_area(counts: Sequence[Tensor]) -> Tensor:
    """Pixels set in each of N masks, int64 (N,)."""
    return torch.stack([runs[1::2].sum() for runs in counts]) if len(counts) else torch.zeros(0, dtype=torch.int64)


def rle_boxes(counts: Sequence[Tensor], height: int) -> Tensor:
    """The box around each of N masks of a height, int64 (N, 4) x1 y1 x2 y2: x2 and y2 are one past the last pixel. Zeros for an empty mask."""
    boxes = torch.zeros(len(counts), 4, dtype=torch.int64)
    for box, runs in zip(boxes, counts, strict=True):
        ends = runs.cumsum(0)[1::2]
        used = runs[1::2] > 0
        if bool(used.any()):
            starts, last = (ends - runs[1::2])[used], ends[used] - 1
            columns, last_columns = starts // height, last // height
            whole = bool((columns != last_columns).any())  # a run that goes on in the next column
            rows = (0, height - 1) if whole else (int((starts % height).min()), int((last % height).max()))
            box.copy_(torch.tensor([int(columns[0]), rows[0], int(last_columns[-1]) + 1, rows[1] + 1]))
    return boxes


def rle_merge(counts: Sequence[Tensor], intersect: bool = False) -> Tensor:
    """The counts of the union of at least one mask, or of the intersection.

    Raises:
        ValueError: there is no mask, counts are not int64 (R,), are negative, or do not sum to the same number of pixels.
    """
    if not counts:
        raise ValueError("counts: expected at least one mask, found none")
    return _merge(*_checked("counts", counts, int(counts[0].sum())), intersect)


def rle_iou(first: Sequence[Tensor], second: Sequence[Tensor], crowd: Tensor | None = None) -> Tensor:
    """Intersection over union of N and M masks of one size, float64 (N, M); 0 where both are empty.

    Args:
        first: the counts of N masks.
        second: the counts of M masks.
        crowd: bool (M,), which of the second are groups of objects: for them, the share of the first mask that lies in the group.

    Raises:
        ValueError: counts are not int64 (R,), are negative, or do not sum to the same number of pixels; `crowd` has another shape.
    """
    pixels = int(first[0].sum()) if first else None
    common = _common(*_checked("first", first, pixels), *_checked("second", second, pixels))
    area_a, area_b = rle_area(first)[:, None], rle_area(second)[None]
    union = area_a + area_b - common
    if crowd is not None:
        if crowd.shape != (len(second),) or crowd.dtype != torch.bool:
            raise ValueError(f"crowd: expected ({len(second)},) bool, found {tuple(crowd.shape)} {crowd.dtype}")
        union = torch.where(crowd, area_a, union)
    return common.double() / union.clamp(min=1)


def rle_encode_points(mask: Tensor) -> dict[str, Any]:
    """A mask of points, bool (N,) -> {"length": N, "counts": "start length start length ..."} of its runs of 1; the first point is 1.

    Source: the mask files of BQ-Net's evaluation.
    """
    if mask.dim() != 1 or mask.dtype != torch.bool:
        raise ValueError(f"mask: expected (N,) bool, found {tuple(mask.shape)} {mask.dtype}")
    runs = kernel.run_lengths(mask.cpu())
    starts = runs.cumsum(0)[:-1:2] + 1
    pairs = torch.stack([starts, runs[1::2]], 1) if len(runs) > 1 else runs[:0]
    return {"length": len(mask), "counts": " ".join(map(str, pairs.flatten().tolist()))}


def rle_decode_points(code: dict[str, Any]) -> Tensor:
    """What rle_encode_points gives -> bool (N,).

    Raises:
        ValueError: a key is missing, or the counts are not pairs of numbers within the length.
    """
    try:
        length, numbers = int(code["length"]), [int(word) for word in str(code["counts"]).split()]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"point mask: expected length and counts, 'start length start length ...', found {code!r}"[:300]) from error
    mask = torch.zeros(max(0, length), dtype=torch.bool)
    if len(numbers) % 2:
        raise ValueError(f"point mask: expected pairs of start and length, found {len(numbers)} numbers")
    for start, run in zip(numbers[::2], numbers[1::2], strict=True):
        if start < 1 or run < 0 or start - 1 + run > length:
            raise ValueError(f"point mask: the run of {run} points from point {start} is not within points 1..{length}")
        mask[start - 1 : start - 1 + run] = True
    return mask


def _checked(name: str, counts: Sequence[Tensor], pixels: int | None) -> tuple[Tensor, Tensor]:
    """The counts one after another, and how many each mask has."""
    for k, runs in enumerate(counts):
        if runs.dim() != 1 or runs.dtype != torch.int64 or runs.device.type != "cpu" or len(runs) == 0:
            raise ValueError(f"{name}[{k}]: expected (R > 0,) int64 on cpu, found {tuple(runs.shape)} {runs.dtype} on {runs.device}")
    lengths = torch.tensor([len(runs) for runs in counts], dtype=torch.int64)
    flat = torch.cat([lengths[:0], *counts])
    if len(flat) and int(flat.min()) < 0:
        k = next(k for k, runs in enumerate(counts) if int(runs.min()) < 0)
        raise ValueError(f"{name}[{k}]: a run has the length {int(counts[k].min())}")
    if pixels is not None:
        for k, runs in enumerate(counts):
            if int(runs.sum()) != pixels:
                raise ValueError(f"{name}[{k}]: expected runs that sum to {pixels} pixels, found {int(runs.sum())}")
    return flat, lengths


def _encode_cpu(masks: Tensor) -> tuple[Tensor, Tensor]:
    pixels = masks.contiguous().view(torch.uint8).numpy()
    changes = torch.zeros(masks.shape[0], masks.shape[2], dtype=torch.int32)
    kernel.count_changes(pixels, changes.numpy())
    lengths = changes.sum(1) + 1
    counts = torch.empty(int(lengths.sum()), dtype=torch.int64)
    kernel.encode(pixels, changes.numpy(), counts.numpy())
    return counts, lengths


def _decode_cpu(counts: Tensor, lengths: Tensor, height: int, width: int) -> Tensor:
    masks = torch.zeros(len(lengths), height, width, dtype=torch.bool)
    kernel.decode(counts.numpy(), lengths.numpy(), masks.view(torch.uint8).numpy())
    return masks


def _merge_cpu(counts: Tensor, lengths: Tensor, intersect: bool) -> Tensor:
    merged, spare = torch.empty_like(counts), torch.empty_like(counts)
    return merged[: kernel.merge(counts.numpy(), lengths.numpy(), intersect, merged.numpy(), spare.numpy())].clone()


def _common_cpu(counts: Tensor, lengths: Tensor, other_counts: Tensor, other_lengths: Tensor) -> Tensor:
    found = torch.empty(len(lengths), len(other_lengths), dtype=torch.int64)
    kernel.common(counts.numpy(), lengths.numpy(), other_counts.numpy(), other_lengths.numpy(), found.numpy())
    return found


def _pack_cpu(counts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    characters, sizes = torch.empty(13 * len(counts), dtype=torch.uint8), torch.empty_like(lengths)
    kernel.pack(counts.numpy(), lengths.numpy(), characters.numpy(), sizes.numpy())
    return characters[: int(sizes.sum())].clone(), sizes


def _unpack_cpu(characters: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    counts = torch.empty(len(characters), dtype=torch.int64)
    sizes, wrong = torch.empty_like(lengths), torch.empty_like(lengths)
    written = kernel.unpack(characters.numpy(), lengths.numpy(), counts.numpy(), sizes.numpy(), wrong.numpy())
    return counts[:written].clone(), sizes, wrong


def _unknown(like: Tensor, dtype: torch.dtype = torch.int64) -> Tensor:
    """A fake (R,) whose length the masks decide."""
    return like.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=dtype)


def _example_masks() -> Tensor:
    return torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.1, 0.5, 0.9])[:, None, None]


def _example_runs() -> tuple[Tensor, Tensor]:
    return kernel.encode_reference(_example_masks())


def _operator(name: str, reference: Any, cpu: Any, fake: Any, example: Any) -> Operator:
    return Operator(name, reference=reference, cpu=cpu, cuda=None, fake=fake, example=example)


_encode = _operator(
    "rle_encode",
    kernel.encode_reference,
    _encode_cpu,
    lambda masks: (_unknown(masks), masks.new_empty(masks.shape[0], dtype=torch.int64)),
    lambda: (_example_masks(),),
)
_decode = _operator(
    "rle_decode",
    kernel.decode_reference,
    _decode_cpu,
    lambda counts, lengths, height, width: counts.new_empty((lengths.shape[0], height, width), dtype=torch.bool),
    lambda: (*_example_runs(), 20, 30),
)
_merge = _operator(
    "rle_merge",
    kernel.merge_reference,
    _merge_cpu,
    lambda counts, lengths, intersect: _unknown(counts),
    lambda: (*_example_runs(), True),
)
_common = _operator(
    "rle_common",
    kernel.common_reference,
    _common_cpu,
    lambda counts, lengths, other_counts, other_lengths: counts.new_empty((lengths.shape[0], other_lengths.shape[0])),
    lambda: (*_example_runs(), *_example_runs()),
)
_pack = _operator(
    "rle_pack",
    kernel.pack_reference,
    _pack_cpu,
    lambda counts, lengths: (_unknown(counts, torch.uint8), torch.empty_like(lengths)),
    _example_runs,
)
_unpack = _operator(
    "rle_unpack",
    kernel.unpack_reference,
    _unpack_cpu,
    lambda characters, lengths: (_unknown(characters), torch.empty_like(lengths), torch.empty_like(lengths)),
    lambda: kernel.pack_reference(*_example_runs()),
)
