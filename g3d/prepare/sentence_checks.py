"""Checks of sentences against lists of scenes and against scenes, and the choice of their keywords."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from g3d.data.referit3d.mentions import Lexicon, mentions_target_class
from g3d.data.referit3d.raw import read_scene_list
from g3d.data.referit3d.splits import in_parts
from g3d.data.scannet.labels import LabelTable
from g3d.data.scannet.scenes import read_scene
from g3d.data.scanrefer.index import IndexedSentence, object_boxes
from g3d.data.scanrefer.keywords import Marker, agreement, marked_by_rules, spacy_marker
from g3d.data.scanrefer.records import SceneSentence, SentenceFile
from g3d.data.scanrefer.sentences import class_of_object, unique_or_multiple
from g3d.errors import G3DError, InputError, did_you_mean

Keywords = Literal["auto", "rules", "spacy"]
Problem = tuple[str, G3DError]


@dataclass(frozen=True)
class SplitOf:
    """The sentences of one split.

    Attributes:
        file: the file of the sentences.
        sentences: the sentences.
        scenes: scenes of the split by its list; None without a list.
        others: scenes of the other lists, by split.
    """

    file: Path
    sentences: tuple[SceneSentence, ...]
    scenes: frozenset[str] | None
    others: Mapping[str, frozenset[str]]


def splits_of(
    kind: str, read: Mapping[str, SentenceFile], lists: Mapping[str, Mapping[str, Path]]
) -> dict[str, SplitOf]:
    """Return the splits of the files: each JSON file is one, a table is divided by the lists of scenes.

    Args:
        kind: "scanrefer" or "referit3d".
        read: content of the files, by split or by set.
        lists: paths of the lists of scenes, by set and split.

    Raises:
        MissingDataError, InputError: a list is missing or has another form.
    """
    found: dict[str, SplitOf] = {}
    for name, file in read.items():
        of_set = lists[kind if kind == "scanrefer" else name.partition("-")[0]]
        scenes = {split: frozenset(read_scene_list(path)) for split, path in of_set.items()}
        if kind == "referit3d" and name in ("nr3d", "sr3d"):
            parts = in_parts(file.sentences, sorted(scenes["train"]))
            for part, sentences in parts.items():
                found[f"{name}-{part}"] = _split(file.path, sentences, scenes, part)
        else:
            part = name.rpartition("-")[2]
            found[name] = _split(file.path, file.sentences, scenes, part)
    return found


def _split(path: Path, sentences: Sequence[SceneSentence], scenes: Mapping[str, frozenset[str]], part: str) -> SplitOf:
    others = {name: members for name, members in scenes.items() if name != part}
    return SplitOf(path, tuple(sentences), scenes.get(part), others)


def check_splits(splits: Mapping[str, SplitOf]) -> tuple[dict[str, SplitOf], list[Problem]]:
    """Return the splits without misplaced sentences, and an error for each of these.

    With a list of scenes, a sentence of a split is about a scene of its list. Without one, the scenes of a split are in
    no other split of the same set.
    """
    good: dict[str, SplitOf] = {}
    problems: list[Problem] = []
    for name, split in splits.items():
        kept = []
        near: dict[str, str] = {}  # by scene: looking for similar names takes milliseconds
        for sentence in split.sentences:
            if split.scenes is None or sentence.scene in split.scenes:
                kept.append(sentence)
                continue
            owner = next((other for other, members in split.others.items() if sentence.scene in members), None)
            if sentence.scene not in near:
                near[sentence.scene] = did_you_mean(sentence.scene, split.scenes) if owner is None else ""
            found = f"found {sentence.scene}, {'a scene of no list' if owner is None else f'a scene of split {owner}'}"
            where = f"sentences {split.file}: {sentence.place}: scene_id: {found}"
            problems.append((sentence.id, InputError(f"{where}; expected one of split {name}{near[sentence.scene]}")))
        good[name] = replace(split, sentences=tuple(kept))
    for name, split in good.items():
        for other, second in good.items():
            if name < other and name.rpartition("-")[0] == other.rpartition("-")[0]:
                both = sorted({s.scene for s in split.sentences} & {s.scene for s in second.sentences})
                if both:
                    found = f"found {len(both)} scenes that are in split {name} as well (first: {both[0]})"
                    error = InputError(f"sentences {second.file}: scene_id: {found}; expected none")
                    problems.append((other, error))
    return good, problems


def with_keywords(
    splits: Mapping[str, SplitOf], how: Keywords, attributes: bool
) -> tuple[dict[str, SplitOf], dict[str, Any], list[str]]:
    """Return the splits with keywords for every sentence, counts for the report, and notes.

    Args:
        splits: the splits.
        how: see SentenceOptions.
        attributes: whether adjectives of the first sentence are keywords, as in ScanRefer.

    Raises:
        EnvironmentProblem: spaCy was asked for and is not installed.
    """
    mark: Marker = spacy_marker() if how == "spacy" else marked_by_rules
    counts: Counter[str] = Counter(published=0, computed=0, out_of_step=0, both_lists=0)
    computed_marks, published_marks, first_bad = [], [], ""
    made: dict[str, SplitOf] = {}
    for name, split in splits.items():
        sentences = []
        for sentence in split.sentences:
            relations, first = mark(sentence.words)
            computed = replace(sentence, keywords=relations, first_keywords=first if attributes else None)
            if sentence.out_of_step:
                counts["out_of_step"] += 1
                first_bad = first_bad or f"{split.file} {sentence.place}, {sentence.id}"
            if sentence.keywords is not None:
                computed_marks.append(_joined(computed))
                published_marks.append(_joined(sentence))
                pairs = zip(sentence.keywords, sentence.first_keywords or (), strict=False)
                counts["both_lists"] += any(a and b for a, b in pairs)
            keep = how == "auto" and sentence.keywords is not None
            counts["published" if keep else "computed"] += 1
            sentences.append(sentence if keep else computed)
        made[name] = replace(split, sentences=tuple(sentences))
    notes = []
    if counts["out_of_step"]:
        notes.append(
            f"keyword lists that do not fit the words, computed again: {counts['out_of_step']} (first: {first_bad})"
        )
    if counts["both_lists"]:
        notes.append(
            f"sentences with a word in both keyword lists: {counts['both_lists']}; it is a keyword (the published code "
            f"adds the lists to 2, which means padding)"
        )
    compared = agreement(computed_marks, published_marks) if published_marks else None
    report = {
        "how": how,
        **{key: counts[key] for key in ("published", "computed", "out_of_step")},
        "precision": compared.precision if compared else None,
        "recall": compared.recall if compared else None,
    }
    return made, report, notes


def _joined(sentence: SceneSentence) -> list[int]:
    """Return the marks of both lists of a sentence."""
    marks = list(sentence.keywords or ())
    for k, mark in enumerate(sentence.first_keywords or ()):
        marks[k] = max(marks[k], mark)
    return marks


def with_mentions(
    splits: Mapping[str, SplitOf], lexicon: Lexicon, scenes: Mapping[str, Path]
) -> tuple[dict[str, SplitOf], list[str]]:
    """Return the splits with the flag `mentions` by word lists, and a note that compares it with the column.

    Args:
        splits: the splits; sentences about other scenes than `scenes` keep what their file states.
        lexicon: the word lists.
        scenes: paths of prepared scenes by name, whose labels are compared.

    Raises:
        InputError: the scenes are in a published form, which has no labels, or the word lists do not have a label.
    """
    labels: dict[str, frozenset[str]] = {}
    made: dict[str, SplitOf] = {}
    computed = differ = 0
    for name, split in splits.items():
        sentences = []
        for sentence in split.sentences:
            if sentence.scene in scenes:
                if sentence.scene not in labels:
                    labels[sentence.scene] = _labels(scenes[sentence.scene])
                found = mentions_target_class(sentence.words, sentence.name, labels[sentence.scene], lexicon)
                computed += 1
                differ += sentence.mentions is not None and found != sentence.mentions
                sentence = replace(sentence, mentions=found)
            sentences.append(sentence)
        made[name] = replace(split, sentences=tuple(sentences))
    return made, [f"mentions of the class by word lists: {computed} computed, {differ} differ from the column"]


def _labels(path: Path) -> frozenset[str]:
    """Return the labels of the objects of a prepared scene."""
    if path.suffix == ".npy":
        raise InputError(f"scene {path}: this published form has no labels", "--word-lists needs prepared scenes")
    return frozenset(read_scene(path, "aligned_boxes").names.values())


def with_scenes(splits: Mapping[str, SplitOf], scenes: Mapping[str, Path]) -> list[str]:
    """Return notes about sentences whose scene or object is not there, and about scenes without sentences.

    Args:
        splits: the splits.
        scenes: paths of the scenes by name; empty without scenes.

    Raises:
        InputError: a scene cannot be read, or its boxes have no objectIds.
    """
    if not scenes:
        return ["no scenes: the objects of the sentences are not checked; evaluation and training need --scenes DIR"]
    notes = []
    boxes: dict[str, Any] = {}
    for name, split in splits.items():
        named = dict.fromkeys(sentence.scene for sentence in split.sentences)
        absent = [scene for scene in named if scene not in scenes]
        if absent:
            count = sum(sentence.scene not in scenes for sentence in split.sentences)
            notes.append(
                f"{name}: {count} sentences are about {len(absent)} scenes that are not there (first: {absent[0]}"
                f"{did_you_mean(absent[0], scenes)})"
            )
        for scene in named:
            if scene in scenes and scene not in boxes:
                boxes[scene] = object_boxes(scenes[scene])
        unannotated = [scene for scene in named if scene in boxes and boxes[scene] is None]
        lost = [s.id for s in split.sentences if boxes.get(s.scene) is not None and s.object not in boxes[s.scene]]
        notes += _counted(f"{name}: sentences whose object has no box in its scene", lost)
        notes += _counted(f"{name}: scenes of sentences without annotated boxes", unannotated)
        silent = sorted((set(scenes) & (split.scenes or frozenset())) - set(named))
        notes += _counted(f"{name}: scenes without sentences", silent)
    named_anywhere = {s.scene for split in splits.values() for s in split.sentences}
    listed = {scene for split in splits.values() for scene in split.scenes or ()}
    notes += _counted("scenes of no list without sentences", sorted(set(scenes) - named_anywhere - listed))
    return notes


def _counted(what: str, names: Sequence[str]) -> list[str]:
    return [f"{what}: {len(names)} (first: {names[0]})"] if names else []


def indexed(sentences: Iterable[SceneSentence], table: LabelTable) -> tuple[IndexedSentence, ...]:
    """Return the sentences with the classes of their objects."""
    kept = list(sentences)
    several = unique_or_multiple([(s.scene, str(s.object), s.name) for s in kept], table)
    return tuple(
        IndexedSentence(
            **{field.name: getattr(sentence, field.name) for field in fields(SceneSentence)},
            last_word_class=class_of_object(sentence.name, table),
            whole_name_class=table.class_of_expression(sentence.name),
            several=multiple,
        )
        for sentence, multiple in zip(kept, several, strict=True)
    )
