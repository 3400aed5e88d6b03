"""Mistakes with sentences, their data and their networks: one clear line, the right exit code, nothing half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from support.mono3drefer_world import micro_jln, mini_world
from support.verbs import g3d, refused

from g3d import config as presets
from g3d.data.mono3drefer.raw import EXPRESSIONS_FILE, GROUPS_FILE
from g3d.systems.base import get_system
from g3d.systems.jln.model import PUBLISHED_NAMES

TRAIN_LIST = "Mono3DRefer_train_image.txt"
CALIBRATION = "calib/000012.txt"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared, with a text encoder; tests that change it copy it."""
    return mini_world(tmp_path_factory.mktemp("mini") / "mono3drefer")


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished micro run with predictions for val, and result.json beside them."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    for arguments in (
        train(world, folder, "train.epochs=1"),
        ("eval", "--ckpt", str(folder), "--native", str(folder / "predictions")),
    ):
        code, _, err = g3d(*arguments)
        assert code == 0, err
    return folder


def train(world: Path, out: Path, *settings: str) -> tuple[str, ...]:
    return ("train", "--preset", "jln-tiny", "--data", str(world), "--out", str(out), *micro_jln(*settings))


def infer(ckpt: Path, world: Path, *more: str) -> tuple[str, ...]:
    return ("infer", "--ckpt", str(ckpt), "--image", str(world / "images/000007.png"), "--fov", "80", *more)


def accepted(*args: str) -> tuple[str, str]:
    """Stdout and stderr of a verb that ends well."""
    code, out, err = g3d(*args)
    assert code == 0, err
    return out, err


# What is wrong with the data


def _entry(**fields: Any) -> Callable[[Path], None]:
    def apply(data: Path) -> None:
        entries = json.loads((data / EXPRESSIONS_FILE).read_text())
        entries[5].update(fields)
        (data / EXPRESSIONS_FILE).write_text(json.dumps(entries))

    return apply


def _label(**fields: str) -> Callable[[Path], None]:
    """Other fields of a label_2 text, by their place: f13="-5"."""

    def apply(data: Path) -> None:
        label = json.loads((data / EXPRESSIONS_FILE).read_text())[5]["label_2"].strip("[]").split(", ")
        for place, value in fields.items():
            label[int(place[1:])] = f"'{value}'"
        _entry(label_2=f"[{', '.join(label)}]")(data)

    return apply


def _bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda data: (data / name).write_bytes(change((data / name).read_bytes()))


def _smaller_image(data: Path) -> None:
    path = data / "images/000012.png"
    with Image.open(path) as image:
        image.resize((image.width // 2, image.height // 2)).save(path)


def _a_folder(data: Path) -> None:
    (data / "images/000012.png").unlink()
    (data / "images/000012.png").mkdir()


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (lambda data: (data / "images/000012.png").unlink(), 3, "images/000012.png: no such file"),
        (
            _entry(label_2="Car 0.00 0 1.5"),
            2,
            'entry 5 (000007_24002_1): label_2: found "Car 0.00 0 1.5", expected the text of a list',
        ),
        (_entry(label_2=["Car", 0, 0]), 2, "label_2: found list, expected a list of 15 fields, written as text"),
        (_entry(label_2="__import__('os')"), 2, "expected the text of a list"),
        (_entry(instanceID=24002.0), 2, "instanceID: found 24002.0, expected a whole number"),
        (_entry(instanceID=-3), 2, "instanceID: found -3"),
        (_entry(im_name=7), 2, "im_name: found 7, expected a frame of six digits, in quotes"),
        (_entry(im_name="../7"), 2, 'im_name: found "../7"'),
        (_entry(objectName="Car"), 2, "; did you mean 'car'?"),
        (_entry(objectName=["car"]), 2, "objectName: found list, expected one of pedestrian"),
        (_entry(description=["the car"]), 2, "description: found list, expected a sentence"),
        (_entry(description="the \ud83d car"), 2, r'description: found "the \ud83d car", expected a sentence'),
        (_label(f13="-5"), 2, "label_2, field z: found -5, expected metres above 0"),
        (_label(f13="1e30"), 2, "label_2, field z: found 1e+30, expected 0 to 1000"),
        (_label(f8="1560"), 2, "label_2, field height: found 1560, expected 0 to 100"),
        (_label(f2="1e30"), 2, "label_2, field occluded: found 1e+30, expected -1 to 3"),
        (_label(f1="60"), 2, "label_2, field truncated: found 60, expected -1 to 1"),
        (_label(f14="-90"), 2, "label_2, field rotation_y: found -90, expected -10 to 10"),
        (_bytes(EXPRESSIONS_FILE, lambda content: content[:-500]), 2, "Mono3DRefer.json: not valid JSON"),
        (
            _bytes(EXPRESSIONS_FILE, lambda content: b'{"data": ' + content + b"}"),
            2,
            "found dict, expected a list of expressions",
        ),
        (_bytes(GROUPS_FILE, lambda content: content.replace(b'"Near"', b'"near"')), 2, "group 'near' is unknown"),
        (
            _bytes(GROUPS_FILE, lambda content: content.replace(b"[24009", b"[24009.0")),
            2,
            "found 24009.0, expected a list of instance ids",
        ),
        (
            _bytes(GROUPS_FILE, lambda content: content.replace(b"[24009", b"[5")),
            2,
            "group Near: found instance 5, expected one",
        ),
        (
            _bytes(TRAIN_LIST, lambda content: content.replace(b"\n", b".png\n")),
            2,
            "line 1: found '000007.png', expected an id of six",
        ),
        (_bytes(TRAIN_LIST, lambda content: content + content), 2, "line 3: 000007 is already on line 1"),
        (
            _bytes(TRAIN_LIST, lambda content: content.decode().encode("utf-16")),
            2,
            "byte 0 is not text, expected UTF-8",
        ),
        (_bytes(CALIBRATION, lambda content: content.replace(b"P2:", b"P2")), 2, "000012.txt: line P2 is missing"),
        (_smaller_image, 2, "000012.txt: P2: principal point in x: found"),
        (_a_folder, 2, "000012.png: is a folder, expected an image file"),
        (_bytes("images/000012.png", lambda content: content[:-100]), 2, "000012.png: cannot be decoded"),
    ],
)
def test_data_that_cannot_be_used(
    mini_mono3drefer: Path, spoil: Callable[[Path], object], code: int, says: str
) -> None:
    spoil(mini_mono3drefer)
    found, _, err = g3d("prepare", "mono3drefer", "--data", str(mini_mono3drefer))
    assert found == code, err
    assert says in next(line for line in err.splitlines() if line.startswith("error: "))
    assert "Traceback" not in err
    assert "Warning" not in err
    assert not (mini_mono3drefer / "g3d").exists()


@pytest.mark.parametrize("name", [EXPRESSIONS_FILE, GROUPS_FILE, TRAIN_LIST, CALIBRATION])
@pytest.mark.parametrize(
    "change", [lambda content: b"\xef\xbb\xbf" + content, lambda content: content.replace(b"\n", b"\r\n")]
)
def test_files_that_windows_wrote_are_read(mini_mono3drefer: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    (mini_mono3drefer / name).write_bytes(change((mini_mono3drefer / name).read_bytes()))
    accepted("prepare", "mono3drefer", "--data", str(mini_mono3drefer))


def test_a_folder_level_too_low_or_too_high(mini_mono3drefer: Path) -> None:
    for folder in (mini_mono3drefer / "images", mini_mono3drefer.parent):
        refused(
            3,
            "prepare",
            "mono3drefer",
            "--data",
            str(folder),
            says=(f"{folder}: no Mono3DRefer.json in it",),
            hint=f"{mini_mono3drefer} has one",
        )


def test_raw_data_that_moved_after_preparation(mini_mono3drefer: Path, tmp_path: Path, run: Path) -> None:
    accepted("prepare", "mono3drefer", "--data", str(mini_mono3drefer), "--out", str(tmp_path / "prepared"))
    mini_mono3drefer.rename(tmp_path / "elsewhere")
    says = (str(tmp_path / "prepared"), "was prepared from", "which is not there")
    refused(3, "eval", "--ckpt", str(run), "--data", str(tmp_path / "prepared"), says=says, hint="--data FOLDER --out")


# What is wrong with the text encoder


def test_a_text_encoder_without_vocabulary(world: Path, tmp_path: Path) -> None:
    folder = Path(
        shutil.copytree(world / "text-encoder", tmp_path / "encoder", ignore=shutil.ignore_patterns("tokenizer.json"))
    )
    says = (f"text encoder {folder}: no vocabulary (tokenizer.json, vocab.json or vocab.txt) in this folder",)
    refused(3, *train(world, tmp_path / "run", f"text.encoder={folder}"), says=says)
    assert not (tmp_path / "run").exists()


def test_a_name_that_the_local_cache_lacks_while_offline(world: Path, tmp_path: Path) -> None:
    settings = ("text.encoder=g3d-tests/absent", "text.offline=true")
    refused(
        3, *train(world, tmp_path / "run", *settings), says=("text encoder g3d-tests/absent", "text.offline is set")
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "text.architecture.layer_norm_eps=small",
            "text.architecture: layer_norm_eps: found 'small', expected a number",
        ),
        ("text.architecture.hidden_size=16.5", "text.architecture: hidden_size: found 16.5, expected a whole number"),
        (
            "text.architecture.num_hidden_layers=true",
            "text.architecture: num_hidden_layers: found True, expected a whole number",
        ),
        (
            "text.architecture.model_type=[roberta]",
            "text.architecture: model_type: found ['roberta'], which transformers does not know",
        ),
        ("text.architecture.pad_token_id=-1", "text.architecture.pad_token_id is -1, which is not its pad token"),
        ("text.architecture.num_hidden_layers=3", "differs from text.architecture: num_hidden_layers is 1, expected 3"),
        ("text.max_words=2", "text.max_words: found 2: input should be greater than or equal to 3"),
        ("text.cache=words", "preset jln-tiny: text: cache needs an encoder that is frozen"),
    ],
)
def test_text_settings_that_cannot_be(world: Path, tmp_path: Path, setting: str, says: str) -> None:
    refused(2, *train(world, tmp_path / "run", setting), says=(says,))
    assert not (tmp_path / "run").exists()


def test_settings_that_yaml_reads_as_something_else(world: Path, tmp_path: Path) -> None:
    """1e-5 is text to YAML, 0 a whole number; and whoever copies a whole config.json copies its number format too."""
    settings = (
        "text.architecture.layer_norm_eps=1e-5",
        "text.architecture.hidden_dropout_prob=0",
        "text.architecture.torch_dtype=bfloat16",
    )
    accepted(*train(world, tmp_path / "run", *settings), "--dry-run")


def test_a_text_cache_that_cannot_be_written_is_said_once(world: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = ("train.epochs=1", "text.frozen=true", f"text.cache={tmp_path / 'file' / 'words'}")
    _, err = accepted(*train(world, tmp_path / "run", *settings))
    assert err.count("nothing more is written") == 1
    assert "Not a directory" in err


# What is wrong with a checkpoint


def test_the_text_encoder_is_not_needed_after_training(world: Path, run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(world, tmp_path / "moved", ignore=shutil.ignore_patterns("text-encoder")))
    accepted("prepare", "mono3drefer", "--data", str(moved))
    accepted("eval", "--ckpt", str(run), "--data", str(moved), "--out", str(tmp_path / "found.jsonl"))


def test_a_run_whose_text_encoder_differs(world: Path, run: Path, tmp_path: Path) -> None:
    """Another number of heads would fit all its weights and give other features."""
    for key, value, expected in (("hidden_size", 32, 16), ("num_hidden_layers", 2, 1), ("num_attention_heads", 4, 2)):
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["text"]["architecture"][key] = value
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
        found = f"text.architecture cannot be changed: found {{'{key}': {value}}}, expected {{'{key}': {expected}}}"
        says = (str(run / "checkpoints" / "last.pt"), found)
        refused(2, *infer(run, world, "--text", "a car", "--preset", str(tmp_path / "other.yaml")), says=says)


def test_a_run_of_another_network(world: Path, run: Path) -> None:
    says = (str(run / "checkpoints" / "last.pt"), "does not fit this model", "of another shape: depth_predictor.")
    refused(2, *infer(run, world, "--text", "a car", "--set", "model.depth_bins=40"), says=says)


@pytest.mark.parametrize(
    "setting",
    [
        "text.architecture.num_attention_heads=4",
        "text.encoder=roberta-large",
        "model.start_weights=monodetr.pth",
        "model.backbone.weights=resnet50.pth",
    ],
)
def test_what_a_checkpoint_carries_cannot_be_set(world: Path, run: Path, setting: str) -> None:
    says = (str(run / "checkpoints" / "last.pt"), setting[:9], "cannot be changed")
    for arguments in (
        infer(run, world, "--text", "a car"),
        ("eval", "--ckpt", str(run)),
        ("train", "--resume", str(run)),
    ):
        refused(2, *arguments, "--set", setting, says=says)


def test_another_network_cannot_be_resumed(run: Path) -> None:
    refused(
        2,
        "train",
        "--resume",
        str(run),
        "--set",
        "text.frozen=true",
        says=("last.pt", "its optimiser has other parameters"),
    )


def published(file: Path, preset: str, *settings: str) -> Path:
    """A file as the published trainer writes it, of a micro network."""
    overrides = [part for part in micro_jln(*settings) if part != "--set"]
    chosen: Any = presets.load(preset, overrides)
    theirs = {ours: theirs for theirs, ours in PUBLISHED_NAMES.items()}
    state = {}
    for name, value in get_system(chosen.system).build(chosen).state_dict().items():
        start = next((start for start in theirs if name.startswith(start)), "")
        if not name.endswith("_extra_state"):
            state[theirs.get(start, "") + name.removeprefix(start)] = value
    torch.save({"epoch": 75, "model_state": state, "optimizer_state": {}}, file)
    return file


def test_a_published_file_whose_text_encoder_differs(world: Path, tmp_path: Path) -> None:
    file = published(tmp_path / "jln.pth", "jln", "text.architecture.hidden_size=32")
    arguments = infer(
        file, world, "--text", "a car", "--preset", "jln", *micro_jln(f"text.encoder={world / 'text-encoder'}")
    )
    says = (f"{file}: ", "its text encoder is not the one of text.architecture", "is (800, 32), expected (800, 16)")
    refused(2, *arguments, says=says, hint="set text.architecture to what the checkpoint was trained with")


@pytest.mark.parametrize(
    ("preset", "says"),
    [
        ("mono3dvg-tr", "of JLN, but this model is Mono3DVG-TR"),
        ("monodle", "MonoDLE checkpoint does not fit this model"),
    ],
)
def test_a_published_file_of_another_preset(world: Path, tmp_path: Path, preset: str, says: str) -> None:
    file = published(tmp_path / "jln.pth", "jln")
    more = ["--text", "a car", *micro_jln()] if preset == "mono3dvg-tr" else []
    refused(2, *infer(file, world, "--preset", preset, *more), says=(f"{file}: ", says))


@pytest.mark.parametrize("setting", ["model.start_weights", "model.backbone.weights"])
def test_weights_to_start_from_that_are_none(world: Path, run: Path, tmp_path: Path, setting: str) -> None:
    file = run / "checkpoints" / "last.pt"
    refused(2, *train(world, tmp_path / "run", f"{setting}={file}"), says=(f"{file}: ", "expected a state dict"))
    refused(3, *train(world, tmp_path / "run", f"{setting}=nowhere.pth"), says=("nowhere.pth: no such file",))
    assert not (tmp_path / "run").exists()


# What is wrong with questions and answers


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ((), 2, "which sentence?"),
        (("--text", " "), 2, "--text: sentence 1 of 1 is empty"),
        (("--texts", "nowhere.txt"), 3, "sentences nowhere.txt: no such file"),
        (
            ("--text", "a car", "--fov", "180"),
            2,
            "--fov 180: expected a horizontal field of view in degrees, between 0 and 180",
        ),
        (("--text", "a car", "--fov", "nan"), 2, "--fov nan"),
        (("--text", "a car", "--focal", "700"), 2, "give either --calib or --focal or --fov"),
        (("--text", "a car", "--maps"), 2, "--maps: where do the pictures go?"),
    ],
)
def test_a_question_that_cannot_be_asked(run: Path, world: Path, more: tuple[str, ...], code: int, says: str) -> None:
    refused(code, *infer(run, world, *more), says=(says,))


def test_a_question_of_200_words_is_cut_and_that_is_said(run: Path, world: Path) -> None:
    out, err = accepted(*infer(run, world, "--text", "car " * 200, "--json"))
    assert err.count("cut to its first 24 tokens (text.max_words)") == 1
    assert len(json.loads(out)["predictions"][0]["answers"][0]["objects"]) == 1


@pytest.mark.parametrize("name", ["val.jsonl", "result.json"])
def test_answers_to_another_split(run: Path, world: Path, name: str) -> None:
    file = run / "predictions" / name
    says = ("6 of 6 expressions", "(first: 000031_24009_0)")
    refused(
        3,
        "eval",
        "--predictions",
        str(file),
        "--data",
        str(world),
        "--split",
        "test",
        says=says,
        hint="another --split",
    )


def test_answers_that_windows_wrote(run: Path, world: Path, tmp_path: Path) -> None:
    for name in ("val.jsonl", "result.json"):
        content = (run / "predictions" / name).read_bytes()
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
        accepted("eval", "--predictions", str(tmp_path / name), "--data", str(world))


def test_answers_that_do_not_fit_their_questions(run: Path, world: Path, tmp_path: Path) -> None:
    lines = (run / "predictions" / "val.jsonl").read_text().splitlines()
    file = tmp_path / "found.jsonl"
    arguments = ("eval", "--predictions", str(file), "--data", str(world))
    file.write_text("\n".join([*lines, lines[0]]))
    refused(2, *arguments, says=("sample '000152_24006_0'", "is already on line 1"))
    file.write_text("\n".join(lines[1:]))
    refused(3, *arguments, says=("1 of 6 expressions of the split are missing (first: 000152_24006_0)",))
    file.write_text("\n".join([json.dumps({**json.loads(lines[0]), "expression": "something else"}), *lines[1:]]))
    assert "1 of 6 answer another sentence than the data set's (first: 000152_24006_0)" in accepted(*arguments)[1]


def test_answers_given_as_a_run(run: Path, world: Path) -> None:
    refused(
        2,
        "eval",
        "--predictions",
        str(run),
        "--data",
        str(world),
        says=("no result files",),
        hint="RUN/predictions/SPLIT.jsonl",
    )


def test_images_that_moved_are_found_in_the_data(run: Path, world: Path, tmp_path: Path) -> None:
    record = json.loads((run / "predictions" / "val.jsonl").read_text().splitlines()[0])
    file = tmp_path / "found.jsonl"
    record["source"]["path"] = "elsewhere/000152.png"
    file.write_text(json.dumps(record))
    arguments = ("visualize", "--predictions", str(file), "--out", str(tmp_path / "pictures"))
    refused(3, *arguments, says=("not found at elsewhere/000152.png",), hint="--data DIR finds those of a data set")
    accepted(*arguments, "--data", str(world))
    refused(
        3,
        "visualize",
        "--data",
        str(world),
        "--item",
        "000152",
        "--out",
        str(tmp_path),
        says=("no expression '000152'",),
    )
