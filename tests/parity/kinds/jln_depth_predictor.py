"""The depth branch alone, and the sine encoding of its map."""

import re
from pathlib import Path

import numpy as np
import torch
from support.fill import fill_array

from g3d.nn.positions import sine_positions
from g3d.systems.jln.config import ModelConfig
from g3d.systems.jln.depth_predictor import DepthPredictor
from parity.describe import DescriptionError, check_values, parse_stream, stated_number

PUBLISHED = ModelConfig()
"""Heads, width of the feed-forward part and greatest depth: in neither the JSON nor the arrays of a case."""
STRIDES = (8, 16, 32)
"""Strides of the maps that the depth branch reads, by definition of the network."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    weights, maps = case["weights"], maps_of(case, arrays)
    stride = int(stated_number(case["inputs"], r"sine one of the stride # map", "position encoding"))
    if stride not in maps:
        raise DescriptionError(f"position encoding: no map of stride {stride} among {sorted(maps)}")
    encoded = maps[stride]
    channels, bins = encoded.shape[1], len(arrays["out.bin_values"]) - 1
    predictor = DepthPredictor(channels, PUBLISHED.heads, PUBLISHED.feedforward, 0.0, bins, PUBLISHED.max_depth).eval()
    values = predictor.depth_bin_values.clone()
    filled = {
        name: torch.from_numpy(
            fill_array(weights["prefix"] + name, value.shape, gain=weights["gain"], salt=weights["salt"])
        )
        for name, value in predictor.state_dict().items()
    }
    predictor.load_state_dict(filled | {"depth_bin_values": values})
    with torch.inference_mode():
        depth = predictor([maps[stride] for stride in STRIDES])
    height, width = encoded.shape[2:]
    return {
        "position_encoding": sine_positions(height, width, channels).permute(2, 0, 1).numpy(),
        "logits": depth.logits.numpy(),
        "depth_embed": depth.tokens.transpose(1, 2).unflatten(2, depth.depth.shape[1:]).numpy(),
        "weighted_depth": depth.depth.numpy(),
        "bin_values": values.numpy(),
    }


def maps_of(case: dict, arrays: dict[str, np.ndarray]) -> dict[int, torch.Tensor]:
    """Return the feature maps (B, C, h, w) by stride that the text of `inputs` describes.

    Raises:
        DescriptionError: other strides than 8, 16 and 32, maps of several batches or widths, padding, or values that
            differ from those in in.check: the first ones of the first and the last map, or of every map.
    """
    text = case.get("inputs")
    stream = parse_stream(text)
    strides = [draw.stride for draw in stream.draws]
    if sorted(strides) != list(STRIDES):
        raise DescriptionError(f"inputs: expected one map of each stride {STRIDES}, found {strides} in {text!r}")
    if len({draw.shape[:2] for draw in stream.draws}) != 1 or any(len(draw.shape) != 4 for draw in stream.draws):
        raise DescriptionError(f"inputs: expected shapes (B, C, h, w) with the same B and C in {text!r}")
    if re.search(r"(?<!\bno )\bpadding\b", str(text)):
        raise DescriptionError(f"inputs: the depth branch has no padding mask, but {text!r} describes padding")
    drawn = stream.arrays()
    if "in.check" in arrays:
        quoted = arrays["in.check"]
        checked = (drawn[0], drawn[-1]) if len(quoted) == 2 else drawn
        first = np.stack([array.ravel()[: quoted.shape[1]] for array in checked])
        check_values(first, quoted, "in.check")
    return {stride: torch.from_numpy(array) for stride, array in zip(strides, drawn, strict=True)}
