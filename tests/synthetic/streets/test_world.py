"""The world on disk: KITTI's layout, the same bytes for the same seed, whole or not there."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g3d.data.kitti.raw import KittiRoot, read_calibration, read_labels
from g3d.errors import EnvironmentProblem, InputError
from g3d.progress import Silent
from g3d.synthetic.streets.png import encode_png
from g3d.synthetic.streets.sampling import sample_scene
from g3d.synthetic.streets.scene import SceneSettings
from g3d.synthetic.streets.world import SCENE_SCHEMA, make_streets

SIZE = (320, 112)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "streets"
    make_streets(root, 6, seed=4, image_size=SIZE, val_fraction=0.34)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_world_reads_as_kitti(world: Path) -> None:
    kitti = KittiRoot.find(world)
    assert (kitti.split("train"), kitti.split("val")) == ([f"{k:06d}" for k in range(4)], ["000004", "000005"])
    assert kitti.split("trainval") == kitti.split("train") + kitti.split("val")
    for frame in kitti.split("trainval"):
        image = Image.open(kitti.image(frame))
        assert image.mode == "RGB"
        assert all(abs(found - asked) <= 5 for found, asked in zip(image.size, SIZE, strict=True))
        assert len(read_labels(kitti.label(frame))) > 0


def test_calibration_has_seven_named_lines_and_an_empty_one(world: Path) -> None:
    text = (world / "training/calib/000002.txt").read_text()
    assert [line.split(":")[0] for line in text.split("\n")] == [
        "P0",
        "P1",
        "P2",
        "P3",
        "R0_rect",
        "Tr_velo_to_cam",
        "Tr_imu_to_velo",
        "",
        "",
    ]
    camera = read_calibration(world / "training/calib/000002.txt")
    scene = sample_scene(SceneSettings(SIZE), 4, 2)
    np.testing.assert_array_equal(camera, scene.camera.matrix)
    assert (camera[:, 3] != 0).all()


def test_scene_descriptions_point_at_their_label_lines(world: Path) -> None:
    for frame in range(6):
        scene = json.loads((world / f"training/scene/{frame:06d}.json").read_text())
        labels = read_labels(world / f"training/label_2/{frame:06d}.txt")
        assert (scene["schema"], scene["frame"]) == (SCENE_SCHEMA, f"{frame:06d}")
        assert scene["image_size"] == list(Image.open(world / f"training/image_2/{frame:06d}.png").size)
        lines = [thing["label_line"] for thing in scene["objects"] if thing["label_line"] is not None]
        assert sorted(lines) == list(range(len(labels)))
        for thing in scene["objects"]:
            assert thing["colour"]
            assert thing["direction"] in ("away", "towards", "left", "right")
            if thing["status"] == "labelled":
                line = thing["label_line"]
                assert labels.classes[line] == thing["type"]
                assert labels.locations[line].tolist() == thing["location"]
                assert labels.boxes2d[line].tolist() == thing["box2d"]
                assert labels.occluded[line] == thing["occluded"]


def test_a_frame_depends_on_seed_and_index_only(world: Path, tmp_path: Path) -> None:
    make_streets(tmp_path / "more", 2, seed=4, image_size=SIZE, val_fraction=0.5)
    make_streets(tmp_path / "other", 2, seed=5, image_size=SIZE, val_fraction=0.5)
    first, more, other = contents(world), contents(tmp_path / "more"), contents(tmp_path / "other")
    frames = [name for name in more if name.startswith("training")]
    assert len(frames) == 8
    assert all(more[name] == first[name] for name in frames)
    assert all(more[name] != other[name] for name in frames)


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(world: Path, tmp_path: Path) -> None:
    make_streets(tmp_path / "streets", 6, seed=4, image_size=SIZE, val_fraction=0.34, workers=2)
    assert contents(tmp_path / "streets") == contents(world)


def test_a_world_made_alike_is_left_as_it_is(world: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    summary = make_streets(world, 6, seed=4, image_size=SIZE, val_fraction=0.34)
    assert summary.reused
    assert (summary.train, summary.val) == (4, 2)
    assert summary.labels["Car"] > 0
    assert {path: path.stat().st_mtime_ns for path in world.rglob("*")} == before


def test_a_world_made_otherwise_is_not_replaced(world: Path) -> None:
    with pytest.raises(InputError, match="another seed"):
        make_streets(world, 6, seed=9, image_size=SIZE, val_fraction=0.34)


def test_a_folder_with_something_else_is_not_touched_unless_told(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        make_streets(tmp_path / "mine", 1, image_size=SIZE)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_overwrite_replaces_only_a_made_world(world: Path, tmp_path: Path) -> None:
    make_streets(tmp_path / "streets", 1, seed=1, image_size=SIZE, val_fraction=0)
    summary = make_streets(tmp_path / "streets", 2, seed=1, image_size=SIZE, val_fraction=0, overwrite=True)
    assert (summary.frames, summary.reused) == (2, False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        make_streets(tmp_path / "mine", 1, image_size=SIZE, overwrite=True)


class Stopper(Silent):
    def advance(self, count: int = 1, note: str = "") -> None:
        raise KeyboardInterrupt


def test_nothing_is_left_of_an_interrupted_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        make_streets(tmp_path / "streets", 3, image_size=SIZE, progress=Stopper())
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_no_world_and_the_next_one_clears_its_traces(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom g3d.progress import Silent\nfrom g3d.synthetic.streets.world import make_streets\n"
        "class Killer(Silent):\n    def advance(self, count=1, note=''):\n        os.kill(os.getpid(), 9)\n"
        f"make_streets(sys.argv[1], 3, image_size={SIZE}, progress=Killer())\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "streets")], check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "streets").exists()
    assert len(list(tmp_path.iterdir())) == 1
    make_streets(tmp_path / "streets", 1, image_size=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["streets"]


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        make_streets(tmp_path / "file" / "streets", 1, image_size=SIZE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames: expected 1"),
        ({"val_fraction": 1.5}, "val_fraction: expected 0 to 1, found 1.5"),
        ({"workers": 0}, "workers: expected 1"),
        ({"image_size": (10, 10)}, "image_size: expected at least 32 x 32"),
        ({"shares": {"Tank": 1.0}}, "unknown class 'Tank'"),
        ({"shares": {"Car": -1.0}}, "shares: expected numbers from 0 up"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_streets(tmp_path / "streets", **{"frames": 1, "image_size": SIZE, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_shares_choose_the_classes() -> None:
    settings = SceneSettings(SIZE, shares={"Pedestrian": 1.0, "Cyclist": 1.0})
    assert {actor.type for index in range(8) for actor in sample_scene(settings, 0, index).actors} == {
        "Pedestrian",
        "Cyclist",
    }


def test_most_frames_hold_two_to_eight_cars_from_five_to_forty_five_metres() -> None:
    scenes = [sample_scene(SceneSettings(SIZE), 2, index) for index in range(60)]
    cars = [[a.location[2] for a in scene.actors if a.type == "Car"] for scene in scenes]
    assert np.mean([2 <= len(frame) <= 8 for frame in cars]) > 0.8
    assert np.mean([5 <= z <= 45 for frame in cars for z in frame]) > 0.8


def test_png_reads_back_unchanged(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(encode_png(image))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)
