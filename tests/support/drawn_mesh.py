"""A mesh of four vertices and two triangles as a PLY file in any layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

VERTICES = [(0.0, 0.0, 0.5), (1.0, 0.0, 0.25), (0.0, 1.0, -2.0), (1.0, 1.0, 8.0)]
COLOURS = [(0, 1, 2), (255, 254, 253), (7, 8, 9), (10, 20, 30)]
FACES = [(0, 1, 2), (2, 1, 3)]
SCANNET = ("float x", "float y", "float z", "uchar red", "uchar green", "uchar blue", "uchar alpha")
TYPES = {"float": "f4", "double": "f8", "uchar": "u1", "ushort": "u2", "int": "i4", "short": "i2"}
VALUES = {
    **{axis: [v[k] for v in VERTICES] for k, axis in enumerate("xyz")},
    **{name: [c[k] for c in COLOURS] for k, name in enumerate(("red", "green", "blue"))},
    "alpha": [255] * 4,
    "label": [1, 0, 50, 40],
    "quality": [0.1, 0.2, 0.3, 0.4],
}


def ply(
    path: Path,
    properties: tuple[str, ...] = SCANNET,
    faces: list[tuple[int, ...]] = FACES,
    format: str = "binary_little_endian",
    faces_as: str = "list uchar int vertex_indices",
    faces_first: bool = False,
    values: dict[str, list] | None = None,
) -> Path:
    """A mesh of four vertices and two triangles, with these vertex properties."""
    order = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "<"}[format]
    columns = VALUES | (values or {})
    dtype = np.dtype([(name, order + TYPES[type_]) for type_, name in (p.split() for p in properties)])
    rows = np.array(list(zip(*(columns[name] for name in dtype.names or ()), strict=True)), dtype)
    index = np.dtype(order + {"int": "i4", "uint": "u4", "short": "i2"}[faces_as.split()[2]])
    parts = {
        "vertex": (
            len(rows),
            [f"property {p}" for p in properties],
            rows.tobytes(),
            [" ".join(map(str, row.tolist())) for row in rows],
        ),
        "face": (
            len(faces),
            [f"property {faces_as}"],
            b"".join(bytes([len(f)]) + np.array(f, index).tobytes() for f in faces),
            [" ".join(map(str, (len(f), *f))) for f in faces],
        ),
    }
    names = ["face", "vertex"] if faces_first else ["vertex", "face"]
    header = ["ply", f"format {format} 1.0", "comment drawn"]
    for name in names:
        header += [f"element {name} {parts[name][0]}", *parts[name][1]]
    body = (
        "\n".join(line for name in names for line in parts[name][3]).encode() + b"\n"
        if format == "ascii"
        else b"".join(parts[name][2] for name in names)
    )
    path.write_bytes("\n".join([*header, "end_header"]).encode() + b"\n" + body)
    return path
