"""Export of a `.sens` stream to a folder of frames: color/<i>.jpg, depth/<i>.png, pose/<i>.txt and intrinsic/.

The names are those of ScanNet's own reader. Unlike that reader, the export copies colour as stored instead of
compressing it again, keeps all digits of the poses, and leaves out frames without a pose. Complete files are not
written again, so an export that was stopped can be continued.
"""

from __future__ import annotations

import io
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.files import atomic_write
from g3d.data.images.depth_image import MILLIMETRES, PNG_END, encode_depth_png, pack_depth, resize_nearest
from g3d.data.scannet.frames import scale_intrinsics
from g3d.data.scannet.sens import FrameRecord, SensFile, is_valid_pose
from g3d.errors import InputError

JPEG_QUALITY = 75  # quality of ScanNet's Python reader, which compresses colour again
DEPTHS = {"png": ".png", "zlib": ".zdepth"}
_LEFTOVER_SECONDS = 60
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_OF_ZLIB = 1.5  # bytes of depth PNG per byte of the stored stream, on real frames


@dataclass(frozen=True)
class ExportReport:
    """Result of an export.

    Attributes:
        written: number of frames for which at least one file was written.
        kept: number of frames whose files were already complete.
        lost: number of frames that were left out because their camera was not located.
        frames: number of frames in the stream.
        broken: one line for each frame that was left out because its colour or depth image is damaged.
    """

    written: int
    kept: int
    lost: int
    frames: int
    broken: tuple[str, ...] = ()


def export_frames(
    source: Path | str,
    folder: Path | str,
    every: int = 1,
    limit: int | None = None,
    depth: str = "png",
    size: tuple[int, int] | None = None,
    reencode: bool = False,
    keep_lost: bool = False,
    partial: bool = False,
) -> ExportReport:
    """Export the frames 0, every, 2 every, ... of one scene, in constant memory.

    A frame whose colour or depth cannot be decoded is left out and reported; the others are exported.

    Args:
        source: the .sens file.
        folder: the folder in which color/, depth/, pose/ and intrinsic/ are created.
        every: step between frame numbers.
        limit: maximum number of frames; if there are more, the step is increased.
        depth: "png" (16 bits, millimetres), or "zlib" (the stored stream as .zdepth, which is fast).
        size: width, height of resized images (3D-SIS: 320, 240). Colour is then compressed again, and the intrinsics
            are scaled.
        reencode: compress colour again as ScanNet's Python reader does, instead of copying it.
        keep_lost: also export frames whose camera was not located, with their -inf poses.
        partial: export the complete frames of a file that was cut off.

    Raises:
        InputError: a setting is invalid, the file is not a stream, or it is cut off inside a frame; the frames before
            it have then been exported.
        EnvironmentProblem: the folder cannot be written.
    """
    if depth not in DEPTHS:
        raise InputError(f"depth: found {depth!r}, expected one of {', '.join(DEPTHS)}")
    if depth == "zlib" and size:
        raise InputError(
            "depth zlib keeps the stored pictures: it cannot be combined with another size", "use depth png"
        )
    folder = Path(folder)
    with SensFile.open(source) as stream:
        stream.require_readable_depth()
        if depth == "png" and stream.header.depth_shift != MILLIMETRES:
            raise InputError(
                f"{source}: depth has {stream.header.depth_shift:g} units per metre, a depth PNG holds millimetres",
                "use depth zlib, which keeps the unit",
            )
        count = stream.whole_frames() if partial else len(stream)
        if count == 0:
            raise InputError(f"{source}: holds no {'whole ' * partial}frames")
        _clear_leftovers(folder)
        _write_intrinsics(stream, folder / "intrinsic", size)
        writer = _Writer(stream, folder, depth, size, reencode, keep_lost)
        results = [writer.export(number) for number in chosen_frames(count, every, limit)]
        if not partial:
            stream.check()
    found = [results.count(what) for what in ("written", "kept", "lost")]
    return ExportReport(found[0], found[1], found[2], count, tuple(writer.broken))


def chosen_frames(count: int, every: int = 1, limit: int | None = None) -> range:
    """Return the numbers of the exported frames: every `every`-th, or a larger step if these are more than `limit`.

    Raises:
        InputError: `every` or `limit` is below 1.
    """
    for name, value in (("every", every), ("limit", limit)):
        if value is not None and value < 1:
            raise InputError(f"{name}: found {value}, expected at least 1")
    return range(0, count, every if limit is None else max(every, -(-count // limit)))


def export_bytes(
    source: Path | str, every: int = 1, limit: int | None = None, depth: str = "png", partial: bool = False
) -> int:
    """Return an estimate of the bytes of an export at full size.

    Colour and .zdepth sizes are exact; the size of depth PNGs is estimated from typical scenes.

    Raises:
        InputError, MissingDataError: see `export_frames`.
    """
    with SensFile.open(source) as stream:
        count = stream.whole_frames() if partial else len(stream)
        records = [stream.record(number) for number in chosen_frames(count, every, limit)]
    factor = _PNG_OF_ZLIB if depth == "png" else 1.0
    return int(sum(record.colour_bytes + factor * record.depth_bytes + 160 for record in records))


class _Writer:
    """Writer of the files of single frames."""

    def __init__(
        self, stream: SensFile, folder: Path, depth: str, size: tuple[int, int] | None, reencode: bool, keep_lost: bool
    ) -> None:
        self.stream, self.folder, self.depth, self.size, self.keep_lost = stream, folder, depth, size, keep_lost
        header = stream.header
        self.copied = not reencode and size is None and header.colour_compression in ("jpeg", "png")
        self.colour_suffix = ".png" if self.copied and header.colour_compression == "png" else ".jpg"
        self.depth_copied = depth == "zlib" and header.depth_compression == "zlib"
        self.broken: list[str] = []

    def export(self, number: int) -> str:
        """Write the missing files of a frame; return "written", "kept", "lost" or "broken"."""
        record = self.stream.record(number)
        pose = self.stream.pose(number)
        if not self.keep_lost and not is_valid_pose(pose):
            return "lost"
        colour = self.folder / "color" / f"{number}{self.colour_suffix}"
        depth = self.folder / "depth" / f"{number}{DEPTHS[self.depth]}"
        place = self.folder / "pose" / f"{number}.txt"
        text = _matrix_text(pose, "%.9g")
        stale = place.is_file() and place.read_bytes() != text  # it belongs to another stream
        made: list[tuple[Path, bytes]] = []
        try:
            self._decode(made, record, number, stale, colour, depth)
        except InputError as error:
            self.broken.append(error.message)
            return "broken"
        if stale or not place.is_file():
            made.append((place, text))
        for path, content in made:
            with atomic_write(path, durable=False) as file:  # the next export detects an incomplete file
                file.write(content)
        return "written" if made else "kept"

    def _decode(
        self,
        made: list[tuple[Path, bytes]],
        record: FrameRecord,
        number: int,
        stale: bool,
        colour: Path,
        depth: Path,
    ) -> None:
        """Append the images of a frame that are not yet exported to `made`.

        Raises:
            InputError: an image is damaged.
        """
        if stale or not (_has_size(colour, record.colour_bytes) if self.copied else _ends_with(colour, _JPEG_END)):
            made.append((colour, self._colour(number)))
        if stale or not (
            _has_size(depth, 16 + record.depth_bytes) if self.depth_copied else _ends_with(depth, PNG_END)
        ):
            made.append((depth, self._depth(number)))

    def _colour(self, number: int) -> bytes:
        if self.copied:
            content = self.stream.colour_bytes(number)
            if not _looks_whole(content):
                self.stream.colour(number)  # raises if the image cannot be decoded
            return content
        pixels = self.stream.colour(number)
        file = io.BytesIO()
        Image.fromarray(resize_nearest(pixels, self.size) if self.size else pixels).save(
            file, "JPEG", quality=JPEG_QUALITY
        )
        return file.getvalue()

    def _depth(self, number: int) -> bytes:
        header = self.stream.header
        if self.depth == "png":
            pixels = self.stream.depth(number)
            return encode_depth_png(resize_nearest(pixels, self.size) if self.size else pixels)
        self.stream.depth(number)  # raises if the image cannot be decompressed
        return pack_depth(self.stream.depth_bytes(number), header.depth_size, header.depth_shift)


def _clear_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes; a running process renames its files within milliseconds."""
    for path in folder.glob("*/.*.part"):
        try:
            if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue


def _write_intrinsics(stream: SensFile, folder: Path, size: tuple[int, int] | None) -> None:
    header = stream.header
    for kind, original, intrinsic, extrinsic in (
        ("color", header.colour_size, header.colour_intrinsic, header.colour_extrinsic),
        ("depth", header.depth_size, header.depth_intrinsic, header.depth_extrinsic),
    ):
        matrix = np.array(intrinsic)
        if size:
            matrix[:3, :3] = scale_intrinsics(matrix[:3, :3], original, size)
        for name, values in ((f"intrinsic_{kind}", matrix), (f"extrinsic_{kind}", extrinsic)):
            text, path = _matrix_text(values, "%f"), folder / f"{name}.txt"
            if path.is_file() and path.read_bytes() != text:
                raise InputError(
                    f"{path}: found other intrinsics: the folder holds frames of another stream or size",
                    "empty the folder, or export into another",
                )
            with atomic_write(path) as file:
                file.write(text)


def _matrix_text(matrix: np.ndarray, form: str) -> bytes:
    return "".join(" ".join(form % value for value in row) + "\n" for row in matrix.tolist()).encode()


def _looks_whole(content: bytes) -> bool:
    """Return whether a JPEG or PNG begins and ends correctly; zeros may follow. Other content must be decoded."""
    content = content.rstrip(b"\0")
    return (content.startswith(_JPEG_START) and content.endswith(_JPEG_END)) or (
        content.startswith(_PNG_START) and content.endswith(PNG_END)
    )


def _has_size(path: Path, size: int) -> bool:
    try:
        return os.stat(path).st_size == size
    except OSError:
        return False


def _ends_with(path: Path, end: bytes) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-len(end), io.SEEK_END)
            return file.read() == end
    except OSError:
        return False
