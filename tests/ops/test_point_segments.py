"""Superpoints and normals of clouds without a mesh."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from g3d.kernels.mesh_segments import reference_graph
from g3d.kernels.point_normals import reference
from g3d.ops import point_segments as module
from g3d.ops.point_segments import point_normals, point_segments


def box_room(points: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points on three sides of a 3 m cube that meet in a corner, with 2 mm noise, and the side of each."""
    draw = torch.Generator().manual_seed(seed)
    side = torch.randint(0, 3, (points,), generator=draw)
    cloud = torch.rand(points, 3, generator=draw) * 3
    cloud[torch.arange(points), side] = torch.randn(points, generator=draw) * 0.002
    return cloud, side


def test_flat_sides_are_told_apart() -> None:
    cloud, side = box_room(6000)
    found = point_segments(cloud)
    away = cloud.sort(1).values[:, 1] > 0.3  # of a corner's edges, where normals mix
    for wall in range(3):
        here = found[(side == wall) & away].bincount(minlength=int(found.max()) + 1)
        assert here.max() > 0.95 * here.sum()
    assert found[(side == 0) & away].mode().values != found[(side == 1) & away].mode().values
    assert found.bincount().min() >= 20


def test_normals_of_flat_sides() -> None:
    cloud, side = box_room(6000)
    inner = cloud.sort(1).values[:, 1] > 0.3
    normals = point_normals(cloud, 16)
    assert normals[inner].gather(1, side[inner, None]).min() > 0.99
    assert (normals.norm(dim=1) - 1).abs().max() < 1e-6


@pytest.mark.parametrize("k", [1, 2, 3, 8, 40])
def test_normals_equal_reference(k: int) -> None:
    cloud = torch.randn(200, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([3.0, 1, 0.1]) + 50
    near = module._nearest(cloud, k)
    found, expected = module._normals(cloud, near), reference(cloud, near)
    if k > 2:
        assert (found - expected).abs().max() < 1e-6
    offsets = cloud.double()[near] - cloud.double()[near].mean(
        1, keepdim=True
    )  # on a line the direction is open: compare how thin it is
    spread = [((offsets @ n.double()[:, :, None]) ** 2).sum((1, 2)) for n in (found, expected)]
    assert (spread[0] - spread[1]).abs().max() < 1e-8


def test_real_normals_equal_reference_and_the_mesh(real_scan: tuple[Tensor, Tensor]) -> None:
    vertices, faces = real_scan
    near = module._nearest(vertices, 8)
    found = module._normals(vertices, near)
    assert (found - reference(vertices, near)).abs().max() < 1e-5
    by_faces = torch.nn.functional.normalize(reference_graph(vertices, faces)[0], dim=1)
    assert (found * by_faces).sum(1).abs().median() > 0.99


def test_normals_of_repeated_points_are_unit_vectors() -> None:
    assert point_normals(torch.full((20, 3), 2.5), 4).tolist() == [[1, 0, 0]] * 20


def test_given_normals_are_oriented() -> None:
    cloud, side = box_room(3000)
    out = torch.nn.functional.one_hot(side, 3).float()
    assert point_segments(cloud, normals=out, min_vertices=1).max() == 2
    mixed = out * (torch.arange(3000) % 2 * 2 - 1)[:, None]
    assert point_segments(cloud, normals=mixed, min_vertices=1).max() > 2


def test_repeatable_and_in_compact_numbers() -> None:
    cloud, _ = box_room(2000, 3)
    first, second = point_segments(cloud, 6), point_segments(cloud.T.contiguous().T, 6)
    assert torch.equal(first, second)
    roots = point_segments(cloud, 6, roots=True)
    assert torch.equal(roots.unique(return_inverse=True)[1], first)


def test_few_points() -> None:
    assert point_segments(torch.zeros(0, 3)).tolist() == []
    assert point_segments(torch.zeros(1, 3)).tolist() == [0]
    assert point_segments(torch.rand(3, 3), 16).tolist() == [0, 0, 0]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="points: row 1 is not finite"):
        point_segments(torch.tensor([[0.0, 0, 0], [0, torch.nan, 0]]))
    with pytest.raises(ValueError, match="neighbours: expected 1 or more, found 0"):
        point_normals(torch.zeros(4, 3), 0)
    with pytest.raises(ValueError, match=r"points: expected \(N, 3\) float32, found \(4, 2\)"):
        point_normals(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"normals: expected \(4, 3\) as points, found \(3, 3\)"):
        point_segments(torch.zeros(4, 3), normals=torch.zeros(3, 3))


def test_registration() -> None:
    torch.library.opcheck(torch.ops.g3d.point_normals, module._example())
