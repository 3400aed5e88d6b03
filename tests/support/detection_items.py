"""A made item of 3D detection: two chairs, of which one has a box, and two points without an object."""

from __future__ import annotations

import numpy as np

from g3d.data.scannet.detection import DETECTION18, DetectionItem

CHAIR, UNKNOWN = 5, 22
"""nyu40 ids; the second is no detection class."""

TWO_CHAIRS = DetectionItem(
    points=np.array([[0.5, -1, 0], [1.5, 1, 1], [1, 0, 0.2], [4, 4, 4], [6, 6, 6], [9, 9, 0], [8, 9, 0]], np.float32),
    instances=np.array([7, 7, 7, 3, 3, 0, 0]),
    nyu40=np.array([CHAIR] * 5 + [0, 0]),
    boxes=np.array([[1.1, 0, 0.5, 1, 2, 1]]),
    classes=np.array([2]),
    ids=np.array([6]),
    kept=DETECTION18.nyu40,
)
