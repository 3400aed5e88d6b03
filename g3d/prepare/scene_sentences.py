"""`g3d prepare scanrefer` and `g3d prepare referit3d`: check sentences about scenes, and write their index."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from g3d.data.referit3d.mentions import read_lexicon
from g3d.data.referit3d.raw import read_bad_contexts, read_referit3d_csv
from g3d.data.scannet.detection_scenes import find_scenes
from g3d.data.scannet.labels import LabelTable
from g3d.data.scannet.published_scenes import published_name
from g3d.data.scannet.scenes import FILE as SCENE_FILE
from g3d.data.scanrefer.files import (
    LABEL_TABLE,
    bad_context_files,
    glove_file,
    label_table_file,
    scene_lists,
    sentence_files,
)
from g3d.data.scanrefer.index import FOLDER, SentenceIndex, index_name, manifest_name, vectors_name, write_index
from g3d.data.scanrefer.records import SentenceFile, read_sentences_json
from g3d.data.scanrefer.vectors import WordVectors, read_glove, write_vectors
from g3d.errors import G3DError, InputError, MissingDataError
from g3d.prepare.runner import Item, Joined, JointRecipe, prepare_jointly
from g3d.prepare.sentence_checks import (
    Keywords,
    SplitOf,
    check_splits,
    indexed,
    splits_of,
    with_keywords,
    with_mentions,
    with_scenes,
)
from g3d.progress import Progress

VERSION = 1
_BYTES_OF_RECORD = 0.4  # of the index beside the file of sentences
Kind = Literal["scanrefer", "referit3d"]
_NEEDED = {
    "scanrefer": "ScanRefer_filtered_train.json, ScanRefer_filtered_val.json or WS-3DVG's Masked_... of them",
    "referit3d": "nr3d.csv, sr3d.csv, or WS-3DVG's nr3d_train.json and nr3d_val.json",
}


@dataclass(frozen=True)
class SentenceOptions:
    """Options of the recipes.

    Attributes:
        scenes: folder of prepared or published scenes; None searches the data's own folder and `scannet/` beside it.
        labels: the label table; None searches it.
        vectors: file of word vectors; None searches glove.p.
        keywords: "auto" takes published keywords where they fit and rules elsewhere; "rules" and "spacy" compute all.
        bad_contexts: whether Nr3D and Sr3D need the lists of bad contexts.
        word_lists: file of word lists that decide which sentences name the class of their object (Lexicon); None takes
            the column of the table.
    """

    scenes: Path | None = None
    labels: Path | None = None
    vectors: Path | None = None
    keywords: Keywords = "auto"
    bad_contexts: bool = True
    word_lists: Path | None = None


@dataclass(frozen=True)
class SentenceReport:
    """Result of preparing sentences.

    Attributes:
        folder: the prepared folder; None if nothing was prepared.
        splits: number of sentences, objects and scenes of each split.
        files: the files that were read, by split or set.
        scenes: the folder of the scenes; None without scenes.
        keywords: number of sentences whose keywords are published, computed, and computed because the published ones
            are out of step; and precision and recall of the computed ones against the published ones.
        words: number of different words, of those with a vector, and file of the vectors; None without vectors.
        notes: facts about the data, one line each.
        broken: (name, error) of each record or file that cannot be used.
        up_to_date: whether the index was up to date and was not written again.
        bytes_written: size of what was written, in bytes.
    """

    folder: Path | None
    splits: Mapping[str, Mapping[str, int]]
    files: Mapping[str, str]
    scenes: str | None
    keywords: Mapping[str, Any]
    words: Mapping[str, Any] | None
    notes: tuple[str, ...]
    broken: tuple[tuple[str, G3DError], ...] = ()
    up_to_date: bool = False
    bytes_written: int = 0


@dataclass(frozen=True)
class _Inputs:
    """All files that a recipe reads."""

    kind: Kind
    root: Path
    files: Mapping[str, Path]
    scenes: Path | None
    scene_paths: Mapping[str, Path]
    labels: Path
    lists: Mapping[str, Mapping[str, Path]]
    bad_contexts: Mapping[str, Path]
    vectors: Path | None
    keywords: Keywords
    word_lists: Path | None


def prepare_sentences(
    kind: Kind,
    data: Path,
    out: Path | None = None,
    options: SentenceOptions = SentenceOptions(),
    check_only: bool = False,
    keep_going: bool = False,
    redo: bool = False,
    progress: Progress | None = None,
) -> SentenceReport:
    """Check the sentences in a folder and write their index.

    Args:
        kind: "scanrefer" or "referit3d".
        data: folder of the official files, or WS-3DVG's (g3d/data/scanrefer/files.py).
        out: the prepared folder; `<data>/g3d` if None.
        options: the recipe's options.
        check_only: check everything, write nothing.
        keep_going: index the good sentences even if something is broken.
        redo: write the index even if it is up to date.
        progress: is advanced by one for every file.

    Raises:
        MissingDataError: a file is missing: the sentences, the label table, a list of bad contexts, or the scenes.
        InputError: a list, the label table or the word vectors cannot be used.
        EnvironmentProblem: `out` cannot be written, or spaCy was asked for and is not installed.
    """
    inputs = _find(kind, Path(data), options)
    folder = out or inputs.root / FOLDER
    items = [Item(name, (path,), int(path.stat().st_size * _BYTES_OF_RECORD)) for name, path in inputs.files.items()]
    done = prepare_jointly(
        _recipe(inputs), items, folder, 1, redo, check_only, keep_going=keep_going, progress=progress
    )
    facts = {name: value for name, value in done.facts.items() if name != "left_out"}
    return SentenceReport(
        folder=folder if done.written else None,
        files={name: str(path) for name, path in inputs.files.items()},
        scenes=str(inputs.scenes) if inputs.scenes else None,
        notes=tuple(facts.pop("notes")),
        **facts,
        broken=done.broken,
        up_to_date=done.up_to_date,
        bytes_written=done.bytes,
    )


def _find(kind: Kind, root: Path, options: SentenceOptions) -> _Inputs:
    """Return the files of a recipe.

    Raises:
        MissingDataError: a needed file is missing.
    """
    if not root.is_dir():
        raise MissingDataError(f"--data {root}: {'not a folder' if root.exists() else 'no such folder'}")
    files = sentence_files(root, kind)
    if not files:
        raise MissingDataError(f"--data {root}: no sentences of {kind}", f"it needs {_NEEDED[kind]}")
    scenes = _scenes(root, options.scenes)
    labels = options.labels or label_table_file(root, scenes)
    if labels is None:
        raise MissingDataError(
            f"--data {root}: {LABEL_TABLE} is missing, which gives the classes of the objects",
            "copy it from ScanNet or from ScanRefer's data/scannet/meta_data, or give it with --labels FILE",
        )
    names = (kind,) if kind == "scanrefer" else tuple(dict.fromkeys(name.partition("-")[0] for name in files))
    lists = {name: scene_lists(root, scenes, name) for name in names}
    bad = bad_context_files(root) if kind == "referit3d" and options.bad_contexts else {}
    tables = [name for name in files if name in ("nr3d", "sr3d")]
    for name in tables:
        if options.bad_contexts and "nr3d" not in bad:
            raise MissingDataError(
                f"--data {root}: manually_inspected_bad_contexts.csv is missing, whose contexts are left out of {name}",
                "copy referit3d/data/language/nr3d/ of referit3d/referit3d, or keep them with --keep-bad-contexts",
            )
        if not {"train", "test"} <= set(lists[name]):
            raise MissingDataError(
                f"--data {root}: the lists of the training and test scenes of {name} are missing",
                f"copy {name}/train_scans.txt and test_scans.txt of referit3d/referit3d, or scannetv2_train.txt and "
                f"scannetv2_val.txt",
            )
    return _Inputs(
        kind,
        root,
        files,
        scenes,
        find_scenes(scenes) if scenes else {},
        labels,
        lists,
        bad,
        options.vectors or glove_file(root),
        options.keywords,
        options.word_lists,
    )


def _scenes(root: Path, given: Path | None) -> Path | None:
    """Return the folder of the scenes: the given one, or the first of the usual places that holds scenes."""
    if given is not None:
        if not given.is_dir() or not find_scenes(given):
            raise MissingDataError(
                f"--scenes {given}: no prepared or published scenes", "expected the DATA or OUT of g3d prepare scannet"
            )
        return given.resolve()
    places = [place for place in (root, root / "scannet", root.resolve().parent / "scannet") if place.is_dir()]
    return next((place.resolve() for place in places if find_scenes(place)), None)


def _recipe(inputs: _Inputs) -> JointRecipe[SentenceFile]:
    lists = [path for of_set in inputs.lists.values() for path in of_set.values()]
    boxes = [
        path / SCENE_FILE if path.suffix != ".npy" else path.with_name(f"{published_name(path)}_aligned_bbox.npy")
        for path in inputs.scene_paths.values()
    ]
    given = [path for path in (inputs.vectors, inputs.word_lists) if path is not None]
    files = (inputs.labels, *lists, *inputs.bad_contexts.values(), *given)
    return JointRecipe(
        inputs.kind,
        VERSION,
        {
            "scenes": str(inputs.scenes) if inputs.scenes else None,
            "keywords": inputs.keywords,
            "files": sorted(path.name for path in inputs.files.values()),
            "vectors": str(inputs.vectors) if inputs.vectors else None,
            "word_lists": str(inputs.word_lists) if inputs.word_lists else None,
        },
        _read,
        functools.partial(_join, inputs=inputs),
        source=inputs.root,
        inputs=(*files, *boxes),
        manifest=manifest_name(inputs.kind),
    )


def _read(item: Item) -> SentenceFile:
    """Return the sentences of a file."""
    path = item.inputs[0]
    return read_referit3d_csv(path, item.name) if path.suffix == ".csv" else read_sentences_json(path)


def _join(read: Mapping[str, SentenceFile], inputs: _Inputs) -> Joined:
    """Check the sentences of all files against the lists and the scenes; return the index of the good ones."""
    broken: list[tuple[str, G3DError]] = [
        (f"{name} {place}", error) for name, file in read.items() for place, error in file.broken
    ]
    splits: dict[str, SplitOf] = splits_of(inputs.kind, read, inputs.lists)
    splits, misplaced = check_splits(splits)
    broken += misplaced
    splits, keywords, keyword_notes = with_keywords(splits, inputs.keywords, inputs.kind == "scanrefer")
    notes: list[str] = []
    if inputs.word_lists is not None:
        splits, notes = with_mentions(splits, read_lexicon(inputs.word_lists), inputs.scene_paths)
    notes += [*keyword_notes, *with_scenes(splits, inputs.scene_paths)]
    table = LabelTable.read(inputs.labels)
    index = SentenceIndex(
        {name: indexed(split.sentences, table) for name, split in splits.items()},
        {
            name: read_bad_contexts(inputs.bad_contexts[name]) if name in inputs.bad_contexts else None
            for name in inputs.lists
            if inputs.kind == "referit3d"
        }
        | {name: read_bad_contexts(path) for name, path in inputs.bad_contexts.items()},
    )
    if not any(index.splits.values()):
        broken.append((inputs.kind, InputError(f"--data {inputs.root}: no sentence can be used")))
    vectors, words = _vectors(index, inputs.vectors)
    facts = {
        "splits": {name: _counts(split) for name, split in splits.items()},
        "keywords": keywords,
        "words": words,
        "notes": notes,
    }
    return Joined(facts, tuple(broken), functools.partial(_write, inputs.kind, index, vectors))


def _write(kind: Kind, index: SentenceIndex, vectors: WordVectors | None, folder: Path) -> None:
    write_index(folder / index_name(kind), index)
    if vectors is not None:
        write_vectors(folder / vectors_name(kind), vectors)


def _vectors(index: SentenceIndex, path: Path | None) -> tuple[WordVectors | None, dict[str, Any] | None]:
    """Return the vectors of the words in use, and their counts for the report."""
    if path is None:
        return None, None
    used = {word for sentences in index.splits.values() for sentence in sentences for word in sentence.words}
    vectors = read_glove(path, used)
    known = sum(word in vectors for word in used)
    return vectors, {"different": len(used), "with_vector": known, "file": str(path)}


def _counts(split: SplitOf) -> dict[str, int]:
    return {
        "sentences": len(split.sentences),
        "objects": len({(sentence.scene, sentence.object) for sentence in split.sentences}),
        "scenes": len({sentence.scene for sentence in split.sentences}),
    }
