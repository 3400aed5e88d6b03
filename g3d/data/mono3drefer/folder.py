"""Mono3DRefer as training and evaluation read it: the folder of the published files, and the index that `g3d prepare
mono3drefer` made.

The index holds every checked expression and label in one file, loads at once and builds an Expression when it is asked
for. It lies in `<data>/g3d`, or wherever `--out` put it, beside a manifest that says where the raw data is: either
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
from g3d.data.types import Objects
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
    """Where the files of a Mono3DRefer folder are.

    Attributes:
        root: the folder of Mono3DRefer.json and the split lists.
        images: the folder of the images, `images/`, or KITTI's `training/image_2/`.
        calib: the folder of the calibration files, `calib/`, or KITTI's `training/calib/`.
        prepared: the folder of the index, whether or not it is there.
    """

    root: Path
    images: Path
    calib: Path
    prepared: Path

    @staticmethod
    def find(path: str | Path) -> Mono3DReferRoot:
        """The data under `path`: the published folder, or a prepared one, whose manifest names the published one.

        Raises:
            MissingDataError: neither of them.
            InputError: a prepared folder without a usable manifest.
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
        """(3, 4) float64, the projection matrix P2 of an image.

        Raises:
            MissingDataError, InputError: as read_calibration.
        """
        return read_calibration(self.calibration_path(name))

    def split(self, name: str | Path) -> list[str]:
        """The images of a split, in the order of its list.

        Args:
            name: train, val or test; or the path of a list of images: anything with a path separator or ending in .txt.

        Raises:
            MissingDataError: no such file.
            InputError: no such split; a malformed list (read_split).
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
        """The prepared expressions about a split's images, in the order of Mono3DRefer.json.

        Raises:
            MissingDataError: the data was not prepared, or there is no such list.
            InputError: no such split, or none of its images has an expression; the index is damaged.
        """
        names = self.split(split)
        found = self._all().of_images(names)
        if not found:
            raise InputError(
                f"split {split}: none of its {len(names)} images has an expression in {self.prepared / INDEX}"
            )
        return found

    def by_id(self, ids: Iterable[str]) -> dict[str, Expression]:
        """The prepared expressions of some ids, whatever their split; ids that are not there are left out.

        Raises:
            MissingDataError, InputError: as expressions.
        """
        found = self._all()
        rows = {identity: row for row, identity in enumerate(found.ids())}
        return {identity: found[rows[identity]] for identity in ids if identity in rows}

    def groups(self) -> Mapping[str, frozenset[int]]:
        """The instances of each group of the test split (read_groups)."""
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
    """The name of a published split's list."""
    return f"Mono3DRefer_{split}_image.txt"


@dataclass(frozen=True, eq=False)
class Expressions(Sequence[Expression]):
    """E expressions about O objects, each built when it is asked for.

    Attributes:
        images: (O,) str, the object's frame. instances: (O,) int64. classes: (O,) uint8, index in CLASS_NAMES.
        labels: (O, 14) float64, KITTI's fields after the type.
        objects: (E,) int64, the expression's object. annotations: (E,) int64.
        starts, ends: (E,) int64, where in `text` the sentence is.
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
        """The expressions of some rows, in their order."""
        parts = (self.objects[rows], self.annotations[rows], self.starts[rows], self.ends[rows])
        return Expressions(self.images, self.instances, self.classes, self.labels, *parts, self.text)

    def of_images(self, names: Sequence[str]) -> Expressions:
        """Those about some images, in the order they are in."""
        return self.take(np.flatnonzero(np.isin(self.images, list(names))[self.objects]))

    def scenes(self) -> dict[str, Objects]:
        """All objects of each image, in their order."""
        names = np.array(CLASS_NAMES)[self.classes]
        rows = np.unique(self.objects)
        return {
            str(image): objects_of_rows(names[found], self.labels[found])
            for image in np.unique(self.images[rows])
            for found in [rows[self.images[rows] == image]]
        }

    def frames(self) -> list[str]:
        """The image of each expression, without building it."""
        return [str(image) for image in self.images[self.objects]]

    def ids(self) -> list[str]:
        """The id of each expression, without building it."""
        columns = (self.images[self.objects], self.instances[self.objects], self.annotations)
        return [
            f"{image}_{instance}_{annotation}"
            for image, instance, annotation in zip(*(c.tolist() for c in columns), strict=True)
        ]


def write_index(folder: Path, expressions: Sequence[Expression], source: Path, left_out: int = 0) -> Path:
    """Write the index of some expressions; returns its path.

    Args:
        source: the file that they were read from; the index is of this content only.
        left_out: how many expressions of the data set are not among them, because something about them is broken.
    """
    rows: dict[tuple[str, int, Objects], int] = {}
    for expression in expressions:  # Objects are compared by identity: sentences of one label share it
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
    """All expressions of an index.

    Raises:
        InputError: it is damaged, or `source` is no longer what it was made of.
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
    """(2,) int64: size and checksum."""
    content = file.read_bytes()
    return np.array([len(content), zlib.crc32(content)], np.int64)


def _raw_root(prepared: Path) -> Path:
    manifest = prepared / MANIFEST
    with reading(manifest, hint=_AGAIN, problem="does not say where the raw data is"):
        return Path(json.loads(manifest.read_text(encoding="utf-8"))["source"])


def _first_folder(root: Path, names: Sequence[str]) -> Path:
    """The first of some folders that is there; the first of all if none is, for the message about what is missing in
    it."""
    return root / next((name for name in names if (root / name).is_dir()), names[0])
