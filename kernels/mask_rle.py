"""Run-length coding of masks in the format of COCO's annotations.

A mask (H, W) is read column by column, top to bottom. Its counts are the lengths of the alternating runs of 0 and 1,
starting with zeros (0 if the first pixel is set); they sum to H * W. The compressed form writes each of the first three
counts, and for each later count its difference from the count two places before, in groups of 5 bits, lowest first, one
character (48 + group) each; 32 is added if more groups follow, and the bit of value 16 of the last group is the sign.

Several masks are stored as their concatenated counts and the number of counts of each (`lengths`).
Shapes: N masks, R counts in all, T characters in all. Source: cocodataset/cocoapi, the description of its mask format.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from g3d.kernels.compiled import kernel, part

_GROUPS = 13  # groups of 5 bits in the longest number
BAD_CHARACTER, CUT_OFF, NEGATIVE = 1, 2, 3  # error codes of `unpack`


def encode_reference(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the counts int64 (R,) and lengths int64 (N,) of masks bool (N, H, W), in plain PyTorch."""
    counts = [run_lengths(mask.T.reshape(-1)) for mask in masks]
    lengths = torch.tensor([len(c) for c in counts], dtype=torch.int64)
    return torch.cat([lengths[:0], *counts]), lengths


def run_lengths(flat: Tensor) -> Tensor:
    """Return the lengths of the runs of `flat`, bool (L,), starting with zeros, int64."""
    changes = (flat[1:] != flat[:-1]).nonzero()[:, 0] + 1
    edges = torch.cat(
        [changes.new_zeros(1 + int(len(flat) > 0 and bool(flat[0]))), changes, changes.new_full((1,), len(flat))]
    )
    return edges.diff()


def decode_reference(counts: Tensor, lengths: Tensor, height: int, width: int) -> Tensor:
    """Return the masks bool (N, H, W) from counts (R,) and lengths (N,), in plain PyTorch."""
    masks = torch.zeros(len(lengths), height, width, dtype=torch.bool)
    for mask, runs in zip(masks, counts.split(lengths.tolist()), strict=True):
        mask.copy_(expanded(runs).reshape(width, height).T)
    return masks


def expanded(runs: Tensor) -> Tensor:
    """Return the pixels, bool (sum,), from the lengths of runs (R,)."""
    return torch.repeat_interleave(torch.arange(len(runs)) % 2 == 1, runs)


def merge_reference(counts: Tensor, lengths: Tensor, intersect: bool) -> Tensor:
    """Return the counts of the intersection or of the union of all masks, in plain PyTorch."""
    flat = torch.stack([expanded(runs) for runs in counts.split(lengths.tolist())])
    return run_lengths(flat.all(0) if intersect else flat.any(0))


def common_reference(counts: Tensor, lengths: Tensor, other_counts: Tensor, other_lengths: Tensor) -> Tensor:
    """Return the number of pixels common to each first and each second mask, int64 (N, M), in plain PyTorch."""
    first, second = (
        [expanded(runs) for runs in c.split(n.tolist())] for c, n in ((counts, lengths), (other_counts, other_lengths))
    )
    common = [[int((a & b).sum()) for b in second] for a in first]
    return torch.tensor(common, dtype=torch.int64).reshape(len(lengths), len(other_lengths))


def pack_reference(counts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the characters uint8 (T,) and the number of each mask's characters int64 (N,) from counts (R,) and lengths
    (N,), in plain PyTorch."""
    found = []
    for runs in counts.split(lengths.tolist()):
        text, numbers = bytearray(), runs.tolist()
        for k, number in enumerate(numbers):
            left = number - (numbers[k - 2] if k > 2 else 0)
            more = True
            while more:
                group, left = left & 31, left >> 5
                more = left != (-1 if group & 16 else 0)
                text.append(48 + group + 32 * more)
        found.append(text)
    return torch.tensor(list(b"".join(found)), dtype=torch.uint8), torch.tensor(
        [len(text) for text in found], dtype=torch.int64
    )


def unpack_reference(characters: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the counts (R,), their lengths (N,) and an error code or 0 for each text (N,), from characters (T,) and
    lengths (N,), in plain PyTorch."""
    counts: list[int] = []
    sizes, wrong = [], []
    for text in characters.split(lengths.tolist()):
        runs: list[int] = []
        number = shift = fault = 0
        for character in text.tolist():
            group = character - 48
            fault = fault or (BAD_CHARACTER if not 0 <= group < 64 or shift >= 5 * _GROUPS else 0)
            number, shift = number | (group & 31) << shift, shift + 5
            if not group & 32:
                number -= (group & 16) << (shift - 4)
                runs.append(number + (runs[-2] if len(runs) > 2 else 0))
                fault = fault or (NEGATIVE if runs[-1] < 0 else 0)
                number = shift = 0
        fault = fault or (CUT_OFF if shift else 0)
        counts += [] if fault else runs
        sizes.append(0 if fault else len(runs))
        wrong.append(fault)
    return (
        torch.tensor(counts, dtype=torch.int64),
        torch.tensor(sizes, dtype=torch.int64),
        torch.tensor(wrong, dtype=torch.int64),
    )


@kernel()
def count_changes(masks: np.ndarray, changes: np.ndarray, lengths: np.ndarray) -> int:
    """Count the changes between consecutive pixels in each column, and the resulting number of counts of each mask.

    Masks uint8 (N, H, W or more) of 0 and 1; fill `changes` int32 (N, W) and `lengths` int64 (N,); return the sum of
    the lengths.
    """
    total = 0
    for n in range(masks.shape[0]):
        mask, found = masks[n], changes[n]
        found[:] = 0
        height = mask.shape[0]
        width = np.uint32(changes.shape[1])  # unsigned, as are its indices: the loop then vectorises
        before = 0
        for x in range(width):
            found[x] += mask[0, x] != before
            before = mask[height - 1, x]
        for y in range(1, height):
            upper, lower = mask[y - 1], mask[y]
            for x in range(width):
                found[x] += upper[x] != lower[x]
        lengths[n] = 1
        for x in range(width):
            lengths[n] += found[x]
        total += lengths[n]
    return total


@kernel()
def encode(masks: np.ndarray, words: np.ndarray, changes: np.ndarray, counts: np.ndarray) -> None:
    """Fill `counts` int64 (R,) of the masks, uint8 (N, H, W of `changes` or more).

    `words` is the same memory with eight pixels per uint64. `changes` gives the positions of the counts, so that rows
    are read in memory order.
    """
    start = 0
    for n in range(masks.shape[0]):
        mask, height, width = masks[n], masks.shape[1], changes.shape[1]
        place = np.empty(masks.shape[2], np.int64)  # position of the next change of each column
        end, before = start, 0
        for x in range(width):
            place[x] = end
            end += changes[n, x]
            if mask[0, x] != before:
                counts[place[x]] = x * height
                place[x] += 1
            before = mask[height - 1, x]
        for y in range(1, height):
            upper, lower = words[n, y - 1], words[n, y]
            for word in range(np.uint32(words.shape[2])):
                if upper[word] != lower[word]:
                    for x in range(8 * np.int64(word), 8 * np.int64(word) + 8):
                        if mask[y - 1, x] != mask[y, x]:
                            counts[place[x]] = x * height + y
                            place[x] += 1
        counts[end] = height * width
        for k in range(end, start, -1):
            counts[k] -= counts[k - 1]
        start = end + 1


@kernel()
def decode(counts: np.ndarray, lengths: np.ndarray, masks: np.ndarray) -> None:
    """Fill `masks` uint8 (N, H, W), zeroed: mark the changes in each column, then accumulate them down the columns."""
    start, carried = 0, np.empty(masks.shape[2], np.uint8)
    for n in range(masks.shape[0]):
        mask, height, width = masks[n], masks.shape[1], masks.shape[2]
        begin, leftmost, rightmost = 0, width, 0
        for k in range(lengths[n]):
            end = begin + counts[start + k]
            if k % 2 == 1 and end > begin:
                x, last = begin // height, end // height
                leftmost, rightmost = min(leftmost, x), max(rightmost, min(last + 1, width))
                mask[begin - x * height, x] ^= 1
                for column in range(x + 1, min(last + 1, width)):
                    mask[0, column] ^= 1
                if last < width:
                    mask[end - last * height, last] ^= 1
            begin = end
        carried[:] = 0
        left, columns = np.uint32(leftmost), np.uint32(max(0, rightmost - leftmost))  # unsigned: see count_changes
        for y in range(height):
            row = mask[y]
            for x in range(columns):
                value = carried[x] ^ row[x + left]
                carried[x] = value
                row[x + left] = value
        start += lengths[n]


@part()
def _merge(a: np.ndarray, b: np.ndarray, total: int, intersect: bool, merged: np.ndarray) -> int:
    """Write the runs of the union or intersection of two masks of `total` pixels; return their number."""
    i = j = count = last = position = value = 0
    end_a, end_b = a[0], b[0]
    while position < total:
        while end_a <= position:
            i += 1
            end_a += a[i]
        while end_b <= position:
            j += 1
            end_b += b[j]
        new = (i & j & 1) if intersect else ((i | j) & 1)
        if new != value:
            merged[count] = position - last
            count, last, value = count + 1, position, new
        position = min(end_a, end_b)
    merged[count] = total - last
    return count + 1


@kernel()
def merge(counts: np.ndarray, lengths: np.ndarray, intersect: bool, merged: np.ndarray, spare: np.ndarray) -> int:
    """Write the runs of the intersection or union of all masks to `merged`; return their number.

    All masks have the same number of pixels. `merged` and `spare` have at least R + 2 elements.
    """
    total = start = 0
    for k in range(lengths[0]):
        total += counts[k]
    count = 1
    merged[0] = 0 if intersect else total  # start with all pixels set for the intersection, with none for the union
    if intersect:
        merged[1] = total
        count = 2
    for n in range(lengths.shape[0]):
        for k in range(count):
            spare[k] = merged[k]
        count = _merge(spare, counts[start:], total, intersect, merged)
        start += lengths[n]
    return count


@kernel()
def common(
    counts: np.ndarray, lengths: np.ndarray, other_counts: np.ndarray, other_lengths: np.ndarray, found: np.ndarray
) -> None:
    """Fill `found` int64 (N, M) with the number of pixels common to each first and each second mask."""
    ends, other_ends = np.cumsum(lengths), np.cumsum(other_lengths)
    for n in range(lengths.shape[0]):
        a = counts[ends[n] - lengths[n] : ends[n]]
        for m in range(other_lengths.shape[0]):
            b = other_counts[other_ends[m] - other_lengths[m] : other_ends[m]]
            i = j = pixels = position = 0
            end_a, end_b = a[0], b[0]
            while i < len(a) and j < len(b):
                nearest = min(end_a, end_b)
                if i & j & 1:
                    pixels += nearest - position
                position = nearest
                if end_a == nearest:
                    i += 1
                    end_a += a[i] if i < len(a) else 0
                if end_b == nearest:
                    j += 1
                    end_b += b[j] if j < len(b) else 0
            found[n, m] = pixels


@kernel()
def pack(counts: np.ndarray, lengths: np.ndarray, characters: np.ndarray, sizes: np.ndarray) -> None:
    """Fill `characters` uint8, at least 13 per count, and `sizes` (N,), the number of characters of each mask."""
    start = written = 0
    for n in range(lengths.shape[0]):
        before = written
        for k in range(lengths[n]):
            left = counts[start + k] - (counts[start + k - 2] if k > 2 else 0)
            while left < -16 or left > 15:
                characters[written] = 80 + (left & 31)
                left >>= 5
                written += 1
            characters[written] = 48 + (left & 31)
            written += 1
        sizes[n] = written - before
        start += lengths[n]


@kernel()
def unpack(
    characters: np.ndarray, lengths: np.ndarray, counts: np.ndarray, sizes: np.ndarray, wrong: np.ndarray
) -> int:
    """Fill `counts` (T,), `sizes` (N,) and `wrong` (N,), the error codes; return the number of counts. An invalid text
    has no counts."""
    start = written = 0
    for n in range(lengths.shape[0]):
        first, fault, number, shift = written, 0, 0, 0
        for k in range(lengths[n]):
            group = np.int64(characters[start + k]) - 48
            if group < 0 or group > 63 or shift >= 5 * _GROUPS:
                fault = BAD_CHARACTER
                break
            number |= (group & 31) << shift
            shift += 5
            if group & 32 == 0:
                if group & 16:
                    number -= np.int64(1) << shift
                if written - first > 2:
                    number += counts[written - 2]
                if number < 0:
                    fault = NEGATIVE
                    break
                counts[written] = number
                written += 1
                number = shift = 0
        if fault == 0 and shift > 0:
            fault = CUT_OFF
        written = first if fault else written
        sizes[n], wrong[n] = written - first, fault
        start += lengths[n]
    return written
