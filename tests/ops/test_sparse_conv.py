"""Sparse convolution: every path gives the reference's numbers, forward and gradient, and the reference those of a
dense convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import paths
from torch import Tensor

from g3d.kernels.sparse_conv import reference, weight_gradient_reference
from g3d.ops.sparse_conv import sparse_conv
from g3d.ops.sparse_rules import Rules, strided_rules, submanifold_rules
from g3d.ops.voxelize import points_to_sites, voxelize

REAL = paths.REAL / "scannet" / "votenet_npy" / "scene0000_00_vert.npy"
KINDS = ["submanifold", "pointwise", "strided", "inverse"]
SHAPE = (9, 8, 10)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def drawn_sites(count: int) -> Tensor:
    draw = torch.Generator().manual_seed(count)
    return voxelize(torch.stack([torch.randint(0, n, (count,), generator=draw) for n in (2, *SHAPE)], 1)).sites


def rules_of(kind: str, sites: Tensor) -> Rules:
    if kind in ("submanifold", "pointwise"):
        return submanifold_rules(sites, (3, 3, 3) if kind == "submanifold" else (1, 1, 1))
    rules = strided_rules(sites, SHAPE)[1]
    return rules if kind == "strided" else rules.inverse()


def drawn(rules: Rules, channels: tuple[int, int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Features, weight and a gradient of the output."""
    draw = torch.Generator().manual_seed(sum(channels))
    shapes = (len(rules.back_order), channels[0]), (len(rules.neighbours), *channels), (len(rules.order), channels[1])
    features, weight, gradient = (torch.randn(*shape, generator=draw).to(rules.order.device, dtype) for shape in shapes)
    return features, weight / channels[0] ** 0.5, gradient


def close(found: Tensor, expected: Tensor) -> None:
    """To float32's rounding of a sum of some hundred terms, relative to the largest."""
    largest = float(expected.detach().abs().max()) if expected.numel() else 1.0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6 * max(1.0, largest))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [(6, 32), (32, 32), (64, 96), (40, 7), (1, 1), (160, 33)])
def test_equals_reference_forward_and_gradient(device: str, kind: str, channels: tuple[int, int]) -> None:
    rules = rules_of(kind, drawn_sites(900).to(device))
    features, weight, gradient = drawn(rules, channels)
    features.requires_grad_()
    weight.requires_grad_()
    found = sparse_conv(features, weight, rules)
    expected = reference(features, weight, *rules)
    close(found, expected)
    for ours, plain in zip(
        *(torch.autograd.grad(out, (features, weight), gradient) for out in (found, expected)), strict=True
    ):
        close(ours, plain)


def test_equals_reference_on_a_real_scan(device: str) -> None:
    if not REAL.is_file():
        pytest.skip("the real ScanNet sample is not here")
    sites = voxelize(points_to_sites(torch.from_numpy(np.load(REAL)[:, :3]).to(device), 0.03)).sites
    for rules in (submanifold_rules(sites, (3, 3, 3)), strided_rules(sites, (1000, 1000, 1000))[1]):
        features, weight, gradient = drawn(rules, (6, 32))
        weight.requires_grad_()
        found = sparse_conv(features, weight, rules)
        close(found, reference(features, weight, *rules))
        expected = weight_gradient_reference(features.double(), gradient.double(), rules.neighbours, rules.order)
        close(torch.autograd.grad(found, weight, gradient)[0].double(), expected)


def dense(features: Tensor, sites: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(2, C, X, Y, Z), 0 where no site is."""
    grid = features.new_zeros(2, *shape, features.shape[1])
    return grid.index_put(tuple(sites.long().T), features).permute(0, 4, 1, 2, 3)


@pytest.mark.parametrize("size", [3, 5, 1])
def test_submanifold_is_a_dense_convolution_at_the_sites(size: int) -> None:
    sites = drawn_sites(500)
    rules = submanifold_rules(sites, (size,) * 3)
    features, weight, _ = drawn(rules, (5, 4), torch.float64)
    kernel = weight.view(size, size, size, 5, 4).permute(4, 3, 0, 1, 2)
    b, x, y, z = sites.long().T
    expected = F.conv3d(dense(features, sites, SHAPE), kernel, padding=size // 2)[b, :, x, y, z]
    close(sparse_conv(features, weight, rules), expected)
    close(sparse_conv(features.float(), weight.float(), rules), expected.float())


def test_strided_and_inverse_are_dense_convolutions_at_the_sites() -> None:
    sites = drawn_sites(300)
    coarse, rules = strided_rules(sites, SHAPE)
    features, weight, _ = drawn(rules, (5, 4), torch.float64)
    down = sparse_conv(features, weight, rules)
    b, x, y, z = coarse.long().T
    close(
        down,
        F.conv3d(dense(features, sites, SHAPE), weight.view(2, 2, 2, 5, 4).permute(4, 3, 0, 1, 2), stride=2)[
            b, :, x, y, z
        ],
    )
    up = sparse_conv(down, weight.transpose(1, 2), rules.inverse())
    kernel = weight.view(2, 2, 2, 5, 4).permute(4, 3, 0, 1, 2)  # conv_transpose3d reads (C_in, C_out, ...)
    whole = F.conv_transpose3d(dense(down, coarse, (4, 4, 5)), kernel, stride=2)
    b, x, y, z = sites.long().T
    close(up, F.pad(whole, (0, 0, 0, 0, 0, 1))[b, :, x, y, z])
    assert (x == 8).any()
    assert not up[x == 8].any()  # the odd plane has no coarse site


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_in_double_precision(device: str, kind: str) -> None:
    rules = rules_of(kind, drawn_sites(25).to(device))
    features, weight, _ = drawn(rules, (3, 2), torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, w: sparse_conv(x, w, rules), (features.requires_grad_(), weight.requires_grad_())
    )


def test_numbers_do_not_depend_on_the_number_of_threads() -> None:
    sites = voxelize(
        torch.randint(0, 40, (20000, 4), generator=torch.Generator().manual_seed(5)) // torch.tensor([40, 1, 1, 1])
    ).sites
    rules = submanifold_rules(sites, (3, 3, 3))
    features, weight, gradient = drawn(rules, (8, 40))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(submanifold_rules(sites, (3, 3, 3)).neighbours, rules.neighbours)
            x, w = features.clone().requires_grad_(), weight.clone().requires_grad_()
            out = sparse_conv(x, w, rules)
            results.append((out, *torch.autograd.grad(out, (x, w), gradient)))
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(device: str, dtype: torch.dtype) -> None:
    rules = rules_of("submanifold", drawn_sites(900).to(device))
    features, weight, gradient = drawn(rules, (32, 16), dtype)
    weight.requires_grad_()
    found = sparse_conv(features, weight, rules)
    assert found.dtype == dtype
    torch.testing.assert_close(
        found, reference(features.float(), weight.float(), *rules).to(dtype), rtol=1e-2, atol=1e-2
    )
    assert torch.autograd.grad(found, weight, gradient)[0].dtype == dtype


def test_autocast_casts_features_and_weight(device: str) -> None:
    rules = rules_of("submanifold", drawn_sites(50).to(device))
    features, weight, gradient = drawn(rules, (4, 4))
    weight.requires_grad_()
    with torch.autocast(device, torch.bfloat16):
        found = sparse_conv(features, weight, rules)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), sparse_conv(features, weight, rules), rtol=0.05, atol=0.05)
    (by_weight,) = torch.autograd.grad(found, weight, gradient.to(found.dtype))
    assert by_weight.dtype == torch.float32


def test_any_strides() -> None:
    rules = rules_of("submanifold", drawn_sites(300))
    features, weight, gradient = drawn(rules, (6, 32))
    expected = sparse_conv(features, weight, rules)
    transposed = Rules(*(table.T.contiguous().T if table.dim() == 2 else table for table in rules[:4]), rules.mirrored)
    spaced = weight.transpose(0, 2).contiguous().transpose(0, 2).requires_grad_()
    found = sparse_conv(features.T.contiguous().T, spaced, transposed)
    assert torch.equal(found, expected)
    (by_stride,) = torch.autograd.grad(found, spaced, gradient.T.contiguous().T)
    assert torch.equal(
        by_stride, torch.ops.g3d.sparse_conv_weight_gradient(features, gradient, rules.neighbours, rules.order)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1])
def test_no_site_and_one_site(device: str, kind: str, count: int) -> None:
    rules = rules_of(kind, torch.tensor([[1, 8, 0, 3]], dtype=torch.int32, device=device)[:count])  # on the odd plane
    features, weight, gradient = drawn(rules, (4, 5))
    weight.requires_grad_()
    found = sparse_conv(features, weight, rules)
    assert found.shape == (len(rules.order), 5)
    close(found, reference(features, weight, *rules))
    assert torch.autograd.grad(found, weight, gradient)[0].shape == weight.shape


def test_what_does_not_fit_is_refused() -> None:
    rules = rules_of("strided", drawn_sites(40))
    features, weight, _ = drawn(rules, (4, 5))
    with pytest.raises(ValueError, match=rf"features: expected floating point \({len(features)}, C_in\)"):
        sparse_conv(features[1:], weight, rules)
    with pytest.raises(
        ValueError, match=r"weight: expected torch.float32 \(8, 4, C_out\), found torch.float32 \(7, 4, 5\)"
    ):
        sparse_conv(features, weight[1:], rules)
    with pytest.raises(ValueError, match=r"weight: expected torch.float32 .* found torch.float64"):
        sparse_conv(features, weight.double(), rules)


def test_registration() -> None:
    rules = rules_of("strided", drawn_sites(40))
    features, weight, gradient = drawn(rules, (3, 4))
    torch.library.opcheck(torch.ops.g3d.sparse_conv, (features.requires_grad_(), weight.requires_grad_(), *rules))
    torch.library.opcheck(
        torch.ops.g3d.sparse_conv_weight_gradient, (features.detach(), gradient, rules.neighbours, rules.order)
    )


def test_compiles_as_one_graph() -> None:
    rules = rules_of("submanifold", drawn_sites(60))
    features, weight, _ = drawn(rules, (3, 4))
    compiled = torch.compile(lambda x, w: sparse_conv(x, w, rules).relu(), backend="aot_eager", fullgraph=True)
    close(compiled(features, weight), reference(features, weight, *rules).relu())
