"""A fresh module of multi-scale deformable attention: the biases that are neither random nor 0."""

from pathlib import Path

import numpy as np

from g3d.nn.deformable_attention import MSDeformAttn


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    module = MSDeformAttn()
    bias = module.sampling_offsets.bias.detach().numpy()
    return {"sampling_offsets_bias": bias.reshape(module.heads, module.levels, module.points, 2)}
