"""Ball query: every path gives the reference's indices, and each rule of the semantics has its own test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import paths
from support.point_clouds import DRAWN, SCENES, drawn, ragged, real_scan

from g3d.kernels.ball_query import reference
from g3d.ops.ball_query import ball_query


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("pad", ["first", "none"])
@pytest.mark.parametrize(("radius", "k"), [(0.07, 8), (0.25, 3), (0.25, 70), (5.0, 16), (1e-21, 4)])
def test_equals_reference(device: str, kind: str, pad: str, radius: float, k: int) -> None:
    points, offsets = (tensor.to(device) for tensor in ragged([drawn(kind, count, count) for count in (900, 1, 40)]))
    centres, centre_offsets = (
        tensor.to(device) for tensor in ragged([drawn(kind, count, count) for count in (70, 0, 65)])
    )
    found = ball_query(points, centres, radius, k, offsets, centre_offsets, pad)
    assert torch.equal(found, reference(points, offsets, centres, centre_offsets, radius, k, pad == "first"))


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(("radius", "k"), [(0.2, 64), (0.8, 16)])
def test_equals_reference_on_a_real_scan(device: str, scene: str, radius: float, k: int) -> None:
    points = real_scan(scene).to(device)
    centres = points[::400]
    offsets, centre_offsets = (
        torch.tensor([0, len(points)], device=device),
        torch.tensor([0, len(centres)], device=device),
    )
    found = ball_query(points[None], centres[None], radius, k)[0]
    assert torch.equal(found, reference(points, offsets, centres, centre_offsets, radius, k, True))


@pytest.mark.parametrize("pad", ["first", "none"])
def test_dense_batch_gives_indices_into_each_cloud(device: str, pad: str) -> None:
    points = torch.stack([drawn("uniform", 300, 1), drawn("surfaces", 300, 2)]).to(device)
    centres = points[:, :20] + 0.3
    for cloud in range(2):
        alone = ball_query(points[cloud : cloud + 1], centres[cloud : cloud + 1], 0.2, 12, pad=pad)
        assert torch.equal(ball_query(points, centres, 0.2, 12, pad=pad)[cloud], alone[0])


def test_centre_without_a_hit_takes_the_first_point() -> None:
    far = torch.full((1, 1, 3), 9.0)
    assert ball_query(torch.zeros(1, 4, 3), far, 0.1, 3).tolist() == [[[0, 0, 0]]]
    assert ball_query(torch.zeros(4, 3), far[0], 0.1, 3, torch.tensor([0, 2, 4]), torch.tensor([0, 0, 1])).tolist() == [
        [2, 2, 2]
    ]
    assert ball_query(torch.zeros(1, 4, 3), far, 0.1, 3, pad="none").tolist() == [[[-1, -1, -1]]]


def test_slots_left_over_repeat_the_first_hit() -> None:
    points = torch.tensor([[[9.0, 0, 0], [0.1, 0, 0], [0, 0, 0]]])
    assert ball_query(points, torch.zeros(1, 1, 3), 0.5, 4).tolist() == [[[1, 2, 1, 1]]]
    assert ball_query(points, torch.zeros(1, 1, 3), 0.5, 4, pad="none").tolist() == [[[1, 2, -1, -1]]]


def test_first_by_index_not_by_distance() -> None:
    points = torch.linspace(0.9, 0, 10)[:, None] * torch.tensor([1.0, 0, 0])
    assert ball_query(points[None], torch.zeros(1, 1, 3), 1.0, 3).tolist() == [[[0, 1, 2]]]


def test_distance_test_is_strict() -> None:
    assert ball_query(torch.tensor([[[1.0, 0, 0], [0, 0, 0]]]), torch.zeros(1, 1, 3), 1.0, 2).tolist() == [[[1, 1]]]


def test_threshold_is_the_float32_square_of_the_float32_radius() -> None:
    radius = 0.9
    single = np.float32(radius)
    assert single * single < np.float32(radius * radius)
    points = torch.tensor([[[float(single), 0.0, 0.0]]])
    assert ball_query(points, torch.zeros(1, 1, 3), radius, 1, pad="none").item() == -1


def test_published_case_with_padding_by_minus_one(device: str) -> None:
    with np.load(paths.GOLDEN / "scannet" / "ball_query.npz") as case:
        points, queries = (torch.from_numpy(case[f"in.ball.{name}"]).to(device) for name in ("points", "queries"))
        found = ball_query(points[None], queries[None], 0.04, 25, pad="none")[0]
        assert np.array_equal(found.cpu().numpy(), case["out.ball.index"])


def test_result_does_not_depend_on_threads() -> None:
    points, threads, found = drawn("surfaces", 3000)[None], torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(ball_query(points, points[:, :500], 0.3, 20))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_input_need_not_be_contiguous(device: str) -> None:
    points = drawn("uniform", 300).T.contiguous().T.to(device)[None]
    assert torch.equal(
        ball_query(points, points[:, ::7], 0.2, 8), ball_query(points.contiguous(), points[:, ::7].contiguous(), 0.2, 8)
    )


def test_nothing_to_do(device: str) -> None:
    points = torch.rand(2, 5, 3, device=device)
    assert ball_query(points, points[:, :0], 0.1, 4).shape == (2, 0, 4)
    assert ball_query(points[:0], points[:0], 0.1, 4).shape == (0, 5, 4)
    assert ball_query(points[:, :0], points, 0.1, 2, pad="none").tolist() == [[[-1, -1]] * 5] * 2


def test_bad_arguments_are_named() -> None:
    points = torch.rand(2, 5, 3)
    with pytest.raises(ValueError, match=r"points: expected \(B, N > 0, 3\), found \(2, 0, 3\)"):
        ball_query(points[:, :0], points, 0.1, 1)
    with pytest.raises(ValueError, match=r"points: expected \(B, N, 3\) float32, found \(2, 5, 2\)"):
        ball_query(points[..., :2], points, 0.1, 1)
    with pytest.raises(ValueError, match=r"centres: expected \(2, M, 3\), found \(1, 5, 3\)"):
        ball_query(points, points[:1], 0.1, 1)
    with pytest.raises(ValueError, match="radius: expected above 0, found -1"):
        ball_query(points, points, -1, 1)
    with pytest.raises(ValueError, match="k: expected at least 1, found 0"):
        ball_query(points, points, 1, 0)
    with pytest.raises(ValueError, match="pad: expected first or none, found 'last'"):
        ball_query(points, points, 1, 1, pad="last")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="centre_offsets: expected for ragged clouds, found None"):
        ball_query(points[0], points[0], 1, 1, torch.tensor([0, 5]))
    with pytest.raises(ValueError, match=r"centre_offsets: expected \(2,\) as offsets, found \(3,\)"):
        ball_query(points[0], points[0], 1, 1, torch.tensor([0, 5]), torch.tensor([0, 2, 5]))
    with pytest.raises(ValueError, match=r"centres: expected finite coordinates, found .* in row 7"):
        ball_query(points, points.flatten(0, 1).index_fill(0, torch.tensor([7]), torch.inf).view(2, 5, 3), 1, 1)


def test_registration(device: str) -> None:
    points, offsets = torch.rand(50, 3, device=device), torch.tensor([0, 20, 50], device=device)
    torch.library.opcheck(torch.ops.g3d.ball_query, (points, offsets, points, offsets, 0.3, 8, True))
