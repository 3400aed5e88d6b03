"""Writer of a small text encoder for synthetic sentences, as a Hugging Face model folder; no download is needed.

The folder contains config.json and model.safetensors, a RoBERTa with a few narrow layers, and tokenizer.json with
tokenizer_config.json and special_tokens_map.json, a byte-level BPE like RoBERTa's, which can encode any text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from g3d.data.folders import atomic_folder
from g3d.errors import InputError

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
"""RoBERTa's special tokens, in the order of their ids."""
VOCABULARY = 800
"""Number of tokens: 256 bytes, the special tokens, and enough merges for every word of the synthetic sentences."""
ARCHITECTURE: dict[str, Any] = {
    "model_type": "roberta",
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 130,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
"""The value of text.architecture that preset jln-tiny expects."""


def make_text_encoder(
    folder: Path | str, sentences: Iterable[str], seed: int = 0, architecture: Mapping[str, Any] = ARCHITECTURE
) -> Path:
    """Write a text encoder with random weights and a tokenizer that is trained on the given sentences.

    The same sentences, seed and architecture give the same tokenizer and weights. Files of an earlier encoder are
    replaced.

    Args:
        folder: output folder.
        sentences: training sentences of the tokenizer; they are lower-cased.
        seed: seed of the weights.
        architecture: entries of config.json, for model_type "roberta".

    Returns:
        The folder.

    Raises:
        InputError: there are no sentences, the architecture is not a RoBERTa, or the folder contains something else.
        EnvironmentProblem: the folder cannot be written.
    """
    folder = Path(folder)
    texts = [sentence.lower() for sentence in sentences]
    if not texts:
        raise InputError("text encoder: there are no sentences to learn words from")
    if architecture.get("model_type") != "roberta":
        raise InputError(f"text encoder: model_type: expected 'roberta', found {architecture.get('model_type')!r}")
    if folder.exists() and any(folder.iterdir()) and not (folder / "tokenizer.json").is_file():
        raise InputError(
            f"{folder}: expected a new folder, found one that holds something else", hint="Choose another folder."
        )
    tokenizer = train_tokenizer(texts, architecture["vocab_size"])
    with atomic_folder(folder) as made:
        (made / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
        names = ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token")
        special = {**dict(zip(names, SPECIAL, strict=True)), "cls_token": "<s>", "sep_token": "</s>"}
        longest = architecture["max_position_embeddings"] - 2  # RoBERTa's positions start at 2
        settings = {
            "tokenizer_class": "RobertaTokenizerFast",
            "model_max_length": longest,
            "add_prefix_space": False,
            **special,
        }
        for name, values in (("tokenizer_config", settings), ("special_tokens_map", special)):
            (made / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n")
        _write_network(made, architecture, seed)
    return folder


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> str:
    """Train a byte-level BPE with RoBERTa's special tokens and form, `<s> words </s>`; return the text of its
    tokenizer.json."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", SPECIAL.index("</s>")), ("<s>", 0), add_prefix_space=False
    )
    return str(tokenizer.to_str(pretty=False))


def _write_network(folder: Path, architecture: Mapping[str, Any], seed: int) -> None:
    from safetensors.torch import save_file
    from transformers import RobertaConfig, RobertaModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = RobertaConfig(**{key: value for key, value in architecture.items() if key != "model_type"})
        network = RobertaModel(config, add_pooling_layer=False)
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["RobertaModel"], **architecture}, indent=1) + "\n"
    )
    weights = {
        name: value for name, value in network.state_dict().items() if value.is_floating_point()
    }  # no position_ids
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
