"""Layers on rows equal convolutions and batch norms on (B, C, N) features, and folded norms equal norms."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from g3d.nn.pointwise import SharedMLP, folded, linear_norm_relu, norm_relu


def normed(channels: int) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(channels)
    for values, low in ((norm.weight, -1.0), (norm.bias, -1.0), (norm.running_mean, -1.0), (norm.running_var, 0.1)):
        nn.init.uniform_(values, low, 2.0)
    return norm


@pytest.mark.parametrize("bias", [False, True])
def test_a_folded_norm_equals_the_norm(bias: bool) -> None:
    torch.manual_seed(0)
    linear, norm = nn.Linear(5, 7, bias=bias).double(), normed(7).double().eval()
    x = torch.randn(11, 5, dtype=torch.float64)
    weight, offset = folded(linear.weight, linear.bias, norm)
    torch.testing.assert_close(x @ weight.T + offset, norm(linear(x)))


@pytest.mark.parametrize("training", [False, True])
def test_linear_norm_relu_equals_the_three_layers(training: bool) -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv1d(5, 7, 1), normed(7).train(training)
    other_conv, other_norm = copy.deepcopy(conv), copy.deepcopy(norm)
    x = torch.randn(2, 9, 5, requires_grad=True)
    found = linear_norm_relu(x, conv, norm)
    expected = other_norm(other_conv(x.transpose(1, 2))).relu().transpose(1, 2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm.running_var, other_norm.running_var)
    upstream = torch.randn_like(found)
    ours = torch.autograd.grad(found, [x, conv.weight, norm.weight, norm.bias], upstream)
    theirs = torch.autograd.grad(expected, [x, other_conv.weight, other_norm.weight, other_norm.bias], upstream)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_statistics_are_over_all_rows() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 6)
    found = norm_relu(x, nn.BatchNorm1d(6))
    expected = nn.BatchNorm2d(6)(x.permute(0, 3, 1, 2)).relu().permute(0, 2, 3, 1)
    torch.testing.assert_close(found, expected)


def test_a_shared_mlp_has_the_published_names_and_shapes() -> None:
    shapes = {name: tuple(value.shape) for name, value in SharedMLP((4, 8, 16)).named_parameters()}
    assert shapes == {
        "layer0.conv.weight": (8, 4, 1, 1),
        "layer0.bn.bn.weight": (8,),
        "layer0.bn.bn.bias": (8,),
        "layer1.conv.weight": (16, 8, 1, 1),
        "layer1.bn.bn.weight": (16,),
        "layer1.bn.bn.bias": (16,),
    }


def test_a_synchronised_norm_runs_as_its_own_module() -> None:
    class Synchronised(nn.BatchNorm1d):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            type(self).calls += 1
            return super().forward(x)

    norm, plain = Synchronised(6), nn.BatchNorm1d(6)
    x = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(norm_relu(x, norm), norm_relu(x, plain), atol=1e-5, rtol=1e-5)
    assert Synchronised.calls == 1


def test_half_precision_learns_in_its_own_module() -> None:
    norm = nn.BatchNorm1d(6)
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    found = norm_relu(x.bfloat16(), norm)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), norm_relu(x, nn.BatchNorm1d(6)), atol=0.03, rtol=0.03)
    torch.testing.assert_close(norm.running_mean, 0.1 * x.mean(0), atol=1e-3, rtol=1e-2)
