"""Files of KITTI's object benchmark: labels, results, calibration, folders and splits.

A label line has 15 columns (FIELDS); a result line has the score as a 16th. Frames, units and field names are those of
g3d.data.answers.CameraBoxes. All content is checked when it is read: an error is one line that names the file, the
line, the field, the found and the expected value.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from g3d.data.boundary import reader, reading
from g3d.data.files import read_text
from g3d.data.kitti import splits as kitti_splits
from g3d.data.types import CameraBoxes
from g3d.errors import InputError, MissingDataError, did_you_mean

_BEFORE_BOX, _BOX = ("type", "truncated", "occluded", "alpha"), ("x1", "y1", "x2", "y2")
_AFTER_BOX = ("height", "width", "length", "x", "y", "z", "rotation_y", "score")
FIELDS = _BEFORE_BOX + _BOX + _AFTER_BOX

TEST = "test"
"""The only split whose images are in testing/ and have no labels."""

_LABEL_COLUMNS, _RESULT_COLUMNS = 15, 16
_FIRST_WORD = re.compile(r"^[^\S\n]*(\S+)", re.MULTILINE)
_FRAME_ID = re.compile(r"\d{6}", re.ASCII)
_log = logging.getLogger(__name__)


@reader("label")
def read_labels(path: str | Path) -> CameraBoxes:
    """Return the objects of a label file (15 columns); an empty file has none.

    Raises:
        MissingDataError: the file does not exist.
        InputError: a line does not have 15 columns, or a field is not a finite number.
    """
    return parse_objects(read_text(path, "label"), str(path), scored=False)


@reader("result")
def read_results(path: str | Path) -> CameraBoxes:
    """Return the detections of a result file (16 columns, the score last); an empty file has none.

    Raises:
        MissingDataError: the file does not exist.
        InputError: a line does not have 16 columns, or a field is not a finite number.
    """
    return parse_objects(read_text(path, "result"), str(path), scored=True)


def parse_objects(text: str, source: str, scored: bool) -> CameraBoxes:
    """Return the objects in `text`, one per line; blank lines and trailing spaces are ignored.

    Args:
        text: lines of 15 columns, or 16 if `scored`.
        source: the file's name for errors.
        scored: whether lines carry a score.

    Raises:
        InputError: see `read_labels` and `read_results`.
    """
    return _parse_many([text], [source], scored)[0]


def read_labels_folder(folder: str | Path, ids: Sequence[str]) -> dict[str, CameraBoxes]:
    """Return the labels of frames, `<folder>/<id>.txt`, by id in the order of `ids`; fast for thousands of files.

    Raises:
        MissingDataError: files are missing; the message has their number and the first ids.
        InputError: see `read_labels`.
    """
    return _read_folder(Path(folder), ids, scored=False, hint="The labels are in KITTI's data_object_label_2.zip.")


def read_results_folder(folder: str | Path, ids: Sequence[str]) -> dict[str, CameraBoxes]:
    """Return the results of frames, `<folder>/<id>.txt`, by id in the order of `ids`; fast for thousands of files.

    Files of other frames are not read; their number is logged.

    Raises:
        MissingDataError: files are missing; the message has their number and the first ids.
        InputError: see `read_results`.
    """
    found = _read_folder(
        Path(folder), ids, scored=True, hint="A frame in which nothing was detected needs an empty file of its own."
    )
    extra = {path.stem for path in Path(folder).glob("*.txt")}.difference(found)
    if extra:
        _log.info(
            "%s: %d result files of frames outside the split are not used (first: %s)", folder, len(extra), min(extra)
        )
    return found


def format_labels(objects: CameraBoxes) -> str:
    """Return label lines in KITTI's format.

    Numbers have two decimals. Occlusion is a whole number, as are all numbers of a DontCare line except its box.
    """
    lines = []
    for name, occluded, numbers in zip(objects.classes, objects.occluded, _number_columns(objects), strict=True):
        if name == "DontCare":
            truncated, alpha, *rest = (
                f"{value:.2f}" if k in range(2, 6) else f"{value:.0f}" for k, value in enumerate(numbers)
            )
        else:
            truncated, alpha, *rest = (f"{value:.2f}" for value in numbers)
        lines.append(" ".join((name, truncated, f"{occluded:d}", alpha, *rest)) + "\n")
    return "".join(lines)


def format_results(objects: CameraBoxes, decimals: int | None = 2) -> str:
    """Return result lines in the published layout, `Car 0.0 0 alpha x1 y1 x2 y2 h w l x y z rotation_y score`.

    Args:
        objects: detections with scores.
        decimals: number of decimals, 2 as published (scores below 0.005 become 0.00, close scores become equal). If
            None, every number reads back unchanged.
    """
    if objects.scores is None:
        raise ValueError("format_results: the objects have no scores; labels are written by format_labels")
    number = repr if decimals is None else f"{{:.{decimals}f}}".format
    lines = []
    for name, occluded, numbers, score in zip(
        objects.classes, objects.occluded, _number_columns(objects), objects.scores, strict=True
    ):
        truncated, *rest = numbers
        shown = repr(
            truncated if decimals is None else round(truncated, decimals)
        )  # the published lines have 0.0 where truncation is unknown
        lines.append(" ".join((name, shown, f"{occluded:d}", *map(number, rest), number(float(score)))) + "\n")
    return "".join(lines)


@reader("calibration")
def read_calibration(path: str | Path) -> np.ndarray:
    """Return the left colour camera's projection matrix, the line named `P2:` of a calibration file.

    Returns:
        (3, 4) float64, camera-0 frame in metres -> pixels of image_2.

    Raises:
        MissingDataError: the file does not exist.
        InputError: P2 is missing or occurs twice, does not have 12 finite numbers, or has a focal length of 0 or less.
    """
    lines = [line.split() for line in read_text(path, "calibration").splitlines()]
    named = [
        (number, words[0][:-1], words[1:]) for number, words in enumerate(lines, 1) if words and words[0].endswith(":")
    ]
    matrices = [(number, words) for number, name, words in named if name == "P2"]
    if len(matrices) != 1:
        raise InputError(
            f"calibration {path}: {'line P2 is missing' if not matrices else f'line {matrices[1][0]} is a second P2'} "
            f"(found: {', '.join(name for _, name, _ in named) or _describe_unnamed(lines)}); expected one "
            f"line 'P2: <12 numbers>'",
            hint="KITTI's calibration files hold P0 to P3, R0_rect, Tr_velo_to_cam and Tr_imu_to_velo, each by "
            "name before its numbers.",
        )
    line, words = matrices[0]
    if len(words) != 12:
        raise InputError(f"calibration {path}: line {line}: P2 has {len(words)} numbers, expected 12 (3 rows of 4)")
    for k, word in enumerate(words):
        if not math.isfinite(_number_or_nan(word)):
            raise InputError(
                f"calibration {path}: line {line}: P2[{k // 4}, {k % 4}] is '{word}', expected a finite number"
            )
    matrix = np.array([float(word) for word in words]).reshape(3, 4)
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise InputError(
            f"calibration {path}: line {line}: focal lengths are {matrix[0, 0]:g} and {matrix[1, 1]:g}, "
            f"expected above 0"
        )
    return matrix


def check_principal_point(camera: np.ndarray, image_size: tuple[int, int], path: str | Path) -> None:
    """Check that a calibration can belong to an image of this size.

    Args:
        camera: (3, 4) projection matrix that was read from `path`.
        image_size: (width, height), pixels.

    Raises:
        InputError: the principal point lies outside the image.
    """
    u, v = camera[0, 2], camera[1, 2]
    if not (0 < u < image_size[0] and 0 < v < image_size[1]):
        raise InputError(
            f"calibration {path}: principal point ({u:.1f}, {v:.1f}) lies outside the image of "
            f"{image_size[0]} x {image_size[1]} pixels",
            "is it the calibration of this image?",
        )


@reader("split")
def read_split(path: str | Path) -> list[str]:
    """Return the ids of a split file, one six-digit id per line, in the file's order.

    Raises:
        MissingDataError: the file does not exist.
        InputError: an id does not have six digits, an id occurs twice, or there is no id.
    """
    first_seen: dict[str, int] = {}
    for line, text in enumerate(read_text(path, "split").splitlines(), 1):
        frame = text.strip()
        if not frame:
            continue
        if not _FRAME_ID.fullmatch(frame):
            raise InputError(
                f"split {path}: line {line}: found '{frame[:40]}', expected an id of six digits such as 000123"
            )
        if frame in first_seen:
            raise InputError(
                f"split {path}: line {line}: {frame} is already on line {first_seen[frame]}; each frame may come once"
            )
        first_seen[frame] = line
    if not first_seen:
        raise InputError(f"split {path}: found no id, expected one of six digits on each line")
    return list(first_seen)


@dataclass(frozen=True)
class KittiRoot:
    """Locations of the files of a KITTI folder.

    Attributes:
        root: the folder that the user named; `ImageSets/` is searched here and beside `folder`.
        folder: the folder that contains image_2/, calib/ and label_2/.
    """

    root: Path
    folder: Path

    @staticmethod
    def find(path: str | Path, part: str = "training") -> KittiRoot:
        """Return the data folder under `path`: `<path>/<part>`, `<path>/object/<part>` or `<path>` itself.

        `<path>` itself is used if it contains image_2/, label_2/ or calib/.

        Raises:
            MissingDataError: none of these folders exists.
        """
        root = Path(path)
        if not root.is_dir():
            raise MissingDataError(f"KITTI data {root}: {'not a folder' if root.exists() else 'no such folder'}")
        for folder in (root / part, root / "object" / part):
            if folder.is_dir():
                return KittiRoot(root, folder)
        if any((root / name).is_dir() for name in ("image_2", "label_2", "calib")):
            return KittiRoot(root, root)
        inside = sorted(entry.name for entry in root.iterdir())
        raise MissingDataError(
            f"KITTI data {root}: expected {part}/, object/{part}/ or image_2/ in it, found "
            f"{_some(inside) or 'nothing'}",
            hint="Unpack data_object_image_2.zip, data_object_calib.zip and data_object_label_2.zip into that folder.",
        )

    @staticmethod
    def of_split(path: str | Path, split: str | Path) -> KittiRoot:
        """Return the data folder of a split: `testing/` for the split named test, `training/` for all others.

        Raises:
            MissingDataError: the folder does not exist.
        """
        return KittiRoot.find(path, "testing" if str(split) == TEST else "training")

    def image(self, frame: str) -> Path:
        return self.folder / "image_2" / f"{frame}.png"

    def calibration(self, frame: str) -> Path:
        return self.folder / "calib" / f"{frame}.txt"

    def label(self, frame: str) -> Path:
        return self.folder / "label_2" / f"{frame}.txt"

    def split(self, name: str | Path) -> list[str]:
        """Return the ids of a split, in file order.

        Args:
            name: `train` selects ImageSets/train.txt; without an ImageSets folder, train, val, trainval and test select
                the standard lists. A name with a path separator or the suffix .txt is the path of an id list.

        Raises:
            MissingDataError: the list does not exist.
            InputError: the split is unknown, or its list is malformed (`read_split`).
        """
        if Path(name).suffix == ".txt" or len(Path(name).parts) != 1:
            return read_split(name)
        for folder in (self.root / "ImageSets", self.folder.parent / "ImageSets"):
            if folder.is_dir():
                return self._listed_split(str(name), folder)
        if name not in kitti_splits.NAMES:
            raise _unknown_split(str(name), kitti_splits.NAMES, f"{self.root} has no ImageSets/; standard splits")
        return kitti_splits.standard_split(str(name))

    @staticmethod
    def _listed_split(name: str, folder: Path) -> list[str]:
        known = sorted(path.stem for path in folder.glob("*.txt"))
        if name not in known:
            raise _unknown_split(name, known, f"lists in {folder}")
        return read_split(folder / f"{name}.txt")


def _unknown_split(name: str, known: Sequence[str], where: str) -> InputError:
    return InputError(
        f"split '{name}' is unknown; {where}: {', '.join(known) or 'none'}{did_you_mean(name, known)}",
        hint="A path to an id list works too.",
    )


def _read_folder(folder: Path, ids: Sequence[str], scored: bool, hint: str) -> dict[str, CameraBoxes]:
    what = "result" if scored else "label"
    if not folder.is_dir():
        raise MissingDataError(f"{what} folder {folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    paths = [f"{folder}/{frame}.txt" for frame in ids]
    texts, missing = [], []
    for frame, path in zip(ids, paths, strict=True):
        try:
            texts.append(read_text(path, what))
        except MissingDataError:
            missing.append(frame)
    if missing:
        raise MissingDataError(
            f"{what} folder {folder}: {len(missing)} of {len(paths)} frames have no file ({_some(missing)})", hint=hint
        )
    with reading(folder, f"{what} folder"):
        return dict(zip(ids, _parse_many(texts, paths, scored), strict=True))


def _parse_many(texts: Sequence[str], sources: Sequence[str], scored: bool) -> list[CameraBoxes]:
    """Return the objects of each text.

    All numbers are converted in one pass, which makes thousands of small files fast to read.
    """
    columns = _RESULT_COLUMNS if scored else _LABEL_COLUMNS
    names: list[str] = []
    ends = []
    for text in texts:
        names += _FIRST_WORD.findall(text)
        ends.append(len(names))
    numbers = _numbers_at_once("\n".join(texts), len(names), columns)
    if numbers is None:
        rows = [
            row
            for text, source in zip(texts, sources, strict=True)
            for row in _numbers_one_by_one(text, source, columns)
        ]
        numbers = np.array(rows).reshape(-1, columns - 1)
    types = np.array(names) if names else np.zeros(0, "<U16")
    return [_as_objects(types[start:end], numbers[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _numbers_at_once(text: str, lines: int, columns: int) -> np.ndarray | None:
    """Return the numbers of all lines, (lines, columns - 1), or None if any line is malformed.

    The type at the start of each line is replaced by NaN. NaN at the start of every row and nowhere else proves that
    each line has the right number of columns.
    """
    try:
        values = np.fromstring(_FIRST_WORD.sub("nan", text), sep=" ")  # stops early at a word that is not a number
    except (ValueError, DeprecationWarning):
        return None
    if values.size != lines * columns:
        return None
    values = values.reshape(-1, columns)
    finite = np.isfinite(values)
    if finite[:, 0].any() or not finite[:, 1:].all() or (values[:, 2] % 1).any():
        return None
    return values[:, 1:]


def _numbers_one_by_one(text: str, source: str, columns: int) -> Iterator[list[float]]:
    """Yield the numbers of each line; raise InputError for the first line or field that cannot be used."""
    for line, words in enumerate((line.split() for line in text.split("\n")), 1):
        if words and len(words) != columns:
            _refuse_columns(len(words), line, source, columns)
        row = [_number_or_nan(word) for word in words[1:]]
        for column, (word, value) in enumerate(zip(words[1:], row, strict=True), 2):
            name = FIELDS[column - 1]
            if not math.isfinite(value) or (name == "occluded" and value % 1):
                expected = "a whole number" if name == "occluded" else "a finite number"
                raise InputError(
                    f"{source}: line {line}, field {name} (column {column}): found '{word}', expected {expected}"
                )
        if row:
            yield row


def _as_objects(types: np.ndarray, numbers: np.ndarray) -> CameraBoxes:
    return CameraBoxes(
        classes=types,
        boxes2d=numbers[:, 3:7],
        sizes=numbers[:, 7:10],
        locations=numbers[:, 10:13],
        rotation_y=numbers[:, 13],
        alpha=numbers[:, 2],
        truncated=numbers[:, 0],
        occluded=numbers[:, 1].astype(np.int64),
        scores=numbers[:, 14] if numbers.shape[1] == len(FIELDS) - 1 else None,
    )


def _refuse_columns(found: int, line: int, source: str, columns: int) -> NoReturn:
    kind = "result" if columns == _RESULT_COLUMNS else "label"
    hint = None
    if kind == "label" and found == _RESULT_COLUMNS:
        hint = "16 columns are a result file, with a score; a label has none."
    elif kind == "result" and found == _LABEL_COLUMNS:
        hint = "15 columns are a label file, without a score; a detector's result needs the score as its last column."
    raise InputError(
        f"{source}: line {line} has {found} columns; a {kind} has {columns} ({' '.join(FIELDS[:columns])})", hint=hint
    )


def _number_or_nan(word: str) -> float:
    try:
        return math.nan if "_" in word else float(word)  # Python reads 1_5 as 15, but it is an error in a label
    except ValueError:
        return math.nan


def _number_columns(objects: CameraBoxes) -> Iterable[list[float]]:
    """Return the 13 numbers of each line without occlusion, as Python floats.

    They are truncated, alpha, box (4), size (3), location (3), rotation_y.
    """
    columns = (objects.truncated, objects.alpha, objects.boxes2d, objects.sizes, objects.locations, objects.rotation_y)
    return np.column_stack(columns).astype(float).tolist()


def _describe_unnamed(lines: Sequence[Sequence[str]]) -> str:
    count = sum(len(words) for words in lines)
    return f"{count} numbers without a name" if count else "an empty file"


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
