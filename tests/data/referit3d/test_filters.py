"""Filters of Nr3D and Sr3D: what each leaves out, what they count, and what they need."""

from __future__ import annotations

from dataclasses import replace

import pytest

from g3d.data.referit3d.filters import REFERIT3D, WS3DVG, SentenceFilters, apply_filters, unknown_to
from g3d.data.referit3d.splits import filtered, full_name
from g3d.data.scanrefer.index import IndexedSentence, SentenceIndex
from g3d.errors import InputError, MissingDataError

PLAIN = IndexedSentence(
    "a", 1, "chair", "0", "the chair", ("the", "chair"), None, None, 2, True, True, context="a-chair-2-1-3"
)
SENTENCES = (
    PLAIN,
    replace(PLAIN, context="bad-chair-1-1"),
    replace(PLAIN, name="clothes"),
    replace(PLAIN, mentions=False),
    replace(PLAIN, words=("w",) * 25),
    replace(PLAIN, words=("w",) * 24),
    replace(PLAIN, same_class=1),
    replace(PLAIN, guessed=False),
)
BAD = {"bad-chair-1-1"}


def test_the_default_leaves_out_bad_contexts_only() -> None:
    found = apply_filters(SENTENCES, WS3DVG, True, BAD)
    assert (found.kept, found.dropped) == ((0, 2, 3, 4, 5, 6, 7), {"bad contexts": 1})
    assert found.note() == "filters: 7 sentences count; left out: bad contexts 1."


@pytest.mark.parametrize(("test", "kept"), [(True, (0, 5, 7)), (False, (0, 5, 6, 7))])
def test_the_benchmark_leaves_out_unique_targets_in_tests(test: bool, kept: tuple[int, ...]) -> None:
    found = apply_filters(SENTENCES, REFERIT3D, test, BAD)
    assert found.kept == kept
    assert found.dropped == {
        "bad contexts": 1,
        "clothes": 1,
        "class not mentioned": 1,
        "more than 24 words": 1,
        **({"unique targets": 1} if test else {}),
    }


def test_wrong_guesses_can_be_left_out_of_tests() -> None:
    filters = SentenceFilters(bad_contexts=False, wrong_guesses_in_test=True)
    assert apply_filters(SENTENCES, filters, True, BAD).dropped == {"wrong guesses": 1}
    assert apply_filters(SENTENCES, filters, False, BAD).dropped == {}
    assert "filters: none; 8 sentences" in apply_filters(SENTENCES, filters, False, BAD).note()


def test_filters_say_what_the_data_does_not_have() -> None:
    unstated = [replace(PLAIN, mentions=None, same_class=None, guessed=None, context=None)]
    assert unknown_to(REFERIT3D, unstated, True) == ["bad_contexts", "mentions", "unique_in_test"]
    assert unknown_to(REFERIT3D, [PLAIN], False) == ["bad_contexts"]
    assert unknown_to(REFERIT3D, [PLAIN], True) == []


def test_sr3d_leaves_out_the_contexts_of_both_lists() -> None:
    sentences = (replace(PLAIN, context="x-chair-1-1"), replace(PLAIN, context="y-chair-1-1"), PLAIN)
    lists = {"nr3d": frozenset({"x-chair-1-1"}), "sr3d": frozenset({"y-chair-1-1"})}
    index = SentenceIndex({"nr3d-test": sentences, "sr3d-test": sentences}, lists)
    assert filtered(index, "nr3d-test", sentences, WS3DVG).kept == (1, 2)
    assert filtered(index, "sr3d-test", sentences, WS3DVG).kept == (2,)
    with pytest.raises(InputError, match="the data holds nr3d-test and sr3d-test; expected one of these names"):
        full_name(index, "val")


def test_a_filter_without_its_list_or_column_is_refused() -> None:
    index = SentenceIndex({"nr3d-test": (PLAIN,)}, {"nr3d": None})
    with pytest.raises(MissingDataError, match=r"filter bad_contexts: .*\(the list of bad contexts\)"):
        filtered(index, "nr3d-test", [PLAIN], WS3DVG)
    unstated = replace(PLAIN, mentions=None)
    with pytest.raises(MissingDataError, match=r"filter mentions: .*\(its column\)"):
        filtered(index, "nr3d-test", [unstated], SentenceFilters(bad_contexts=False, mentions=True))
    converted = replace(PLAIN, context=None)  # WS-3DVG's JSON form, made without bad contexts
    assert filtered(SentenceIndex({"nr3d-test": (converted,)}, {}), "nr3d-test", [converted], WS3DVG).kept == (0,)
