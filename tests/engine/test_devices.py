"""Training and inference on CUDA give what they give on a CPU, in every precision and memory layout.

Every test also runs on the CPU alone, where it compares memory layouts and precisions. Gradients are compared in
float64, to 1e-5 of the whole gradient's norm: in float32, rounding moves some activations across the kinks of ReLU and
maximum pooling, which changes a gradient by percents. Loss terms of float32 are compared to 1e-3.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.drawn import MICRO as MICRO_MONODLE
from support.mono3drefer_world import MICRO as MICRO_JLN
from support.mono3drefer_world import mini_world
from support.verbs import g3d
from torch import Tensor

from g3d import config as presets
from g3d.engine import checkpoint
from g3d.engine.distributed import Processes
from g3d.engine.trainer import Trainer
from g3d.prepare.kitti import prepare_kitti

ROUNDING, ROUNDING_OF_FLOAT64 = 1e-3, 1e-5


@dataclass(frozen=True)
class World:
    """A small data set, and the micro network that learns from it without any draw of its own.

    Attributes:
        preset, settings: its config.
        data: prepared folder.
        question: arguments of `g3d infer`, besides the checkpoint and the device.
    """

    preset: str
    settings: tuple[str, ...]
    data: Path
    question: tuple[str, ...]

    def given(self, *more: str) -> list[str]:
        """Return all settings as command line arguments."""
        return [part for setting in (*self.settings, *more) for part in ("--set", setting)]


@pytest.fixture(scope="module", params=["monodle", pytest.param("jln", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, drawn_kitti: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    if request.param == "monodle":
        prepare_kitti(drawn_kitti)
        image, calibration = (drawn_kitti / "training" / name for name in ("image_2/000009.png", "calib/000009.txt"))
        return World(
            "monodle-ddml-tiny",
            (*MICRO_MONODLE, "decode.threshold=0", "decode.max_detections=1"),
            drawn_kitti,
            ("--image", str(image), "--calib", str(calibration)),
        )
    data = mini_world(tmp_path_factory.mktemp("mini") / "mono3drefer")
    image, calibration = data / "images" / "000007.png", data / "calib" / "000007.txt"
    return World(
        "jln-tiny",
        (*MICRO_JLN, "model.dropout=0", "model.reference=learned"),
        data,
        ("--image", str(image), "--calib", str(calibration), "--text", "the white car on the left"),
    )


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """A device; PyTorch's TF32 switches, which belong to the process, are put back after the test."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield request.param
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@dataclass(frozen=True)
class Step:
    """The results of one training step, on the CPU: loss terms, gradients, and the model's state."""

    losses: dict[str, float]
    gradients: dict[str, Tensor]
    state: dict[str, Tensor]

    def vector(self) -> Tensor:
        """Return all gradients as one vector."""
        return torch.cat([gradient.flatten().double() for gradient in self.gradients.values()])


def one_step(world: World, device: str, *settings: str, dtype: torch.dtype = torch.float32) -> Step:
    """Train one step from the preset's seed, with weights and images of `dtype`."""
    config = presets.load(world.preset, [*world.settings, *settings])
    run = Trainer(config, world.data, Processes(0, 1, torch.device(device)))
    run.model.to(dtype)
    run.model.register_forward_pre_hook(lambda _, inputs: tuple(_cast(value, dtype) for value in inputs))
    terms = next(iter(run)).losses
    assert {parameter.device.type for parameter in run.model.parameters()} == {device}
    gradients = {name: p.grad.cpu() for name, p in run.model.named_parameters() if p.grad is not None}
    assert gradients
    return Step(
        {name: value.item() for name, value in terms.items()},
        gradients,
        {name: value.cpu() for name, value in run.model.state_dict().items()},
    )


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Return the value in `dtype` if it is a float32 tensor, else as it is."""
    return value.to(dtype) if isinstance(value, Tensor) and value.dtype == torch.float32 else value


@pytest.fixture(scope="module")
def expected(world: World) -> Step:
    """The step on the CPU in float32, with contiguous tensors."""
    return one_step(world, "cpu", "train.channels_last=false")


@pytest.fixture(scope="module")
def expected_in_float64(world: World) -> Step:
    """The same step in float64."""
    return one_step(world, "cpu", "train.channels_last=false", dtype=torch.float64)


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_training_step_is_that_of_the_cpu(world: World, expected: Step, device: str, channels_last: bool) -> None:
    found = one_step(world, device, f"train.channels_last={str(channels_last).lower()}")
    assert found.losses == pytest.approx(expected.losses, rel=ROUNDING, abs=ROUNDING)
    statistics = [name for name in expected.state if name.endswith(("running_mean", "running_var"))]
    assert statistics
    for name in statistics:
        torch.testing.assert_close(found.state[name], expected.state[name], rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("channels_last", [True, False])
def test_gradients_are_those_of_the_cpu(
    world: World, expected_in_float64: Step, device: str, channels_last: bool
) -> None:
    found = one_step(world, device, f"train.channels_last={str(channels_last).lower()}", dtype=torch.float64)
    expected = expected_in_float64
    assert found.losses == pytest.approx(expected.losses, rel=ROUNDING_OF_FLOAT64, abs=ROUNDING_OF_FLOAT64)
    assert found.gradients.keys() == expected.gradients.keys()
    assert (found.vector() - expected.vector()).norm() <= ROUNDING_OF_FLOAT64 * expected.vector().norm()


def test_a_step_in_bfloat16_is_near_that_in_float32(world: World, expected: Step, device: str) -> None:
    """Weights, statistics and gradients stay in float32."""
    found = one_step(world, device, "train.precision=bf16")
    assert found.losses != expected.losses
    assert found.losses["total"] == pytest.approx(expected.losses["total"], rel=0.05)
    floating = [value.dtype for value in found.state.values() if value.is_floating_point()]
    assert {*floating, *(gradient.dtype for gradient in found.gradients.values())} == {torch.float32}
    assert found.vector().isfinite().all()


@pytest.mark.parametrize("asked", [True, False])
def test_tf32_is_as_the_preset_says(world: World, expected: Step, device: str, asked: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not asked
    found = one_step(world, device, f"train.tf32={str(asked).lower()}")
    switches = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    assert switches == ((asked,) * 2 if device == "cuda" else (not asked,) * 2)  # a CPU has no TF32 to switch
    assert found.losses["total"] == pytest.approx(expected.losses["total"], rel=0.01)


def numbers(content: Any) -> list[float]:
    """Return all numbers in decoded JSON, in order."""
    if isinstance(content, dict):
        return [number for value in content.values() for number in numbers(value)]
    if isinstance(content, list):
        return [number for value in content for number in numbers(value)]
    return [float(content)] if isinstance(content, int | float) else []


def test_a_checkpoint_of_one_device_serves_on_another(world: World, device: str, tmp_path: Path) -> None:
    """Trained on `device`: read on the CPU, asked on both, and trained on from there on the CPU."""
    run = tmp_path / "run"
    start = ("train", "--preset", world.preset, "--data", str(world.data), "--out", str(run), "--device", device)
    code, _, err = g3d(*start, *world.given("train.epochs=1"))
    assert code == 0, err
    saved = checkpoint.read(run / "checkpoints" / "last.pt")
    assert {value.device.type for value in saved.model.values()} == {"cpu"}
    answers = []
    for place in ("cpu", device):
        code, out, err = g3d("infer", "--ckpt", str(run), *world.question, "--device", place, "--json")
        assert code == 0, err
        answers.append(numbers(json.loads(out)["predictions"]))
    assert len(answers[0]) > 20
    np.testing.assert_allclose(answers[1], answers[0], rtol=ROUNDING, atol=0.02)  # pixels, metres, radians
    code, _, err = g3d("train", "--resume", str(run), "--device", "cpu", "--set", "train.epochs=2")
    assert code == 0, err
    steps = [checkpoint.read(file).training["steps"] for file in [run / "checkpoints" / "last.pt"]]
    assert steps == [2 * saved.training["steps"]]


def test_evaluation_gives_the_table_of_the_cpu(world: World, device: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    start = ("train", "--preset", world.preset, "--data", str(world.data), "--out", str(run), "--device", "cpu")
    code, _, err = g3d(*start, *world.given("train.epochs=1"))
    assert code == 0, err
    tables = []
    for place in ("cpu", device):
        code, out, err = g3d("eval", "--ckpt", str(run), "--device", place, "--json")
        assert code == 0, err
        tables.append(numbers(json.loads(out)))
    assert tables[0]
    np.testing.assert_allclose(tables[1], tables[0], rtol=ROUNDING, atol=1e-6)
