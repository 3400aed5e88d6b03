"""Index of sentences: what is written is read back, and damaged or older files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from g3d.data.scanrefer.index import IndexedSentence, SentenceIndex, SentenceRoot, read_index, write_index
from g3d.errors import InputError, MissingDataError

SENTENCE = IndexedSentence(
    "a", 1, "office chair", "0", "a chär", ("a", "chär"), (0, 1), None, 3, True, None, "a-b-1-1", False, "", 2, 3, True
)
INDEX = SentenceIndex({"train": (SENTENCE,), "val": ()}, {"nr3d": frozenset({"x-y-1-1"}), "sr3d": None})


def test_an_index_is_read_back(tmp_path: Path) -> None:
    write_index(tmp_path / "i.json", INDEX)
    found = read_index(tmp_path / "i.json")
    assert found == INDEX
    assert found.splits["train"][0].id == "a-1-0"


def test_a_changed_index_is_read_again(tmp_path: Path) -> None:
    write_index(tmp_path / "i.json", INDEX)
    assert len(read_index(tmp_path / "i.json").splits["train"]) == 1
    write_index(tmp_path / "i.json", SentenceIndex({"train": ()}, {}))
    assert read_index(tmp_path / "i.json").splits == {"train": ()}


def test_other_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scanrefer.json"
    write_index(path, INDEX)
    content = json.loads(path.read_text())
    for wrong in ({**content, "schema": "older"}, {**content, "fields": ["scene"]}, {"schema": content["schema"]}, []):
        path.write_text(json.dumps(wrong) + " " * len(str(wrong)))
        with pytest.raises(InputError, match=r"index .*scanrefer.json") as error:
            read_index(path)
        assert error.value.hint == "run g3d prepare again"


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    write_index(tmp_path / "scanrefer.json", INDEX)
    data = SentenceRoot.find(tmp_path, "scanrefer")
    manifest = tmp_path / "scanrefer.manifest.json"
    for text in ("{", "{}", '{"settings": {"scenes": 3}}'):
        manifest.write_text(text)
        with pytest.raises(InputError, match=r"scanrefer.manifest.json"):
            data.scenes()
    manifest.write_text(json.dumps({"settings": {"scenes": str(tmp_path / "gone")}}))
    with pytest.raises(MissingDataError, match=r"its scenes were in .*gone, which is not there"):
        data.scenes()
    with pytest.raises(MissingDataError, match="no sentence 'b-1-0'"):
        data.by_id(["b-1-0"])
