"""A .sens stream: its header, poses and pictures, and what is exported from it."""

import hashlib
import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from g3d.data.images.depth_image import resize_nearest
from g3d.data.scannet.frame_export import JPEG_QUALITY, export_frames
from g3d.data.scannet.frames import read_matrix
from g3d.data.scannet.sens import SensFile, is_valid_pose
from parity.check import Check

SCENE = Path("data/made/scannet/scans/scene0900_00/scene0900_00.sens")
CODES = {"jpeg": "jpeg", "zlib": "zlib_ushort"}  # ours -> the case's words


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    path = folder.parents[1] / SCENE
    with SensFile.open(path) as stream:
        stream.check()
        poses = np.stack([stream.pose(i) for i in range(len(stream))])
        depth = np.stack([stream.depth(i) for i in range(len(stream))])
        colour = np.stack([stream.colour(i)[7::83, 9::97] for i in range(len(stream))])
        found: dict[str, np.ndarray | Check] = _facts(stream, case["facts"], poses)
        header = stream.header
    found |= {
        "camera_to_world": poses,
        "depth_samples": depth[:, 3::37, 5::41],
        "depth_320x240_frame0": resize_nearest(depth[0], (320, 240)),
        "color_samples": _at_most("out.color_samples", colour, arrays["out.color_samples"], 2),
        "intrinsic_color": header.colour_intrinsic,
        "extrinsic_color": header.colour_extrinsic,
        "intrinsic_depth": header.depth_intrinsic,
        "extrinsic_depth": header.depth_extrinsic,
    }
    return found | _exported(path, case["facts"], poses, arrays["out.pose_txt"])


def _facts(stream: SensFile, facts: dict, poses: np.ndarray) -> dict[str, Check]:
    """What the case's JSON says of the header and of every frame."""
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
    for number, said in enumerate(facts["frames"]):
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
            {key: value for key, value in said.items() if key != "reencoded_jpeg_mean_abs_diff"},
        )
        apart = abs(change - said["reencoded_jpeg_mean_abs_diff"])
        checks[f"recoding {number}"] = Check(
            f"frame {number} compressed anew", apart, "0.01 grey levels (encoders differ)", apart <= 0.01
        )
    return checks


def _exported(path: Path, facts: dict, poses: np.ndarray, published: np.ndarray) -> dict[str, Check]:
    """The exported folder: names, intrinsics as published, poses equal to the published six decimals and to the
    stream's bits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_frames(path, folder, every=10)
        names = sorted(file.name for file in (folder / "color").iterdir())
        export_frames(path, folder)
        intrinsic = (folder / "intrinsic" / "intrinsic_depth.txt").read_text()
        whole = [i for i, pose in enumerate(poses) if is_valid_pose(pose)]
        written = np.stack([read_matrix(folder / "pose" / f"{i}.txt", (4, 4)) for i in whole])
        exact = np.array_equal(written.astype(np.float32), poses[whole])
    apart = np.abs(written - published[whole]).max()
    lost = [i for i in range(len(poses)) if i not in whole]
    return {
        "exported_names_skip10": _equal("exported_names_skip10", names, facts["exported_names_skip10"]),
        "intrinsic_depth_txt": _equal("intrinsic_depth_txt", intrinsic, facts["intrinsic_depth_txt"]),
        "pose_txt": Check(
            "out.pose_txt", float(apart), "6 decimals", apart <= 5.1e-7 and not np.isfinite(published[lost]).any()
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


def _at_most(name: str, found: np.ndarray, expected: np.ndarray, most: int) -> Check:
    error = np.abs(found.astype(int) - expected).max()
    return Check(name, float(error), f"{most} (decoders differ)", bool(error <= most))
