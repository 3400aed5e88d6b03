"""Readers of a raw ScanNet scan's over-segmentation (segs.json), annotation (aggregation.json) and facts (.txt)."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.boundary import reader, reading
from g3d.data.files import read_text
from g3d.errors import InputError

_log = logging.getLogger(__name__)


@reader("segments")
def read_segments(path: str | Path, vertices: int) -> np.ndarray:
    """Return the segment of every vertex from a segs.json.

    Args:
        path: a file of ScanNet's Segmentator with `segIndices`, one id per vertex. Ids are sparse: a segment's id is
            the index of one of its vertices.
        vertices: number of vertices of the mesh.

    Returns:
        (N,) int64.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is not JSON, has no segIndices, has ids that are not integers of 0 or more, or belongs to
            another mesh.
    """
    content = _read_json(path, "segments")
    listed = content.get("segIndices") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise InputError(f"segments {path}: no list 'segIndices', one segment id per vertex")
    if len(listed) != vertices:
        raise InputError(
            f"segments {path}: segIndices has {len(listed)} entries, the mesh has {vertices} vertices",
            hint="They belong to two different meshes. ScanNet's _vh_clean_2.0.010000.segs.json goes with "
            "_vh_clean_2.ply.",
        )
    segments = _integers(listed)
    if segments is None:
        odd = next((k for k, value in enumerate(listed) if _integers([value]) is None), 0)
        raise InputError(
            f"segments {path}: segIndices[{odd}] is {listed[odd]!r}, expected a segment id (an integer from 0 on)"
        )
    return segments


@dataclass(frozen=True, eq=False)
class ObjectGroup:
    """An annotated object: a named group of segments.

    Attributes:
        object_id: the id by which ScanRefer, Nr3D and Multi3DRefer refer to the object; the VoteNet lineage reads it.
        id: equal to object_id in released files; the SPFormer lineage reads it.
        label: raw category.
        segments: (S,) int64 segment ids in the order of the file.
    """

    object_id: int
    id: int
    label: str
    segments: np.ndarray


@dataclass(frozen=True, eq=False)
class Aggregation:
    """A scan's annotation.

    Attributes:
        groups: the objects in file order without exact duplicates.
        version: ScanNet's release, 1 or 2; None where the file does not contain it. Object ids differ between releases;
            ScanRefer, Nr3D and Multi3DRefer refer to those of version 2.
        duplicates: maps the id of a dropped object to the id of the kept one (scene0217_00 lists every object under two
            ids).
    """

    groups: tuple[ObjectGroup, ...]
    version: int | None
    duplicates: Mapping[int, int]


@reader("aggregation")
def read_aggregation(path: str | Path, segments: np.ndarray | None = None) -> Aggregation:
    """Return the annotation of a scan from its aggregation.json.

    A warning is logged for a version 1 file, for ids that differ from objectIds, and for duplicates.

    Args:
        path: the file of the decimated mesh, `<scene>.aggregation.json` (not `_vh_clean.aggregation.json`).
        segments: (N,) integer, the mesh's segments; they must include all segments that objects name.

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is not JSON, has no segGroups, has a group without objectId, label or segments, has two
            different objects with one id, or has an object that names a segment outside `segments`.
    """
    content = _read_json(path, "aggregation")
    listed = content.get("segGroups") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise InputError(f"aggregation {path}: no list 'segGroups', one group of segments per object")
    kept: dict[tuple[str, tuple[int, ...]], ObjectGroup] = {}
    by_id: dict[int, ObjectGroup] = {}
    duplicates = {}
    for number, entry in enumerate(listed):
        group = _group(path, number, entry)
        members = tuple(np.unique(group.segments).tolist()) or (
            -1 - group.object_id,
        )  # objects without segments are never duplicates
        first = kept.setdefault((group.label, members), group)
        if by_id.setdefault(group.object_id, first) is not first:
            raise InputError(
                f"aggregation {path}: segGroups[{number}]: a second, different object with objectId {group.object_id}"
            )
        if first.object_id != group.object_id:
            duplicates[group.object_id] = first.object_id
    groups = tuple(kept.values())
    if segments is not None:
        _check_segments(path, groups, segments)
    version = _version(content)
    _warn(path, groups, version, len(listed) - len(groups))
    return Aggregation(groups, version, duplicates)


def _group(path: str | Path, number: int, entry: Any) -> ObjectGroup:
    where = f"aggregation {path}: segGroups[{number}]"
    if not isinstance(entry, dict):
        raise InputError(f"{where} is {type(entry).__name__}, expected an object with objectId, label and segments")
    object_id: Any = entry.get("objectId")
    own_id: Any = entry.get("id", object_id)
    for name, value in (("objectId", object_id), ("id", own_id)):
        if type(value) is not int or value < 0:
            raise InputError(f"{where}: {name} is {value!r}, expected an integer from 0 on")
    label, segments = entry.get("label"), entry.get("segments")
    if not isinstance(label, str) or not label.strip():
        raise InputError(f"{where}: label is {label!r}, expected the object's raw category")
    numbers = _integers(segments) if isinstance(segments, list) else None
    if numbers is None:
        raise InputError(f"{where}: segments is no list of segment ids (integers from 0 on)")
    return ObjectGroup(object_id, own_id, label.strip(), numbers)


def _check_segments(path: str | Path, groups: tuple[ObjectGroup, ...], segments: np.ndarray) -> None:
    named = np.concatenate([group.segments for group in groups] or [np.zeros(0, np.int64)])
    missing = np.unique(named[~np.isin(named, segments)])
    for group in groups if len(missing) else ():
        strange = group.segments[np.isin(group.segments, missing)]
        if len(strange):
            raise InputError(
                f"aggregation {path}: object {group.object_id} ({group.label}) names segment {strange[0]}, which "
                f"no vertex has"
                f" ({len(missing)} such segments in all)",
                hint="The aggregation and the segs.json belong to two different meshes or releases.",
            )


def _version(content: dict[str, Any]) -> int | None:
    application = str(content.get("appId", ""))
    if application in ("Aggregator.v1", "Aggregator.v2"):
        return int(application[-1])
    return 2 if str(content.get("sceneId", "")).startswith("scannet.") else None


def _warn(path: str | Path, groups: tuple[ObjectGroup, ...], version: int | None, dropped: int) -> None:
    if version == 1:
        _log.warning(
            "aggregation %s: ScanNet v1 annotation; the objects that ScanRefer, Nr3D and Multi3DRefer name are v2's",
            path,
        )
    if dropped:
        _log.warning(
            "aggregation %s: %d of %d objects repeat another one and were dropped", path, dropped, dropped + len(groups)
        )
    different = [group for group in groups if group.id != group.object_id]
    if different:
        first = different[0]
        _log.warning(
            "aggregation %s: %d objects have another id than objectId (first: id %d, objectId %d); objectId is used",
            path,
            len(different),
            first.id,
            first.object_id,
        )


@dataclass(frozen=True, eq=False)
class SceneFacts:
    """The content of `<scene>.txt`; values that the file does not contain are None.

    Attributes:
        axis_alignment: (4, 4) float64, aligned = M [x y z 1], metres; None for test scans and v1 files.
        colour_size, depth_size: (width, height), pixels.
        colour_intrinsics, depth_intrinsics: fx, fy, mx, my, pixels.
        colour_to_depth: (4, 4) float64.
        frames: number of colour frames.
        scene_type: type of the scene, such as "Bedroom / Hotel".
        values: the text of every value by its key.
    """

    axis_alignment: np.ndarray | None
    colour_size: tuple[int, int] | None
    depth_size: tuple[int, int] | None
    colour_intrinsics: tuple[float, float, float, float] | None
    depth_intrinsics: tuple[float, float, float, float] | None
    colour_to_depth: np.ndarray | None
    frames: int | None
    scene_type: str | None
    values: Mapping[str, str]


@reader("scene facts")
def read_facts(path: str | Path) -> SceneFacts:
    """Return the facts of a scan from its `<scene>.txt` (lines `key = value`); unknown keys are kept in `values`.

    Raises:
        MissingDataError: the file does not exist.
        InputError: a line has no "=", a key occurs twice, a value has the wrong type for its key, or the axis alignment
            is not a rigid transform.
    """
    lines: dict[str, int] = {}
    values: dict[str, str] = {}
    for number, line in enumerate(read_text(path, "scene facts").splitlines(), 1):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not line.strip():
            continue
        if not equals or not key or key in values:
            problem = (
                f"a second {key}" if equals and key in values else f"'{line.strip()[:60]}', expected 'key = value'"
            )
            raise InputError(f"scene facts {path}: line {number} is {problem}")
        values[key], lines[key] = value, number

    def numbers(count: int, *keys: str) -> list[float] | None:
        if not all(key in values for key in keys):
            return None
        found: list[float] = []
        for key in keys:
            words = values[key].split()
            if len(words) != count or not all(_is_finite(word) for word in words):
                expected = "a finite number" if count == 1 else f"{count} finite numbers"
                raise InputError(
                    f"scene facts {path}: line {lines[key]}: {key} is '{values[key][:60]}', expected {expected}"
                )
            found += map(float, words)
        return found

    def size(camera: str) -> tuple[int, int] | None:
        found = numbers(1, f"{camera}Width", f"{camera}Height")
        return None if found is None else (int(found[0]), int(found[1]))

    def intrinsics(camera: str) -> tuple[float, float, float, float] | None:
        found = numbers(1, *(f"{name}_{camera}" for name in ("fx", "fy", "mx", "my")))
        return None if found is None else (found[0], found[1], found[2], found[3])

    def matrix(key: str) -> np.ndarray | None:
        found = numbers(16, key)
        return None if found is None else np.array(found).reshape(4, 4)

    alignment, frames = matrix("axisAlignment"), numbers(1, "numColorFrames")
    if alignment is not None and not _is_rigid(alignment):
        raise InputError(
            f"scene facts {path}: line {lines['axisAlignment']}: axisAlignment is no rotation and translation (4 x 4)"
        )
    return SceneFacts(
        alignment,
        size("color"),
        size("depth"),
        intrinsics("color"),
        intrinsics("depth"),
        matrix("colorToDepthExtrinsics"),
        None if frames is None else int(frames[0]),
        values.get("sceneType"),
        values,
    )


def _is_rigid(matrix: np.ndarray) -> bool:
    rotation = matrix[:3, :3]
    return bool(np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.array_equal(matrix[3], [0, 0, 0, 1]))


def _is_finite(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _integers(values: list) -> np.ndarray | None:
    """Return the values (N,) int64, or None if any value is not an integer of 0 or more."""
    try:
        array = np.array(values)
    except (ValueError, OverflowError):
        return None
    if len(values) == 0:
        return np.zeros(0, np.int64)
    return array if array.dtype == np.int64 and array.ndim == 1 and array.min() >= 0 else None


def _read_json(path: str | Path, what: str) -> Any:
    with reading(path, what, hint="A download may have been cut short.", problem="not JSON"):
        return json.loads(read_text(path, what))
