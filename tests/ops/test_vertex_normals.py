"""Vertex normals equal their reference, and each rule has its own test."""

from __future__ import annotations

import pytest
import torch

from g3d.kernels.vertex_normals import reference
from g3d.ops.vertex_normals import vertex_normals


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize(("vertices", "faces"), [(500, 900), (3, 1), (5, 0), (0, 0)])
def test_equals_reference(device: str, vertices: int, faces: int) -> None:
    random = torch.Generator().manual_seed(0)
    places = torch.rand(vertices, 3, generator=random).to(device)
    rows = torch.randint(0, max(1, vertices), (faces, 3), generator=random, dtype=torch.int32).to(device)
    assert torch.allclose(vertex_normals(places, rows), reference(places, rows), atol=1e-6)


def test_a_corner_points_between_its_faces_whatever_their_size() -> None:
    corner = torch.tensor([[0.0, 0, 0], [9, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = torch.tensor([[0, 1, 2], [0, 3, 1]], dtype=torch.int32)
    assert torch.allclose(vertex_normals(corner, faces)[0], torch.tensor([0.0, 0.5**0.5, 0.5**0.5]))


def test_vertices_without_area_get_nothing() -> None:
    line = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]])
    assert not vertex_normals(line, torch.tensor([[0, 1, 2]], dtype=torch.int32)).any()


def test_faces_beyond_the_vertices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"faces: expected rows 0..2, found 0..3"):
        vertex_normals(torch.zeros(3, 3), torch.tensor([[0, 1, 3]], dtype=torch.int32))


def test_strides_do_not_matter() -> None:
    places = torch.rand(3, 40, generator=torch.Generator().manual_seed(1)).T
    faces = torch.arange(39, dtype=torch.int32).reshape(3, 13).T
    assert torch.equal(vertex_normals(places, faces), vertex_normals(places.contiguous(), faces.contiguous()))
