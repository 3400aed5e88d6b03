"""The System protocol: what the engine knows about a system, and how one is found by name.

A new paper is a new folder in g3d/systems with `config.py` (class `Config`, imports no torch) and `system.py` (object
`SYSTEM`), and a preset; or a package of the same layout that is named by an entry point in the group `g3d.systems`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

from g3d import registry
from g3d.config import Config, schema
from g3d.data.request import InferRequest as InferRequest
from g3d.data.types import Answer, Batch, Prediction
from g3d.errors import InputError
from g3d.nn.import_report import ImportReport as ImportReport
from g3d.position import Position as Position

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn
    from torch.optim import Optimizer

Input = Literal["image", "scene", "camera", "expression"]
ConfigT = TypeVar("ConfigT", bound=Config)
BatchT = TypeVar("BatchT", bound=Batch)


class Samples(Protocol):
    """A split of a data set as numbered samples, of which those about one image or scene form a group.

    Attributes:
        ids: the sample's id by its number.
        drawn: None if training takes each sample on its own; else an epoch of training has each group once, with so
            many of its samples at most, drawn anew each time.
    """

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def drawn(self) -> int | None: ...

    def __len__(self) -> int: ...

    def group(self, index: int) -> str:
        """Return the name of the image or scene that sample `index` is about."""

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[Any]:
        """Return samples of one group, which share one input.

        Args:
            indices: numbers of samples of one group.
            rng: augment with draws from it alone, so that samples can be made again anywhere; None: no augmentation.
        """


class System(Protocol[ConfigT, BatchT]):
    """One published system.

    Attributes:
        name: of its folder.
        takes: what it is asked with. "camera" goes with "image".
        answers: the type of answer that its evaluation is about.
        carried: settings that our checkpoints fix, because what they name is inside.
        starts: settings that name where training starts from; they have no meaning for a checkpoint of ours.
        optimizers: optimisers beside PyTorch's by their names in `optim.name`: functions of (groups, `config.optim`).
    """

    @property
    def name(self) -> str: ...
    @property
    def takes(self) -> frozenset[Input]: ...
    @property
    def answers(self) -> type[Answer]: ...
    @property
    def carried(self) -> tuple[str, ...]: ...
    @property
    def starts(self) -> tuple[str, ...]: ...
    @property
    def optimizers(self) -> Mapping[str, Callable[[list[dict[str, Any]], Any], Optimizer]]: ...

    def resolve(self, config: ConfigT, root: Path) -> ConfigT:
        """Return the config with sizes filled in that depend on the data; called once, when a training starts."""

    def build(self, config: ConfigT) -> nn.Module:
        """Return the network with fresh weights; reads no file."""

    def layout(self, config: ConfigT) -> torch.memory_format | None:
        """Return the memory layout of the network's 4-D weights, None for PyTorch's own."""

    def start(self, config: ConfigT, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        """Load, strictly, the weights that the config names for training to start from; return what was taken.

        Args:
            root: the data set's folder, which may hold what the config names.
            read: opens a weights file.
        """

    def samples(self, config: ConfigT, root: Path, split: str, training: bool) -> Samples:
        """Return the samples of a split; with `training` their targets are made and prepared files are needed."""

    def collate(self, groups: list[list[Any]]) -> BatchT:
        """Return one batch of the samples of some groups, in their order."""

    def losses(self, model: nn.Module, batch: BatchT, config: ConfigT, at: Position) -> dict[str, Tensor]:
        """Return unweighted terms by name and "total".

        Over processes, the mean of the totals is the total of the global batch.

        Args:
            at: the position in training, for weights that change with it.
        """

    def predict(self, model: nn.Module, batch: BatchT, config: ConfigT) -> list[Prediction]:
        """Return one prediction for each sample of the batch, in its order."""

    def parameter_groups(self, model: nn.Module, config: ConfigT) -> list[dict[str, Any]]:
        """Return groups for the optimiser, with their own options where they differ from `config.optim`."""

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: ConfigT) -> ImportReport:
        """Load a published checkpoint into `model`, strictly.

        Raises:
            InputError: names or shapes do not fit; the first ones are listed.
        """

    def inputs(self, config: ConfigT, request: InferRequest) -> Samples:
        """Return a user's own images or scenes as samples."""


class SystemDefaults:
    """What most systems have in common; a system may inherit it and define the rest of the protocol."""

    name: str
    carried: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    optimizers: Mapping[str, Callable[[list[dict[str, Any]], Any], Optimizer]] = {}

    def resolve(self, config: Any, root: Path) -> Any:
        """Return the config as it is."""
        return config

    def layout(self, config: Any) -> torch.memory_format | None:
        """Return None: PyTorch's own layout."""
        return None

    def start(self, config: Any, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        """Load nothing."""
        return []

    def parameter_groups(self, model: nn.Module, config: Any) -> list[dict[str, Any]]:
        """Return all trained parameters as one group."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Any) -> ImportReport:
        """Refuse: there is no published checkpoint.

        Raises:
            InputError: always.
        """
        raise InputError(f"system {self.name} has no published checkpoints", "give a checkpoint that g3d wrote")


def get_system(name: str) -> System:
    """Return the system of that name.

    Raises:
        InputError: there is none.
    """
    schema(name)
    return cast("System", registry.member(registry.SYSTEMS, name, "SYSTEM", "system"))


def grouped(samples: Samples, indices: Iterable[int]) -> list[list[int]]:
    """Return the numbers of samples group by group, groups and samples in the order in which they come."""
    groups: dict[str, list[int]] = {}
    for index in indices:
        groups.setdefault(samples.group(index), []).append(index)
    return list(groups.values())
