"""A world of rooms on disk: readers accept it, its parts agree with each other and with the exact geometry, and its
bytes depend on nothing but its arguments."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.solid_oracle import surface_distance
from support.verbs import g3d, refused

from g3d.data.scannet.arrays import align
from g3d.data.scannet.folder import Scan, ScanFolder, read_scan, read_split
from g3d.data.scannet.frames import Frame, frames_with_pose, open_frames
from g3d.data.scannet.labels import LabelTable
from g3d.data.scannet.scenes import FILE, read_scene
from g3d.errors import InputError
from g3d.ops.mesh_segments import mesh_segments
from g3d.synthetic.rooms.frames import FARTHEST, NEAREST, NOISE_AT_1M, NOISE_GROWTH, FrameSettings
from g3d.synthetic.rooms.scan import make_scan
from g3d.synthetic.rooms.world import make_rooms

SCENES = ("scene0000_00", "scene0001_00", "scene0002_00")
FRAMES = FrameSettings(6, (324, 242), (160, 120))
KINDS = ("bathroom", "office", "kitchen")


def make(root: Path, workers: int = 1, rooms: int = 3) -> int:
    """Make the world of this file's tests; return how many rooms were made now."""
    return make_rooms(root, rooms, seed=5, kinds=KINDS, frames=FRAMES, val_fraction=1 / 3, workers=workers).made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rooms; read only."""
    root = tmp_path_factory.mktemp("rooms") / "world"
    assert make(root) == 3
    return root


@pytest.fixture(scope="module")
def scans(world: Path) -> dict[str, Scan]:
    folder = ScanFolder(world)
    return {scene: read_scan(folder.files(scene)) for scene in SCENES}


@pytest.fixture(scope="module")
def facts(world: Path) -> dict[str, dict]:
    """The descriptions of the rooms."""
    return {scene: json.loads((world / "scans" / scene / f"{scene}.room.json").read_text()) for scene in SCENES}


def objects_of(scan: Scan) -> np.ndarray:
    """(N,) objectId of each vertex, -1 for none, from the files."""
    assert scan.aggregation is not None
    assert scan.segments is not None
    found = np.full(len(scan.segments), -1)
    for group in scan.aggregation.groups:
        found[np.isin(scan.segments, group.segments)] = group.object_id
    return found


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


@pytest.fixture(scope="module")
def prepared(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three rooms after `g3d prepare scannet`; read only."""
    root = tmp_path_factory.mktemp("prepared")
    code, out, err = g3d("prepare", "scannet", "--data", str(world), "--out", str(root), "--json")
    assert code == 0, err
    assert "no area" not in err
    assert sorted(json.loads(out)["facts"]) == list(SCENES)
    return root


def test_prepare_takes_every_room(world: Path, prepared: Path) -> None:
    folder = ScanFolder(world)
    table = LabelTable.read(folder.meta("scannetv2-labels.combined.tsv"))
    for scene in SCENES:
        made = read_scene(prepared / "scenes" / scene / FILE)
        assert 50_000 <= len(made.vertices) <= 200_000
        assert made.annotated
        assert made.alignment is not None
        names = {table[name].nyu40 for name in made.names.values()}
        assert {1, 2} < names
        assert len(made.boxes) >= 10


def test_splits_and_labels_fit_the_scans(world: Path, scans: dict[str, Scan], facts: dict[str, dict]) -> None:
    folder = ScanFolder(world)
    assert read_split(folder.meta("scannetv2_train.txt")) == SCENES[:2]
    assert read_split(folder.meta("scannetv2_val.txt")) == SCENES[2:]
    table = LabelTable.read(folder.meta("scannetv2-labels.combined.tsv"))
    for scene, scan in scans.items():
        assert scan.aggregation is not None
        assert scan.labels is not None
        described = facts[scene]["objects"]
        assert [group.label for group in scan.aggregation.groups] == [thing["label"] for thing in described]
        assert [table[thing["label"]].nyu40 for thing in described] == [thing["nyu40"] for thing in described]
        objects = objects_of(scan)
        expected = np.zeros(len(objects), int)
        for group in scan.aggregation.groups:
            expected[objects == group.object_id] = table[group.label].nyu40
        assert np.array_equal(scan.labels, expected)
        assert [group.object_id for group in scan.aggregation.groups] == list(range(len(scan.aggregation.groups)))
        assert (expected > 0).mean() > 0.99


def test_test_scans_hold_no_answers(tmp_path: Path) -> None:
    root, made = tmp_path / "world", {"seed": 5, "kinds": ("bathroom",), "voxel": 0.04, "val_fraction": 0.0}
    assert make_rooms(root, 1, test=1, **made).made == 2
    scene = SCENES[1]
    mesh, facts = f"{scene}_vh_clean_2.ply", f"{scene}.txt"
    assert {path.name for path in (root / "scans_test" / scene).iterdir()} == {mesh, facts, "manifest.json"}
    assert "axisAlignment" not in (root / "scans_test" / scene / facts).read_text()
    assert "toilet" not in (root / "scans_test" / scene / "manifest.json").read_text()
    lists = {name: read_split(root / "meta_data" / f"scannetv2_{name}.txt") for name in ("train", "val", "test")}
    assert lists == {"train": SCENES[:1], "val": (), "test": (scene,)}
    code, _, err = g3d("prepare", "scannet", "--data", str(root), "--split", "test", "--out", str(tmp_path / "out"))
    assert code == 0, err
    unlabelled = read_scene(tmp_path / "out" / "scenes" / scene / FILE)
    assert not unlabelled.annotated
    assert unlabelled.alignment is None
    shape = (root / "scans_test" / scene / mesh).read_bytes()
    assert make_rooms(root, 2, **made).made == 1  # the same room, now with its answers
    assert (root / "scans" / scene / mesh).read_bytes() == shape
    assert ScanFolder(root).files(scene).annotated
    assert not list((root / "scans_test").iterdir())
    assert read_split(root / "meta_data" / "scannetv2_test.txt") == ()


def test_a_coarser_room_has_fewer_vertices() -> None:
    fine, coarse = (make_scan(5, 0, "bathroom", voxel) for voxel in (0.02, 0.03))
    assert 0.35 < len(coarse.mesh.vertices) / len(fine.mesh.vertices) < 0.55
    assert len(coarse.annotated) >= 0.8 * len(fine.annotated)
    assert (coarse.annotation >= 0).mean() > 0.99


def test_segments_are_superpoints(scans: dict[str, Scan]) -> None:
    import torch

    for scan in scans.values():
        assert scan.segments is not None
        superpoints = mesh_segments(torch.from_numpy(scan.mesh.vertices), torch.from_numpy(scan.mesh.faces)).numpy()
        pairs = np.unique(np.stack([superpoints, scan.segments], 1), axis=0)
        assert len(pairs) == len(np.unique(scan.segments))  # each segment lies in one superpoint
        # superpoints are not trivially perfect: some were cut between two objects
        assert len(np.unique(superpoints)) < len(pairs)
        assert np.array_equal(scan.segments[np.unique(scan.segments)], np.unique(scan.segments))


def test_labelled_vertices_lie_on_their_objects(scans: dict[str, Scan], facts: dict[str, dict]) -> None:
    for scene, scan in scans.items():
        objects, solids = objects_of(scan), facts[scene]["solids"]
        for thing in facts[scene]["objects"]:
            points = scan.mesh.vertices[objects == thing["object_id"]].astype(float)
            assert len(points) == thing["vertices"] >= 25
            first, stop = thing["solids"]
            away = np.abs(surface_distance(points, solids[first:stop]))
            assert away.max() < 0.04, (scene, thing["label"])
            assert np.median(away) < 0.012, (scene, thing["label"])


def test_boxes_lie_in_the_described_ones(scans: dict[str, Scan], facts: dict[str, dict], prepared: Path) -> None:
    covered = []
    for scene, scan in scans.items():
        assert scan.alignment is not None
        aligned, objects = align(scan.mesh.vertices, scan.alignment), objects_of(scan)
        assert abs(np.median(aligned[objects_of_label(facts[scene], objects, "floor"), 2])) < 0.01
        boxes = {int(box[7]): box for box in read_scene(prepared / "scenes" / scene / FILE).aligned_boxes}
        for thing in facts[scene]["objects"]:
            if "center" not in thing:
                continue
            points = aligned[objects == thing["object_id"]]
            low = np.array(thing["center"]) - np.array(thing["extent"]) / 2
            high = low + thing["extent"]
            box = boxes[thing["object_id"]]
            np.testing.assert_allclose(box[:3] - box[3:6] / 2, points.min(0), atol=1e-4)
            np.testing.assert_allclose(box[:3] + box[3:6] / 2, points.max(0), atol=1e-4)
            assert box[6] == thing["nyu40"]
            assert (points.min(0) > low - 0.04).all(), (scene, thing["label"])
            assert (points.max(0) < high + 0.04).all(), (scene, thing["label"])
            covered.append(float(np.prod(np.ptp(points, axis=0)) / np.prod(high - low)))
    assert np.median(covered) > 0.75


def objects_of_label(described: dict, objects: np.ndarray, label: str) -> np.ndarray:
    return np.isin(objects, [thing["object_id"] for thing in described["objects"] if thing["label"] == label])


def test_depth_frames_show_the_surfaces(world: Path, facts: dict[str, dict]) -> None:
    for scene in SCENES:
        with open_frames(world / "scans" / scene / "frames") as frames:
            shown = list(frames_with_pose(frames))
            assert len(shown) >= FRAMES.frames - 1
            for frame in shown:
                check_depth(frame.depth(), frame.depth_camera((160, 120)), frame.pose, facts[scene]["solids"])


def test_exported_frames_are_those_of_the_stream(world: Path) -> None:
    for scene in SCENES:
        folder = world / "scans" / scene
        with open_frames(folder / "frames") as exported, open_frames(folder / f"{scene}.sens") as stream:
            assert len(exported) == len(stream) == FRAMES.frames
            for index in range(FRAMES.frames):
                one, other = exported.frame(index), stream.frame(index)
                np.testing.assert_allclose(one.pose, other.pose, atol=1e-5)
                assert np.array_equal(one.depth(), other.depth())
                assert np.array_equal(one.colour(), other.colour())
                np.testing.assert_allclose(one.depth_camera((160, 120)), other.depth_camera((160, 120)), atol=1e-3)


def check_depth(depth: np.ndarray, camera: np.ndarray, pose: np.ndarray, solids: list[dict]) -> None:
    """Readings lie on a surface within the sensor's noise, and nothing stands before them."""
    rows, columns = np.nonzero(depth)
    assert len(rows) > 0.5 * depth.size
    chosen = np.random.default_rng(0).choice(len(rows), 500)
    rows, columns = rows[chosen], columns[chosen]
    z = depth[rows, columns].astype(float)
    assert z.min() >= NEAREST - 0.01
    assert z.max() <= FARTHEST + 0.3
    rays = np.linalg.inv(camera[:3, :3]) @ np.stack([columns, rows, np.ones(len(rows))])
    turn, place = np.asarray(pose)[:3, :3], np.asarray(pose)[:3, 3]
    noise = NOISE_AT_1M + NOISE_GROWTH * (np.maximum(z, 1) - 1) ** 2
    hits = (turn @ (rays * z)).T + place
    # facets of round parts and the ellipsoids' distance cost a few millimetres
    stretch = np.linalg.norm(rays, axis=0)
    off = np.abs(surface_distance(hits, solids))
    assert (off > 5 * noise * stretch + 0.004).mean() < 0.005
    for share in (0.3, 0.6, 0.9):
        before = (turn @ (rays * z * share)).T + place
        assert (surface_distance(before, solids) < -0.004).mean() < 0.005


def test_colour_frames_show_the_colours_of_the_mesh(world: Path, scans: dict[str, Scan]) -> None:
    for scene, scan in scans.items():
        with open_frames(world / "scans" / scene / "frames") as frames:
            vertices, colours = scan.mesh.vertices, scan.mesh.colours.astype(float)
            moved = [check_colours(frame, vertices, colours) for frame in frames_with_pose(frames)]
        assert sum(moved) >= len(moved) - 1 >= FRAMES.frames - 2


def check_colours(frame: Frame, vertices: np.ndarray, colours: np.ndarray) -> bool:
    """Check that the picture shows each vertex that the camera saw in its colour, and that no picture that is moved by
    a few pixels does; return whether the latter could be checked, since a bare wall looks the same everywhere."""
    colour, depth = frame.colour().astype(float), frame.depth()
    camera, pose = frame.depth_camera((160, 120)), np.asarray(frame.pose)
    local = (vertices - pose[:3, 3]) @ pose[:3, :3]
    local, own = local[local[:, 2] > 0.3], colours[local[:, 2] > 0.3]
    pixels = local @ camera[:3, :3].T
    u, v = pixels[:, 0] / pixels[:, 2], pixels[:, 1] / pixels[:, 2]
    inside = (u > 8) & (u < 151) & (v > 8) & (v < 111)
    u, v, z, own = u[inside], v[inside], local[inside, 2], own[inside]
    seen = np.abs(depth[np.rint(v).astype(int), np.rint(u).astype(int)] - z) < 0.03
    assert seen.sum() > 300
    rows, columns, own = (v[seen] + 0.5) * 242 / 120, (u[seen] + 0.5) * 324 / 160, own[seen]

    def apart(down: int = 0, right: int = 0) -> float:
        """Mean difference of colours if the picture is moved by some pixels."""
        return float(np.abs(colour[rows.astype(int) + down, columns.astype(int) + right] - own).mean())

    assert np.median(np.abs(colour[rows.astype(int), columns.astype(int)] - own)) < 8
    moved = [apart(down, right) for down, right in ((0, 6), (0, -6), (6, 0), (-6, 0))]
    if max(moved) < 5:
        return False
    assert apart() < 0.85 * min(moved)
    return True


def test_descriptions_are_true(facts: dict[str, dict]) -> None:
    standing = 0
    for described in facts.values():
        things = {thing["object_id"]: thing for thing in described["objects"]}
        assert sorted(things) == list(range(len(things)))
        for thing in things.values():
            if "support" not in thing:
                assert thing["label"] in ("floor", "wall", "ceiling")
                continue
            low = thing["center"][2] - thing["extent"][2] / 2
            if thing["support"]["on"] == "floor" and thing["label"] != "rug":
                assert -0.03 < low < 0.12, thing["label"]
            carrier = things.get(thing["support"].get("object_id"))
            if carrier is not None:
                standing += 1
                assert carrier["label"] == thing["support"]["on"]
                assert low < carrier["center"][2] + carrier["extent"][2] / 2 + 0.02
                over = np.abs(np.subtract(thing["center"], carrier["center"]))[:2]
                assert (over < np.array(carrier["extent"])[:2] / 2 + 0.02).all()
                touched = [n["object_id"] for n in thing["neighbours"] if n["touches"]]
                assert thing["support"]["object_id"] in touched
            for neighbour in thing["neighbours"]:
                other = things[neighbour["object_id"]]
                apart = np.abs(np.subtract(thing["center"], other["center"]))
                gap = apart - np.add(thing["extent"], other["extent"]) / 2
                assert np.linalg.norm(np.maximum(gap, 0)) == pytest.approx(neighbour["gap"], abs=0.002)
    assert standing >= 4


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(world: Path, tmp_path: Path) -> None:
    assert make(tmp_path / "world", workers=2) == 3
    assert digests(tmp_path / "world") == digests(world)


def test_a_stopped_run_goes_on(world: Path, tmp_path: Path) -> None:
    root = tmp_path / "world"
    shutil.copytree(world, root)
    shutil.rmtree(root / "scans" / "scene0001_00")
    (root / "scans" / ".scene0001_00.partial").mkdir()
    shutil.rmtree(root / "meta_data")
    assert make(root) == 1
    assert digests(root) == digests(world)
    assert make(root) == 0
    assert make(root, rooms=2) == 0
    assert sorted(path.name for path in (root / "scans").iterdir()) == list(SCENES[:2])


def test_another_seed_gives_another_room(world: Path, tmp_path: Path) -> None:
    root = tmp_path / "other"
    make_rooms(root, 1, seed=6, kinds=("bathroom",))
    name = "scene0000_00_vh_clean_2.ply"
    assert not (root / "scans" / SCENES[0] / f"{SCENES[0]}.sens").exists()
    assert (root / "scans" / SCENES[0] / name).read_bytes() != (world / "scans" / SCENES[0] / name).read_bytes()
    with pytest.raises(InputError, match="other arguments"):
        make_rooms(root, 1, seed=7, kinds=("bathroom",))
    assert make_rooms(root, 1, seed=7, kinds=("bathroom",), overwrite=True).made == 1


def test_the_verb_makes_rooms_and_names_bad_kinds(tmp_path: Path) -> None:
    root = str(tmp_path / "rooms")
    small = ("--rooms", "1", "--kind", "bathroom", "--val", "0", "--test", "1", "--voxel", "0.05")
    code, out, err = g3d("prepare", "rooms", "--out", root, *small, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert [made[name] for name in ("rooms", "train", "val", "test", "made")] == [1, 1, 0, 1, 2]
    assert made["labels"]["toilet"] == made["labels"]["floor"] == 1
    assert ScanFolder(root).scenes() == SCENES[:2]
    described = json.loads((Path(root) / "scans" / SCENES[0] / f"{SCENES[0]}.room.json").read_text())
    assert described["voxel"] == 0.05
    refused(2, "prepare", "rooms", "--out", root, "--kind", "cellar", says=("cellar", "bathroom"))
    refused(2, "prepare", "rooms", "--out", root, "--seed", "1", says=("other arguments",))


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="something other than synthetic rooms"):
        make_rooms(tmp_path, 1, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rooms": 0}, "rooms: found 0, expected 1 to 10000"),
        ({"seed": -1}, "seed: found -1"),
        ({"kinds": ("cellar",)}, "kinds: found cellar, expected some of bedroom"),
        ({"kinds": ()}, "kinds: found none"),
        ({"val_fraction": 1.5}, "val_fraction: found 1.5"),
        ({"workers": 0}, "workers: found 0"),
        ({"test": -1}, "test: found -1, expected 0 to 9999: 10000 rooms in all"),
        ({"voxel": 0.5}, "voxel: found 0.5, expected 0.02 to 0.05 metres"),
        ({"frames": FrameSettings(-1)}, "frames: found -1"),
        ({"frames": FrameSettings(1, (8, 8))}, "picture sizes"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        make_rooms(**{"root": tmp_path / "world", "rooms": 1, **arguments})
    assert not (tmp_path / "world").exists()
