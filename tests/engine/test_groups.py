"""Sentences about one image stay together: each image is encoded once, on one process or two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support import paths
from support.mono3drefer_world import MICRO, mini_world

from g3d.data.types import ImageSource, PointMask, Prediction
from g3d.engine.distributed import Processes
from g3d.engine.evaluate import _merged
from g3d.engine.loader import TrainingLoader, evaluation_batches
from g3d.errors import InputError

SENTENCES = ("the car", "the van", "the bus", "the cyclist", "the truck")
SCRIPT = """
import json, sys
from pathlib import Path
from g3d import config as presets
from g3d.data.request import InferRequest
from g3d.engine import checkpoint
from g3d.engine.distributed import processes
from g3d.engine.evaluate import predict
from g3d.systems.base import get_system

root, settings, sentences = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
config, system = presets.load("jln-tiny", settings), get_system("jln")
model = system.build(config)
system.start(config, model, root, checkpoint.read_raw)
encoded = []
model.backbone.register_forward_hook(lambda module, inputs, result: encoded.append(len(inputs[0])))
with processes("cpu") as group:
    samples = system.inputs(config, InferRequest((root / "images",), focal=700, expressions=tuple(sentences)))
    found = predict(model, config, samples, group, 2)
    asked = None if found is None else [[p.sample, p.expression] for p in found]
    Path(sys.argv[4], f"{group.rank}.json").write_text(json.dumps({"encoded": sum(encoded), "asked": asked}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("world", [1, 2])
def test_ranks_encode_each_picture_once_in_total(tmp_path: Path, world: int) -> None:
    root = mini_world(tmp_path / "mini")
    (tmp_path / "ask.py").write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)] if world > 1 else []
    arguments = [str(root), json.dumps(MICRO), json.dumps(SENTENCES), str(tmp_path)]
    subprocess.run(
        [sys.executable, *launcher, str(tmp_path / "ask.py"), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(paths.ROOT)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(world)]
    assert sum(rank["encoded"] for rank in ranks) == 4
    assert min(rank["encoded"] for rank in ranks) == 4 // world
    names = sorted(path.stem for path in (root / "images").glob("*.png"))
    expected = [[f"{name}-{k + 1:02d}", sentence] for name in names for k, sentence in enumerate(SENTENCES)]
    assert len(expected) == 20
    assert ranks[0]["asked"] == expected


class _Letters:
    """Samples whose group is their letter; a group's samples do not stand together."""

    ids = ("a1", "b1", "a2", "c1", "b2", "a3", "d1", "c2")

    def __init__(self, drawn: int | None = None) -> None:
        self.drawn = drawn

    def __len__(self) -> int:
        return len(self.ids)

    def group(self, index: int) -> str:
        return self.ids[index][0]

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[str]:
        assert len({self.group(index) for index in indices}) == 1
        return [self.ids[index] for index in indices]


def flat(groups: list[list[str]]) -> list[str]:
    return [name for group in groups for name in group]


def processes_of(rank: int, world: int) -> Processes:
    return Processes(rank, world, torch.device("cpu"))


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_deals_whole_groups(workers: int) -> None:
    dealt = [
        list(evaluation_batches(_Letters(), flat, 1, workers, processes_of(rank, 2)))  # type: ignore[arg-type]
        for rank in range(2)
    ]
    assert dealt == [
        [([0, 2, 5], ["a1", "a2", "a3"]), ([3, 7], ["c1", "c2"])],
        [([1, 4], ["b1", "b2"]), ([6], ["d1"])],
    ]


def test_training_draws_several_samples_of_each_group() -> None:
    def epoch(number: int, rank: int = 0, world: int = 1) -> list[list[str]]:
        loader = TrainingLoader(_Letters(drawn=2), flat, 2, 1, 0, 3, processes_of(rank, world))  # type: ignore[arg-type]
        assert (len(loader.units), loader.steps) == (4, 2)
        return [part for step in loader.epoch(number) for part in step]

    drawn = flat(epoch(0))
    assert sorted(name[0] for name in drawn) == ["a", "a", "b", "b", "c", "c", "d"]
    assert len({tuple(sorted(flat(epoch(number)))) for number in range(8)}) == 3  # pairs of the three a
    shared = [one + other for one, other in zip(epoch(0, 0, 2), epoch(0, 1, 2), strict=True)]
    assert shared == epoch(0)


def test_training_deals_all_samples_of_each_group() -> None:
    samples = _Letters(drawn=2)
    samples.all_drawn = True  # type: ignore[attr-defined]

    def epoch(number: int, rank: int = 0, world: int = 1) -> list[list[str]]:
        loader = TrainingLoader(samples, list, world, 1, 0, 3, processes_of(rank, world))  # type: ignore[arg-type]
        assert (len(loader.units), loader.count, loader.steps) == (4, 5, 5 // world)
        return [unit for step in loader.epoch(number) for part in step for unit in part]

    assert all(sorted(flat(epoch(number))) == sorted(samples.ids) for number in range(3))
    assert all(len({name[0] for name in unit}) == 1 and len(unit) <= 2 for unit in epoch(0))
    assert len({tuple(sorted(map(tuple, epoch(number)))) for number in range(8)}) > 1  # dealt anew
    assert epoch(0)[:4] == [unit for pair in zip(epoch(0, 0, 2), epoch(0, 1, 2), strict=True) for unit in pair]
    with pytest.raises(InputError, match=r"train\.batch=6: the split has only 5 groups of 2"):
        TrainingLoader(samples, list, 6, 1, 0, 3, processes_of(0, 1))  # type: ignore[arg-type]


def test_predictions_are_merged_in_the_samples_order_and_none_comes_twice() -> None:
    def answer(name: str, sentence: str | None = None) -> Prediction:
        return Prediction(name, ImageSource(), (PointMask(np.zeros(1, bool), 0.0),), sentence)

    one, two, three = answer("a", "x"), answer("a", "y"), answer("b", "x")
    assert _merged([{2: three, 0: one}, {1: two}], 3) == [one, two, three]
    with pytest.raises(InputError, match="'a' comes twice with the same sentence"):
        _merged([{0: one}, {1: answer("a", "x")}], 2)
