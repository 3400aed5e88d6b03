"""The depth branch alone, and the sine encoding of its map."""

from pathlib import Path

import numpy as np
import torch
from support.fill import fill_array

from g3d.nn.positions import sine_positions
from g3d.systems.jln.config import ModelConfig
from g3d.systems.jln.depth_predictor import DepthPredictor

SHAPES = ((2, 256, 8, 20), (2, 256, 4, 10), (2, 256, 2, 5))


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    config, weights = ModelConfig(), case["weights"]
    predictor = DepthPredictor(
        config.channels, config.heads, config.feedforward, 0.0, config.depth_bins, config.max_depth
    ).eval()
    bins = predictor.depth_bin_values.clone()
    filled = {
        name: torch.from_numpy(
            fill_array(weights["prefix"] + name, value.shape, gain=weights["gain"], salt=weights["salt"])
        )
        for name, value in predictor.state_dict().items()
    }
    predictor.load_state_dict(filled | {"depth_bin_values": bins})
    stream = np.random.RandomState(51)
    maps = [torch.from_numpy(stream.standard_normal(shape).astype(np.float32)) for shape in SHAPES]
    with torch.inference_mode():
        depth = predictor(maps)
    height, width = SHAPES[1][2:]
    return {
        "position_encoding": sine_positions(height, width, config.channels).permute(2, 0, 1).numpy(),
        "logits": depth.logits.numpy(),
        "depth_embed": depth.tokens.transpose(1, 2).unflatten(2, (height, width)).numpy(),
        "weighted_depth": depth.depth.numpy(),
        "bin_values": bins.numpy(),
    }
