"""segs.json, aggregation.json and <scene>.txt: what is read, and one clear line for each thing that can be wrong with
them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from g3d.data.scannet.raw import read_aggregation, read_facts, read_segments
from g3d.errors import InputError, MissingDataError

ROW = "axisAlignment = 0.8 -0.6 0 1 0.6 0.8 0 2 0 0 1 3 0 0 0 1 \n"


def stored(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def group(object_id: int, segments: list[int], label: str = "chair", **more: object) -> dict:
    return {"id": object_id, "objectId": object_id, "segments": segments, "label": label, **more}


def aggregation(path: Path, *groups: dict, **more: object) -> Path:
    return stored(
        path / "a.json",
        {"sceneId": "scannet.scene0000_00", "appId": "Aggregator.v2", "segGroups": list(groups), **more},
    )


def test_segments_are_read(tmp_path: Path) -> None:
    found = read_segments(stored(tmp_path / "s.json", {"params": {"kThresh": "0.0001"}, "segIndices": [7, 7, 0]}), 3)
    assert found.dtype == np.int64
    assert found.tolist() == [7, 7, 0]


def test_segments_of_another_mesh_name_both_counts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="segIndices has 3 entries, the mesh has 4 vertices"):
        read_segments(stored(tmp_path / "s.json", {"segIndices": [7, 7, 0]}), 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"segIndices": [1, 2', "not JSON"),
        ({"segments": [1]}, "no list 'segIndices'"),
        ([1], "no list 'segIndices'"),
        ({"segIndices": [3, 1.5]}, r"segIndices\[1\] is 1.5"),
        ({"segIndices": [3, -1]}, r"segIndices\[1\] is -1"),
        ({"segIndices": ["a", 1]}, r"segIndices\[0\] is 'a'"),
    ],
)
def test_broken_segments_are_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_segments(stored(tmp_path / "s.json", content), 2)
    with pytest.raises(MissingDataError):
        read_segments(tmp_path / "none.json", 2)


def test_groups_come_in_file_order(tmp_path: Path) -> None:
    found = read_aggregation(
        aggregation(tmp_path, group(4, [9, 3]), group(0, [1], "office chair")), np.array([1, 3, 9])
    )
    assert [(g.object_id, g.label, g.segments.tolist()) for g in found.groups] == [
        (4, "chair", [9, 3]),
        (0, "office chair", [1]),
    ]
    assert found.version == 2
    assert found.duplicates == {}


def test_an_object_naming_a_segment_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = aggregation(tmp_path, group(0, [1]), group(4, [3, 5], "desk"))
    with pytest.raises(InputError, match=r"object 4 \(desk\) names segment 5, which no vertex has"):
        read_aggregation(path, np.array([1, 3, 9]))


def test_duplicate_objects_are_dropped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """scene0217_00: the second half repeats the first under other ids."""
    first = [group(0, [1, 2]), group(1, [3], "desk"), group(2, [])]
    path = aggregation(
        tmp_path, *first, group(3, [2, 1]), group(4, [3], "desk"), group(1, [3], "desk"), group(5, [3], "table")
    )
    with caplog.at_level(logging.WARNING):
        found = read_aggregation(path)
    assert [g.object_id for g in found.groups] == [0, 1, 2, 5]
    assert found.duplicates == {3: 0, 4: 1}
    assert "3 of 7 objects repeat another one" in caplog.text


def test_two_different_objects_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"segGroups\[1\]: a second, different object with objectId 4"):
        read_aggregation(aggregation(tmp_path, group(4, [1]), group(4, [2])))


def test_object_id_is_read_and_another_id_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = read_aggregation(aggregation(tmp_path, group(4, [1], id=7)))
    assert (found.groups[0].object_id, found.groups[0].id) == (4, 7)
    assert "first: id 7, objectId 4" in caplog.text


def test_version_1_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert (
            read_aggregation(
                aggregation(tmp_path, group(0, [1]), appId="Aggregator.v1", sceneId="scene0000_00")
            ).version
            == 1
        )
    assert "ScanNet v1 annotation" in caplog.text
    assert read_aggregation(aggregation(tmp_path, group(0, [1]), appId="my own")).version == 2
    assert read_aggregation(aggregation(tmp_path, group(0, [1]), appId="my own", sceneId="room")).version is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objectId": None}, "objectId is None"),
        ({"objectId": "3"}, "objectId is '3'"),
        ({"objectId": -1}, "objectId is -1"),
        ({"id": 1.5}, "id is 1.5"),
        ({"label": 3}, "label is 3"),
        ({"label": " "}, "label is ' '"),
        ({"segments": None}, "no list of segment ids"),
        ({"segments": [1, "a"]}, "no list of segment ids"),
    ],
)
def test_broken_groups_are_named(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=rf"segGroups\[1\].*{message}"):
        read_aggregation(aggregation(tmp_path, group(0, [1]), {**group(1, [2]), **change}))
    with pytest.raises(InputError, match="no list 'segGroups'"):
        read_aggregation(stored(tmp_path / "b.json", {"groups": []}))


def test_facts_are_read(tmp_path: Path) -> None:
    text = (
        ROW + "colorWidth = 1296\ncolorHeight = 968\n\nfx_depth = 577.5\nfy_depth = 578\nmx_depth = "
        "319.5\nmy_depth = 239.5\n"
    )
    facts = read_facts(
        stored(tmp_path / "f.txt", text + "numColorFrames = 12\nsceneType = Bedroom / Hotel\nmine = a = b\n")
    )
    assert facts.axis_alignment is not None
    assert facts.axis_alignment[1].tolist() == [0.6, 0.8, 0, 2]
    assert (facts.colour_size, facts.depth_size, facts.frames) == ((1296, 968), None, 12)
    assert (facts.depth_intrinsics, facts.colour_intrinsics) == ((577.5, 578, 319.5, 239.5), None)
    assert (facts.scene_type, facts.values["mine"], facts.colour_to_depth) == ("Bedroom / Hotel", "a = b", None)


def test_test_scans_have_no_alignment(tmp_path: Path) -> None:
    assert read_facts(stored(tmp_path / "f.txt", "colorWidth = 1296\n")).axis_alignment is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colorWidth = 1296\nnonsense\n", "line 2 is 'nonsense', expected 'key = value'"),
        ("colorWidth = 1\ncolorHeight = 2\ncolorWidth = 3\n", "line 3 is a second colorWidth"),
        ("\nnumColorFrames = many\n", "line 2: numColorFrames is 'many', expected a finite number"),
        ("axisAlignment = 1 0 0\n", "line 1: axisAlignment is '1 0 0', expected 16 finite numbers"),
        (ROW.replace("-0.6", "nan"), "expected 16 finite numbers"),
        (ROW.replace("-0.6", "0.6"), "no rotation and translation"),
    ],
)
def test_broken_facts_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_facts(stored(tmp_path / "f.txt", text))
