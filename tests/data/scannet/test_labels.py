"""The label table in every published copy, and the class systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import paths

from g3d.data.scannet.labels import (
    DETECTION18_IDS,
    IGNORE,
    NYU40_NAMES,
    OTHERS,
    SCANREFER18_NAMES,
    SCANREFER_BOX_IDS,
    SEMANTIC20_IDS,
    LabelTable,
    scanrefer18,
    semantic20,
)
from g3d.errors import InputError, MissingDataError

MADE = paths.GOLDEN / "scannet" / "made" / "meta" / "scannetv2-labels.combined.tsv"
REAL = paths.REAL / "scannet" / "meta" / "scannetv2-labels.combined.tsv"


def test_class_systems() -> None:
    assert (len(NYU40_NAMES), len(SCANREFER18_NAMES)) == (41, 18)
    assert (len(SEMANTIC20_IDS), len(DETECTION18_IDS), len(SCANREFER_BOX_IDS)) == (20, 18, 37)
    assert semantic20(np.array([1, 12, 14, 39, 13, 0, 50])).tolist() == [0, 11, 12, 19, IGNORE, IGNORE, IGNORE]
    assert scanrefer18(np.array([3, 24, 36, 15, 40, 0, 50])).tolist() == [0, 12, 16, OTHERS, OTHERS, OTHERS, OTHERS]
    assert semantic20(np.zeros((0,), np.uint16)).shape == (0,)


@pytest.mark.parametrize("label", [41, 51, 230, -1])
def test_a_label_that_is_no_nyu40_id_is_refused(label: int) -> None:
    with pytest.raises(InputError, match=f"label {label} is no nyu40 id"):
        semantic20(np.array([1, label]))


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("fridge", ["refrigerator", "refridgerator"])
def test_every_copy_says_the_same(tmp_path: Path, line_end: str, fridge: str) -> None:
    text = MADE.read_text().replace("refridgerator", fridge)
    path = tmp_path / "labels.tsv"
    path.write_bytes(text.replace("\n", line_end).encode())
    table = LabelTable.read(path)
    assert table.categories == LabelTable.read(MADE).categories
    assert (table["refrigerator"].nyu40, table.class_of_expression("refrigerator")) == (24, 12)
    assert (
        len(min(text.splitlines(), key=lambda line: line.count("\t")).split("\t")) == 15
    )  # furnace: a row of 15 columns
    assert table["furnace"].nyu40 == 39


def test_names_of_expressions() -> None:
    table = LabelTable.read(MADE)
    assert table.class_of_expression("office_chair") == table.class_of_expression("office chair") == 2
    assert table.class_of_expression("trash can") == OTHERS
    assert table.class_of_expression("flying carpet") == OTHERS
    assert "chair" in table
    with pytest.raises(InputError, match=r"no raw_category 'chairs'; did you mean 'chair'\?"):
        table["chairs"]


def test_the_real_table() -> None:
    if not REAL.is_file():
        pytest.skip("the real label table is not here")
    table = LabelTable.read(REAL)
    assert len(table.categories) == 607
    assert len({category.id for category in table.categories}) == 549
    assert {category.nyu40 for category in table.categories} == set(range(1, 41))
    assert {table.class_of_expression(name) for name in ("refrigerator", "mini_fridge", "cooler")} == {12}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column id, raw_category.*found: nothing"),
        ("id,raw_category,category,nyu40id,nyu40class\n1,wall,wall,1,wall\n", "no column id"),
        ("id\tcategory\tnyu40id\n1\twall\t1\n", r"no column raw_category, nyu40class .found: id, category, nyu40id"),
        ("id\traw_category\tcategory\tnyu40id\tnyu40class\n", "no rows"),
        ("id\traw_category\tcategory\tnyu40id\tnyu40class\n1\twall\twall\tone\twall\n", "line 2: nyu40id is 'one'"),
        ("id\traw_category\tcategory\tnyu40id\tnyu40class\n1\twall\twall\t41\twall\n", "line 2: nyu40id is 41"),
        (
            "id\traw_category\tcategory\tnyu40id\tnyu40class\n1\twall\twall\t2\twall\n",
            "nyu40class is 'wall', nyu40id 2 is 'floor'",
        ),
        ("id\traw_category\tcategory\tnyu40id\tnyu40class\n1\t\twall\t1\twall\n", "line 2: raw_category is empty"),
        (
            "id\traw_category\tcategory\tnyu40id\tnyu40class\n" + 2 * "1\twall\twall\t1\twall\n",
            "line 3: raw_category 'wall' is there twice",
        ),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        LabelTable.read(path)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        LabelTable.read(tmp_path / "labels.tsv")
