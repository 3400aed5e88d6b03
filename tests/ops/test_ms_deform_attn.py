"""Deformable attention: every path gives the reference's result and gradients, the same on any number of threads."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from g3d.kernels.ms_deform_attn import BLOCK, CHUNK, reference, reference_backward
from g3d.ops.ms_deform_attn import ms_deform_attn
from g3d.ops.registry import OPERATORS

Arguments = tuple[Tensor, list[tuple[int, int]], Tensor, Tensor]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def threads() -> Iterator[None]:
    """Gives the number of threads back after a test that changes it."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def draw(
    batch: int,
    queries: int,
    heads: int,
    channels: int,
    points: int,
    shapes: list[tuple[int, int]],
    dtype: torch.dtype,
    device: str = "cpu",
) -> Arguments:
    """Locations in -0.25..1.25, none so near a pixel's centre that rounding decides on which side: gradients jump
    there."""
    rng = torch.Generator().manual_seed(3)
    samples = (batch, queries, heads, len(shapes), points)
    value = torch.randn(batch, sum(h * w for h, w in shapes), heads, channels, generator=rng, dtype=torch.float64)
    size = torch.tensor([[w, h] for h, w in shapes])[:, None]
    places = torch.rand(*samples, 2, generator=rng, dtype=torch.float64) * 1.5 * size - 0.25 * size
    places = places.floor() + 0.5 + places.frac().abs() * 0.9 + 0.05
    weights = torch.rand(samples, generator=rng, dtype=torch.float64)
    return value.to(device, dtype), shapes, (places / size).to(device, dtype), weights.to(device, dtype)


def gradients(arguments: Arguments, grad: Tensor) -> tuple[Tensor, ...]:
    value, shapes, locations, weights = arguments
    leaves = [t.detach().requires_grad_() for t in (value, locations, weights)]
    return torch.autograd.grad(ms_deform_attn(leaves[0], shapes, *leaves[1:]), leaves, grad)


CASES = [
    pytest.param((2, 40, 8, 32, 4, [(12, 40), (6, 20), (3, 10), (2, 5)]), id="published widths"),
    pytest.param((1, 2 * BLOCK + 3, 2, 64, 4, [(4, 5), (2, 3)]), id="head by head, two vectors of channels"),
    pytest.param((2, 7, 3, 8, 4, [(5, 4)]), id="narrow heads"),
    pytest.param((1, 9, 2, 5, 3, [(4, 3), (1, 1)]), id="channels one by one, a map of one pixel"),
    pytest.param((1, 6, 2, 16, CHUNK + 3, [(3, 4), (1, 7)]), id="more samples than a chunk"),
    pytest.param((1, 1, 1, 1, 1, [(2, 2)]), id="one of everything"),
]


@pytest.mark.parametrize("case", CASES)
def test_equals_reference(device: str, case: tuple) -> None:
    value, shapes, locations, weights = draw(*case, torch.float32, device)
    flat = [size for shape in shapes for size in shape]
    exact = [t.double() for t in (value, locations, weights)]
    found, expected = ms_deform_attn(value, shapes, locations, weights), reference(exact[0], flat, *exact[1:])
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=2e-5)
    grad = torch.randn(found.shape, generator=torch.Generator().manual_seed(4)).to(device)
    wanted = reference_backward(grad.double(), exact[0], flat, *exact[1:])
    for got, want in zip(gradients((value, shapes, locations, weights), grad), wanted, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=2e-5 * want.abs().max().item())


@pytest.mark.parametrize("case", [(2, 5, 2, 8, 2, [(3, 4), (2, 1)]), (1, 3, 1, 8, 1, [(2, 3)])])
def test_gradient_is_the_derivative(device: str, case: tuple) -> None:
    value, shapes, locations, weights = draw(*case, torch.float64)
    leaves = [t.to(device).requires_grad_() for t in (value, locations, weights)]
    # on CUDA atomic additions come in any order
    assert torch.autograd.gradcheck(
        lambda v, p, w: ms_deform_attn(v, shapes, p, w), leaves, nondet_tol=0 if device == "cpu" else 1e-12
    )


def test_reference_gradient_is_that_of_autograd() -> None:
    value, shapes, locations, weights = draw(2, 5, 2, 4, 2, [(3, 4), (2, 1)], torch.float64)
    flat = [size for shape in shapes for size in shape]
    leaves = [t.requires_grad_() for t in (value, locations, weights)]
    result = reference(leaves[0], flat, *leaves[1:])
    grad = torch.randn_like(result)
    wanted = torch.autograd.grad(result, leaves, grad)
    for got, want in zip(reference_backward(grad, value, flat, locations, weights), wanted, strict=True):
        torch.testing.assert_close(got, want)


def test_any_number_of_threads_gives_the_same_bits(threads: None) -> None:
    arguments = draw(2, 2 * BLOCK + 1, 3, 32, 4, [(9, 11), (4, 5)], torch.float32)
    grad = torch.randn(2, 2 * BLOCK + 1, 96, generator=torch.Generator().manual_seed(4))
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append((ms_deform_attn(*arguments), *gradients(arguments, grad)))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_layout_in_memory_does_not_matter(device: str) -> None:
    value, shapes, locations, weights = draw(2, 9, 2, 8, 4, [(5, 4)], torch.float32, device)
    expected = ms_deform_attn(value, shapes, locations, weights)
    apart = [torch.stack([t, t], -1)[..., 0] for t in (value, locations, weights)]
    assert not any(t.is_contiguous() for t in apart)
    assert torch.equal(ms_deform_attn(apart[0], shapes, *apart[1:]), expected)
    transposed = value.transpose(1, 3).contiguous().transpose(1, 3)
    grad = torch.ones(1, device=device).expand_as(expected)
    found, wanted = (
        gradients((transposed, shapes, *apart[1:]), grad),
        gradients((value, shapes, locations, weights), grad),
    )
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_maps_are_summed_in_float32(device: str, dtype: torch.dtype) -> None:
    value, shapes, locations, weights = draw(1, 9, 2, 8, 4, [(5, 4)], torch.float32, device)
    value = value.to(dtype)
    found = ms_deform_attn(value, shapes, locations, weights)
    assert found.dtype == dtype
    torch.testing.assert_close(
        found, ms_deform_attn(value.float(), shapes, locations, weights).to(dtype), rtol=1e-2, atol=1e-3
    )
    to_value, to_locations, to_weights = gradients((value, shapes, locations, weights), torch.ones_like(found))
    assert (to_value.dtype, to_locations.dtype, to_weights.dtype) == (dtype, torch.float32, torch.float32)
    half = gradients((value, shapes, locations.to(dtype), weights.to(dtype)), torch.ones_like(found))
    assert {g.dtype for g in half} == {dtype}


def test_what_is_not_finite_or_far_away_is_outside(device: str) -> None:
    value, shapes, locations, weights = draw(1, 6, 1, 8, 1, [(5, 4)], torch.float32, device)
    locations[0, :, 0, 0, 0, 0] = torch.tensor([float("nan"), float("inf"), -float("inf"), 3e38, -1e20, 2.0**31])
    assert torch.equal(ms_deform_attn(value, shapes, locations, weights), torch.zeros(1, 6, 8, device=device))
    assert torch.equal(reference(value, [5, 4], locations, weights), torch.zeros(1, 6, 8, device=device))
    for gradient in gradients((value, shapes, locations, weights), torch.ones(1, 6, 8, device=device)):
        assert not gradient.any()


def test_a_weight_that_is_no_number_is_not_hidden(device: str) -> None:
    value, shapes, locations, weights = draw(1, 2, 1, 8, 2, [(5, 4)], torch.float32, device)
    weights[0, 0], locations[0, 0] = float("nan"), float("nan")
    found = ms_deform_attn(value, shapes, locations, weights)
    assert found[0, 0].isnan().all()
    assert not found[0, 1].isnan().any()


def test_pixel_centres_are_at_half_integers(device: str) -> None:
    value = torch.arange(6.0, device=device).view(1, 6, 1, 1)
    place = torch.tensor([[0.5 / 3, 0.25], [2.5 / 3, 0.75], [0.5, 0.5], [0.0, 0.25], [-0.5 / 3, 0.25]], device=device)
    found = ms_deform_attn(value, [(2, 3)], place.view(1, 5, 1, 1, 1, 2), torch.ones(1, 5, 1, 1, 1, device=device))
    torch.testing.assert_close(found.flatten(), torch.tensor([0.0, 5.0, 2.5, 0.0, 0.0], device=device))


@pytest.mark.parametrize(("batch", "queries", "points"), [(0, 3, 2), (2, 0, 2), (2, 3, 0)])
def test_nothing_to_sample(device: str, batch: int, queries: int, points: int) -> None:
    value, shapes, locations, weights = draw(batch, queries, 2, 8, points, [(2, 3)], torch.float32, device)
    found = ms_deform_attn(value, shapes, locations, weights)
    assert torch.equal(found, torch.zeros(batch, queries, 16, device=device))
    for gradient, of in zip(
        gradients((value, shapes, locations, weights), found), (value, locations, weights), strict=True
    ):
        assert torch.equal(gradient, torch.zeros_like(of))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": torch.zeros(1, 6, 16)}, r"value: expected \(B, S, H, D > 0\), found \(1, 6, 16\)"),
        ({"shapes": [(2, 4)]}, r"value: expected 8 positions as the levels \[\(2, 4\)\] have, found 6"),
        ({"shapes": []}, "shapes: expected at least one height and width above 0"),
        (
            {"locations": torch.zeros(1, 4, 2, 2, 3, 2)},
            r"locations: expected \(1, Q, 2, 1, P, 2\), found \(1, 4, 2, 2, 3, 2\)",
        ),
        ({"weights": torch.zeros(1, 4, 2, 1, 2)}, r"weights: expected \(1, 4, 2, 1, 3\), found \(1, 4, 2, 1, 2\)"),
        (
            {"weights": torch.zeros(1, 4, 2, 1, 3, dtype=torch.int64)},
            "weights: expected a floating dtype, found torch.int64",
        ),
        ({"value": torch.zeros(1, 6, 2, 8, device="meta")}, "locations: expected on meta as value, found on cpu"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    value, shapes, locations, weights = draw(1, 4, 2, 8, 3, [(2, 3)], torch.float32)
    with pytest.raises(ValueError, match=message):
        ms_deform_attn(**({"value": value, "shapes": shapes, "locations": locations, "weights": weights} | change))


def test_shapes_may_be_a_tensor_as_in_published_code() -> None:
    value, shapes, locations, weights = draw(1, 4, 2, 8, 3, [(2, 3), (1, 2)], torch.float32)
    expected = ms_deform_attn(value, shapes, locations, weights)
    assert torch.equal(ms_deform_attn(value, torch.tensor(shapes), locations, weights), expected)


def test_registration() -> None:
    for name in ("ms_deform_attn", "ms_deform_attn_backward"):
        arguments = OPERATORS[name].example()
        torch.library.opcheck(getattr(torch.ops.g3d, name), arguments)
    value, shapes, locations, weights = OPERATORS["ms_deform_attn"].example()
    leaves = [t.requires_grad_() for t in (value, locations, weights)]
    torch.library.opcheck(torch.ops.g3d.ms_deform_attn, (leaves[0], shapes, *leaves[1:]))


@pytest.mark.slow
def test_speed_of_an_encoder_layer(threads: None) -> None:
    """10,200 queries on one thread in well under a tenth of the 404 ms that grid_sample takes: the vectors are
    there."""
    torch.set_num_threads(1)
    arguments = draw(1, 10_200, 8, 32, 4, [(48, 160), (24, 80), (12, 40), (6, 20)], torch.float32)
    ms_deform_attn(*arguments)
    times = []
    for _ in range(5):
        began = time.process_time()
        ms_deform_attn(*arguments)
        times.append(time.process_time() - began)
    assert min(times) < 0.08
