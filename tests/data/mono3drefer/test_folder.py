"""Reading Mono3DRefer's files and the prepared index: what is found, and one clear line for everything that cannot be
used."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g3d.data.mono3drefer.folder import INDEX, MANIFEST, Mono3DReferRoot, read_index, write_index
from g3d.data.mono3drefer.names import CLASS_NAMES, GROUPS, PUBLISHED_EXPRESSIONS, PUBLISHED_GROUPS, PUBLISHED_OBJECTS
from g3d.data.mono3drefer.raw import (
    EXPRESSIONS_FILE,
    GROUPS_FILE,
    objects_of_rows,
    read_expressions,
    read_groups,
    rows_of_objects,
)
from g3d.errors import InputError, MissingDataError
from g3d.prepare.mono3drefer import prepare_mono3drefer
from g3d.systems.jln import config

LABEL = (
    "['Van', '0.10', 1, '2.76', '0.00', '145.87', '52.73', '330.60', 1.89, '1.70', '0.86', '-7.20', "
    "'1.54', '8.00', '2.02']"
)


def entry(**changes: Any) -> dict[str, Any]:
    values = {
        "im_name": "000012",
        "instanceID": 7,
        "ann_id": 3,
        "objectName": "van",
        "label_2": LABEL,
        "description": " The Van. ",
    }
    return {**values, **changes}


def written(folder: Path, *entries: Any) -> Path:
    path = folder / EXPRESSIONS_FILE
    path.write_text(json.dumps(entries))
    return path


def test_an_entry_becomes_an_expression(tmp_path: Path) -> None:
    (expression,) = read_expressions(written(tmp_path, entry())).expressions
    assert (expression.id, expression.image, expression.instance, expression.annotation) == (
        "000012_7_3",
        "000012",
        7,
        3,
    )
    assert expression.sentence == "The Van."
    found = expression.objects
    assert found.classes.tolist() == [expression.class_name] == ["van"]
    assert found.boxes2d.tolist() == [[0.0, 145.87, 52.73, 330.6]]
    assert found.sizes.tolist() == [[1.89, 1.7, 0.86]]
    assert found.locations.tolist() == [[-7.2, 1.54, 8.0]]
    assert (found.truncated[0], found.occluded[0], found.alpha[0], found.rotation_y[0]) == (0.1, 1, 2.76, 2.02)
    assert found.scores is None
    assert np.array_equal(rows_of_objects(objects_of_rows(["van"], rows_of_objects(found))), rows_of_objects(found))


def test_a_score_as_a_sixteenth_field_is_left_out(tmp_path: Path) -> None:
    (expression,) = read_expressions(written(tmp_path, entry(label_2=LABEL[:-1] + ", '0.9']"))).expressions
    assert expression.objects.scores is None
    assert expression.objects.rotation_y[0] == 2.02


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"label_2": "Van 0.00 0 2.76"}, 'label_2: found "Van 0.00 0 2.76", expected the text of a list'),
        ({"label_2": "{'Van': 1}"}, "expected the text of a list"),
        ({"label_2": "__import__('os').getcwd()"}, "expected the text of a list"),
        ({"label_2": "[" * 5000}, "expected the text of a list"),
        ({"label_2": ["Van", 0, 0]}, "label_2: found list, expected a list of 15 fields, written as text"),
        ({"label_2": "['Van', '0.00']"}, "label_2: found 2 fields, expected 15 (type, truncated"),
        ({"label_2": LABEL.replace("'145.87'", "'tall'")}, 'label_2, field y1: found "tall", expected a finite number'),
        ({"label_2": LABEL.replace("'8.00'", "'nan'")}, 'label_2, field z: found "nan", expected a finite number'),
        ({"label_2": LABEL.replace("'8.00'", "1e999")}, "label_2, field z: found Infinity, expected a finite number"),
        ({"label_2": LABEL.replace("'8.00'", "1_5")}, None),  # a number in Python's own spelling
        ({"label_2": LABEL.replace("'8.00'", "'1_5'")}, 'label_2, field z: found "1_5", expected a finite number'),
        ({"label_2": LABEL.replace("'8.00'", "True")}, "label_2, field z: found true, expected a finite number"),
        (
            {"label_2": LABEL.replace("'0.10', 1", "'0.10', 1.5")},
            "label_2, field occluded: found 1.5, expected a whole number",
        ),
        ({"label_2": LABEL.replace("'52.73'", "'-3'")}, "label_2, x1 and x2: found 0 and -3, expected x1 below x2"),
        (
            {"label_2": LABEL.replace("'145.87'", "'330.60'")},
            "label_2, y1 and y2: found 330.6 and 330.6, expected y1 below y2",
        ),
        ({"label_2": LABEL.replace("1.89", "0")}, "label_2, field height: found 0, expected metres above 0"),
        ({"label_2": LABEL.replace("'8.00'", "'-2'")}, "label_2, field z: found -2, expected metres above 0"),
        ({"objectName": "Van"}, 'objectName: found "Van", expected one of pedestrian'),
        ({"objectName": "tree"}, 'objectName: found "tree", expected one of'),
        ({"objectName": ["van"]}, "objectName: found list"),
        ({"description": "  "}, 'description: found "  ", expected a sentence'),
        ({"description": None}, "description: found null, expected a sentence"),
        ({"im_name": 12}, "im_name: found 12, expected a frame of six digits"),
        ({"im_name": "../000012"}, 'im_name: found "../000012", expected a frame of six digits'),
        ({"instanceID": "7"}, 'instanceID: found "7", expected a whole number'),
        ({"ann_id": -1}, "ann_id: found -1, expected a whole number"),
        ({"ann_id": True}, "ann_id: found true, expected a whole number"),
    ],
)
def test_a_broken_entry_is_one_line_and_the_others_are_read(
    tmp_path: Path, changes: dict[str, Any], says: str | None
) -> None:
    path = written(tmp_path, entry(ann_id=0), entry(**changes), entry(ann_id=9))
    entries = read_expressions(path)
    if says is None:
        assert not entries.broken
        return
    assert [e.annotation for e in entries.expressions] == [0, 9]
    ((place, error),) = entries.broken
    assert place == "entry 1"
    assert error.message.startswith(f"{path}: entry 1")
    assert says in error.message
    assert "\n" not in error.message
    assert len(error.message) < 500


def test_entries_that_are_no_objects_or_lack_a_field(tmp_path: Path) -> None:
    lacking = {name: value for name, value in entry().items() if name != "label_2"}
    broken = read_expressions(written(tmp_path, 3, lacking, entry())).broken
    assert "entry 0: entry: found 3, expected an object with the fields im_name" in broken[0][1].message
    assert "entry 1: label_2: found no such field" in broken[1][1].message


def test_an_id_comes_once(tmp_path: Path) -> None:
    entries = read_expressions(written(tmp_path, entry(), entry(description="Another.")))
    assert len(entries.expressions) == 1
    assert (
        "entry 1 (000012_7_3): im_name, instanceID and ann_id: found those of an earlier entry"
        in entries.broken[0][1].message
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[{", "not valid JSON"),
        ("\xff", "not valid JSON"),
        ("{}", "found dict, expected a list of expressions"),
        ("[]", "list is empty"),
    ],
)
def test_a_file_that_is_no_list(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / EXPRESSIONS_FILE
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=says):
        read_expressions(path)


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"Nearby": [1]}, "group 'Nearby' is unknown; expected Unique"),
        ({"Near": 3}, "group Near: found 3, expected a list of instance ids"),
        ({"Near": [1, "2"]}, 'group Near: found "2", expected a list of instance ids'),
        ({"Near": [1], "Far": [1]}, "instance 1 is in both Near and Far"),
        ({"Easy": [4, 5], "Hard": [5]}, "instance 5 is in both Easy and Hard"),
    ],
)
def test_groups_that_cannot_be_used(tmp_path: Path, groups: dict[str, Any], says: str) -> None:
    path = tmp_path / GROUPS_FILE
    path.write_text(json.dumps({**{name: [] for name in GROUPS}, **groups}))
    with pytest.raises(InputError, match=says):
        read_groups(path)


def test_multiple_may_be_missing_but_no_other_group(tmp_path: Path) -> None:
    path = tmp_path / GROUPS_FILE
    path.write_text(json.dumps({name: [] for name in GROUPS if name != "Multiple"}))
    assert read_groups(path)["Multiple"] == frozenset()
    path.write_text(json.dumps({name: [] for name in GROUPS if name != "Far"}))
    with pytest.raises(InputError, match="group Far is missing"):
        read_groups(path)


def test_published_groups_are_read(real_kitti: Path) -> None:
    groups = read_groups(real_kitti / "mono3drefer_test_instanceID_split.json")
    assert {name: len(members) for name, members in groups.items()} == PUBLISHED_GROUPS
    assert sum(PUBLISHED_OBJECTS.values()) == 8228
    assert {split: 5 * count for split, count in PUBLISHED_OBJECTS.items()} == PUBLISHED_EXPRESSIONS


def test_the_networks_classes_are_those_of_the_data() -> None:
    assert config.CLASS_NAMES == CLASS_NAMES


def test_the_index_gives_back_every_expression(mini_mono3drefer: Path) -> None:
    raw = read_expressions(mini_mono3drefer / EXPRESSIONS_FILE).expressions
    prepare_mono3drefer(mini_mono3drefer)
    root = Mono3DReferRoot.find(mini_mono3drefer)
    known = {e.id: e for e in raw}
    ids = []
    for split in ("train", "val", "test"):
        found = root.expressions(split)
        assert found.ids() == [e.id for e in found]
        ids += found.ids()
        for e in found:
            assert (e.image, e.instance, e.annotation, e.class_name, e.sentence) == tuple(
                getattr(known[e.id], name) for name in ("image", "instance", "annotation", "class_name", "sentence")
            )
            assert np.array_equal(rows_of_objects(e.objects), rows_of_objects(known[e.id].objects))
            assert e.objects.classes.tolist() == [e.class_name]
    assert sorted(ids) == sorted(known)
    assert root.expressions("train").ids() == [
        e.id for e in raw if e.image in root.split("train")
    ]  # in the file's order
    some = ["000152_24008_1", "000007_24000_0"]
    assert list(root.by_id([*some, "000007_24000_99"])) == some


def test_a_list_of_images_is_a_split(mini_mono3drefer: Path) -> None:
    prepare_mono3drefer(mini_mono3drefer)
    root = Mono3DReferRoot.find(mini_mono3drefer)
    (mini_mono3drefer / "two.txt").write_text("000152\n000031\n")
    assert {e.image for e in root.expressions(mini_mono3drefer / "two.txt")} == {"000152", "000031"}
    (mini_mono3drefer / "none.txt").write_text("000999\n")
    with pytest.raises(InputError, match="none of its 1 images has an expression"):
        root.expressions(mini_mono3drefer / "none.txt")
    with pytest.raises(InputError, match=r"split 'tset' is unknown; expected train, val, test; did you mean 'test'\?"):
        root.expressions("tset")


def test_slices_and_the_end_of_a_sequence(mini_mono3drefer: Path) -> None:
    prepare_mono3drefer(mini_mono3drefer)
    found = Mono3DReferRoot.find(mini_mono3drefer).expressions("train")
    assert [e.id for e in found[2:5]] == found.ids()[2:5]
    assert found[-1].id == found.ids()[-1]
    with pytest.raises(IndexError):
        found[len(found)]


def test_either_folder_is_the_data(mini_mono3drefer: Path, tmp_path: Path) -> None:
    prepare_mono3drefer(mini_mono3drefer, out=tmp_path / "prepared")
    root = Mono3DReferRoot.find(tmp_path / "prepared")
    assert len(root.expressions("val")) == 6
    assert root.image_path("000152").is_file()
    assert root.calibration("000152").shape == (3, 4)
    assert root.groups()["Unique"] == {24010}
    (tmp_path / "prepared" / MANIFEST).write_text("{}")
    with pytest.raises(InputError, match="does not say where the raw data is"):
        Mono3DReferRoot.find(tmp_path / "prepared")


def test_images_may_lie_as_in_kitti(mini_mono3drefer: Path) -> None:
    (mini_mono3drefer / "training").mkdir()
    (mini_mono3drefer / "images").rename(mini_mono3drefer / "training" / "image_2")
    (mini_mono3drefer / "calib").rename(mini_mono3drefer / "training" / "calib")
    assert not prepare_mono3drefer(mini_mono3drefer).broken


def test_data_that_is_not_there_or_not_prepared(mini_mono3drefer: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such folder"):
        Mono3DReferRoot.find(tmp_path / "nowhere")
    with pytest.raises(MissingDataError, match=r"no Mono3DRefer\.json in it"):
        Mono3DReferRoot.find(tmp_path)
    with pytest.raises(MissingDataError, match=f"run: g3d prepare mono3drefer --data {mini_mono3drefer}"):
        Mono3DReferRoot.find(mini_mono3drefer).expressions("train")


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_a_damaged_index_says_what_to_do(mini_mono3drefer: Path, keep: int) -> None:
    prepare_mono3drefer(mini_mono3drefer)
    index = mini_mono3drefer / "g3d" / INDEX
    index.write_bytes(index.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"damaged[\s\S]*run g3d prepare mono3drefer again"):
        Mono3DReferRoot.find(mini_mono3drefer).expressions("train")


def test_what_preparation_left_out_is_said_when_it_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = written(tmp_path, entry())
    path = write_index(tmp_path, read_expressions(source).expressions, source, left_out=3)
    with caplog.at_level(logging.WARNING):
        assert len(read_index(path, source)) == 1
    assert "3 broken expressions were left out" in caplog.text


def test_an_index_of_other_sentences_is_refused(mini_mono3drefer: Path) -> None:
    prepare_mono3drefer(mini_mono3drefer)
    file = mini_mono3drefer / "Mono3DRefer.json"
    file.write_text(file.read_text().replace("pedestrian on the left", "pedestrian on the road"))
    with pytest.raises(
        InputError, match=r"Mono3DRefer.json: has changed since it was prepared[\s\S]*run g3d prepare mono3drefer again"
    ):
        Mono3DReferRoot.find(mini_mono3drefer).expressions("train")
    prepare_mono3drefer(mini_mono3drefer)
    assert "on the road" in Mono3DReferRoot.find(mini_mono3drefer).expressions("train")[0].sentence


def test_scenes_are_all_objects_of_an_image(mini_mono3drefer: Path) -> None:
    prepare_mono3drefer(mini_mono3drefer)
    found = Mono3DReferRoot.find(mini_mono3drefer).expressions("train")
    scenes = found.scenes()
    assert set(scenes) == {e.image for e in found}
    for image, scene in scenes.items():
        assert len(scene) == len({e.instance for e in found if e.image == image})
    assert list(scenes[found[0].image].classes[:1]) == [found[0].class_name]
