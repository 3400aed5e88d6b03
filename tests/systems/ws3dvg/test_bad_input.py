"""WS-3DVG refuses what does not fit: words, image features, detectors and settings; each in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import pytest
import torch
from support.grounding_world import (
    CHANNELS,
    grounding_world,
    micro_detector_of,
    micro_grounder,
    published_detector,
)
from support.verbs import g3d, refused

from g3d.data.scannet.point_features import FILE, write_features
from g3d.data.scanrefer.vectors import WordVectors, read_vectors
from g3d.errors import InputError
from g3d.systems.ws3dvg.words import Words


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Path:
    """A copy of the made world whose files a test may change."""
    shutil.copytree(made.parent, tmp_path / "world")
    code, _, err = g3d("prepare", "scanrefer", "--data", str(tmp_path / "world" / "scanrefer"))
    assert code == 0, err
    return tmp_path / "world" / "scanrefer"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = grounding_world(tmp_path_factory.mktemp("made"))
    published_detector("groupfree", data / "detector.pth")
    return data


def training(data: Path, *settings: str) -> tuple[str, ...]:
    weights = f"model.detector_weights={data / 'detector.pth'}"
    arguments = micro_grounder("groupfree", weights, "train.epochs=1", *settings)
    return ("train", "--preset", "ws3dvg", "--data", str(data), "--out", str(data / "run"), *arguments)


def test_a_detector_is_needed(made: Path) -> None:
    refused(
        2,
        *training(made, "model.detector_weights=null"),
        says=("model.detector_weights: found null",),
        hint="g3d train --preset groupfree",
    )


def test_a_detector_with_another_class_list_is_refused(made: Path, tmp_path: Path) -> None:
    content = torch.load(made / "detector.pth", weights_only=True)
    for name in [name for name in content["model"] if "sem_cls_scores_head" in name]:
        content["model"][name] = content["model"][name][:10]
    torch.save(content, tmp_path / "sunrgbd.pth")
    says = ("sunrgbd.pth: another class list: found 10 outputs", "expected 18 for the 18 classes of ScanNet (cabinet")
    refused(2, *training(made, f"model.detector_weights={tmp_path / 'sunrgbd.pth'}"), says=says)


def test_another_detector_and_another_size_are_refused(made: Path, tmp_path: Path) -> None:
    scans, run = str(made.parent / "scannet"), tmp_path / "votenet"
    code, _, err = g3d(
        "train", "--preset", "votenet-tiny", "--data", scans, "--out", str(run), *micro_detector_of("votenet")
    )
    assert code == 0, err
    given = f"model.detector_weights={run / 'checkpoints' / 'last.pt'}"
    refused(2, *training(made, given), says=("last.pt: of system votenet, expected groupfree",))
    refused(2, *training(made, "model.decoder_layers=1"), says=("detector.pth does not fit", "unknown: "))


def test_sentences_of_unknown_scenes_are_refused_or_counted(world: Path) -> None:
    scenes = world.parent / "scannet" / "g3d" / "scenes"
    shutil.rmtree(scenes / "scene0000_00")
    code, _, err = g3d(*training(world))
    assert code == 0, err
    assert "1 scenes of its sentences are not in" in err
    shutil.rmtree(scenes / "scene0001_00")
    refused(3, *training(world), says=("split train: 2 scenes of its sentences are not in",))


def test_features_of_another_subsample_are_refused(world: Path) -> None:
    folder = world.parent / "scannet" / "g3d" / "multiview" / "scene0000_00"
    shutil.copy(folder.with_name("scene0001_00") / FILE, folder / FILE)
    refused(2, *training(world), says=("scene0000_00",))
    with h5py.File(folder.with_name("scene0001_00") / FILE) as file:
        other = file["scene0001_00"][:]
    count = len(other)
    write_features(folder / FILE, "scene0000_00", other[: count // 2], "0" * 32, {})
    refused(2, *training(world), says=("rows, the scene has", "points"), hint="another subsample")
    with h5py.File(world.parent / "whole.h5", "w") as file:
        file.create_dataset("scene0000_00", data=other[:, :2])
    narrow = training(world, f"data.features={world.parent / 'whole.h5'}")
    refused(3, *narrow, says=("no features of scene0001_00", "1 of 2 scenes have no image features"))


def test_scenes_without_features_are_counted_before_training(world: Path) -> None:
    shutil.rmtree(world.parent / "scannet" / "g3d" / "multiview" / "scene0001_00")
    refused(3, *training(world), says=("1 of 2 scenes have no image features",), hint="data.view_features=zeros")
    shutil.rmtree(world.parent / "scannet" / "g3d" / "multiview")
    refused(3, *training(world), says=("multiview is missing",), hint="g3d prepare multiview")
    refused(2, *training(world, f"model.view_features={CHANNELS}", "model.word_channels=5", "data.view_features=zeros"),
            says=("word vectors have 6 numbers, the network reads 5",), hint="model.word_channels=6")  # fmt: skip


def test_a_vocabulary_that_does_not_fit_is_refused(world: Path, tmp_path: Path) -> None:
    refused(2, *training(world, "model.vocabulary=9"), says=("the vocabulary has", "words, the network predicts 9"))
    code, _, err = g3d(*training(world))
    assert code == 0, err
    refused(
        2,
        "eval",
        "--ckpt",
        str(world / "run"),
        "--set",
        "model.vocabulary=9",
        says=("vocab_fc.weight is (15, 32), expected (9, 32)",),
    )
    (tmp_path / "v.json").write_text(json.dumps({"word2idx": {"pad_": 0, "unk": 1, "sos": 2, "eos": 3}}))
    named = f"text.vocabulary={tmp_path / 'v.json'}"
    refused(2, "eval", "--ckpt", str(world / "run"), "--set", named, says=("text.vocabulary cannot be changed",))


def test_words_that_are_damaged_are_refused(made: Path) -> None:
    vectors = read_vectors(made / "g3d" / "scanrefer.vectors.safetensors")
    full, other = Words(4, 6, 0.3, False), Words(5, 6, 0.3, False)
    full.fill({word: k for k, word in enumerate(("pad_", "unk", "sos", "eos"))}, vectors, "here")
    with pytest.raises(InputError, match="words in the checkpoint: the vocabulary has 4 words, the network predicts 5"):
        other.set_extra_state(full.get_extra_state())
    with pytest.raises(InputError, match="words in the checkpoint"):
        other.set_extra_state(full.get_extra_state()[:40])
    narrow = WordVectors(vectors.words, vectors.vectors[:, :3])
    with pytest.raises(InputError, match="here: word vectors have 3 numbers, the network reads 6"):
        full.fill({}, narrow, "here")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("data.height=true",), "model.input_features"),
        (("data.filters.mentions=true",), "scanrefer does not use filters"),
        (("data.view_features=zeros", "data.features=x.h5"), "zeros does not use features"),
        (("model.ablation.no_distill=true",), "decode.answer: found student"),
        (("decode.answer=teacher", "model.ablation.no_recon=true"), "decode.answer: found teacher"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: tuple[str, ...], says: str) -> None:
    refused(2, "presets", "show", "ws3dvg", *(part for s in settings for part in ("--set", s)), says=(says,))
    refused(
        2, "presets", "show", "ws3dvg-nr3d", "--set", "data.others=whole_name", says=("referit3d does not use others",)
    )


def test_a_sentence_without_words_is_refused(made: Path, tmp_path: Path) -> None:
    code, _, err = g3d(*training(made))
    assert code == 0, err
    scene = str(made.parent / "scannet" / "g3d" / "scenes" / "scene0002_00")
    refused(2, "infer", "--ckpt", str(made / "run"), "--scene", scene, says=("which sentence?",))
    refused(2, "infer", "--ckpt", str(made / "run"), "--scene", scene, "--text", "   ", says=("is empty",))
