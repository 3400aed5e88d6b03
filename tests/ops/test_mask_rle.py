"""Run-length codes: kernels equal the references and pycocotools, and each rule of the format has its own test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from g3d.kernels import mask_rle as kernel
from g3d.ops.mask_rle import (
    masks_to_strings,
    rle_area,
    rle_boxes,
    rle_decode,
    rle_decode_points,
    rle_encode,
    rle_encode_points,
    rle_from_strings,
    rle_iou,
    rle_merge,
    rle_to_strings,
    strings_to_masks,
)


def random_masks(count: int, height: int, width: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    masks = torch.rand(count, height, width, generator=draw) < torch.rand(count, 1, 1, generator=draw)
    masks[: count // 3, : height // 2] = False
    if count > 2:
        masks[-1], masks[-2] = True, False
    return masks


SIZES = [(1, 1), (1, 9), (9, 1), (8, 8), (5, 7), (13, 16), (40, 65), (64, 33)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_kernels_equal_their_references(height: int, width: int) -> None:
    masks = random_masks(7, height, width, height * width)
    counts, lengths = torch.ops.g3d.rle_encode(masks)
    for found, expected in zip((counts, lengths), kernel.encode_reference(masks), strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(torch.ops.g3d.rle_decode(counts, lengths, height, width), masks)
    assert torch.equal(kernel.decode_reference(counts, lengths, height, width), masks)
    for intersect in (False, True):
        assert torch.equal(
            torch.ops.g3d.rle_merge(counts, lengths, intersect), kernel.merge_reference(counts, lengths, intersect)
        )
    common = torch.ops.g3d.rle_common(counts, lengths, counts, lengths)
    assert torch.equal(common, kernel.common_reference(counts, lengths, counts, lengths))
    packed = torch.ops.g3d.rle_pack(counts, lengths)
    for found, expected in zip(packed, kernel.pack_reference(counts, lengths), strict=True):
        assert torch.equal(found, expected)
    for found, expected in zip(torch.ops.g3d.rle_unpack(*packed), kernel.unpack_reference(*packed), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_codes_are_those_of_pycocotools(height: int, width: int) -> None:
    theirs = pytest.importorskip("pycocotools.mask")
    masks = random_masks(6, height, width, height + width)
    codes = theirs.encode(np.asfortranarray(masks.permute(1, 2, 0).numpy().astype(np.uint8)))
    texts = [code["counts"].decode() for code in codes]
    counts = rle_encode(masks)
    assert rle_to_strings(counts) == masks_to_strings(masks) == texts
    assert torch.equal(strings_to_masks(texts, height, width), masks)
    assert rle_area(counts).tolist() == theirs.area(codes).tolist()
    left_top_size = torch.from_numpy(theirs.toBbox(codes)).long()
    assert torch.equal(
        rle_boxes(counts, height), torch.cat([left_top_size[:, :2], left_top_size[:, :2] + left_top_size[:, 2:]], 1)
    )
    for intersect in (False, True):
        assert (
            rle_to_strings([rle_merge(counts, intersect)])[0]
            == theirs.merge(codes, intersect=intersect)["counts"].decode()
        )
    assert np.array_equal(rle_iou(counts[:2], counts).numpy(), theirs.iou(codes[:2], codes, [0] * 6))
    crowd = [1, 0, 1, 0, 1, 0]
    assert np.array_equal(
        rle_iou(counts[:2], counts, torch.tensor(crowd).bool()).numpy(), theirs.iou(codes[:2], codes, crowd)
    )


def test_counts_run_down_the_columns_and_start_with_zeros() -> None:
    mask = torch.tensor([[0, 1, 1], [1, 1, 0]])
    assert rle_encode(mask[None])[0].tolist() == [1, 4, 1]
    assert rle_encode(mask[None] == 0)[0].tolist() == [0, 1, 4, 1]
    assert rle_encode(torch.zeros(1, 2, 3, dtype=torch.bool))[0].tolist() == [6]
    assert rle_encode(torch.ones(1, 2, 3, dtype=torch.bool))[0].tolist() == [0, 6]


def test_any_number_but_zero_is_set() -> None:
    mask = torch.tensor([[[0, 2, 255], [1, 0, 7]]], dtype=torch.uint8)
    assert torch.equal(rle_encode(mask)[0], rle_encode(mask != 0)[0])


def test_views_are_coded_as_they_read() -> None:
    masks = random_masks(3, 20, 24, 5)
    turned = masks.transpose(1, 2)[:, ::2]
    assert torch.equal(rle_decode(rle_encode(turned), 12, 20), turned)


def test_empty_runs_within_a_code_are_read() -> None:
    counts = torch.tensor([0, 0, 3, 0, 1, 2, 0])
    assert rle_decode([counts], 2, 3)[0].T.flatten().tolist() == [False] * 4 + [True] * 2
    assert rle_merge([counts]).tolist() == [4, 2]
    assert rle_boxes([counts], 2).tolist() == [[2, 0, 3, 2]]
    assert torch.equal(rle_from_strings(rle_to_strings([counts]))[0], counts)


def test_long_runs_survive_the_compressed_form() -> None:
    counts = torch.tensor([5, 2**31, 17, 2**40, 0, 15, 16, 2**31 - 1, 31, 32])
    assert torch.equal(rle_from_strings(rle_to_strings([counts, counts[:1]]))[0], counts)
    assert torch.equal(rle_from_strings([rle_to_strings([counts])[0].encode()])[0], counts)


def test_boxes_around_masks() -> None:
    masks = torch.zeros(3, 6, 8, dtype=torch.bool)
    masks[0, 2:4, 1:5] = True
    masks[1, 5, 2] = masks[1, 0, 3] = True
    assert rle_boxes(rle_encode(masks), 6).tolist() == [[1, 2, 5, 4], [2, 0, 4, 6], [0, 0, 0, 0]]


def test_overlap_of_empty_masks_is_zero() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[1, 1:3] = True
    counts = rle_encode(masks)
    assert rle_iou(counts, counts).tolist() == [[0, 0], [0, 1]]
    assert rle_iou(counts, []).shape == (2, 0)


def test_no_masks() -> None:
    assert rle_encode(torch.zeros(0, 4, 5, dtype=torch.bool)) == []
    assert rle_decode([], 4, 5).shape == (0, 4, 5)
    assert rle_from_strings([]) == rle_to_strings([]) == []
    assert rle_area([]).tolist() == []
    assert rle_boxes([], 5).shape == (0, 4)


def test_points_are_runs_of_start_and_length_from_one() -> None:
    mask = torch.tensor([1, 1, 0, 0, 1, 0, 1], dtype=torch.bool)
    assert rle_encode_points(mask) == {"length": 7, "counts": "1 2 5 1 7 1"}
    for case in (mask, ~mask, mask & False, mask | True, mask[:0]):
        assert torch.equal(rle_decode_points(rle_encode_points(case)), case)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({"length": 5}, "expected length and counts"),
        ({"length": 5, "counts": "1 x"}, "expected length and counts"),
        ({"length": 5, "counts": "1 2 3"}, "expected pairs of start and length, found 3 numbers"),
        ({"length": 5, "counts": "4 3"}, r"the run of 3 points from point 4 is not within points 1\.\.5"),
        ({"length": 5, "counts": "0 1"}, r"the run of 1 points from point 0 is not"),
    ],
)
def test_bad_codes_of_points_are_named(code: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rle_decode_points(code)


@pytest.mark.parametrize("choice", ["auto", "reference"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("52 4", "mask 1: .* holds a character that run-length codes do not have"),
        ("52p4", "mask 1: .* holds a character"),
        ("o" * 14 + "1", "mask 1: .* holds a character"),
        ("52Q", "mask 1: 'Q2?52Q' ends within a number|mask 1: '52Q' ends within a number"),
        ("5O", "mask 1: '5O' holds a run of negative length"),
    ],
)
def test_bad_strings_are_named(text: str, message: str, choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_KERNELS", choice)
    with pytest.raises(ValueError, match=message):
        rle_from_strings(["55", text])


def test_bad_counts_are_named() -> None:
    good = torch.tensor([4, 8])
    with pytest.raises(ValueError, match=r"counts\[1\]: expected runs that sum to 12 pixels, found 11"):
        rle_decode([good, torch.tensor([4, 7])], 3, 4)
    with pytest.raises(ValueError, match=r"mask\[0\]: expected runs that sum to 12 pixels, found 10"):
        strings_to_masks(rle_to_strings([torch.tensor([3, 7])]), 3, 4)
    with pytest.raises(
        ValueError, match=r"mask\[0\]: expected runs that sum to 12 pixels, found one of 4611686018427387916"
    ):
        strings_to_masks(
            rle_to_strings([torch.tensor([2**62, 2**62, 2**62, 2**62 + 12])]), 3, 4
        )  # 64 bits sum them to 12
    with pytest.raises(ValueError, match=r"counts\[1\]: a run has the length -1"):
        rle_decode([good, torch.tensor([13, -1])], 3, 4)
    with pytest.raises(ValueError, match=r"counts\[0\]: expected \(R > 0,\) int64 on cpu, found \(2,\) torch.float32"):
        rle_decode([good.float()], 3, 4)
    with pytest.raises(ValueError, match=r"second\[0\]: expected runs that sum to 12 pixels, found 9"):
        rle_iou([good], [torch.tensor([9])])
    with pytest.raises(ValueError, match="counts: expected at least one mask"):
        rle_merge([])
    with pytest.raises(ValueError, match=r"masks: expected \(N, H > 0, W > 0\) bool or integers, found \(3, 4\)"):
        rle_encode(torch.zeros(3, 4, dtype=torch.bool))


def test_registration() -> None:
    masks = random_masks(3, 6, 9, 2)
    counts, lengths = kernel.encode_reference(masks)
    ops = torch.ops.g3d
    torch.library.opcheck(ops.rle_encode, (masks,))
    torch.library.opcheck(ops.rle_decode, (counts, lengths, 6, 9))
    torch.library.opcheck(ops.rle_merge, (counts, lengths, True))
    torch.library.opcheck(ops.rle_common, (counts, lengths, counts, lengths))
    torch.library.opcheck(ops.rle_pack, (counts, lengths))
    torch.library.opcheck(ops.rle_unpack, kernel.pack_reference(counts, lengths))
