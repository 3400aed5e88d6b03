"""The command line as a user meets it: help, exit codes, where output goes."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.drawn import micro
from support.verbs import g3d

from g3d.cli import output


def test_help_imports_no_torch_and_is_quick() -> None:
    script = (
        "import sys; sys.argv = ['g3d', '--help']\nfrom g3d.cli.app import main\ntry: main()\nexcept SystemExit: pass\n"
    )
    script += "heavy = {'torch', 'numpy', 'numba', 'pydantic', 'PIL'} & set(sys.modules)\nassert not heavy, heavy"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Grounding language in 3D" in done.stdout
    assert time.perf_counter() - began < 30  # not a benchmark: only that nothing heavy crept in


@pytest.mark.parametrize(
    "verb",
    [
        "train",
        "eval",
        "infer",
        "visualize",
        "doctor",
        "demo",
        "prepare kitti",
        "prepare demo",
        "prepare rooms",
        "presets show",
    ],
)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    code, out, _ = g3d(*verb.split(), "--help")
    assert code == 0
    assert "Example" in out


def test_version() -> None:
    assert g3d("--version")[1].startswith("g3d ")


def test_usage_errors_exit_2() -> None:
    assert g3d("train", "--no-such-option")[0] == 2
    code, out, err = g3d("train")
    assert (code, out) == (2, "")
    assert "which preset" in err


def test_presets_list_show_copy(tmp_path: Path) -> None:
    names = [entry["name"] for entry in json.loads(g3d("presets", "list", "--json")[1])]
    assert {"monodle", "monodle-ddml", "monodle-ddml-tiny"} <= set(names)
    assert json.loads(g3d("presets", "show", "monodle", "--json")[1])["train"]["batch"] == 16
    copy = tmp_path / "mine.yaml"
    assert g3d("presets", "copy", "monodle", str(copy))[0] == 0
    assert g3d("presets", "show", str(copy))[0] == 0
    assert g3d("presets", "copy", "monodle", str(copy))[0] == 2


@pytest.mark.slow
def test_doctor_json() -> None:
    code, out, _ = g3d("doctor", "--json")
    findings = {f["name"]: f for f in json.loads(out)["findings"]}
    assert code == 0
    assert findings["cpu: ball_query"]["state"] == "ok"
    assert findings["cpu: ball_query"]["text"].startswith("Numba, equal to its reference")
    wanted = {
        re.split(r"[>=;\[ ]", need)[0].lower()
        for need in importlib.metadata.requires("g3d") or ()
        if "extra" not in need
    }
    assert wanted <= findings.keys()


def test_doctor_says_what_g3d_kernels_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    for choice, code, text in (
        ("reference", 0, "PyTorch references only"),
        ("fast", 4, "expected auto, reference or require"),
    ):
        monkeypatch.setenv("G3D_KERNELS", choice)
        found, out, _ = g3d("doctor", "--json")
        assert found == code
        assert text in next(f["text"] for f in json.loads(out)["findings"] if f["name"] == "G3D_KERNELS")


def test_the_whole_way_on_a_drawn_world(drawn_kitti: Path, tmp_path: Path) -> None:
    """prepare, train, eval, eval from predictions, infer, visualize: each result feeds the next."""
    data = str(drawn_kitti)
    assert g3d("prepare", "kitti", "--data", data, "--check")[0] == 0
    assert g3d("prepare", "kitti", "--data", data, "--json")[0] == 0
    run = tmp_path / "run"
    code, out, err = g3d("train", "--preset", "monodle-ddml-tiny", "--data", data, "--out", str(run), *micro())
    assert code == 0, err
    assert out.strip() == str(run)
    assert "effective batch 4; the preset's learning rate 0.001 is for 8: --scale-lr would use 0.0005" in err
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 4

    native = tmp_path / "native"
    code, out, err = g3d("eval", "--ckpt", str(run), "--native", str(native), "--set", "decode.threshold=0.0", "--json")
    assert code == 0, err
    from_model = json.loads(out)["metrics"]
    assert "Car_3d_moderate_R40" in from_model
    for source in (run / "predictions" / "val.jsonl", native):
        code, out, err = g3d("eval", "--predictions", str(source), "--data", data, "--split", "val", "--json")
        assert code == 0, err
        assert json.loads(out)["metrics"].keys() >= from_model.keys()

    image = drawn_kitti / "training" / "image_2" / "000000.png"
    code, out, err = g3d(
        "infer", "--ckpt", str(run), "--image", str(image), "--focal", "100", "--out", str(tmp_path / "found"), "--json"
    )
    assert code == 0, err
    assert json.loads(out)["predictions"][0]["sample"] == "000000"
    assert (tmp_path / "found" / "kitti" / "000000.txt").is_file()

    pictures = tmp_path / "pictures"
    code, out, err = g3d(
        "visualize", "--predictions", str(native), "--data", data, "--item", "000009", "--out", str(pictures)
    )
    assert code == 0, err
    assert {Path(line).name for line in out.split()} == {"000009.png", "index.html"}


def test_predictions_of_a_run_are_of_its_split(drawn_kitti: Path, tmp_path: Path) -> None:
    """And where the run cannot be written, the table comes all the same."""
    g3d("prepare", "kitti", "--data", str(drawn_kitti))
    run, few = tmp_path / "run", tmp_path / "few.txt"
    few.write_text("000008\n000010\n")
    settings = micro("train.epochs=1", f"data.val={few}")
    assert (
        g3d("train", "--preset", "monodle-ddml-tiny", "--data", str(drawn_kitti), "--out", str(run), *settings)[0] == 0
    )
    code, out, err = g3d("eval", "--ckpt", str(run), "--json")
    assert code == 0, err
    file = run / "predictions" / "few.jsonl"
    assert json.loads(out)["predictions"] == str(file)
    code, out, err = g3d("eval", "--predictions", str(file), "--data", str(drawn_kitti), "--json")
    assert code == 0, err
    assert json.loads(out)["split"] == str(few)
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("in the way")
    code, out, err = g3d("eval", "--ckpt", str(run), "--json")
    assert code == 0, err
    assert json.loads(out)["predictions"] is None
    assert "predictions are not kept" in err


def test_an_error_takes_the_progress_bar_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = []
    monkeypatch.setattr(output._Lines, "end", lambda self: ended.append(True))
    assert g3d("prepare", "kitti", "--data", str(tmp_path / "nowhere"))[0] == 3
    assert ended


def test_dry_run_writes_nothing(drawn_kitti: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g3d("prepare", "kitti", "--data", str(drawn_kitti))
    monkeypatch.chdir(tmp_path)
    code, out, _ = g3d(
        "train", "--preset", "monodle-ddml-tiny", "--data", str(drawn_kitti), "--dry-run", "--json", *micro()
    )
    report = json.loads(out)
    assert code == 0
    assert report["steps"] == 4
    assert report["parameters"] > report["trainable"] > 0
    assert list(tmp_path.iterdir()) == []
