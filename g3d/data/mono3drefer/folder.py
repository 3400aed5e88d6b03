"""Mono3DRefer for training and evaluation: the published folder, and the index of `g3d prepare mono3drefer`.

The index contains all checked expressions and labels in one file, loads at once and builds each Expression on demand.
It is in `<data>/g3d` or in the folder given by `--out`, beside a manifest with the path of the raw data, so either
folder can be given as `--data`.
"""

from __future__ import annotations

import io
import json
import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.data.kitti.raw import read_calibration, read_split
from g3d.data.mono3drefer.names import CLASS_NAMES, SPLITS
from g3d.data.mono3drefer.raw import (
    EXPRESSIONS_FILE,
    GROUPS_FILE,
    Expression,
    objects_of_rows,
    read_groups,
    rows_of_objects,
)
from g3d.data.types import CameraBoxes
from g3d.errors import InputError, MissingDataError, did_you_mean

FOLDER = "g3d"
INDEX = "mono3drefer.npz"
MANIFEST = "mono3drefer.json"
_IMAGE_FOLDERS = ("images", "training/image_2", "image_2")
_CALIBRATION_FOLDERS = ("calib", "training/calib")
log = logging.getLogger(__name__)
_AGAIN = "run g3d prepare mono3drefer again"


@dataclass(frozen=True)
class Mono3DReferRoot:
    """Locations of the files of a Mono3DRefer folder.

    Attributes:
        root: the folder of Mono3DRefer.json and the split lists.
        images: the folder of the images: `images/`, `training/image_2/` (KITTI) or `image_2/`.
        calib: the folder of the calibration files: `calib/` or `training/calib/` (KITTI).
        prepared: the folder of the index, which may not exist.
    """

    root: Path
    images: Path
    calib: Path
    prepared: Path

    @staticmethod
    def find(path: str | Path) -> Mono3DReferRoot:
        """Return the data under `path`: the published folder, or the one that a prepared folder's manifest names.

        Raises:
            MissingDataError: the path is neither of them, or a prepared folder's manifest or source is missing.
            InputError: the manifest of a prepared folder is damaged.
        """
        given = Path(path)
        if not given.is_dir():
            raise MissingDataError(
                f"Mono3DRefer data {given}: {'not a folder' if given.exists() else 'no such folder'}"
            )
        root, prepared = (_raw_root(given), given) if (given / INDEX).is_file() else (given, given / FOLDER)
        if not root.is_dir():
            raise MissingDataError(
                f"Mono3DRefer data {given}: was prepared from {root}, which is not there",
                f"run: g3d prepare mono3drefer --data FOLDER --out {given}",
            )
        if not (root / EXPRESSIONS_FILE).is_file():
            near = [
                folder
                for folder in (root.absolute().parent, *sorted(root.glob("*/")))
                if (folder / EXPRESSIONS_FILE).is_file()
            ]
            needed = ", ".join(("images/", "calib/", *map(list_name, SPLITS), EXPRESSIONS_FILE))
            hint = f"{near[0]} has one" if near else f"it needs {needed} and {GROUPS_FILE}"
            raise MissingDataError(f"Mono3DRefer data {root}: no {EXPRESSIONS_FILE} in it", hint)
        return Mono3DReferRoot(
            root, _first_folder(root, _IMAGE_FOLDERS), _first_folder(root, _CALIBRATION_FOLDERS), prepared
        )

    def image_path(self, name: str) -> Path:
        return self.images / f"{name}.png"

    def calibration_path(self, name: str) -> Path:
        return self.calib / f"{name}.txt"

    def calibration(self, name: str) -> np.ndarray:
        """Return the projection matrix P2 of an image, (3, 4) float64.

        Raises:
            MissingDataError, InputError: see `read_calibration`.
        """
        return read_calibration(self.calibration_path(name))

    def split(self, name: str | Path) -> list[str]:
        """Return the images of a split, in the order of its list.

        Args:
            name: train, val or test. A name with a path separator or the suffix .txt is the path of a list of images.

        Raises:
            MissingDataError: the list does not exist.
            InputError: the split is unknown, or its list is malformed (`read_split`).
        """
        if Path(name).suffix == ".txt" or len(Path(name).parts) != 1:
            return read_split(name)
        if name not in SPLITS:
            raise InputError(
                f"split '{name}' is unknown; expected {', '.join(SPLITS)}{did_you_mean(str(name), SPLITS)}",
                "A path to a list of images works too.",
            )
        return read_split(self.root / list_name(str(name)))

    def expressions(self, split: str | Path) -> Expressions:
        """Return the prepared expressions about a split's images, in the order of Mono3DRefer.json.

        Raises:
            MissingDataError: the data was not prepared, or the split's list does not exist.
            InputError: the split is unknown, none of its images has an expression, or the index is damaged.
        """
        names = self.split(split)
        found = self._all().of_images(names)
        if not found:
            raise InputError(
                f"split {split}: none of its {len(names)} images has an expression in {self.prepared / INDEX}"
            )
        return found

    def by_id(self, ids: Iterable[str]) -> dict[str, Expression]:
        """Return the prepared expressions with the given ids, from all splits; unknown ids are left out.

        Raises:
            MissingDataError: the data was not prepared.
            InputError: the index is damaged.
        """
        found = self._all()
        rows = {identity: row for row, identity in enumerate(found.ids())}
        return {identity: found[rows[identity]] for identity in ids if identity in rows}

    def groups(self) -> Mapping[str, frozenset[int]]:
        """Return the instances of each group of the test split; see `read_groups`."""
        return read_groups(self.root / GROUPS_FILE)

    def _all(self) -> Expressions:
        path = self.prepared / INDEX
        if not path.is_file():
            raise MissingDataError(
                f"Mono3DRefer data {self.root}: not prepared (no {FOLDER}/{INDEX})",
                f"run: g3d prepare mono3drefer --data {self.root}",
            )
        return read_index(path, self.root / EXPRESSIONS_FILE)


def list_name(split: str) -> str:
    """Return the file name of a published split's list."""
    return f"Mono3DRefer_{split}_image.txt"


@dataclass(frozen=True, eq=False)
class Expressions(Sequence[Expression]):
    """E expressions about O objects; each Expression is built on access.

    Attributes:
        images: (O,) str, the object's frame.
        instances: (O,) int64, the object's id.
        classes: (O,) uint8, index in CLASS_NAMES.
        labels: (O, 14) float64, KITTI's fields after the type.
        objects: (E,) int64, row of the expression's object.
        annotations: (E,) int64, the sentence's number.
        starts, ends: (E,) int64, range of bytes of the sentence in `text`.
        text: UTF-8 of all sentences of the index.
    """

    images: np.ndarray
    instances: np.ndarray
    classes: np.ndarray
    labels: np.ndarray
    objects: np.ndarray
    annotations: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    text: bytes

    def __len__(self) -> int:
        return len(self.objects)

    @overload
    def __getitem__(self, index: int) -> Expression: ...
    @overload
    def __getitem__(self, index: slice) -> Expressions: ...
    def __getitem__(self, index: int | slice) -> Expression | Expressions:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = int(self.objects[index])
        image, instance, annotation = str(self.images[row]), int(self.instances[row]), int(self.annotations[index])
        name = CLASS_NAMES[self.classes[row]]
        sentence = self.text[self.starts[index] : self.ends[index]].decode()
        identity = f"{image}_{instance}_{annotation}"
        return Expression(
            identity, image, instance, annotation, name, sentence, objects_of_rows([name], self.labels[row : row + 1])
        )

    def __iter__(self) -> Iterator[Expression]:
        return (self[index] for index in range(len(self)))

    def take(self, rows: np.ndarray) -> Expressions:
        """Return the expressions of the given rows, in the order of `rows`."""
        parts = (self.objects[rows], self.annotations[rows], self.starts[rows], self.ends[rows])
        return Expressions(self.images, self.instances, self.classes, self.labels, *parts, self.text)

    def of_images(self, names: Sequence[str]) -> Expressions:
        """Return the expressions about the given images, in their order in the index."""
        return self.take(np.flatnonzero(np.isin(self.images, list(names))[self.objects]))

    def scenes(self) -> dict[str, CameraBoxes]:
        """Return the objects of each image that have an expression, in the order of the index."""
        names = np.array(CLASS_NAMES)[self.classes]
        rows = np.unique(self.objects)
        return {
            str(image): objects_of_rows(names[found], self.labels[found])
            for image in np.unique(self.images[rows])
            for found in [rows[self.images[rows] == image]]
        }

    def frames(self) -> list[str]:
        """Return the image of each expression without building the expressions."""
        return [str(image) for image in self.images[self.objects]]

    def ids(self) -> list[str]:
        """Return the id of each expression without building the expressions."""
        columns = (self.images[self.objects], self.instances[self.objects], self.annotations)
        return [
            f"{image}_{instance}_{annotation}"
            for image, instance, annotation in zip(*(c.tolist() for c in columns), strict=True)
        ]


def write_index(folder: Path, expressions: Sequence[Expression], source: Path, left_out: int = 0) -> Path:
    """Write the index of expressions and return its path.

    Args:
        source: the file that the expressions were read from; the index is valid for its present content only.
        left_out: number of expressions of the file that were left out because they are broken.
    """
    rows: dict[tuple[str, int, CameraBoxes], int] = {}
    for expression in expressions:  # CameraBoxes compare by identity; sentences about one label share its CameraBoxes
        rows.setdefault((expression.image, expression.instance, expression.objects), len(rows))
    sentences = [expression.sentence.encode() for expression in expressions]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        images=np.array([image for image, _, _ in rows], "<U6"),
        instances=np.array([instance for _, instance, _ in rows], np.int64),
        classes=np.array([CLASS_NAMES.index(label.classes[0]) for _, _, label in rows], np.uint8),
        labels=np.concatenate([np.zeros((0, 14)), *(rows_of_objects(label) for _, _, label in rows)]),
        objects=np.array([rows[e.image, e.instance, e.objects] for e in expressions], np.int64),
        annotations=np.array([e.annotation for e in expressions], np.int64),
        ends=np.cumsum([len(sentence) for sentence in sentences], dtype=np.int64),
        text=np.frombuffer(b"".join(sentences), np.uint8),
        left_out=np.array(left_out),
        source=_fingerprint(source),
    )
    with atomic_write(folder / INDEX) as file:
        file.write(content.getvalue())
    return folder / INDEX


def read_index(path: Path, source: Path) -> Expressions:
    """Return all expressions of an index.

    Raises:
        InputError: the index is damaged, or `source` has changed since the index was written.
    """
    with reading(path, hint=_AGAIN):
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        left_out, text, ends = int(arrays.pop("left_out")), arrays.pop("text").tobytes(), arrays["ends"]
        made_of = arrays.pop("source")
        found = Expressions(**arrays, starts=np.concatenate([[0], ends[:-1]]).astype(np.int64), text=text)
        if len(ends) and not (found.ends[-1] == len(text) and found.objects.max() < len(found.images)):
            raise ValueError("its parts do not fit each other")
    if not np.array_equal(made_of, _fingerprint(source)):
        raise InputError(f"{source}: has changed since it was prepared", _AGAIN)
    if left_out:
        log.warning("%s: %d broken expressions were left out when it was prepared", path, left_out)
    return found


def _fingerprint(file: Path) -> np.ndarray:
    """Return the size and the checksum of a file, (2,) int64."""
    content = file.read_bytes()
    return np.array([len(content), zlib.crc32(content)], np.int64)


def _raw_root(prepared: Path) -> Path:
    manifest = prepared / MANIFEST
    with reading(manifest, hint=_AGAIN, problem="does not say where the raw data is"):
        return Path(json.loads(manifest.read_text(encoding="utf-8"))["source"])


def _first_folder(root: Path, names: Sequence[str]) -> Path:
    """Return the first of the named folders that exists.

    If none exists, return the first name, so that later errors name it.
    """
    return root / next((name for name in names if (root / name).is_dir()), names[0])
