"""Sentences about rooms on disk: the recipes of ScanRefer and ReferIt3D read them without complaint, and their bytes
depend on nothing but the arguments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.room_truth import fits, furnished
from support.verbs import g3d

from g3d.data.scanrefer.index import SentenceRoot
from g3d.data.scanrefer.vectors import read_glove
from g3d.errors import InputError, MissingDataError
from g3d.synthetic.rooms.world import make_rooms
from g3d.synthetic.sentences.rooms_files import (
    FORMS,
    MADE,
    VECTORS,
    make_room_sentences,
    random_vectors,
    warn_if_outdated,
)

TRAIN, VAL = 3, 1
SCENES = [f"scene{index:04d}_00" for index in range(TRAIN + VAL)]
REAL = ("office", "bathroom")


def described_world(root: Path) -> Path:
    """Write the descriptions of four furnished rooms in the layout of a world, without their scans; return root."""
    for index, scene in enumerate(SCENES):
        folder = root / "scans" / scene
        folder.mkdir(parents=True)
        (folder / f"{scene}.room.json").write_text(json.dumps(furnished(index)))
    meta = root / "meta_data"
    meta.mkdir()
    (meta / "scannetv2_train.txt").write_text("\n".join(SCENES[:TRAIN]) + "\n")
    (meta / "scannetv2_val.txt").write_text("\n".join(SCENES[TRAIN:]) + "\n")
    (root / "rooms.json").write_text(json.dumps({"seed": 11}))
    return root


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rooms with sentences; read only."""
    root = described_world(tmp_path_factory.mktemp("said") / "world")
    made = make_room_sentences(root, 10, 5)
    assert made.sentences == {
        "scanrefer": {"train": 30, "val": 10},
        "nr3d": {"train": 30, "test": 10},
        "sr3d": {"train": 30, "test": 10},
    }
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def forms(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / FORMS).read_text().splitlines()]


def test_the_file_of_forms_decides_the_truth(world: Path) -> None:
    rows = forms(world)
    assert len(rows) == 120
    for row in rows:
        room = json.loads((world / "scans" / row["scene"] / f"{row['scene']}.room.json").read_text())
        assert fits(row["form"], room) == [row["object"]]
    records = [
        record
        for split in ("train", "val")
        for record in json.loads((world / "scanrefer" / f"ScanRefer_filtered_{split}.json").read_text())
    ]
    said = [(row["scene"], str(row["object"]), row["text"]) for row in rows if row["set"] == "scanrefer"]
    assert [(r["scene_id"], r["object_id"], r["description"]) for r in records] == said
    assert all(
        " " not in r["object_name"] and "".join(r["token"]) == r["description"].replace(" ", "") for r in records
    )


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_bytes_do_not_depend_on_workers(workers: int, world: Path, tmp_path: Path) -> None:
    again = described_world(tmp_path / "again")
    make_room_sentences(again, 10, 5, workers=workers)
    assert contents(again) == contents(world)


def test_fewer_sentences_replace_more(world: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    for scene in SCENES:
        path = copy / "scans" / scene / f"{scene}.room.json"
        room = json.loads(path.read_text())
        labels = [entry["label"] for entry in room["objects"]]
        alone = [
            e for e in room["objects"] if labels.count(e["label"]) == 1 and e.get("support", {}).get("on") == "floor"
        ]
        path.write_text(json.dumps({**room, "objects": alone}))
    made = make_room_sentences(copy, 2, 5)
    assert made.sentences["nr3d"] == made.sentences["sr3d"] == {"train": 0, "test": 0}
    assert 0 < made.sentences["scanrefer"]["train"] <= 6
    assert not (copy / "nr3d" / "nr3d.csv").exists()  # every object is alone in its class, which these sets leave out


def test_vectors_are_random_finite_and_the_same_for_a_word_everywhere(world: Path) -> None:
    words = {word for row in forms(world) for word in row["text"].replace(".", " .").replace(",", " ,").split()}
    vectors = read_glove(world / VECTORS, words)
    assert all(word in vectors for word in (*words, "unk", "pad", "sos", "eos"))
    assert vectors.vectors.shape[1] == 300
    assert 0.3 < vectors.vectors.std() < 0.5
    alone = np.array(random_vectors({"chair"}).splitlines()[0].split()[1:], float)
    assert np.array_equal(vectors["chair"], alone.astype(np.float32))


def test_it_never_touches_sentences_that_it_did_not_make(tmp_path: Path) -> None:
    root = described_world(tmp_path / "world")
    (root / "nr3d").mkdir()
    (root / "nr3d" / "nr3d.csv").write_text("mine\n")
    with pytest.raises(InputError, match="not from made sentences"):
        make_room_sentences(root, 2)
    assert (root / "nr3d" / "nr3d.csv").read_text() == "mine\n"
    assert not (root / MADE).exists()


def test_wrong_arguments_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"rooms\.json: no such file"):
        make_room_sentences(tmp_path, 2)
    root = described_world(tmp_path / "world")
    for count in (0, 201):
        with pytest.raises(InputError, match=f"found {count}, expected 1 to 200"):
            make_room_sentences(root, count)
    (root / "scans" / SCENES[1] / f"{SCENES[1]}.room.json").unlink()
    with pytest.raises(MissingDataError, match=rf"{SCENES[1]}\.room\.json: no such file"):
        make_room_sentences(root, 2)
    assert not (root / MADE).exists()


def test_outdated_sentences_are_warned_of(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    warn_if_outdated(copy)
    assert not caplog.records
    (copy / "meta_data" / "scannetv2_val.txt").write_text("")
    warn_if_outdated(copy)
    assert "made about other rooms" in caplog.text


@pytest.mark.slow
def test_the_recipes_take_every_sentence_about_made_rooms(tmp_path: Path) -> None:
    root = tmp_path / "rooms"
    kinds = [part for kind in REAL for part in ("--kind", kind)]
    made = ("--rooms", "3", "--test", "1", "--voxel", "0.05", "--val", "0.34", "--sentences", "8", *kinds)
    code, out, err = g3d("prepare", "rooms", "--out", str(root), *made, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["sentences"]["scanrefer"] == {"train": 16, "val": 8}
    assert {row["scene"] for row in forms(root)} == set(SCENES[:3])
    code, _, err = g3d("prepare", "scannet", "--data", str(root))
    assert code == 0, err
    for kind, splits in (
        ("scanrefer", {"train", "val"}),
        ("referit3d", {"nr3d-train", "nr3d-test", "sr3d-train", "sr3d-test"}),
    ):
        code, out, err = g3d("prepare", kind, "--data", str(root), "--vectors", report["random_vectors"], "--json")
        assert code == 0, err
        found = json.loads(out)
        assert found["broken"] == []
        assert found["notes"] == ["scenes of no list without sentences: 1 (first: scene0003_00)"]  # the test scan
        assert found["words"]["different"] == found["words"]["with_vector"]
        data = SentenceRoot.find(root, kind)
        assert set(data.index().splits) == splits
        for split in splits:
            assert data.sentences(split)
            assert not data.note(split)


def test_the_world_makes_no_sentence_unless_asked(tmp_path: Path) -> None:
    root = tmp_path / "rooms"
    make_rooms(root, 1, kinds=("bathroom",), voxel=0.05, val_fraction=0)
    made = make_room_sentences(root, 3)
    assert made.sentences["scanrefer"] == {"train": 3, "val": 0}
    assert not (root / "scanrefer" / "ScanRefer_filtered_val.json").exists()
    before = contents(root)
    code, _, err = g3d("prepare", "rooms", "--out", str(root), "--rooms", "1", "--kind", "bathroom", "--voxel", "0.05",
                       "--val", "0")  # fmt: skip
    assert code == 0, err
    assert "made about other rooms" not in err
    assert contents(root) == before
