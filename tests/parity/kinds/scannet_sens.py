"""Read a .sens stream: its header, poses and pictures, and what is exported from it."""

import hashlib
import io
import re
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.images.depth_image import resize_nearest
from g3d.data.scannet.frame_export import JPEG_QUALITY, export_frames
from g3d.data.scannet.frames import read_matrix
from g3d.data.scannet.sens import SensFile, is_valid_pose
from parity.check import Check
from parity.describe import DescriptionError, stated_number
from parity.kinds.scannet import made_stream

CODES = {"jpeg": "jpeg", "zlib": "zlib_ushort"}
"""Names of compressions in g3d and in the case's JSON."""
RECODING = 0.01
"""Grey levels by which the mean change of a re-encoded picture may differ: encoders differ, and no case states this."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    path, facts = made_stream(case, folder), case["facts"]
    depth_part, colour_part = (
        tuple(_slice(facts, f"sample_{axis}_{kind}") for axis in ("rows", "cols")) for kind in ("depth", "color")
    )
    with SensFile.open(path) as stream:
        stream.check()
        poses = np.stack([stream.pose(i) for i in range(len(stream))])
        depth = np.stack([stream.depth(i) for i in range(len(stream))])
        colour = np.stack([stream.colour(i)[colour_part] for i in range(len(stream))])
        found: dict[str, np.ndarray | Check] = _facts(stream, facts, poses)
        header = stream.header
    levels = stated_number(case["tolerance"]["color_samples"], r"\babs #", "tolerance.color_samples")
    found |= {
        "camera_to_world": poses,
        "depth_samples": depth[(slice(None), *depth_part)],
        "color_samples": _at_most("out.color_samples", colour, arrays["out.color_samples"], levels),
        "intrinsic_color": header.colour_intrinsic,
        "extrinsic_color": header.colour_extrinsic,
        "intrinsic_depth": header.depth_intrinsic,
        "extrinsic_depth": header.depth_extrinsic,
    }
    for name in arrays:
        resized = re.fullmatch(r"out\.depth_(\d+)x(\d+)_frame(\d+)", name)
        if resized:
            width, height, frame = map(int, resized.groups())
            found[name] = resize_nearest(depth[frame], (width, height))
    return found | _exported(path, case, poses, arrays["out.pose_txt"])


def _slice(facts: dict, name: str) -> slice:
    """Return the slice that a fact such as "3::37" states."""
    match = re.fullmatch(r"(\d*):(\d*):(\d*)", str(facts.get(name)))
    if match is None:
        raise DescriptionError(f"facts.{name}: expected a slice such as 3::37, found {facts.get(name)!r}")
    return slice(*(int(part) if part else None for part in match.groups()))


def _facts(stream: SensFile, facts: dict, poses: np.ndarray) -> dict[str, Check]:
    """Compare the header and every frame with the case's facts."""
    header = stream.header
    pairs = {
        "version": header.version,
        "sensor_name": header.sensor,
        "color_compression": CODES[header.colour_compression],
        "depth_compression": CODES[header.depth_compression],
        "color_size": list(header.colour_size),
        "depth_size": list(header.depth_size),
        "depth_shift": header.depth_shift,
        "invalid_pose_frames": [i for i, pose in enumerate(poses) if not is_valid_pose(pose)],
    }
    checks = {name: _equal(name, value, facts[name]) for name, value in pairs.items()}
    checks["frames"] = _equal("number of frames", len(stream), len(facts["frames"]))
    for name in facts:
        if frame := re.fullmatch(r"pose_txt_frame(\d+)", name):
            checks[name] = _equal(name, _published_pose(poses[int(frame[1])]), facts[name])
    for number, expected in enumerate(facts["frames"][: len(stream)]):
        frame = stream.frame(number)
        reencoded = io.BytesIO()
        pixels = stream.colour(number)
        Image.fromarray(pixels).save(reencoded, "JPEG", quality=JPEG_QUALITY)
        change = np.abs(np.asarray(Image.open(reencoded)).astype(int) - pixels).mean()
        checks[f"frame {number}"] = _equal(
            f"frame {number}",
            {
                "depth_raw_u16le_sha256": hashlib.sha256(stream.depth(number).tobytes()).hexdigest(),
                "jpeg_bytes_sha256": hashlib.sha256(frame.colour).hexdigest(),
                "timestamp_color": frame.colour_time,
                "timestamp_depth": frame.depth_time,
                "color_bytes": len(frame.colour),
                "depth_bytes": len(frame.depth),
                "pose_txt_sha256": hashlib.sha256(_published_pose(frame.pose).encode()).hexdigest(),
            },
            {key: value for key, value in expected.items() if key != "reencoded_jpeg_mean_abs_diff"},
        )
        apart = abs(change - expected["reencoded_jpeg_mean_abs_diff"])
        checks[f"recoding {number}"] = Check(
            f"frame {number} compressed anew", apart, f"{RECODING:g} grey levels (encoders differ)", apart <= RECODING
        )
    return checks


def _exported(path: Path, case: dict, poses: np.ndarray, published: np.ndarray) -> dict[str, Check]:
    """Compare the exported folder: names, intrinsics as published, poses equal to the published decimals and to the
    stream's bits."""
    facts = case["facts"]
    checks: dict[str, Check] = {}
    with tempfile.TemporaryDirectory() as name:
        for fact in (fact for fact in facts if re.fullmatch(r"exported_names_skip\d+", fact)):
            some = Path(name) / fact
            export_frames(path, some, every=int(fact.removeprefix("exported_names_skip")))
            checks[fact] = _equal(fact, sorted(file.name for file in (some / "color").iterdir()), facts[fact])
        folder = Path(name) / "every"
        export_frames(path, folder)
        intrinsic = (folder / "intrinsic" / "intrinsic_depth.txt").read_text()
        valid = [i for i, pose in enumerate(poses) if is_valid_pose(pose)]
        written = np.stack([read_matrix(folder / "pose" / f"{i}.txt", (4, 4)) for i in valid])
        exact = np.array_equal(written.astype(np.float32), poses[valid])
    apart = np.abs(written - published[valid]).max()
    lost = [i for i in range(len(poses)) if i not in valid]
    decimals = int(stated_number(case["tolerance"]["pose_txt"], r"# decimals", "tolerance.pose_txt"))
    within = apart <= 0.51 * 10.0**-decimals  # half a unit of the last decimal, and float64 arithmetic
    return checks | {
        "intrinsic_depth_txt": _equal("intrinsic_depth_txt", intrinsic, facts["intrinsic_depth_txt"]),
        "pose_txt": Check(
            "out.pose_txt", float(apart), f"{decimals} decimals", within and not np.isfinite(published[lost]).any()
        ),
        "poses exact": Check("exported poses, in float32", 0.0, "exact", exact),
    }


def _published_pose(pose: np.ndarray) -> str:
    return "".join(" ".join(f"{value:f}" for value in row) + "\n" for row in pose)


def _equal(name: str, found: object, expected: object) -> Check:
    return Check(
        name,
        float(found != expected),
        "equal",
        found == expected,
        "" if found == expected else f"{found}, expected {expected}",
    )


def _at_most(name: str, found: np.ndarray, expected: np.ndarray, most: float) -> Check:
    words = f"{most:g} (decoders differ)"
    if found.shape != expected.shape:
        return Check(name, float("nan"), words, False, f"shape {found.shape}, expected {expected.shape}")
    error = np.abs(found.astype(int) - expected).max()
    return Check(name, float(error), words, bool(error <= most))
