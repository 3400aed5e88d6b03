"""The made Mono3DRefer: the published layout, the streets' own files, splits without overlap, groups that partition the
test objects."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.street_scenes import scene

from g3d.data.mono3drefer.names import GROUPS
from g3d.errors import InputError, MissingDataError
from g3d.synthetic.sentences.mono3drefer import groups_of, make_mono3drefer
from g3d.synthetic.sentences.statements import CLASS_WORDS, visible_things
from g3d.synthetic.streets.world import make_streets

FRAMES = 12


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "streets"
    make_streets(root, FRAMES, seed=4, image_size=(320, 96), val_fraction=0.5, samples=1)
    make_mono3drefer(root)
    return root


def entries(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((root / "Mono3DRefer.json").read_text())
    return found


def split(root: Path, name: str) -> list[str]:
    return (root / f"Mono3DRefer_{name}_image.txt").read_text().split()


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_splits_follow_the_streets_and_share_no_image(world: Path) -> None:
    made = world / "mono3drefer"
    streets = {name: (world / f"ImageSets/{name}.txt").read_text().split() for name in ("train", "val")}
    lists = {name: split(made, name) for name in ("train", "val", "test")}
    assert set(lists["train"]) <= set(streets["train"])
    assert set(lists["val"]) <= set(streets["val"][:3])
    assert set(lists["test"]) <= set(streets["val"][3:])
    assert all(lists.values())
    everything = [frame for frames in lists.values() for frame in frames]
    assert {entry["im_name"] for entry in entries(made)} == set(everything)
    assert len(set(everything)) == len(everything)


def test_images_and_calibration_are_the_streets_own(world: Path) -> None:
    made = world / "mono3drefer"
    frames = sorted(frame for name in ("train", "val", "test") for frame in split(made, name))
    for folder, source, suffix in (("images", "image_2", "png"), ("calib", "calib", "txt")):
        assert sorted(path.name for path in (made / folder).iterdir()) == [f"{frame}.{suffix}" for frame in frames]
        for frame in frames:
            assert (made / folder / f"{frame}.{suffix}").samefile(world / "training" / source / f"{frame}.{suffix}")


def test_a_file_system_without_hard_links_gets_copies(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError("no links")

    monkeypatch.setattr("os.link", refuse)
    make_mono3drefer(world, tmp_path / "made")
    assert contents(tmp_path / "made") == contents(world / "mono3drefer")


def test_entries_have_the_published_fields_and_a_label_line_of_the_streets(world: Path) -> None:
    by_instance: dict[int, set[tuple[str, str, str]]] = {}
    for entry in entries(world / "mono3drefer"):
        assert list(entry) == ["im_name", "instanceID", "ann_id", "objectName", "label_2", "description"]
        row = ast.literal_eval(entry["label_2"])
        lines = (world / f"training/label_2/{entry['im_name']}.txt").read_text().splitlines()
        assert " ".join(row) in lines
        assert len(row) == 15
        assert entry["objectName"] == CLASS_WORDS[row[0]]
        by_instance.setdefault(entry["instanceID"], set()).add(
            (entry["im_name"], entry["objectName"], entry["label_2"])
        )
    assert sorted(by_instance) == list(range(len(by_instance)))
    assert all(len(same) == 1 for same in by_instance.values())
    names = [(entry["im_name"], entry["instanceID"], entry["ann_id"]) for entry in entries(world / "mono3drefer")]
    assert len(set(names)) == len(names)


def test_every_sentence_has_its_meaning_beside_it(world: Path) -> None:
    meanings = json.loads((world / "mono3drefer/meanings.json").read_text())
    assert set(meanings) == {f"{e['im_name']}_{e['instanceID']}_{e['ann_id']}" for e in entries(world / "mono3drefer")}
    assert all(said[0][0] == "noun" for said in meanings.values())


def test_groups_partition_the_test_objects(world: Path) -> None:
    made = world / "mono3drefer"
    groups = json.loads((made / "test_instanceID_split.json").read_text())
    assert tuple(groups) == GROUPS
    test = {entry["instanceID"] for entry in entries(made) if entry["im_name"] in split(made, "test")}
    for names in (("Near", "Medium", "Far"), ("Easy", "Moderate", "Hard")):
        assert sorted(number for name in names for number in groups[name]) == sorted(test)
    assert set(groups["Unique"]) <= test
    assert groups["Multiple"] == []


def test_groups_of_an_object() -> None:
    things = visible_things(scene(0))
    thing = replace(things[0], x=0.0, z=14.9, occluded=0, truncated=0.1)
    assert groups_of(thing, (thing,)) == ("Unique", "Near", "Easy")
    assert groups_of(replace(thing, z=20.0, occluded=1), (thing, thing)) == ("Medium", "Moderate")
    assert groups_of(replace(thing, z=35.1, truncated=0.31), (thing, thing)) == ("Far", "Hard")


def test_the_same_again_is_left_alone_and_other_sentences_replace_it(world: Path, tmp_path: Path) -> None:
    first = make_mono3drefer(world, tmp_path / "made")
    stamp = (tmp_path / "made/Mono3DRefer.json").stat().st_mtime_ns
    again = make_mono3drefer(world, tmp_path / "made", workers=2)
    assert (first.reused, again.reused) == (False, True)
    assert (again.sentences, again.objects) == (first.sentences, first.objects)
    assert (tmp_path / "made/Mono3DRefer.json").stat().st_mtime_ns == stamp
    assert sum(make_mono3drefer(world, tmp_path / "made", sentences=1).sentences.values()) == first.objects


def test_a_folder_of_something_else_or_no_streets_are_refused(world: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(InputError, match="something else"):
        make_mono3drefer(world, tmp_path / "mine")
    with pytest.raises(MissingDataError, match="no made streets"):
        make_mono3drefer(tmp_path)
    with pytest.raises(InputError, match="sentences: expected 1 to 20"):
        make_mono3drefer(world, tmp_path / "new", sentences=0)
