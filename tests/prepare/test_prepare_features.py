"""`prepare superpoints`, `multiview` and `clip`: image features reach the points that the frames show, and know which
these are."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import trimesh
from PIL import Image
from safetensors.numpy import load_file
from support import two_planes
from support.scans import draw_scans
from support.tiny_sens import write_tiny
from support.verbs import g3d

from g3d.data.images.depth_image import encode_depth_png
from g3d.data.scannet.frames import open_frames
from g3d.data.scannet.point_features import PointFeatures
from g3d.data.scannet.scenes import read_scene
from g3d.data.scannet.sens import SensFile
from g3d.nn.enet import ENet, published_name
from g3d.nn.patch_encoder import ClipPatchEncoder
from g3d.prepare import clip

SCENE = "scene0000_00"
# 2 m in front of the wall x = 0, looking at it; z up
POSE = np.array([[0, 0, -1, 2], [1, 0, 0, 2], [0, -1, 0, 1.2], [0, 0, 0, 1.0]])
LOST = np.full((4, 4), -np.inf)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prepared scans; three frames of the first, of which one was not located; ENet's weights; a tiny CLIP. Read
    only."""
    root = draw_scans(tmp_path_factory.mktemp("scannet"), 2, side=40)
    assert g3d("prepare", "scannet", "--data", str(root), "--maximum", "1500")[0] == 0
    draw_frames(root / "frames" / SCENE)
    torch.manual_seed(0)
    network = ENet()
    state = {name: value for key, value in network.state_dict().items() if (name := published_name(key, network))}
    torch.save(state, root / "enet.pth")
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=56, patch_size=14
    )
    transformers.CLIPVisionModel(config).save_pretrained(root / "clip")
    settings = {
        "do_resize": True,
        "size": {"shortest_edge": 56},
        "do_center_crop": True,
        "crop_size": {"height": 56, "width": 56},
        "do_normalize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_convert_rgb": True,
    }
    (root / "clip" / "preprocessor_config.json").write_text(json.dumps(settings))
    return root


def draw_frames(folder: Path) -> None:
    """frames_square: colour 320 x 240, depth 640 x 480 of the wall."""
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, pose in enumerate((POSE, LOST, POSE)):
        Image.fromarray(random.integers(0, 256, (240, 320, 3), np.uint8)).save(folder / "color" / f"{20 * number}.jpg")
        (folder / "depth" / f"{20 * number}.png").write_bytes(encode_depth_png(np.full((480, 640), 2000, np.uint16)))
        (folder / "pose" / f"{20 * number}.txt").write_text(
            "".join(" ".join(f"{v:.6f}" for v in row) + "\n" for row in pose)
        )
    for kind, focal, centre in (("depth", 577.87, (319.5, 239.5)), ("color", 288.9, (159.5, 119.5))):
        rows = [[focal, 0, centre[0], 0], [0, focal, centre[1], 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        (folder / "intrinsic" / f"intrinsic_{kind}.txt").write_text(
            "".join(" ".join(map(str, row)) + "\n" for row in rows)
        )


def on_the_wall(points: np.ndarray) -> np.ndarray:
    return np.abs(points[:, 0]) < 0.05


@pytest.mark.parametrize("pool", ["max", "first"])
def test_enet_features_reach_the_points_that_frames_show(data: Path, tmp_path: Path, pool: str) -> None:
    merged = tmp_path / "enet.hdf5"
    code, out, err = g3d(
        "prepare",
        "multiview",
        "--data",
        str(data),
        "--frames",
        str(data / "frames"),
        "--weights",
        str(data / "enet.pth"),
        "--scene",
        SCENE,
        "--pool",
        pool,
        "--merge",
        str(merged),
        "--json",
    )
    assert code == 0, err
    assert json.loads(out)["facts"][SCENE]["frames"] == 2
    scene = read_scene(data / "g3d" / "scenes" / SCENE, "vertices", "rows")
    points = scene.vertices[scene.rows]
    features = PointFeatures(merged).read(SCENE, points)
    seen = features.any(1)
    assert seen.sum() > 50
    assert on_the_wall(points[seen]).mean() > 0.9


def test_clip_features_reach_the_superpoints_that_frames_show(data: Path) -> None:
    code, out, err = g3d(
        "prepare",
        "clip",
        "--data",
        str(data),
        "--frames",
        str(data / "frames"),
        "--encoder",
        str(data / "clip"),
        "--offline",
        "--scene",
        SCENE,
        "--every",
        "1",
        "--published",
        "--json",
    )
    assert code == 0, err
    assert json.loads(out)["facts"][SCENE]["frames"] == 2
    scene = read_scene(data / "g3d" / "scenes" / SCENE)
    features = load_file(data / "g3d" / "clip" / SCENE / "superpoints.safetensors")["superpoints"]
    assert features.shape == (scene.superpoints.max() + 1, 16)
    wall = np.unique(scene.superpoints[on_the_wall(scene.vertices)])
    seen = np.flatnonzero(features.any(1))
    assert np.isin(wall, seen).any()
    published = torch.load(data / "g3d" / "clip" / SCENE / f"{SCENE}.pth", weights_only=True)
    assert np.array_equal(published.numpy(), features)


def test_another_encoder_in_the_same_folder_is_noticed(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "clip", tmp_path / "clip")
    asked = (
        "prepare",
        "clip",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "out"),
        "--frames",
        str(data / "frames"),
        "--encoder",
        str(tmp_path / "clip"),
        "--offline",
        "--scene",
        SCENE,
        "--every",
        "1",
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scenes").symlink_to(data / "g3d" / "scenes")
    assert g3d(*asked)[0] == 0
    assert g3d(*asked, "--check")[0] == 0
    preparation = tmp_path / "clip" / "preprocessor_config.json"
    preparation.write_text(preparation.read_text().replace("0.5", "0.4"))
    code, out, _ = g3d(*asked, "--check")
    assert code == 1
    assert "the settings differ" in out


@pytest.mark.parametrize("mapping", ["stretched", "cropped"])
def test_poses_have_the_published_digits_where_the_mapping_is_published(
    data: Path, mapping: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    monkeypatch.setattr(clip, "find_hits", lambda points, depth, camera, pose, grid: used.append(pose))
    encoder = ClipPatchEncoder.from_pretrained(str(data / "clip"), final_norm=False, local_only=True)
    pose = POSE.astype(np.float32) + np.float32(1e-7)
    pose.flags.writeable = False  # as those of recordings
    with open_frames(data / "frames" / SCENE) as source, warnings.catch_warnings():
        warnings.simplefilter("error")
        clip._hits(replace(source.frame(0), pose=pose), torch.zeros(1, 3), encoder, clip.ClipSettings(mapping=mapping))  # type: ignore[arg-type]
    assert (used[0].numpy() == POSE).all() == (mapping == "stretched")


def test_scenes_without_frames_are_listed(data: Path, tmp_path: Path) -> None:
    code, _, err = g3d(
        "prepare",
        "multiview",
        "--data",
        str(data),
        "--frames",
        str(data / "frames"),
        "--weights",
        str(data / "enet.pth"),
        "--redo",
    )
    assert code == 1
    assert "scene0001_00: no frames (looked for" in err


def test_the_parts_before_the_last_do_not_merge(data: Path, tmp_path: Path) -> None:
    draw_frames(tmp_path / "frames" / SCENE)
    draw_frames(tmp_path / "frames" / "scene0001_00")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scenes").symlink_to(data / "g3d" / "scenes")
    merged = tmp_path / "enet.hdf5"
    for shard in ("1/2", "2/2"):
        assert not merged.exists()
        code, _, err = g3d(
            "prepare",
            "multiview",
            "--data",
            str(data),
            "--out",
            str(tmp_path / "out"),
            "--frames",
            str(tmp_path / "frames"),
            "--weights",
            str(data / "enet.pth"),
            "--merge",
            str(merged),
            "--shard",
            shard,
        )
        assert code == 0, err
        assert ("1 scenes are missing" in err) == (shard == "1/2")
    assert merged.exists()


def test_without_prepared_scenes_it_says_what_to_do(tmp_path: Path, data: Path) -> None:
    code, _, err = g3d("prepare", "multiview", "--data", str(tmp_path), "--weights", str(data / "enet.pth"))
    assert code == 3
    assert "run g3d prepare scannet first" in err


@pytest.mark.parametrize("name", ["tpu", "cuda:99"])
def test_a_device_that_is_not_there_is_said(data: Path, tmp_path: Path, name: str) -> None:
    code, _, err = g3d(
        "prepare", "multiview", "--data", str(data), "--weights", str(data / "enet.pth"), "--device", name
    )
    assert code == (4 if name.startswith("cuda") else 2)
    assert f"--device {name}" in err


def test_superpoints_of_a_mesh_and_of_its_points(data: Path, tmp_path: Path) -> None:
    mesh = data / "scans" / SCENE / f"{SCENE}_vh_clean_2.ply"
    for source in ("mesh", "points"):
        code, out, err = g3d(
            "prepare",
            "superpoints",
            "--data",
            str(mesh),
            "--out",
            str(tmp_path / source),
            "--from",
            source,
            "--segs-json",
            "--json",
        )
        assert code == 0, err
        facts = json.loads(out)["facts"][mesh.stem]
        assert facts["source"] == source
        found = load_file(tmp_path / source / "superpoints" / mesh.stem / "superpoints.safetensors")["superpoints"]
        assert len(np.unique(found)) == found.max() + 1 == facts["superpoints"] >= 5
    written = json.loads(
        (tmp_path / "mesh" / "superpoints" / mesh.stem / f"{mesh.stem}.0.010000.segs.json").read_text()
    )
    official = json.loads((data / "scans" / SCENE / f"{mesh.stem}.0.010000.segs.json").read_text())
    assert written["segIndices"] == official["segIndices"]


def superpoints_of(path: Path, out: Path) -> tuple[dict, dict[str, np.ndarray], str]:
    """The facts, arrays and messages of `prepare superpoints` for one file."""
    code, printed, err = g3d("prepare", "superpoints", "--data", str(path), "--out", str(out), "--json")
    assert code == 0, err
    return (
        json.loads(printed)["facts"][path.stem],
        load_file(out / "superpoints" / path.stem / "superpoints.safetensors"),
        err,
    )


PLANES = np.repeat([0, 1], (two_planes.CELLS + 1) ** 2)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({}, ""),
        ({"faces": two_planes.quads()}, "1152 faces of more than three corners are split into triangles"),
        ({"colour": "float"}, ""),
        ({"colour": "short"}, "colours are ignored"),
        ({"number": "double", "offset": (452345.0, 5411948.0, 312.0)}, "the offset (452346, 5411949, 313) is subtract"),
    ],
)
@pytest.mark.parametrize("format", ["binary_little_endian", "ascii"])
def test_superpoints_of_any_mesh_are_those_of_the_plain_one(
    tmp_path: Path, layout: dict, message: str, format: str
) -> None:
    path = two_planes.write_planes(tmp_path / "room.ply", format=format, **layout)
    facts, arrays, err = superpoints_of(path, tmp_path)
    assert arrays.keys() == {"superpoints"}
    np.testing.assert_array_equal(arrays["superpoints"], PLANES)
    assert message in err
    assert (facts["source"], facts["vertices"], "left_out" in facts) == ("mesh", len(PLANES), False)
    assert ("offset" in facts) == ("offset" in layout)


def test_superpoints_leave_out_vertices_that_are_not_finite(tmp_path: Path) -> None:
    path = two_planes.write_planes(tmp_path / "room.ply", broken=(0, 100))
    facts, arrays, err = superpoints_of(path, tmp_path)
    kept = np.delete(np.arange(len(PLANES)), [0, 100])
    assert "2 of 1250 vertices are not finite: they are left out, with the 5 faces that use them" in err
    assert facts["left_out"] == 2
    np.testing.assert_array_equal(arrays["rows"], kept)
    np.testing.assert_array_equal(arrays["superpoints"], PLANES[kept])
    assert g3d("prepare", "superpoints", "--data", str(path), "--out", str(tmp_path / "s"), "--segs-json")[0] == 0
    segments = json.loads((tmp_path / "s/superpoints/room/room.0.010000.segs.json").read_text())["segIndices"]
    assert len(segments) == len(PLANES)
    assert (segments[0], segments[100]) == (0, 100)
    assert len(set(segments)) == 4


@pytest.mark.parametrize("suffix", ["obj", "stl", "off", "glb", "OBJ"])
def test_superpoints_of_other_formats(tmp_path: Path, suffix: str) -> None:
    mesh = trimesh.Trimesh(two_planes.vertices(), two_planes.triangles(), process=False)
    path = tmp_path / f"room.{suffix}"
    mesh.export(path, file_type=suffix.lower())
    found = superpoints_of(path, tmp_path)[1]["superpoints"]
    assert sorted(np.bincount(found)) == sorted(np.bincount(PLANES))
    if suffix != "stl":  # its vertices are in the order of their first use
        np.testing.assert_array_equal(found, PLANES)


def test_superpoints_of_a_folder_of_meshes(tmp_path: Path) -> None:
    two_planes.write_planes(tmp_path / "a.ply")
    trimesh.Trimesh(two_planes.vertices(), two_planes.triangles(), process=False).export(tmp_path / "b.obj")
    (tmp_path / "notes.txt").write_text("not a list of points")
    run = ("prepare", "superpoints", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--json")
    code, printed, err = g3d(*run)
    assert code == 0, err
    assert json.loads(printed)["made"] == ["a", "b"]
    (tmp_path / "a.obj").write_bytes((tmp_path / "b.obj").read_bytes())
    code, _, err = g3d(*run)
    assert code == 2
    assert "a.obj and a.ply would be prepared under one name" in err


def test_superpoints_of_a_scan_are_those_of_all_its_vertices(tmp_path: Path) -> None:
    path = two_planes.write_planes(tmp_path / "a_vh_clean_2.ply", broken=(3,))
    code, _, err = g3d("prepare", "superpoints", "--data", str(path), "--out", str(tmp_path))
    assert code == 2
    assert "1 vertices are not finite" in err


def test_superpoints_of_what_is_not_there(data: Path, tmp_path: Path) -> None:
    code, _, err = g3d("prepare", "superpoints", "--data", str(tmp_path / "room.ply"))
    assert code == 3
    assert "room.ply: no such file or folder" in err
    for place in (data / "scans" / SCENE, data / "scans", data):  # loose .ply files, and ScanNet's layout
        code, _, err = g3d("prepare", "superpoints", "--data", str(place), "--out", str(tmp_path), "--scene", "nope")
        assert code == 3
        assert "nope" in err


def test_superpoints_of_the_folder_of_scans_itself(data: Path, tmp_path: Path) -> None:
    code, out, err = g3d(
        "prepare", "superpoints", "--data", str(data / "scans"), "--out", str(tmp_path), "--scene", SCENE, "--json"
    )
    assert code == 0, err
    assert json.loads(out)["made"] == [SCENE]


def test_frames_of_a_scan_without_mesh(tmp_path: Path) -> None:
    (tmp_path / "scans" / "a").mkdir(parents=True)
    write_tiny(tmp_path / "scans" / "a" / "a.sens")
    (tmp_path / "scans" / "empty").mkdir()
    code, out, err = g3d("prepare", "frames", "--data", str(tmp_path), "--every", "2", "--json")
    assert code == 0, err
    assert json.loads(out)["made"] == ["a"]
    code, _, err = g3d("prepare", "frames", "--data", str(tmp_path), "--scene", "empty")
    assert code == 3
    assert "empty.sens: no such file" in err


def test_recordings_become_folders_of_frames(tmp_path: Path) -> None:
    for scene in ("a", "b"):
        write_tiny(tmp_path / f"{scene}.sens")
        code, out, err = g3d("prepare", "frames", "--data", str(tmp_path / f"{scene}.sens"), "--every", "2", "--json")
        assert code == 0, err
        facts = json.loads(out)["facts"][scene]
        place = tmp_path / "g3d" / "frames" / scene
        assert len(list((place / "color").iterdir())) == len(list((place / "pose").iterdir())) == facts["written"] > 0
    (tmp_path / "b.sens").write_bytes((tmp_path / "b.sens").read_bytes()[:-400])
    code, _, err = g3d("prepare", "frames", "--data", str(tmp_path / "b.sens"), "--every", "2")
    assert code == 2
    assert "b.sens" in err


def spoil_frame(stream: Path, number: int, picture: str) -> None:
    """Zero the second half of a picture of a frame."""
    with SensFile.open(stream) as opened:
        record = opened.record(number)
    first, size = (
        (record.colour_start, record.colour_bytes) if picture == "colour" else (record.depth_start, record.depth_bytes)
    )
    content = bytearray(stream.read_bytes())
    content[first + size // 2 : first + size] = bytes(size - size // 2)
    stream.write_bytes(content)


@pytest.mark.parametrize("picture", ["colour", "depth"])
@pytest.mark.parametrize("more", [(), ("--depth", "zlib")])
def test_good_frames_are_exported_and_damaged_ones_named(tmp_path: Path, picture: str, more: tuple[str, ...]) -> None:
    write_tiny(tmp_path / "a.sens")
    asked = ("prepare", "frames", "--data", str(tmp_path / "a.sens"), "--every", "1", *more)
    assert g3d(*asked, "--out", str(tmp_path / "whole"))[0] == 0
    spoil_frame(tmp_path / "a.sens", 2, picture)
    for made in (1, 0):  # listed again although it is not made again
        code, out, err = g3d(*asked, "--out", str(tmp_path / "out"))
        assert code == 1
        assert f"prepared {made}, {1 - made} done before" in out
        (line,) = (line for line in err.splitlines() if line.startswith("error: "))
        assert f"a.sens: frame 2, {picture} at byte" in line
    code, out, _ = g3d(*asked, "--out", str(tmp_path / "out"), "--check")
    assert code == 1
    assert "a: 1 damaged parts are missing" in out
    whole, good = (
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.*")}
        for name in ("whole", "out")
    )
    lost = {str(path.relative_to("frames/a")) for path in whole.keys() - good.keys()}
    assert lost == {"color/2.jpg", "pose/2.txt", "depth/2.zdepth" if more else "depth/2.png"}
    manifest = Path("frames/a/manifest.json")
    assert all(whole[path] == content for path, content in good.items() if path != manifest)


@pytest.mark.parametrize(
    "arguments", [("superpoints", "--from", "air"), ("clip", "--mapping", "x"), ("scannet", "--normals", "x")]
)
def test_unknown_words_are_refused(data: Path, arguments: tuple[str, ...]) -> None:
    code, _, err = g3d("prepare", arguments[0], "--data", str(data), *arguments[1:])
    assert code == 2
    assert "expected" in err
