"""What the kinds of jln cases share: the filled network, its inputs, and its results under the published names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d import config as presets
from g3d.nn.text_encoder import Words
from g3d.systems.jln import official
from g3d.systems.jln.model import JLN, Outputs
from parity.kinds.monodle import filled_state

OUTPUTS = {
    "pred_logits": "logits",
    "pred_boxes": "boxes",
    "pred_3d_dim": "sizes",
    "pred_depth": "depth",
    "pred_angle": "angle",
    "decoder_vt_feature": "visual_token",
    "global_text_feature": "text_token",
    "perd_forback_classifier": "regions",
    "perd_forback_classifier_depth": "depth_regions",
}
"""Published names of what the network returns, and ours."""


def our_name(published: str) -> str:
    """A parameter's name in our network; of a weight that published files hold twice, the one that is used."""
    for alias, name in {"decoder.bbox_embed.": "bbox_embed.", "decoder.dim_embed.": "dim_embed_3d."}.items():
        published = published.replace(f"mono3dvg_transformer.{alias}", name)
    return official.our_name(published)


def filled_model(case: dict[str, Any], folder: Path) -> JLN:
    """The network of preset jln with the case's weights, imported as a user's checkpoint is."""
    config: Any = presets.load("jln")
    model = JLN(config.model, config.text)
    official.import_official({"model_state": filled_state(case, folder)}, model)
    return model


def seeded_images(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Tensor:
    """The images of a case that gives a seed and a shape in its formula, checked against the values it quotes."""
    formula = case["image"]["formula"]
    seed, shape = re.search(r"RandomState\((\d+)\)", formula), re.search(r"standard_normal\(\(([\d,]+)\)\)", formula)
    assert seed
    assert shape
    images = (
        np.random.RandomState(int(seed[1])).standard_normal([int(n) for n in shape[1].split(",")]).astype(np.float32)
    )
    np.testing.assert_array_equal(images.reshape(len(images), -1)[:, :8], arrays["in.image_check"])
    return torch.from_numpy(images)


def words_of(model: JLN, ids: Tensor, mask: Tensor) -> Words:
    """The text encoder's features of token ids (B, W) and their attention mask."""
    with torch.no_grad():
        return Words(
            model.text_encoder.model(input_ids=ids.long(), attention_mask=mask.long()).last_hidden_state, mask == 0
        )


def run_model(model: JLN, images: Tensor, words: Words, arrays: dict[str, np.ndarray]) -> Outputs:
    cameras, sizes = (torch.from_numpy(arrays[f"in.{name}"]).float() for name in ("calib_P2", "img_size_wh"))
    outputs: Outputs = model(images, None, cameras, sizes, words)
    return outputs
