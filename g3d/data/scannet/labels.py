"""ScanNet's label table and the class systems derived from it.

Classes are mapped by nyu40 id and not by name, because copies of the table spell nyu40 class 24 `refridgerator` or
`refrigerator`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g3d.data.boundary import reading
from g3d.data.files import read_text
from g3d.errors import InputError, did_you_mean

NYU40_NAMES = (
    "unannotated",
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "blinds",
    "desk",
    "shelves",
    "curtain",
    "dresser",
    "pillow",
    "mirror",
    "floor mat",
    "clothes",
    "ceiling",
    "books",
    "refrigerator",
    "television",
    "paper",
    "towel",
    "shower curtain",
    "box",
    "whiteboard",
    "person",
    "night stand",
    "toilet",
    "sink",
    "lamp",
    "bathtub",
    "bag",
    "otherstructure",
    "otherfurniture",
    "otherprop",
)
"""Class names by nyu40 id; id 0 is no class."""

WALL, FLOOR = 1, 2
STRAY_LABEL = 50
"""A label in labels.ply of scene0270_00, scene0270_02 and scene0384_00 that is no nyu40 id; read as unannotated."""

SEMANTIC20_IDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
"""nyu40 ids of ScanNet's 20 benchmark classes, in the order of their indices (SPFormer lineage)."""
IGNORE = -100
"""Benchmark index of all other classes."""

DETECTION18_IDS = SEMANTIC20_IDS[2:]
"""The 18 nyu40 ids whose boxes VoteNet keeps."""

SCANREFER_BOX_IDS = tuple(k for k in range(3, 41) if k != 22)
"""The 37 nyu40 ids whose boxes ScanRefer keeps: all but wall, floor and ceiling."""

SCANREFER18_NAMES = (
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "desk",
    "curtain",
    "refrigerator",
    "shower curtain",
    "toilet",
    "sink",
    "bathtub",
    "others",
)
"""ScanRefer's classes, also used by WS-3DVG; "others" stands for all other nyu40 classes and unknown names."""
OTHERS = len(SCANREFER18_NAMES) - 1

DETECTION18_NAMES = (*SCANREFER18_NAMES[:-1], "other furniture")
"""Names of the 18 detection classes in the order of DETECTION18_IDS. The published code calls the last one garbage bin,
but its boxes are those of nyu40 class 39, other furniture."""

_COLUMNS = ("id", "raw_category", "category", "nyu40id", "nyu40class")


def _table_by_id(classes: dict[int, int], missing: int) -> np.ndarray:
    table = np.full(len(NYU40_NAMES), missing, np.int64)
    table[list(classes)] = list(classes.values())
    return table


_SEMANTIC20 = _table_by_id({nyu40: k for k, nyu40 in enumerate(SEMANTIC20_IDS)}, IGNORE)
_DETECTION18 = _table_by_id({nyu40: k for k, nyu40 in enumerate(DETECTION18_IDS)}, IGNORE)
_SCANREFER18 = _table_by_id({NYU40_NAMES.index(name): k for k, name in enumerate(SCANREFER18_NAMES[:-1])}, OTHERS)


def semantic20(nyu40: np.ndarray) -> np.ndarray:
    """Return the benchmark class 0..19 of nyu40 ids (integer, any shape).

    Other classes, 0 and the stray label 50 become IGNORE.

    Raises:
        InputError: a label is not a nyu40 id.
    """
    return _SEMANTIC20[known_nyu40(nyu40)]


def detection18(nyu40: np.ndarray) -> np.ndarray:
    """Detection class 0..17 of nyu40 ids (any shape, integer); IGNORE for every other class and for 0.

    Raises:
        InputError: a label that is no nyu40 id.
    """
    return _DETECTION18[known_nyu40(nyu40)]


def scanrefer18(nyu40: np.ndarray) -> np.ndarray:
    """Return the ScanRefer class 0..17 of nyu40 ids (integer, any shape); ids without their own class become OTHERS.

    Raises:
        InputError: a label is not a nyu40 id.
    """
    return _SCANREFER18[known_nyu40(nyu40)]


def known_nyu40(labels: np.ndarray) -> np.ndarray:
    """Return the labels with the stray label 50 replaced by 0 (unannotated).

    Raises:
        InputError: a label is not a nyu40 id.
    """
    labels = np.asarray(labels)
    if labels.size == 0 or (labels.min() >= 0 and labels.max() < len(NYU40_NAMES)):
        return labels
    strange = labels[(labels < 0) | (labels >= len(NYU40_NAMES)) & (labels != STRAY_LABEL)]
    if strange.size:
        raise InputError(
            f"label {strange[0]} is no nyu40 id (0 to 40; {strange.size} of {labels.size} labels are none)",
            hint="labels.ply of ScanNet v1 hold ids of its own: use the files of ScanNet v2.",
        )
    return np.where(labels == STRAY_LABEL, 0, labels)


@dataclass(frozen=True)
class Category:
    """A row of the label table.

    Attributes:
        raw: the annotators' name, unique in the table; labels of objects are raw names.
        id: ScanNet's own number; several raw names may share it.
        category: cleaned name.
        nyu40: nyu40 id, 1..40; NYU40_NAMES has its name.
    """

    raw: str
    id: int
    category: str
    nyu40: int


class LabelTable:
    """The table `scannetv2-labels.combined.tsv`, which maps raw categories to classes."""

    def __init__(self, categories: tuple[Category, ...], source: str = "label table") -> None:
        self.categories = categories
        self._source = source
        self._by_name = {category.raw: category for category in categories}

    @classmethod
    def read(cls, path: str | Path) -> LabelTable:
        """Return the table in a file.

        All published copies are accepted: LF or CRLF, short rows, both spellings of the refrigerator, and parts of
        the rows.

        Raises:
            MissingDataError: the file does not exist.
            InputError: a column is missing, a row lacks its numbers or has a nyu40 id outside 1..40 or another class
                name, a raw category occurs twice, or there are no rows.
        """
        with reading(path, "label table"):
            return cls._parse(path)

    @classmethod
    def _parse(cls, path: str | Path) -> LabelTable:
        lines = read_text(path, "label table").splitlines()
        header = [name.strip() for name in lines[0].split("\t")] if lines else []
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            raise InputError(
                f"label table {path}: no column {', '.join(missing)} (found: {', '.join(header)[:200] or 'nothing'})",
                hint="Expected ScanNet v2's scannetv2-labels.combined.tsv: tab separated, one line of column names.",
            )
        place = {name: header.index(name) for name in _COLUMNS}
        found: dict[str, Category] = {}
        for number, line in enumerate(lines[1:], 2):
            if not line.strip():
                continue
            cells = [cell.strip() for cell in line.split("\t")] + [""] * len(header)
            category = _category(path, number, {name: cells[k] for name, k in place.items()})
            if category.raw in found:
                raise InputError(f"label table {path}: line {number}: raw_category '{category.raw}' is there twice")
            found[category.raw] = category
        if not found:
            raise InputError(f"label table {path}: no rows")
        return cls(tuple(found.values()), f"label table {path}")

    def __getitem__(self, raw: str) -> Category:
        """Return the row of an object's label.

        Raises:
            InputError: the table does not have the label.
        """
        try:
            return self._by_name[raw]
        except KeyError:
            raise InputError(
                f"{self._source}: no raw_category '{raw}'{did_you_mean(raw, self._by_name)}",
                hint="Annotations of ScanNet v1 use other names; those of v2 are all in its own table.",
            ) from None

    def __contains__(self, raw: str) -> bool:
        return raw in self._by_name

    def class_of_expression(self, name: str) -> int:
        """Return the ScanRefer class 0..17 of an object's name as in ScanRefer's files (`_` for spaces).

        A name that is not in the table gives OTHERS.
        """
        category = self._by_name.get(name) or self._by_name.get(name.replace("_", " "))
        return OTHERS if category is None else int(_SCANREFER18[category.nyu40])


def _category(path: str | Path, line: int, cells: dict[str, str]) -> Category:
    for name in ("id", "nyu40id"):
        if not cells[name].isdecimal():
            raise InputError(f"label table {path}: line {line}: {name} is '{cells[name]}', expected a number")
    nyu40 = int(cells["nyu40id"])
    if not cells["raw_category"] or not 1 <= nyu40 < len(NYU40_NAMES):
        problem = (
            "raw_category is empty"
            if not cells["raw_category"]
            else f"nyu40id is {nyu40}, expected 1 to {len(NYU40_NAMES) - 1}"
        )
        raise InputError(f"label table {path}: line {line}: {problem}")
    spelled = cells["nyu40class"].replace("refridgerator", "refrigerator")
    if spelled != NYU40_NAMES[nyu40]:
        raise InputError(
            f"label table {path}: line {line}: nyu40class is '{spelled}', nyu40id {nyu40} is '{NYU40_NAMES[nyu40]}'"
        )
    return Category(cells["raw_category"], int(cells["id"]), cells["category"], nyu40)
