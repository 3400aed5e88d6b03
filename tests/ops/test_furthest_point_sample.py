"""Furthest point sampling: every path gives the reference's indices, and each rule of the semantics has its own
test."""

from __future__ import annotations

import pytest
import torch
from support.point_clouds import DRAWN, SCENES, drawn, ragged, real_scan

from g3d.kernels.furthest_point_sample import reference, tie_order
from g3d.ops.furthest_point_sample import furthest_point_sample


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("skip_origin", [False, True])
@pytest.mark.parametrize(("sizes", "k"), [((3000,), 150), ((700, 1, 65, 64, 2), 80)])
def test_equals_reference(device: str, kind: str, skip_origin: bool, sizes: tuple[int, ...], k: int) -> None:
    points, offsets = (tensor.to(device) for tensor in ragged([drawn(kind, count, count) for count in sizes]))
    found = furthest_point_sample(points, k, offsets, skip_origin)
    assert torch.equal(found, reference(points, offsets, k, skip_origin))


@pytest.mark.parametrize("scene", SCENES)
def test_equals_reference_on_a_real_scan(device: str, scene: str) -> None:
    points, offsets = (tensor.to(device) for tensor in ragged([real_scan(scene)]))
    assert torch.equal(furthest_point_sample(points[None], 400), reference(points, offsets, 400, False))


@pytest.mark.slow
def test_equals_reference_on_a_whole_scan(device: str) -> None:
    points, offsets = (
        tensor.to(device) for tensor in ragged([real_scan("scene0000_00"), real_scan("scene0001_00")[:20000]])
    )
    assert torch.equal(furthest_point_sample(points, 4096, offsets, True), reference(points, offsets, 4096, True))


def test_dense_batch_gives_indices_into_each_cloud(device: str) -> None:
    points = torch.stack([drawn("uniform", 200, 1), drawn("surfaces", 200, 2)]).to(device)
    rows = furthest_point_sample(points.flatten(0, 1), 30, torch.tensor([0, 200, 400], device=device))
    assert torch.equal(furthest_point_sample(points, 30), rows - torch.tensor([[0], [200]], device=device))


def test_starts_at_index_zero_and_takes_the_furthest() -> None:
    points = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [5, 0, 0], [2, 0, 0]]])
    assert furthest_point_sample(points, 4).tolist() == [[0, 2, 3, 1]]


def test_points_at_the_origin_are_never_chosen_where_asked() -> None:
    near = 0.0316227  # its float32 square is below 1e-3
    points = torch.tensor([[[1.0, 0, 0], [near, 0, 0], [0, near, 0], [0, 0, 0.04], [-1, 0, 0]]])
    assert furthest_point_sample(points, 5, skip_origin=True).tolist() == [[0, 4, 3, 0, 0]]
    assert sorted(furthest_point_sample(points, 5)[0].tolist()) == [0, 1, 2, 3, 4]


def test_threshold_of_the_origin_is_the_published_double() -> None:
    above = torch.tensor(1e-3).sqrt()
    assert above * above >= torch.tensor(1e-3)  # as float32 1.0000000475e-3, above 1e-3
    points = torch.stack([torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 0]) + above * torch.tensor([1.0, 0, 0])])[None]
    assert furthest_point_sample(points, 2, skip_origin=True).tolist() == [[0, 1]]


def test_all_points_at_the_origin_repeat_index_zero() -> None:
    assert furthest_point_sample(torch.full((1, 70, 3), 1e-3), 4, skip_origin=True).tolist() == [[0, 0, 0, 0]]


def test_more_samples_than_points_repeat() -> None:
    chosen = furthest_point_sample(drawn("uniform", 5)[None], 9)[0].tolist()
    assert sorted(chosen[:5]) == [0, 1, 2, 3, 4]
    assert chosen[5:] == [0] * 4  # all distances are 0: the published reduction prefers index 0


def test_ties_go_by_bit_reversed_thread_then_index() -> None:
    assert tie_order(8, torch.device("cpu")).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
    assert tie_order(11, torch.device("cpu")).tolist() == [0, 8, 4, 2, 10, 6, 1, 9, 5, 3, 7]  # threads 0..7
    assert tie_order(1100, torch.device("cpu"))[:4].tolist() == [0, 512, 1024, 256]  # never more than 512 threads
    points = torch.zeros(1, 8, 3)
    points[0, [1, 3, 6], 0] = 1
    assert furthest_point_sample(points, 2).tolist() == [[0, 6]]


def test_distances_begin_at_1e10() -> None:
    points = torch.tensor([[[0.0, 0, 0], [1e6, 0, 0], [1e7, 0, 0]]])  # squared, both are above
    assert furthest_point_sample(points, 2).tolist() == [[0, 2]]  # the tie goes to thread 0 of two


def test_result_does_not_depend_on_threads() -> None:
    points, offsets = ragged([drawn("surfaces", 500 + 37 * cloud, cloud) for cloud in range(5)])
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(furthest_point_sample(points, 60, offsets))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_input_need_not_be_contiguous(device: str) -> None:
    points = drawn("uniform", 300).T.contiguous().T.to(device)[None]
    assert torch.equal(furthest_point_sample(points, 20), furthest_point_sample(points.contiguous(), 20))


def test_no_clouds(device: str) -> None:
    assert furthest_point_sample(torch.zeros(0, 7, 3, device=device), 4).shape == (0, 4)


def test_bad_arguments_are_named() -> None:
    good = torch.rand(2, 9, 3)
    with pytest.raises(ValueError, match=r"points: expected \(B, N, 3\) float32, found \(9, 3\)"):
        furthest_point_sample(good[0], 2)
    with pytest.raises(ValueError, match=r"points: expected \(B, N, 3\) float32, found \(2, 9, 3\) torch.float64"):
        furthest_point_sample(good.double(), 2)
    with pytest.raises(ValueError, match=r"points: expected \(B, N > 0, 3\), found \(2, 0, 3\)"):
        furthest_point_sample(good[:, :0], 2)
    with pytest.raises(ValueError, match="k: expected at least 1, found 0"):
        furthest_point_sample(good, 0)
    with pytest.raises(ValueError, match=r"offsets: expected rows rising from 0 to 9, found \[0, 10\]"):
        furthest_point_sample(good[0], 2, torch.tensor([0, 10]))
    with pytest.raises(ValueError, match="offsets: expected a point in every cloud, found none in cloud 1"):
        furthest_point_sample(good[0], 2, torch.tensor([0, 4, 4, 9]))
    with pytest.raises(ValueError, match=r"points: expected finite coordinates, found .* in row 4"):
        furthest_point_sample(good[:1].index_fill(1, torch.tensor([4]), torch.nan), 2)


def test_registration(device: str) -> None:
    arguments = (torch.rand(50, 3, device=device), torch.tensor([0, 20, 50], device=device), 8, True)
    torch.library.opcheck(torch.ops.g3d.furthest_point_sample, arguments)
