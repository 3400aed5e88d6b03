"""The settings of both detectors' networks: published defaults, and what they refuse."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from g3d.systems.groupfree.config import ModelConfig
from g3d.systems.groupfree.model import build


def test_the_defaults_are_the_published_l6_o256() -> None:
    network = build(ModelConfig())
    assert sum(p.numel() for p in network.parameters()) == 14_474_113
    assert (len(network.decoder), network.proposals) == (6, 256)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 30}, "channels must be a multiple of heads"),
        ({"width": 0.3}, "width must be a multiple of 1/64"),
        ({"proposals": 2000}, "proposals must be at most the second of samples"),
        ({"queries": 3}, "queries"),
    ],
)
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**settings)
