"""Reader and writer of ScanNet's RGB-D streams (`.sens`, versions 3 and 4).

The reader seeks from frame to frame, so that the cost depends on the frames that are read and not on the file's size.

A file consists of a header; for each frame a camera-to-world matrix, two timestamps, and a colour and a depth image as
blobs; and, in version 4, IMU records, which are not read. Numbers are little endian without padding. Source: SensorData
of ScanNet/ScanNet.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from g3d.data.boundary import reading
from g3d.data.files import atomic_write
from g3d.data.images.image import decode_image
from g3d.errors import InputError

log = logging.getLogger(__name__)
COLOUR_CODES = {-1: "unknown", 0: "raw", 1: "png", 2: "jpeg"}
DEPTH_CODES = {-1: "unknown", 0: "raw", 1: "zlib", 2: "occi"}
_VERSIONS = (3, 4)
_HEADER = struct.Struct("<64f2i4IfQ")  # after the sensor's name
_FRAME = struct.Struct("<64s4Q")
_COUNT = struct.Struct("<Q")
_IMU_BYTES = 128
_LONGEST_NAME, _LARGEST_SIDE, _MOST_FRAMES = 4096, 1 << 15, 1 << 32


@dataclass(frozen=True, eq=False)
class SensHeader:
    """The header of a stream, which applies to all frames.

    Attributes:
        version: 3 or 4; version 3 has no IMU records.
        sensor: the camera's name.
        colour_intrinsic, colour_extrinsic, depth_intrinsic, depth_extrinsic: (4, 4) float32, pixels and metres.
        colour_compression: "jpeg", "png", "raw" (RGB bytes) or "unknown".
        depth_compression: "zlib" or "raw" (uint16, row by row), "occi" or "unknown", which only the maker's
            software reads.
        colour_size, depth_size: width, height in pixels.
        depth_shift: stored depth units per metre; 1000 for millimetres.
        frames: number of frames that the header declares.
    """

    version: int
    sensor: str
    colour_intrinsic: np.ndarray
    colour_extrinsic: np.ndarray
    depth_intrinsic: np.ndarray
    depth_extrinsic: np.ndarray
    colour_compression: str
    depth_compression: str
    colour_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_shift: float
    frames: int


@dataclass(frozen=True, eq=False)
class SensFrame:
    """One frame in its stored form.

    Attributes:
        pose: (4, 4) float32, camera to world, metres; not finite where tracking was lost.
        colour, depth: bytes of the images, compressed as the header declares.
        colour_time, depth_time: microseconds; often 0 or random.
    """

    pose: np.ndarray
    colour: bytes
    depth: bytes
    colour_time: int = 0
    depth_time: int = 0


@dataclass(frozen=True)
class FrameRecord:
    """Location of a frame in the file: its first byte, the content of its header, and the sizes of its blobs."""

    start: int
    pose: bytes
    colour_time: int
    depth_time: int
    colour_bytes: int
    depth_bytes: int

    @property
    def colour_start(self) -> int:
        return self.start + _FRAME.size

    @property
    def depth_start(self) -> int:
        return self.colour_start + self.colour_bytes

    @property
    def end(self) -> int:
        return self.depth_start + self.depth_bytes


def is_valid_pose(pose: np.ndarray) -> bool:
    """Return whether a (4, 4) matrix is a valid pose: all numbers are finite, and the last row is 0 0 0 1.

    ScanNet writes -inf where tracking was lost.
    """
    return bool(np.isfinite(pose).all()) and bool((pose[3] == (0, 0, 0, 1)).all())


class SensFile:
    """An open stream. Frames are numbered from 0; each method reads only the data that it returns.

    The file has no index of its frames. To find a frame, the headers of all earlier frames are read once, 96 bytes
    each.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self.header, first = self._read_header()
        self._starts = [first]

    @classmethod
    def open(cls, path: Path | str) -> SensFile:
        """Open a file and read its header.

        Raises:
            MissingDataError: the file does not exist.
            InputError: the file is not a stream, has another version, is cut off inside the header, or has invalid
                sizes.
        """
        path = Path(path)
        with reading(path, expected="a .sens file"):
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            try:
                if hasattr(os, "posix_fadvise"):  # no read-ahead: only the bytes of the requested frames are read
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
                return cls(path, descriptor)
            except BaseException:
                os.close(descriptor)
                raise

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> SensFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.header.frames

    def record(self, number: int) -> FrameRecord:
        """Return the location of frame `number`.

        Raises:
            IndexError: the header declares fewer frames.
            InputError: the file ends before or inside this frame.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"frame {number} of {len(self)}")
        while len(self._starts) <= number:
            self._starts.append(self._record_at(len(self._starts) - 1).end)
        return self._record_at(number)

    def pose(self, number: int) -> np.ndarray:
        """Return the pose (4, 4) float32, camera to world; see `is_valid_pose`. Raises like `record`."""
        return _matrix(self.record(number).pose)

    def frame(self, number: int) -> SensFrame:
        """Return a frame in its stored form. Raises like `record`."""
        found = self.record(number)
        blobs = self._read(found.colour_start, found.colour_bytes + found.depth_bytes)
        colour, depth = blobs[: found.colour_bytes], blobs[found.colour_bytes :]
        return SensFrame(_matrix(found.pose), colour, depth, found.colour_time, found.depth_time)

    def colour_bytes(self, number: int) -> bytes:
        """Return the bytes of the stored colour image. Raises like `record`."""
        found = self.record(number)
        return self._read(found.colour_start, found.colour_bytes)

    def depth_bytes(self, number: int) -> bytes:
        """Return the bytes of the stored depth image. Raises like `record`."""
        found = self.record(number)
        return self._read(found.depth_start, found.depth_bytes)

    def colour(self, number: int) -> np.ndarray:
        """Return the colour image (H, W, 3) uint8 RGB.

        Raises:
            InputError: see `record`; or the image cannot be decoded, or its size differs from the header.
        """
        found, (width, height) = self.record(number), self.header.colour_size
        content = self._read(found.colour_start, found.colour_bytes)
        source = f"{self.path}: frame {number}, colour at byte {found.colour_start}"
        if self.header.colour_compression == "raw":
            if len(content) != width * height * 3:
                raise InputError(f"{source}: found {len(content)} bytes, expected {width} x {height} x 3")
            return np.frombuffer(content, np.uint8).reshape(height, width, 3)
        pixels = decode_image(content, source)
        if pixels.shape[:2] != (height, width):
            raise InputError(
                f"{source}: found {pixels.shape[1]} x {pixels.shape[0]} pixels, the header says {width} x {height}"
            )
        return pixels

    def depth(self, number: int) -> np.ndarray:
        """Return the depth (h, w) uint16 in units of 1 / `depth_shift` metres, 0 where there is none.

        Raises:
            InputError: see `record`; or the depth has a format of the camera's maker, is damaged, or its size differs
                from the header.
        """
        found, (width, height) = self.record(number), self.header.depth_size
        self.require_readable_depth()
        content = self._read(found.depth_start, found.depth_bytes)
        source = f"{self.path}: frame {number}, depth at byte {found.depth_start}"
        if self.header.depth_compression == "zlib":
            content = inflate(content, width * height * 2, source)
        if len(content) != width * height * 2:
            raise InputError(f"{source}: found {len(content)} bytes, expected {width} x {height} x 2")
        return np.frombuffer(content, "<u2").reshape(height, width)

    def require_readable_depth(self) -> None:
        """Raise InputError if the compression of the depth cannot be read."""
        if self.header.depth_compression not in ("zlib", "raw"):
            raise InputError(
                f"{self.path}: depth compression is {self.header.depth_compression}, expected zlib or raw",
                "only the maker's software for Windows decodes it: export the frames with ScanNet's SensReader "
                "there, and give that folder",
            )

    def whole_frames(self) -> int:
        """Return the number of complete frames, which is less than the header declares if the file was cut off."""
        try:
            self.record(len(self) - 1)
        except InputError:
            return len(self._starts) - 1
        except IndexError:
            return 0
        return len(self)

    def check(self) -> None:
        """Check the headers of all frames; log a warning if the file continues after the last frame.

        Raises:
            InputError: a frame is not complete.
        """
        end = self.record(len(self) - 1).end if len(self) else self._starts[0]
        rest = self._size - end
        if rest and not self._is_imu(end):
            log.warning(
                "%s: %d bytes follow the %d frames that its header counts: frames after these are not read",
                self.path,
                rest,
                len(self),
            )

    def _read_header(self) -> tuple[SensHeader, int]:
        version = struct.unpack("<I", self._read_of_header(0, 4))[0]
        if version not in _VERSIONS:
            raise InputError(
                f"{self.path}: version (byte 0) is {version}, expected 3 or 4",
                "versions 0 to 2 are another format; anything else is no .sens file" if version else None,
            )
        length = _COUNT.unpack(self._read_of_header(4, 8))[0]
        if length > _LONGEST_NAME:
            raise InputError(
                f"{self.path}: sensor name (byte 4) is {length} bytes long, expected at most {_LONGEST_NAME}"
            )
        sensor = self._read_of_header(12, length).decode("utf-8", "replace")
        start = 12 + length
        values = _HEADER.unpack(self._read_of_header(start, _HEADER.size))
        matrices = np.array(values[:64], np.float32).reshape(4, 4, 4)
        if not np.isfinite(matrices).all():
            raise InputError(f"{self.path}: intrinsics and extrinsics (header at byte {start}) are not all finite")
        colour_code, depth_code, *sides, shift, frames = values[64:]
        header = SensHeader(
            version,
            sensor,
            matrices[0],
            matrices[1],
            matrices[2],
            matrices[3],
            _name(COLOUR_CODES, colour_code),
            _name(DEPTH_CODES, depth_code),
            (sides[0], sides[1]),
            (sides[2], sides[3]),
            shift,
            frames,
        )
        self._check_header(header)
        return header, start + _HEADER.size

    def _check_header(self, header: SensHeader) -> None:
        for name, size in (("colour", header.colour_size), ("depth", header.depth_size)):
            if not all(0 < side <= _LARGEST_SIDE for side in size):
                raise InputError(
                    f"{self.path}: {name} size is {size[0]} x {size[1]}, expected 1 to {_LARGEST_SIDE} pixels a side"
                )
        if not 0 < header.depth_shift < float("inf"):
            raise InputError(
                f"{self.path}: depth shift is {header.depth_shift:g}, expected more than 0 (1000: millimetres)"
            )
        if header.frames > _MOST_FRAMES:
            raise InputError(f"{self.path}: the header counts {header.frames} frames, expected at most {_MOST_FRAMES}")

    def _read_of_header(self, start: int, length: int) -> bytes:
        if start + length > self._size:
            raise InputError(
                f"{self.path}: cut inside the header: {start + length} bytes needed, the file has {self._size}",
                "copy or download it again",
            )
        return self._read(start, length)

    def _record_at(self, number: int) -> FrameRecord:
        start = self._starts[number]
        rest = self._size - start
        counted = f"{self.path}: the header counts {len(self)} frames, but"
        again = "copy or download it again" + (f"; frames 0 to {number - 1} are whole" if number else "")
        if rest == 0 or self._is_imu(start):
            raise InputError(f"{counted} there are {number}: they end at byte {start}", again)
        if rest < _FRAME.size:
            raise InputError(
                f"{counted} the file ends at byte {self._size}, inside the header of frame {number} at byte {start}",
                again,
            )
        found = FrameRecord(start, *_FRAME.unpack(self._read(start, _FRAME.size)))
        for name, first, length in (
            ("colour", found.colour_start, found.colour_bytes),
            ("depth", found.depth_start, found.depth_bytes),
        ):
            if first + length > self._size:
                raise InputError(
                    f"{counted} the file ends at byte {self._size}, inside the {name} picture of frame {number}, "
                    f"which begins at byte {first} and has {length} bytes",
                    again,
                )
        return found

    def _is_imu(self, start: int) -> bool:
        """Return whether the rest of the file is exactly the count and the IMU records that follow the last frame."""
        rest = self._size - start - _COUNT.size
        if self.header.version < 4 or rest < 0 or rest % _IMU_BYTES:
            return False
        return _COUNT.unpack(self._read(start, _COUNT.size))[0] * _IMU_BYTES == rest

    def _read(self, start: int, length: int) -> bytes:
        parts = []
        while length:
            with reading(self.path, expected="a .sens file"):
                part = os.pread(self._descriptor, length, start)
            if not part:
                raise InputError(f"{self.path}: ends at byte {start}: it has become shorter while it was read")
            parts.append(part)
            start, length = start + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def write_sens(path: Path | str, header: SensHeader, frames: Iterable[SensFrame], imu: bytes = b"") -> int:
    """Write a stream; blobs are stored unchanged, and the frames are counted regardless of `header.frames`.

    Args:
        imu: the IMU records of a version 4 file, 128 bytes each.

    Returns:
        The number of frames.

    Raises:
        EnvironmentProblem: the file cannot be written; no partial file remains.
    """
    name = header.sensor.encode()
    matrices = (header.colour_intrinsic, header.colour_extrinsic, header.depth_intrinsic, header.depth_extrinsic)
    codes = (_code(COLOUR_CODES, header.colour_compression), _code(DEPTH_CODES, header.depth_compression))
    with atomic_write(path) as file:
        file.write(struct.pack("<IQ", header.version, len(name)) + name)
        numbers = np.concatenate([np.asarray(m, np.float32).ravel() for m in matrices]).tolist()
        file.write(_HEADER.pack(*numbers, *codes, *header.colour_size, *header.depth_size, header.depth_shift, 0))
        at, count = file.tell() - _COUNT.size, 0
        for frame in frames:
            pose = np.asarray(frame.pose, "<f4").tobytes()
            file.write(_FRAME.pack(pose, frame.colour_time, frame.depth_time, len(frame.colour), len(frame.depth)))
            file.write(frame.colour)
            file.write(frame.depth)
            count += 1
        if header.version >= 4:
            file.write(_COUNT.pack(len(imu) // _IMU_BYTES) + imu)
        file.seek(at)
        file.write(_COUNT.pack(count))
    return count


def inflate(content: bytes, expected: int, source: str) -> bytes:
    """Return the decompressed content of a zlib stream, which must have `expected` bytes.

    Raises:
        InputError: the stream is damaged, cut off, or has another length; the message begins with `source`.
    """
    with reading(source, problem="cannot be decompressed", hint="the file is damaged: copy it again"):
        plain = zlib.decompressobj().decompress(content, expected + 1)
    if len(plain) != expected:
        found = "more than that" if len(plain) > expected else f"{len(plain)}"
        raise InputError(
            f"{source}: expected {expected} bytes of pixels, found {found}", "the file is damaged: copy it again"
        )
    return plain


def _matrix(content: bytes) -> np.ndarray:
    return np.frombuffer(content, "<f4").reshape(4, 4)


def _name(codes: dict[int, str], code: int) -> str:
    return codes.get(code, f"unknown (code {code})")


def _code(codes: dict[int, str], name: str) -> int:
    return next(code for code, known in codes.items() if known == name)
