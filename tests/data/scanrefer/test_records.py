"""Records of ScanRefer's files: what is read, and what each error names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import paths

from g3d.data.scanrefer.records import read_sentences_json
from g3d.errors import InputError, MissingDataError

GOOD = {
    "scene_id": "scene0000_00",
    "object_id": "34",
    "object_name": "coffee_table",
    "ann_id": "1",
    "description": "a low table.",
    "token": ["a", "low", "table", "."],
}
MASKED = {
    **GOOD,
    "mask_list": [0, 0, 1, 0],
    "mask_first_list": [0, 1, 0, 0],
    "masked_sentence": "a low [MASK] .",
    "masked_first_sentence": "a [MASK] table .",
}


def written(tmp_path: Path, *records: Any) -> Path:
    path = tmp_path / "sentences.json"
    path.write_text(json.dumps(records))
    return path


def test_a_record_is_read_with_its_keywords(tmp_path: Path) -> None:
    (found,) = read_sentences_json(written(tmp_path, MASKED)).sentences
    assert found.id == "scene0000_00-34-1"
    assert (found.object, found.name, found.words) == (34, "coffee table", ("a", "low", "table", "."))
    assert (found.keywords, found.first_keywords) == ((0, 0, 1, 0), (0, 1, 0, 0))
    assert not found.out_of_step


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scene_id": "a/b"}, 'scene_id: found "a/b", expected a name without blanks'),
        ({"object_id": "4x"}, 'object_id: found "4x", expected a whole number'),
        ({"object_id": True}, "object_id: found true, expected a whole number"),
        ({"object_name": ""}, 'object_name: found "", expected text'),
        ({"ann_id": None}, "ann_id: found null, expected a name"),
        ({"description": 3}, "description: found 3, expected text"),
        ({"token": []}, r"token: found \[\], expected a list of words"),
        ({"token": ["a", 1]}, "token: found 1, expected text"),
        ({"mask_list": [0, 2, 0, 0]}, r"mask_list: found \[0, 2, 0, 0\], expected a list of 0 and 1"),
        ({"hardness": "many"}, 'hardness: found "many", expected a whole number'),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    file = read_sentences_json(written(tmp_path, GOOD, {**GOOD, "ann_id": "2", **change}))
    assert [sentence.annotation for sentence in file.sentences] == ["1"]
    ((place, error),) = file.broken
    assert place == "record 1"
    with pytest.raises(InputError, match=rf"sentences .*sentences.json: record 1: {says}"):
        raise error


def test_a_missing_field_and_a_wrong_record_are_named(tmp_path: Path) -> None:
    file = read_sentences_json(written(tmp_path, {k: v for k, v in GOOD.items() if k != "token"}, 7))
    assert 'record 0: token: found "no such field", expected the fields scene_id' in str(file.broken[0][1])
    assert "record 1: record: found 7, expected a JSON object" in str(file.broken[1][1])


def test_an_id_that_comes_twice_is_broken(tmp_path: Path) -> None:
    file = read_sentences_json(written(tmp_path, GOOD, {**GOOD, "description": "another"}))
    assert len(file.sentences) == 1
    assert "record 1: scene, object and sentence" in str(file.broken[0][1])
    assert "it is that of record 0 as well" in str(file.broken[0][1])


@pytest.mark.parametrize(
    "change",
    [
        {"mask_list": [0, 0, 1]},
        {"masked_sentence": "a tall [MASK] ."},
        {"mask_first_list": [0, 1, 0, 0, 0]},
        {"masked_first_sentence": "a [MASK] table here"},
    ],
)
def test_keyword_lists_of_other_words_are_left_out(tmp_path: Path, change: dict[str, Any]) -> None:
    (found,) = read_sentences_json(written(tmp_path, {**MASKED, **change})).sentences
    assert found.out_of_step
    assert (found.keywords, found.first_keywords) == (None, None)


@pytest.mark.parametrize("content", ["[", '{"a": 1}', "[]"])
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sentences.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"sentences .*sentences.json"):
        read_sentences_json(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"nothing.json"):
        read_sentences_json(tmp_path / "nothing.json")


@pytest.mark.skipif(not paths.REAL.is_dir(), reason="real samples are not here")
def test_real_records_are_read() -> None:
    file = read_sentences_json(paths.REAL / "referring3d" / "scanrefer_format_sample.json")
    assert (len(file.sentences), file.broken) == (11, ())
    assert file.sentences[0].id == "scene0011_00-5-3"
