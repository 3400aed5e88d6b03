"""A scan's files are found where ScanNet puts them, and checked against each other when they are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support import paths
from support.drawn_mesh import SCANNET, ply

from g3d.data.scannet.folder import ScanFolder, read_scan, read_split
from g3d.errors import InputError, MissingDataError

MADE = paths.GOLDEN / "scannet" / "made"


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """scans/scene0000_00 annotated, scans_test/scene0707_00 not; four vertices each."""
    for folder, scene in (("scans", "scene0000_00"), ("scans_test", "scene0707_00")):
        place = tmp_path / folder / scene
        place.mkdir(parents=True)
        ply(place / f"{scene}_vh_clean_2.ply")
        (place / f"{scene}_vh_clean_2.0.010000.segs.json").write_text(json.dumps({"segIndices": [0, 0, 2, 2]}))
        (place / f"{scene}.txt").write_text("numColorFrames = 3\n")
    place = tmp_path / "scans" / "scene0000_00"
    ply(place / "scene0000_00_vh_clean_2.labels.ply", (*SCANNET, "ushort label"))
    groups = [{"id": 0, "objectId": 0, "segments": [2], "label": "chair"}]
    (place / "scene0000_00.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    (place / "scene0000_00_vh_clean.aggregation.json").write_text("of another mesh: never read")
    return tmp_path


def test_scans_of_both_folders_are_found(download: Path) -> None:
    folder = ScanFolder(download)
    assert folder.scenes() == ("scene0000_00", "scene0707_00")
    assert folder.files("scene0000_00").annotated
    test = folder.files("scene0707_00")
    assert (test.annotated, test.labels, test.stream) == (False, None, None)
    for name in folder.scenes():
        assert folder.file(name, "_vh_clean_2.ply") == folder.files(name).mesh
    assert folder.file("scene0009_00", ".sens") == download / "scans" / "scene0009_00" / "scene0009_00.sens"
    endings = [path.name.removeprefix("scene0707_00") for path in test.arrays_from()]
    assert endings == ["_vh_clean_2.ply", "_vh_clean_2.0.010000.segs.json", ".txt"]
    assert ScanFolder(download / "scans").scenes() == ("scene0000_00",)


def test_label_50_is_unannotated(download: Path) -> None:
    """scene0270_00, scene0270_02 and scene0384_00 have it."""
    labels = read_scan(ScanFolder(download).files("scene0000_00")).labels
    assert labels is not None
    assert labels.tolist() == [1, 0, 0, 40]


def test_a_test_scan_has_neither_annotation_nor_alignment(download: Path) -> None:
    scan = read_scan(ScanFolder(download).files("scene0707_00"))
    assert (scan.aggregation, scan.labels, scan.alignment) == (None, None, None)
    assert scan.segments is not None


def test_labels_of_version_1_are_refused(download: Path) -> None:
    files = ScanFolder(download).files("scene0000_00")
    assert files.labels is not None
    ply(files.labels, (*SCANNET, "ushort label"), values={"label": [1, 230, 50, 230]})
    with pytest.raises(InputError, match=r"labels .*labels\.ply: label 230 is no nyu40 id .0 to 40; 2 of 4"):
        read_scan(files)


def test_an_empty_scan_folder_is_said(download: Path) -> None:
    (download / "scans" / "scene0001_00").mkdir()
    with pytest.raises(
        MissingDataError, match=r"scan scene0001_00: .*_vh_clean_2\.ply is missing .the folder is empty"
    ):
        ScanFolder(download).files("scene0001_00")
    (download / "scans" / "scene0001_00" / "scene0001_00.sens").write_bytes(b"")
    with pytest.raises(MissingDataError, match=r"found: scene0001_00\.sens"):
        ScanFolder(download).files("scene0001_00")


def test_an_unknown_scan_is_said_with_the_nearest(download: Path) -> None:
    with pytest.raises(MissingDataError, match=r"; did you mean 'scene0000_00'\?"):
        ScanFolder(download).files("scene0000_01")
    with pytest.raises(MissingDataError, match=r"scan room: no folder .*scans/room or .*scans_test/room$"):
        ScanFolder(download).files("room")
    with pytest.raises(MissingDataError, match="no such folder"):
        ScanFolder(download / "nothing")
    (download / "empty").mkdir()
    with pytest.raises(MissingDataError, match="no scans"):
        ScanFolder(download / "empty").scenes()


def test_an_annotation_needs_the_segments(download: Path) -> None:
    (download / "scans" / "scene0000_00" / "scene0000_00_vh_clean_2.0.010000.segs.json").unlink()
    with pytest.raises(MissingDataError, match=r"segs\.json is missing: the annotation refers to it"):
        ScanFolder(download).files("scene0000_00")


def test_files_of_different_scans_are_refused(download: Path) -> None:
    scans = download / "scans"
    shutil.copy(
        MADE / "scans/scene0900_00/scene0900_00_vh_clean_2.ply", scans / "scene0000_00/scene0000_00_vh_clean_2.ply"
    )
    with pytest.raises(InputError, match="4 vertices, the mesh has 7152"):
        read_scan(ScanFolder(download).files("scene0000_00"))


def test_meta_data_is_found_where_the_published_code_has_it(download: Path) -> None:
    (download / "meta_data").mkdir()
    (download / "meta_data" / "scannetv2_val.txt").write_text("scene0000_00")
    for root in (download, download / "scans"):
        assert read_split(ScanFolder(root).meta("scannetv2_val.txt")) == ("scene0000_00",)
    with pytest.raises(MissingDataError, match=r"scannetv2_train\.txt is missing .looked in"):
        ScanFolder(download).meta("scannetv2_train.txt")


def test_split_lists_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "split.txt"
    path.write_bytes(b"scene0568_00\r\n\r\nscene0001_00")
    assert read_split(path) == ("scene0568_00", "scene0001_00")
    path.write_text("a\nb\na\n")
    with pytest.raises(InputError, match=r"line 3: a is there twice .first on line 1"):
        read_split(path)
    path.write_text("a\nb 3\n")
    with pytest.raises(InputError, match="line 2 is 'b 3'"):
        read_split(path)
    for name in ("../scene0000_00", "..", "a\\b"):
        path.write_text(f"a\n{name}\n")
        with pytest.raises(InputError, match=r"line 2 is .*, expected one scan's name, not a path"):
            read_split(path)
    with pytest.raises(MissingDataError, match="no such file"):
        read_split(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        (".txt", "the axis alignment of an annotated scan is in it"),
        (".aggregation.json", "the scan is annotated, since its labels.ply is there"),
        ("_vh_clean_2.0.010000.segs.json", "the annotation refers to it"),
    ],
)
def test_a_file_that_an_annotated_scan_lacks_is_named(download: Path, missing: str, why: str) -> None:
    (download / "scans" / "scene0000_00" / f"scene0000_00{missing}").unlink()
    with pytest.raises(MissingDataError) as caught:
        ScanFolder(download).files("scene0000_00")
    assert f"scene0000_00{missing} is missing: {why}" in caught.value.message


def test_a_test_scan_may_lack_its_facts(download: Path) -> None:
    (download / "scans_test" / "scene0707_00" / "scene0707_00.txt").unlink()
    assert ScanFolder(download).files("scene0707_00").facts is None
