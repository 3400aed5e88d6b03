"""Arrays made from raw scans: the rules of the parity cases, the correct variants, and a real published scene."""

from __future__ import annotations

import numpy as np
import pytest
from parity.kinds.scannet import made_scan
from support import paths

from g3d.data.scannet.arrays import (
    align,
    ground_truth_ids,
    instances_without_stuff,
    object_boxes,
    prepared_scene,
    published_normals,
    published_sample_rows,
    refer_instances,
    sample_rows,
    scanrefer_scene,
    scene_arrays,
    vertex_normals,
    votenet_scene,
)
from g3d.data.scannet.folder import Scan, ScanFolder, read_scan
from g3d.data.scannet.labels import IGNORE, Category, LabelTable
from g3d.data.scannet.mesh import Mesh
from g3d.data.scannet.published import read_votenet
from g3d.data.scannet.raw import Aggregation, ObjectGroup
from g3d.errors import InputError

GOLDEN = paths.GOLDEN / "scannet"
REAL = paths.REAL / "scannet"
TABLE = LabelTable((Category("wall", 1, "wall", 1), Category("chair", 2, "chair", 5), Category("rug", 3, "rug", 20)))
SEGMENTS = np.array([10, 10, 20, 20, 30, 5_000_000_000])


@pytest.fixture(scope="module")
def made() -> tuple[Scan, LabelTable]:
    return made_scan({"scene": "scene0900_00"}, GOLDEN)


def groups(*objects: tuple[int, str, list[int]]) -> Aggregation:
    return Aggregation(
        tuple(ObjectGroup(k, k, label, np.array(segments, np.int64)) for k, label, segments in objects), 2, {}
    )


def mesh(count: int = 6) -> Mesh:
    vertices = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    return Mesh(vertices, np.full((count, 3), 255, np.uint8), np.array([[0, 1, 2]], np.int32), None)


def test_summed_normals_are_the_sum_of_unit_face_normals(made: tuple[Scan, LabelTable]) -> None:
    vertices, faces = made[0].mesh.vertices, made[0].mesh.faces
    expected = np.zeros((len(vertices), 3))
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for column in faces.T:
        np.add.at(expected, column, normals)
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    found = vertex_normals(vertices, faces)
    assert found.dtype == np.float32
    assert np.abs(found - expected / np.maximum(length, 1e-12)).max() < 1e-5
    unused = np.setdiff1d(np.arange(len(vertices)), faces)
    assert len(unused) == 2
    assert not found[unused].any()


def test_published_normals_keep_the_last_face_of_each_column() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    faces = np.array(
        [[0, 1, 2], [0, 2, 3], [3, 1, 0]], np.int32
    )  # vertex 0: +x of face 1 from column 0, +y of face 2 from column 2
    found = published_normals(vertices, faces)
    assert np.allclose(found[0], np.array([1, 1, 0]) / np.sqrt(2), atol=1e-6)
    assert np.allclose(vertex_normals(vertices, faces)[0], np.ones(3) / np.sqrt(3), atol=1e-6)


def test_a_face_without_area_and_a_cloud_without_faces_give_no_normal() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], np.float32)
    for made_normals in (vertex_normals, published_normals):
        assert not made_normals(vertices, np.array([[0, 1, 2]], np.int32)).any()
        assert made_normals(vertices, np.zeros((0, 3), np.int32)).shape == (3, 3)


def test_later_labels_and_later_objects_overwrite() -> None:
    """Objects of one label are labelled together, where the first of them stands: class and instance of segment 20
    disagree."""
    found = scene_arrays(
        mesh(), SEGMENTS, groups((0, "chair", [10]), (1, "rug", [20]), (2, "chair", [20, 30])), TABLE, None
    )
    assert found.semantic.tolist() == [5, 5, 20, 20, 5, 0]
    assert found.instance.tolist() == [1, 1, 3, 3, 3, 0]
    assert found.boxes[:, 6:].tolist() == [
        [5, 0],
        [0, 0],
        [20, 2],
    ]  # the class of a first segment; object 1 has no vertex left
    assert (found.semantic.dtype, found.instance.dtype, found.boxes.dtype) == (np.uint32, np.uint32, np.float64)


def test_objects_need_not_be_numbered_without_gaps() -> None:
    found = scene_arrays(mesh(), SEGMENTS, groups((70_000, "rug", [30]), (3, "chair", [5_000_000_000])), TABLE, None)
    assert found.boxes.tolist() == [[15, 16, 17, 0, 0, 0, 5, 3], [12, 13, 14, 0, 0, 0, 20, 70_000]]


def test_boxes_are_bounds() -> None:
    vertices = np.array([[0, 0, 0], [2, 4, 6], [1, 1, 1], [9, 9, 9]], np.float32)
    found = object_boxes(vertices, np.array([1, 1, 1, 0], np.uint32), np.array([[5, 0], [7, 4]]))
    assert found.tolist() == [[1, 2, 3, 2, 4, 6, 5, 0], [0] * 8]
    assert object_boxes(vertices, np.zeros(4, np.uint32), np.array([[5, 0]])).tolist() == [[0] * 8]


def test_a_lone_object_is_kept_whatever_it_is() -> None:
    def kept(aggregation: Aggregation | None) -> list:
        return scanrefer_scene(scene_arrays(mesh(), SEGMENTS, aggregation, TABLE, None)).boxes[:, 6:].tolist()

    assert kept(groups((0, "wall", [10]))) == [[1, 0]]
    assert kept(groups((0, "wall", [10]), (1, "rug", [20]))) == [[20, 1]]
    assert kept(groups()) == kept(None) == [[0, 0]]


def test_votenet_has_18_classes_in_the_aligned_frame() -> None:
    aggregation = groups((0, "wall", [10]), (1, "rug", [20]), (2, "chair", [30]))
    moved = np.eye(4)
    moved[:3, 3] = 1, 2, 3
    found = votenet_scene(scene_arrays(mesh(), SEGMENTS, aggregation, TABLE, moved))
    assert found.boxes.tolist() == [[13, 15, 17, 0, 0, 0, 5]]
    assert found.vertices[0].tolist() == [1, 3, 5, 255, 255, 255]
    with pytest.raises(InputError, match="no axisAlignment"):
        votenet_scene(scene_arrays(mesh(), SEGMENTS, aggregation, TABLE, None))


def test_a_wrong_annotation_is_refused() -> None:
    with pytest.raises(InputError, match="no raw_category 'sofa'"):
        scene_arrays(mesh(), SEGMENTS, groups((0, "sofa", [10])), TABLE, None)
    with pytest.raises(InputError, match="names a segment that no vertex has"):
        scene_arrays(mesh(), SEGMENTS, groups((0, "chair", [11])), TABLE, None)
    with pytest.raises(InputError, match="no colours"):
        scene_arrays(Mesh(np.zeros((1, 3), np.float32), None, np.zeros((0, 3), np.int32), None), None, None, None, None)


def test_rows_are_seeded_by_the_scene() -> None:
    rows = sample_rows("scene0000_00", 81_369)
    assert rows is not None
    assert rows.shape == (50_000,)
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, sample_rows("scene0000_00", 81_369))
    assert not np.array_equal(rows, sample_rows("scene0000_01", 81_369))
    assert sample_rows("scene0000_00", 50_000) is None
    assert published_sample_rows(50_000, 50_000, np.random.RandomState(0)) is None


def test_all_arrays_of_a_sample_share_its_rows(made: tuple[Scan, LabelTable]) -> None:
    scan, table = made
    whole = scene_arrays(scan.mesh, scan.segments, scan.aggregation, table, scan.alignment)
    rows = sample_rows(scan.scene, len(whole.vertices), 1000)
    assert rows is not None
    assert scan.alignment is not None
    part = scanrefer_scene(whole, rows)
    assert part.vertices.shape == part.aligned.shape == (1000, 9)
    assert np.array_equal(part.vertices[:, :3], scan.mesh.vertices[rows])
    assert np.array_equal(part.aligned[:, :3], align(scan.mesh.vertices[rows], scan.alignment))
    assert np.array_equal(part.aligned[:, 3:], part.vertices[:, 3:])  # normals are not rotated, as published
    assert np.array_equal(part.instance, whole.instance[rows])
    assert np.array_equal(part.aligned_boxes, scanrefer_scene(whole).aligned_boxes)


def test_refer_instances_are_object_ids() -> None:
    assert refer_instances(SEGMENTS, groups((4, "wall", [10, 20]), (2, "chair", [20]))).tolist() == [4, 4, 2, 2, -1, -1]


def test_instances_without_stuff_are_numbered_in_file_order() -> None:
    aggregation = groups((4, "wall", [10]), (7, "rug", [30]), (2, "chair", [20]))
    labels = np.array([1, 1, 5, 5, 20, 0])
    found = instances_without_stuff(SEGMENTS, aggregation, TABLE, labels)
    assert found.tolist() == [IGNORE, IGNORE, 1, 1, 0, IGNORE]
    semantic = prepared_scene(mesh(), np.zeros(6, np.int64), labels, found).semantic
    assert semantic is not None
    assert ground_truth_ids(semantic, found).tolist() == [
        0,
        0,
        5002,
        5002,
        1001,
        0,
    ]  # a rug has no class: written as a wall
    assert ground_truth_ids(semantic, np.full(6, IGNORE)).tolist() == [0] * 6


def test_what_the_published_preparation_asserts_is_refused() -> None:
    shared = groups((0, "chair", [10, 20]), (1, "rug", [20]))
    with pytest.raises(InputError, match=r"objects 0 \(chair\) and 1 \(rug\) share segment 20"):
        instances_without_stuff(SEGMENTS, shared, TABLE, np.zeros(6, int))
    with pytest.raises(InputError, match=r"object 3 \(chair\): its vertices have several nyu40 labels, \[0, 5\]"):
        instances_without_stuff(
            SEGMENTS, groups((0, "rug", [30]), (3, "chair", [10, 20])), TABLE, np.array([5, 5, 5, 0, 20, 20])
        )


def test_prepared_scenes_are_centred() -> None:
    found = prepared_scene(mesh(), np.zeros(6, np.int64))
    assert np.abs(found.coords.mean(0)).max() < 1e-6
    assert found.colours.tolist() == [[1.0] * 3] * 6
    assert (found.semantic, found.instance) == (None, None)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real ScanNet sample is not here")
def test_scene0000_00_is_votenets() -> None:
    """From its raw files: the published boxes exactly, and labels equal at the vertices that the published sample
    has."""
    from scipy.spatial import cKDTree

    folder = ScanFolder(REAL)
    scan = read_scan(folder.files("scene0000_00"))
    table = LabelTable.read(folder.meta("scannetv2-labels.combined.tsv"))
    ours = votenet_scene(scene_arrays(scan.mesh, scan.segments, scan.aggregation, table, scan.alignment))
    published = read_votenet(REAL / "votenet_npy", "scene0000_00")
    assert np.array_equal(ours.boxes, published.boxes)
    distance, rows = cKDTree(ours.vertices[:, :3]).query(published.vertices[:, :3])
    assert distance.max() == 0
    assert len(np.unique(rows)) == len(published.vertices) == 50_000
    assert np.array_equal(ours.vertices[rows], published.vertices)
    assert np.array_equal(ours.instance[rows], published.instance)
    assert np.array_equal(ours.semantic[rows], published.semantic)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real ScanNet sample is not here")
def test_scene0000_00_annotation_and_labels_agree() -> None:
    folder = ScanFolder(REAL)
    scan = read_scan(folder.files("scene0000_00"))
    table = LabelTable.read(folder.meta("scannetv2-labels.combined.tsv"))
    assert scan.segments is not None
    assert scan.aggregation is not None
    assert scan.labels is not None
    arrays = scene_arrays(scan.mesh, scan.segments, scan.aggregation, table, scan.alignment)
    assert np.array_equal(arrays.semantic, scan.labels)
    assert np.array_equal(refer_instances(scan.segments, scan.aggregation) + 1, arrays.instance)
    assert len(np.unique(instances_without_stuff(scan.segments, scan.aggregation, table, scan.labels))) > 50
