"""The bottleneck ResNet: names, sizes, folded norms, frozen stages."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from g3d.nn.resnet import FrozenBatchNorm2d, ResNet, conv_norm


def filled(norm: nn.Module) -> nn.Module:
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name).data.uniform_(0.5, 1.5)
    return norm


def test_names_and_shapes_are_torchvisions() -> None:
    state = ResNet(norm="batch").state_dict()
    assert (
        sum(value.numel() for name, value in state.items() if "running" not in name and "num_batches" not in name)
        == 23_508_032
    )
    assert {
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.downsample.1.bias",
        "layer3.5.bn3.weight",
        "layer4.2.conv3.weight",
    } <= set(state)
    assert state["layer4.0.downsample.0.weight"].shape == (2048, 1024, 1, 1)
    assert set(ResNet().state_dict()) == {name for name in state if not name.endswith("num_batches_tracked")}


def test_features_are_those_of_strides_8_16_32() -> None:
    backbone = ResNet((1, 2, 1, 1), 4)
    assert backbone.channels == (32, 64, 128)
    assert [tuple(level.shape) for level in backbone(torch.randn(2, 3, 64, 96))] == [
        (2, 32, 8, 12),
        (2, 64, 4, 6),
        (2, 128, 2, 3),
    ]


@pytest.mark.parametrize("make_norm", [FrozenBatchNorm2d, nn.BatchNorm2d])
def test_a_folded_norm_is_the_norm(make_norm: type[nn.Module]) -> None:
    torch.manual_seed(0)
    convolution, norm, x = nn.Conv2d(3, 5, 3, 2, 1, bias=False), filled(make_norm(5)).eval(), torch.randn(2, 3, 8, 9)
    reference = filled(nn.BatchNorm2d(5)).eval()
    reference.load_state_dict(reference.state_dict() | norm.state_dict())  # a frozen norm does not count batches
    expected = reference(convolution(x))
    torch.testing.assert_close(conv_norm(x, convolution, norm), expected)
    torch.testing.assert_close(norm(convolution(x)), expected)
    weight = torch.randn_like(expected)
    torch.testing.assert_close(
        *(
            torch.autograd.grad((value * weight).sum(), convolution.weight)[0]
            for value in (conv_norm(x, convolution, norm), expected)
        )
    )


def test_frozen_norms_are_buffers_and_do_not_move() -> None:
    backbone = ResNet((1, 1, 1, 1), 4).train()
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    sum(level.sum() for level in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())
    assert not any("bn" in name or "downsample.1" in name for name, _ in backbone.named_parameters())


@pytest.mark.parametrize(
    ("stages", "frozen"),
    [
        (0, set()),
        (1, {"conv1", "bn1"}),
        (2, {"conv1", "bn1", "layer1"}),
        (5, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
    ],
)
def test_frozen_stages_take_no_gradient_and_keep_their_statistics(stages: int, frozen: set[str]) -> None:
    backbone = ResNet((1, 1, 1, 1), 4, "batch", stages).train()
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    levels = backbone(torch.randn(2, 3, 64, 64))
    if stages < 5:
        sum(level.sum() for level in levels).backward()
    untrained = {name.split(".")[0] for name, p in backbone.named_parameters() if p.grad is None}
    still = {name.split(".")[0] for name, value in backbone.named_buffers() if torch.equal(value, before[name])}
    assert untrained == frozen
    assert still == frozen - {"conv1"}
