"""The settings of VoteNet's network: published defaults, and what they refuse."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from g3d.systems.votenet.config import ModelConfig
from g3d.systems.votenet.model import build


def test_the_defaults_are_the_published_network() -> None:
    assert sum(p.numel() for p in build(ModelConfig()).parameters()) == 953_828


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 33}, "channels must be even"),
        ({"width": 0.3}, "width must be a multiple of 1/64"),
        ({"sampling": "random"}, "sampling"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**settings)
