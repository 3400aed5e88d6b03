"""Every mistake costs one clear line and the right exit code; nothing half-written stays."""

from __future__ import annotations

import errno
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.drawn import micro
from support.verbs import g3d, refused

from g3d.engine import checkpoint


@pytest.fixture
def world(drawn_kitti: Path, tmp_path: Path) -> Path:
    """A copy of the drawn world to break."""
    return Path(shutil.copytree(drawn_kitti, tmp_path / "kitti", ignore=shutil.ignore_patterns("g3d")))


def prepare(world: Path, *more: str) -> tuple[str, ...]:
    return ("prepare", "kitti", "--data", str(world), *more)


def train(world: Path, out: Path, *settings: str) -> tuple[str, ...]:
    return ("train", "--preset", "monodle-ddml-tiny", "--data", str(world), "--out", str(out), *micro(*settings))


def test_missing_label(world: Path) -> None:
    (world / "training/label_2/000003.txt").unlink()
    refused(3, *prepare(world), says=("label", "000003.txt", "no such file"))
    assert not (world / "g3d").exists()


def test_keep_going_prepares_the_others(world: Path) -> None:
    (world / "training/label_2/000003.txt").unlink()
    refused(1, *prepare(world, "--keep-going"), says=("000003.txt",))
    assert (world / "g3d" / "manifest.json").is_file()


def test_calibration_without_p2(world: Path) -> None:
    file = world / "training/calib/000002.txt"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("P2")))
    refused(2, *prepare(world), says=("000002.txt", "P2 is missing", "found: P0, P1, P3"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda words: words[:14], "has 14 columns"),
        (lambda words: [*words, "0.5", "7"], "has 17 columns"),
        (lambda words: [*words[:13], "nan", words[14]], "'nan'"),
        (lambda words: [*words[:8], "inf", *words[9:]], "'inf'"),
        (lambda words: [*words[:8], "tall", *words[9:]], "'tall'"),
    ],
)
def test_broken_label_line(world: Path, change: Any, says: str) -> None:
    file = world / "training/label_2/000001.txt"
    first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([" ".join(change(first.split())), *rest]) + "\n")
    refused(2, *prepare(world), says=("000001.txt", "line 1", says))


@pytest.mark.parametrize("content", [b"this is no image", b""])
def test_image_that_is_no_image(world: Path, content: bytes) -> None:
    (world / "training/image_2/000004.png").write_bytes(content)
    refused(2, *prepare(world), says=("000004.png", "expected a PNG or JPEG image"))


def test_truncated_image(world: Path) -> None:
    file = world / "training/image_2/000004.png"
    file.write_bytes(file.read_bytes()[:-200])
    refused(2, *prepare(world), says=("000004.png", "cannot be decoded"))


def test_calibration_of_another_image(world: Path) -> None:
    file = world / "training/calib/000005.txt"
    file.write_text(file.read_text().replace(" 48.0 ", " 609.5 "))
    refused(2, *prepare(world), says=("000005.txt", "principal point (609.5, 30.0) lies outside the image of 96 x 64"))


def test_no_such_data(tmp_path: Path) -> None:
    refused(3, *prepare(tmp_path / "nowhere"), says=("nowhere", "no such folder"))


def test_training_on_unprepared_data(world: Path, tmp_path: Path) -> None:
    refused(3, *train(world, tmp_path / "run"), says=("not prepared",))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_image_that_went_away_after_preparation(world: Path, tmp_path: Path, workers: int) -> None:
    g3d(*prepare(world))
    (world / "training/image_2/000002.png").unlink()
    refused(3, *train(world, tmp_path / "run", f"train.workers={workers}"), says=("000002.png: no such file",))


def test_unknown_preset_key(world: Path, tmp_path: Path) -> None:
    refused(2, *train(world, tmp_path / "run", "optim.learning_rate=1"), says=("optim.learning_rate: unknown key",))


def test_batch_larger_than_the_split(world: Path, tmp_path: Path) -> None:
    g3d(*prepare(world))
    refused(2, *train(world, tmp_path / "run", "train.batch=64"), says=("train.batch=64", "only 8 samples"))


def test_run_directory_that_cannot_be_written(world: Path, tmp_path: Path) -> None:
    g3d(*prepare(world))
    (tmp_path / "file").write_text("in the way")
    refused(4, *train(world, tmp_path / "file" / "run"), says=("cannot be written", "Not a directory"))


@pytest.mark.slow
def test_full_disk_while_a_checkpoint_is_written(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first checkpoint stays as it is, the second one leaves nothing behind."""
    g3d(*prepare(world))
    run = tmp_path / "run"
    saved = torch.save
    sizes: list[int] = []

    def save(content: Any, file: Any) -> None:
        if sizes:
            file = _Full(file, sizes[0] // 2)
        saved(content, file)
        sizes.append(file.tell())

    monkeypatch.setattr(torch, "save", save)
    refused(4, *train(world, run), says=("last.pt", "No space left on device"))
    assert [file.name for file in (run / "checkpoints").iterdir()] == ["last.pt"]
    assert checkpoint.read(run / "checkpoints" / "last.pt").training["steps"] == 2


class _Full:
    """A file on a disk with room for so many bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: Any) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self.file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.fixture
def run(drawn_kitti: Path, tmp_path: Path) -> Path:
    """A finished micro run."""
    g3d(*prepare(drawn_kitti))
    code, _, err = g3d(*train(drawn_kitti, tmp_path / "run", "train.epochs=1"))
    assert code == 0, err
    return tmp_path / "run"


def test_a_place_for_results_that_cannot_be_written_is_refused_before_predicting(
    run: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for verb in ("infer", "evaluate"):  # in this order: infer takes its own from evaluate when it is imported
        monkeypatch.setattr(f"g3d.engine.{verb}.predict", lambda *_: pytest.fail("hours of work for nothing"))
    (tmp_path / "file").write_text("in the way")
    inside = str(tmp_path / "file" / "found")
    image = ("--image", str(world / "training" / "image_2" / "000000.png"), "--fov", "80")
    for arguments in (("eval", "--out", inside), ("eval", "--native", inside), ("infer", *image, "--out", inside)):
        refused(4, *arguments, "--ckpt", str(run), says=(str(tmp_path / "file"), "cannot be written"))
    refused(
        2,
        "eval",
        "--ckpt",
        str(run),
        "--out",
        str(tmp_path),
        says=("is a folder; expected the name of a predictions file",),
    )


def test_truncated_checkpoint(run: Path) -> None:
    file = run / "checkpoints" / "last.pt"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    refused(2, "eval", "--ckpt", str(run), says=("last.pt", "truncated or not a torch file"))
    refused(2, "train", "--resume", str(run), says=("last.pt", "truncated or not a torch file"))


def test_a_folder_that_is_no_run(world: Path, tmp_path: Path) -> None:
    says = (str(world), "is neither a run directory nor a checkpoint")
    refused(3, "eval", "--ckpt", str(world), says=says, hint="give a run directory or a checkpoint file")
    (tmp_path / "weights.pth").write_bytes(b"")
    refused(3, "eval", "--ckpt", str(tmp_path), says=(str(tmp_path),), hint="it has weights.pth: name one of them")


def test_checkpoint_of_another_system(run: Path) -> None:
    file = run / "checkpoints" / "last.pt"
    content = torch.load(file, weights_only=True)
    torch.save({**content, "system": "jln"}, file)
    refused(
        2,
        "eval",
        "--ckpt",
        str(run),
        "--preset",
        "monodle-ddml",
        says=("of system jln", "preset monodle-ddml is of system monodle"),
    )


def test_checkpoint_of_another_size(run: Path) -> None:
    refused(
        2,
        "eval",
        "--ckpt",
        str(run),
        "--set",
        "model.head_channels=16",
        says=("does not fit", "heatmap.0.bias is (8,), expected (16,)"),
    )


class _Bomb:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("bomb-went-off"),)


@pytest.mark.parametrize(
    "write", [lambda bomb, file: torch.save(bomb, file), lambda bomb, file: file.write_bytes(pickle.dumps(bomb))]
)
def test_pickle_that_would_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "checkpoint_epoch_140.pth"
    write({"epoch": 140, "model_state": _Bomb()}, file)
    refused(2, "eval", "--ckpt", str(file), "--preset", "monodle-ddml", says=("checkpoint_epoch_140.pth", "refused"))
    assert not Path("bomb-went-off").exists()


def test_published_checkpoint_needs_its_preset(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "model_state": {}}, tmp_path / "c.pth")
    refused(2, "eval", "--ckpt", str(tmp_path / "c.pth"), says=("not written by g3d",))


def test_published_checkpoint_with_a_missing_entry(tmp_path: Path) -> None:
    torch.save({"epoch": 1, "model_state": {"heatmap.2.bias": torch.zeros(3)}}, tmp_path / "c.pth")
    refused(
        2,
        "eval",
        "--ckpt",
        str(tmp_path / "c.pth"),
        "--preset",
        "monodle",
        "--data",
        ".",
        says=("missing", "backbone.base_layer.0.weight"),
    )


def test_missing_result_file(world: Path, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "000008.txt").write_text("")
    says = ("3 of 4 frames have no file",)
    refused(3, "eval", "--predictions", str(tmp_path / "results"), "--data", str(world), says=says)


def test_infer_needs_a_camera(run: Path, drawn_kitti: Path) -> None:
    image = str(drawn_kitti / "training/image_2/000000.png")
    refused(2, "infer", "--ckpt", str(run), "--image", image, says=("either --calib or --focal",))
    refused(
        3, "infer", "--ckpt", str(run), "--image", "nowhere.png", "--focal", "100", says=("nowhere.png", "no such file")
    )


@pytest.mark.parametrize("focal", ["0", "-5", "nan", "inf"])
def test_a_focal_length_is_above_0(focal: str) -> None:
    refused(2, "infer", "--ckpt", "x", "--image", "x", "--focal", focal, says=(f"--focal {focal}", "above 0"))


def test_devices_that_are_not_supported(world: Path, tmp_path: Path) -> None:
    for device in ("meta", "mps", "tpu"):
        refused(
            2,
            *train(world, tmp_path / "run"),
            "--device",
            device,
            says=(f"--device {device}", "expected auto, cpu, cuda"),
        )


def test_a_place_to_log_to_that_is_not_installed(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g3d(*prepare(world))
    monkeypatch.setitem(sys.modules, "wandb", None)
    for more in ((), ("--dry-run",)):
        refused(
            4,
            *train(world, tmp_path / "run", "train.log_to=[wandb]"),
            *more,
            says=("train.log_to: wandb is not installed",),
        )
    assert not (tmp_path / "run").exists()


def test_a_learning_rate_is_not_scaled_over_the_given_one(world: Path, tmp_path: Path) -> None:
    refused(2, *train(world, tmp_path / "run", "optim.lr=1e-5"), "--scale-lr", says=("--scale-lr", "--set optim.lr"))


def test_resuming_with_another_preset(run: Path) -> None:
    refused(
        2,
        "train",
        "--resume",
        str(run),
        "--preset",
        "monodle",
        says=("a run of preset monodle-ddml-tiny, not of monodle",),
    )
    refused(2, "train", "--resume", "auto", "--preset", "mondle", says=("did you mean 'monodle'",))


def test_resuming_a_checkpoint_outside_a_run(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "checkpoints" / "last.pt", tmp_path / "last.pt")
    refused(2, "train", "--resume", str(tmp_path / "last.pt"), says=("lies in no run directory",))
    refused(2, "train", "--resume", str(tmp_path), says=("lies in no run directory",))


def test_resuming_weights_alone(run: Path) -> None:
    file = run / "checkpoints" / "last.pt"
    torch.save({**torch.load(file, weights_only=True), "training": {}}, file)
    refused(2, "train", "--resume", str(run), says=("does not say where its data is",))


def test_a_run_directory_that_cannot_be_written_any_more(run: Path) -> None:
    (run / "log.txt").unlink()
    (run / "log.txt").mkdir()
    refused(4, "train", "--resume", str(run), says=("run", "cannot be written", "Is a directory"))


def test_options_of_a_model_beside_predictions(world: Path, run: Path) -> None:
    args = ("eval", "--predictions", str(run), "--data", str(world), "--set", "data.classes=[Car]")
    refused(2, *args, says=("--set, --out, --native and --batch are for a model",))


def test_images_of_the_same_name(run: Path, tmp_path: Path, drawn_kitti: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(drawn_kitti / "training/image_2/000000.png", tmp_path / folder)
    args = (
        "infer",
        "--ckpt",
        str(run),
        "--image",
        str(tmp_path / "a"),
        "--image",
        str(tmp_path / "b"),
        "--focal",
        "100",
    )
    refused(2, *args, says=("several images are called '000000'",))


def test_diverged_training_says_so(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g3d(*prepare(world))
    monkeypatch.setattr("g3d.nn.object_losses.SQRT2", np.nan)
    refused(1, *train(world, tmp_path / "run", "train.log_steps=50"), says=("the loss is no longer finite", "depth"))
    assert (
        list((tmp_path / "run" / "checkpoints").iterdir()) == []
    )  # nothing of it is kept, however seldom it is logged


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("visualize", "--scene", "a.ply", "--predictions", "p.jsonl"), "--scene: --predictions, --data"),
        (("visualize", "--scene", "a.ply", "--item", "000001"), "--scene: --predictions, --data"),
        (("visualize", "--data", "d", "--item", "1", "--frames", "f"), "--frames: is for --scene"),
        (("visualize", "--data", "d", "--item", "1", "--layer", "instances"), "--layer: is for --scene"),
        (("eval", "--ckpt", "run", "--full-precision"), "--full-precision: of which result files?"),
        (("eval", "--predictions", "p.jsonl", "--data", "d", "--batch", "2"), "--native and --batch are for a model"),
    ],
)
def test_an_option_that_would_not_be_read_is_refused(args: tuple[str, ...], says: str) -> None:
    refused(2, *args, says=(says,))
