"""Sentences that name the class of their object, by made-up word lists."""

from pathlib import Path

import numpy as np

from g3d.data.referit3d.mentions import Lexicon, mentions_target_class
from g3d.data.referit3d.raw import parse_stimulus
from parity.kinds.ws3dvg_dataset_item import text_of


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    lexicon, scenes = Lexicon(**text_of(arrays["in.lexicon"])), text_of(arrays["in.scenes"])
    rows = [(parse_stimulus(row["stimulus_id"]), row["tokens"]) for row in text_of(arrays["in.rows"])]
    return {
        name: np.array([mentions_target_class(words, s.name, scenes[s.scene], lexicon, check) for s, words in rows])
        for name, check in (("mentions", True), ("mentions_no_check", False))
    }
