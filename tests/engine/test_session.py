"""Placing a network on its device, in the memory layout that the system asks for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from g3d import config
from g3d.config import TrainConfig
from g3d.engine import session
from g3d.systems.base import get_system

CPU = torch.device("cpu")


class Mixed(nn.Module):
    """Weights of two, three, four and five dimensions, and a 4-D buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.line = nn.Linear(4, 4), nn.Conv1d(4, 4, 3)
        self.image, self.volume = nn.Conv2d(4, 4, 3), nn.Conv3d(4, 4, 3)
        self.register_buffer("map", torch.randn(1, 4, 3, 3))


def test_only_tensors_of_four_dimensions_change_their_layout() -> None:
    model = Mixed()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    identities = [id(parameter) for parameter in model.parameters()]
    placed = session.place(model, TrainConfig(batch=1), CPU, torch.channels_last)
    assert [id(parameter) for parameter in placed.parameters()] == identities
    for name, value in placed.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.is_contiguous() == (value.dim() != 4)
    four = [placed.image.weight, placed.map]
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in four)


def test_without_a_layout_nothing_changes() -> None:
    placed = session.place(Mixed(), TrainConfig(batch=1), CPU, None)
    assert all(value.is_contiguous() for value in placed.state_dict().values())


@pytest.mark.parametrize("preset", ["monodle", "jln"])
def test_image_systems_take_the_layout_of_the_preset(preset: str) -> None:
    for setting, layout in (("true", torch.channels_last), ("false", None)):
        chosen = config.load(preset, [f"train.channels_last={setting}"])
        assert get_system(chosen.system).layout(chosen) is layout
