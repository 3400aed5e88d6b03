"""`prepare scanrefer` and `prepare referit3d`: what they count, what they refuse, and what they choose as keywords."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import paths
from support.sentence_world import (
    TRAIN,
    VAL,
    WORDS,
    nr3d_rows,
    records,
    scanrefer_world,
    write_glove,
    write_nr3d,
    write_scanrefer,
)
from support.verbs import g3d, refused

from g3d.data.scannet.labels import SCANREFER18_NAMES
from g3d.data.scanrefer.index import SentenceRoot, read_index
from g3d.data.scanrefer.sentences import view_dependent
from g3d.datasets.base import get_dataset
from g3d.errors import InputError, MissingDataError
from g3d.prepare.scene_sentences import SentenceOptions, prepare_sentences

MASKED = "Masked_ScanRefer_filtered_train.json"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four prepared scans with ScanRefer sentences; read only."""
    root = tmp_path_factory.mktemp("world")
    scanrefer_world(root)
    return root


@pytest.fixture
def world(scans: Path, tmp_path: Path) -> Path:
    """The folder of the sentences of a copy that a test may change; the scans are shared."""
    (tmp_path / "scannet").symlink_to(scans / "scannet")
    return Path(shutil.copytree(scans / "scanrefer", tmp_path / "scanrefer"))


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def broken(data: Path, kind: Any = "scanrefer") -> list[str]:
    """Return the errors of a preparation that writes nothing."""
    report = prepare_sentences(kind, data)
    assert report.folder is None
    assert not (data / "g3d").exists()
    return [str(error) for _, error in report.broken]


def test_counts_keywords_and_vectors(world: Path) -> None:
    write_glove(world.parent / "glove.p", tuple(word for word in (*WORDS, "unk", "pad", "unused") if word != "brown"))
    report = prepare_sentences("scanrefer", world)
    assert report.broken == ()
    assert report.splits == {
        "train": {"sentences": 12, "objects": 6, "scenes": 2},
        "val": {"sentences": 12, "objects": 6, "scenes": 2},
    }
    assert report.keywords["published"] == report.keywords["computed"] == 12
    assert report.keywords["out_of_step"] == 0
    assert (report.keywords["precision"], report.keywords["recall"]) == (1.0, 1.0)
    assert report.words is not None
    used = {word for scenes in (TRAIN, VAL) for record in records(world.parent, scenes) for word in record["token"]}
    assert (report.words["different"], report.words["with_vector"]) == (len(used), len(used) - 1)
    data = SentenceRoot.find(world, "scanrefer")
    sentence = data.sentences("train")[1]
    assert sentence.id == "scene0000_00-2-1"
    assert [w for w, m in zip(sentence.words, sentence.keywords or (), strict=True) if m] == ["wall", "left"]
    assert "chair" in data.vectors()
    assert "unused" not in data.vectors()
    (world.parent / "glove.p").unlink()
    assert prepare_sentences("scanrefer", world).words is None
    with pytest.raises(MissingDataError, match="was prepared without word vectors"):
        data.vectors()
    assert report.scenes == str((world.parent / "scannet").resolve())


def test_it_does_no_work_twice_and_notices_changes(world: Path) -> None:
    first = prepare_sentences("scanrefer", world)
    assert first.bytes_written > 0
    again = prepare_sentences("scanrefer", world)
    assert again.up_to_date
    assert (again.splits, again.notes) == (first.splits, first.notes)
    edit(world / "ScanRefer_filtered_val.json", lambda rows: rows.pop())
    assert prepare_sentences("scanrefer", world).splits["val"]["sentences"] == 11


def test_lists_out_of_step_are_reported_and_computed_again(world: Path) -> None:
    edit(world / MASKED, lambda rows: rows[0]["mask_list"].append(0))
    edit(world / MASKED, lambda rows: rows[3].update(masked_sentence="[MASK] " * len(rows[3]["token"]) + "more"))
    report = prepare_sentences("scanrefer", world)
    assert report.keywords["out_of_step"] == 2
    assert report.keywords["published"] == 10
    assert f"computed again: 2 (first: {world / MASKED} record 0, scene0000_00-2-0)" in report.notes[0]
    sentence = SentenceRoot.find(world, "scanrefer").sentences("train")[0]
    assert len(sentence.keywords or ()) == len(sentence.words)


def test_a_word_in_both_lists_is_counted(world: Path) -> None:
    edit(world / MASKED, lambda rows: rows[0]["mask_list"].__setitem__(1, 1))
    assert any("a word in both keyword lists: 1" in note for note in prepare_sentences("scanrefer", world).notes)


def test_published_keywords_can_be_computed_instead(world: Path) -> None:
    report = prepare_sentences("scanrefer", world, options=SentenceOptions(keywords="rules"))
    assert (report.keywords["published"], report.keywords["computed"]) == (0, 24)
    assert report.keywords["recall"] == 1.0


def test_a_sentence_of_an_unknown_scene_is_refused(world: Path) -> None:
    edit(world / "ScanRefer_filtered_val.json", lambda rows: rows[0].update(scene_id="scene0099_00"))
    (error,) = broken(world)
    assert "record 0: scene_id: found scene0099_00, a scene of no list; expected one of split val" in error
    refused(2, "prepare", "scanrefer", "--data", str(world), says=("ScanRefer_filtered_val.json: record 0",))


def test_a_sentence_of_another_split_is_refused(world: Path) -> None:
    edit(world / MASKED, lambda rows: rows[4].update(scene_id=VAL[0], object_id="7"))
    (error,) = broken(world)
    assert f"record 4: scene_id: found {VAL[0]}, a scene of split val; expected one of split train" in error
    report = prepare_sentences("scanrefer", world, keep_going=True)
    assert report.splits["train"]["sentences"] == 11
    assert prepare_sentences("scanrefer", world, keep_going=True).up_to_date


def test_splits_without_lists_may_not_share_scenes(scans: Path, tmp_path: Path) -> None:
    shutil.copytree(scans / "scannet" / "g3d" / "scenes", tmp_path / "scenes")
    shutil.copy(scans / "scannet" / "scannetv2-labels.combined.tsv", tmp_path)
    data = write_scanrefer(tmp_path, records(scans, TRAIN), records(scans, (TRAIN[1], *VAL)))
    options = SentenceOptions(scenes=tmp_path / "scenes")
    ((name, error),) = prepare_sentences("scanrefer", data, options=options).broken
    assert name == "val"
    assert f"found 1 scenes that are in split train as well (first: {TRAIN[1]}); expected none" in str(error)


def test_objects_and_scenes_that_are_not_there_are_counted(scans: Path, tmp_path: Path) -> None:
    scenes = Path(shutil.copytree(scans / "scannet" / "g3d" / "scenes", tmp_path / "scenes"))
    shutil.rmtree(scenes / VAL[1])
    shutil.copy(scans / "scannet" / "scannetv2-labels.combined.tsv", tmp_path)
    val = [record for record in records(scans, VAL) if record["scene_id"] == VAL[1]]
    train = [{**records(scans, TRAIN)[0], "object_id": "55"}]
    data = write_scanrefer(tmp_path, train, val, with_masks=False)
    report = prepare_sentences("scanrefer", data, options=SentenceOptions(scenes=scenes))
    assert report.broken == ()
    text = "\n".join(report.notes)
    assert f"val: 6 sentences are about 1 scenes that are not there (first: {VAL[1]}" in text
    assert "train: sentences whose object has no box in its scene: 1 (first: scene0000_00-55-0)" in text
    assert f"scenes of no list without sentences: 2 (first: {TRAIN[1]})" in text
    with pytest.raises(MissingDataError, match=r"1 scenes of its sentences are not in .* \(first: scene0003_00"):
        SentenceRoot.find(data, "scanrefer").sentences("val")


def test_scenes_without_objects_ids_are_refused(scans: Path, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "votenet"
    made = g3d("prepare", "scannet", "--data", str(scans / "scannet"), "--published", "votenet", "--out", str(out))
    assert made[0] == 0, made[2]
    with pytest.raises(InputError, match=r"its boxes have no objectIds \(VoteNet's form\)"):
        prepare_sentences("scanrefer", world, options=SentenceOptions(scenes=out / "published" / "votenet"))


def test_missing_files_are_named(world: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(
        3, "prepare", "scanrefer", "--data", str(empty), says=("no sentences of scanrefer",), hint="ScanRefer_filtered"
    )
    refused(3, "prepare", "scanrefer", "--data", str(world), "--scenes", str(empty), says=("no prepared or published",))
    (world.parent / "scannet").unlink()
    refused(3, "prepare", "scanrefer", "--data", str(world), says=("scannetv2-labels.combined.tsv is missing",))
    refused(2, "prepare", "scanrefer", "--data", str(world), "--keywords", "rule", says=("did you mean 'rules'",))


def test_a_hostile_pickle_of_vectors_is_refused(world: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple:
            return (exec, ("raise SystemExit",))

    (world / "bad.p").write_bytes(pickle.dumps({"unk": Hostile()}))
    vectors = ("--vectors", str(world / "bad.p"))
    refused(2, "prepare", "scanrefer", "--data", str(world), *vectors, says=("bad.p: refused: it would run code",))
    assert not (world / "g3d").exists() or not any((world / "g3d").iterdir())
    write_glove(world / "bad.p", ("chair", "pad"))
    refused(2, "prepare", "scanrefer", "--data", str(world), *vectors, says=("bad.p: no vector of 'unk'",))


def test_spacy_that_is_not_installed_is_an_error(world: Path) -> None:
    code, _, err = g3d("prepare", "scanrefer", "--data", str(world), "--keywords", "spacy")
    assert code in (0, 4), err
    assert code == 0 or "--keywords spacy: spaCy and its model" in err


def test_the_report_shows_the_published_counts(world: Path) -> None:
    code, out, err = g3d("prepare", "scanrefer", "--data", str(world))
    assert code == 0, err
    assert "36,665" in out
    assert "141" in out
    assert "precision 1.00, recall 1.00" in out
    code, out, _ = g3d("prepare", "scanrefer", "--data", str(world), "--check", "--json")
    assert code == 0
    assert json.loads(out)["splits"]["val"]["sentences"] == 12


@pytest.fixture
def nr3d(scans: Path, tmp_path: Path) -> Path:
    (tmp_path / "scannet").symlink_to(scans / "scannet")
    rows = nr3d_rows(scans)
    return write_nr3d(tmp_path, rows, [rows[0]["stimulus_id"]])


def test_a_table_is_divided_by_the_lists(nr3d: Path) -> None:
    report = prepare_sentences("referit3d", nr3d)
    assert report.broken == ()
    assert {name: counts["sentences"] for name, counts in report.splits.items()} == {"nr3d-train": 6, "nr3d-test": 6}
    found = SentenceRoot.find(nr3d, "referit3d").sentences("nr3d-train")
    assert [s.scene for s in found] == sorted(s.scene for s in found)
    assert found[1].mentions is False
    assert found[0].first_keywords is None


def test_a_broken_token_list_is_named(nr3d: Path) -> None:
    text = (nr3d / "nr3d.csv").read_text()
    (nr3d / "nr3d.csv").write_text(text.replace("""['the', 'thing'""", """['the', 'thing"""))
    (error,) = broken(nr3d, "referit3d")
    assert "nr3d.csv: line 3: tokens: found" in error
    assert "expected a list such as \"['the', 'chair']\"" in error
    refused(2, "prepare", "referit3d", "--data", str(nr3d), says=("nr3d.csv: line 3: tokens",))


def test_missing_lists_are_named(nr3d: Path) -> None:
    (nr3d / "manually_inspected_bad_contexts.csv").unlink()
    refused(
        3,
        "prepare",
        "referit3d",
        "--data",
        str(nr3d),
        says=("bad_contexts.csv is missing",),
        hint="--keep-bad-contexts",
    )
    code, _, err = g3d("prepare", "referit3d", "--data", str(nr3d), "--keep-bad-contexts")
    assert code == 0, err
    (nr3d / "test_scans.txt").unlink()
    (nr3d / "train_scans.txt").unlink()
    shutil.copytree(nr3d.parent / "scannet" / "g3d" / "scenes", nr3d / "scenes")
    labels = ("--labels", str(nr3d.parent / "scannet" / "scannetv2-labels.combined.tsv"))
    (nr3d.parent / "scannet").rename(nr3d.parent / "elsewhere")
    says = ("the lists of the training and test scenes of nr3d are missing",)
    refused(3, "prepare", "referit3d", "--data", str(nr3d), "--keep-bad-contexts", *labels, says=says)


def test_ws3dvg_json_is_read(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "scannet").symlink_to(scans / "scannet")
    folder = tmp_path / "nr3d"
    folder.mkdir()
    for name, scenes in (("train", TRAIN), ("val", VAL)):
        rows = [{**record, "hardness": "2"} for record in records(scans, scenes)]
        (folder / f"nr3d_{name}.json").write_text(json.dumps(rows))
    report = prepare_sentences("referit3d", folder)
    assert report.broken == ()
    assert set(report.splits) == {"nr3d-train", "nr3d-test"}
    assert SentenceRoot.find(folder, "referit3d").sentences("nr3d-test")[0].same_class == 2


@pytest.mark.skipif(not paths.REAL.is_dir(), reason="real samples are not here")
def test_real_sentences_are_indexed_in_the_groups_of_another_project(tmp_path: Path) -> None:
    """VLM-Grounder's columns of 250 real rows state classes, difficulty and dependence on a view."""
    real, folder = paths.REAL / "referring3d", tmp_path / "nr3d"
    folder.mkdir()
    shutil.copy(real / "vlmgrounder_nr3d_250.csv", folder / "nr3d.csv")
    for name in ("train", "test"):
        shutil.copy(real / f"nr3d_{name}_scans.txt", folder / f"{name}_scans.txt")
    labels = paths.REAL / "scannet" / "meta" / "scannetv2-labels.combined.tsv"
    report = prepare_sentences("referit3d", folder, options=SentenceOptions(labels=labels, bad_contexts=False))
    assert report.broken == ()
    assert {name: counts["sentences"] for name, counts in report.splits.items()} == {"nr3d-train": 0, "nr3d-test": 250}
    found = {s.annotation: s for s in read_index(folder / "g3d" / "referit3d.json").splits["nr3d-test"]}
    with (folder / "nr3d.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            sentence = found[row["assignmentid"]]
            assert ((sentence.same_class or 0) <= 2) == (row["is_easy_referit3d"] == "True")
            assert view_dependent(sentence.words) == (row["is_vd_referit3d"] == "True")
            assert SCANREFER18_NAMES[sentence.whole_name_class] == row["scannet18_class"]


def test_word_lists_decide_which_sentences_name_the_class(nr3d: Path) -> None:
    groups = {"chair": "seat", "table": None, "refrigerator": None}
    lists = {"synonyms": {"seat": ["thing"]}, "group": groups, "members": {}, "plural": {}, "singular": {}}
    (nr3d / "words.json").write_text(json.dumps(lists))
    before = [row["mentions_target_class"] == "True" for row in nr3d_rows(nr3d.parent)]
    options = SentenceOptions(word_lists=nr3d / "words.json")
    report = prepare_sentences("referit3d", nr3d, options=options)
    found = SentenceRoot.find(nr3d, "referit3d").index().splits
    now = [s.mentions for s in sorted((*found["nr3d-train"], *found["nr3d-test"]), key=lambda s: int(s.annotation))]
    unnamed = nr3d_rows(nr3d.parent)[1]["instance_type"]
    assert before[1] is False
    assert now == [True, unnamed == "chair", *[True] * 10]  # "thing" is a word for seats
    assert f"12 computed, {int(unnamed == 'chair')} differ from the column" in report.notes[0]
    (nr3d / "words.json").write_text(json.dumps({**lists, "plural": {"chair": 3}}))
    words = ("--word-lists", str(nr3d / "words.json"))
    refused(2, "prepare", "referit3d", "--data", str(nr3d), *words, says=("words.json: plural.chair: found 3",))
    (nr3d / "words.json").write_text(json.dumps({**lists, "group": {}}))
    refused(2, "prepare", "referit3d", "--data", str(nr3d), *words, says=("is in no group of the word lists",))


def test_both_sets_share_a_folder_and_the_bad_contexts_of_nr3d(nr3d: Path) -> None:
    rows = nr3d_rows(nr3d.parent)
    with (nr3d / "sr3d.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, [column for column in rows[0] if column != "assignmentid"], extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    (nr3d / "sr3d").mkdir()
    (nr3d / "sr3d" / "manually_inspected_bad_contexts.csv").write_text(f"stimulus_id\n{rows[5]['stimulus_id']}\n")
    report = prepare_sentences("referit3d", nr3d)
    assert report.broken == ()
    assert list(report.splits) == ["nr3d-train", "nr3d-test", "sr3d-train", "sr3d-test"]
    data = get_dataset("referit3d")
    assert len(data.split_ids(nr3d, "nr3d-train")) == 5
    ids = data.split_ids(nr3d, "sr3d-train")
    assert len(ids) == 4  # both lists apply
    assert all(name.rpartition("-")[2] in map(str, range(12)) for name in ids)  # named by their rows
    with pytest.raises(InputError, match="split val: the data holds nr3d-test and sr3d-test"):
        data.split_ids(nr3d, "val")
