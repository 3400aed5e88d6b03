"""The cluster recipes run: shellcheck finds nothing, and they prepare scans as the commands in them do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import paths
from support.scans import draw_scans

from g3d.data.scannet.point_features import PointFeatures
from g3d.data.scannet.scenes import read_scene
from g3d.nn.enet import ENet, published_name

ROOT = paths.ROOT
SCRIPTS = ROOT / "data_scripts"
MADE = ROOT.parent / "shared" / "data" / "made" / "scannet"


def run(script: str, *arguments: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    wrapper = f"{sys.executable} -m g3d -q"
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    text = (SCRIPTS / script).read_text().replace('"$g3d"', wrapper)  # an installed g3d may not be on the tests' path
    return subprocess.run(
        ["bash", "-c", text, script, *map(str, arguments)], capture_output=True, text=True, env=env, check=False
    )


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("no shellcheck")
    subprocess.run([shellcheck, *SCRIPTS.iterdir(), ROOT / ".ci" / "run"], check=True)


@pytest.mark.slow
def test_a_slurm_array_shares_the_scenes(tmp_path: Path) -> None:
    raw = draw_scans(tmp_path, 3)
    for task in ("0", "1"):
        array = {
            "SLURM_ARRAY_TASK_ID": task,
            "SLURM_ARRAY_TASK_MIN": "0",
            "SLURM_ARRAY_TASK_COUNT": "2",
            "SLURM_CPUS_PER_TASK": "1",
        }
        done = run("scannet.sbatch", raw, **array)
        assert done.returncode == 0, done.stderr
    scenes = [f"scene{k:04d}_00" for k in range(3)]
    assert sorted(os.listdir(raw / "g3d" / "scenes")) == scenes
    assert len(list((raw / "g3d" / "published" / "scanrefer" / "scannet_data").iterdir())) == 18


@pytest.mark.slow
def test_a_broken_scan_does_not_stop_the_rest(tmp_path: Path) -> None:
    raw = draw_scans(tmp_path, 2)
    (raw / "scans" / "scene0000_00" / "scene0000_00.aggregation.json").write_text("{")
    done = run("scannet.sh", raw, WORKERS="1")
    assert done.returncode == 1
    assert "scene0000_00.aggregation.json" in done.stderr
    assert os.listdir(raw / "g3d" / "scenes") == ["scene0001_00"]


def test_without_arguments_it_says_how_it_is_used() -> None:
    done = subprocess.run(["bash", SCRIPTS / "scannet.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "data_scripts/scannet.sh DATA [OUT]" in done.stderr


@pytest.mark.slow
def test_the_made_scene_gets_image_features(tmp_path: Path) -> None:
    if not MADE.is_dir():
        pytest.skip("the made scene is not here")
    network = ENet()
    state = {name: value for key, value in network.state_dict().items() if (name := published_name(key, network))}
    torch.save(state, tmp_path / "enet.pth")
    done = run("scannet.sh", MADE, tmp_path / "out", WORKERS="1", ENET=str(tmp_path / "enet.pth"), EVERY="3")
    assert done.returncode == 0, done.stderr
    scene = read_scene(tmp_path / "out" / "scenes" / "scene0900_00", "vertices")
    features = PointFeatures(tmp_path / "out" / "published" / "enet_feats_maxpool.hdf5").read(
        "scene0900_00", scene.vertices
    )
    assert features.shape == (7152, 128)
    assert features.any(1).sum() > 1000
