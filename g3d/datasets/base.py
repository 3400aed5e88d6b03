"""The `Dataset` protocol: everything the engine calls on a data set. Data sets are found by name or by their folder.

To add a data set, add a file with an object `DATASET` to this folder, or name a module of another package in an entry
point of the group `g3d.datasets`.
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
    """Evaluation of a split. It collects predictions, one for each (sample, sentence), and computes the table."""

    def update(self, predictions: Sequence[Prediction]) -> None:
        """Add predictions.

        Raises:
            InputError: a prediction occurs twice, or has no answer of the evaluated type.
        """

    def compute(self) -> Table:
        """Return the published table of the collected predictions.

        Raises:
            MissingDataError: predictions of the split are missing.
        """


class NativeFormat(Protocol):
    """Reader and writer of the data set's own result files.

    Attributes:
        description: description of the files, for messages.
    """

    @property
    def description(self) -> str: ...

    def knows(self, path: Path) -> bool:
        """Return whether a file or folder looks like results in this format."""

    def read(self, path: Path, ids: Sequence[str]) -> list[Prediction]:
        """Return the predictions of a split's samples, in the order of `ids`.

        Raises:
            MissingDataError: results of some samples are missing.
            InputError: a file does not have this format.
        """

    def write(
        self, predictions: Sequence[Prediction], folder: Path, full_precision: bool, root: Path | None
    ) -> list[Path]:
        """Write result files and return their paths.

        Args:
            predictions: the predictions.
            folder: the folder to write to.
            full_precision: write all digits instead of the published number.
            root: the data set's folder; if None, files that also hold labels are not written.
        """


class Dataset(Protocol):
    """One data set.

    Attributes:
        name: name of the data set in presets (`data.dataset`) and messages.
        options: names of settings in a preset's `data` section that the evaluation uses.
        native: format of the data set's own result files; None if it has none.
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
        """Return the ids of a split's samples. `split` is a name, or the path of a file with ids."""

    def sources(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Source]:
        """Return the image or scene of the given samples of a split, by sample id.

        Raises:
            MissingDataError: a sample or its file does not exist.
        """

    def expressions(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, str]:
        """Return the sentence of the given samples of a split, by sample id; empty if the data set has no sentences."""

    def truth(self, root: Path, split: str, ids: Sequence[str]) -> Mapping[str, Answer]:
        """Return the ground truth of the given samples of a split, by sample id. Samples without one are left out."""

    def evaluator(self, root: Path, split: str, answers: type[Answer], options: Mapping[str, Any]) -> Evaluator | None:
        """Return the published evaluation of a split for one type of answer; None if the split has no labels.

        Args:
            root: the data set's folder.
            split: a name, or the path of a file with ids.
            answers: the type of answer to evaluate.
            options: values of those settings in `self.options` that the preset has; the evaluation uses its own
                defaults for the others.

        Raises:
            InputError: there is no evaluation of this type of answer.
        """


def dataset_names() -> list[str]:
    """Return the sorted names of all data sets."""
    return sorted(registry.modules(registry.DATASETS))


def get_dataset(name: str) -> Dataset:
    """Return the data set with the given name.

    Raises:
        InputError: no data set has this name.
    """
    if name not in dataset_names():
        raise InputError(f"data set {name!r}: there is none of that name{did_you_mean(name, dataset_names())}")
    return cast(Dataset, registry.member(registry.DATASETS, name, "DATASET"))


def datasets() -> list[Dataset]:
    """Return all data sets by name; those of a package that cannot be imported are left out with a warning."""
    found = registry.each(registry.DATASETS, get_dataset)
    return [found[name] for name in sorted(found)]


def dataset_of(root: Path) -> Dataset:
    """Return the data set that recognises a folder as its own.

    Raises:
        MissingDataError: there is no such folder.
        InputError: no data set recognises the folder, or several do.
    """
    if not root.is_dir():
        raise MissingDataError(f"--data {root}: no such folder")
    knowing = [dataset for dataset in datasets() if dataset.knows(root)]
    if len(knowing) != 1:
        found = " and ".join(dataset.name for dataset in knowing) or f"none of {', '.join(dataset_names())}"
        raise InputError(f"--data {root}: found {found}; expected one data set", "say which with --preset NAME")
    return knowing[0]


def dataset_of_results(path: Path, root: Path | None = None) -> Dataset | None:
    """Return the data set that recognises the format of the result files; None if none does.

    Of several data sets with this format, it is the first that recognises the folder `root`, else the first of all.
    """
    knowing = [dataset for dataset in datasets() if dataset.native and dataset.native.knows(path)]
    if len(knowing) > 1 and root is not None and root.is_dir():
        knowing = [dataset for dataset in knowing if dataset.knows(root)] or knowing
    return knowing[0] if knowing else None
