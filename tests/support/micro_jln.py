"""A JLN of a few thousand parameters with made word features: what tests of the network run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from g3d.nn.text_encoder import Words
from g3d.systems.jln.config import BackboneConfig, ModelConfig, TextConfig
from g3d.systems.jln.model import JLN, Outputs

HIDDEN, WORDS = 16, 12
ARCHITECTURE = {
    "model_type": "roberta",
    "vocab_size": 40,
    "hidden_size": HIDDEN,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 20,
}
TEXT = TextConfig(architecture=ARCHITECTURE, max_words=WORDS)
CAMERA = torch.tensor([[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.2], [0, 0, 1, 0.003]])


def model(**settings: Any) -> JLN:
    torch.manual_seed(0)
    backbone = BackboneConfig(blocks=(1, 1, 1, 1), width=8, norm="batch", frozen_stages=0)
    config = ModelConfig(channels=32, heads=4, feedforward=32, encoder_layers=2, depth_bins=10, backbone=backbone)
    return JLN(config.model_copy(update=settings), TEXT)


def words(samples: int, seed: int = 0) -> Words:
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, WORDS, (samples, 1), generator=draw)
    return Words(torch.randn(samples, WORDS, HIDDEN, generator=draw), torch.arange(WORDS) >= lengths)


def run(network: JLN, images: Tensor, image_of: Tensor | None, sentences: Words) -> Outputs:
    samples = len(sentences.padding)
    return network(
        images, image_of, CAMERA.expand(samples, -1, -1), torch.tensor([[1242.0, 375.0]]).expand(samples, -1), sentences
    )
