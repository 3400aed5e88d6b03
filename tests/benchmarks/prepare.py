"""Preparing indoor scenes: every step beside the published scripts' times, one thread.

    python tests/benchmarks/prepare.py [--weights scannetv2_enet.pth] [--scan FOLDER SCENE]

Runs scannet_load.py (batch load, _refer), the superpoints of ops.py, frames.py (.sens export, ENet, projection,
pooling, memory) and clip.py (features onto points), each in a process of its own, on drawn data where no real one is
given. Published times: one thread of a machine of the same class, running the scripts of daveredrum/ScanRefer,
80chen86/IPDN and Karbo123/segmentator.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="ENet's; without them the network has random ones")
    parser.add_argument("--scan", nargs=2, metavar=("FOLDER", "SCENE"), help="a real scan in ScanNet's layout")
    asked = parser.parse_args()
    weights = ["--weights", str(asked.weights)] if asked.weights else []
    for title, script, arguments in (
        ("scene arrays", "scannet_load.py", ["--scan", *asked.scan] if asked.scan else []),
        ("superpoints", "ops.py", ["--only", "mesh_segments", "--threads", "1"]),
        ("frames and ENet features", "frames.py", ["--memory", *weights]),
        ("image features onto points", "clip.py", []),
    ):
        print(f"== {title}", flush=True)
        subprocess.run(
            [sys.executable, str(HERE / script), *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True
        )


if __name__ == "__main__":
    main()
