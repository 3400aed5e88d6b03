"""A small WS-3DVG network with drawn weights, and batches for it."""

from __future__ import annotations

import torch
from torch import Tensor

from g3d.systems.ws3dvg.model import WS3DVG, Sentences
from g3d.systems.ws3dvg.model_config import ModelConfig
from support.detectors import draw_weights, rooms

TINY = ModelConfig(
    channels=32,
    heads=4,
    input_features=1,
    proposals=16,
    width=0.25,
    samples=(128, 64, 32, 16),
    decoder_layers=1,
    feedforward=64,
    view_features=8,
    word_channels=12,
    vocabulary=20,
    candidates=4,
    teacher_layers=2,
)
TINY_VOTENET = TINY.model_copy(update={"detector": "votenet", "channels": 16})


def network(config: ModelConfig = TINY, seed: int = 0) -> WS3DVG:
    """A network whose norms and biases are drawn too, in training mode."""
    torch.manual_seed(seed)
    found = WS3DVG(config)
    draw_weights(found, seed)
    return found.train()


def scenes(count: int = 2) -> tuple[Tensor, Tensor]:
    """Points (B, 600, 4), and their image features (B, 600, 8)."""
    points = rooms(count)
    return points, torch.randn(*points.shape[:2], TINY.view_features, generator=torch.Generator().manual_seed(5))


def sentences(lengths: list[list[int]], counts: list[int], seed: int = 0) -> Sentences:
    """Sentences of these lengths; a third of the words are keywords, and a quarter are not shown to the teacher."""
    g = torch.Generator().manual_seed(seed)
    words = torch.tensor(lengths)
    longest = int(words.max())
    inside = torch.arange(longest) < words[..., None]
    shape = inside.shape
    mask = torch.where(inside, (torch.rand(shape, generator=g) < 0.33).long(), 2)
    return Sentences(
        torch.randn(*shape, TINY.word_channels, generator=g) * inside[..., None],
        words,
        torch.tensor(counts),
        torch.randint(4, TINY.vocabulary, shape, generator=g) * inside,
        mask,
        torch.randn(TINY.word_channels, generator=g),
        torch.rand(shape, generator=g) < 0.25,
    )


LENGTHS = [[7, 5, 9], [4, 9, 9]]
"""Two scenes with three sentences; the last sentence of the second scene fills up the batch."""
COUNTS = [3, 2]
