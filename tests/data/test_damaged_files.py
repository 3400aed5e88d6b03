"""Every reader of files under arbitrary damage: it reads the file or refuses it in one line that names the file."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import tiny_sens
from support.scans import CLASSES, TABLE_HEADER
from support.tiny_text import write_encoder

from g3d.data.files import read_text
from g3d.data.images.depth_image import encode_depth_png, pack_depth, read_depth
from g3d.data.images.image import image_size, read_image
from g3d.data.kitti.prepared import PreparedDepth, raw_root
from g3d.data.kitti.raw import read_calibration, read_labels, read_results
from g3d.data.kitti.raw import read_split as read_frames
from g3d.data.mono3drefer.raw import read_expressions, read_groups
from g3d.data.scannet.arrays import PreparedScene, ScanReferScene
from g3d.data.scannet.folder import read_split
from g3d.data.scannet.frames import read_matrix
from g3d.data.scannet.labels import LabelTable
from g3d.data.scannet.point_features import PointFeatures, rows_fingerprint, write_features
from g3d.data.scannet.published import (
    read_ground_truth,
    read_prepared,
    read_scanrefer,
    write_refer,
    write_scanrefer,
)
from g3d.data.scannet.raw import read_aggregation, read_facts, read_segments
from g3d.data.scannet.scenes import Scene, read_scene, write_scene
from g3d.data.scannet.sens import SensFile
from g3d.data.text.sentences import read_sentences
from g3d.errors import InputError, MissingDataError
from g3d.nn.text_files import read_tokenizer

POINTS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
LABEL = "Car 0.00 0 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"
ENTRY = {
    "im_name": "000152",
    "instanceID": 1,
    "ann_id": 0,
    "objectName": "car",
    "label_2": str(LABEL.split()),
    "description": "The white car.",
}
GROUP = {"id": 0, "objectId": 0, "label": "chair", "segments": [0, 1]}
GROUPS = {
    "Near": [1],
    "Medium": [2],
    "Far": [3],
    "Easy": [1],
    "Moderate": [2],
    "Hard": [3],
    "Unique": [],
    "Multiple": [],
}
TABLE = "\n".join([TABLE_HEADER, *(f"{k}\t{n}\t{n}\t1\t{i}\t1\t{n}\t{n}" for k, (n, i) in enumerate(CLASSES.items()))])


def text(content: Any) -> Callable[[Path], None]:
    plain = content if isinstance(content, str) else json.dumps(content)
    return lambda path: void(path.write_text(plain))


def void(_: object) -> None:
    return None


def picture(form: str) -> Callable[[Path], None]:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    return lambda path: Image.fromarray(pixels).save(path, form)


def depth(path: Path) -> None:
    path.write_bytes(encode_depth_png(tiny_sens.depth_of(1)))


def compact_depth(path: Path) -> None:
    path.write_bytes(pack_depth(tiny_sens.frame(1).depth, tiny_sens.DEPTH_SIZE, 1000.0))


def prepared(path: Path) -> None:
    numbers = np.arange(5)
    write_refer(path, PreparedScene(POINTS, POINTS, numbers, numbers, numbers))


def whole_stream(path: Path) -> list[Any]:
    with SensFile.open(path) as stream:
        stream.check()
        return [(stream.colour(k), stream.depth(k), stream.pose(k)) for k in range(len(stream))]


def rectangles(path: Path) -> None:
    np.savez(path, ids=np.array(["000000"]), offsets=[0, 1], edges=np.zeros((1, 4)), depth=[2.0], car=[True])


def scene(path: Path) -> None:
    numbers = np.zeros(5, np.int32)
    arrays = (
        POINTS,
        POINTS.astype(np.uint8),
        POINTS,
        numbers.reshape(-1, 1),
        numbers,
        numbers.astype(np.uint8),
        numbers,
    )
    write_scene(path, Scene("s", *arrays, np.zeros((1, 8)), np.zeros((1, 8)), {3: "chair"}))


def tokenizer(path: Path) -> None:
    folder = write_encoder(path.parent / "encoder")
    path.write_bytes((folder / "tokenizer.json").read_bytes())


class Config:
    vocab_size, pad_token_id = 10**6, 1


READERS: dict[str, tuple[str, Callable[[Path], None], Callable[[Path], object]]] = {
    "text": ("a.txt", text("a\nb"), lambda path: read_text(path, "words")),
    "label": ("a.txt", text(f"{LABEL}\n{LABEL}\n"), read_labels),
    "result": ("a.txt", text(f"{LABEL} 0.5\n"), read_results),
    "calibration": ("a.txt", text("P2: " + " ".join(["7.2e2"] * 12)), read_calibration),
    "frames": ("a.txt", text("000001\n000002\n"), read_frames),
    "kitti source": ("manifest.json", text({"source": "/data"}), lambda path: in_prepared(path)),
    "rectangles": ("object_depth.npz", rectangles, PreparedDepth),
    "expressions": ("a.json", text([ENTRY]), read_expressions),
    "groups": ("a.json", text(GROUPS), read_groups),
    "sentences": ("a.txt", text("the car\n"), read_sentences),
    "png": ("a.png", picture("PNG"), read_image),
    "jpeg": ("a.jpg", picture("JPEG"), read_image),
    "size": ("a.png", picture("PNG"), image_size),
    "depth": ("a.png", depth, read_depth),
    "zdepth": ("a.zdepth", compact_depth, read_depth),
    "segments": ("a.segs.json", text({"segIndices": [0, 1, 1]}), lambda path: read_segments(path, 3)),
    "aggregation": ("a.json", text({"segGroups": [GROUP]}), lambda path: read_aggregation(path, np.array([0, 1]))),
    "facts": ("a.txt", text("axisAlignment = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1\ncolorWidth = 3\n"), read_facts),
    "matrix": ("a.txt", text("1 0\n0 1\n"), lambda path: read_matrix(path, (2, 2))),
    "table": ("a.tsv", text(TABLE), LabelTable.read),
    "split": ("a.txt", text("scene0000_00\nscene0001_00\n"), read_split),
    "ground truth": ("a.txt", text("5001\n0\n"), read_ground_truth),
    "refer": ("a.pth", prepared, read_prepared),
    "stream": ("a.sens", lambda path: void(tiny_sens.write_tiny(path, 2)), whole_stream),
    "features": (
        "a.h5",
        lambda path: write_features(path, "s", POINTS, rows_fingerprint(POINTS), {}),
        lambda path: PointFeatures(path).read("s", POINTS),
    ),
    "scene": ("scene.safetensors", scene, read_scene),
    "tokenizer": ("tokenizer.json", tokenizer, lambda path: read_tokenizer(path.parent, Config)),
    "scanrefer": (
        "s_vert.npy",
        lambda path: void(
            write_scanrefer(path.parent, "s", ScanReferScene(*[np.zeros((2, 9), np.float32)] * 2, *[np.zeros(2)] * 2,
                                                             *[np.zeros((1, 8))] * 2))
        ),
        lambda path: read_scanrefer(path.parent, "s"),
    ),
}  # fmt: skip
WHOLE = [
    *("", "[]", "{}", "null", "1e999", "9" * 6000, "[" * 100000, '{"a":' * 100000, "[[1], [2, 3]]", "\x00" * 64),
    *("\ud800", '"' + "x" * 1000, "[[[[]]], {}]", '{"segGroups": [[]]}', '{"segIndices": [1e400, 2, {}]}'),
]


def in_prepared(path: Path) -> Path:
    path.with_name("object_depth.npz").touch()
    return raw_root(path.parent)


def damaged(content: bytes, draws: random.Random) -> bytes:
    made = bytearray(content)
    for _ in range(draws.randint(1, 6)):
        if made:
            made[draws.randrange(len(made))] = draws.choice([0, 0x7F, 0xFF, *b'[]{}",:-0129eE. \n'])
    return bytes(made[: draws.randrange(len(made) + 1)] if draws.random() < 0.3 else made)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", READERS)
def test_damage_is_refused_in_one_line_or_read(tmp_path: Path, kind: str) -> None:
    name, write, read = READERS[kind]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    read(path)
    draws = random.Random(kind)
    contents = [text.encode("utf-8", "surrogatepass") for text in WHOLE] + [damaged(content, draws) for _ in range(60)]
    refused = []
    for content in contents:
        path.write_bytes(content)
        try:
            read(path)
        except (InputError, MissingDataError) as error:
            refused.append(error.message)
    assert refused
    assert all(path.name in message or str(tmp_path) in message for message in refused)
    assert not any("\n" in message for message in refused)
    if kind == "kitti source":
        return
    path.unlink()
    path.mkdir()
    with pytest.raises((InputError, MissingDataError), match=str(tmp_path)):
        read(path)
