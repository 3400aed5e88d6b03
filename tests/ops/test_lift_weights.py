"""Lift weights: every path gives the reference's matrix, and each rule has its own test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from g3d.kernels.lift_weights import reference
from g3d.ops.lift_weights import lift_weights

EXAMPLES = [
    (2000, 7, 300, 300, (6, 4)), (500, 25, 40, 9, (24, 24)), (30, 3, 2000, 1500, (1, 1)), (10, 2, 5, 5, (3, 1)),
    (0, 4, 10, 10, (2, 2)), (5, 0, 3, 3, (2, 2)),
]  # fmt: skip


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def drawn(pixels: int, k: int, points: int, rows: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hits with gaps; positions often on cells and on the border."""
    draw = torch.Generator().manual_seed(pixels + k)
    hits = torch.randint(-1, points, (pixels, k), generator=draw)
    positions = torch.rand(pixels, 2, generator=draw) * (torch.tensor(size) + 1) - 1
    positions = torch.where(torch.rand(pixels, 2, generator=draw) < 0.2, positions.round(), positions)
    positions = positions.clamp(min=0).minimum(torch.tensor(size) - 1.0)
    return hits, positions, torch.randint(0, rows, (points,), generator=draw), torch.rand(points, generator=draw)


@pytest.mark.parametrize(("pixels", "k", "points", "rows", "size"), EXAMPLES)
def test_equals_reference(
    device: str, threads: int, pixels: int, k: int, points: int, rows: int, size: tuple[int, int]
) -> None:
    arguments = [a.to(device) for a in drawn(pixels, k, points, rows, size)]
    found, expected = lift_weights(*arguments, rows, size), reference(*arguments, rows, *size)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[2], expected[2], rtol=1e-6, atol=0)


def test_the_matrix_times_the_grid_is_the_sum_of_interpolated_features(device: str) -> None:
    hits, positions, rows, scale = (a.to(device) for a in drawn(400, 5, 60, 20, (7, 5)))
    grid = torch.randn(7 * 5, 3, generator=torch.Generator().manual_seed(1)).to(device)
    offsets, cells, weights = lift_weights(hits, positions, rows, scale, 20, (7, 5))
    found = F.embedding_bag(cells, grid, offsets[:-1], mode="sum", per_sample_weights=weights)
    where = positions / torch.tensor([6, 4], device=device) * 2 - 1
    picture = grid.view(5, 7, 3).permute(2, 0, 1)[None]
    features = F.grid_sample(picture, where[None, None], mode="bilinear", align_corners=True)[0, :, 0].T
    expected = torch.zeros(20, 3, device=device)
    for slot in range(5):
        there = hits[:, slot] >= 0
        points = hits[there, slot]
        expected.index_add_(0, rows[points], features[there] * scale[points, None])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_cells_of_a_row_ascend_and_none_weighs_nothing(device: str) -> None:
    hits = torch.tensor([[2], [2], [-1]], device=device)
    positions = torch.tensor([[1.25, 0.0], [0.0, 1.0], [0.5, 0.5]], device=device)
    offsets, cells, weights = lift_weights(
        hits, positions, torch.arange(3, device=device), torch.ones(3, device=device), 3, (3, 2)
    )
    assert offsets.tolist() == [0, 0, 0, 3]
    assert cells.tolist() == [1, 2, 3]
    assert weights.tolist() == [0.75, 0.25, 1]


def test_accepts_arrays_that_are_not_contiguous() -> None:
    arrays = drawn(200, 4, 30, 10, (5, 4))
    strided = [torch.stack([array, array], -1)[..., 0] for array in arrays]
    assert not any(array.is_contiguous() for array in strided)
    for found, expected in zip(lift_weights(*strided, 10, (5, 4)), lift_weights(*arrays, 10, (5, 4)), strict=True):
        assert torch.equal(found, expected)


def test_positions_and_scale_may_require_gradients() -> None:
    hits, positions, rows, scale = drawn(50, 3, 20, 10, (4, 3))
    expected = lift_weights(hits, positions, rows, scale, 10, (4, 3))
    found = lift_weights(hits, positions.requires_grad_(), rows, scale.requires_grad_(), 10, (4, 3))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("hits", torch.tensor([[0.0]]), r"hits: expected \(1, 1\) torch.int64 on cpu, found \(1, 1\) torch.float32"),
        ("hits", torch.tensor([[3]]), "hits: expected -1..2, found 3..3"),
        ("positions", torch.zeros(2, 2), r"positions: expected \(1, 2\) torch.float32 on cpu, found \(2, 2\)"),
        ("positions", torch.tensor([[0.0, 1.5]]), "positions: expected 0..1, found 1.5..1.5"),
        ("positions", torch.tensor([[torch.nan, 1.0]]), "positions: expected 0..2, found nan..nan"),
        ("rows", torch.tensor([0, 1, 2]), r"rows: expected 0..1, found 0..2"),
        ("scale", torch.ones(2), r"scale: expected \(3,\) torch.float32 on cpu, found \(2,\)"),
    ],
)
def test_wrong_arguments_are_named(name: str, wrong: Tensor, says: str) -> None:
    hits, rows = torch.tensor([[0]]), torch.zeros(3, dtype=torch.int64)
    arguments = {"hits": hits, "positions": torch.zeros(1, 2), "rows": rows, "scale": torch.ones(3)}
    with pytest.raises(ValueError, match=says):
        lift_weights(**(arguments | {name: wrong}), count=2, size=(3, 2))


def test_the_grid_has_a_cell() -> None:
    with pytest.raises(ValueError, match=r"size, count: expected a grid of at least 1 x 1 .* found \(0, 2\)"):
        lift_weights(*drawn(3, 2, 4, 4, (1, 1)), 4, (0, 2))


def test_is_registered_for_tracing() -> None:
    torch.library.opcheck(torch.ops.g3d.lift_weights.default, (*drawn(50, 3, 20, 10, (4, 3)), 10, 4, 3))
