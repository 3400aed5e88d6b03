"""The toy's data set: <root>/rooms.json lists sentences by split, each with its scene and a range of its points."""

import json

import numpy as np

from g3d.data.files import read_text
from g3d.data.types import PointMask, SceneSource
from g3d.datasets.base import Dataset
from g3d.errors import MissingDataError
from g3d.metrics.table import Row, Table


def entries(root, split, ids=None):
    found = json.loads(read_text(root / "rooms.json", "toy rooms")).get(split, {})
    if lost := [s for s in ids or () if s not in found] if found else ["samples"]:
        raise MissingDataError(f"toy rooms: split {split!r} has no {lost[0]}")
    return found if ids is None else {sample: found[sample] for sample in ids}


class Rooms:
    name, options, native = "toyrooms", (), None

    def knows(self, root):
        return (root / "rooms.json").is_file()

    def split_ids(self, root, split):
        return list(entries(root, split))

    def sources(self, root, split, ids):
        found = entries(root, split, ids)
        return {s: SceneSource(str(root / f"{e['scene']}.ply"), e["scene"]) for s, e in found.items()}

    def expressions(self, root, split, ids):
        return {sample: entry["sentence"] for sample, entry in entries(root, split, ids).items()}

    def truth(self, root, split, ids):
        kept = {s: e for s, e in entries(root, split).items() if s in ids}
        return {s: PointMask(np.isin(np.arange(e["points"]), range(*e["range"]))) for s, e in kept.items()}

    def evaluator(self, root, split, answers, options):
        return Overlap(self.truth(root, split, self.split_ids(root, split)))


class Overlap:
    def __init__(self, truth):
        self.truth, self.found = truth, {}

    def update(self, predictions):
        self.found |= {p.sample: p.answer(PointMask).mask for p in predictions}

    def compute(self):
        if self.truth.keys() - self.found.keys():
            raise MissingDataError("predictions: some of the split are missing", "evaluate another --split")
        pairs = [(self.found[sample], truth.mask) for sample, truth in self.truth.items()]
        mean = 100 * float(np.mean([(a & b).sum() / max((a | b).sum(), 1) for a, b in pairs]))
        return Table("toy overlap", ("mIoU",), (Row("all", (mean,)),), {"mIoU": mean}, score=mean)


DATASET: Dataset = Rooms()
