"""The kinds of sentences about scenes fail where they should: they read the settings and the inputs of the case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parity.describe import DescriptionError
from parity.variants import failures, stored, write


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("max_seq_len", 10, "66 rows, 37 are in the test set"),
        ("mentions_target_class_only", False, "settings.mentions_target_class_only"),
        ("easy", "n_objects <= 3", "settings.easy"),
    ],
)
def test_the_filters_are_those_of_the_case(tmp_path: Path, name: str, wrong: object, says: str) -> None:
    settings, arrays = stored("ws3dvg", "referit3d_groups")
    assert not failures(write(tmp_path, settings, arrays))
    with_other = {**settings, "settings": {**settings["settings"], name: wrong}}
    with pytest.raises(DescriptionError, match=says):
        write(tmp_path, with_other, arrays)


@pytest.mark.parametrize(
    ("case", "name", "expected"),
    [
        ("eval_table", "in.multiple", "table"),
        ("eval_table", "in.topk_ious", "table"),
        ("referit3d_groups", "in.target_pos", "correct"),
        ("referit3d_groups", "in.class_mask", "correct_among_class"),
    ],
)
def test_other_inputs_give_other_figures(tmp_path: Path, case: str, name: str, expected: str) -> None:
    settings, arrays = stored("ws3dvg", case)
    changed = {**arrays, name: np.roll(arrays[name], 1, 0)}
    assert any(expected in line for line in failures(write(tmp_path, settings, changed)))


@pytest.mark.parametrize("name", ["classes", "m3dref_valid_nyu40_ids"])
def test_other_classes_are_refused(tmp_path: Path, name: str) -> None:
    settings, arrays = stored("ws3dvg", "scanrefer_groups")
    reversed_list = {**settings["settings"], name: settings["settings"][name][::-1]}
    with pytest.raises(DescriptionError, match=rf"settings.{name}"):
        write(tmp_path, {**settings, "settings": reversed_list}, arrays)
