from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from support.tiny_sens import COLOUR_SIZE, DEPTH_SIZE, HEADER, LOST, depth_of, frame, picture, pose_of, write_tiny

from g3d.data.scannet.sens import SensFile, is_valid_pose, write_sens
from g3d.errors import G3DError, InputError, MissingDataError

HEADER_BYTES = 4 + 8 + len(HEADER.sensor) + 292
COUNT_AT = HEADER_BYTES - 8


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "s.sens", imu=bytes(2 * 128))


def cut(path: Path, length: int) -> Path:
    path.write_bytes(path.read_bytes()[:length])
    return path


def overwrite(path: Path, at: int, content: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
    return path


def problem(path: Path, number: int | None = None) -> str:
    """The one line that a user sees when the file is opened, or when a frame is read."""
    with pytest.raises(InputError) as caught, SensFile.open(path) as opened:
        opened.check() if number is None else opened.frame(number)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    return str(caught.value)


@pytest.mark.parametrize("version", [3, 4])
def test_what_is_written_is_read_back(tmp_path: Path, version: int, caplog: pytest.LogCaptureFixture) -> None:
    with SensFile.open(write_tiny(tmp_path / "s.sens", version=version)) as opened:
        header = opened.header
        assert (len(opened), header.version, header.sensor, header.depth_shift) == (5, version, "tiny", 1000)
        assert (header.colour_size, header.depth_size) == (COLOUR_SIZE, DEPTH_SIZE)
        np.testing.assert_array_equal(header.depth_intrinsic, HEADER.depth_intrinsic)
        for number in (3, 0, 4):  # in any order
            stored = opened.frame(number)
            assert (stored.colour, stored.colour_time, stored.depth_time) == (
                picture(number),
                33 * number,
                33 * number + 1,
            )
            np.testing.assert_array_equal(opened.pose(number), pose_of(number))
            np.testing.assert_array_equal(opened.depth(number), depth_of(number))
            assert np.abs(opened.colour(number).astype(int) - (20 * number, 100, 200)).max() < 4
        opened.check()
        assert opened.whole_frames() == 5
    assert not caplog.records


@pytest.mark.parametrize(("colour", "form"), [("raw", "raw"), ("png", "PNG")])
def test_raw_and_png_colour_and_raw_depth_are_read(tmp_path: Path, colour: str, form: str) -> None:
    header = HEADER.__class__(**{**vars(HEADER), "colour_compression": colour, "depth_compression": "raw"})
    write_sens(tmp_path / "s.sens", header, [frame(1, colour=picture(1, form), depth=depth_of(1).tobytes())])
    with SensFile.open(tmp_path / "s.sens") as opened:
        assert opened.colour(0)[5, 6].tolist() == [20, 100, 200]
        np.testing.assert_array_equal(opened.depth(0), depth_of(1))


def test_only_the_bytes_of_the_wanted_frames_are_read(stream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    pread = os.pread
    monkeypatch.setattr(
        os, "pread", lambda descriptor, length, start: (read.append(length), pread(descriptor, length, start))[1]
    )
    with SensFile.open(stream) as opened:
        read.clear()
        stored = opened.frame(4)
    assert sum(read) <= 5 * (96 + 8) + len(stored.colour) + len(stored.depth)


def test_a_pose_is_valid_if_finite_with_last_row_0001() -> None:
    skewed = np.eye(4)
    skewed[3, 0] = 0.1
    zero = np.zeros((4, 4))
    assert is_valid_pose(pose_of(2))
    assert not any(is_valid_pose(pose) for pose in (LOST, np.full((4, 4), np.nan), skewed, zero))


def test_frames_beyond_the_last_are_an_index_error(stream: Path) -> None:
    with SensFile.open(stream) as opened:
        for number in (5, -1):
            with pytest.raises(IndexError):
                opened.frame(number)


@pytest.mark.parametrize("length", [0, 3, 10, 100, HEADER_BYTES - 1])
def test_cut_inside_the_header(stream: Path, length: int) -> None:
    said = problem(cut(stream, length))
    assert "cut inside the header" in said
    assert f"the file has {length}" in said


def test_cut_inside_a_frame_header_jpeg_or_depth_names_frame_and_byte(stream: Path) -> None:
    with SensFile.open(stream) as opened:
        second = opened.record(2)
    content = stream.read_bytes()
    for end, place in (
        (second.start + 50, f"inside the header of frame 2 at byte {second.start}"),
        (second.colour_start + 9, f"inside the colour picture of frame 2, which begins at byte {second.colour_start}"),
        (second.depth_start + 1, f"inside the depth picture of frame 2, which begins at byte {second.depth_start}"),
    ):
        stream.write_bytes(content[:end])
        said = problem(stream, 4)
        assert place in said
        assert f"ends at byte {end}" in said
        assert "frames 0 to 1 are whole" in said
        with SensFile.open(stream) as opened:  # what is whole can be used
            assert opened.whole_frames() == 2
            np.testing.assert_array_equal(opened.depth(1), depth_of(1))


@pytest.mark.parametrize("version", [3, 4])
def test_a_count_that_is_too_large_is_an_error_that_says_how_many_there_are(tmp_path: Path, version: int) -> None:
    path = write_tiny(tmp_path / "s.sens", version=version, imu=bytes(128) if version == 4 else b"")
    overwrite(path, COUNT_AT, struct.pack("<Q", 9))
    assert "the header counts 9 frames, but there are 5" in problem(path)
    assert "expected at most" in problem(overwrite(path, COUNT_AT, struct.pack("<Q", 1 << 63)))


@pytest.mark.parametrize("version", [3, 4])
def test_a_count_that_is_too_small_is_a_warning(tmp_path: Path, version: int, caplog: pytest.LogCaptureFixture) -> None:
    path = overwrite(write_tiny(tmp_path / "s.sens", version=version), COUNT_AT, struct.pack("<Q", 3))
    with caplog.at_level(logging.WARNING), SensFile.open(path) as opened:
        opened.check()
        assert len(opened) == 3
    assert "follow the 3 frames" in caplog.text


def test_imu_records_are_no_trailing_data(stream: Path, caplog: pytest.LogCaptureFixture) -> None:
    with SensFile.open(stream) as opened:
        opened.check()
    assert not caplog.records


def test_occi_depth_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with SensFile.open(write_tiny(tmp_path / "s.sens", depth_compression="occi")) as opened:
        assert opened.colour(0).shape == (36, 48, 3)
        with pytest.raises(InputError, match="depth compression is occi") as caught:
            opened.depth(0)
    assert "SensReader" in str(caught.value.hint)


@pytest.mark.parametrize("version", [0, 2, 5, 0x46445025])
def test_other_versions_are_refused(stream: Path, version: int) -> None:
    assert f"version (byte 0) is {version}, expected 3 or 4" in problem(
        overwrite(stream, 0, struct.pack("<I", version))
    )


@pytest.mark.parametrize(
    ("at", "content", "said"),
    [
        (4, struct.pack("<Q", 1 << 40), "sensor name (byte 4)"),
        (16 + 256 + 8, struct.pack("<I", 0), "colour size is 0 x 36"),
        (16 + 256 + 16, struct.pack("<I", 1 << 20), "depth size is 1048576 x 30"),
        (16 + 256 + 24, struct.pack("<f", 0), "depth shift is 0"),
        (16 + 256 + 24, struct.pack("<f", float("nan")), "depth shift is nan"),
        (16, struct.pack("<f", float("nan")), "not all finite"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(stream: Path, at: int, content: bytes, said: str) -> None:
    assert said in problem(overwrite(stream, at, content))


def test_a_blob_size_that_makes_no_sense_names_its_frame(stream: Path) -> None:
    with SensFile.open(stream) as opened:
        start = opened.record(1).start
    assert "colour picture of frame 1" in problem(overwrite(stream, start + 80, struct.pack("<Q", 1 << 62)), 1)


def test_damaged_pictures_name_frame_and_byte(tmp_path: Path) -> None:
    short = zlib.compress(depth_of(0)[:20].tobytes())
    long = zlib.compress(np.zeros((31, 40), np.uint16).tobytes())
    broken = [
        frame(0, depth=short),
        frame(1, depth=b"no zlib"),
        frame(2, colour=picture(2)[:100]),
        frame(3, depth=long),
        frame(4, colour=b""),
        frame(5, colour=picture(5, "PNG")[:-30]),
    ]
    write_sens(tmp_path / "s.sens", HEADER, broken)
    with SensFile.open(tmp_path / "s.sens") as opened:
        for number, read, said in (
            (0, opened.depth, "expected 2400 bytes of pixels, found 1600"),
            (1, opened.depth, "cannot be decompressed"),
            (2, opened.colour, "cannot be decoded"),
            (3, opened.depth, "found more than that"),
            (4, opened.colour, "found an empty file"),
            (5, opened.colour, "cannot be decoded"),
        ):
            with pytest.raises(InputError, match=said) as caught:
                read(number)
            kind = "depth" if read == opened.depth else "colour"
            assert (
                f"frame {number}, {kind} at byte {getattr(opened.record(number), kind + '_start')}"
                in caught.value.message
            )


def test_a_picture_of_another_size_than_the_header_says_is_refused(tmp_path: Path) -> None:
    with (
        SensFile.open(write_tiny(tmp_path / "s.sens", colour_size=(50, 36))) as opened,
        pytest.raises(InputError, match="says 50 x 36"),
    ):
        opened.colour(0)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        SensFile.open(tmp_path / "none.sens")
    with pytest.raises(G3DError, match="is a folder"):
        SensFile.open(tmp_path)
