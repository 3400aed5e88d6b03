"""A text encoder small enough to make in a test, in Hugging Face's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

SENTENCES = (
    "the white car on the left, about 10.25 meters away",
    "a tram",
    "the van behind the red truck",
    "a Pedestrian near the tree",
)


def architecture(model_type: str = "roberta", **entries: Any) -> dict[str, Any]:
    """Entries of a config.json of two narrow layers."""
    base = {
        "model_type": model_type,
        "vocab_size": 120,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 40,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    }
    return {**base, **entries}


def write_encoder(folder: Path, model_type: str = "roberta", seed: int = 0, **entries: Any) -> Path:
    """config.json, tokenizer.json (byte-level BPE learnt from SENTENCES) and model.safetensors under `folder`, random
    weights."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    from g3d.nn.text_encoder import TextEncoder

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>"]
    letters = sorted({c for s in SENTENCES for c in s.lower()} | {"Ġ"} - {" "})
    trainer = trainers.BpeTrainer(vocab_size=100, special_tokens=special, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator([s.lower() for s in SENTENCES], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    described = architecture(model_type, **entries)
    (folder / "config.json").write_text(json.dumps(described))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TextEncoder(described, max_words=24).model
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        model.get_submodule("embeddings.word_embeddings").weight.data[1] = torch.randn(16)  # pads are not nothing
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    return folder
