"""Writer of sentences about a world of synthetic rooms, in the published forms of ScanRefer, Nr3D and Sr3D.

    <world>/scanrefer/ScanRefer_filtered_{train,val}.{json,txt}    sentences, and scenes of each split
    <world>/{nr3d,sr3d}/{nr3d,sr3d}.csv                            sentences of all scenes
    <world>/{nr3d,sr3d}/{train,test}_scans.txt                     scenes of each split
    <world>/{nr3d,sr3d}/manually_inspected_bad_contexts.csv        an empty list: every context is good
    <world>/sentences.forms.jsonl                                  the statements of each sentence
    <world>/random_vectors.txt                                     random vector of each word in use, as in GloVe's text
    <world>/sentences.json                                         what the sentences were made from

The vectors carry no meaning: they let everything run without GloVe's download.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.data.referit3d.raw import BAD_CONTEXTS
from g3d.data.scannet.folder import SPLITS, read_split
from g3d.data.scanrefer.vectors import SPECIAL
from g3d.errors import InputError
from g3d.prepare import workers as pool
from g3d.progress import Progress
from g3d.synthetic.rooms.world import MANIFEST, META, SCANS
from g3d.synthetic.sentences.about_rooms import RoomSentence, describe_room, descriptions_in
from g3d.synthetic.sentences.rooms_facts import read_room
from g3d.synthetic.sentences.rooms_wording import Style, words_of

SCHEMA = "g3d.room_sentences/1"
FORMS, VECTORS, MADE = "sentences.forms.jsonl", "random_vectors.txt", "sentences.json"
_DIMENSIONS, _SPREAD = 300, 0.4  # of GloVe's vectors
_MOST = 200
_SPATIAL_FREE = ("noun", "colour")
_SHAPES = ("largest", "smallest", "tallest")
_SR3D_TYPES = {
    "nearest": "closest",
    "farthest": "farthest",
    "above": "above",
    "under": "below",
    "on": "supported-by",
    "in front of": "front",
    "left of": "left",
    "right of": "right",
}
_TABLES = (
    *(f"scanrefer/ScanRefer_filtered_{split}.json" for split in ("train", "val")),
    "nr3d/nr3d.csv",
    "sr3d/sr3d.csv",
)
_PARTS = {"train": "train", "test": "val"}  # of Nr3D and Sr3D, whose test scenes are ScanNet's validation scenes
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoomSentencesSummary:
    """Sentences that were written.

    Attributes:
        sentences: number of sentences by data set and split.
        words: number of different words.
        vectors: file of the random word vectors.
    """

    sentences: dict[str, dict[str, int]]
    words: int
    vectors: Path


@dataclass(frozen=True)
class _Room:
    """The sentences about one room, and its labels by objectId."""

    scene: str
    labels: Mapping[int, str]
    sentences: Mapping[Style, Sequence[RoomSentence]]


def make_room_sentences(
    world: Path | str, count: int, seed: int = 0, *, workers: int = 1, progress: Progress | None = None
) -> RoomSentencesSummary:
    """Write sentences about the annotated rooms of a world; those of an earlier run are replaced.

    Args:
        world: the rooms' folder, from g3d.synthetic.rooms.world.make_rooms.
        count: number of sentences about a room in each of the three forms, 1 to 200; a room with few things has fewer.
        seed: of content and wording.
        workers: processes; any number writes the same bytes.
        progress: is advanced by one for every room.

    Raises:
        MissingDataError: `world` holds no rooms.
        InputError: `count` is out of range, a description is damaged, or no sentence was found.
        EnvironmentProblem: the disk is full or the folder cannot be written.
    """
    world = Path(world)
    if not 1 <= count <= _MOST:
        raise InputError(f"sentences: found {count}, expected 1 to {_MOST} about each room")
    _refuse_others(world)
    made = {"schema": SCHEMA, "sentences": count, "seed": seed, "rooms": _made_from(world)}
    splits = {split: read_split(world / META / SPLITS[split]) for split in ("train", "val")}
    scenes = [scene for names in splits.values() for scene in names]
    done = pool.apply(partial(_describe, world, count, seed), scenes, "sentences", workers, progress)
    if done.broken:
        raise done.broken[0][1]
    rooms = dict(done.good)
    texts = _scanrefer(rooms, splits) | _referit3d(rooms, splits, "nr3d") | _referit3d(rooms, splits, "sr3d")
    used = {word for room in rooms.values() for style in room.sentences for word in _words(room, style)}
    if not used:
        raise InputError(f"{world}: no sentence can be made about its rooms", "make more rooms")
    _write(
        world, {MADE: json.dumps(made, indent=1) + "\n", **texts, FORMS: _forms(rooms), VECTORS: random_vectors(used)}
    )
    counts = {
        style: {
            split if style == "scanrefer" or split == "train" else "test": sum(
                len(rooms[scene].sentences[style]) for scene in names
            )
            for split, names in splits.items()
        }
        for style in ("scanrefer", "nr3d", "sr3d")
    }
    return RoomSentencesSummary(counts, len(used), world / VECTORS)


def warn_if_outdated(world: Path) -> None:
    """Log a warning if a world's sentences were made about other rooms than those that it holds now."""
    path = world / MADE
    if path.is_file():
        with reading(path, "sentences"):
            earlier = json.loads(path.read_bytes()).get("rooms")
        if earlier != _made_from(world):
            log.warning("%s: the sentences were made about other rooms; make them again with --sentences N", path)


def _refuse_others(world: Path) -> None:
    """Raise an InputError if a world holds sentences that were not made here."""
    if (world / MADE).is_file():
        return
    for name in (*_TABLES, FORMS, VECTORS):
        if (world / name).exists():
            raise InputError(
                f"{world / name}: found a file that is not from made sentences (no {MADE}), expected none",
                "move it away, or choose another folder for the rooms",
            )


def _write(world: Path, texts: Mapping[str, str]) -> None:
    """Write the files, the manifest first, and remove tables of an earlier run that are not written again."""
    for name, text in texts.items():
        with atomic_write(world / name) as file:
            file.write(text.encode())
    for name in _TABLES:
        if name not in texts:
            (world / name).unlink(missing_ok=True)


def random_vectors(words: Iterable[str]) -> str:
    """Return lines of a word and 300 random numbers, for the words and the special ones; the word is the seed."""
    lines = []
    for word in sorted({*words, *SPECIAL}):
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
        values = np.random.default_rng(seed).normal(0, _SPREAD, _DIMENSIONS)
        lines.append(f"{word} {' '.join(f'{value:.4f}' for value in values)}\n")
    return "".join(lines)


def _made_from(world: Path) -> dict[str, Any]:
    """Return what identifies the rooms of a world: its arguments and the scenes of its splits."""
    path = world / MANIFEST
    with reading(path, "rooms", missing_hint="g3d prepare rooms makes them", problem="not valid JSON"):
        arguments = json.loads(path.read_bytes())
    lists = {split: read_split(world / META / SPLITS[split]) for split in ("train", "val")}
    return {"arguments": arguments, **{split: len(names) for split, names in lists.items()}}


def _describe(world: Path, count: int, seed: int, scene: str) -> _Room:
    room = read_room(world / SCANS / scene / f"{scene}.room.json")
    styles: tuple[Style, ...] = ("scanrefer", "nr3d", "sr3d")
    return _Room(
        scene,
        {thing.id: thing.label for thing in room.things},
        {style: describe_room(room, count, seed, style) for style in styles},
    )


def _words(room: _Room, style: Style) -> set[str]:
    return {word for sentence in room.sentences[style] for word in words_of(sentence.text, style == "scanrefer")}


def _annotations(sentences: Sequence[RoomSentence]) -> list[int]:
    """Return the number of each sentence among those about its object."""
    counts: Counter[int] = Counter()
    numbers = []
    for sentence in sentences:
        numbers.append(counts[sentence.object])
        counts[sentence.object] += 1
    return numbers


def _scanrefer(rooms: Mapping[str, _Room], splits: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the texts of ScanRefer's files, by name; a split without sentences has no JSON file."""
    texts = {}
    for split, scenes in splits.items():
        records = [
            {
                "scene_id": scene,
                "object_id": str(sentence.object),
                "object_name": rooms[scene].labels[sentence.object].replace(" ", "_"),
                "ann_id": str(number),
                "description": sentence.text,
                "token": words_of(sentence.text, True),
            }
            for scene in scenes
            for number, sentence in zip(
                _annotations(rooms[scene].sentences["scanrefer"]), rooms[scene].sentences["scanrefer"], strict=True
            )
        ]
        if records:
            texts[f"scanrefer/ScanRefer_filtered_{split}.json"] = json.dumps(records, indent=1) + "\n"
        texts[f"scanrefer/ScanRefer_filtered_{split}.txt"] = "".join(f"{scene}\n" for scene in scenes)
    return texts


def _referit3d(rooms: Mapping[str, _Room], splits: Mapping[str, Sequence[str]], style: Style) -> dict[str, str]:
    """Return the texts of the files of Nr3D or Sr3D, by name; without sentences there is no table."""
    said = [
        (rooms[s], sentence) for scenes in splits.values() for s in scenes for sentence in rooms[s].sentences[style]
    ]
    rows = [_row(room, sentence, number, style) for number, (room, sentence) in enumerate(said)]
    table = StringIO()
    if rows:
        writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lists = {name: "".join(f"{scene}\n" for scene in splits[split]) for name, split in _PARTS.items()}
    texts = {f"{style}/{name}_scans.txt": text for name, text in lists.items()}
    texts[f"{style}/{BAD_CONTEXTS}"] = "stimulus_id\n"
    return texts | ({f"{style}/{style}.csv": table.getvalue()} if rows else {})


def _row(room: _Room, sentence: RoomSentence, number: int, style: Style) -> dict[str, Any]:
    """Return a row of nr3d.csv or sr3d.csv."""
    label = room.labels[sentence.object]
    distractors = [k for k, other in room.labels.items() if other == label and k != sentence.object]
    stimulus = [room.scene, label.replace(" ", "_"), len(distractors) + 1, sentence.object, *distractors]
    families = {said.family for said in sentence.meaning}
    common = {
        "stimulus_id": "-".join(map(str, stimulus)),
        "utterance": sentence.text,
        "scan_id": room.scene,
        "instance_type": label,
        "target_id": sentence.object,
        "tokens": str(words_of(sentence.text, False)),
        "dataset": style,
        "mentions_target_class": True,
    }
    if style == "sr3d":
        relation = next(said for said in sentence.meaning if said.family not in _SPATIAL_FREE)
        kind = relation.value[0] if relation.family == "order" else relation.family
        anchors = [name for name, _ in descriptions_in(sentence.meaning)]
        return {**common, "reference_type": _SR3D_TYPES.get(kind, kind), "anchors_types": str(anchors)}
    sizes = {said.value[0] for said in sentence.meaning if said.family == "order"} & set(_SHAPES)
    return {
        "assignmentid": number,
        **common,
        "correct_guess": True,
        "speaker_id": 0,
        "listener_id": 0,
        "uses_object_lang": bool(descriptions_in(sentence.meaning)),
        "uses_spatial_lang": bool(families - set(_SPATIAL_FREE)),
        "uses_color_lang": "colour" in families,
        "uses_shape_lang": bool(sizes),
    }


def _forms(rooms: Mapping[str, _Room]) -> str:
    """Return one JSON object a line: data set, scene, object, text and statements of every sentence."""
    return "".join(
        json.dumps({"set": style, "scene": scene, "object": s.object, "text": s.text, "form": s.meaning}) + "\n"
        for scene, room in rooms.items()
        for style, sentences in room.sentences.items()
        for s in sentences
    )
