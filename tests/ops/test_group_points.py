"""Grouping and gathering: values and gradients are the reference's, and each rule has its own test."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from g3d.kernels.group_points import backward_reference, reference
from g3d.ops.group_points import gather_points, group_points


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def example(
    clouds: int, channels: int, points: int, found: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    return torch.randn(clouds, channels, points, generator=draw, dtype=dtype), torch.randint(
        0, points, (clouds, found), generator=draw
    )


@pytest.mark.parametrize(
    "sizes", [(2, 5, 30, 700), (1, 70, 300, 10), (1, 1, 1, 1), (3, 0, 4, 5), (1, 2, 4, 0), (0, 2, 4, 3)]
)
def test_equals_reference(device: str, sizes: tuple[int, int, int, int]) -> None:
    features, indices = (tensor.to(device) for tensor in example(*sizes))
    assert torch.equal(gather_points(features, indices), reference(features, indices))


def test_grouping_keeps_the_shape_of_the_balls(device: str) -> None:
    features, indices = (tensor.to(device) for tensor in example(2, 5, 30, 24))
    grouped = group_points(features, indices.view(2, 8, 3))
    assert grouped.shape == (2, 5, 8, 3)
    for cloud in range(2):
        assert torch.equal(grouped[cloud], features[cloud][:, indices[cloud].view(8, 3)])


@pytest.mark.parametrize("sizes", [(2, 5, 30, 700), (1, 70, 300, 10), (3, 0, 4, 5), (1, 2, 4, 0), (0, 2, 4, 3)])
def test_gradient_equals_the_reference(device: str, sizes: tuple[int, int, int, int]) -> None:
    features, indices = (tensor.to(device) for tensor in example(*sizes))
    result = gather_points(features.requires_grad_(), indices)
    gradient = torch.randn_like(result)
    found = torch.autograd.grad(result, features, gradient)[0]
    torch.testing.assert_close(found, backward_reference(gradient, indices, sizes[2]), rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_finite_differences(device: str) -> None:
    features, indices = (tensor.to(device) for tensor in example(2, 3, 6, 12, torch.float64))
    assert torch.autograd.gradcheck(gather_points, (features.requires_grad_(), indices))
    assert torch.autograd.gradcheck(group_points, (features, indices.view(2, 3, 4)))


def test_gradient_of_a_point_chosen_twice_is_the_sum() -> None:
    features = torch.zeros(1, 1, 3, requires_grad=True)
    gather_points(features, torch.tensor([[2, 0, 2]])).backward(torch.tensor([[[1.0, 2, 4]]]))
    assert features.grad is not None
    assert features.grad.tolist() == [[[2, 0, 5]]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_float32(device: str, dtype: torch.dtype) -> None:
    features = torch.zeros(1, 1, 1, dtype=dtype, device=device, requires_grad=True)
    result = gather_points(features, torch.zeros(1, 5000, dtype=torch.int64, device=device))
    assert result.dtype == dtype
    result.backward(torch.ones_like(result))
    assert features.grad is not None
    assert features.grad.item() == torch.tensor(5000.0).to(dtype).item()  # one by one, bfloat16 would stay at 256


def test_result_does_not_depend_on_threads() -> None:
    features, indices = example(1, 7, 9, 1000)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            own = features.clone().requires_grad_()
            result = gather_points(own, indices)
            found.append((result.detach(), torch.autograd.grad(result.pow(3).sum(), own)[0]))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_input_need_not_be_contiguous(device: str) -> None:
    features, indices = (tensor.to(device) for tensor in example(2, 5, 30, 100))
    strided = features.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(gather_points(strided, indices[:, ::3]), reference(features, indices[:, ::3]))


def test_bad_arguments_are_named() -> None:
    features, indices = example(2, 5, 30, 12)
    with pytest.raises(ValueError, match=r"features: expected \(B, C, N\) floating point, found \(5, 30\)"):
        gather_points(features[0], indices)
    with pytest.raises(ValueError, match=r"indices: expected \(2, M\) int64, found \(2, 12\) torch.int32"):
        gather_points(features, indices.int())
    with pytest.raises(ValueError, match=r"indices: expected \(2, M, K\) int64, found \(2, 12\)"):
        group_points(features, indices)
    with pytest.raises(ValueError, match=r"indices: expected \(2, M\) int64, found \(1, 12\)"):
        gather_points(features, indices[:1])
    with pytest.raises(ValueError, match=r"indices: expected 0..29, found -1..\d+"):
        gather_points(features, torch.where(indices == indices.min(), -1, indices))
    with pytest.raises(ValueError, match=r"indices: expected 0..-1"):
        gather_points(features[..., :0], indices)


def test_registration(device: str) -> None:
    features, indices = (tensor.to(device) for tensor in example(1, 3, 5, 8))
    torch.library.opcheck(torch.ops.g3d.group_points, (features.requires_grad_(), indices))
    torch.library.opcheck(torch.ops.g3d.group_points_backward, (torch.rand(1, 3, 8, device=device), indices, 5))
