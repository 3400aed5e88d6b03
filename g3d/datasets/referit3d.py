"""Nr3D and Sr3D of ReferIt3D: one box in the aligned frame for each sentence, by difficulty and by view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.referit3d.filters import Filtered, SentenceFilters
from g3d.data.referit3d.splits import HARD_FROM, KIND, filtered, full_name
from g3d.data.scanrefer.evaluation import BenchmarkFiles, Groups, SentenceAccuracy
from g3d.data.scanrefer.files import sentence_files
from g3d.data.scanrefer.index import IndexedSentence, SentenceRoot, is_prepared
from g3d.data.scanrefer.sentences import view_dependent
from g3d.data.types import Answer, SceneBoxes, Source
from g3d.datasets.base import Dataset, Evaluator
from g3d.errors import InputError


class ReferIt3D:
    """Nr3D and Sr3D. A sample is a sentence with the id <scene>-<objectId>-<assignmentid, or row for Sr3D>.

    Splits are nr3d-train, nr3d-test, sr3d-train and sr3d-test. "train", "test" and "val" (the test scenes are those of
    ScanNet's validation) work where the folder holds one of the two sets.

    Settings of a preset's `data` section that the evaluation uses: `filters` (SentenceFilters; by default those of
    WS-3DVG) and `top_answers`, the number of answers of the top-k accuracy (3). Ids of a split are those of the default
    filters.
    """

    name = KIND
    options = ("filters", "top_answers")

    def __init__(self) -> None:
        self.native = BenchmarkFiles(KIND, "ReferIt3D")

    def knows(self, root: Path) -> bool:
        return is_prepared(root, KIND) or bool(sentence_files(root, KIND))

    def split_ids(self, root: Path, split: str) -> list[str]:
        sentences, kept = _of_split(SentenceRoot.find(root, KIND), split, SentenceFilters())
        return [sentences[k].id for k in kept.kept]

    def sources(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Source]:
        data = SentenceRoot.find(root, KIND)
        return data.sources(data.by_id(ids, full_name(data.index(), split)).values())

    def expressions(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, str]:
        data = SentenceRoot.find(root, KIND)
        return {name: s.text for name, s in data.by_id(ids, full_name(data.index(), split)).items()}

    def truth(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Answer]:
        data = SentenceRoot.find(root, KIND)
        return data.truth(data.by_id(ids, full_name(data.index(), split)).values())

    def evaluator(self, root: Path, split: str, answers: type[Answer], options: Mapping[str, Any]) -> Evaluator | None:
        if answers is not SceneBoxes:
            raise InputError(f"data set {KIND}: evaluates {SceneBoxes.kind}, found answers of {answers.kind}")
        data = SentenceRoot.find(root, KIND)
        sentences, kept = _of_split(data, split, options.get("filters", SentenceFilters()))
        counted = [sentences[k] for k in kept.kept]
        truth = data.truth(counted)
        if not truth:
            return None
        unknown = sum(s.same_class is None for s in counted)
        notes = [
            kept.note(),
            "IoU with boxes that a detector finds; the published tables of ReferIt3D state the share of right objects "
            "among the true boxes, which is another figure.",
        ]
        notes += data.note(full_name(data.index(), split))
        if unknown:
            notes.append(f"sentences without a stated difficulty, neither easy nor hard: {unknown:,}.")
        what = "Sr3D" if full_name(data.index(), split).startswith("sr3d") else "Nr3D"
        return SentenceAccuracy(what, counted, truth, _groups, notes, int(options.get("top_answers", 3)))


def _of_split(data: SentenceRoot, split: str, filters: SentenceFilters) -> tuple[Sequence[IndexedSentence], Filtered]:
    """Return the sentences of a split, and the indices of those that count."""
    index = data.index()
    name = full_name(index, split)
    sentences = data.sentences(name)
    return sentences, filtered(index, name, sentences, filters)


def _groups(asked: Sequence[IndexedSentence]) -> tuple[Groups, Groups]:
    counts = np.array([s.same_class or 0 for s in asked], np.int64)
    view = np.array([view_dependent(s.words) for s in asked], bool)
    rows = {"easy": (counts > 0) & (counts < HARD_FROM), "hard": counts >= HARD_FROM}
    return rows, {"view-dependent": view, "view-independent": ~view}


DATASET: Dataset = ReferIt3D()
