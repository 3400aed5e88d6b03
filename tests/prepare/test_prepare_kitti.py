"""`prepare kitti`: what it writes equals the published maps, and it does no work twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.items import double_but_three
from support.verbs import g3d

from g3d.data.kitti.object_depth import depth_rectangles, paint
from g3d.data.kitti.prepared import RECTANGLES, open_prepared, raw_root
from g3d.data.kitti.raw import KittiRoot, read_labels
from g3d.errors import EnvironmentProblem, InputError, MissingDataError
from g3d.prepare import manifest, workers
from g3d.prepare.kitti import plan_kitti, prepare_kitti


def test_stored_rectangles_paint_the_same_maps(drawn_kitti: Path, tmp_path: Path) -> None:
    report = prepare_kitti(drawn_kitti, out=tmp_path / "prepared", npy=tmp_path / "npy")
    assert report.frames == {"train": 8, "val": 4}
    stored = open_prepared(tmp_path / "prepared")
    kitti = KittiRoot.find(drawn_kitti)
    for frame in kitti.split("trainval"):
        labels = read_labels(kitti.label(frame))
        for name, classes in (("obj_depth", ("Car",)), ("obj_depth_all", None)):
            expected = paint(depth_rectangles(labels, classes), (96, 64))
            assert np.array_equal(paint(stored.frame(frame).of(classes is not None), (96, 64)), expected)
            exported = np.load(tmp_path / "npy" / name / f"{frame}.npy")
            assert exported.dtype == np.float32
            assert np.array_equal(exported, expected)
    assert any(stored.frame(frame).car.any() for frame in kitti.split("trainval"))


def test_real_frames_match_their_published_form(real_kitti: Path, tmp_path: Path) -> None:
    ids = sorted(file.stem for file in (real_kitti / "image_2").glob("*.png"))
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    report = prepare_kitti(real_kitti, [str(tmp_path / "ids.txt")], tmp_path / "out", decode=True)
    assert report.broken == ()
    assert sum(report.objects.values()) == sum(
        len(read_labels(real_kitti / "label_2" / f"{frame}.txt")) for frame in ids
    )
    assert report.bytes_written < 10_000  # the published maps of these frames: 33 MB


def test_either_folder_is_the_data(drawn_kitti: Path, tmp_path: Path) -> None:
    prepare_kitti(drawn_kitti, out=tmp_path / "prepared")
    assert raw_root(tmp_path / "prepared") == drawn_kitti.resolve()
    assert raw_root(drawn_kitti) == drawn_kitti


def test_the_second_time_nothing_is_done(drawn_kitti: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    assert not prepare_kitti(drawn_kitti, out=out).up_to_date
    before = (out / RECTANGLES).stat().st_mtime_ns
    assert prepare_kitti(drawn_kitti, out=out).up_to_date
    assert (out / RECTANGLES).stat().st_mtime_ns == before
    assert not prepare_kitti(drawn_kitti, ["train"], out=out).up_to_date  # other splits are other contents


def test_what_is_up_to_date_is_not_looked_at_again(
    drawn_kitti: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(drawn_kitti, tmp_path / "data", ignore=shutil.ignore_patterns("g3d"))
    first = prepare_kitti(data)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "apply", None)
        second = prepare_kitti(data)
    assert (second.up_to_date, second.frames, second.objects) == (True, first.frames, first.objects)
    label = data / "training" / "label_2" / "000001.txt"
    label.write_text(label.read_text() * 2)
    assert plan_kitti(data).reason == "its input files have changed"
    third = prepare_kitti(data)
    assert not third.up_to_date
    assert sum(third.objects.values()) > sum(first.objects.values())
    assert prepare_kitti(data, redo=True).bytes_written > 0
    (data / "g3d" / RECTANGLES).write_bytes(b"damaged")
    assert plan_kitti(data).reason == f"{RECTANGLES} is missing or of another size"
    assert not prepare_kitti(data).up_to_date
    assert sorted(file.name for file in (data / "g3d").iterdir()) == ["manifest.json", RECTANGLES]


def test_broken_frames_that_were_left_out_are_listed_every_time(drawn_kitti: Path, tmp_path: Path) -> None:
    data = shutil.copytree(drawn_kitti, tmp_path / "data", ignore=shutil.ignore_patterns("g3d"))
    (data / "training" / "calib" / "000001.txt").write_text("P2: nonsense")
    for times in range(2):
        report = prepare_kitti(data, keep_going=True)
        assert [frame for frame, _ in report.broken] == ["000001"]
        assert report.up_to_date == bool(times)
    assert open_prepared(data).frame("000000") is not None
    assert prepare_kitti(data).folder is None


def test_data_prepared_by_an_earlier_version_still_loads(drawn_kitti: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    prepare_kitti(drawn_kitti, out=out)
    old = {"recipe": "kitti", "version": 1, "source": str(drawn_kitti.resolve()), "splits": {"train": 8, "val": 4}}
    (out / "manifest.json").write_text(json.dumps({**old, "frames": 12, "objects": {}, "inputs": "0"}))
    assert raw_root(out) == drawn_kitti.resolve()
    open_prepared(out).check(KittiRoot.find(drawn_kitti).split("train"))
    assert not prepare_kitti(drawn_kitti, out=out).up_to_date
    assert prepare_kitti(drawn_kitti, out=out).up_to_date


def test_a_prepared_file_that_is_a_link_is_replaced_not_followed(drawn_kitti: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    out.mkdir()
    (tmp_path / "victim").write_text("content")
    (out / RECTANGLES).symlink_to(tmp_path / "victim")
    assert prepare_kitti(drawn_kitti, out=out).broken == ()
    assert (tmp_path / "victim").read_text() == "content"
    assert not (out / RECTANGLES).is_symlink()


def test_checking_writes_nothing(drawn_kitti: Path, tmp_path: Path) -> None:
    assert prepare_kitti(drawn_kitti, out=tmp_path / "prepared", check_only=True).folder is None
    assert not (tmp_path / "prepared").exists()


def test_workers_give_the_same_bytes(drawn_kitti: Path, tmp_path: Path) -> None:
    contents = []
    for count in (1, 2):
        prepare_kitti(drawn_kitti, out=tmp_path / str(count), workers=count)
        contents.append((tmp_path / str(count) / RECTANGLES).read_bytes())
    assert contents[0] == contents[1]


def test_a_split_that_was_not_prepared(drawn_kitti: Path, tmp_path: Path) -> None:
    prepare_kitti(drawn_kitti, ["val"], out=tmp_path / "prepared")
    with pytest.raises(MissingDataError, match="8 of 8 frames of the split are not prepared"):
        open_prepared(tmp_path / "prepared").check(KittiRoot.find(drawn_kitti).split("train"))


@pytest.mark.parametrize("content", [b"PK nonsense", b"PK\x03\x04 nonsense", b""])
def test_a_damaged_file_says_what_to_do(drawn_kitti: Path, tmp_path: Path, content: bytes) -> None:
    prepare_kitti(drawn_kitti, out=tmp_path / "prepared")
    (tmp_path / "prepared" / RECTANGLES).write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        open_prepared(tmp_path / "prepared")


def test_frames_in_train_and_val_are_pointed_out(
    drawn_kitti: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kitti").mkdir()
    (tmp_path / "kitti" / "training").symlink_to(drawn_kitti / "training")
    (tmp_path / "kitti" / "ImageSets").mkdir()
    for name in ("train", "val"):
        (tmp_path / "kitti" / "ImageSets" / f"{name}.txt").write_text("000001\n")
    with caplog.at_level("WARNING", logger="g3d"):
        prepare_kitti(tmp_path / "kitti", out=tmp_path / "out", check_only=True)
    assert "1 frames are in both train and val" in caplog.text


@pytest.mark.parametrize("argument", ["out", "npy"])
def test_a_place_that_cannot_be_written_is_said_before_the_work(
    drawn_kitti: Path, tmp_path: Path, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(workers, "apply", None)  # no frame may be looked at
    with pytest.raises(EnvironmentProblem, match="file is no folder") as caught:
        prepare_kitti(drawn_kitti, **{"out": tmp_path / "free", argument: tmp_path / "file" / "prepared"})
    assert "--out" in caught.value.hint
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(EnvironmentProblem, match="may not be written"):
        prepare_kitti(drawn_kitti, **{"out": tmp_path / "free", argument: tmp_path / "new" / "prepared"})
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("processes", [1, 2])
def test_the_runner_goes_on_past_broken_items(processes: int) -> None:
    outcome = workers.apply(double_but_three, range(5), "double", processes)
    assert outcome.good == ((0, 0), (1, 2), (2, 4), (4, 8))
    assert [(item, str(error)) for item, error in outcome.broken] == [(3, "three is broken")]


def test_a_manifest_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        manifest.read_manifest(tmp_path)
    manifest.write_manifest(tmp_path, {"a": 1})
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"a": 1}


def test_a_dry_run_says_what_it_would_take(drawn_kitti: Path, tmp_path: Path) -> None:
    places = ("--out", str(tmp_path / "out"), "--npy", str(tmp_path / "npy"))
    code, out, _ = g3d("prepare", "kitti", "--data", str(drawn_kitti), *places, "--dry-run")
    assert code == 0
    assert out.startswith("12 frames to check, about 0.04 GB to write")
    assert not list(tmp_path.iterdir())
    assert g3d("prepare", "kitti", "--data", str(drawn_kitti), "--out", str(tmp_path / "out"))[0] == 0
    code, out, _ = g3d("prepare", "kitti", "--data", str(drawn_kitti), "--out", str(tmp_path / "out"), "--dry-run")
    assert (code, out) == (0, "up to date: nothing to do\n")
