"""Interpolation from three neighbours: values and gradients are the reference's, and each rule has its own test."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from g3d.kernels.three_interpolate import backward_reference, reference
from g3d.ops.three_interpolate import three_interpolate


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def example(
    clouds: int, channels: int, known: int, points: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    features = torch.randn(clouds, channels, known, generator=draw, dtype=dtype)
    weights = torch.rand(clouds, points, 3, generator=draw, dtype=dtype)
    return features, torch.randint(0, known, (clouds, points, 3), generator=draw), weights


@pytest.mark.parametrize(
    "sizes", [(2, 5, 30, 700), (1, 70, 3, 10), (1, 2, 1, 1), (3, 0, 4, 5), (1, 2, 4, 0), (0, 2, 4, 3)]
)
def test_equals_reference(device: str, sizes: tuple[int, int, int, int]) -> None:
    features, indices, weights = (tensor.to(device) for tensor in example(*sizes))
    assert torch.equal(three_interpolate(features, indices, weights), reference(features, indices, weights))


@pytest.mark.parametrize("sizes", [(2, 5, 30, 700), (1, 70, 3, 10), (3, 0, 4, 5), (1, 2, 4, 0), (0, 2, 4, 3)])
def test_gradients_equal_the_reference(device: str, sizes: tuple[int, int, int, int]) -> None:
    features, indices, weights = (tensor.to(device) for tensor in example(*sizes))
    result = three_interpolate(features.requires_grad_(), indices, weights.requires_grad_())
    gradient = torch.randn_like(result)
    found = torch.autograd.grad(result, (features, weights), gradient)
    for ours, expected in zip(
        found, backward_reference(gradient, features.detach(), indices, weights.detach()), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_finite_differences(device: str) -> None:
    features, indices, weights = (tensor.to(device) for tensor in example(2, 3, 6, 7, torch.float64))
    assert torch.autograd.gradcheck(three_interpolate, (features.requires_grad_(), indices, weights.requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(device: str, dtype: torch.dtype) -> None:
    features, indices, weights = (tensor.to(device) for tensor in example(2, 5, 30, 100))
    half = features.to(dtype).requires_grad_()
    result = three_interpolate(half, indices, weights)
    assert torch.equal(result, reference(half.detach().float(), indices, weights).to(dtype))
    result.sum().backward()
    assert half.grad is not None
    assert half.grad.dtype == dtype


def test_neighbour_without_weight_adds_nothing() -> None:
    features = torch.tensor([[[1.0, 10, 100]]])
    assert three_interpolate(features, torch.tensor([[[0, 1, 2]]]), torch.tensor([[[0.5, 0.5, 0.0]]])).tolist() == [
        [[5.5]]
    ]


def test_result_does_not_depend_on_threads() -> None:
    features, indices, weights = example(1, 7, 9, 1000)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            inputs = features.clone().requires_grad_(), weights.clone().requires_grad_()
            result = three_interpolate(inputs[0], indices, inputs[1])
            found.append((result.detach(), *torch.autograd.grad(result.square().sum(), inputs)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_input_need_not_be_contiguous(device: str) -> None:
    features, indices, weights = (tensor.to(device) for tensor in example(2, 5, 30, 100))
    strided = [features.transpose(1, 2).contiguous().transpose(1, 2), indices.flip(2).flip(2)[:, ::2], weights[:, ::2]]
    assert torch.equal(three_interpolate(*strided), reference(features, indices[:, ::2], weights[:, ::2]))


def test_bad_arguments_are_named() -> None:
    features, indices, weights = example(2, 5, 30, 10)
    with pytest.raises(ValueError, match=r"features: expected \(B, C, M\) floating point, found \(5, 30\)"):
        three_interpolate(features[0], indices, weights)
    with pytest.raises(ValueError, match=r"indices: expected \(2, N, 3\) int64, found \(2, 10, 3\) torch.int32"):
        three_interpolate(features, indices.int(), weights)
    with pytest.raises(ValueError, match=r"weights: expected \(2, 10, 3\) floating point, found \(2, 10, 2\)"):
        three_interpolate(features, indices, weights[..., :2])
    with pytest.raises(ValueError, match=r"indices: expected 0..29, found \d+..30"):
        three_interpolate(features, torch.where(indices == indices.max(), 30, indices), weights)


def test_registration(device: str) -> None:
    features, indices, weights = (tensor.to(device) for tensor in example(1, 3, 5, 8))
    torch.library.opcheck(
        torch.ops.g3d.three_interpolate, (features.requires_grad_(), indices, weights.requires_grad_())
    )
    arguments = (torch.rand(1, 3, 8, device=device), features.detach(), indices, weights.detach())
    torch.library.opcheck(torch.ops.g3d.three_interpolate_backward, arguments)
