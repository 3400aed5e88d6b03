"""Drawn scans in ScanNet's raw layout: a floor, a wall and a few boxes as a welded mesh, with every file but the
recording."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from g3d.ops.mesh_segments import mesh_segments

TABLE_HEADER = "\t".join(
    [
        "id",
        "raw_category",
        "category",
        "count",
        "nyu40id",
        "eigen13id",
        "nyuClass",
        "nyu40class",
        "eigen13class",
        "ModelNet40",
        "ModelNet10",
        "ShapeNetCore55",
        "synsetoffset",
        "wnsynsetid",
        "wnsynsetkey",
        "mpcat40",
        "mpcat40index",
    ]
)
CLASSES = {"wall": 1, "floor": 2, "chair": 5, "table": 7, "refrigerator": 24}
ALIGNMENT = np.array([[0.8, 0.6, 0, -1], [-0.6, 0.8, 0, 2], [0, 0, 1, -0.1], [0, 0, 0, 1.0]])


def draw_scans(root: Path, count: int, side: int = 24, test: int = 0) -> Path:
    """`count` scans under root/scans, the last `test` of them without annotation, with label table and split lists;
    returns root."""
    names = [f"scene{index:04d}_00" for index in range(count)]
    for index, name in enumerate(names):
        draw_scan(root / "scans" / name, index, side, annotated=index < count - test)
    rows = [
        f"{k}\t{name}\t{name}\t1\t{nyu}\t1\t{name}\t{name.replace('ger', 'dger')}" + "\t" * 9
        for k, (name, nyu) in enumerate(CLASSES.items(), 1)
    ]
    (root / "scannetv2-labels.combined.tsv").write_text("\n".join([TABLE_HEADER, *rows]) + "\n")
    (root / "scannetv2_train.txt").write_text("\n".join(names[: count // 2]))
    (root / "scannetv2_val.txt").write_text("\n".join(names[count // 2 : count - test]))
    return root


def draw_scan(folder: Path, seed: int, side: int = 24, annotated: bool = True) -> None:
    """One scan; objects 0 wall, 1 floor, then boxes."""
    import torch

    folder.mkdir(parents=True)
    name, random = folder.name, np.random.default_rng(seed)
    parts = [_grid(side, [0, 0, 0], [0, 4, 0], [0, 0, 2.5]), _grid(side, [0, 0, 0], [4, 0, 0], [0, 4, 0])]
    labels = ["wall", "floor"]
    for label in random.choice(["chair", "table", "refrigerator"], 3):
        low = np.r_[random.uniform(0.5, 2.5, 2), 0]
        size = random.uniform(0.4, 1.0, 3)
        for axis in range(3):  # three visible faces, each a part of its own
            spans = np.diag(size)[[k for k in range(3) if k != axis]]
            parts.append(_grid(10, low + (np.diag(size)[axis]), *spans))
        labels.append(str(label))
    vertices, faces, owner = [], [], []
    for index, (places, triangles) in enumerate(parts):
        faces.append(triangles + sum(map(len, vertices)))
        vertices.append(places)
        owner.append(np.full(len(places), index if index < 2 else 2 + (index - 2) // 3))
    points = np.concatenate(vertices).astype("<f4")
    triangles, owners = np.concatenate(faces).astype("<i4"), np.concatenate(owner)
    colours = random.integers(0, 256, (len(points), 3), np.uint8)
    nyu = np.array([CLASSES[label] for label in labels], np.uint16)[owners]
    _write_ply(folder / f"{name}_vh_clean_2.ply", points, colours, triangles, None)
    (folder / f"{name}.txt").write_text(
        "".join(
            [
                "axisAlignment = " + " ".join(f"{v:.6f}" for v in ALIGNMENT.ravel()) + " \n" if annotated else "",
                "colorHeight = 968\ncolorWidth = 1296\ndepthHeight = 480\ndepthWidth = 640\nsceneType = Office\n",
            ]
        )
    )
    if not annotated:
        return
    _write_ply(folder / f"{name}_vh_clean_2.labels.ply", points, colours, triangles, nyu)
    segments = mesh_segments(torch.from_numpy(points), torch.from_numpy(triangles), roots=True).numpy()
    groups = [
        {"id": k, "objectId": k, "label": label, "segments": np.unique(segments[owners == k]).tolist()}
        for k, label in enumerate(labels)
    ]
    content = {"params": {}, "sceneId": name, "segIndices": segments.tolist()}
    (folder / f"{name}_vh_clean_2.0.010000.segs.json").write_text(json.dumps(content))
    about = {"sceneId": f"scannet.{name}", "appId": "Aggregator.v2", "segGroups": groups, "segmentsFile": "x"}
    (folder / f"{name}.aggregation.json").write_text(json.dumps(about))


def _grid(side: int, low: object, first: object, second: object) -> tuple[np.ndarray, np.ndarray]:
    """side x side vertices of a flat patch, and its triangles."""
    u, v = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    places = np.asarray(low, float) + u[..., None] * np.asarray(first, float) + v[..., None] * np.asarray(second, float)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    triangles = np.concatenate(
        [np.c_[corner, corner + 1, corner + side], np.c_[corner + 1, corner + side + 1, corner + side]]
    )
    return places.reshape(-1, 3), triangles


def _write_ply(
    path: Path, points: np.ndarray, colours: np.ndarray, faces: np.ndarray, labels: np.ndarray | None
) -> None:
    fields: list[tuple] = [("xyz", "<f4", 3), ("rgba", "u1", 4)] + ([] if labels is None else [("label", "<u2")])
    rows = np.zeros(len(points), fields)
    rows["xyz"], rows["rgba"] = points, np.c_[colours, np.full(len(points), 255)]
    if labels is not None:
        rows["label"] = labels
    listed = np.zeros(len(faces), [("count", "u1"), ("ids", "<i4", 3)])
    listed["count"], listed["ids"] = 3, faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(points)}",
        *(f"property float {c}" for c in "xyz"),
        *(f"property uchar {c}" for c in ("red", "green", "blue", "alpha")),
        *(["property ushort label"] if labels is not None else []),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    path.write_bytes("\n".join([*header, ""]).encode() + rows.tobytes() + listed.tobytes())
