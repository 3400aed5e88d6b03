"""Data sets that many tests share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from support import paths
from support.drawn import draw_kitti
from torch import Tensor

from g3d.data.scannet.mesh import read_mesh

SHARED = paths.SHARED
REAL_KITTI = SHARED / "data" / "real" / "kitti"
REAL_SCAN = SHARED / "data" / "real" / "scannet" / "scans" / "scene0000_00" / "scene0000_00_vh_clean_2.ply"


@pytest.fixture
def real_kitti() -> Path:
    """The nine real frames; tests that use them skip where they are not."""
    if not REAL_KITTI.is_dir():
        pytest.skip("the real KITTI sample is not here")
    return REAL_KITTI


@pytest.fixture(scope="session")
def real_scan() -> tuple[Tensor, Tensor]:
    """The one real ScanNet mesh: vertices (N, 3) float32 in metres and faces (F, 3) int64; tests that use it skip where
    it is not."""
    if not REAL_SCAN.is_file():
        pytest.skip("the real ScanNet sample is not here")
    mesh = read_mesh(REAL_SCAN)
    return torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces).long()


@pytest.fixture(scope="session")
def drawn_kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A KITTI folder of twelve drawn frames (eight train, four val) of 96 x 64 pixels with one or two cars; read
    only."""
    return draw_kitti(tmp_path_factory.mktemp("kitti"), 8, 4)


@pytest.fixture
def mini_mono3drefer(tmp_path: Path) -> Path:
    """A copy of the four drawn Mono3DRefer images of the parity cases: two train, one val, one test, 24 expressions
    about 12 objects."""
    return Path(shutil.copytree(paths.GOLDEN / "jln" / "mini_mono3drefer", tmp_path / "mono3drefer"))


@pytest.fixture(autouse=True)
def _no_inherited_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests start from one process, whatever launched them."""
    for name in (
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "SLURM_PROCID",
        "SLURM_NTASKS",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_COUNT",
    ):
        monkeypatch.delenv(name, raising=False)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
