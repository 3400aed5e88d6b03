"""Index of checked sentences about scenes, which `g3d prepare scanrefer` and `g3d prepare referit3d` write.

    <data>/g3d/<kind>.json                      sentences of every split, with classes and groups
    <data>/g3d/<kind>.vectors.safetensors       vectors of the words in use, if a file of word vectors was given
    <data>/g3d/<kind>.manifest.json             what they were made from, and where the scenes are

The folder of the data, its g3d/ and the folder given by --out can be used as --data.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.data.scannet.detection_scenes import find_scenes, read_scene_boxes, scene_sources
from g3d.data.scannet.labels import OTHERS
from g3d.data.scanrefer.records import SceneSentence
from g3d.data.scanrefer.vectors import WordVectors, read_vectors
from g3d.data.types import SceneBoxes, SceneSource
from g3d.errors import InputError, MissingDataError, did_you_mean

log = logging.getLogger(__name__)
FOLDER = "g3d"
SCHEMA = "g3d.scene_sentences/1"
_AGAIN = "run g3d prepare again"


@dataclass(frozen=True)
class IndexedSentence(SceneSentence):
    """A sentence with the classes of its object.

    Attributes:
        last_word_class: class 0..17 of the object by WS-3DVG's rule (`class_of_object`).
        whole_name_class: class 0..17 of the whole name, as in ScanRefer.
        several: whether the scene has several described objects of the class of the whole name.
    """

    last_word_class: int = OTHERS
    whole_name_class: int = OTHERS
    several: bool = False


@dataclass(frozen=True)
class SentenceIndex:
    """All sentences of a prepared folder.

    Attributes:
        splits: sentences of each split, by its name.
        bad_contexts: stimulus ids of ReferIt3D's bad contexts, by "nr3d" and "sr3d"; None where there was no list.
    """

    splits: Mapping[str, tuple[IndexedSentence, ...]]
    bad_contexts: Mapping[str, frozenset[str] | None]


@dataclass(frozen=True)
class SentenceRoot:
    """A prepared folder of sentences.

    Attributes:
        folder: the folder of the index.
        kind: "scanrefer" or "referit3d".
    """

    folder: Path
    kind: str

    @staticmethod
    def find(path: Path, kind: str) -> SentenceRoot:
        """Return the prepared sentences in a folder or in its g3d/.

        Raises:
            MissingDataError: the folder does not exist, or was not prepared.
        """
        root = Path(path)
        if not root.is_dir():
            raise MissingDataError(f"{kind} data {root}: {'not a folder' if root.exists() else 'no such folder'}")
        for folder in (root, root / FOLDER):
            if (folder / index_name(kind)).is_file():
                return SentenceRoot(folder, kind)
        raise MissingDataError(
            f"{kind} data {root}: not prepared (no {FOLDER}/{index_name(kind)})",
            f"run: g3d prepare {kind} --data {root}",
        )

    def index(self) -> SentenceIndex:
        """Return all sentences.

        Raises:
            InputError: the index is damaged.
        """
        return read_index(self.folder / index_name(self.kind))

    def listed(self, split: str) -> list[IndexedSentence]:
        """Return all sentences of a split.

        Args:
            split: a split of the index, or the path of a list of sentence ids.

        Raises:
            InputError: there is no such split, or the list names an unknown sentence.
        """
        index = self.index()
        return list(index.splits[split]) if split in index.splits else self._of_list(Path(split), index)

    def sentences(self, split: str) -> list[IndexedSentence]:
        """Return the sentences of a split whose scenes are there; a warning counts the others.

        Raises:
            MissingDataError: the data was prepared without scenes, or no scene of the split is there.
            InputError: see `listed`.
        """
        chosen, scenes = self.listed(split), find_scenes(self.scenes())
        there = [sentence for sentence in chosen if sentence.scene in scenes]
        missing = sorted({sentence.scene for sentence in chosen} - set(scenes))
        if missing:
            text = (
                f"{self.kind} data {self.folder}: split {split}: {len(missing)} scenes of its sentences are not in "
                f"{self.scenes()} (first: {missing[0]}{did_you_mean(missing[0], scenes) if not there else ''})"
            )
            if not there:
                raise MissingDataError(text, f"run: g3d prepare {self.kind} --scenes DIR with these scenes")
            log.warning("%s; %d of %d sentences are used", text, len(there), len(chosen))
        return there

    def note(self, split: str) -> list[str]:
        """Return a note for tables that counts the sentences about scenes that are not there; [] if all are."""
        chosen, scenes = self.listed(split), find_scenes(self.scenes())
        count = sum(sentence.scene not in scenes for sentence in chosen)
        return [f"sentences about scenes that are not there, which do not count: {count:,}."] if count else []

    def _of_list(self, path: Path, index: SentenceIndex) -> list[IndexedSentence]:
        if not path.is_file():
            near = did_you_mean(str(path), index.splits)
            raise InputError(
                f"split {path}: unknown; expected {', '.join(index.splits)}, or the path of a list of ids{near}"
            )
        known = {s.id: s for sentences in index.splits.values() for s in sentences}
        with reading(path, "split"):
            ids = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            wrong = next((name for name in ids if name not in known), None)
            if wrong is not None or not ids:
                raise InputError(
                    f"found {wrong or 'nothing'}, expected ids of sentences, <scene>-<objectId>-<sentence>"
                )
        return [known[name] for name in ids]

    def by_id(self, ids: Iterable[str], split: str = "") -> dict[str, IndexedSentence]:
        """Return the sentences with the given ids: those of `split` first, then those of all splits.

        Raises:
            MissingDataError: there is no sentence with one of the ids.
        """
        splits = self.index().splits
        ordered = [sentences for name, sentences in splits.items() if name != split] + [splits.get(split, ())]
        known = {s.id: s for sentences in ordered for s in sentences}
        found = {}
        for name in ids:
            if name not in known:
                raise MissingDataError(
                    f"{self.kind} data {self.folder}: no sentence {name!r}", "ids are <scene>-<objectId>-<sentence>"
                )
            found[name] = known[name]
        return found

    def scenes(self) -> Path:
        """Return the folder of the scenes that the data was prepared with.

        Raises:
            MissingDataError: it was prepared without scenes, or they are not there any more.
            InputError: the manifest is damaged.
        """
        again = f"run: g3d prepare {self.kind} --data DIR --scenes DIR"
        with reading(self.folder / manifest_name(self.kind), hint=again, problem="does not say where the scenes are"):
            stated = self._manifest()["settings"]["scenes"]
            if stated is not None and not isinstance(stated, str):
                raise InputError("settings.scenes: expected a folder or null")
        if stated is None:
            raise MissingDataError(f"{self.kind} data {self.folder}: was prepared without scenes", again)
        if not Path(stated).is_dir():
            raise MissingDataError(
                f"{self.kind} data {self.folder}: its scenes were in {stated}, which is not there", again
            )
        return Path(stated)

    def sources(self, sentences: Iterable[SceneSentence]) -> dict[str, SceneSource]:
        """Return the scene of each sentence, by the sentence's id; its points are read in the aligned frame.

        Raises:
            MissingDataError: a scene is not there.
        """
        scene_of = {sentence.id: sentence.scene for sentence in sentences}
        found = scene_sources(self.scenes(), list(dict.fromkeys(scene_of.values())))
        return {name: found[scene] for name, scene in scene_of.items()}

    def truth(self, sentences: Iterable[SceneSentence]) -> dict[str, SceneBoxes]:
        """Return the box of each sentence's object in the aligned frame, by the sentence's id.

        Sentences whose object has no box, and those about scenes without annotation, are left out.

        Raises:
            MissingDataError: a scene is not there.
            InputError: the boxes of a scene have no objectIds.
        """
        kept = list(sentences)
        found: dict[str, SceneBoxes] = {}
        boxes = {name: object_boxes(Path(str(source.path))) for name, source in self._scene_of(kept).items()}
        for sentence in kept:
            row = (boxes[sentence.scene] or {}).get(sentence.object)
            if row is not None:
                found[sentence.id] = SceneBoxes(
                    np.array([sentence.name], np.str_), row[None, :3], row[None, 3:6], ids=np.array([sentence.object])
                )
        return found

    def _scene_of(self, sentences: Sequence[SceneSentence]) -> dict[str, SceneSource]:
        return scene_sources(self.scenes(), list(dict.fromkeys(sentence.scene for sentence in sentences)))

    def vectors(self) -> WordVectors:
        """Return the vectors of the words in use.

        Raises:
            MissingDataError: the data was prepared without word vectors.
            InputError: the file is damaged.
        """
        name = vectors_name(self.kind)
        with reading(self.folder / manifest_name(self.kind), hint=_AGAIN, problem="does not list the prepared files"):
            made = name in self._manifest()["outputs"]
        if not made:  # an older file may still be there
            raise MissingDataError(
                f"{self.kind} data {self.folder}: was prepared without word vectors",
                f"run: g3d prepare {self.kind} --data DIR --vectors FILE",
            )
        return read_vectors(self.folder / name)

    def _manifest(self) -> dict[str, Any]:
        """Return the content of the manifest, unchecked."""
        content: dict[str, Any] = json.loads((self.folder / manifest_name(self.kind)).read_text(encoding="utf-8"))
        return content


def object_boxes(path: Path) -> dict[int, np.ndarray] | None:
    """Return the centre and size, (6,) float64, of each object of a scene by objectId; None without annotation.

    Raises:
        InputError: the files do not state objectIds, as those of VoteNet.
    """
    boxes = read_scene_boxes(path)
    if boxes is None:
        return None
    if len(boxes) and (boxes[:, 7] < 0).any():
        raise InputError(
            f"scene {path}: its boxes have no objectIds (VoteNet's form), so that no sentence's object can be found",
            "use scenes of g3d prepare scannet, or ScanRefer's form",
        )
    return {int(row[7]): row[:6] for row in boxes}


def index_name(kind: str) -> str:
    """Return the file name of an index."""
    return f"{kind}.json"


def vectors_name(kind: str) -> str:
    """Return the file name of the vectors of the words in use."""
    return f"{kind}.vectors.safetensors"


def manifest_name(kind: str) -> str:
    """Return the file name of the manifest of an index."""
    return f"{kind}.manifest.json"


def is_prepared(root: Path, kind: str) -> bool:
    """Return whether a folder or its g3d/ holds an index."""
    return any((folder / index_name(kind)).is_file() for folder in (root, root / FOLDER))


_FIELDS = tuple(field.name for field in fields(IndexedSentence) if field.name != "place")
_TUPLES = ("words", "keywords", "first_keywords")


def write_index(path: Path, index: SentenceIndex) -> None:
    """Write an index; equal sentences give equal bytes.

    Raises:
        EnvironmentProblem: the file cannot be written.
    """
    content = {
        "schema": SCHEMA,
        "fields": _FIELDS,
        "splits": {
            name: [[getattr(sentence, field) for field in _FIELDS] for sentence in sentences]
            for name, sentences in index.splits.items()
        },
        "bad_contexts": {name: None if ids is None else sorted(ids) for name, ids in index.bad_contexts.items()},
    }
    with atomic_write(path) as file:
        file.write(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())


def read_index(path: Path) -> SentenceIndex:
    """Return an index.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is damaged, or was written by another version.
    """
    with reading(path, "index", _AGAIN):
        about = path.stat()
        return _read(path.resolve(), about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=2)
def _read(path: Path, changed: int, size: int) -> SentenceIndex:
    """Return an index; verbs ask for it many times, and reading takes a second."""
    with reading(path, "index", _AGAIN):
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA or tuple(content["fields"]) != _FIELDS:
            raise InputError(
                f"index {path}: found schema {content['schema']}, expected {SCHEMA} with other fields", _AGAIN
            )
        splits = {name: tuple(map(_read_row, rows)) for name, rows in content["splits"].items()}
        bad = {name: None if ids is None else frozenset(ids) for name, ids in content["bad_contexts"].items()}
    return SentenceIndex(splits, bad)


def _read_row(row: Sequence[object]) -> IndexedSentence:
    values = dict(zip(_FIELDS, row, strict=True))
    for name in _TUPLES:
        found = values[name]
        values[name] = tuple(found) if isinstance(found, list) else None
    return IndexedSentence(**values)  # type: ignore[arg-type]
