"""Scannet kinds run on the scan that the case names: the made scan under another name gives the same results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import paths

from parity.check import Check
from parity.describe import DescriptionError
from parity.kinds import scannet, scannet_batch_load, scannet_clip_projection, scannet_multiview
from parity.runner import Case, find_cases, run_case
from parity.variants import failures

OLD, NEW = "scene0900_00", "scene0412_03"
GOLDEN = paths.GOLDEN / "scannet"
SHARED = paths.SHARED / "golden" / "scannet"
COPIED = ("batch_load", "prepared_refer")
OTHERS = ("segmentator", "sens", "clip_projection")


def rename_scan(source: Path, target: Path) -> None:
    """Copy a download with one scan, the scan under its new name: folders, files and the names inside of them."""
    shutil.copytree(source / "meta", target / "meta")
    scan = target / "scans" / NEW
    scan.mkdir(parents=True)
    for file in (source / "scans" / OLD).iterdir():
        copy = scan / file.name.replace(OLD, NEW)
        if file.suffix in (".json", ".txt"):
            copy.write_text(file.read_text().replace(OLD, NEW))
        else:
            shutil.copyfile(file, copy)
    for file in (target / "meta").iterdir():
        file.chmod(0o644)
        file.write_text(file.read_text().replace(OLD, NEW))


def renamed_case(source: Path, folder: Path, case: str, **changes: Any) -> Case:
    """Copy a case, its text with the new name of the scan."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.loads((source / f"{case}.json").read_text().replace(OLD, NEW))
    (folder / f"{case}.json").write_text(json.dumps(settings | changes))
    shutil.copyfile(source / f"{case}.npz", folder / f"{case}.npz")
    return find_cases([folder / f"{case}.json"])[0]


def checks_of(case: Case) -> list[Check]:
    checks = run_case(case)
    assert checks
    return checks


@pytest.mark.parametrize("name", COPIED)
def test_renamed_scan_beside_the_cases(tmp_path: Path, name: str) -> None:
    rename_scan(GOLDEN / "made", tmp_path / "scannet" / "made")
    case = renamed_case(GOLDEN, tmp_path / "scannet", name)
    assert scannet.scene_name(case.settings) == NEW
    assert not failures(checks_of(case))
    case = renamed_case(GOLDEN, tmp_path / "scannet", name, input="a made scan", scene="scene0001_00")
    with pytest.raises(DescriptionError, match="no folder scans/scene0001_00"):
        run_case(case)


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of cases of a copy of ../shared/golden and ../shared/data/made, with the scan under its new name."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not here")
    root = tmp_path_factory.mktemp("renamed")
    rename_scan(paths.SHARED / "data" / "made" / "scannet", root / "data" / "made" / "rooms")
    folder = root / "golden" / "scannet"
    for name in (*COPIED, *OTHERS, "multiview"):
        renamed_case(SHARED, folder, name)
    return folder


@pytest.mark.parametrize("name", [*OTHERS, pytest.param("multiview", marks=pytest.mark.slow)])
def test_renamed_scan_beside_the_shared_data(renamed: Path, name: str) -> None:
    (case,) = find_cases([renamed / f"{name}.json"])
    assert scannet.made_files(case.settings, renamed).folder.is_relative_to(renamed.parents[1])
    assert not failures(checks_of(case))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"input": "a scan"}, "does not state it"),
        ({}, "does not state it"),
        ({"input": f"the made scene {OLD} and {NEW}"}, "several scenes"),
        ({"input": f"the made scene {OLD}", "scene": NEW}, "scene states"),
    ],
)
def test_scene_must_be_named_once(settings: dict, reason: str) -> None:
    with pytest.raises(DescriptionError, match=reason):
        scannet.scene_name(settings)


def test_scene_names() -> None:
    assert scannet.scene_name({"input": f"the made scene {NEW} (no arrays)"}) == NEW
    assert scannet.scene_name({"input": "the made scene hall7, in scans"}) == "hall7"
    assert scannet.scene_name({"scene": "hall7"}) == "hall7"


# --- batch_load -------------------------------------------------------------------------------------------------------


def batch_load(name: str, text: str, arrays: dict[str, np.ndarray] | None = None) -> Any:
    scan, table = scannet.made_scan({"scene": OLD}, GOLDEN)
    return scannet_batch_load.made_scene(name, text, scan, table, arrays or {})


def test_batch_load_draws_the_stated_number_of_rows_from_the_stated_seed() -> None:
    seeded = "maximum points {}, numpy legacy global generator seeded with {} just before the call"
    whole = batch_load("full", "maximum points 50000 (no subsampling happens)")
    some, others = (batch_load("some", seeded.format(100, seed)) for seed in (3, 4))
    np.random.seed(3)
    rows = np.random.choice(len(whole.vertices), 100, replace=False)
    np.testing.assert_array_equal(some.vertices, whole.vertices[rows])
    assert not np.array_equal(some.vertices, others.vertices)
    with pytest.raises(DescriptionError, match=r"settings\.some"):
        batch_load("some", "maximum points 100")


def test_batch_load_refuses_unknown_variants() -> None:
    with pytest.raises(DescriptionError, match="none of the known variants"):
        batch_load("mirrored", "the scene mirrored")
    with pytest.raises(DescriptionError, match=r"in\.two\.aggregation_json"):
        batch_load("two", "aggregation replaced by in.two.aggregation_json (UTF-8 bytes)")


# --- clip_projection and multiview ------------------------------------------------------------------------------------


def test_clip_tokens_follow_the_text() -> None:
    text = "float32(sin(0.5*i*(1+c%3) - 0.2*j + 0.1*frame)) for token row i, column j of 5x7 and channel c"
    tokens = scannet_clip_projection.stand_ins({"settings": {"tokens": text, "channels": 4}})
    found = tokens.of(3).numpy()
    assert found.shape == (5, 7, 4)
    for i, j, c in np.ndindex(5, 7, 4):
        assert found[i, j, c] == pytest.approx(np.sin(0.5 * i * (1 + c % 3) - 0.2 * j + 0.3), abs=1e-6)
    with pytest.raises(DescriptionError, match=r"settings\.tokens"):
        scannet_clip_projection.stand_ins({"settings": {"tokens": "CLIP's own", "channels": 4}})


def test_other_frames_change_the_projection(renamed: Path) -> None:
    settings = json.loads((renamed / "clip_projection.json").read_text())
    settings["settings"]["frames"] = [0, 5]
    case = renamed_case(renamed, renamed.parent / "frames", "clip_projection", settings=settings["settings"])
    for name in COPIED:
        renamed_case(renamed, renamed.parent / "frames", name)
    wrong = {check.name for check in checks_of(case) if not check.passed}
    assert "sp_feat_2d" in wrong
    assert not any("frame0" in name or "ball" in name for name in wrong)


def test_arrays_of_other_cases() -> None:
    found = scannet.other_case_array("xyz of out.full.vert in batch_load (raw frame)", GOLDEN)
    assert found.shape[1] == 9
    with pytest.raises(DescriptionError, match="expected one array and one case"):
        scannet.other_case_array("xyz of the mesh vertices", GOLDEN)


def test_multiview_texts() -> None:
    case = {
        "tolerance": {
            "enet_features": "from in.images_uint8: 2e-3 abs. From the .sens, re-encoded: abs 4e-2, mean abs 6e-3",
            "indices": "allow 0.5 % for other arithmetic",
        }
    }
    assert scannet_multiview.tolerances(case) == scannet_multiview.Tolerances(2e-3, 4e-2, 6e-3, 0.005)
    sizes = {
        "f320_": "the same with frames first resized to 160x120 (nearest)",
        "g_": "frames first resized to 64x48 (nearest)",
    }
    assert scannet_multiview.resized_frames(sizes) == {"f320_": (160, 120), "g_": (64, 48)}
    scannet_multiview.check_sizes({"image": "328x256 nearest + centre crop, then ENet -> 128 x 32 x 41"})
    with pytest.raises(DescriptionError, match=r"settings\.image"):
        scannet_multiview.check_sizes({"image": "320x240 nearest + centre crop, then ENet -> 128 x 30 x 40"})
    assert scannet_multiview.chosen_frames({"frames": [2, 10]}, {}) == ["10", "2"]
    with pytest.raises(DescriptionError, match=r"settings\.frames"):
        scannet_multiview.chosen_frames({"frames": "every second frame"}, {})
