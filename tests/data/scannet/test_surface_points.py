"""Meshes with few vertices are sampled on their surface; scans are used as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from g3d.data.request import InferRequest
from g3d.data.scannet.detection_samples import DetectionSamples, PointSettings
from g3d.data.scannet.surface_points import surface_points
from g3d.data.scannet.user_scenes import UserScenes


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_box_of_eight_vertices_is_covered_evenly() -> None:
    box = trimesh.creation.box((4.0, 2.0, 1.0))
    colours = np.zeros((8, 3), np.uint8)
    colours[box.vertices[:, 2] > 0] = 200
    vertices, faces = box.vertices.astype(np.float32), np.asarray(box.faces)
    points, found = surface_points(vertices, faces, colours, generator(), "box")
    assert len(points) == np.ceil(28 / 0.025**2)
    on_face = np.abs(np.abs(points) - [2, 1, 0.5]) < 1e-5
    assert on_face.any(1).all()
    shares = [float((on_face[:, axis] & ~on_face[:, axis - 1]).mean()) for axis in range(3)]
    assert shares == pytest.approx([4 / 28, 8 / 28, 16 / 28], abs=0.01)
    assert np.allclose(found[:, 0], (points[:, 2] + 0.5) * 200, atol=1)
    again, _ = surface_points(vertices, faces, colours, generator(), "box")
    assert np.array_equal(points, again)


def test_scans_and_clouds_are_not_changed() -> None:
    fine = trimesh.creation.icosphere(subdivisions=5, radius=1.0)
    vertices, colours = fine.vertices.astype(np.float32), np.zeros(fine.vertices.shape, np.uint8)
    for faces in (np.asarray(fine.faces), np.zeros((0, 3), np.int32)):
        points, _ = surface_points(vertices, faces, colours, generator(), "sphere")
        assert points is vertices


def test_a_modelled_room_of_few_vertices_is_a_sample(tmp_path: Path) -> None:
    trimesh.creation.box((5.0, 4.0, 2.5)).export(tmp_path / "room.glb")
    sources = UserScenes(InferRequest(scenes=(tmp_path / "room.glb",))).sources
    (sample,) = DetectionSamples(sources, PointSettings(500)).read([0], None)
    assert len(np.unique(sample.points.numpy(), axis=0)) == 500
