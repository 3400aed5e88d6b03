"""Scenes of a folder: three forms of the same scans, split lists, and what is missing."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.scans import draw_scans
from support.verbs import g3d

from g3d.data.scannet.detection_scenes import find_scenes, read_detection_scene, read_scene_boxes, split_scenes
from g3d.data.scannet.labels import DETECTION18_IDS
from g3d.errors import InputError, MissingDataError

FORMS = {
    "prepared": "g3d",
    "votenet": "g3d/published/votenet",
    "scanrefer": "g3d/published/scanrefer/scannet_data",
}
ANNOTATED = ["scene0000_00", "scene0001_00", "scene0002_00"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three annotated scans and a test scan in all forms; read only."""
    root = draw_scans(tmp_path_factory.mktemp("scannet"), 4, test=1)
    forms = ("--published", "votenet", "--published", "scanrefer", "--maximum", "900")
    assert g3d("prepare", "scannet", "--data", str(root), *forms)[0] == 0
    return root


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_scene(raw: Path, form: str) -> None:
    scenes, reference = find_scenes(raw / FORMS[form]), find_scenes(raw / "g3d")
    assert set(ANNOTATED) <= set(scenes)
    for name in ANNOTATED:
        found, wanted = read_detection_scene(scenes[name]), read_detection_scene(reference[name])
        assert len(found.points) == 900
        assert found.name == name
        for field in ("points", "colours", "instances", "nyu40"):
            assert np.array_equal(getattr(found, field), getattr(wanted, field)), field
        kept, others = (np.isin(scene.box_nyu40, DETECTION18_IDS) for scene in (found, wanted))
        assert np.allclose(found.boxes[kept], wanted.boxes[others])
        assert kept.any()
        ids = wanted.box_ids[others] if form != "votenet" else np.full(kept.sum(), -1)
        assert np.array_equal(found.box_ids[kept], ids)
        boxes = read_scene_boxes(scenes[name])
        assert boxes is not None
        assert np.array_equal(boxes, np.column_stack([found.boxes, found.box_nyu40, found.box_ids]))


def test_points_and_boxes_are_in_the_aligned_frame(raw: Path) -> None:
    scene = read_detection_scene(find_scenes(raw / "g3d" / "published" / "scanrefer")["scene0000_00"])
    for box, number in zip(scene.boxes, scene.box_ids, strict=True):
        inside = scene.points[scene.instances == number + 1]
        assert (np.abs(inside - box[:3]) <= box[3:] / 2 + 1e-5).all()


@pytest.mark.parametrize("form", ["prepared", "scanrefer"])
def test_a_test_scan_is_not_annotated(raw: Path, form: str) -> None:
    path = find_scenes(raw / FORMS[form])["scene0003_00"]
    assert read_scene_boxes(path) is None
    scene = read_detection_scene(path)
    assert not scene.annotated
    assert not scene.instances.any()
    assert len(scene.boxes) == 0


def test_split_lists_are_searched_above_the_folder(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert split_scenes(raw / "g3d", "train") == ANNOTATED[:2]
    assert split_scenes(raw, "val") == ANNOTATED[2:]
    assert split_scenes(raw / "g3d" / "scenes", "all") == [*ANNOTATED, "scene0003_00"]
    own = raw / "own.txt"
    own.write_text("scene0002_00\nscene0999_00\nscene0000_00\n")
    with caplog.at_level(logging.WARNING):
        assert split_scenes(raw / "g3d", str(own)) == ["scene0002_00", "scene0000_00"]
    assert "2 of the 3 scenes" in caplog.text


def test_what_is_missing_is_one_line(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no prepared or published scenes"):
        split_scenes(tmp_path, "all")
    with pytest.raises(MissingDataError, match="did you mean 'train'"):
        split_scenes(raw / "g3d", "trian")
    alone = tmp_path / "a" / "b" / "c"
    shutil.copytree(raw / "g3d" / "scenes" / ANNOTATED[0], alone / ANNOTATED[0])
    with pytest.raises(MissingDataError, match=r"scannetv2_train\.txt, is missing"):
        split_scenes(alone, "train")
    (tmp_path / "list.txt").write_text("scene0777_00\n")
    with pytest.raises(MissingDataError, match="none of the 1 scenes"):
        split_scenes(alone, str(tmp_path / "list.txt"))


def test_scenes_in_several_places_are_refused(raw: Path, tmp_path: Path) -> None:
    shutil.copytree(raw / "g3d" / "scenes" / ANNOTATED[0], tmp_path / "scenes" / ANNOTATED[0])
    shutil.copytree(raw / "g3d" / "published" / "scanrefer" / "scannet_data", tmp_path / "scannet_data")
    with pytest.raises(InputError, match="several places"):
        find_scenes(tmp_path)


def test_published_numbers_that_are_not_finite_are_refused(raw: Path, tmp_path: Path) -> None:
    source = raw / "g3d" / "published" / "votenet" / "scannet_train_detection_data"
    for ending in ("vert", "ins_label", "sem_label", "bbox"):
        shutil.copy(source / f"scene0000_00_{ending}.npy", tmp_path)
    path = tmp_path / "scene0000_00_vert.npy"
    rows = np.load(path)
    rows[11, 2] = np.inf
    np.save(path, rows)
    with pytest.raises(InputError, match=r"vert\.npy: row 11 is not finite"):
        read_detection_scene(path)
