"""The System protocol: everything the engine calls on a system, and the look-up of systems by name.

To add a paper, create a folder in g3d/systems with `config.py` (class `Config`, imports no torch) and `system.py`
(object `SYSTEM`), and add a preset. A separate package of the same layout is found by its entry point in the group
`g3d.systems`.
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
    """The numbered samples of one split; the samples about one image or scene form a group.

    Attributes:
        ids: id of each sample, by sample number.
        drawn: None if training takes each sample on its own. Otherwise, a training epoch visits each group once and
            takes at most this many of its samples, drawn anew each time. With an optional attribute `all_drawn` that
            is true, an epoch visits each group until each of its samples was taken once.
    """

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def drawn(self) -> int | None: ...

    def __len__(self) -> int: ...

    def group(self, index: int) -> str:
        """Return the name of the image or scene that sample `index` is about."""

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[Any]:
        """Return the given samples of one group; they share one input.

        Args:
            indices: sample numbers, all of the same group.
            rng: the only source of randomness for augmentation, so that any process can make the same samples again;
                None: no augmentation.
        """


class System(Protocol[ConfigT, BatchT]):
    """One published system.

    Attributes:
        name: name of its folder.
        takes: the inputs that a query consists of. "camera" goes with "image".
        answers: the type of answer that its evaluation measures.
        carried: settings that a g3d checkpoint fixes, because the checkpoint contains what they name.
        resolved: settings that `resolve` fills in; a checkpoint keeps them, also when a preset replaces its config.
        starts: settings that name the weights that training starts from; they have no meaning for a g3d checkpoint.
        optimizers: optimisers in addition to PyTorch's, by their names in `optim.name`: functions of (groups,
            `config.optim`).
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
    def resolved(self) -> tuple[str, ...]: ...
    @property
    def starts(self) -> tuple[str, ...]: ...
    @property
    def optimizers(self) -> Mapping[str, Callable[[list[dict[str, Any]], Any], Optimizer]]: ...

    def resolve(self, config: ConfigT, root: Path) -> ConfigT:
        """Return the config with the sizes that depend on the data filled in; called once, when training starts."""

    def build(self, config: ConfigT) -> nn.Module:
        """Return the network with newly initialised weights; read no file."""

    def layout(self, config: ConfigT) -> torch.memory_format | None:
        """Return the memory format of the network's 4-D weights; None for PyTorch's default."""

    def start(self, config: ConfigT, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        """Load, strictly, the weights that the config names as the start of training; return log lines about them.

        Args:
            root: the data set's folder, which may hold what the config names.
            read: opens a weights file.
        """

    def samples(self, config: ConfigT, root: Path, split: str, training: bool) -> Samples:
        """Return the samples of a split; with `training`, make their targets and require the prepared files."""

    def collate(self, groups: list[list[Any]]) -> BatchT:
        """Return one batch of the samples of the given groups, in their order."""

    def losses(self, model: nn.Module, batch: BatchT, config: ConfigT, at: Position) -> dict[str, Tensor]:
        """Return the unweighted loss terms by name, and their weighted sum as "total".

        In a run of several processes, the mean of the totals over the processes is the total of the global batch. The
        micro-batches of an accumulated step count equally, however many samples they hold.

        Args:
            at: the position in training, for weights that change with it.
        """

    def predict(self, model: nn.Module, batch: BatchT, config: ConfigT) -> list[Prediction]:
        """Return one prediction for each sample of the batch, in its order."""

    def parameter_groups(self, model: nn.Module, config: ConfigT) -> list[dict[str, Any]]:
        """Return parameter groups for the optimiser, with their own options where they differ from `config.optim`."""

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: ConfigT) -> ImportReport:
        """Load a published checkpoint into `model`, strictly.

        Raises:
            InputError: names or shapes do not fit; the message lists the first ones.
        """

    def asked(self, config: ConfigT, request: InferRequest) -> ConfigT:
        """Return the config by which a user's request is answered; evaluations may want more than a reader does."""

    def inputs(self, config: ConfigT, request: InferRequest) -> Samples:
        """Return a user's own images or scenes as samples."""


class SystemDefaults:
    """Default methods of a system; a system may inherit them and define the rest of the protocol."""

    name: str
    carried: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    optimizers: Mapping[str, Callable[[list[dict[str, Any]], Any], Optimizer]] = {}

    def resolve(self, config: Any, root: Path) -> Any:
        """Return the config unchanged."""
        return config

    def layout(self, config: Any) -> torch.memory_format | None:
        """Return None: PyTorch's default memory format."""
        return None

    def start(self, config: Any, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        """Return an empty list: there are no weights to load."""
        return []

    def parameter_groups(self, model: nn.Module, config: Any) -> list[dict[str, Any]]:
        """Return all trainable parameters as one group."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def asked(self, config: Any, request: InferRequest) -> Any:
        """Return the config unchanged."""
        return config

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Any) -> ImportReport:
        """Raise an error: there is no published checkpoint.

        Raises:
            InputError: always.
        """
        raise InputError(f"system {self.name} has no published checkpoints", "give a checkpoint that g3d wrote")


def get_system(name: str) -> System:
    """Return the system with this name.

    Raises:
        InputError: no system has this name.
    """
    schema(name)
    return cast("System", registry.member(registry.SYSTEMS, name, "SYSTEM", "system"))


def grouped(samples: Samples, indices: Iterable[int]) -> list[list[int]]:
    """Return the sample numbers by group; groups and samples keep the order of `indices`."""
    groups: dict[str, list[int]] = {}
    for index in indices:
        groups.setdefault(samples.group(index), []).append(index)
    return list(groups.values())
