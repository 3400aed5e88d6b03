"""Shared by the kinds of jln cases: the filled network, its inputs, and its results under the published names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d import config as presets
from g3d.nn.text_encoder import Words
from g3d.systems.jln import official
from g3d.systems.jln.model import JLN, Outputs
from parity.describe import DescriptionError, agreed, check_values, parse_stream
from parity.weights import filled_state

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
    """Return the images (B, 3, H, W) that the text of `image.formula` describes, checked against the quoted values.

    Raises:
        DescriptionError: the text, the fields `seed` and `shape` and the quoted values do not agree.
    """
    image = case["image"]
    stream = parse_stream(image["formula"], "image.formula")
    if len(stream.draws) != 1 or len(stream.draws[0].shape) != 4:
        raise DescriptionError(f"image.formula: expected one shape (B, 3, H, W) in {image['formula']!r}")
    agreed({"image.formula": stream.seed, "image.seed": image.get("seed")}, "seed of the images")
    shape = list(stream.draws[0].shape)
    agreed({"image.formula": shape, "image.shape": image.get("shape")}, "shape of the images")
    (images,) = stream.arrays()
    quoted = arrays["in.image_check"]
    check_values(images.reshape(len(images), -1)[:, : quoted.shape[-1]], quoted, "in.image_check")
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
