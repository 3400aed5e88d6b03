"""Overlap of boxes: the kernel equals the reference, and each rule of the semantics has its own test."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from g3d.kernels import aligned_iou
from g3d.kernels.box_iou import reference
from g3d.ops.box_iou import (
    axis_aligned_coverage,
    axis_aligned_iou,
    axis_aligned_iou_3d,
    camera_from_scene_boxes,
    rotated_iou_3d,
    rotated_iou_bev,
    scene_box_bounds,
)

ROTATED = [pytest.param(rotated_iou_bev, False, id="bev"), pytest.param(rotated_iou_3d, True, id="3d")]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def boxes(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def random_boxes(count: int, spread: float, seed: int) -> Tensor:
    u = torch.rand(count, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([(u[:, :3] - 0.5) * spread, 0.2 + u[:, 3:6] * 4, (u[:, 6:] - 0.5) * 7], 1)


@pytest.mark.parametrize(("iou", "volume"), ROTATED)
@pytest.mark.parametrize("spread", [0.5, 6.0, 30.0])
def test_equals_reference(device: str, iou, volume: bool, spread: float) -> None:
    first, second = random_boxes(90, spread, 1).to(device), random_boxes(70, spread, 2).to(device)
    assert (iou(first, second) - reference(first[:, None], second[None], volume)).abs().max() < 1e-12


@pytest.mark.parametrize(("iou", "volume"), ROTATED)
def test_equals_reference_where_edges_and_corners_coincide(device: str, iou, volume: bool) -> None:
    steps = torch.tensor([-1.0, 0.0, 0.5, 1.0], dtype=torch.float64)
    shift, turn = torch.meshgrid(steps, torch.tensor([0, 0.25, 0.5, 1.0], dtype=torch.float64) * math.pi, indexing="ij")
    rows = torch.zeros(len(steps), 4, 7, dtype=torch.float64)
    rows[..., 0], rows[..., 2], rows[..., 6] = shift, shift.flip(1) / 2, turn
    first = (
        torch.cat([rows + boxes([0, 0, 0, 1, *size, 0]) for size in ([1, 2], [2, 2], [1e-3, 4], [0.5, 1])])
        .flatten(0, 1)
        .to(device)
    )
    assert (iou(first, first) - reference(first[:, None], first[None], volume)).abs().max() < 1e-12


def test_tiny_boxes_far_away_are_exact() -> None:
    tiny = random_boxes(40, 1.0, 14) * boxes([1e-4, 1e-4, 1e-4, 1e-4, 1e-4, 1e-4, 1])
    away = tiny + boxes([0, 0, 0, 0, 0, 0, 0.3])
    expected = reference(tiny[:, None] * boxes([1e4] * 6 + [1]), away[None] * boxes([1e4] * 6 + [1]), True)
    assert (rotated_iou_3d(tiny, away) - expected).abs().max() < 1e-11
    far = boxes([2.0**20, -(2.0**10), 2.0**20, 0, 0, 0, 0])
    grid = (tiny * 2**30).round() / 2**30  # so that the shift rounds nothing
    grid[:, 6] = tiny[:, 6]
    assert (rotated_iou_3d(grid + far, grid + far) - rotated_iou_3d(grid, grid)).abs().max() < 1e-9


@pytest.mark.parametrize(("iou", "volume"), ROTATED)
def test_pairs_equal_the_matrix(iou, volume: bool) -> None:
    first, second = random_boxes(40, 6.0, 3), random_boxes(30, 6.0, 4)
    pick = torch.Generator().manual_seed(0)
    rows, columns = torch.randint(0, 40, (5000,), generator=pick), torch.randint(0, 30, (5000,), generator=pick)
    assert torch.equal(iou(first, second, (rows, columns)), iou(first, second)[rows, columns])


@pytest.mark.parametrize(("iou", "volume"), ROTATED)
def test_is_symmetric_and_moves_with_the_frame(iou, volume: bool) -> None:
    first, second = random_boxes(60, 6.0, 5), random_boxes(60, 6.0, 6)
    assert (iou(first, second) - iou(second, first).T).abs().max() < 1e-12
    shift = boxes([1000.0, -30.0, 2000.0, 0, 0, 0, 0])
    assert (iou(first + shift, second + shift) - iou(first, second)).abs().max() < 1e-11


@pytest.mark.parametrize("iou", [rotated_iou_bev, rotated_iou_3d])
@pytest.mark.parametrize("turn", [0.0, 1e-15, 1e-9, math.pi, -2 * math.pi])
def test_same_box_however_its_yaw_is_written(iou, turn: float) -> None:
    first = random_boxes(200, 80.0, 7)
    second = first + boxes([0, 0, 0, 0, 0, 0, turn])
    assert (iou(first, second).diagonal() - 1).abs().max() < 1e-7


def test_quarter_turn_swaps_length_and_width() -> None:
    first = random_boxes(50, 8.0, 8)
    second = first[:, [0, 1, 2, 3, 5, 4, 6]] + boxes([0, 0, 0, 0, 0, 0, math.pi / 2])
    assert (rotated_iou_3d(first, second).diagonal() - 1).abs().max() < 1e-12


def test_length_lies_along_x_and_positive_yaw_turns_it_to_minus_z() -> None:
    car = boxes([0, 0, 0, 1, 0.2, 4, 0])
    assert rotated_iou_bev(car, boxes([1.9, 0, 0, 1, 0.2, 0.2, 0])) > 0
    turned = car + boxes([0, 0, 0, 0, 0, 0, math.pi / 4])
    ahead = 1.9 / math.sqrt(2)
    assert rotated_iou_bev(turned, boxes([ahead, 0, -ahead, 1, 0.2, 0.2, 0])) > 0
    assert rotated_iou_bev(turned, boxes([ahead, 0, ahead, 1, 0.2, 0.2, 0])) == 0


def test_known_polygons() -> None:
    square = boxes([0, 0, 0, 1, 2, 2, 0])
    octagon = 8 * (math.sqrt(2) - 1)  # square of side 2 and the same turned by 45 degrees
    turned = square + boxes([0, 0, 0, 0, 0, 0, math.pi / 4])
    assert rotated_iou_bev(square, turned).item() == pytest.approx(octagon / (8 - octagon), abs=1e-14)
    assert rotated_iou_bev(square, square + boxes([1, 0, 0, 0, 0, 0, 0])).item() == pytest.approx(2 / 6, abs=1e-15)
    assert rotated_iou_bev(square, boxes([0.3, 0, 0.2, 1, 0.5, 0.5, 1.0])).item() == pytest.approx(0.25 / 4, abs=1e-15)


def test_heights_reach_up_from_the_bottom_centre() -> None:
    low, high = boxes([0, 1, 0, 2, 1, 1, 0]), boxes([0, 0, 0, 2, 1, 1, 0])  # y points down: [-1, 1] and [-2, 0]
    assert rotated_iou_3d(low, high).item() == pytest.approx(1 / 3)
    assert rotated_iou_bev(low, high).item() == pytest.approx(1)
    assert rotated_iou_3d(low, boxes([0, -1, 0, 2, 1, 1, 0])).item() == 0  # they touch


@pytest.mark.parametrize("iou", [rotated_iou_bev, rotated_iou_3d])
def test_touching_boxes_do_not_overlap(iou) -> None:
    box = boxes([0, 0, 0, 1, 2, 2, 0])
    assert iou(box, box + boxes([2, 0, 0, 0, 0, 0, 0])).item() == 0
    assert iou(box, box + boxes([2, 0, 2, 0, 0, 0, 0])).item() == 0


@pytest.mark.parametrize("iou", [rotated_iou_bev, rotated_iou_3d])
@pytest.mark.parametrize("column", [4, 5])
@pytest.mark.parametrize("size", [0.0, -1.0])
def test_box_without_extent_overlaps_nothing(iou, column: int, size: float) -> None:
    flat = boxes([0, 0, 0, 1, 2, 2, 0.3])
    flat[0, column] = size
    assert iou(flat, boxes([0, 0, 0, 1, 2, 2, 0])).item() == 0
    assert iou(flat, flat).item() == 0
    assert reference(flat, flat, iou is rotated_iou_3d).item() == 0


def test_no_box_lies_outside_zero_and_one() -> None:
    first = random_boxes(300, 1.0, 9)
    second = first + 1e-13 * torch.randn(300, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = rotated_iou_3d(first, second)
    assert values.min() >= 0
    assert values.max() <= 1


@pytest.mark.parametrize("iou", [rotated_iou_bev, rotated_iou_3d])
def test_no_boxes(iou) -> None:
    assert iou(torch.zeros(0, 7), torch.zeros(3, 7)).shape == (0, 3)
    none = torch.zeros(0, dtype=torch.int64)
    assert iou(torch.zeros(2, 7), torch.zeros(3, 7), (none, none)).shape == (0,)


def test_float32_is_computed_in_float64() -> None:
    first, second = random_boxes(30, 6.0, 10).float(), random_boxes(30, 6.0, 11).float()
    assert torch.equal(rotated_iou_3d(first, second), rotated_iou_3d(first.double(), second.double()).float())


@pytest.mark.parametrize("iou", [rotated_iou_bev, rotated_iou_3d])
def test_gradient(iou) -> None:
    first, second = random_boxes(4, 2.0, 12).requires_grad_(), random_boxes(3, 2.0, 13).requires_grad_()
    assert torch.autograd.gradcheck(iou, (first, second))
    pairs = (torch.tensor([0, 3, 3, 1]), torch.tensor([2, 0, 0, 1]))
    assert torch.autograd.gradcheck(lambda a, b: iou(a, b, pairs), (first, second))


@pytest.mark.parametrize(("iou", "volume"), ROTATED)
def test_gradient_equals_that_of_the_reference(device: str, iou, volume: bool) -> None:
    first, second = (random_boxes(count, 4.0, seed).to(device).requires_grad_() for count, seed in ((50, 15), (40, 16)))
    weight = torch.rand(50, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(device)
    found = torch.autograd.grad((iou(first, second) * weight).sum(), (first, second))
    expected = torch.autograd.grad((reference(first[:, None], second[None], volume) * weight).sum(), (first, second))
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() < 1e-9


def test_gradient_of_boxes_that_do_not_overlap_is_zero() -> None:
    first = boxes([0, 0, 0, 1, 2, 2, 0.3], [0, 0, 0, 1, 0, 2, 0.3], [9, 0, 0, 1, 2, 2, 0.3]).requires_grad_()
    rotated_iou_3d(first, boxes([0, 5, 0, 1, 2, 2, 0], [4, 0, 0, 1, 2, 2, 0])).sum().backward()
    assert first.grad is not None
    assert first.grad.eq(0).all()


def test_aligned_gradient(device: str) -> None:
    draw = torch.Generator().manual_seed(2)
    first, second = (torch.rand(n, 6, generator=draw, dtype=torch.float64).to(device).requires_grad_() for n in (5, 4))
    assert torch.autograd.gradcheck(axis_aligned_iou_3d, (first, second))
    low, high = (torch.rand(4, 2, generator=draw, dtype=torch.float64) for _ in range(2))
    flat = torch.cat([low, low + high], 1).to(device).requires_grad_()
    other = (flat.detach() + 0.1).requires_grad_()
    for overlap in (axis_aligned_iou, axis_aligned_coverage):
        assert torch.autograd.gradcheck(overlap, (flat, other))
        found = torch.autograd.grad(overlap(flat, flat.detach()).sum(), flat)  # sides that coincide
        plain = aligned_iou.reference(flat[:, None], flat.detach()[None], overlap is axis_aligned_coverage)
        expected = torch.autograd.grad(plain.sum(), flat)
        assert torch.allclose(found[0], expected[0], atol=1e-12)


def test_gradient_keeps_the_dtype() -> None:
    first = random_boxes(5, 2.0, 17).float().requires_grad_()
    rotated_iou_3d(first, first.detach()).sum().backward()
    assert first.grad is not None
    assert first.grad.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_aligned_boxes_in_space(device: str, dtype: torch.dtype) -> None:
    room = torch.rand(60, 6, generator=torch.Generator().manual_seed(3)).to(device, dtype)
    found = axis_aligned_iou_3d(room, room[:40])
    bounds = scene_box_bounds(room)
    expected = aligned_iou.reference(bounds[:, None], bounds[None, :40], False)
    assert found.dtype == dtype
    assert (found - expected.to(dtype)).abs().max() <= torch.finfo(dtype).eps
    pairs = (torch.arange(60, device=device), torch.arange(60, device=device) % 40)
    assert torch.equal(axis_aligned_iou_3d(room, room[:40], pairs), found[pairs])


def test_aligned_boxes_in_space_are_centre_and_extents() -> None:
    unit = boxes([0, 0, 0, 1, 1, 1])
    assert axis_aligned_iou_3d(unit, boxes([0.5, 0, 0, 1, 1, 1], [1, 0, 0, 1, 1, 1], [0, 0, 0, 1, 0, 1])).tolist() == [
        [1 / 3, 0, 0]
    ]
    flat = boxes([0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, -1])
    assert axis_aligned_iou_3d(flat, flat).eq(0).all()


def test_scene_boxes_turn_from_x_towards_y() -> None:
    table = boxes([1, 2, 0.5, 4, 0.2, 1, math.pi / 4])
    small = [table + boxes([1.2, side, 0, -3.8, 0, 0, 0]) for side in (1.2, -1.2)]
    rows = camera_from_scene_boxes(torch.cat([table, *small]))
    overlap = rotated_iou_3d(rows[:1], rows)[0]
    assert overlap[0].item() == pytest.approx(1)
    assert overlap[1] > 0
    assert overlap[2] == 0
    level = torch.rand(30, 7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    level[:, 6] = 0
    rows = camera_from_scene_boxes(level)
    assert (rotated_iou_3d(rows, rows) - axis_aligned_iou_3d(level[:, :6], level[:, :6])).abs().max() < 1e-12


def test_registration() -> None:
    first, second = random_boxes(5, 3.0, 18).requires_grad_(), random_boxes(4, 3.0, 19)
    rows, columns = torch.tensor([0, 4, 4]), torch.tensor([3, 0, 1])
    for pairs in ((None, None), (rows, columns)):
        torch.library.opcheck(torch.ops.g3d.rotated_iou, (first, second, *pairs, True))
        torch.library.opcheck(torch.ops.g3d.aligned_iou, (first[:, :6], second[:, :6], *pairs, False))


@pytest.mark.parametrize("columns", [4, 6])
def test_arrays_that_are_not_contiguous(columns: int) -> None:
    wide = torch.rand(20, 2 * columns, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    overlap = axis_aligned_iou if columns == 4 else axis_aligned_iou_3d
    assert torch.equal(
        overlap(wide[:, ::2], wide[:, 1::2]), overlap(wide[:, ::2].contiguous(), wide[:, 1::2].contiguous())
    )


def test_axis_aligned_boxes() -> None:
    first, second = boxes([0, 0, 4, 2], [5, 5, 5, 9], [3, 0, 1, 2]), boxes([2, 0, 6, 2], [0, 0, 4, 2], [4, 0, 8, 2])
    assert axis_aligned_iou(first, second).tolist() == [[4 / 12, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert axis_aligned_coverage(first, second)[0].tolist() == [0.5, 1, 0]
    pairs = (torch.tensor([0, 0]), torch.tensor([1, 0]))
    assert axis_aligned_iou(first, second, pairs).tolist() == [1, 4 / 12]


def test_bad_arguments_are_named() -> None:
    good = torch.rand(3, 7)
    with pytest.raises(ValueError, match=r"first: expected \(N, 7\) floating point, found \(3, 5\)"):
        rotated_iou_bev(good[:, :5], good)
    with pytest.raises(ValueError, match=r"second: expected torch.float32 on cpu as first, found torch.float64"):
        rotated_iou_bev(good, good.double())
    with pytest.raises(ValueError, match="second: row 1 is not finite"):
        rotated_iou_bev(good, torch.where(torch.arange(3)[:, None] == 1, torch.nan, good))
    with pytest.raises(ValueError, match=r"pairs\[1\]: expected rows 0..2, found 3..3"):
        rotated_iou_bev(good, good, (torch.tensor([0]), torch.tensor([3])))
    with pytest.raises(ValueError, match=r"pairs\[1\]: expected \(1,\) int64"):
        rotated_iou_bev(good, good, (torch.tensor([0]), torch.tensor([0, 1])))
    with pytest.raises(ValueError, match=r"first: expected \(N, 4\)"):
        axis_aligned_iou(good, good)


def test_result_does_not_depend_on_the_number_of_threads() -> None:
    first, second = random_boxes(70, 6.0, 20), random_boxes(50, 6.0, 21)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append((rotated_iou_3d(first, second), axis_aligned_iou_3d(first[:, :6], second[:, :6])))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
