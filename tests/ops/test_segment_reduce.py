"""Sums, means and maxima over segments: every path gives the reference's numbers, and each rule has its own test."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from g3d.kernels.segment_reduce import reference_max, reference_sum
from g3d.ops.mesh_segments import mesh_segments
from g3d.ops.segment_reduce import segment_max, segment_reduce

EXAMPLES = [(1000, 7, 40), (300, 33, 1), (5, 3, 50), (1, 1, 1), (0, 4, 3), (200, 0, 5), (4000, 16, 2300)]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def drawn(rows: int, channels: int, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Values with many ties within a segment, and unsorted segments of very different sizes."""
    draw = torch.Generator().manual_seed(rows + channels)
    values = torch.randint(-9, 9, (rows, channels), generator=draw) / 4
    return values.to(dtype), (torch.rand(rows, generator=draw) ** 3 * count).long()


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("rows", "channels", "count"), EXAMPLES)
def test_equals_reference(device: str, threads: int, rows: int, channels: int, count: int) -> None:
    values, segments = (a.to(device) for a in drawn(rows, channels, count))
    assert torch.equal(segment_reduce(values, segments, count), reference_sum(values, segments, count))
    for found, expected in zip(
        segment_max(values, segments, count), reference_max(values, segments, count), strict=True
    ):
        assert torch.equal(found, expected)


def test_real_superpoints(device: str, threads: int, real_scan: tuple[Tensor, Tensor]) -> None:
    vertices, faces = real_scan
    segments = mesh_segments(vertices, faces).to(device)
    values, count = vertices.to(device), int(segments.max()) + 1
    best, rows = segment_max(values, segments, count)
    assert torch.equal(best, reference_max(values, segments, count)[0])
    assert torch.equal(rows, reference_max(values, segments, count)[1])
    means, expected = segment_reduce(values, segments, count, "mean"), reference_sum(values.double(), segments, count)
    assert (means - expected / segments.bincount()[:, None]).abs().max() < 1e-4


def test_sums_do_not_depend_on_the_number_of_threads() -> None:
    values = torch.randn(5000, 9, generator=torch.Generator().manual_seed(1)) * 1e3
    segments = drawn(5000, 1, 60)[1]
    before, sums = torch.get_num_threads(), []
    for number in (1, 2, 5):
        torch.set_num_threads(number)
        sums.append(segment_reduce(values, segments, 60))
    torch.set_num_threads(before)
    assert torch.equal(sums[0], sums[1])
    assert torch.equal(sums[0], sums[2])


def test_mean_is_the_sum_over_the_number_of_rows(device: str) -> None:
    values, segments = torch.tensor([[1.0], [2.0], [6.0]], device=device), torch.tensor([2, 0, 2], device=device)
    assert segment_reduce(values, segments, 4, "mean").tolist() == [[2], [0], [3.5], [0]]


def test_segments_without_rows_are_zero(device: str) -> None:
    values, segments = torch.tensor([-3.0, -2], device=device), torch.tensor([1, 1], device=device)
    assert segment_reduce(values, segments, 3).tolist() == [0, -5, 0]
    best, rows = segment_max(values, segments, 3)
    assert best.tolist() == [0, -2, 0]
    assert rows.tolist() == [-1, 1, -1]


def test_lowest_row_wins_ties(device: str) -> None:
    values = torch.tensor([[0.0, 5], [2, 5], [2, 1]], device=device)
    assert segment_max(values, torch.zeros(3, dtype=torch.int64, device=device), 1)[1].tolist() == [[1, 0]]


def test_nan_and_infinities_in_a_maximum(device: str) -> None:
    inf, nan = torch.inf, torch.nan
    values = torch.tensor([[-inf, 1, 3, nan], [-inf, nan, inf, 2], [-inf, nan, 4, nan]], device=device)
    segments = torch.zeros(3, dtype=torch.int64, device=device)
    best, rows = segment_max(values, segments, 1)
    assert torch.equal(best.nan_to_num(nan=7), torch.tensor([[-inf, 7, inf, 7]], device=device).nan_to_num())
    assert rows.tolist() == reference_max(values, segments, 1)[1].tolist() == [[0, 1, 1, 0]]


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("channels", [0, 1, 4])
def test_gradient(reduce: str, channels: int) -> None:
    values = torch.randn(12, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    segments = torch.tensor([3, 0, 0, 5, 3, 3, 1, 0, 6, 6, 6, 6])
    assert torch.autograd.gradcheck(lambda v: segment_reduce(v, segments, 8, reduce), values)
    assert torch.autograd.gradgradcheck(lambda v: segment_reduce(v, segments, 8, reduce), values)


def test_gradient_of_a_maximum_goes_to_its_lowest_row() -> None:
    values = torch.tensor([[1.0], [4.0], [4.0]], requires_grad=True)
    segment_reduce(values, torch.tensor([0, 0, 0]), 2, "max").sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0], [1], [0]]


def test_gradient_of_no_rows() -> None:
    values = torch.zeros(0, 2, requires_grad=True)
    segment_reduce(values, torch.zeros(0, dtype=torch.int64), 3, "max").sum().backward()
    assert values.grad is not None
    assert values.grad.shape == (0, 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(device: str, dtype: torch.dtype) -> None:
    values = torch.full((1000, 2), 1.0, dtype=dtype, device=device)  # 256 + 1 = 256 in bfloat16
    segments = torch.zeros(1000, dtype=torch.int64, device=device)
    assert segment_reduce(values, segments, 1).tolist() == [[1000, 1000]]
    assert segment_reduce(values, segments, 1, "mean").dtype == dtype
    assert segment_max(values, segments, 1)[0].dtype == dtype


def test_input_that_is_not_contiguous(device: str) -> None:
    values, segments = (a.to(device) for a in drawn(100, 8, 9))
    found = segment_reduce(values.T.contiguous().T[:, ::2], segments.repeat_interleave(2)[::2], 9)
    assert torch.equal(found, reference_sum(values[:, ::2], segments, 9))


def test_bad_arguments_are_named() -> None:
    values, segments = torch.zeros(3, 2), torch.tensor([0, 1, 4])
    with pytest.raises(ValueError, match=r"segments: expected 0\.\.3, found 0\.\.4"):
        segment_reduce(values, segments, 4)
    with pytest.raises(ValueError, match=r"segments: expected 0\.\.4, found -1\.\.3"):
        segment_max(values, segments - 1, 5)
    with pytest.raises(ValueError, match=r"segments: expected \(3,\) int64 on cpu, found \(3,\) torch.int32 on cpu"):
        segment_reduce(values, segments.int(), 5)
    with pytest.raises(
        ValueError, match=r"values: expected \(N, C\) or \(N,\) floating point, found \(3, 2\) torch.int64"
    ):
        segment_reduce(values.long(), segments, 5)
    with pytest.raises(ValueError, match="reduce: expected sum, mean or max, found 'min'"):
        segment_reduce(values, segments, 5, "min")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count: expected 0 or more segments, found -1"):
        segment_reduce(values[:0], segments[:0], -1)


@pytest.mark.parametrize("name", ["segment_sum", "segment_max"])
def test_registration(name: str) -> None:
    values, segments = drawn(30, 3, 6)
    torch.library.opcheck(getattr(torch.ops.g3d, name), (values.requires_grad_(), segments, 6))
