"""Object-wise depth: painting stored rectangles in the network's frame, beside decoding the frame's PNG and loading the
published .npy.

    python tests/benchmarks/object_depth.py [KITTI folder]

Without a folder, a few made streets of KITTI's size are used. Prints medians over the frames; the bound is one write of
the map's bytes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from g3d.data.images.image import affine_from_crop, invert_affine, read_image
from g3d.data.kitti.object_depth import paint_warped
from g3d.data.kitti.prepared import open_prepared
from g3d.data.kitti.raw import KittiRoot
from g3d.prepare.kitti import prepare_kitti
from g3d.synthetic.streets.world import make_streets

RESOLUTION = (1280, 384)


def median_ms(work: Callable[[str], object], frames: list[str]) -> float:
    """Median over frames of the best of five runs, milliseconds."""
    return 1000 * statistics.median(min(_seconds(work, frame) for _ in range(5)) for frame in frames)


def _seconds(work: Callable[[str], object], frame: str) -> float:
    began = time.perf_counter()
    work(frame)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="KITTI folder with images")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = parser.parse_args().data or make_streets(folder / "streets", 16).root
        kitti = KittiRoot.find(data)
        frames = sorted(path.stem for path in (kitti.folder / "image_2").glob("*.png"))[:32]
        (folder / "frames.txt").write_text("\n".join(frames))
        report = prepare_kitti(data, [str(folder / "frames.txt")], folder / "prepared", npy=folder / "npy")
        depth = open_prepared(folder / "prepared")
        sizes = {frame: read_image(kitti.image(frame)).shape[1::-1] for frame in frames}
        inverse = {
            f: invert_affine(affine_from_crop(np.array(size) / 2, size[0], RESOLUTION)) for f, size in sizes.items()
        }

        png = median_ms(lambda f: read_image(kitti.image(f)), frames)
        npy = median_ms(lambda f: np.load(folder / "npy" / "obj_depth_all" / f"{f}.npy"), frames)
        ours = median_ms(
            lambda f: paint_warped(depth.frame(f).of(False), sizes[f], False, inverse[f], RESOLUTION), frames
        )
        bound = median_ms(lambda f: np.zeros((RESOLUTION[1], RESOLUTION[0]), np.float32).fill(1), frames)
        stored = report.bytes_written / len(frames)
        published = sum(file.stat().st_size for file in (folder / "npy").rglob("*.npy")) / len(frames)
    print(
        f"{len(frames)} frames, medians in ms: decode PNG {png:.2f}, load published .npy {npy:.2f} (unwarped), "
        f"ours {ours:.2f} (in the network's frame), bound {bound:.2f}"
    )
    print(f"ours / PNG decode {ours / png:.3f}; bytes a frame: ours {stored:,.0f}, published {published:,.0f}")


if __name__ == "__main__":
    main()
