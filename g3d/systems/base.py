"""What the engine knows about a system: the System protocol and how one is found by name.

A new paper is a new folder under g3d/systems with `config.py` (class `Config`, imports no torch) and `system.py`
(object `SYSTEM`), and a preset. Nothing else changes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from g3d.config import schema
from g3d.data.images.user_images import InferRequest as InferRequest
from g3d.nn.import_report import ImportReport as ImportReport

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from g3d.data.types import Objects, Prediction
    from g3d.metrics.table import Table


class Samples(Protocol):
    """A split of a data set as numbered samples."""

    ids: Sequence[str]

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator | None) -> Any:
        """Sample `index`; augmented with draws from `rng` alone when it is given, so that a sample can be made again
        anywhere."""


class Evaluator(Protocol):
    """Collects predictions of a split, each sample once, and computes the published table."""

    def update(self, predictions: Sequence[Prediction]) -> None: ...

    def compute(self) -> Table: ...


class System(Protocol):
    """One published system. `config` is always an instance of the system's own schema."""

    name: str
    takes_expressions: bool  # each sample has a sentence, and its prediction is the answer to it
    carried: tuple[str, ...]  # settings that our checkpoints fix, because what they name is inside
    optimizers: Mapping[str, Callable[[list[dict[str, Any]], Any], Optimizer]]  # its own: name -> f(groups, optim)
    starts: tuple[str, ...]  # settings that name where training starts from: without meaning for a checkpoint of ours

    def build(self, config: Any) -> nn.Module:
        """The network with fresh weights; reads no file."""

    def layout(self, config: Any) -> torch.memory_format | None:
        """The memory layout of the network's 4-D weights; None for PyTorch's default."""

    def start(self, config: Any, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        """Load, strictly, the weights that the config names for training to start from; says what was taken.

        Args:
            root: the data set's folder, which may hold what the config names.
            read: opens a weights file.
        """

    def dataset(self, config: Any, root: Path, split: str, training: bool) -> Samples:
        """Samples of a split; with `training` their targets are made and prepared files are needed."""

    def collate(self, samples: list[Any]) -> Any:
        """Samples -> one batch, which has `len` and `to(device)`."""

    def losses(self, model: nn.Module, batch: Any, config: Any) -> dict[str, Tensor]:
        """Unweighted terms by name and "total". Over processes, the mean of the totals is the total of the global
        batch."""

    def predict(self, model: nn.Module, batch: Any, config: Any) -> list[Prediction]:
        """One prediction per sample of the batch, in its order."""

    def evaluator(self, config: Any | None, root: Path, split: str) -> Evaluator:
        """The published evaluation of a split; reads labels, needs no model. Without a config: all classes."""

    def parameter_groups(self, model: nn.Module, config: Any) -> list[dict[str, Any]]:
        """Groups for the optimiser, with their own options where they differ from `config.optim`."""

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Any) -> ImportReport:
        """Load a published checkpoint into `model`, strictly.

        Raises:
            InputError: names or shapes do not fit; the first ones are listed.
        """

    def inputs(self, config: Any, request: InferRequest) -> Samples:
        """A user's own data as samples."""

    def knows_data(self, root: Path) -> bool:
        """Whether a folder looks like the data set, raw or prepared."""

    def labels(self, root: Path, ids: Sequence[str]) -> Mapping[str, Objects]:
        """Ground truth to draw beside predictions; samples without labels are left out."""

    def blanks(self, root: Path, ids: Sequence[str]) -> list[Prediction]:
        """Samples as predictions of nothing: their images, sizes and cameras, to draw on."""

    def write_native(
        self, predictions: Sequence[Prediction], folder: Path, full_precision: bool, root: Path | None
    ) -> list[Path]:
        """The data set's own result files, with the published number of digits or with all of them; returns them.

        Without `root`, the data set's folder, those that need labels are left out.
        """

    def knows_native(self, folder: Path) -> bool:
        """Whether a folder looks like the data set's own result files."""

    def split_ids(self, root: Path, split: str) -> list[str]:
        """The ids of a split's samples."""

    def read_native(self, path: Path, ids: Sequence[str]) -> list[Prediction]:
        """Predictions of a split from the data set's own result files."""


def get_system(name: str) -> System:
    """The system of that name.

    Raises:
        InputError: there is none.
    """
    schema(name)
    return importlib.import_module(f"g3d.systems.{name}.system").SYSTEM
