"""Projected boxes: corners where the camera puts them, cut at the near plane and at the image's border."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.street_frames import CAMERA, SIZE, objects

from g3d.data.answers import CameraBoxes
from g3d.data.kitti.raw import read_calibration, read_labels
from g3d.geometry.boxes import box_corners
from g3d.geometry.cameras import project
from g3d.visualize.wireframe import NEAR, camera_centre, has_box3d, wireframes

KITTI = np.array([[721.5377, 0, 609.5593, 44.85728], [0, 721.5377, 172.854, 0.2163791], [0, 0, 1, 0.002745884]])


def only(things: CameraBoxes, camera: np.ndarray = CAMERA, size: tuple[int, int] = SIZE, margin: float = 0.0):
    (outline,) = wireframes(things, camera, size, margin)
    return outline


def test_a_box_in_view_has_its_twelve_edges_at_the_projected_corners() -> None:
    box = objects(("Car", 1.0, (0, 1, 10), 0.3))
    outline = only(box)
    corners = project(box_corners(box.locations, box.sizes, box.rotation_y), CAMERA)[0]
    assert outline.edges.shape == (12, 2, 2)
    assert np.allclose(outline.edges[0], corners[[0, 1]])
    assert np.allclose(outline.front, corners[[0, 1, 5, 4]])
    assert np.allclose(outline.bounds, [*corners.min(0), *corners.max(0)])


def test_a_box_ahead_shows_its_near_face_and_hides_the_edges_behind() -> None:
    outline = only(
        objects(("Car", 1.0, (0, 1, 10), 0))
    )  # seen square on: only the long side facing the camera is visible
    assert outline.hidden.sum() == 8
    assert np.allclose(
        outline.edges[~outline.hidden][..., 0].max() - outline.edges[~outline.hidden][..., 0].min(), 200 * 4 / 9
    )


def test_a_box_behind_the_camera_or_beside_the_image_is_nothing() -> None:
    assert only(objects(("Car", 1.0, (0, 1, -10), 0))) is None
    assert only(objects(("Car", 1.0, (40, 1, 10), 0))) is None


def test_a_box_that_reaches_behind_the_camera_loses_just_that_part() -> None:
    box = objects(("Car", 1.0, (3, 1, 1), np.pi / 2))  # length along z: from 3 m ahead to 1 m behind
    wide = only(box, margin=1e4)
    assert np.isfinite(wide.edges).all()
    assert len(wide.edges) == 8  # the far face and the four long edges, cut; the four behind are gone
    near = 200 * np.array([2.0, 4.0]) / NEAR + 200
    assert np.allclose(sorted({round(float(x)) for x in wide.edges[..., 0].ravel() if x > 1000}), near)
    cut = only(box)
    assert cut.edges[..., 0].max() <= SIZE[0] - 0.5 + 1e-9
    assert cut.edges[..., 1].max() <= SIZE[1] - 0.5 + 1e-9


def test_pieces_are_cut_at_the_border_on_the_same_line() -> None:
    box = objects(("Car", 1.0, (6.5, 1, 8), 0.4))
    full, cut = only(box, margin=10), only(box)
    assert len(cut.edges) < len(full.edges)
    for edge in cut.edges:
        assert any(_on_line(edge, whole) for whole in full.edges)


def _on_line(piece: np.ndarray, whole: np.ndarray) -> bool:
    direction = whole[1] - whole[0]
    offsets = piece - whole[0]
    return bool(np.allclose(offsets[:, 0] * direction[1] - offsets[:, 1] * direction[0], 0, atol=1e-6))


@pytest.mark.parametrize("change", [{"sizes": [[-1.0, -1, -1]]}, {"locations": [[-1000.0, -1000, -1000]]}])
def test_regions_without_a_3d_box_are_not_drawn(change: dict) -> None:
    region = CameraBoxes(
        **{**objects(("DontCare", None, (0, 1, 10), -10)).__dict__, **{k: np.array(v) for k, v in change.items()}}
    )
    assert not has_box3d(region).any()
    assert only(region) is None


def test_camera_centre_projects_to_nothing() -> None:
    assert np.allclose(KITTI @ [*camera_centre(KITTI), 1], 0)


def test_inside_a_box_every_edge_counts_as_visible() -> None:
    outline = only(objects(("Car", 1.0, (0, 1, 0), np.pi / 2), size=(2, 20, 40)), margin=1e4)
    assert not outline.hidden.any()


def test_real_labels_project_onto_their_2d_boxes(real_kitti: Path) -> None:
    overlaps = []
    for path in sorted((real_kitti / "label_2").glob("*.txt")):
        labels = read_labels(path)
        labels = labels[has_box3d(labels)]
        with Image.open(real_kitti / "image_2" / f"{path.stem}.png") as image:
            outlines = wireframes(labels, read_calibration(real_kitti / "calib" / path.name), image.size)
        overlaps += [
            _overlap(outline.bounds, box)
            for outline, box in zip(outlines, labels.boxes2d, strict=True)
            if outline is not None
        ]
    assert len(overlaps) > 20
    assert np.mean(overlaps) > 0.9


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    inner = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(inner / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner))
