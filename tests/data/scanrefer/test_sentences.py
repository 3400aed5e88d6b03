"""Rules for sentences of ScanRefer and Nr3D that the parity case does not reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.scans import draw_scans

from g3d.data.scannet.labels import OTHERS, LabelTable
from g3d.data.scanrefer.sentences import (
    MAXIMUM_WORDS,
    PADDING,
    class_of_object,
    keyword_mask,
    unique_or_multiple,
    view_dependent,
    vocabulary,
    word_numbers,
)


@pytest.fixture
def table(tmp_path: Path) -> LabelTable:
    return LabelTable.read(draw_scans(tmp_path, 1) / "scannetv2-labels.combined.tsv")


def test_frequent_words_come_first_and_cut_words_do_not_count() -> None:
    long = ["b"] * MAXIMUM_WORDS + ["z", "z"]
    found = vocabulary([["c", "a", "a", "x"], long], {"a", "b", "c", "z", "unk"})
    assert found == {"pad_": 0, "unk": 1, "sos": 2, "eos": 3, "b": 4, "a": 5, "c": 6}
    ids, known = word_numbers(["a", "nothing", *long], found)
    assert ids[:3].tolist() == [5, 0, 4]
    assert known[:3].tolist() == [True, False, True]
    assert known.sum() == MAXIMUM_WORDS - 1


def test_a_special_word_in_a_sentence_keeps_its_number() -> None:
    assert vocabulary([["eos", "a"]], {"eos", "a"}) == {"pad_": 0, "unk": 1, "sos": 2, "eos": 3, "a": 4}


def test_a_word_in_both_keyword_lists_is_padding_only_with_the_published_fault() -> None:
    assert keyword_mask(3, [1, 0, 1], [1]).tolist()[:4] == [1, 0, 1, PADDING]
    assert keyword_mask(3, [1, 0, 1], [1], published=True).tolist()[:4] == [PADDING, 0, 1, PADDING]
    assert not keyword_mask(3, None).any()
    assert np.all(keyword_mask(500, [1] * 500) == 1)


def test_a_class_comes_from_the_whole_name_or_its_last_known_word(table: LabelTable) -> None:
    assert class_of_object("table", table) == 4
    assert class_of_object("refrigerator_chair_thing", table) == 2
    assert class_of_object("unheard_of", table) == OTHERS


def test_objects_are_counted_by_their_first_name(table: LabelTable) -> None:
    rows = [("a", "1", "chair"), ("a", "1", "table"), ("a", "2", "chair"), ("b", "1", "chair"), ("b", "2", "gadget")]
    assert unique_or_multiple(rows, table) == [True, True, True, False, False]


def test_view_words_are_whole_words_in_lower_case() -> None:
    assert view_dependent(["the", "left", "one"])
    assert not view_dependent(["Left", "backside", "lefts"])
