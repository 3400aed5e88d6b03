"""Seconds that a synthetic room costs, by kind, without and with frames: `python tests/benchmarks/rooms.py [ROOMS]`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

from g3d.synthetic.rooms.frames import FrameSettings, write_frames
from g3d.synthetic.rooms.room_types import KINDS
from g3d.synthetic.rooms.scan import make_scan
from g3d.synthetic.rooms.scan_files import write_scan

FRAMES = FrameSettings(4)


def main(rooms: int) -> None:
    """Measure `rooms` rooms of each kind on one thread; the first room, which compiles, is not counted."""
    torch.set_num_threads(1)
    sizes = (FRAMES.colour_size, FRAMES.depth_size)
    print(f"{'kind':14}{'s/room':>8}{'slowest':>9}{'s/frame':>9}{'vertices':>20}{'objects':>9}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_frames(folder, "warm", make_scan(0, 0, KINDS[0]), FRAMES)
        write_scan(folder, "warm", make_scan(0, 0, KINDS[0]), 0, sizes)
        for kind in KINDS:
            seconds, frames, vertices, objects = [], [], [], []
            for index in range(rooms):
                began = time.perf_counter()
                scan = make_scan(1, index, kind)
                write_scan(folder, f"scene{index:04d}_00", scan, 0, sizes)
                seconds.append(time.perf_counter() - began)
                began = time.perf_counter()
                write_frames(folder, f"scene{index:04d}_00", scan, FrameSettings(FRAMES.frames, export=False))
                frames.append((time.perf_counter() - began) / FRAMES.frames)
                vertices.append(len(scan.mesh.vertices))
                objects.append(len(scan.annotated))
            span = f"{min(vertices)}..{max(vertices)}"
            print(
                f"{kind:14}{sum(seconds) / rooms:8.2f}{max(seconds):9.2f}{sum(frames) / rooms:9.2f}{span:>20}"
                f"{sum(objects) / rooms:9.1f}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
