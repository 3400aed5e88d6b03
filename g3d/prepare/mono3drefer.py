"""`g3d prepare mono3drefer`: check images, calibration, sentences, labels, splits and groups, then store the index of
all expressions."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from g3d.data.files import require_writable
from g3d.data.mono3drefer.folder import INDEX, MANIFEST, Mono3DReferRoot, list_name, write_index
from g3d.data.mono3drefer.names import DIFFICULTY_GROUPS, DISTANCE_GROUPS, GROUPS, SPLITS
from g3d.data.mono3drefer.raw import EXPRESSIONS_FILE, GROUPS_FILE, Expression, read_expressions
from g3d.errors import G3DError, InputError
from g3d.prepare import runner
from g3d.prepare.images import whole_image_size
from g3d.progress import Progress

VERSION = 2
MAX_TOKENS = 110
"""Of a sentence in the published presets; its start and its end take one each, a word at least one."""
_OFF_CENTER = 1 / 8
"""How far a principal point may lie from the middle, in image sizes. The 2,025 published ones: at most 0.015 in x and
0.04 in y."""
_FOCAL = (0.25, 4.0)
"""Focal lengths in image widths, fields of view of 127 to 14 degrees. The published ones: 0.58."""
_BYTES_OF_EXPRESSION = 150

Problem = tuple[str, G3DError]


@dataclass(frozen=True)
class Mono3DReferReport:
    """What preparation found and wrote.

    Attributes:
        folder: the prepared folder; None when only checking, or when something is broken.
        images, objects, expressions: number of each by split.
        groups: objects of each group of the test split.
        classes: objects of each class.
        words: of a sentence, on average and at most.
        notes: what is not as published, but usable.
        broken: (image, entry or file, what is wrong).
        up_to_date: nothing had changed since the last time, so nothing was written.
        bytes_written: size of the index.
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
) -> Mono3DReferReport:
    """Check a Mono3DRefer folder and write the index of its expressions.

    Args:
        data: the published folder (see Mono3DReferRoot.find).
        out: the prepared folder; `<data>/g3d` if None.
        check_only: look at everything, write nothing.
        decode: decode every image, not only its header and end.
        keep_going: write the good expressions although something is broken.
        workers: processes.

    Raises:
        MissingDataError: no such folder, no Mono3DRefer.json, split list or group file in it.
        InputError: one of these files cannot be read as what it is.
        EnvironmentProblem: `out` cannot be written; said before the work begins.
    """
    root = Mono3DReferRoot.find(data)
    folder = out or root.prepared
    if not check_only:
        require_writable(folder)
    splits = {split: root.split(split) for split in SPLITS}
    entries = read_expressions(root.root / EXPRESSIONS_FILE)
    groups = root.groups()
    listed = sorted({name for names in splits.values() for name in names})
    outcome = runner.run(functools.partial(_check_image, root=root, decode=decode), listed, "check", workers, progress)
    sizes = dict(outcome.good)
    in_splits = _by_split(entries.expressions, splits)
    broken = [
        *outcome.broken,
        *entries.broken,
        *_listed_twice(splits),
        *_in_no_split(entries.expressions, listed, root),
    ]
    outside = dict(_outside_image(entries.expressions, sizes, root))
    broken += outside.items()
    if not entries.broken:  # whose instances are not known
        broken += _ungrouped(in_splits["test"], groups, root)
    kept = [e for e in entries.expressions if e.image in sizes and e.id not in outside]
    report = _report(splits, in_splits, groups, entries.expressions, tuple(broken))
    if check_only or (broken and not keep_going):
        return report
    return _write(root, folder, kept, len(entries.expressions) + len(entries.broken) - len(kept), report)


def plan_mono3drefer(data: Path, out: Path | None = None) -> tuple[int, int, int, int]:
    """What preparing would take, without looking at an image: how many images, expressions, bytes (about), and bytes
    free.

    Raises:
        MissingDataError, InputError: as prepare_mono3drefer.
        EnvironmentProblem: there is not enough room.
    """
    root = Mono3DReferRoot.find(data)
    images = {name for split in SPLITS for name in root.split(split)}
    entries = read_expressions(root.root / EXPRESSIONS_FILE)
    count = len(entries.expressions) + len(entries.broken)
    free = runner.require_space(count * _BYTES_OF_EXPRESSION, out or root.prepared)
    return len(images), count, count * _BYTES_OF_EXPRESSION, free


def _check_image(name: str, root: Mono3DReferRoot, decode: bool) -> tuple[int, int]:
    """Look at an image and its calibration -> width, height.

    Raises:
        G3DError: the first thing that is wrong.
    """
    size = whole_image_size(root.image_path(name), decode)
    check_camera(root.calibration(name), size, root.calibration_path(name))
    return size


def check_camera(camera: np.ndarray, image_size: tuple[int, int], path: Path) -> None:
    """Whether a calibration can be that of an uncropped image of this size: stricter than what infer asks of a user's
    image.

    Args:
        camera: (3, 4) projection matrix that was read from `path`.
        image_size: (width, height), pixels.

    Raises:
        InputError: the principal point is not near the middle, or the field of view is not that of a camera.
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
    """An image in both train and test would make every result worthless."""
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
    """Objects whose 2D box does not meet their image: it is another image's, or was scaled."""
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
    """Instances of a group that the test split does not have, and of the test split that a kind of groups does not
    have."""
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


def _report(
    splits: Mapping[str, Sequence[str]],
    in_splits: Mapping[str, Sequence[Expression]],
    groups: Mapping[str, frozenset[int]],
    expressions: Sequence[Expression],
    broken: tuple[Problem, ...],
) -> Mono3DReferReport:
    lengths = [len(e.sentence.split()) for e in expressions]
    classes = {e.instance: e.class_name for e in expressions}
    return Mono3DReferReport(
        folder=None,
        images={split: len(names) for split, names in splits.items()},
        objects={split: len({e.instance for e in found}) for split, found in in_splits.items()},
        expressions={split: len(found) for split, found in in_splits.items()},
        groups={name: len(groups[name]) for name in GROUPS},
        classes=dict(Counter(classes.values()).most_common()),
        words=(float(np.mean(lengths)), max(lengths)) if lengths else (0.0, 0),
        notes=tuple(_notes(splits, in_splits, expressions)),
        broken=broken,
    )


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


def _write(
    root: Mono3DReferRoot, folder: Path, kept: Sequence[Expression], left_out: int, report: Mono3DReferReport
) -> Mono3DReferReport:
    """Write the index, unless it is the one of these files."""
    images = sorted({e.image for e in kept})
    files = [root.root / name for name in (EXPRESSIONS_FILE, GROUPS_FILE, *(list_name(split) for split in SPLITS))]
    files += [path for name in images for path in (root.image_path(name), root.calibration_path(name))]
    manifest = {
        "recipe": "mono3drefer",
        "version": VERSION,
        "source": str(root.root.resolve()),
        "images": report.images,
        "expressions": report.expressions,
        "kept": len(kept),
        "left_out": left_out,
        "inputs": runner.fingerprint(files),
    }
    index = folder / INDEX
    up_to_date = index.is_file() and runner.read_manifest(folder, MANIFEST) == manifest
    if not up_to_date:
        write_index(folder, kept, root.root / EXPRESSIONS_FILE, left_out)
        runner.write_manifest(folder, manifest, MANIFEST)
    return replace(
        report, folder=folder, up_to_date=up_to_date, bytes_written=0 if up_to_date else index.stat().st_size
    )
