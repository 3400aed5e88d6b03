"""Writes polygons.npz: polygons and their run-length codes by pycocotools.

python tests/parity/golden/coco/make.py        # needs pycocotools
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from pycocotools import mask

sys.path.insert(0, str(Path(__file__).parents[3]))

from support.polygon_shapes import KINDS, polygon


def main() -> None:
    rng = np.random.default_rng(5)
    drawn = [(polygon(KINDS[k % len(KINDS)], rng), *(int(side) for side in rng.integers(1, 64, 2))) for k in range(600)]
    np.savez_compressed(
        Path(__file__).with_name("polygons.npz"),
        points=np.concatenate([points for points, _, _ in drawn]),
        sizes=np.array([len(points) for points, _, _ in drawn], np.int16),
        images=np.array([sides for _, *sides in drawn], np.int16),
        codes=np.array([mask.frPyObjects([points], *sides)[0]["counts"] for points, *sides in drawn]),
    )


if __name__ == "__main__":
    main()
