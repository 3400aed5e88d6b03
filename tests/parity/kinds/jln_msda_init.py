"""A fresh module of multi-scale deformable attention: the biases that are neither random nor 0."""

from pathlib import Path

import numpy as np

from g3d.nn.deformable_attention import MSDeformAttn

HEAD_CHANNELS = 32
"""Channels of a head: the initial biases do not depend on it, and no case states it."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    heads, levels, points, _ = arrays["out.sampling_offsets_bias"].shape
    module = MSDeformAttn(HEAD_CHANNELS * heads, levels, heads, points)
    bias = module.sampling_offsets.bias.detach().numpy()
    return {"sampling_offsets_bias": bias.reshape(module.heads, module.levels, module.points, 2)}
