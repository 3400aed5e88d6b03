"""Writer of a Mono3DRefer data set of synthetic streets: images, calibration, sentences, splits and groups, in the
published layout.

    <root>/images/%06d.png, calib/%06d.txt        files of the streets (hard links if the file system supports them)
    <root>/Mono3DRefer.json                       one entry for each sentence
    <root>/Mono3DRefer_{train,val,test}_image.txt
    <root>/test_instanceID_split.json             groups of the test objects
    <root>/meanings.json                          "{im_name}_{instanceID}_{ann_id}" -> [[family, value], ...]
    <root>/made.json                              the arguments and the streets that the data set was made from

Groups: Unique, if no other object of the class is visible in the image; Near, Medium and Far by distance along the
    ground, up to 15 m, up to 35 m, and beyond; Easy, Moderate and Hard by KITTI's limits of occlusion and truncation.
    Multiple is empty as in the published file: it consists of all objects that are not Unique.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from g3d.data.folders import atomic_folder
from g3d.data.kitti.raw import KittiRoot
from g3d.data.mono3drefer.names import GROUPS
from g3d.errors import InputError, MissingDataError
from g3d.prepare import workers as pool
from g3d.progress import Progress
from g3d.synthetic.sentences.about_streets import Sentence, describe
from g3d.synthetic.sentences.statements import CLASS_WORDS, Thing, visible_things
from g3d.synthetic.streets.world import MANIFEST

SCHEMA = "g3d.made-mono3drefer/1"
DISTANCES = (15.0, 35.0)
"""Upper limits of Near and Medium, metres."""
EASY, MODERATE = (0, 0.15), (1, 0.3)
"""Maximum occlusion level and truncation of Easy and Moderate, as in KITTI."""
_MADE = "made.json"


@dataclass(frozen=True)
class Mono3DReferSummary:
    """Summary of the data set under `root`: sentences by split, number of objects, and whether it existed already."""

    root: Path
    sentences: dict[str, int]
    objects: int
    reused: bool


@dataclass(frozen=True)
class _Described:
    """An object with its sentences, its row of label_2 as text, its class word and its groups."""

    row: str
    noun: str
    groups: tuple[str, ...]
    sentences: tuple[Sentence, ...]


def make_mono3drefer(
    world: Path | str,
    root: Path | str | None = None,
    sentences: int = 5,
    seed: int = 0,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Mono3DReferSummary:
    """Write sentences about a world of synthetic streets in Mono3DRefer's layout.

    The training frames of the streets become the training images. Their validation frames are divided: the first half
    (the larger one) becomes validation, the second half test. A frame in which no object is visible enough to be
    described is in no split. An existing data set is reused if it was made from the same streets with the same
    arguments, else it is replaced.

    Args:
        world: the streets' folder, from g3d.synthetic.streets.world.make_streets.
        root: output folder; `world`/mono3drefer if not given.
        sentences: number of sentences per object, 1 to 20.
        seed: seed of the content and the wording of the sentences.
        workers: number of processes.
        progress: receives an update for every frame.

    Raises:
        MissingDataError: `world` contains no streets.
        InputError: an argument is out of range, or `root` contains something else.
        EnvironmentProblem: the disk is full or the folder cannot be written.
    """
    world = Path(world)
    root = world / "mono3drefer" if root is None else Path(root)
    if not 1 <= sentences <= 20:
        raise InputError(f"sentences: expected 1 to 20 for each object, found {sentences}")
    try:
        streets = json.loads((world / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise MissingDataError(
            f"{world}: holds no made streets ({MANIFEST})", hint="g3d prepare demo makes them."
        ) from error
    made = {"schema": SCHEMA, "sentences": sentences, "seed": seed, "streets": streets}
    found = _existing(root, made)
    if found is not None:
        return Mono3DReferSummary(root, found["counts"], found["objects"], True)
    frames = _splits(KittiRoot.find(world))
    with atomic_folder(root) as folder:
        described = _describe_all(
            world, [frame for names in frames.values() for frame in names], sentences, seed, workers, progress
        )
        frames = {split: [frame for frame in names if described[frame]] for split, names in frames.items()}
        counts = _write(folder, frames, described)
        for frame in (frame for names in frames.values() for frame in names):
            for name, source, suffix in (("images", "image_2", "png"), ("calib", "calib", "txt")):
                _link(world / "training" / source / f"{frame}.{suffix}", folder / name / f"{frame}.{suffix}")
        objects = sum(len(described[frame]) for names in frames.values() for frame in names)
        (folder / _MADE).write_text(json.dumps({**made, "counts": counts, "objects": objects}, indent=1) + "\n")
    return Mono3DReferSummary(root, counts, objects, False)


def training_sentences(root: Path | str) -> list[str]:
    """Return the sentences about the training images of a synthetic Mono3DRefer, for the training of a tokenizer."""
    train = set((Path(root) / "Mono3DRefer_train_image.txt").read_text().split())
    return [
        entry["description"]
        for entry in json.loads((Path(root) / "Mono3DRefer.json").read_text())
        if entry["im_name"] in train
    ]


def groups_of(thing: Thing, things: tuple[Thing, ...]) -> tuple[str, ...]:
    """Return the groups of a frame's object: Unique if it is unique, one group by distance, one by difficulty."""
    unique = ("Unique",) if sum(other.type == thing.type for other in things) == 1 else ()
    distance = "Near" if thing.distance <= DISTANCES[0] else "Medium" if thing.distance <= DISTANCES[1] else "Far"
    for name, (occluded, truncated) in (("Easy", EASY), ("Moderate", MODERATE)):
        if thing.occluded <= occluded and thing.truncated <= truncated:
            return (*unique, distance, name)
    return (*unique, distance, "Hard")


def _existing(root: Path, made: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of the data set at `root` if it was made with `made`; None if `root` is missing, empty, or
    holds a data set to replace.

    Raises:
        InputError: `root` holds something else.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        found: dict[str, Any] = json.loads((root / _MADE).read_text())
        known = found["schema"] == SCHEMA
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise InputError(
            f"{root}: expected a new folder, found one that holds something else", hint="Choose another folder."
        )
    return found if all(found.get(key) == value for key, value in made.items()) else None


def _splits(streets: KittiRoot) -> dict[str, list[str]]:
    unseen = streets.split("val")
    half = (len(unseen) + 1) // 2
    return {"train": streets.split("train"), "val": unseen[:half], "test": unseen[half:]}


def _describe_all(
    world: Path, frames: list[str], sentences: int, seed: int, workers: int, progress: Progress | None
) -> dict[str, list[_Described]]:
    done = pool.apply(partial(_describe_frame, world, sentences, seed), frames, "sentences", workers, progress)
    if done.broken:
        raise done.broken[0][1]
    return dict(done.good)


def _describe_frame(world: Path, count: int, seed: int, frame: str) -> list[_Described]:
    path = world / "training" / "scene" / f"{frame}.json"
    try:
        scene = json.loads(path.read_text())
        lines = (world / "training" / "label_2" / f"{frame}.txt").read_text().splitlines()
    except (OSError, ValueError) as error:
        raise MissingDataError(f"{path}: a street's description or labels cannot be read: {error}") from error
    things = visible_things(scene)
    by_id = {thing.id: thing for thing in things}
    found = []
    for number, said in describe(scene, count, seed).items():
        thing = by_id[number]
        assert thing.line is not None  # describe returns only labelled things
        found.append(
            _Described(repr(lines[thing.line].split()), CLASS_WORDS[thing.type], groups_of(thing, things), tuple(said))
        )
    return found


def _write(folder: Path, frames: Mapping[str, list[str]], described: Mapping[str, list[_Described]]) -> dict[str, int]:
    """Write everything except images and calibration; return the number of sentences by split."""
    entries, meanings, counts = [], {}, dict.fromkeys(frames, 0)
    groups: dict[str, list[int]] = {name: [] for name in GROUPS}
    for instance, (split, frame, thing) in enumerate(_in_order(frames, described)):
        counts[split] += len(thing.sentences)
        for ann, sentence in enumerate(thing.sentences):
            entries.append(
                {
                    "im_name": frame,
                    "instanceID": instance,
                    "ann_id": ann,
                    "objectName": thing.noun,
                    "label_2": thing.row,
                    "description": sentence.text,
                }
            )
            meanings[f"{frame}_{instance}_{ann}"] = sentence.meaning
        for name in thing.groups if split == "test" else ():
            groups[name].append(instance)
    for name in ("images", "calib"):
        (folder / name).mkdir()
    for split, names in frames.items():
        (folder / f"Mono3DRefer_{split}_image.txt").write_text("".join(f"{frame}\n" for frame in names))
    for name, values in (("Mono3DRefer", entries), ("test_instanceID_split", groups), ("meanings", meanings)):
        (folder / f"{name}.json").write_text(
            json.dumps(values, indent=0 if name != "test_instanceID_split" else None) + "\n"
        )
    return counts


def _in_order(
    frames: Mapping[str, list[str]], described: Mapping[str, list[_Described]]
) -> Iterator[tuple[str, str, _Described]]:
    for split, names in frames.items():
        for frame in names:
            for thing in described[frame]:
                yield split, frame, thing


def _link(source: Path, target: Path) -> None:
    """Create a hard link to a file, or a copy if the file system does not support hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
