"""Run-length coded masks over kernels/mask_rle.py, in the formats of COCO (images) and BQ-Net (points).

A coded mask is stored as its counts: int64 (R,) on the CPU, the lengths of the alternating runs of 0 and 1, starting
with zeros, column by column. Functions take and return lists of counts, so that one call handles many masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.kernels import mask_rle as kernel
from g3d.ops.registry import Operator

_WRONG = {
    kernel.BAD_CHARACTER: "holds a character that run-length codes do not have",
    kernel.CUT_OFF: "ends within a number",
    kernel.NEGATIVE: "holds a run of negative length",
}


def masks_to_strings(masks: Tensor) -> list[str]:
    """Encode masks (N, H, W), bool or integers (nonzero is set), on any device, as COCO's compressed strings.

    Raises:
        ValueError: the shape or dtype is wrong, or the masks have no pixels.
    """
    return _texts(*_pack.direct(*_encode.direct(_pixels(masks))))


def strings_to_masks(texts: Sequence[str | bytes], height: int, width: int) -> Tensor:
    """Decode N of COCO's compressed strings to masks, bool (N, height, width).

    Raises:
        ValueError: a string is not a run-length code, or its runs do not sum to height * width; the message names the
            mask and the reason.
    """
    counts, lengths = _runs(texts)
    _check_runs("mask", counts, lengths, height * width)
    return _decode.direct(counts, lengths, height, width)


def rle_encode(masks: Tensor) -> list[Tensor]:
    """Return the counts of each of the masks (N, H, W), bool or integers (nonzero is set), on any device.

    Raises:
        ValueError: the shape or dtype is wrong, or the masks have no pixels.
    """
    counts, lengths = _encode.direct(_pixels(masks))
    return list(counts.split(lengths.tolist()))


def rle_decode(counts: Sequence[Tensor], height: int, width: int) -> Tensor:
    """Decode the counts of N masks to bool (N, height, width).

    Raises:
        ValueError: counts are not int64 (R,), are negative, or do not sum to height * width.
    """
    return _decode.direct(*_joined("counts", counts, height * width), height, width)


def rle_to_strings(counts: Sequence[Tensor]) -> list[str]:
    """Return COCO's compressed string of each of N masks from their counts.

    Raises:
        ValueError: counts are not int64 (R,), or are negative.
    """
    return _texts(*_pack.direct(*_joined("counts", counts, None)))


def rle_from_strings(texts: Sequence[str | bytes]) -> list[Tensor]:
    """Return the counts of each of N masks from COCO's compressed strings.

    Raises:
        ValueError: a string is not a run-length code; the message names the mask and the reason.
    """
    counts, lengths = _runs(texts)
    return list(counts.split(lengths.tolist()))


def rle_area(counts: Sequence[Tensor]) -> Tensor:
    """Return the number of set pixels in each of N masks, int64 (N,).

    Raises:
        ValueError: counts are not int64 (R,), or are negative.
    """
    return _areas(*_joined("counts", counts, None))


def rle_boxes(counts: Sequence[Tensor], height: int) -> Tensor:
    """Return the bounding box of each of N masks of the given height, int64 (N, 4) x1 y1 x2 y2.

    x2 and y2 are one past the last pixel. The box of an empty mask is all zeros.

    Raises:
        ValueError: counts are not int64 (R,), or are negative.
    """
    flat, lengths = (held.numpy() for held in _joined("counts", counts, None))
    boxes = np.zeros((len(lengths), 4), np.int64)
    owner, is_set = _owners(lengths)
    end = flat.cumsum() - np.repeat(np.concatenate([[0], flat.cumsum()])[lengths.cumsum() - lengths], lengths)
    used = is_set & (flat > 0)
    end, flat, owner = end[used], flat[used], owner[used]
    if len(owner):
        first, last = end - flat, end - 1
        across = first // height != last // height  # the run continues in the next column
        top, bottom = np.where(across, 0, first % height), np.where(across, height - 1, last % height)
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        ends = [
            np.minimum.reduceat(first // height, starts),
            np.minimum.reduceat(top, starts),
            np.maximum.reduceat(last // height, starts) + 1,
            np.maximum.reduceat(bottom, starts) + 1,
        ]
        boxes[owner[starts]] = np.stack(ends, 1)
    return torch.from_numpy(boxes)


def rle_merge(counts: Sequence[Tensor], intersect: bool = False) -> Tensor:
    """Return the counts of the union, or of the intersection, of one or more masks.

    Raises:
        ValueError: there is no mask, counts are not int64 (R,), are negative, or do not sum to the same number of
            pixels.
    """
    if not counts:
        raise ValueError("counts: expected at least one mask, found none")
    return _merge.direct(*_joined("counts", counts, int(counts[0].sum())), intersect)


def rle_iou(first: Sequence[Tensor], second: Sequence[Tensor], crowd: Tensor | None = None) -> Tensor:
    """Return the IoU of N and M masks of one size, float64 (N, M); 0 where both masks are empty.

    Args:
        first: the counts of N masks.
        second: the counts of M masks.
        crowd: bool (M,), True for each second mask that is a group of objects: its IoU is replaced by the share of the
            first mask that the group covers.

    Raises:
        ValueError: counts are not int64 (R,), are negative, or do not sum to the same number of pixels; `crowd` has
            another shape.
    """
    pixels = int(first[0].sum()) if first else None
    a, b = _joined("first", first, pixels), _joined("second", second, pixels)
    common, area_a, area_b = _common.direct(*a, *b), _areas(*a)[:, None], _areas(*b)[None]
    union = area_a + area_b - common
    if crowd is not None:
        if crowd.shape != (len(second),) or crowd.dtype != torch.bool:
            raise ValueError(f"crowd: expected ({len(second)},) bool, found {tuple(crowd.shape)} {crowd.dtype}")
        union = torch.where(crowd, area_a, union)
    return common.double() / union.clamp(min=1)


def rle_encode_points(mask: Tensor) -> dict[str, Any]:
    """Encode a mask of points, bool (N,), as {"length": N, "counts": "start length start length ..."}.

    The pairs describe the runs of 1; points are numbered from 1.

    Raises:
        ValueError: the shape or dtype is wrong.

    Source: the mask files of BQ-Net's evaluation.
    """
    if mask.dim() != 1 or mask.dtype != torch.bool:
        raise ValueError(f"mask: expected (N,) bool, found {tuple(mask.shape)} {mask.dtype}")
    runs = kernel.run_lengths(mask.cpu())
    starts = runs.cumsum(0)[:-1:2] + 1
    pairs = torch.stack([starts, runs[1::2]], 1) if len(runs) > 1 else runs[:0]
    return {"length": len(mask), "counts": " ".join(map(str, pairs.flatten().tolist()))}


def rle_decode_points(code: dict[str, Any]) -> Tensor:
    """Decode the result of `rle_encode_points` to a mask, bool (N,).

    Raises:
        ValueError: a key is missing, or the counts are not pairs of numbers within the length.
    """
    try:
        length, numbers = int(code["length"]), [int(word) for word in str(code["counts"]).split()]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"point mask: expected length and counts, 'start length start length ...', found {code!r}"[:300]
        ) from error
    mask = torch.zeros(max(0, length), dtype=torch.bool)
    if len(numbers) % 2:
        raise ValueError(f"point mask: expected pairs of start and length, found {len(numbers)} numbers")
    for start, run in zip(numbers[::2], numbers[1::2], strict=True):
        if start < 1 or run < 0 or start - 1 + run > length:
            raise ValueError(f"point mask: the run of {run} points from point {start} is not within points 1..{length}")
        mask[start - 1 : start - 1 + run] = True
    return mask


def _pixels(masks: Tensor) -> Tensor:
    if masks.dim() != 3 or masks.shape[1] * masks.shape[2] == 0 or masks.is_floating_point():
        raise ValueError(
            f"masks: expected (N, H > 0, W > 0) bool or integers, found {tuple(masks.shape)} {masks.dtype}"
        )
    return masks.cpu() if masks.dtype == torch.bool else masks.cpu() != 0


def _texts(characters: Tensor, lengths: Tensor) -> list[str]:
    text, found, start = characters.numpy().tobytes().decode("ascii"), [], 0
    for length in lengths.tolist():
        found.append(text[start : start + length])
        start += length
    return found


def _runs(texts: Sequence[str | bytes]) -> tuple[Tensor, Tensor]:
    """Return the concatenated counts of compressed masks, and the number of counts of each mask."""
    raw = [text if isinstance(text, bytes) else text.encode() for text in texts]
    joined = bytearray(b"".join(raw))
    characters = torch.frombuffer(joined, dtype=torch.uint8) if joined else torch.zeros(0, dtype=torch.uint8)
    counts, lengths, wrong = _unpack.direct(characters, torch.tensor([len(text) for text in raw], dtype=torch.int64))
    if wrong.any():
        k = int(wrong.ne(0).to(torch.uint8).argmax())
        raise ValueError(f"mask {k}: {texts[k]!r:.80} {_WRONG[int(wrong[k])]}")
    return counts, lengths


def _joined(name: str, counts: Sequence[Tensor], pixels: int | None) -> tuple[Tensor, Tensor]:
    """Check the counts; return them concatenated, and the number of counts of each mask."""
    for k, runs in enumerate(counts):
        if runs.dim() != 1 or runs.dtype != torch.int64 or runs.is_cuda or runs.numel() == 0:
            raise ValueError(
                f"{name}[{k}]: expected (R > 0,) int64 on cpu, found {tuple(runs.shape)} {runs.dtype} on {runs.device}"
            )
    if not counts:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    flat, lengths = torch.cat(list(counts)), torch.tensor([runs.numel() for runs in counts])
    _check_runs(name, flat, lengths, pixels)
    return flat, lengths


def _check_runs(name: str, counts: Tensor, lengths: Tensor, pixels: int | None) -> None:
    """Raise ValueError if a run is negative, or if the runs of a mask do not sum to `pixels`."""
    numbers, sizes = counts.numpy(), lengths.numpy()
    if len(numbers) and numbers.min() < 0:
        k = int(np.searchsorted(sizes.cumsum(), (numbers < 0).argmax(), side="right"))
        raise ValueError(f"{name}[{k}]: a run has the length {numbers[(numbers < 0).argmax()]}")
    if pixels is not None:
        if len(numbers) and numbers.max() > pixels:  # also keeps the sums below from overflowing
            k = int(np.searchsorted(sizes.cumsum(), numbers.argmax(), side="right"))
            raise ValueError(f"{name}[{k}]: expected runs that sum to {pixels} pixels, found one of {numbers.max()}")
        sums = np.diff(np.concatenate([[0], numbers.cumsum()])[sizes.cumsum()], prepend=0)
        if (sums != pixels).any():
            k = int((sums != pixels).argmax())
            raise ValueError(f"{name}[{k}]: expected runs that sum to {pixels} pixels, found {sums[k]}")


def _owners(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each count, the index of its mask and whether it is a run of 1."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return owner, (np.arange(len(owner)) - (lengths.cumsum() - lengths)[owner]) % 2 == 1


def _areas(counts: Tensor, lengths: Tensor) -> Tensor:
    owner, is_set = _owners(lengths.numpy())
    return torch.zeros_like(lengths).index_add_(0, torch.from_numpy(owner), counts * torch.from_numpy(is_set))


def _encode_cpu(masks: Tensor) -> tuple[Tensor, Tensor]:
    changes = torch.empty(masks.shape[0], masks.shape[2], dtype=torch.int32)
    lengths = torch.empty(masks.shape[0], dtype=torch.int64)
    if masks.shape[2] % 8:
        masks = torch.nn.functional.pad(masks, (0, -masks.shape[2] % 8))
    pixels = masks.contiguous().view(torch.uint8).numpy()
    counts = torch.empty(kernel.count_changes(pixels, changes.numpy(), lengths.numpy()), dtype=torch.int64)
    kernel.encode(pixels, pixels.view(np.uint64), changes.numpy(), counts.numpy())
    return counts, lengths


def _decode_cpu(counts: Tensor, lengths: Tensor, height: int, width: int) -> Tensor:
    masks = torch.zeros(len(lengths), height, width, dtype=torch.bool)
    kernel.decode(counts.numpy(), lengths.numpy(), masks.view(torch.uint8).numpy())
    return masks


def _merge_cpu(counts: Tensor, lengths: Tensor, intersect: bool) -> Tensor:
    merged, spare = (counts.new_empty(len(counts) + 2) for _ in range(2))
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
    """Return a fake tensor (R,) whose length depends on the data."""
    return like.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=dtype)


def _example_masks() -> Tensor:
    return (
        torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.1, 0.5, 0.9])[:, None, None]
    )


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
