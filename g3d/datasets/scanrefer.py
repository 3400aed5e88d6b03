"""ScanRefer: one box in the aligned frame for each sentence about a scene, by unique and multiple objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.scannet.labels import OTHERS
from g3d.data.scanrefer.evaluation import BenchmarkFiles, Groups, SentenceAccuracy
from g3d.data.scanrefer.files import sentence_files
from g3d.data.scanrefer.index import IndexedSentence, SentenceRoot, is_prepared
from g3d.data.types import Answer, SceneBoxes, Source
from g3d.datasets.base import Dataset, Evaluator
from g3d.errors import InputError

KIND = "scanrefer"
_RULES = ("last_word", "whole_name")


class ScanRefer:
    """The ScanRefer data set. A sample is a sentence with the id <scene>-<objectId>-<ann_id>.

    Settings of a preset's `data` section that the evaluation uses: `top_answers`, the number of answers of the top-k
    accuracy (3); `others`, the rule by which an object is of class "others": "last_word" (WS-3DVG: by the last known
    word of an unknown name, the default) or "whole_name" (ScanRefer: every unknown name is).
    """

    name = KIND
    options = ("top_answers", "others")

    def __init__(self) -> None:
        self.native = BenchmarkFiles(KIND, "ScanRefer")

    def knows(self, root: Path) -> bool:
        return is_prepared(root, KIND) or bool(sentence_files(root, KIND))

    def split_ids(self, root: Path, split: str) -> list[str]:
        return [sentence.id for sentence in SentenceRoot.find(root, KIND).sentences(split)]

    def sources(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Source]:
        data = SentenceRoot.find(root, KIND)
        return data.sources(data.by_id(ids, split).values())

    def expressions(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, str]:
        return {name: sentence.text for name, sentence in SentenceRoot.find(root, KIND).by_id(ids, split).items()}

    def truth(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Answer]:
        data = SentenceRoot.find(root, KIND)
        return data.truth(data.by_id(ids, split).values())

    def evaluator(self, root: Path, split: str, answers: type[Answer], options: Mapping[str, Any]) -> Evaluator | None:
        if answers is not SceneBoxes:
            raise InputError(f"data set {KIND}: evaluates {SceneBoxes.kind}, found answers of {answers.kind}")
        rule = options.get("others", _RULES[0])
        if rule not in _RULES:
            raise InputError(f"data.others: found {rule!r}, expected {' or '.join(_RULES)}")
        data = SentenceRoot.find(root, KIND)
        sentences = data.sentences(split)
        truth = data.truth(sentences)
        if not truth:
            return None
        notes = (
            f"filters: none; {len(sentences):,} sentences count.",
            f'"others" by the rule {rule}.',
            *data.note(split),
        )
        top = int(options.get("top_answers", 3))

        def groups(asked: Sequence[IndexedSentence]) -> tuple[Groups, Groups]:
            several = np.array([s.several for s in asked], bool)
            classes = np.array([s.last_word_class if rule == _RULES[0] else s.whole_name_class for s in asked])
            rows = {"unique": ~several, "multiple": several}
            return rows, {"not in others": classes != OTHERS, "in others": classes == OTHERS}

        return SentenceAccuracy("ScanRefer", sentences, truth, groups, notes, top)


DATASET: Dataset = ScanRefer()
