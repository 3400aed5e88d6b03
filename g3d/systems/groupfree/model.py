"""Group-Free 3D's network from its settings. The network itself is g3d/nn/groupfree.py, which other systems share."""

from __future__ import annotations

import torch

from g3d.data.scannet.mean_sizes import DETECTION_MEAN_SIZES
from g3d.nn.groupfree import GroupFree
from g3d.systems.groupfree.config import ModelConfig


def build(config: ModelConfig) -> GroupFree:
    """Return the network for ScanNet's 18 classes, with newly initialised weights."""
    return GroupFree(torch.from_numpy(DETECTION_MEAN_SIZES.copy()), len(DETECTION_MEAN_SIZES), **config.model_dump())
