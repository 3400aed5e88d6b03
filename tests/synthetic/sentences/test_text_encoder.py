"""The made text encoder: Hugging Face's layout, the same for the same seed, every text can be read, nothing is
downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.street_scenes import scene
from tokenizers import Tokenizer

from g3d.errors import InputError
from g3d.synthetic.sentences.about_streets import describe
from g3d.synthetic.sentences.text_encoder import ARCHITECTURE, make_text_encoder

TEXTS = [said.text for frame in range(60) for found in describe(scene(frame)).values() for said in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_text_encoder(tmp_path_factory.mktemp("made") / "text-encoder", TEXTS)


def test_it_is_a_hugging_face_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    words = tokenizer(["the red car", "the white van to the left"], padding=True, return_tensors="pt")
    assert words["input_ids"][0, [0, -1]].tolist() == [0, 1]
    assert network(**words).last_hidden_state.shape == (*words["input_ids"].shape, ARCHITECTURE["hidden_size"])
    assert json.loads((folder / "config.json").read_text()).items() >= ARCHITECTURE.items()


def test_words_of_the_sentences_are_single_tokens_and_any_text_can_be_read_back(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [tokenizer.token_to_id(token) for token in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")] == [0, 1, 2, 3, 4]
    assert tokenizer.encode("find the red hatchback").tokens == ["<s>", "find", "Ġthe", "Ġred", "Ġhatchback", "</s>"]
    assert max(len(tokenizer.encode(text.lower()).ids) for text in TEXTS) <= 64
    text = "ein türkisfarbener traktor, 37.25 m 🚜"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert 3 not in tokenizer.encode(text).ids


def test_the_same_seed_gives_the_same_bytes_and_leaves_the_random_state(folder: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    again = make_text_encoder(tmp_path / "again", iter(TEXTS))
    assert torch.equal(torch.random.get_rng_state(), before)
    other = make_text_encoder(tmp_path / "other", TEXTS, seed=1)
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()
        assert ((other / path.name).read_bytes() == path.read_bytes()) == (path.name != "model.safetensors")


def test_few_sentences_are_enough_and_an_earlier_encoder_is_replaced(tmp_path: Path) -> None:
    make_text_encoder(tmp_path, TEXTS[:3])
    make_text_encoder(tmp_path, TEXTS[:5])
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab_size() <= ARCHITECTURE["vocab_size"]


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sentences"):
        make_text_encoder(tmp_path / "made", [])
    with pytest.raises(InputError, match="model_type: expected 'roberta', found 'bert'"):
        make_text_encoder(tmp_path / "made", TEXTS[:1], architecture={**ARCHITECTURE, "model_type": "bert"})
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="something else"):
        make_text_encoder(tmp_path, TEXTS[:1])
