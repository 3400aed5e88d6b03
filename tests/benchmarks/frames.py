"""RGB-D frames to point features: export, views, ENet, projection and pooling, milliseconds of CPU time a frame, one
thread.

    python tests/benchmarks/frames.py [--sens FILE] [--weights scannetv2_enet.pth] [--memory]

Without a stream one of 640 x 480 is made, without weights ENet is filled at random. `--memory` also pools 300 frames
into 300 000 points and prints the peak. Beside each figure stands that of the published script (ScanNet's reader,
daveredrum/ScanRefer), same kind of machine.
"""

from __future__ import annotations

import argparse
import io
import itertools
import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from room import room
from support.tiny_sens import HEADER

from g3d.data.scannet.frame_export import export_frames
from g3d.data.scannet.frames import FrameSource, open_frames
from g3d.data.scannet.multiview import CELLS, FeaturePool, View, make_view, pool_views, see_points
from g3d.data.scannet.sens import SensFrame, write_sens
from g3d.nn.enet import CHANNELS, ENet, load_enet, normalise

POINTS, SEEN, REPEATS = 154_000, 14_120, 15
CAMERA = np.array([[577.87, 0, 319.5, 0], [0, 577.87, 239.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)


def milliseconds(work: Callable[[], object], per: int = 1, repeats: int = REPEATS) -> float:
    """Least CPU time of some runs, divided by `per` frames."""
    work()
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return 1000 * best / per


def make_stream(path: Path, frames: int = 8) -> Path:
    """Noisy slopes in steps of 6 mm: about as hard to compress as a depth camera's pictures (a zlib stream of 80 to 120
    KB)."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:480, :640]

    def frame(number: int) -> SensFrame:
        depth = (1200 + 2 * rows + columns + 40 * number + rng.normal(0, 2, rows.shape)).astype(np.uint16) // 6 * 6
        texture = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
        picture = io.BytesIO()
        Image.fromarray(texture).resize((640, 480), Image.Resampling.BICUBIC).save(picture, "JPEG", quality=90)
        return SensFrame(np.eye(4, dtype=np.float32), picture.getvalue(), zlib.compress(depth.tobytes()))

    size = (640, 480)
    header = replace(HEADER, colour_intrinsic=CAMERA, depth_intrinsic=CAMERA, colour_size=size, depth_size=size)
    write_sens(path, header, (frame(number) for number in range(frames)))
    return path


def export_times(stream: Path, frames: int) -> None:
    for settings, published, target in (
        ({"depth": "zlib"}, "none has it", "1"),
        ({"depth": "png"}, "33 in Python with colour encoded anew, 7.3 in C++", "10"),
        ({"depth": "png", "reencode": True}, "33", ""),
    ):

        def export(settings: dict = settings) -> None:
            with tempfile.TemporaryDirectory() as folder:
                export_frames(stream, folder, **settings)

        show(f"export {settings}", milliseconds(export, frames, 5), published, target)


def feature_times(source: FrameSource, network: ENet) -> None:
    frame = source.frame(0)
    view = make_view(frame)
    picture = torch.from_numpy(view.colour)[None]
    points, wall = room(POINTS, 0), _inside_the_room(view)
    rng = np.random.default_rng(0)
    cells = torch.full((POINTS,), -1)
    cells[np.sort(rng.choice(POINTS // 3, SEEN, replace=False))] = torch.from_numpy(
        rng.integers(0, CELLS[0] * CELLS[1], SEEN)
    )
    features = torch.from_numpy(rng.standard_normal((CHANNELS, CELLS[1], CELLS[0])).astype(np.float32))
    pools = {mode: FeaturePool(POINTS, CHANNELS, mode) for mode in ("max", "first")}
    show("a frame's pictures: decode, resize, crop", milliseconds(lambda: make_view(frame)))
    show("ENet, 328 x 256", milliseconds(lambda: network(normalise(picture))), "323")
    show(f"project {POINTS} points", milliseconds(lambda: see_points(points, wall)), "9.2")
    for mode, pool in pools.items():
        show(
            f"pool {SEEN} of {POINTS} x {CHANNELS}, {mode}",
            milliseconds(lambda pool=pool: pool.add(cells, features)),
            "297",
            "10",
        )


def _inside_the_room(view: View) -> View:
    """The same camera in the middle of the made room, looking along its length."""
    pose = np.array([[0, 0, 1, 4], [-1, 0, 0, 3], [0, -1, 0, 1.4], [0, 0, 0, 1]], np.float32)
    return replace(view, pose=pose, depth=np.full_like(view.depth, 2.0))


def peak_memory(source: FrameSource, network: ENet, points: int = 300_000, frames: int = 300) -> None:
    def views() -> Iterator[tuple[View, torch.Tensor]]:
        for number in itertools.islice(itertools.cycle(range(len(source))), frames):
            view = make_view(source.frame(number))
            yield view, network(normalise(torch.from_numpy(view.colour)[None]))[0]

    began = time.process_time()
    pool_views(room(points, 0), views(), CHANNELS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = time.process_time() - began
    print(
        f"{frames} frames into {points} points: {took:.1f} s of CPU time, peak of the process {peak:.0f} "
        f"MiB (target 1024)"
    )


def show(what: str, found: float, published: str = "", target: str = "") -> None:
    beside = [f"   published {published}"] * bool(published) + [f"   target {target}"] * bool(target)
    print(f"{what:<50} {found:8.2f} ms{''.join(beside)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sens", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = load_enet(options.weights) if options.weights else ENet().eval()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        stream = options.sens or make_stream(Path(folder) / "made.sens")
        with open_frames(stream) as source:
            export_times(stream, len(source))
            feature_times(source, network)
            if options.memory:
                peak_memory(source, network)


if __name__ == "__main__":
    main()
