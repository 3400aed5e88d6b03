"""Token ids of sentences by roberta-base's own tokenizer, which is not part of this project."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from parity_check import NeedsFile

from g3d import config as presets
from g3d.errors import MissingDataError
from g3d.nn.text_encoder import TextEncoder


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    text: Any = presets.load("jln").text
    narrow = {"hidden_size": 12, "num_hidden_layers": 1, "intermediate_size": 12}
    encoder = TextEncoder({**text.architecture, **narrow}, text.max_words)
    try:
        encoder.load_tokenizer(os.environ.get("G3D_ROBERTA", text.encoder), offline=True)
    except MissingDataError as error:
        raise NeedsFile(f"{error.message}: set G3D_ROBERTA to a folder with roberta-base's tokenizer.json") from None
    ids, padding = encoder.tokenise(case["sentences"])
    return {"input_ids": ids.numpy(), "attention_mask": (~padding).numpy()}
