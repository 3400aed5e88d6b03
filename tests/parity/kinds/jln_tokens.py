"""Token ids of sentences by roberta-base's own tokenizer.

tests/parity/golden/jln/roberta_excerpt holds those entries of its vocabulary and merges (Liu et al. 2019, MIT licence)
that the case's sentences need; G3D_ROBERTA names a folder with all of them.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from support import paths

from g3d import config as presets
from g3d.nn.text_encoder import TextEncoder

EXCERPT = paths.GOLDEN / "jln" / "roberta_excerpt"


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    text: Any = presets.load("jln").text
    narrow = {"hidden_size": 12, "num_hidden_layers": 1, "intermediate_size": 12}
    encoder = TextEncoder({**text.architecture, **narrow}, text.max_words)
    encoder.load_tokenizer(os.environ.get("G3D_ROBERTA", str(EXCERPT)), offline=True)
    ids, padding = encoder.tokenise(case["sentences"])
    return {"input_ids": ids.numpy(), "attention_mask": (~padding).numpy()}
