"""Three nearest neighbours: every path gives the reference's indices and distances, and each rule has its own test."""

from __future__ import annotations

import pytest
import torch
from support.point_clouds import DRAWN, SCENES, drawn, real_scan
from torch import Tensor

from g3d.kernels.three_nn import reference
from g3d.ops.three_nn import interpolation_weights, three_nn


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def assert_equal(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    assert torch.equal(found[1], expected[1])
    assert torch.equal(found[0], expected[0])


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize(("points", "known"), [(500, 300), (33, 1000), (17, 3), (1, 17), (40, 2), (16, 1)])
def test_equals_reference(device: str, kind: str, points: int, known: int) -> None:
    a = torch.stack([drawn(kind, points, seed) for seed in (1, 2)]).to(device)
    b = torch.stack([drawn(kind, known, seed) for seed in (3, 4)]).to(device)
    assert_equal(three_nn(a, b), reference(a, b))


@pytest.mark.parametrize("scene", SCENES)
def test_equals_reference_on_a_real_scan(device: str, scene: str) -> None:
    points = real_scan(scene).to(device)[None, ::9]
    assert_equal(three_nn(points, points[:, ::7]), reference(points, points[:, ::7]))


@pytest.mark.slow
def test_equals_reference_on_a_whole_scan(device: str) -> None:
    points = real_scan("scene0000_00").to(device)[None]
    assert_equal(three_nn(points, points[:, ::60]), reference(points, points[:, ::60]))


def test_distances_ascend_and_are_not_squared() -> None:
    known = torch.tensor([[[0.0, 0, 5], [0, 0, 2], [0, 0, 3], [0, 4, 0]]])
    distances, indices = three_nn(torch.zeros(1, 1, 3), known)
    assert distances.tolist() == [[[2, 3, 4]]]
    assert indices.tolist() == [[[1, 2, 3]]]


def test_of_equal_distances_the_lowest_index_comes_first() -> None:
    known = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, 1], [-1, 0, 0]])[None]
    assert three_nn(torch.zeros(1, 1, 3), known)[1].tolist() == [[[0, 1, 2]]]


def test_fewer_than_three_known_points() -> None:
    distances, indices = three_nn(torch.zeros(1, 1, 3), torch.tensor([[[9.0, 0, 0], [1, 0, 0]]]))
    assert distances.tolist() == [[[1, 9, torch.inf]]]
    assert indices.tolist() == [[[1, 0, 0]]]
    distances, indices = three_nn(torch.zeros(2, 4, 3), torch.zeros(2, 0, 3))
    assert distances.isinf().all()
    assert not indices.any()


def test_weights_are_inverse_distances_that_sum_to_one() -> None:
    weights = interpolation_weights(torch.tensor([[1.0, 2, 4], [0, 1, 2], [3, torch.inf, torch.inf]]))
    torch.testing.assert_close(weights, torch.tensor([[4 / 7, 2 / 7, 1 / 7], [1, 1e-8, 5e-9], [1, 0, 0]]))


def test_result_does_not_depend_on_threads() -> None:
    points, threads, found = drawn("surfaces", 2000)[None], torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(three_nn(points, points[:, :333]))
    finally:
        torch.set_num_threads(threads)
    assert_equal(*found)


def test_input_need_not_be_contiguous(device: str) -> None:
    points = drawn("uniform", 300).T.contiguous().T.to(device)[None]
    assert_equal(
        three_nn(points[:, ::2], points[:, ::7]), three_nn(points[:, ::2].contiguous(), points[:, ::7].contiguous())
    )


def test_nothing_to_do(device: str) -> None:
    points = torch.rand(2, 5, 3, device=device)
    assert three_nn(points[:, :0], points)[1].shape == (2, 0, 3)
    assert three_nn(points[:0], points[:0])[1].shape == (0, 5, 3)


def test_bad_arguments_are_named() -> None:
    points = torch.rand(2, 5, 3)
    with pytest.raises(ValueError, match=r"points: expected \(B, N, 3\) float32, found \(5, 3\)"):
        three_nn(points[0], points)
    with pytest.raises(ValueError, match=r"known: expected \(B, M, 3\) float32, found \(2, 5, 3\) torch.float64"):
        three_nn(points, points.double())
    with pytest.raises(ValueError, match=r"known: expected \(2, M, 3\), found \(1, 5, 3\)"):
        three_nn(points, points[:1])
    with pytest.raises(ValueError, match="known: expected finite coordinates"):
        three_nn(points, points / 0)


def test_registration(device: str) -> None:
    torch.library.opcheck(
        torch.ops.g3d.three_nn, (torch.rand(1, 50, 3, device=device), torch.rand(1, 6, 3, device=device))
    )
