"""Reads the meshes of the test data: binary PLY of little endian, triangles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_TYPES = {"char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4", "float": "<f4", "double": "<f8"}


def read_mesh(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (N, 3) float32 and faces (F, 3) int64."""
    header, _, body = file.read_bytes().partition(b"end_header\n")
    counts: dict[str, int] = {}
    fields: list[tuple[str, str]] = []
    for words in (line.split() for line in header.decode("ascii").splitlines()):
        if words[0] == "element":
            counts[words[1]] = int(words[2])
        elif words[0] == "property" and words[1] != "list" and "face" not in counts:
            fields.append((words[2], _TYPES[words[1]]))
    vertices = np.frombuffer(body, fields, counts["vertex"])
    faces = np.frombuffer(body, [("count", "u1"), ("rows", "<i4", 3)], counts["face"], vertices.nbytes)
    assert (faces["count"] == 3).all()
    return np.stack([vertices[axis] for axis in "xyz"], 1), faces["rows"].astype(np.int64)
