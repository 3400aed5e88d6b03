"""Write a scan as ScanNet's download holds it: meshes, over-segmentation, annotation, facts.

File names: see g3d/data/scannet/folder.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from g3d.synthetic.rooms.camera_path import DepthCamera
from g3d.synthetic.rooms.categories import CATEGORIES
from g3d.synthetic.rooms.description import describe
from g3d.synthetic.rooms.room_types import SCANNET_TYPES
from g3d.synthetic.rooms.scan import SEGMENT_THRESHOLD, SEGMENT_VERTICES, RoomScan

_VERTEX = [("xyz", "<f4", 3), ("rgba", "u1", 4)]
_LABEL = [("label", "<u2")]
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
_UNLABELLED = (0, 0, 0)


def write_scan(
    folder: Path,
    scene: str,
    scan: RoomScan,
    frames: int,
    sizes: tuple[tuple[int, int], ...],
    annotated: bool = True,
) -> None:
    """Write all files of a scan but the recording.

    Args:
        folder: where the files go.
        scene: such as "scene0000_00".
        scan: the scan.
        frames: number of frames of its recording.
        sizes: width and height of its colour and its depth pictures, pixels.
        annotated: with segments, annotation, axis alignment and description; without as ScanNet's test scans.
    """
    mesh = scan.mesh
    (folder / f"{scene}_vh_clean_2.ply").write_bytes(ply_bytes(mesh.vertices, mesh.colours, mesh.faces))
    (folder / f"{scene}.txt").write_text(_facts(scan, frames, sizes, annotated))
    if annotated:
        _write_annotation(folder, scene, scan)


def _write_annotation(folder: Path, scene: str, scan: RoomScan) -> None:
    labels = [scan.room.objects[index].thing.label for index in scan.annotated]
    nyu40 = np.array([*(CATEGORIES[label][2] for label in labels), 0], np.uint16)[scan.annotation]
    mesh = scan.mesh
    palette = np.array([_UNLABELLED, *(_label_colour(k) for k in range(1, 41))], np.uint8)
    labelled = ply_bytes(mesh.vertices, palette[nyu40], mesh.faces, nyu40)
    (folder / f"{scene}_vh_clean_2.labels.ply").write_bytes(labelled)
    segments = {
        "params": {"kThresh": str(SEGMENT_THRESHOLD), "segMinVerts": str(SEGMENT_VERTICES)},
        "sceneId": scene,
        "segIndices": scan.segments.tolist(),
    }
    _write_json(folder / f"{scene}_vh_clean_2.0.010000.segs.json", segments)
    _write_json(folder / f"{scene}.aggregation.json", _aggregation(scene, scan, labels))
    _write_json(folder / f"{scene}.room.json", describe(scan, scene))


def ply_bytes(vertices: np.ndarray, colours: np.ndarray, faces: np.ndarray, labels: np.ndarray | None = None) -> bytes:
    """A binary PLY file with the properties of ScanNet's meshes.

    Args:
        vertices: (N, 3) float32.
        colours: (N, 3) uint8.
        faces: (F, 3) int32.
        labels: (N,) uint16, the property `label`; left out if None.
    """
    properties = [f"property float {name}" for name in "xyz"]
    properties += [f"property uchar {name}" for name in ("red", "green", "blue", "alpha")]
    properties += [] if labels is None else ["property ushort label"]
    header = ["ply", "format binary_little_endian 1.0", "comment made by g3d", f"element vertex {len(vertices)}"]
    header += [*properties, f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    rows = np.empty(len(vertices), np.dtype(_VERTEX if labels is None else _VERTEX + _LABEL))
    rows["xyz"], rows["rgba"][:, :3], rows["rgba"][:, 3] = vertices, colours, 255
    if labels is not None:
        rows["label"] = labels
    polygons = np.empty(len(faces), _FACE)
    polygons["count"], polygons["corners"] = 3, faces
    return "\n".join(header).encode() + rows.tobytes() + polygons.tobytes()


def _aggregation(scene: str, scan: RoomScan, labels: list[str]) -> dict[str, object]:
    ids, first = np.unique(scan.segments, return_index=True)
    owners = scan.annotation[first]
    groups = [
        {"id": k, "objectId": k, "segments": ids[owners == k].tolist(), "label": label}
        for k, label in enumerate(labels)
    ]
    name = f"scannet.{scene}_vh_clean_2.0.010000.segs.json"
    return {"sceneId": f"scannet.{scene}", "appId": "g3d.rooms", "segGroups": groups, "segmentsFile": name}


def _facts(scan: RoomScan, frames: int, sizes: tuple[tuple[int, int], ...], aligned: bool) -> str:
    """The text of <scene>.txt, its keys in alphabetical order."""
    camera = DepthCamera()
    values = {
        "colorToDepthExtrinsics": " ".join(f"{value:.6f}" for value in np.eye(4).ravel()),
        "numColorFrames": str(frames),
        "numDepthFrames": str(frames),
        "numIMUmeasurements": "0",
        "sceneType": SCANNET_TYPES[scan.room.kind],
    }
    if aligned:
        values["axisAlignment"] = " ".join(f"{value:.6f}" for value in scan.alignment.ravel()) + " "
    for name, size in zip(("color", "depth"), sizes, strict=True):
        matrix = camera.matrix(size)
        values.update({f"{name}Width": str(size[0]), f"{name}Height": str(size[1])})
        for key, value in zip(("fx", "fy", "mx", "my"), matrix[[0, 1, 0, 1], [0, 1, 2, 2]], strict=True):
            values[f"{key}_{name}"] = f"{value:.6f}"
    return "".join(f"{key} = {values[key]}\n" for key in sorted(values))


def _label_colour(nyu40: int) -> tuple[int, int, int]:
    """A colour for a class, unlike those of its neighbours."""
    return 55 + 67 * nyu40 % 200, 55 + 131 * nyu40 % 200, 55 + 29 * nyu40 % 200


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")
