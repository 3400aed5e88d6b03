"""Evaluation and result files of sentences about scenes, which ScanRefer and ReferIt3D share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from g3d.data.collected import Collected
from g3d.data.scanrefer.index import IndexedSentence, SentenceRoot
from g3d.data.scanrefer.results import FILE, is_result_file, read_results, write_benchmark
from g3d.data.types import Prediction, SceneBoxes
from g3d.metrics.scene_grounding import answer_overlaps, scene_grounding_table
from g3d.metrics.table import Table

Groups = Mapping[str, np.ndarray]


class SentenceAccuracy:
    """Accuracy of the boxes that are found for the sentences of a split.

    Args:
        what: the data for the title of the table.
        sentences: the sentences that count.
        truth: box of each sentence's object by the sentence's id; sentences without one count as wrong.
        groups: function from the sentences to the rows and the columns of the table (`scene_grounding_table`).
        notes: sentences below the table, for example the filters.
        top: number of answers that count for the top-k accuracy.
    """

    def __init__(
        self,
        what: str,
        sentences: Sequence[IndexedSentence],
        truth: Mapping[str, SceneBoxes],
        groups: Callable[[Sequence[IndexedSentence]], tuple[Groups, Groups]],
        notes: Sequence[str] = (),
        top: int = 3,
    ) -> None:
        self.what, self.sentences, self.truth, self.groups = what, sentences, truth, groups
        self.notes, self.top = notes, top
        self.found = Collected("sentence", "a sentence without an answer")

    def update(self, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            prediction.answer(SceneBoxes)
        self.found.add(predictions)

    def compute(self) -> Table:
        self.found.require([s.id for s in self.sentences])
        self.found.warn_of_other_sentences({s.id: s.text for s in self.sentences})
        notes = list(self.notes)
        outside = len(self.found) - len(self.sentences)
        if outside:
            notes.append(f"predictions for sentences that do not count: {outside:,}.")
        found = [self.found[s.id].answer(SceneBoxes) for s in self.sentences]
        overlaps = answer_overlaps(found, [self.truth.get(s.id) for s in self.sentences], self.top)
        rows, columns = self.groups(self.sentences)
        return scene_grounding_table(overlaps, rows, columns, self.what, notes)


class BenchmarkFiles:
    """Result files of ScanRefer's benchmark, and the published predictions.p.

    Args:
        kind: name of the prepared data, "scanrefer" or "referit3d".
        name: name of the data set in messages.
    """

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.description = f"{name}'s are a {FILE}, or WS-3DVG's predictions.p"

    def knows(self, path: Path) -> bool:
        return is_result_file(path)

    def read(self, path: Path, ids: Sequence[str]) -> list[Prediction]:
        return read_results(path, ids)

    def write(
        self, predictions: Sequence[Prediction], folder: Path, full_precision: bool, root: Path | None
    ) -> list[Path]:
        if root is None:
            return []
        known = SentenceRoot.find(root, self.kind).by_id([p.sample for p in predictions])
        write_benchmark(folder / FILE, predictions, known)
        return [folder / FILE]
