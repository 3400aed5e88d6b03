"""Superpoints: the kernels give the oracle's and the published partitions, and each rule has its own test."""

from __future__ import annotations

import json
import logging
import zlib

import numpy as np
import pytest
import torch
from conftest import REAL_SCAN, SHARED
from parity.runner import find_cases, run_case
from torch import Tensor

from g3d.kernels.mesh_segments import reference_graph, reference_segments
from g3d.ops import mesh_segments as module
from g3d.ops.mesh_segments import graph_segments, mesh_segments

GOLDEN = SHARED / "golden"


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def grid(rows: int, columns: int, height: Tensor) -> tuple[Tensor, Tensor]:
    """A surface over a grid of one metre, two triangles a cell."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    corner = (y * columns + x)[:-1, :-1].flatten()
    faces = torch.cat(
        [
            torch.stack([corner, corner + 1, corner + columns], 1),
            torch.stack([corner + 1, corner + columns + 1, corner + columns], 1),
        ]
    )
    return torch.stack([x.flatten(), y.flatten(), height.flatten()], 1).float(), faces


def hills(rows: int, columns: int, size: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    return grid(rows, columns, torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) * size)


def by_oracle(vertices: Tensor, faces: Tensor, threshold: float, min_vertices: int) -> Tensor:
    return reference_segments(vertices, *reference_graph(vertices, faces), threshold, min_vertices, True)


@pytest.mark.parametrize(
    ("rows", "columns", "size"), [(20, 30, 0.0), (20, 30, 0.05), (20, 30, 0.5), (2, 2, 1.0), (40, 3, 3.0)]
)
@pytest.mark.parametrize(("threshold", "min_vertices"), [(0.01, 20), (0.001, 1), (0.5, 5)])
def test_equals_oracle(device: str, rows: int, columns: int, size: float, threshold: float, min_vertices: int) -> None:
    vertices, faces = hills(rows, columns, size)
    found = mesh_segments(vertices.to(device), faces.to(device), threshold, min_vertices, roots=True)
    assert found.device.type == device
    assert torch.equal(found.cpu(), by_oracle(vertices, faces, threshold, min_vertices))


def test_graph_equals_oracle_to_the_bit() -> None:
    vertices, faces = hills(30, 30, 0.8)
    faces[17] = faces[17, [0, 0, 1]]
    for found, expected in zip(module._graph(vertices, faces), reference_graph(vertices, faces), strict=True):
        assert torch.equal(found, expected)


def test_made_mesh_as_the_published_segmenter() -> None:
    """bqnet's data_prep, by Karbo123/segmentator, numbers included."""
    file = GOLDEN / "bqnet" / "data_prep.npz"
    if not file.is_file():
        pytest.skip("the published results are not here")
    with np.load(file) as case:
        vertices, faces = torch.from_numpy(case["in.vertices"]), torch.from_numpy(case["in.faces"])
        assert np.array_equal(mesh_segments(vertices, faces), case["out.superpoint"])
        assert np.array_equal(mesh_segments(vertices, faces, 0.05, 50), case["out.superpoint_k05_m50"])


def test_made_scene_as_the_published_segmenters() -> None:
    """scannet's segmentator: five settings, by the tool of ScanNet/ScanNet and by Karbo123/segmentator."""
    if not GOLDEN.is_dir():
        pytest.skip("the published results are not here")
    checks = run_case(find_cases([GOLDEN / "scannet" / "segmentator.json"])[0])
    assert checks is not None
    assert [check.passed for check in checks] == [True] * 5


def test_real_scan(real_scan: tuple[Tensor, Tensor]) -> None:
    """Roots are those of ScanNet/ScanNet's Segmentator built by g++ -O2; of the official file, another build's, 626 of
    668 segments are."""
    vertices, faces = real_scan
    found, roots = mesh_segments(vertices, faces), mesh_segments(vertices, faces, roots=True)
    assert zlib.crc32(roots.int().numpy().tobytes()) == 1016323788
    official = json.loads(REAL_SCAN.with_suffix("").with_suffix(".0.010000.segs.json").read_text())["segIndices"]
    official = np.unique(official, return_inverse=True)[1]
    assert (int(found.max()), official.max()) == (666, 667)
    together = np.zeros((667, 668))
    np.add.at(together, (found.numpy(), official), 1)
    equal = together / (together.sum(1, keepdims=True) + together.sum(0) - together) == 1
    assert equal.sum() == 626
    assert together.max(1).sum() > 0.997 * len(found)
    assert together.max(0).sum() > 0.998 * len(found)


@pytest.mark.slow
def test_real_scan_equals_oracle(real_scan: tuple[Tensor, Tensor]) -> None:
    for threshold, min_vertices in ((0.01, 20), (0.001, 1)):
        found = mesh_segments(*real_scan, threshold, min_vertices, roots=True)
        assert torch.equal(found, by_oracle(*real_scan, threshold, min_vertices))


def test_threads_change_nothing() -> None:
    vertices, faces = hills(40, 40, 0.1)
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(mesh_segments(vertices, faces))
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])


def test_a_concave_edge_parts_and_a_convex_one_parts_less() -> None:
    fold = torch.tensor([0.0, 0, 0, 0, 0, 1, 2, 3, 4, 5]) * 0.25
    vertices, faces = grid(12, 10, fold.expand(12, 10))
    concave = mesh_segments(vertices, faces, 0.01, 1)
    convex = mesh_segments(vertices * torch.tensor([1.0, 1, -1]), faces, 0.01, 1)
    assert len(concave.unique()) > len(convex.unique())


def test_numbers_are_compact_in_the_order_of_the_roots() -> None:
    vertices, faces = hills(20, 20, 0.6)
    roots = mesh_segments(vertices, faces, roots=True)
    assert torch.equal(roots[roots], roots)
    assert torch.equal(mesh_segments(vertices, faces), roots.unique(return_inverse=True)[1])


def test_small_segments_join_a_neighbour_if_they_have_one() -> None:
    vertices, faces = hills(10, 10, 2.0)
    lone, lone_faces = grid(2, 2, torch.zeros(2, 2))
    found = mesh_segments(torch.cat([vertices, lone + 50]), torch.cat([faces, lone_faces + 100]), 0.001, 20)
    sizes = found.bincount()
    assert sizes[found[:100]].min() >= 20
    assert sizes[found[100]] == 4


def test_vertex_without_a_face_is_a_segment() -> None:
    vertices, faces = grid(6, 6, torch.zeros(6, 6))
    found = mesh_segments(torch.cat([vertices[:1], vertices, vertices[:1]]), faces + 1)
    assert found.tolist() == [0, *[1] * 36, 2]
    assert mesh_segments(vertices, faces[:0]).tolist() == list(range(36))
    assert mesh_segments(vertices[:0], faces[:0]).tolist() == []


def test_faces_without_area_are_passed_over_and_told(caplog: pytest.LogCaptureFixture) -> None:
    vertices, faces = hills(8, 8, 0.4)
    nothing = torch.tensor([[3, 3, 9], [0, 1, 2], [60, 60, 60]])
    flat = vertices.clone()
    flat[:3] = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    with caplog.at_level(logging.WARNING):
        found = mesh_segments(flat, torch.cat([nothing, faces, nothing]), 0.01, 3)
    assert "6 of 104 faces have no area" in caplog.text
    assert torch.equal(found, mesh_segments(flat, faces, 0.01, 3))


def test_edges_at_a_nan_normal_join_nothing() -> None:
    points, normals = torch.zeros(3, 3), torch.tensor([[0, 0, 1.0], [0, 0, 1], [torch.nan] * 3])
    edges = torch.tensor([[0, 1], [1, 2], [2, 0]])
    assert graph_segments(points, normals, edges, 0.01, 5).tolist() == [0, 0, 1]
    assert reference_segments(points, normals, edges.int(), 0.01, 5, True).tolist() == [1, 1, 2]


@pytest.mark.parametrize("oriented", [True, False])
def test_given_edges_equal_oracle(oriented: bool) -> None:
    draw = torch.Generator().manual_seed(5)
    points = torch.randn(300, 3, generator=draw)
    normals = torch.nn.functional.normalize(torch.randn(300, 3, generator=draw) + 2, dim=1)
    normals[::7] *= 1.0000002  # weights a little below 0
    edges = torch.randint(0, 300, (4000, 2), generator=draw)
    edges[:500, 1] = edges[:500, 0]
    for threshold, min_vertices in ((0.01, 20), (0.2, 2)):
        found = graph_segments(points, normals, edges, threshold, min_vertices, roots=True, oriented=oriented)
        assert torch.equal(found, reference_segments(points, normals, edges.int(), threshold, min_vertices, oriented))


def test_signs_of_normals_without_orientation_mean_nothing() -> None:
    vertices, faces = hills(15, 15, 0.1)
    normals, edges = reference_graph(vertices, faces)
    flipped = normals * (torch.randint(0, 2, (225, 1), generator=torch.Generator().manual_seed(0)) * 2 - 1)
    first, second = (graph_segments(vertices, n, edges, 0.001, 3, oriented=False) for n in (normals, flipped))
    assert torch.equal(first, second)


def test_input_that_is_not_contiguous() -> None:
    vertices, faces = hills(9, 9, 0.3)
    found = mesh_segments(vertices.T.contiguous().T, faces.int().repeat_interleave(2, 0)[::2])
    assert torch.equal(found, mesh_segments(vertices, faces))


def test_bad_arguments_are_named() -> None:
    vertices, faces = hills(3, 3, 0.1)
    with pytest.raises(ValueError, match=r"faces: expected rows 0\.\.8, found 0\.\.9"):
        mesh_segments(vertices, faces + (faces == 8))
    with pytest.raises(ValueError, match=r"faces: expected rows 0\.\.8, found -1\.\.7"):
        mesh_segments(vertices, faces - 1)
    with pytest.raises(ValueError, match=r"vertices: expected \(N, 3\) float32, found \(9, 3\) torch.float64"):
        mesh_segments(vertices.double(), faces)
    with pytest.raises(ValueError, match=r"faces: expected \(\.\., 3\) int32 or int64, found \(8, 3\) torch.float32"):
        mesh_segments(vertices, faces.float())
    with pytest.raises(ValueError, match=r"normals: expected \(9, 3\) as points, found \(8, 3\)"):
        graph_segments(vertices, vertices[:8], faces[:, :2])
    with pytest.raises(ValueError, match=r"edges: expected \(\.\., 2\) int32 or int64"):
        graph_segments(vertices, vertices, faces)


def test_registration() -> None:
    mesh = hills(6, 6, 0.2)
    torch.library.opcheck(torch.ops.g3d.mesh_graph, mesh)
    torch.library.opcheck(torch.ops.g3d.graph_segments, (mesh[0], *reference_graph(*mesh), 0.01, 5, True))
