"""`prepare scannet`: what it writes is what the published scripts write, whatever happens on the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support import paths
from support.scans import ALIGNMENT, draw_scans
from support.verbs import g3d

from g3d.data.scannet.arrays import scanrefer_scene, votenet_scene
from g3d.data.scannet.published import read_prepared, read_scanrefer, read_votenet
from g3d.data.scannet.scenes import FILE, read_scene
from g3d.errors import InputError, MissingDataError
from g3d.prepare import scannet_forms

SHARED = paths.SHARED
REAL = SHARED / "data" / "real" / "scannet"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn scans, the last without annotation; read only."""
    return draw_scans(tmp_path_factory.mktemp("scannet"), 4, test=1)


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared with every published form; read only."""
    out = tmp_path_factory.mktemp("prepared")
    forms = [part for form in ("scanrefer", "votenet", "refer", "inst_nostuff") for part in ("--published", form)]
    code, stdout, err = g3d(
        "prepare", "scannet", "--data", str(raw), "--out", str(out), *forms, "--maximum", "900", "--json"
    )
    assert code == 0, err
    assert json.loads(stdout)["facts"]["scene0001_00"]["objects"] == 5
    return out


def test_a_scene_holds_the_raw_scan(prepared: Path, raw: Path) -> None:
    scene = read_scene(prepared / "scenes" / "scene0000_00")
    assert np.allclose(scene.alignment, ALIGNMENT)
    assert scene.names[0] == "wall"
    assert set(np.unique(scene.objects)) == {0, 1, 2, 3, 4}
    assert scene.superpoints.max() >= 4
    assert (scene.object_nyu40 == scene.label_nyu40).all()
    assert np.allclose(scene.aligned, scene.vertices @ ALIGNMENT[:3, :3].T + ALIGNMENT[:3, 3], atol=1e-6)
    floor = scene.aligned[scene.objects == 1]
    assert np.allclose(scene.aligned_boxes[1, :3], (floor.min(0) + floor.max(0)) / 2)
    assert len(scene.rows) == 900


def test_part_of_a_scene_can_be_read(prepared: Path) -> None:
    scene = read_scene(prepared / "scenes" / "scene0000_00", "vertices", "superpoints")
    assert len(scene.vertices) == len(scene.superpoints) > 0
    assert len(scene.faces) == 0


def test_published_forms_lie_where_published_code_looks(prepared: Path) -> None:
    scene = read_scene(prepared / "scenes" / "scene0002_00")
    found = read_scanrefer(prepared / "published" / "scanrefer" / "scannet_data", "scene0002_00")
    expected = scanrefer_scene(scene.arrays(), scene.rows)
    for name in ("vertices", "aligned", "semantic", "instance", "boxes", "aligned_boxes"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    boxes = read_votenet(prepared / "published" / "votenet" / "scannet_train_detection_data", "scene0002_00").boxes
    assert np.array_equal(boxes, votenet_scene(scene.arrays()).boxes)
    refer = read_prepared(prepared / "published" / "refer" / "scannetv2" / "val" / "scene0002_00_refer.pth")
    assert np.array_equal(refer.superpoints, scene.superpoints)
    assert np.array_equal(refer.instance, scene.objects)
    things = read_prepared(
        prepared / "published" / "inst_nostuff" / "scannetv2" / "train" / "scene0000_00_inst_nostuff.pth"
    )
    assert set(np.unique(things.instance)) == {-100, 0, 1, 2}


def test_a_scan_without_annotation_is_prepared_and_flagged(prepared: Path) -> None:
    scene = read_scene(prepared / "scenes" / "scene0003_00")
    assert not scene.annotated
    assert scene.alignment is None
    assert len(scene.boxes) == 0
    assert not list((prepared / "published" / "votenet" / "scannet_train_detection_data").glob("scene0003_00*"))
    assert read_prepared(prepared / "published" / "refer" / "scannetv2" / "scene0003_00_refer.pth").semantic is None


@pytest.mark.parametrize("missing", [".txt", ".aggregation.json"])
def test_an_annotated_scan_that_lacks_a_file_is_broken(raw: Path, tmp_path: Path, missing: str) -> None:
    data = shutil.copytree(raw, tmp_path / "raw", ignore=shutil.ignore_patterns("g3d"))
    (data / "scans" / "scene0000_00" / f"scene0000_00{missing}").unlink()
    asked = ("prepare", "scannet", "--data", str(data), "--out", str(tmp_path / "out"), "--published", "votenet")
    code, _, err = g3d(*asked, "--scene", "scene0000_00", "--scene", "scene0001_00")
    assert code == 1
    assert f"scene0000_00{missing} is missing" in err
    assert [file.name for file in (tmp_path / "out" / "scenes").iterdir()] == ["scene0001_00"]
    assert g3d(*asked, "--check")[0] == 1


def test_votenet_s_form_needs_an_alignment(raw: Path, tmp_path: Path) -> None:
    data = shutil.copytree(raw, tmp_path / "raw", ignore=shutil.ignore_patterns("g3d"))
    facts = data / "scans" / "scene0000_00" / "scene0000_00.txt"
    facts.write_text("".join(facts.read_text().splitlines(keepends=True)[1:]))
    asked = ("prepare", "scannet", "--data", str(data), "--out", str(tmp_path / "out"), "--scene", "scene0000_00")
    assert g3d(*asked, "--published", "scanrefer")[0] == 0
    code, _, err = g3d(*asked, "--published", "votenet")
    assert code == 1
    assert "scan scene0000_00: its .txt has no axisAlignment" in err


def test_the_second_time_nothing_is_done(prepared: Path, raw: Path) -> None:
    out = str(prepared)
    asked = ("prepare", "scannet", "--data", str(raw), "--out", out, "--maximum", "900")
    assert g3d(*asked, "--check")[0] == 0
    assert json.loads(g3d(*asked, "--json")[1])["made"] == []
    code, text, _ = g3d(*asked[:-2], "--check")
    assert code == 1
    assert "scene0000_00: the settings differ" in text


def test_a_dry_run_says_what_it_needs(raw: Path, tmp_path: Path) -> None:
    code, text, _ = g3d(
        "prepare", "scannet", "--data", str(raw), "--out", str(tmp_path / "out"), "--dry-run", "--split", "train"
    )
    assert code == 0
    assert "0 done, 2 to do" in text
    assert "GB free" in text
    assert not (tmp_path / "out").exists()


def test_published_forms_are_planned_and_checked_as_well(raw: Path, prepared: Path, tmp_path: Path) -> None:
    asked = ("prepare", "scannet", "--data", str(raw), "--maximum", "900", "--scene", "scene0000_00")
    code, out, _ = g3d(*asked, "--out", str(prepared), "--published", "refer", "--check", "--json")
    assert (code, json.loads(out)["then"][0]["done"]) == (0, ["scene0000_00"])
    assert g3d(*asked, "--out", str(tmp_path))[0] == 0
    assert g3d(*asked, "--out", str(tmp_path), "--check")[0] == 0
    code, out, _ = g3d(*asked, "--out", str(tmp_path), "--published", "refer", "--check", "--json")
    assert (code, json.loads(out)["then"][0]["to_do"]) == (1, ["scene0000_00"])
    _, out, _ = g3d(*asked, "--out", str(tmp_path / "new"), "--published", "refer", "--dry-run", "--json")
    assert json.loads(out)["then"][0]["bytes"] > 10_000


def test_scenes_of_a_split_that_are_not_there_are_said(raw: Path, tmp_path: Path) -> None:
    names = tmp_path / "list.txt"
    names.write_text("scene0000_00\nscene0777_00\n")
    code, text, err = g3d(
        "prepare", "scannet", "--data", str(raw), "--out", str(tmp_path), "--split", str(names), "--dry-run"
    )
    assert (code, "1 to do" in text) == (0, True)
    assert "1 of the 2 scenes" in err
    assert "scene0777_00" in err


@pytest.mark.parametrize("option", [("--threshold", "-1"), ("--threshold", "nan"), ("--min-vertices", "0")])
def test_settings_without_sense_are_refused(raw: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    for verb in ("scannet", "superpoints"):
        assert g3d("prepare", verb, "--data", str(raw), "--out", str(tmp_path / "out"), *option)[0] == 2
    assert not (tmp_path / "out").exists()


def test_a_link_that_another_process_makes_meanwhile_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, link = tmp_path / "file", tmp_path / "place" / "link"
    file.write_text("content")
    make = os.link

    def late(source: Path, target: Path) -> None:
        make(source, target)
        make(source, target)

    monkeypatch.setattr(scannet_forms.os, "link", late)
    scannet_forms._link(file, link)
    assert link.samefile(file)


def test_shards_make_the_whole(raw: Path, tmp_path: Path, prepared: Path) -> None:
    for shard in ("1/2", "2/2"):
        assert (
            g3d("prepare", "scannet", "--data", str(raw), "--out", str(tmp_path), "--maximum", "900", "--shard", shard)[
                0
            ]
            == 0
        )
    for scene in range(4):
        name = f"scenes/scene{scene:04d}_00/{FILE}"
        assert (tmp_path / name).read_bytes() == (prepared / name).read_bytes()


def test_broken_scans_are_listed_and_the_others_made(raw: Path, tmp_path: Path) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    (tmp_path / "raw" / "scans" / "scene0009_00").mkdir()
    mesh = tmp_path / "raw" / "scans" / "scene0001_00" / "scene0001_00_vh_clean_2.ply"
    mesh.write_bytes(mesh.read_bytes()[:5000])
    segments = tmp_path / "raw" / "scans" / "scene0002_00" / "scene0002_00_vh_clean_2.0.010000.segs.json"
    segments.write_text('{"segIndices": [1, 2, 3]}')
    code, out, err = g3d(
        "prepare", "scannet", "--data", str(tmp_path / "raw"), "--out", str(tmp_path / "out"), "--json"
    )
    report = json.loads(out)
    assert code == 1
    assert report["made"] == ["scene0000_00", "scene0003_00"]
    reasons = {entry["item"]: entry["reason"] for entry in report["broken"]}
    assert "the file is cut short" in reasons["scene0001_00"]
    assert "3" in reasons["scene0002_00"]
    assert "the folder is empty" in reasons["scene0009_00"]
    assert sorted(os.listdir(tmp_path / "out" / "scenes")) == ["scene0000_00", "scene0003_00"]
    assert err.count("error: ") == 3


def test_a_wrong_label_table_is_said_before_the_work(raw: Path, tmp_path: Path) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    (tmp_path / "raw" / "scannetv2-labels.combined.tsv").write_text("a\tb\n1\t2\n")
    code, _, err = g3d("prepare", "scannet", "--data", str(tmp_path / "raw"), "--out", str(tmp_path / "out"))
    assert code == 2
    assert "scannetv2-labels.combined.tsv" in err
    assert not (tmp_path / "out").exists()


def test_a_damaged_scene_file_says_what_to_do(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes((prepared / "scenes" / "scene0000_00" / FILE).read_bytes()[:300])
    with pytest.raises(InputError, match="damaged"):
        read_scene(tmp_path)
    with pytest.raises(MissingDataError, match="no such prepared scene"):
        read_scene(tmp_path / "nothing")


def test_the_real_scan_gives_the_published_boxes(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip("the real ScanNet sample is not here")
    code, _, err = g3d("prepare", "scannet", "--data", str(REAL), "--out", str(tmp_path), "--published", "votenet")
    assert code == 0, err
    found = read_votenet(tmp_path / "published" / "votenet" / "scannet_train_detection_data", "scene0000_00")
    assert np.array_equal(found.boxes, np.load(REAL / "votenet_npy" / "scene0000_00_bbox.npy"))


@pytest.mark.slow
def test_kills_leave_the_bytes_of_an_undisturbed_run(tmp_path: Path) -> None:
    raw = draw_scans(tmp_path / "raw", 8, side=60)
    command = [sys.executable, "-m", "g3d", "-q", "prepare", "scannet", "--data", str(raw), "--workers", "2"]
    command += ["--published", "scanrefer", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    subprocess.run([*command, str(tmp_path / "undisturbed")], check=True, env=environment)
    whole = time.monotonic() - began
    moments = random.Random(1)
    for _ in range(8):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], env=environment, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.3, 1.0) * whole)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(tmp_path / "killed")], check=True, env=environment)
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }
