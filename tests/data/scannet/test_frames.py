from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import paths
from support.tiny_sens import CAMERA, COLOUR_SIZE, HEADER, LOST, depth_of, frame, picture, pose_of, write_tiny

from g3d.data.images.depth_image import encode_depth_png, read_depth
from g3d.data.scannet.frame_export import ExportReport, chosen_frames, export_bytes, export_frames
from g3d.data.scannet.frames import FrameSource, frames_with_pose, open_frames, read_matrix, scale_intrinsics
from g3d.data.scannet.sens import SensFile, write_sens
from g3d.errors import InputError, MissingDataError

REAL = paths.REAL / "rgbd_7scenes"


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "scene.sens", frames=12, lost=(7,))


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def rename(folder: Path, form: str, out: Path) -> Path:
    """A folder of frames in another layout; `form` has {number} and {kind}."""
    for kind in ("color", "depth", "pose"):
        for path in (folder / kind).iterdir():
            target = out / (form.format(number=int(path.stem), kind=kind) + path.suffix)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return out


def expect_frames(source: FrameSource, layout: str, numbers: list[int]) -> None:
    assert source.layout == layout
    assert [int(name.removeprefix("frame-")) for name in source.names] == numbers
    for index, number in enumerate(numbers):
        found = source.frame(index)
        np.testing.assert_array_equal(found.pose, pose_of(number))
        np.testing.assert_array_equal(found.depth(), (depth_of(number) / 1000).astype(np.float32))
        assert found.depth().dtype == np.float32
        assert np.abs(found.colour().astype(int) - (20 * number, 100, 200)).max() < 4
        assert found.colour().shape[1::-1] == found.colour_size()


NUMBERS = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]


def test_every_layout_gives_the_same_frames_in_the_order_of_their_numbers(tmp_path: Path, stream: Path) -> None:
    export_frames(stream, tmp_path / "square")
    export_frames(stream, tmp_path / "compact", depth="zlib")
    padded = rename(tmp_path / "square", "{kind}/{number:06d}", tmp_path / "25k")
    seven = rename(tmp_path / "square", "frame-{number:06d}.{kind}", tmp_path / "seven")
    np.savetxt(seven / "camera-intrinsics.txt", CAMERA[:3, :3])
    for path, layout in (
        (tmp_path / "square", "frames_square"),
        (tmp_path / "compact", "frames_square"),
        (padded, "scannet_frames_25k"),
        (seven, "7-scenes"),
    ):
        with open_frames(path) as source:
            expect_frames(source, layout, NUMBERS)
            intrinsics = source.frame(0).depth_intrinsics
        if path == padded:
            assert intrinsics is None
        else:
            np.testing.assert_allclose(intrinsics, CAMERA[:3, :3])
    with open_frames(stream) as source:
        assert (source.layout, len(source), source.names[11], source.names[2:4]) == ("sens", 12, "11", ["2", "3"])
        assert [found.name for found in frames_with_pose(source)] == [str(number) for number in NUMBERS]
        assert [found.name for found in frames_with_pose(source, every=3)] == ["0", "3", "6", "9"]


def test_a_scene_folder_with_one_stream_is_that_stream(stream: Path) -> None:
    with open_frames(stream.parent) as source:
        assert (source.layout, source.path) == ("sens", stream)


def test_png_colour_and_intrinsics_beside_25k_folders_are_read(tmp_path: Path, stream: Path) -> None:
    export_frames(stream, tmp_path / "a", every=6)
    folder = rename(tmp_path / "a", "{kind}/{number:06d}", tmp_path / "b")
    for path in (folder / "color").iterdir():
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    np.savetxt(folder / "intrinsics_depth.txt", CAMERA)
    with open_frames(folder) as source:
        expect_frames(source, "scannet_frames_25k", [0, 6])
        np.testing.assert_allclose(source.frame(0).depth_camera((40, 30)), CAMERA[:3, :3])


def test_unknown_layouts_and_incomplete_frames(tmp_path: Path, stream: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(MissingDataError, match="no such file or folder"):
        open_frames(tmp_path / "none")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "notes.md").touch()
    with pytest.raises(InputError, match=r"no known layout \(found notes.md\)") as caught:
        open_frames(tmp_path / "odd")
    assert "frame-000000.color.jpg" in str(caught.value.hint)
    folder = tmp_path / "frames"
    export_frames(stream, folder)
    (folder / "pose" / "3.txt").unlink()
    with caplog.at_level(logging.WARNING), open_frames(folder) as source:
        assert source.names == tuple(str(number) for number in NUMBERS if number != 3)
    assert "1 of 11 colour pictures have no depth or no pose and are left out (first: 3)" in caplog.text
    shutil.rmtree(folder / "depth")
    with pytest.raises(MissingDataError, match="no folder depth/"):
        open_frames(folder)
    (folder / "depth").mkdir()
    with pytest.raises(MissingDataError, match="11 colour pictures, none of them with depth and pose"):
        open_frames(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found 0 lines"),
        ("1 0 0 0\n" * 3, "found 3 lines"),
        ("1 0 0\n" * 4, "4 lines of [3] numbers"),
        ("1 0 0 x\n" * 4, "'x'"),
    ],
)
def test_a_pose_file_of_another_form_is_refused(tmp_path: Path, stream: Path, text: str, said: str) -> None:
    export_frames(stream, tmp_path / "f", every=20)
    (tmp_path / "f" / "pose" / "0.txt").write_text(text)
    with open_frames(tmp_path / "f") as source, pytest.raises(InputError) as caught:
        source.frame(0)
    assert said in caught.value.message
    assert "expected a 4 x 4 matrix" in caught.value.message


def test_depth_intrinsics_that_are_missing_or_of_another_size_are_refused(tmp_path: Path, stream: Path) -> None:
    export_frames(stream, tmp_path / "f", every=20)
    with (
        open_frames(tmp_path / "f") as source,
        pytest.raises(InputError, match=r"centre at \(19.5, 14.5\), the picture has 20"),
    ):
        source.frame(0).depth_camera((20, 15))
    (tmp_path / "f" / "intrinsic" / "intrinsic_depth.txt").write_text("0 0 1\n" * 3)
    with pytest.raises(InputError, match="focal lengths are 0 and 0"):
        open_frames(tmp_path / "f")
    shutil.rmtree(tmp_path / "f" / "intrinsic")
    with open_frames(tmp_path / "f") as source, pytest.raises(MissingDataError, match="no intrinsics"):
        source.frame(0).depth_camera((40, 30))


def test_scaled_intrinsics_see_the_same_rays() -> None:
    scaled = scale_intrinsics(CAMERA[:3, :3], (40, 30), (20, 10))
    corner = np.linalg.inv(CAMERA[:3, :3]) @ (-0.5, -0.5, 1)
    np.testing.assert_allclose(scaled @ corner, (-0.5, -0.5, 1), atol=1e-6)
    far = np.linalg.inv(CAMERA[:3, :3]) @ (39.5, 29.5, 1)
    np.testing.assert_allclose(scaled @ far, (19.5, 9.5, 1), atol=1e-6)


def test_export_copies_jpegs_keeps_pose_digits_and_names_files_as_published(tmp_path: Path, stream: Path) -> None:
    report = export_frames(stream, tmp_path / "f", every=5)
    assert report == ExportReport(written=3, kept=0, lost=0, frames=12)
    names = [
        f"{kind}/{i}.{suffix}"
        for kind, suffix in (("color", "jpg"), ("depth", "png"), ("pose", "txt"))
        for i in (0, 10, 5)
    ]
    kinds = [f"intrinsic/{kind}_{picture}.txt" for kind in ("extrinsic", "intrinsic") for picture in ("color", "depth")]
    assert list(files_of(tmp_path / "f")) == sorted(names + kinds)
    with SensFile.open(stream) as opened:
        assert (tmp_path / "f" / "color" / "10.jpg").read_bytes() == opened.colour_bytes(10)
        written = read_matrix(tmp_path / "f" / "pose" / "10.txt", (4, 4)).astype(np.float32)
        np.testing.assert_array_equal(written, opened.pose(10))
    with Image.open(tmp_path / "f" / "depth" / "10.png") as image:
        assert image.mode.startswith("I")
        np.testing.assert_array_equal(np.asarray(image), depth_of(10))
    first, *_ = (tmp_path / "f" / "intrinsic" / "extrinsic_color.txt").read_text().splitlines()
    assert first == "1.000000 0.000000 0.000000 0.000000"


def test_frames_without_a_pose_are_left_out_unless_asked_for(tmp_path: Path, stream: Path) -> None:
    assert export_frames(stream, tmp_path / "a").lost == 1
    assert not (tmp_path / "a" / "color" / "7.jpg").exists()
    assert export_frames(stream, tmp_path / "b", keep_lost=True).lost == 0
    assert (tmp_path / "b" / "pose" / "7.txt").read_text() == "-inf -inf -inf -inf\n" * 4
    with open_frames(tmp_path / "b") as source:
        assert [found.name for found in frames_with_pose(source)] == [str(number) for number in NUMBERS]
        np.testing.assert_array_equal(source.frame(7).pose, LOST)


@pytest.mark.parametrize("settings", [{}, {"depth": "zlib"}, {"reencode": True}, {"size": (24, 18)}], ids=str)
def test_an_export_that_was_stopped_goes_on_and_mends_what_is_cut(tmp_path: Path, stream: Path, settings: dict) -> None:
    export_frames(stream, tmp_path / "whole", **settings)
    folder = tmp_path / "stopped"
    export_frames(stream, folder, every=2, **settings)
    for path in (folder / "color" / "2.jpg", next((folder / "depth").glob("4.*"))):
        path.write_bytes(path.read_bytes()[:-5])
    (folder / "color" / "6.jpg").unlink()
    assert export_frames(stream, folder, **settings) == ExportReport(written=5 + 3, kept=3, lost=1, frames=12)
    assert files_of(folder) == files_of(tmp_path / "whole")
    before = {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "intrinsic"
    }
    assert export_frames(stream, folder, **settings).written == 0
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_folder_of_another_stream_is_not_taken_for_this_one(tmp_path: Path, stream: Path) -> None:
    folder = tmp_path / "f"
    export_frames(stream, folder, every=20)
    with pytest.raises(InputError, match="other intrinsics"):
        export_frames(stream, folder, size=(24, 18))
    (folder / "pose" / "0.txt").write_text("1 0 0 9\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (folder / "depth" / "0.png").write_bytes(encode_depth_png(depth_of(5)))
    assert export_frames(stream, folder, every=20).written == 1
    np.testing.assert_array_equal(read_depth(folder / "depth" / "0.png"), (depth_of(0) / 1000).astype(np.float32))


def test_temporary_files_of_killed_exports_are_removed_but_not_those_of_live_ones(tmp_path: Path, stream: Path) -> None:
    folder = tmp_path / "f"
    export_frames(stream, folder, every=20)
    dead, live = folder / "color" / ".3.jpg.abc.part", folder / "depth" / ".3.png.xyz.part"
    for path in (dead, live):
        path.write_bytes(b"half")
    os.utime(dead, (0, 0))
    export_frames(stream, folder, every=20)
    assert (dead.exists(), live.exists()) == (False, True)


def test_depth_as_pgm_of_the_cpp_reader_is_read(tmp_path: Path, stream: Path) -> None:
    export_frames(stream, tmp_path / "a", every=6)
    folder = rename(tmp_path / "a", "frame-{number:06d}.{kind}", tmp_path / "b")
    for path in folder.glob("*.depth.png"):
        number = int(path.name[6:12])
        pixels = depth_of(number).astype(">u2").tobytes()
        path.with_suffix(".pgm").write_bytes(
            b"P5\n# data values are 16-bit each; depth shift is 1000\n40 30\n65535\n" + pixels
        )
        path.unlink()
    with open_frames(folder) as source:
        expect_frames(source, "7-scenes", [0, 6])


def test_smaller_pictures_come_with_scaled_intrinsics(tmp_path: Path, stream: Path) -> None:
    export_frames(stream, tmp_path / "f", size=(20, 15))
    with open_frames(tmp_path / "f") as source:
        found = source.frame(3)
        assert found.colour().shape == (15, 20, 3)
        np.testing.assert_array_equal(found.depth(), (depth_of(3)[::2, ::2] / 1000).astype(np.float32))
        np.testing.assert_allclose(found.depth_camera((20, 15)), [[18, 0, 9.5], [0, 18, 7], [0, 0, 1]], atol=1e-6)


def test_steps_and_limits() -> None:
    assert list(chosen_frames(10, 4)) == [0, 4, 8]
    assert len(chosen_frames(2500, 1, 300)) == 278  # every 9th
    assert chosen_frames(100, 20, 300) == range(0, 100, 20)
    assert list(chosen_frames(5, limit=1)) == [0]
    for settings in ({"every": 0}, {"limit": 0}):
        with pytest.raises(InputError, match="expected at least 1"):
            chosen_frames(5, **settings)


def test_the_size_of_an_export_is_known_before(tmp_path: Path, stream: Path) -> None:
    export_frames(stream, tmp_path / "f", depth="zlib", keep_lost=True)
    size = sum(len(content) for name, content in files_of(tmp_path / "f").items() if not name.startswith("intrinsic"))
    assert abs(export_bytes(stream, depth="zlib") / size - 1) < 0.1


def test_a_cut_stream_exports_what_is_whole_and_says_where_it_ends(tmp_path: Path, stream: Path) -> None:
    with SensFile.open(stream) as opened:
        end = opened.record(5).colour_start + 20
    stream.write_bytes(stream.read_bytes()[:end])
    with pytest.raises(InputError, match="inside the colour picture of frame 5"):
        export_frames(stream, tmp_path / "f")
    assert [name for name in files_of(tmp_path / "f") if name.startswith("pose")] == [f"pose/{i}.txt" for i in range(5)]
    assert export_frames(stream, tmp_path / "f", partial=True) == ExportReport(written=0, kept=5, lost=0, frames=5)


def test_exports_that_cannot_be_are_refused_before_anything_is_written(tmp_path: Path, stream: Path) -> None:
    bad = (
        (stream, {"depth": "jpeg"}, "depth: found 'jpeg'"),
        (stream, {"depth": "zlib", "size": (20, 15)}, "depth zlib keeps the stored pictures"),
        (write_tiny(tmp_path / "occi.sens", depth_compression="occi"), {}, "depth compression is occi"),
        (write_tiny(tmp_path / "unit.sens", depth_shift=5000.0), {}, "5000 units per metre"),
        (write_tiny(tmp_path / "none.sens", frames=0), {}, "holds no frames"),
    )
    for path, settings, said in bad:
        with pytest.raises(InputError, match=said):
            export_frames(path, tmp_path / "f", **settings)
    assert not (tmp_path / "f").exists()


def test_compact_depth_keeps_the_unit_and_65535_is_no_reading(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "unit.sens", depth_shift=500.0)
    export_frames(path, tmp_path / "f", depth="zlib", every=10)
    np.testing.assert_array_equal(
        read_depth(tmp_path / "f" / "depth" / "0.zdepth"), (depth_of(0) / 500).astype(np.float32)
    )
    pixels = np.array([[0, 1, 65534, 65535]], np.uint16)
    (tmp_path / "d.png").write_bytes(encode_depth_png(pixels))
    np.testing.assert_array_equal(read_depth(tmp_path / "d.png"), np.float32([[0, 0.001, 65.534, 0]]))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (480, 640)])
def test_depth_png_is_read_back_to_the_bit(tmp_path: Path, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 1 << 16, shape).astype(np.uint16)
    (tmp_path / "d.png").write_bytes(encode_depth_png(pixels))
    with Image.open(tmp_path / "d.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_depth_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "eight.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "short.png").write_bytes(encode_depth_png(depth_of(0))[:-60])
    (tmp_path / "odd.zdepth").write_bytes(b"nothing of the kind")
    (tmp_path / "cut.zdepth").write_bytes(
        b"G3DZ" + (40).to_bytes(4, "little") + (30).to_bytes(4, "little") + b"\0\0\x7aD" + b"x\x9c"
    )
    for name, said in (
        ("eight.png", "pixels of mode L"),
        ("empty.png", "an empty file"),
        ("short.png", "cannot be"),
        ("odd.zdepth", "does not begin with G3DZ"),
        ("cut.zdepth", "expected 2400 bytes of pixels, found 0"),
    ):
        with pytest.raises(InputError, match=said):
            read_depth(tmp_path / name)
    with pytest.raises(MissingDataError, match="no such file"):
        read_depth(tmp_path / "none.png")


def test_the_colour_picture_of_a_raw_stream_is_compressed(tmp_path: Path) -> None:
    header = HEADER.__class__(**{**vars(HEADER), "colour_compression": "raw"})
    write_sens(tmp_path / "s.sens", header, [frame(3, colour=picture(3, "raw"))])
    export_frames(tmp_path / "s.sens", tmp_path / "f")
    with open_frames(tmp_path / "f") as source:
        assert source.frame(0).colour().shape == (COLOUR_SIZE[1], COLOUR_SIZE[0], 3)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real frames are not here")
def test_real_frames_and_the_stream_made_of_them_agree(tmp_path: Path) -> None:
    export_frames(REAL / "seven_scenes_8frames.sens", tmp_path)
    with (
        open_frames(REAL) as folder,
        open_frames(REAL / "seven_scenes_8frames.sens") as stream,
        open_frames(tmp_path) as exported,
    ):
        assert len(folder) == len(stream) == len(exported) == 8
        for index in range(8):
            frames = [source.frame(index) for source in (folder, stream, exported)]
            for read in (
                lambda f: f.pose,
                lambda f: f.depth(),
                lambda f: f.colour(),
                lambda f: f.depth_camera((640, 480)),
            ):
                np.testing.assert_array_equal(read(frames[1]), read(frames[0]))
                np.testing.assert_array_equal(read(frames[2]), read(frames[0]))
            assert 0.3 < frames[0].depth()[frames[0].depth() > 0].mean() < 4
