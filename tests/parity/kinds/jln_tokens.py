"""Token ids of sentences by roberta-base's own tokenizer.

tests/parity/golden/jln/roberta_excerpt holds those entries of its vocabulary and merges (Liu et al. 2019, MIT licence)
that the sentences of tests/parity/golden/jln/tokens.json need. For other sentences, the environment variable
G3D_ROBERTA names a folder with the whole tokenizer.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from support import paths
from torch import Tensor

from g3d import config as presets
from g3d.nn.text_encoder import TextEncoder
from parity.describe import DescriptionError, stated

EXCERPT = paths.GOLDEN / "jln" / "roberta_excerpt"


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    (words,) = stated(case["ran"], r"\b(?:max_length|pad to) (\d+)", "ran")
    ids, padding = tokenise(case["sentences"], int(words))
    return {"input_ids": ids.numpy(), "attention_mask": (~padding).numpy()}


def tokenise(sentences: list[str], max_words: int) -> tuple[Tensor, Tensor]:
    """Return the token ids (S, max_words) and the mask of padding of sentences.

    Raises:
        DescriptionError: the excerpt of the tokenizer does not cover the sentences and G3D_ROBERTA is not set.
    """
    whole = os.environ.get("G3D_ROBERTA")
    covered = json.loads((EXCERPT.parent / "tokens.json").read_text(encoding="utf-8"))["sentences"]
    if whole is None and not set(sentences) <= set(covered):
        raise DescriptionError(
            "sentences: set G3D_ROBERTA to a folder with roberta-base's tokenizer for other sentences"
        )
    text: Any = presets.load("jln").text
    narrow = {"hidden_size": 12, "num_hidden_layers": 1, "intermediate_size": 12}
    encoder = TextEncoder({**text.architecture, **narrow}, max_words)
    encoder.load_tokenizer(whole or str(EXCERPT), offline=True)
    ids, padding = encoder.tokenise(sentences)
    return ids, padding
