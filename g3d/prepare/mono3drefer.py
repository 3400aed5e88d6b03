"""`g3d prepare mono3drefer`: check images, calibration, sentences, labels, splits and groups, then write the index of
all expressions."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.mono3drefer.folder import MANIFEST, Mono3DReferRoot, list_name, write_index
from g3d.data.mono3drefer.names import DIFFICULTY_GROUPS, DISTANCE_GROUPS, GROUPS, SPLITS
from g3d.data.mono3drefer.raw import EXPRESSIONS_FILE, GROUPS_FILE, Expression, read_expressions
from g3d.errors import G3DError, InputError
from g3d.prepare.images import whole_image_size
from g3d.prepare.manifest import require_space
from g3d.prepare.runner import Item, Joined, JointRecipe, plan_jointly, prepare_jointly
from g3d.progress import Progress

VERSION = 2
MAX_TOKENS = 110
"""Largest number of tokens of a sentence in the published presets: one for its start, one for its end, and at least one
for each word."""
_OFF_CENTER = 1 / 8
"""Largest accepted distance of a principal point from the image centre, as a fraction of the image size. In the 2,025
published images it is at most 0.015 in x and 0.04 in y."""
_FOCAL = (0.25, 4.0)
"""Smallest and largest accepted focal length as a fraction of the image width: horizontal fields of view of 127 and 14
degrees. The published images have 0.58."""
_BYTES_OF_EXPRESSION = 150
_BYTES_OF_IMAGE = 3_000  # 20 expressions an image

Problem = tuple[str, G3DError]


@dataclass(frozen=True)
class Mono3DReferReport:
    """Result of preparing Mono3DRefer.

    Attributes:
        folder: the prepared folder; None if nothing was prepared: when only checking, or when something is broken
            without `keep_going`.
        images, objects, expressions: number of each by split.
        groups: number of objects in each group of the test split.
        classes: number of objects of each class.
        words: mean and largest number of words of a sentence.
        notes: harmless differences from the published data, one line each.
        broken: (name, error) of each image, entry or file that cannot be used.
        up_to_date: whether the index was up to date and was not written again.
        bytes_written: size of the index that was written, in bytes.
    """

    folder: Path | None
    images: dict[str, int]
    objects: dict[str, int]
    expressions: dict[str, int]
    groups: dict[str, int]
    classes: dict[str, int]
    words: tuple[float, int]
    notes: tuple[str, ...] = ()
    broken: tuple[Problem, ...] = ()
    up_to_date: bool = False
    bytes_written: int = 0


def prepare_mono3drefer(
    data: Path,
    out: Path | None = None,
    check_only: bool = False,
    decode: bool = False,
    keep_going: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
    redo: bool = False,
) -> Mono3DReferReport:
    """Check a Mono3DRefer folder and write the index of its expressions.

    Args:
        data: the published folder (see Mono3DReferRoot.find).
        out: the prepared folder; `<data>/g3d` if None.
        check_only: check everything, write nothing.
        decode: decode every image, instead of reading only its header and end.
        keep_going: write the good expressions even if something is broken.
        workers: number of processes.
        progress: is advanced by one for every image.
        redo: write the index even if it is up to date.

    Raises:
        MissingDataError: the folder, or Mono3DRefer.json, a split list or the group file in it, does not exist.
        InputError: one of these files does not have the expected format.
        EnvironmentProblem: `out` cannot be written or the disk is too full; raised before the work begins.
    """
    root = Mono3DReferRoot.find(data)
    folder = out or root.prepared
    done = prepare_jointly(
        _recipe(root, decode),
        _items(root),
        folder,
        workers,
        redo,
        check_only,
        inspect_all=decode,
        keep_going=keep_going,
        progress=progress,
    )
    facts = dict(done.facts)
    facts.pop("left_out", None)
    return Mono3DReferReport(
        folder=folder if done.written else None,
        words=(facts.pop("words_mean"), facts.pop("words_most")),
        notes=tuple(facts.pop("notes")),
        **facts,
        broken=done.broken,
        up_to_date=done.up_to_date,
        bytes_written=done.bytes,
    )


@dataclass(frozen=True)
class Mono3DReferPlan:
    """Work and disk space that preparing Mono3DRefer takes.

    Attributes:
        images, expressions: number of each.
        bytes: estimated number of bytes that will be written.
        free: number of free bytes on that disk.
        reason: None if the index is up to date, "" if there is none, otherwise what has changed.
    """

    images: int
    expressions: int
    bytes: int
    free: int
    reason: str | None


def plan_mono3drefer(data: Path, out: Path | None = None) -> Mono3DReferPlan:
    """Return the plan of `prepare_mono3drefer`, without checking the images.

    Raises:
        MissingDataError, InputError: see `prepare_mono3drefer`.
        EnvironmentProblem: there is not enough free disk space.
    """
    root = Mono3DReferRoot.find(data)
    items = _items(root)
    entries = read_expressions(root.root / EXPRESSIONS_FILE)
    count = len(entries.expressions) + len(entries.broken)
    folder = out or root.prepared
    free = require_space(count * _BYTES_OF_EXPRESSION, folder)
    reason = plan_jointly(_recipe(root, False), items, folder)
    return Mono3DReferPlan(len(items), count, count * _BYTES_OF_EXPRESSION, free, reason)


def _items(root: Mono3DReferRoot) -> list[Item]:
    """Return the images of all splits, with their calibration files."""
    listed = sorted({name for split in SPLITS for name in root.split(split)})
    return [Item(name, (root.image_path(name), root.calibration_path(name)), _BYTES_OF_IMAGE) for name in listed]


def _recipe(root: Mono3DReferRoot, decode: bool) -> JointRecipe[tuple[int, int]]:
    names = (EXPRESSIONS_FILE, GROUPS_FILE, *(list_name(split) for split in SPLITS))
    return JointRecipe(
        "mono3drefer",
        VERSION,
        {},
        functools.partial(_check_image, root=root, decode=decode),
        functools.partial(_join, root=root),
        source=root.root,
        inputs=tuple(root.root / name for name in names),
        manifest=MANIFEST,
    )


def _join(sizes: Mapping[str, tuple[int, int]], root: Mono3DReferRoot) -> Joined:
    """Check the expressions, splits and groups against the images. Return the index of the good expressions.

    Args:
        sizes: (width, height) of the good images in pixels, by name.
        root: the raw data.
    """
    splits = {split: root.split(split) for split in SPLITS}
    entries = read_expressions(root.root / EXPRESSIONS_FILE)
    groups = root.groups()
    listed = sorted({name for names in splits.values() for name in names})
    in_splits = _by_split(entries.expressions, splits)
    broken = [*entries.broken, *_listed_twice(splits), *_in_no_split(entries.expressions, listed, root)]
    outside = dict(_outside_image(entries.expressions, sizes, root))
    broken += outside.items()
    if not entries.broken:  # the instances of broken entries are not known
        broken += _ungrouped(in_splits["test"], groups, root)
    kept = [e for e in entries.expressions if e.image in sizes and e.id not in outside]
    left_out = len(entries.expressions) + len(entries.broken) - len(kept)
    facts = _facts(splits, in_splits, groups, entries.expressions)
    source = root.root / EXPRESSIONS_FILE
    return Joined(facts, tuple(broken), lambda folder: write_index(folder, kept, source, left_out))


def _check_image(item: Item, root: Mono3DReferRoot, decode: bool) -> tuple[int, int]:
    """Check an image and its calibration. Return the width and height of the image in pixels.

    Raises:
        G3DError: the first error found.
    """
    name = item.name
    size = whole_image_size(root.image_path(name), decode)
    check_camera(root.calibration(name), size, root.calibration_path(name))
    return size


def check_camera(camera: np.ndarray, image_size: tuple[int, int], path: Path) -> None:
    """Check that a calibration can belong to an uncropped image of this size.

    The check is stricter than that of `g3d infer` for a user's image.

    Args:
        camera: (3, 4) projection matrix that was read from `path`.
        image_size: (width, height) in pixels.
        path: the calibration file, for error messages.

    Raises:
        InputError: the principal point is not near the image centre, or the focal length is not in the accepted range.
    """
    size, hint = (
        f"an image of {image_size[0]} x {image_size[1]} pixels",
        "is it this image's, and was the image neither scaled nor cut?",
    )
    for axis, k in (("x", 0), ("y", 1)):
        middle, reach = image_size[k] / 2, image_size[k] * _OFF_CENTER
        bounds = {
            "principal point": (camera[k, 2], middle - reach, middle + reach),
            "focal length": (camera[k, k], _FOCAL[0] * image_size[0], _FOCAL[1] * image_size[0]),
        }
        for name, (found, low, high) in bounds.items():
            if not low <= found <= high:
                expected = f"expected {low:.1f} to {high:.1f} in {size}"
                raise InputError(f"calibration {path}: P2: {name} in {axis}: found {found:.1f}, {expected}", hint)


def _by_split(expressions: Sequence[Expression], splits: Mapping[str, Sequence[str]]) -> dict[str, list[Expression]]:
    members = {split: set(names) for split, names in splits.items()}
    return {split: [e for e in expressions if e.image in members[split]] for split in splits}


def _listed_twice(splits: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Yield an error for each pair of splits with common images, because results on such a split are not valid."""
    for k, first in enumerate(SPLITS):
        for second in SPLITS[k + 1 :]:
            both = sorted(set(splits[first]) & set(splits[second]))
            if both:
                found = f"found {len(both)} (first: {both[0]}), expected none"
                yield (
                    list_name(second),
                    InputError(f"{list_name(second)}: images that are in {list_name(first)} as well: {found}"),
                )


def _in_no_split(expressions: Sequence[Expression], listed: Sequence[str], root: Mono3DReferRoot) -> Iterator[Problem]:
    counts = Counter(e.image for e in expressions)
    for name in sorted(counts.keys() - set(listed)):
        yield (
            name,
            InputError(
                f"{root.root / EXPRESSIONS_FILE}: im_name: found {name} ({counts[name]} expressions), expected an "
                f"image of "
                f"{', '.join(list_name(split) for split in SPLITS)}"
            ),
        )


def _outside_image(
    expressions: Sequence[Expression], sizes: Mapping[str, tuple[int, int]], root: Mono3DReferRoot
) -> Iterator[Problem]:
    """Yield an error for each expression whose object has a 2D box that lies entirely outside its image."""
    for e in expressions:
        width, height = sizes.get(e.image, (np.inf, np.inf))
        x1, y1, x2, y2 = e.objects.boxes2d[0]
        if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
            yield (
                e.id,
                InputError(
                    f"{root.root / EXPRESSIONS_FILE}: {e.id}: label_2, x1 y1 x2 y2: found {x1:g} {y1:g} {x2:g} {y2:g}, "
                    f"expected a box that meets the image of {width} x {height} pixels"
                ),
            )


def _ungrouped(
    test: Sequence[Expression], groups: Mapping[str, frozenset[int]], root: Mono3DReferRoot
) -> Iterator[Problem]:
    """Yield an error for each group member that is not in the test split, and for each ungrouped test instance.

    Every test instance must be in a distance group and in a difficulty group.
    """
    path, instances = root.root / GROUPS_FILE, {e.instance for e in test}
    for name, members in groups.items():
        for instance in sorted(members - instances):
            yield (
                GROUPS_FILE,
                InputError(
                    f"{path}: group {name}: found instance {instance}, expected one of the test split's expressions"
                ),
            )
    for kind in (DISTANCE_GROUPS, DIFFICULTY_GROUPS):
        for instance in sorted(instances - frozenset().union(*(groups[name] for name in kind))):
            yield (
                GROUPS_FILE,
                InputError(
                    f"{path}: instance {instance} of the test split is in none of {', '.join(kind)}, expected one"
                ),
            )


def _facts(
    splits: Mapping[str, Sequence[str]],
    in_splits: Mapping[str, Sequence[Expression]],
    groups: Mapping[str, frozenset[int]],
    expressions: Sequence[Expression],
) -> dict[str, Any]:
    """Return the counts and notes of the report as plain JSON values for the manifest."""
    lengths = [len(e.sentence.split()) for e in expressions]
    classes = {e.instance: e.class_name for e in expressions}
    return {
        "images": {split: len(names) for split, names in splits.items()},
        "objects": {split: len({e.instance for e in found}) for split, found in in_splits.items()},
        "expressions": {split: len(found) for split, found in in_splits.items()},
        "groups": {name: len(groups[name]) for name in GROUPS},
        "classes": dict(Counter(classes.values()).most_common()),
        "words_mean": float(np.mean(lengths)) if lengths else 0.0,
        "words_most": max(lengths, default=0),
        "notes": list(_notes(splits, in_splits, expressions)),
    }


def _notes(
    splits: Mapping[str, Sequence[str]],
    in_splits: Mapping[str, Sequence[Expression]],
    expressions: Sequence[Expression],
) -> Iterator[str]:
    for split, names in splits.items():
        silent = sorted(set(names) - {e.image for e in in_splits[split]})
        if silent:
            yield f"images of {split} without an expression: {len(silent)} (first: {silent[0]})"
    words = MAX_TOKENS - 2
    long = [(e.id, count) for e in expressions if (count := len(e.sentence.split())) > words]
    if long:
        yield (
            f"expressions of more than {words} words: {len(long)} (first: {long[0][0]}, {long[0][1]} words); "
            f"the published presets read "
            f"{MAX_TOKENS} tokens and cut off the rest, text.max_words=N reads more"
        )
    firsts: dict[int, Expression] = {}
    unlike = [
        e.id
        for e in expressions
        if (first := firsts.setdefault(e.instance, e)).objects is not e.objects or first.image != e.image
    ]
    if unlike:
        yield (
            f"expressions with another label or image than the first of their instance: {len(unlike)} (first: "
            f"{unlike[0]})"
        )
