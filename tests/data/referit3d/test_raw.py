"""Tables and lists of ReferIt3D: what is read, and what each error names."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from support import paths

from g3d.data.referit3d.mentions import Lexicon, mentions_target_class
from g3d.data.referit3d.raw import parse_stimulus, read_bad_contexts, read_referit3d_csv, read_scene_list
from g3d.errors import InputError, MissingDataError

ROW = {
    "assignmentid": "7",
    "stimulus_id": "scene0000_00-office_chair-3-12-4-9",
    "utterance": "the one on the left",
    "correct_guess": "True",
    "scan_id": "scene0009_09",
    "instance_type": "chair",
    "target_id": "4",
    "tokens": "['the', 'one', 'on', 'the', 'left']",
    "mentions_target_class": "False",
}


def table(tmp_path: Path, *rows: dict[str, str], columns: tuple[str, ...] = tuple(ROW)) -> Path:
    path = tmp_path / "nr3d.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_nr3d_takes_the_object_from_the_stimulus_and_sr3d_from_columns(tmp_path: Path) -> None:
    path = table(tmp_path, ROW)
    (nr3d,) = read_referit3d_csv(path, "nr3d").sentences
    assert (nr3d.id, nr3d.name, nr3d.same_class) == ("scene0000_00-12-7", "office chair", 3)
    assert (nr3d.mentions, nr3d.guessed, nr3d.words[-1]) == (False, True, "left")
    (sr3d,) = read_referit3d_csv(path, "sr3d").sentences
    assert (sr3d.id, sr3d.name, sr3d.same_class) == ("scene0009_09-4-0", "chair", 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tokens": "['the', 'one'"}, r"""tokens: found "\['the', 'one'", expected a list such as"""),
        ({"tokens": "__import__('os')"}, "tokens: found .*, expected a list such as"),
        ({"tokens": "'word'"}, "tokens: found .*, expected a list such as"),
        ({"tokens": "[b'a']"}, "tokens: found .*, expected a list such as"),
        ({"tokens": "[]"}, "tokens: found .*, expected a list of words"),
        ({"tokens": ""}, "tokens: found null, expected a list of words"),
        ({"stimulus_id": "scene0000_00-coffee-table-2-3"}, "stimulus_id: .* no hyphen in the class"),
        ({"stimulus_id": "scene0000_00-chair-2-3"}, "stimulus_id: .*expected 1 distractors for n = 2, not 0"),
        ({"stimulus_id": "scene0000_00"}, "stimulus_id: .*expected <scene>-<class>"),
        ({"mentions_target_class": "perhaps"}, "mentions_target_class: .* expected True or False"),
        ({"utterance": " "}, "utterance: found .* expected text"),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_read(tmp_path: Path, change: dict[str, str], says: str) -> None:
    file = read_referit3d_csv(table(tmp_path, ROW, {**ROW, "assignmentid": "8", **change}), "nr3d")
    assert [sentence.annotation for sentence in file.sentences] == ["7"]
    ((place, error),) = file.broken
    assert place == "line 3"
    with pytest.raises(InputError, match=rf"sentences .*nr3d.csv: line 3: {says}"):
        raise error


def test_an_id_that_comes_twice_is_broken(tmp_path: Path) -> None:
    file = read_referit3d_csv(table(tmp_path, ROW, ROW), "nr3d")
    assert (len(file.sentences), len(file.broken)) == (1, 1)
    assert "line 3: scene, object and sentence" in str(file.broken[0][1])


def test_a_missing_column_and_an_empty_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nr3d.csv: no column tokens \(found: "):
        read_referit3d_csv(table(tmp_path, ROW, columns=tuple(c for c in ROW if c != "tokens")), "nr3d")
    with pytest.raises(InputError, match="found no rows"):
        read_referit3d_csv(table(tmp_path), "nr3d")


def test_bad_contexts_are_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("stimulus_id,why\nscene0000_00-chair-1-4,dark\n\n")
    assert read_bad_contexts(path) == {"scene0000_00-chair-1-4"}
    path.write_text("scene0000_00-chair-1-4\n")
    with pytest.raises(InputError, match="line 1: found 'scene0000_00-chair-1-4', expected stimulus_id"):
        read_bad_contexts(path)
    path.write_text("stimulus_id\nscene0000_00\n")
    with pytest.raises(InputError, match="line 2: found 'scene0000_00', expected a stimulus_id"):
        read_bad_contexts(path)


def test_scene_lists_are_json_or_lines(tmp_path: Path) -> None:
    path = tmp_path / "scans.txt"
    for text in (json.dumps(["b", "a"]), "b\na\n"):
        path.write_text(text)
        assert read_scene_list(path) == ("b", "a")
    for text, says in (('["a", "a"]', "a is there twice"), ("[1]", "found '1', expected the name"), ("[", "not valid")):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"split .*scans.txt: .*{says}"):
            read_scene_list(path)
    with pytest.raises(MissingDataError, match="no such file"):
        read_scene_list(tmp_path / "none.txt")


def test_a_stimulus_has_its_parts() -> None:
    found = parse_stimulus(ROW["stimulus_id"])
    assert (found.scene, found.name, found.same_class) == ("scene0000_00", "office chair", 3)
    assert (found.target, found.distractors) == (12, (4, 9))


def test_a_label_outside_the_word_lists_is_refused() -> None:
    lexicon = Lexicon(group={"lamp": None})
    assert mentions_target_class(["a", "lamp"], "lamp", (), lexicon)
    assert not mentions_target_class(["a", "light"], "lamp", (), lexicon)
    with pytest.raises(InputError, match="label 'door' is in no group of the word lists"):
        mentions_target_class(["a", "lamp"], "door", (), lexicon)


@pytest.mark.skipif(not paths.REAL.is_dir(), reason="real samples are not here")
def test_a_real_table_is_read() -> None:
    file = read_referit3d_csv(paths.REAL / "referring3d" / "vlmgrounder_nr3d_250.csv", "nr3d")
    assert (len(file.sentences), file.broken) == (250, ())
    with (paths.REAL / "referring3d" / "vlmgrounder_nr3d_250.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [s.object for s in file.sentences] == [int(row["target_id"]) for row in rows]
    assert [s.same_class for s in file.sentences] == [int(row["distractor_number"]) + 1 for row in rows]
    lists = {"nr3d_test_scans": 130, "ScanRefer_filtered_train": 562, "ScanRefer_filtered_val": 141}
    assert {name: len(read_scene_list(paths.REAL / "referring3d" / f"{name}.txt")) for name in lists} == lists


@pytest.mark.parametrize(("marks", "kept"), [("[0, 1, 0, 0, 1]", (0, 1, 0, 0, 1)), ("[0, 1, 0]", None)])
def test_keyword_lists_of_other_words_are_left_out(tmp_path: Path, marks: str, kept: tuple[int, ...] | None) -> None:
    path = table(tmp_path, {**ROW, "mask_list": marks}, columns=(*ROW, "mask_list"))
    (found,) = read_referit3d_csv(path, "nr3d").sentences
    assert found.keywords == kept
    assert found.out_of_step == (kept is None)
