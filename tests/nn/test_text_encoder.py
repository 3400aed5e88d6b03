"""The text encoder: one computation per sentence, frozen as asked, its tokenizer in the state dict, and files that do
not fit."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_text import SENTENCES, architecture, write_encoder
from torch import Tensor

from g3d.errors import G3DError, InputError, MissingDataError
from g3d.nn.text_encoder import TextEncoder, Words
from g3d.nn.word_cache import Rows, WordCache

WIDTH = 24  # tokens; the longest of SENTENCES has 15


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("roberta"))


def loaded(folder: Path, model_type: str = "roberta", **options: Any) -> TextEncoder:
    encoder = TextEncoder(architecture(model_type), **{"max_words": WIDTH, **options})
    encoder.load(str(folder))
    return encoder


def in_full(encoder: TextEncoder, sentences: tuple[str, ...] = SENTENCES) -> Words:
    """All sentences at once, every pad computed."""
    ids, padding = encoder.tokenise(sentences)
    with torch.no_grad():
        return Words(encoder.model(input_ids=ids, attention_mask=(~padding).long()).last_hidden_state, padding)


class Calls:
    """Counts sentences that the network reads, and pads among their tokens."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.sentences = self.pads = 0
        encoder.model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: torch.nn.Module, arguments: Any, named: dict[str, Tensor]) -> None:
        self.sentences += len(named["input_ids"])
        self.pads += int((named["attention_mask"] == 0).sum())


@pytest.mark.parametrize("model_type", ["roberta", "bert"])
@pytest.mark.parametrize("frozen", [True, False])
def test_features_are_those_of_the_whole_padded_batch(tmp_path: Path, model_type: str, frozen: bool) -> None:
    encoder = loaded(write_encoder(tmp_path, model_type), model_type, frozen=frozen).eval()
    full, calls = in_full(encoder), Calls(encoder)
    found = encoder(SENTENCES)
    torch.testing.assert_close(found.features, full.features, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.padding, full.padding)
    assert found.padding.sum(1).tolist() == [WIDTH - n for n in (15, 4, 8, 7)]
    one_pad_each = len(SENTENCES) if frozen else sum(16 - n for n in (15, 4, 8, 7))
    assert calls.pads == (one_pad_each if model_type == "roberta" else int(full.padding.sum()))


def test_a_sentence_without_room_for_a_pad(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = loaded(folder, max_words=15)
    torch.testing.assert_close(encoder(SENTENCES).features, in_full(encoder).features, rtol=1e-5, atol=1e-5)
    assert not caplog.records
    cut = loaded(folder, max_words=14)
    assert not cut(SENTENCES[:1] * 2).padding.any()
    assert [r.message for r in caplog.records] == [
        "expression 'the white car on the left, about 10.25 m...': cut to its first 14 tokens (text.max_words)"
    ]


def test_upper_case_counts_as_lower_case(folder: Path) -> None:
    encoder = loaded(folder)
    assert torch.equal(encoder(["A TRAM"]).features, encoder(["a tram"]).features)


def test_a_sentence_is_computed_once_whatever_is_beside_it(folder: Path) -> None:
    first, second = loaded(folder), loaded(folder)
    calls = Calls(first)
    together = first(SENTENCES).features
    assert torch.equal(first(SENTENCES[::-1]).features.flip(0), together)
    assert calls.sentences == len(SENTENCES)
    alone = torch.cat([second([sentence]).features for sentence in SENTENCES])
    assert torch.equal(alone, together)


def test_other_weights_and_other_precision_are_other_features(folder: Path) -> None:
    encoder = loaded(folder)
    before = encoder(SENTENCES).features
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder(SENTENCES).features
    assert 0 < (rounded.float() - before).abs().max() < 0.1
    assert torch.equal(encoder(SENTENCES).features, before)
    with torch.no_grad():
        encoder.model.get_submodule("embeddings.word_embeddings").weight.add_(1)
    assert not torch.equal(encoder(SENTENCES).features, before)
    encoder.load(str(folder))
    assert torch.equal(encoder(SENTENCES).features, before)


def test_features_of_inference_mode_may_take_part_in_training(folder: Path) -> None:
    encoder = loaded(folder)
    with torch.inference_mode():
        encoder(SENTENCES)
    layer = torch.nn.Linear(16, 2)
    layer(encoder(SENTENCES).features).sum().backward()
    assert layer.weight.grad is not None


def test_a_frozen_encoder_stays_in_evaluation_mode(folder: Path) -> None:
    encoder = loaded(folder).train()
    assert encoder.training
    assert not any(module.training for module in encoder.model.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert torch.equal(encoder(SENTENCES).features, encoder(SENTENCES).features)


def test_published_dropouts_are_active_in_training_only(folder: Path) -> None:
    encoder = loaded(folder, dropout=True).train()
    first = encoder(SENTENCES)
    assert not first.features.requires_grad
    assert not torch.equal(first.features, encoder(SENTENCES).features)
    pads = first.features[0, 15:]
    assert not torch.equal(pads[0], pads[1])  # each with dropouts of its own
    torch.testing.assert_close(encoder.eval()(SENTENCES).features, in_full(encoder).features, rtol=1e-5, atol=1e-5)


def test_an_encoder_that_is_not_frozen_learns(folder: Path) -> None:
    encoder = loaded(folder, frozen=False).train()
    encoder(SENTENCES).features.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_the_tokenizer_travels_in_the_state_dict(folder: Path) -> None:
    encoder, other = loaded(folder), TextEncoder(architecture(), WIDTH)
    assert not other.has_tokenizer
    with pytest.raises(MissingDataError, match="no tokenizer"):
        other(SENTENCES)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(SENTENCES).features, encoder(SENTENCES).features)
    assert torch.equal(other.get_extra_state(), encoder.get_extra_state())
    assert torch.equal(copy.deepcopy(other)(SENTENCES).features, encoder(SENTENCES).features)
    damaged = {**encoder.state_dict(), "_extra_state": encoder.get_extra_state()[:-9]}
    with pytest.raises(InputError, match="tokenizer in the checkpoint: not a tokenizer"):
        other.load_state_dict(damaged)


def test_only_the_tokenizer_for_weights_that_come_without(folder: Path) -> None:
    encoder = TextEncoder(architecture(), WIDTH)
    before = [parameter.clone() for parameter in encoder.parameters()]
    encoder.load_tokenizer(str(folder), offline=True)
    assert encoder.has_tokenizer
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


def test_features_on_disk_are_used_by_the_next_process(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = loaded(folder)
    first.cache_in(tmp_path / "cache")
    expected = first(SENTENCES)
    files = sorted((tmp_path / "cache").rglob("*.safetensors"))
    assert len(files) == len(SENTENCES)
    second = loaded(folder)
    second.cache_in(tmp_path / "cache")
    calls = Calls(second)
    found = second(SENTENCES)
    assert calls.sentences == 0
    assert torch.equal(found.features, expected.features)
    assert torch.equal(found.padding, expected.padding)
    content = files[0].read_bytes()
    files[0].write_bytes(content[:-7])
    files[1].write_bytes(files[1].read_bytes()[:-1] + b"\x7e")
    third = loaded(folder)
    third.cache_in(tmp_path / "cache")
    calls = Calls(third)
    assert torch.equal(third(SENTENCES).features, expected.features)
    assert calls.sentences == 2
    assert [("damaged" in r.message, r.levelno) for r in caplog.records] == [(True, logging.WARNING)] * 2
    assert files[0].read_bytes() == content


def test_files_of_other_weights_or_precision_are_not_used(folder: Path, tmp_path: Path) -> None:
    loaded_first = loaded(folder)
    loaded_first.cache_in(tmp_path)
    loaded_first(SENTENCES)
    other = loaded(write_encoder(tmp_path / "other", seed=1))
    other.cache_in(tmp_path)
    calls = Calls(other)
    other(SENTENCES)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = other(SENTENCES).features
    assert calls.sentences == 2 * len(SENTENCES)
    third = loaded(tmp_path / "other")
    third.cache_in(tmp_path)
    calls = Calls(third)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(third(SENTENCES).features, rounded)
    assert calls.sentences == 0


def test_a_cache_needs_features_that_do_not_change(tmp_path: Path) -> None:
    for options in ({"frozen": False}, {"dropout": True}):
        with pytest.raises(InputError, match="must be frozen and without dropout"):
            TextEncoder(architecture(), WIDTH, **options).cache_in(tmp_path)


def test_memory_keeps_the_sentences_used_last() -> None:
    cache, device = WordCache(memory=3 * 40), torch.device("cpu")
    for key in "abc":
        cache.put(key, Rows(torch.zeros(5, 2), 4))
    assert cache.get("a", device) is not None
    cache.put("d", Rows(torch.zeros(5, 2), 4))
    assert [key for key in "abcd" if cache.get(key, device)] == ["a", "c", "d"]


def damaged(folder: Path, target: Path, how: str) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    if how == "no tokenizer":
        (target / "tokenizer.json").unlink()
    elif how == "vocabulary without merges":
        (target / "tokenizer.json").rename(target / "vocab.json")
    elif how == "tokenizer of another kind":
        (target / "tokenizer.json").write_text('{"a": 1}')
    elif how == "no weights":
        (target / "model.safetensors").unlink()
    elif how == "half the weights":
        content = (target / "model.safetensors").read_bytes()
        (target / "model.safetensors").write_bytes(content[: len(content) // 2])
    elif how == "a weight less":
        from safetensors.torch import load_file, save_file

        weights = load_file(target / "model.safetensors")
        del weights["encoder.layer.1.output.dense.bias"]
        save_file(weights, target / "model.safetensors", {"format": "pt"})
    elif how == "a weight that is no number":
        from safetensors.torch import load_file, save_file

        weights = load_file(target / "model.safetensors")
        weights["embeddings.LayerNorm.bias"][3] = float("nan")
        save_file(weights, target / "model.safetensors", {"format": "pt"})
    elif how == "more layers":
        (target / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3, "intermediate_size": 32}))
    elif how == "no config":
        (target / "config.json").unlink()
    elif how == "config of a list":
        (target / "config.json").write_text("[1]")
    elif how == "an unknown model":
        (target / "config.json").write_text(json.dumps({**config, "model_type": "mine"}))
    elif how == "config cut off":
        (target / "config.json").write_text("{")
    return target


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no tokenizer", "no vocabulary (tokenizer.json, vocab.json or vocab.txt) in this folder"),
        ("vocabulary without merges", "no merges.txt beside vocab.json"),
        ("tokenizer of another kind", "not a tokenizer that this version"),
        ("no weights", "no weights (model.safetensors or pytorch_model.bin) in this folder"),
        ("half the weights", "its weights cannot be read"),
        ("a weight less", "its weights lack 1 entries (first: encoder.layer.1.output.dense.bias)"),
        ("a weight that is no number", "not finite: embeddings.LayerNorm.bias has 1 of 16 values NaN or infinite"),
        ("more layers", "num_hidden_layers is 3, expected 2; intermediate_size is 32, expected 24"),
        ("no config", "no config.json in this folder"),
        ("config cut off", "not valid JSON"),
        ("config of a list", "expected an object, found list"),
        ("an unknown model", "config.json: model_type: found 'mine', which transformers does not know"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_in_one_line(folder: Path, tmp_path: Path, how: str, said: str) -> None:
    encoder = TextEncoder(architecture(), WIDTH)
    with pytest.raises(MissingDataError if "no " in said else InputError) as caught:
        encoder.load(str(damaged(folder, tmp_path / "enc", how)))
    assert said in caught.value.message
    assert "enc" in caught.value.message
    assert "\n" not in caught.value.message


def test_entries_that_change_nothing_may_differ(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "bert")
    config = json.loads((folder / "config.json").read_text())
    extra = {
        "architectures": ["BertForMaskedLM"],
        "position_embedding_type": "absolute",
        "initializer_range": 0.5,
        "anything": 1,
    }
    (folder / "config.json").write_text(json.dumps({**config, **extra}))
    assert loaded(folder, "bert").has_tokenizer


def test_a_tokenizer_must_fit_the_architecture(folder: Path) -> None:
    for entries, said in (
        ({"vocab_size": 30}, "text.architecture.vocab_size is 30"),
        ({"pad_token_id": 110}, "pad_token_id is 110"),
    ):
        with pytest.raises(InputError, match=said):
            TextEncoder(architecture("bert", **entries), WIDTH).load_tokenizer(str(folder))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (
            {"model_type": "robertaa"},
            "text.architecture: model_type: found 'robertaa', which transformers does not know; did you mean '",
        ),
        ({"hidden_sise": 16}, "hidden_sise: unknown entry of a roberta config; did you mean 'hidden_size'?"),
        ({"num_attention_heads": 3}, "no such network"),
        (
            {"max_position_embeddings": 25},
            "text.max_words: found 24, but text.architecture has positions for 23 tokens",
        ),
        ({"model_type": "t5"}, "unknown entry of a t5 config"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(entries: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        TextEncoder(architecture(**entries), WIDTH)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("no/such/folder", MissingDataError, "no such folder"),
        ("./nowhere", MissingDataError, "no such folder"),
        ("two words", InputError, "neither a folder nor a name"),
        ("g3d-tests/absent", MissingDataError, "text.offline is set"),
    ],
)
def test_a_name_that_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[G3DError], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        TextEncoder(architecture(), WIDTH).load(name, offline=True)
    assert said in caught.value.message


@pytest.mark.parametrize("offline", [True, False])
def test_a_name_in_the_local_cache_is_read_without_the_hub(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    import huggingface_hub

    copy_of_hub = tmp_path / "models--g3d-tests--tiny"
    shutil.copytree(folder, copy_of_hub / "snapshots" / "abc123")
    (copy_of_hub / "refs").mkdir()
    (copy_of_hub / "refs" / "main").write_text("abc123")
    local = huggingface_hub.snapshot_download

    def only_local(name: str, **options: Any) -> str:
        assert options["local_files_only"], "asked the hub"
        return local(name, cache_dir=tmp_path, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", only_local)
    encoder = TextEncoder(architecture(), WIDTH)
    encoder.load("g3d-tests/tiny", offline)
    assert torch.equal(encoder(SENTENCES).features, loaded(folder)(SENTENCES).features)
    (copy_of_hub / "snapshots" / "abc123" / "model.safetensors").unlink()
    if offline:
        with pytest.raises(
            MissingDataError, match=r"neither a folder nor complete in the local cache, and text\.offline is set"
        ):
            encoder.load("g3d-tests/tiny", offline)


def test_importing_the_encoder_does_not_import_transformers() -> None:
    code = "import sys, g3d.nn.text_encoder; assert not {'transformers', 'tokenizers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
