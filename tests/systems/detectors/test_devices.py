"""Both detectors on CUDA, and in half precision: what a CPU gives in float32."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.detector_world import SYSTEMS, micro_detector, prepared_scans
from support.verbs import g3d
from torch import Tensor

from g3d import config
from g3d.engine.distributed import Processes
from g3d.engine.trainer import Trainer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_scans(tmp_path_factory.mktemp("scans"))


def one_step(
    system: str, data: Path, device: str, *settings: str, dtype: torch.dtype = torch.float32
) -> tuple[dict[str, float], Tensor]:
    """Train one step without dropout, with weights of `dtype` (points are always float32); return the loss terms and
    all gradients as one vector, on the CPU."""
    settings += ("model.dropout=0",) if system == "groupfree" else ()
    chosen = config.load(f"{system}-tiny", micro_detector(system, *settings)[1::2])
    run = Trainer(chosen, data, Processes(0, 1, torch.device(device)))
    run.model.to(dtype)
    terms = next(iter(run)).losses
    gradients = [p.grad.cpu().flatten().double() for p in run.model.parameters() if p.grad is not None]
    return {name: value.item() for name, value in terms.items()}, torch.cat(gradients)


@pytest.mark.cuda
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_on_cuda_is_that_of_a_cpu(world: Path, system: str) -> None:
    expected, found = one_step(system, world, "cpu"), one_step(system, world, "cuda")
    assert found[0] == pytest.approx(expected[0], rel=1e-3, abs=1e-3)
    expected, found = (one_step(system, world, device, dtype=torch.float64) for device in ("cpu", "cuda"))
    assert found[0] == pytest.approx(expected[0], rel=1e-5, abs=1e-5)
    assert (found[1] - expected[1]).norm() <= 1e-5 * expected[1].norm()


@pytest.mark.cuda
@pytest.mark.parametrize("system", SYSTEMS)
def test_evaluation_on_cuda_gives_the_table_of_a_cpu(world: Path, tmp_path: Path, system: str) -> None:
    settings = micro_detector(system, "train.epochs=1")
    start = ("train", "--preset", f"{system}-tiny", "--data", str(world), "--out", str(tmp_path / "run"))
    code, _, err = g3d(*start, "--device", "cpu", *settings)
    assert code == 0, err
    tables = []
    for device in ("cpu", "cuda"):
        code, out, err = g3d("eval", "--ckpt", str(tmp_path / "run"), "--device", device, "--json")
        assert code == 0, err
        tables.append(json.loads(out)["metrics"])
    assert tables[1] == pytest.approx(tables[0], rel=1e-3, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_in_bfloat16_is_near_that_in_float32(world: Path, system: str) -> None:
    expected, found = one_step(system, world, "cpu"), one_step(system, world, "cpu", "train.precision=bf16")
    assert found[0] != expected[0]
    assert found[0]["total"] == pytest.approx(expected[0]["total"], rel=0.1)
    assert found[1].isfinite().all()
