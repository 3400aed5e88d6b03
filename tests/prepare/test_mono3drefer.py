"""`prepare mono3drefer`: what it counts, what it refuses, and that it does no work twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.verbs import g3d

from g3d.data.kitti.raw import read_calibration
from g3d.data.mono3drefer.folder import INDEX, Mono3DReferRoot
from g3d.data.mono3drefer.raw import EXPRESSIONS_FILE, GROUPS_FILE
from g3d.errors import EnvironmentProblem, G3DError, InputError, MissingDataError
from g3d.prepare import workers
from g3d.prepare.mono3drefer import check_camera, plan_mono3drefer, prepare_mono3drefer

Change = Callable[[Any], None]


def edit(path: Path, change: Change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def broken(data: Path) -> list[G3DError]:
    report = prepare_mono3drefer(data)
    assert report.folder is None
    assert not (data / "g3d").exists()
    return [error for _, error in report.broken]


def test_counts(mini_mono3drefer: Path) -> None:
    report = prepare_mono3drefer(mini_mono3drefer, decode=True)
    assert (report.broken, report.notes) == ((), ())
    assert report.images == {"train": 2, "val": 1, "test": 1}
    assert report.objects == {"train": 6, "val": 3, "test": 3}
    assert report.expressions == {"train": 12, "val": 6, "test": 6}
    assert report.groups == {
        "Unique": 1,
        "Multiple": 0,
        "Near": 1,
        "Medium": 1,
        "Far": 1,
        "Easy": 1,
        "Moderate": 1,
        "Hard": 1,
    }
    assert report.classes["pedestrian"] == 2
    assert sum(report.classes.values()) == 12
    assert report.words == (pytest.approx(301 / 24), 16)
    assert report.folder == mini_mono3drefer / "g3d"
    assert report.bytes_written == (report.folder / INDEX).stat().st_size


def test_the_second_time_nothing_is_written(mini_mono3drefer: Path) -> None:
    assert not prepare_mono3drefer(mini_mono3drefer).up_to_date
    before = (mini_mono3drefer / "g3d" / INDEX).stat().st_mtime_ns
    assert prepare_mono3drefer(mini_mono3drefer).up_to_date
    assert prepare_mono3drefer(mini_mono3drefer / "g3d").up_to_date  # by way of the prepared folder
    assert (mini_mono3drefer / "g3d" / INDEX).stat().st_mtime_ns == before
    edit(mini_mono3drefer / EXPRESSIONS_FILE, lambda entries: entries[0].update(description="Another sentence."))
    assert not prepare_mono3drefer(mini_mono3drefer).up_to_date
    assert Mono3DReferRoot.find(mini_mono3drefer).expressions("train")[0].sentence == "Another sentence."


def test_what_is_up_to_date_is_not_looked_at_again(mini_mono3drefer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare_mono3drefer(mini_mono3drefer)
    monkeypatch.setattr(workers, "apply", None)
    second = prepare_mono3drefer(mini_mono3drefer)
    assert second == replace(first, up_to_date=True, bytes_written=0)
    assert plan_mono3drefer(mini_mono3drefer).reason is None


def test_what_was_left_out_is_listed_every_time(mini_mono3drefer: Path) -> None:
    edit(mini_mono3drefer / EXPRESSIONS_FILE, lambda entries: entries[0].update(label_2="no list"))
    reports = [prepare_mono3drefer(mini_mono3drefer, keep_going=True) for _ in range(2)]
    assert [len(report.broken) for report in reports] == [1, 1]
    assert [report.up_to_date for report in reports] == [False, True]
    assert plan_mono3drefer(mini_mono3drefer).reason == "1 broken parts were left out"


def test_checking_writes_nothing(mini_mono3drefer: Path) -> None:
    assert prepare_mono3drefer(mini_mono3drefer, check_only=True).folder is None
    assert not (mini_mono3drefer / "g3d").exists()


@pytest.mark.slow  # starting processes
def test_workers_give_the_same_bytes(mini_mono3drefer: Path, tmp_path: Path) -> None:
    contents = []
    for count in (1, 2):
        prepare_mono3drefer(mini_mono3drefer, tmp_path / str(count), workers=count)
        contents.append((tmp_path / str(count) / INDEX).read_bytes())
    assert contents[0] == contents[1]


def test_kitti_and_mono3drefer_may_share_a_prepared_folder(
    drawn_kitti: Path, mini_mono3drefer: Path, tmp_path: Path
) -> None:
    kitti = shutil.copytree(drawn_kitti, tmp_path / "both", ignore=shutil.ignore_patterns("g3d"))
    shutil.copytree(mini_mono3drefer, kitti, dirs_exist_ok=True)
    verbs = [("prepare", name, "--data", str(kitti)) for name in ("kitti", "mono3drefer")]
    assert [g3d(*verb)[0] for verb in verbs] == [0, 0]
    assert all("(up to date)" in g3d(*verb)[1] for verb in verbs)


def test_an_image_that_is_listed_but_absent(mini_mono3drefer: Path) -> None:
    (mini_mono3drefer / "images" / "000012.png").unlink()
    (error,) = broken(mini_mono3drefer)
    assert isinstance(error, MissingDataError)
    assert "000012.png: no such file" in error.message


def test_a_calibration_that_is_absent(mini_mono3drefer: Path) -> None:
    (mini_mono3drefer / "calib" / "000012.txt").unlink()
    (error,) = broken(mini_mono3drefer)
    assert isinstance(error, MissingDataError)
    assert "000012.txt: no such file" in error.message


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.5, 2.0])
def test_a_calibration_that_does_not_belong_to_the_images_size(mini_mono3drefer: Path, factor: float) -> None:
    path = mini_mono3drefer / "images" / "000012.png"
    with Image.open(path) as picture:
        picture.resize((round(picture.width * factor), round(picture.height * factor))).save(path)
    (error, *rest) = broken(mini_mono3drefer)
    assert "000012.txt: P2: principal point in x: found 604.1, expected" in error.message
    assert f"in an image of {round(1224 * factor)} x {round(370 * factor)} pixels" in error.message
    assert not rest or factor == 0.5  # boxes beyond the smaller image


def test_a_focal_length_of_another_camera() -> None:
    camera = np.array([[721.5, 0, 609.6, 0], [0, 721.5, 172.9, 0], [0, 0, 1, 0]])
    check_camera(camera, (1242, 375), Path("a.txt"))
    camera[0, 0] = 7215.0
    with pytest.raises(InputError, match=r"a\.txt: P2: focal length in x: found 7215\.0, expected 310\.5 to 4968\.0"):
        check_camera(camera, (1242, 375), Path("a.txt"))


def test_the_real_frames_are_accepted(real_kitti: Path) -> None:
    for image in sorted((real_kitti / "image_2").glob("*.png")):
        with Image.open(image) as picture:
            calibration = real_kitti / "calib" / f"{image.stem}.txt"
            check_camera(read_calibration(calibration), picture.size, calibration)


def test_a_label_that_is_no_list_and_one_of_another_image(mini_mono3drefer: Path) -> None:
    def change(entries: Any) -> None:
        entries[0]["label_2"] = "Pedestrian 0.00 0"
        entries[12]["label_2"] = entries[12]["label_2"].replace("'261.47'", "'2614.7'").replace("'642.00'", "'6420'")

    edit(mini_mono3drefer / EXPRESSIONS_FILE, change)
    first, second = broken(mini_mono3drefer)
    assert 'entry 0 (000007_24000_0): label_2: found "Pedestrian 0.00 0"' in first.message
    assert (
        "000152_24006_0: label_2, x1 y1 x2 y2: found 2614.7 113.87 6420 375, expected a box that meets the image"
        in second.message
    )


def test_an_expression_of_200_words_is_a_note(mini_mono3drefer: Path) -> None:
    edit(mini_mono3drefer / EXPRESSIONS_FILE, lambda entries: entries[3].update(description="car " * 200))
    report = prepare_mono3drefer(mini_mono3drefer)
    (note,) = report.notes
    assert note.startswith("expressions of more than 108 words: 1 (first: 000007_24001_1, 200 words)")
    assert "110 tokens and cut off the rest" in note
    assert report.words[1] == 200


def test_an_instance_of_a_group_that_no_test_expression_has(mini_mono3drefer: Path) -> None:
    edit(mini_mono3drefer / GROUPS_FILE, lambda groups: groups["Unique"].append(24000))  # of train
    (error,) = broken(mini_mono3drefer)
    assert "group Unique: found instance 24000, expected one of the test split's expressions" in error.message


@pytest.mark.parametrize(("group", "kind"), [("Near", "Near, Medium, Far"), ("Hard", "Easy, Moderate, Hard")])
def test_a_test_instance_in_no_group(mini_mono3drefer: Path, group: str, kind: str) -> None:
    edit(mini_mono3drefer / GROUPS_FILE, lambda groups: groups[group].clear())
    (error,) = broken(mini_mono3drefer)
    assert f"of the test split is in none of {kind}, expected one" in error.message


def test_expressions_whose_image_no_list_names(mini_mono3drefer: Path) -> None:
    (mini_mono3drefer / "Mono3DRefer_train_image.txt").write_text("000007\n")
    (error,) = broken(mini_mono3drefer)
    assert "im_name: found 000012 (6 expressions), expected an image of Mono3DRefer_train_image.txt" in error.message


def test_an_image_in_two_splits(mini_mono3drefer: Path) -> None:
    (mini_mono3drefer / "Mono3DRefer_val_image.txt").write_text("000152\n000007\n")
    (error,) = broken(mini_mono3drefer)
    assert (
        "Mono3DRefer_val_image.txt: images that are in Mono3DRefer_train_image.txt as well: found 1 (first: 000007)"
        in error.message
    )


def test_images_without_expressions_and_instances_with_two_labels_are_notes(mini_mono3drefer: Path) -> None:
    for folder, suffix in (("images", "png"), ("calib", "txt")):
        shutil.copy(mini_mono3drefer / folder / f"000007.{suffix}", mini_mono3drefer / folder / f"000008.{suffix}")
    with (mini_mono3drefer / "Mono3DRefer_train_image.txt").open("a") as file:
        file.write("000008\n")
    edit(
        mini_mono3drefer / EXPRESSIONS_FILE, lambda e: e[1].update(label_2=e[1]["label_2"].replace("'8.00'", "'8.10'"))
    )
    report = prepare_mono3drefer(mini_mono3drefer)
    assert report.notes == (
        "images of train without an expression: 1 (first: 000008)",
        "expressions with another label or image than the first of their instance: 1 (first: 000007_24000_1)",
    )
    depths = [e.objects.locations[0, 2] for e in Mono3DReferRoot.find(mini_mono3drefer).expressions("train")[:2]]
    assert depths == [8.0, 8.1]  # each keeps its own


@pytest.mark.parametrize("name", ["Mono3DRefer_val_image.txt", GROUPS_FILE])
def test_a_file_that_is_missing(mini_mono3drefer: Path, name: str) -> None:
    (mini_mono3drefer / name).unlink()
    with pytest.raises(MissingDataError, match=f"{name}: no such file"):
        prepare_mono3drefer(mini_mono3drefer)


def test_keeping_going_leaves_the_broken_out(mini_mono3drefer: Path) -> None:
    (mini_mono3drefer / "images" / "000012.png").unlink()
    edit(mini_mono3drefer / EXPRESSIONS_FILE, lambda entries: entries[0].update(label_2="no list"))
    report = prepare_mono3drefer(mini_mono3drefer, keep_going=True)
    assert len(report.broken) == 2
    assert Mono3DReferRoot.find(mini_mono3drefer).expressions("train").ids() == [
        "000007_24000_1",
        "000007_24001_0",
        "000007_24001_1",
        "000007_24002_0",
        "000007_24002_1",
    ]


def test_a_place_that_cannot_be_written(mini_mono3drefer: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="is no folder"):
        prepare_mono3drefer(mini_mono3drefer, tmp_path / "file" / "g3d")
