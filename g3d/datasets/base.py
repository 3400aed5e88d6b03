"""The Dataset protocol: what the engine knows about a data set, and how one is found by name or by its folder.

A new data set is a new file in this folder with an object `DATASET`, or a module of another package that is named by an
entry point in the group `g3d.datasets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from g3d import registry
from g3d.data.types import Answer, Prediction, Source
from g3d.errors import InputError, MissingDataError, did_you_mean
from g3d.metrics.table import Table


class Evaluator(Protocol):
    """Collects predictions of a split, each (sample, sentence) once, and computes the published table."""

    def update(self, predictions: Sequence[Prediction]) -> None:
        """Take predictions.

        Raises:
            InputError: a prediction comes twice, or has no answer of the evaluated type.
        """

    def compute(self) -> Table:
        """Return the table.

        Raises:
            MissingDataError: predictions of the split are missing.
        """


class NativeFormat(Protocol):
    """The data set's own result files.

    Attributes:
        description: what the files look like, for messages.
    """

    @property
    def description(self) -> str: ...

    def knows(self, path: Path) -> bool:
        """Return whether a file or folder looks like such results."""

    def read(self, path: Path, ids: Sequence[str]) -> list[Prediction]:
        """Read the predictions of a split's samples, in the order of `ids`.

        Raises:
            MissingDataError: results of some samples are missing.
            InputError: a file is not of this format.
        """

    def write(
        self, predictions: Sequence[Prediction], folder: Path, full_precision: bool, root: Path | None
    ) -> list[Path]:
        """Write result files with the published number of digits or with all of them, and return them.

        Args:
            root: the data set's folder; without it, files that hold labels beside predictions are left out.
        """


class Dataset(Protocol):
    """One data set.

    Attributes:
        name: the word for it in presets (`data.dataset`) and messages.
        options: names of settings in a preset's `data` section that the evaluation follows.
        native: the data set's own result files, None if it has none.
    """

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> tuple[str, ...]: ...
    @property
    def native(self) -> NativeFormat | None: ...

    def knows(self, root: Path) -> bool:
        """Return whether a folder looks like this data set, raw or prepared."""

    def split_ids(self, root: Path, split: str) -> list[str]:
        """Return the ids of a split's samples; `split` is a name, or the path of a file with ids."""

    def sources(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Source]:
        """Return the image or scene of each of some samples of a split.

        Raises:
            MissingDataError: a sample or its file is not there.
        """

    def expressions(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, str]:
        """Return the sentence of each of some samples of a split; empty for a data set without sentences."""

    def truth(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Answer]:
        """Return the ground truth of those of some samples of a split that have one."""

    def evaluator(self, root: Path, split: str, answers: type[Answer], options: Mapping[str, Any]) -> Evaluator | None:
        """Return the published evaluation of a split for one type of answer; None if the split has no labels.

        Args:
            options: settings of `options` that the preset sets; the evaluation's own defaults apply to the others.

        Raises:
            InputError: there is no evaluation of that type of answer.
        """


def dataset_names() -> list[str]:
    """Return the names of all data sets."""
    return sorted(registry.modules(registry.DATASETS))


def get_dataset(name: str) -> Dataset:
    """Return the data set of that name.

    Raises:
        InputError: there is none.
    """
    if name not in dataset_names():
        raise InputError(f"data set {name!r}: there is none of that name{did_you_mean(name, dataset_names())}")
    return cast(Dataset, registry.member(registry.DATASETS, name, "DATASET"))


def datasets() -> list[Dataset]:
    """Return all data sets by name; those of a package that cannot be imported are left out with a warning."""
    found = registry.each(registry.DATASETS, get_dataset)
    return [found[name] for name in sorted(found)]


def dataset_of(root: Path) -> Dataset:
    """Return the data set that knows a folder.

    Raises:
        MissingDataError: there is no such folder.
        InputError: no data set knows it, or several do.
    """
    if not root.is_dir():
        raise MissingDataError(f"--data {root}: no such folder")
    knowing = [dataset for dataset in datasets() if dataset.knows(root)]
    if len(knowing) != 1:
        found = " and ".join(dataset.name for dataset in knowing) or f"none of {', '.join(dataset_names())}"
        raise InputError(f"--data {root}: found {found}; expected one data set", "say which with --preset NAME")
    return knowing[0]


def dataset_of_results(path: Path) -> Dataset | None:
    """Return the first data set that knows the format of these result files; None if none does."""
    return next((dataset for dataset in datasets() if dataset.native and dataset.native.knows(path)), None)
