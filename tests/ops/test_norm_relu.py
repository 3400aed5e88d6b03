"""`norm_relu` equals torch's batch norm and ReLU, with exact statistics and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from g3d.kernels import norm_relu as kernel
from g3d.nn.pointwise import norm_relu as of_module
from g3d.ops.norm_relu import norm_relu


def drawn(rows: int, channels: int, dtype: torch.dtype = torch.float64, mean: float = 0.3) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, channels, generator=draw, dtype=torch.float64) + mean
    weight, bias = (torch.randn(channels, generator=draw, dtype=torch.float64) for _ in range(2))
    return tuple(values.to(dtype).requires_grad_() for values in (x, weight, bias))


@pytest.mark.parametrize("rows", [2, kernel.BLOCK - 1, kernel.BLOCK, 3 * kernel.BLOCK + 1])
def test_equals_torch_forward_and_gradient(rows: int) -> None:
    x, weight, bias = drawn(rows, 7)
    found, mean, variance = norm_relu(x, weight, bias, 1e-5)
    expected = torch.nn.functional.batch_norm(x, None, None, weight, bias, True, 0.1, 1e-5).relu()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(mean, x.mean(0))
    torch.testing.assert_close(variance, x.var(0, correction=0))
    assert not mean.requires_grad
    upstream = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad(found, [x, weight, bias], upstream),
        torch.autograd.grad(expected, [x, weight, bias], upstream),
        atol=1e-9,
        rtol=1e-7,
    )


@pytest.mark.parametrize("choice", ["require", "reference"])
def test_gradient_is_that_of_differences(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_KERNELS", choice)
    assert torch.autograd.gradcheck(lambda *a: norm_relu(*a, 1e-3)[0], drawn(9, 3), atol=1e-6)


def test_statistics_stay_exact_where_the_mean_is_large() -> None:
    x, weight, bias = (values.detach() for values in drawn(40_000, 4, torch.float32, mean=300.0))
    found, mean, variance = norm_relu(x, weight, bias, 1e-5)
    wide = x.double()
    torch.testing.assert_close(mean.double(), wide.mean(0), rtol=1e-7, atol=0)
    torch.testing.assert_close(variance.double(), wide.var(0, correction=0), rtol=1e-4, atol=0)
    expected = torch.nn.functional.batch_norm(wide, None, None, weight.double(), bias.double(), True).relu()
    assert float((found - expected).abs().max()) < 2e-4  # x itself has steps of 3e-5


def test_threads_change_no_bit() -> None:
    x, weight, bias = drawn(5000, 6, torch.float32)
    results = []
    threads = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        found, mean, variance = norm_relu(x, weight, bias, 1e-5)
        results.append((found, mean, variance, *torch.autograd.grad(found.square().sum(), [x, weight, bias])))
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_strided_rows_and_gradients_are_read_right() -> None:
    x, weight, bias = drawn(50, 4)
    wide = torch.cat([x, x], 1).detach()[:, ::2].requires_grad_()
    found = norm_relu(wide, weight, bias, 1e-5)[0]
    other = norm_relu(wide.detach().contiguous().requires_grad_(), weight, bias, 1e-5)[0]
    assert torch.equal(found, other)
    (gradient,) = torch.autograd.grad(found.sum(), [weight])  # an expanded upstream gradient
    (expected,) = torch.autograd.grad(other, [weight], torch.ones_like(other))
    torch.testing.assert_close(gradient, expected)


def test_a_module_updates_its_statistics_as_torch_does() -> None:
    x = drawn(300, 5, torch.float32)[0].detach()
    ours, torchs = nn.BatchNorm1d(5, momentum=0.3), nn.BatchNorm1d(5, momentum=0.3)
    for _ in range(3):
        torch.testing.assert_close(of_module(x, ours), torchs(x).relu(), atol=1e-5, rtol=1e-5)
        x = x * 2 + 1
    torch.testing.assert_close(dict(ours.named_buffers()), dict(torchs.named_buffers()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(5, momentum=None), nn.BatchNorm1d(5, affine=False)])
def test_other_modules_run_as_they_are(norm: nn.BatchNorm1d) -> None:
    x = drawn(30, 5, torch.float32)[0].detach()
    found = of_module(x.view(2, 15, 5), norm)
    assert int(norm.num_batches_tracked) == 1
    normed = (x - x.mean(0)) / (x.var(0, correction=0) + norm.eps).sqrt()
    torch.testing.assert_close(found.view(30, 5), normed.relu(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        norm.running_mean, x.mean(0) * (1.0 if norm.momentum is None else norm.momentum), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(3)}, r"x: expected \(N, C\) float32 or float64, found \(3,\)"),
        ({"x": torch.ones(3, 4, dtype=torch.bfloat16)}, "found .* torch.bfloat16"),
        ({"x": torch.ones(1, 4)}, "at least 2 rows for statistics, found 1"),
        ({"weight": torch.ones(3)}, r"weight: expected \(4,\) torch.float32 on cpu, found \(3,\)"),
        ({"bias": torch.ones(4, dtype=torch.float64)}, r"bias: expected \(4,\) torch.float32 .* torch.float64"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Tensor], message: str) -> None:
    arguments = {"x": torch.ones(3, 4), "weight": torch.ones(4), "bias": torch.ones(4)} | change
    with pytest.raises(ValueError, match=message):
        norm_relu(**arguments, eps=1e-5)
