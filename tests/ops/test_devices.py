"""Every operator with a Triton kernel gives on its device what its reference gives on a CPU: results, gradients,
autocast, and what tracing is told.

On the CPU the same tests run the Numba kernels. G3D_KERNELS=require makes a missing kernel an error here.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from g3d.ops.registry import OPERATORS, Operator, load_all

load_all()
NAMES = sorted(name for name, operator in OPERATORS.items() if operator.cuda)
DIFFERENTIABLE = ("ms_deform_attn", "rotated_iou", "sparse_conv", "three_interpolate")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("G3D_KERNELS", "require")
    return request.param


def example(name: str, device: str, gradient: bool = False) -> list[Any]:
    """Return the operator's example arguments on a device."""
    given = [a.to(device) if isinstance(a, Tensor) else a for a in OPERATORS[name].example()]
    return [
        a.detach().requires_grad_() if gradient and isinstance(a, Tensor) and a.is_floating_point() else a
        for a in given
    ]


def results(found: Any) -> tuple[Tensor, ...]:
    return (found,) if isinstance(found, Tensor) else tuple(found)


def assert_same(found: Tensor, expected: Tensor) -> None:
    """Integers are equal, others to 1e-4 of the largest."""
    found = found.cpu()
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if found.is_floating_point():
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    else:
        assert torch.equal(found, expected)


def operator(name: str) -> Operator:
    return OPERATORS[name]


@pytest.mark.parametrize("name", NAMES)
def test_results_are_those_of_the_reference_on_a_cpu(name: str, device: str) -> None:
    expected = results(operator(name).reference(*example(name, "cpu")))
    found = results(operator(name)(*example(name, device)))
    for got, wanted in zip(found, expected, strict=True):
        assert got.device.type == device
        assert_same(got, wanted)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_those_of_the_reference_on_a_cpu(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients(place: str) -> list[Tensor]:
        given = example(name, place, gradient=True)
        out = operator(name)(*given)
        upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(5)).to(out)
        leaves = [a for a in given if isinstance(a, Tensor) and a.requires_grad]
        return list(torch.autograd.grad(out, leaves, upstream))

    found = gradients(device)
    monkeypatch.setenv("G3D_KERNELS", "reference")
    expected = gradients("cpu")
    assert found
    for got, wanted in zip(found, expected, strict=True):
        assert wanted.any()
        assert_same(got, wanted)


def test_every_operator_with_a_gradient_is_differentiated_here() -> None:
    registered = {n for n in NAMES if torch._C._dispatch_has_kernel_for_dispatch_key(f"g3d::{n}", "Autograd")}
    refusing = {name for name in NAMES if name.endswith(("_backward", "_gradient"))}  # they raise on double backward
    assert registered - refusing == set(DIFFERENTIABLE)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_leaves_operators_as_they_are(name: str, device: str) -> None:
    """The functions in g3d.ops and g3d.nn decide what may be rounded, and not autocast."""
    given = example(name, device)
    expected = results(operator(name)(*given))
    with torch.autocast(device, torch.bfloat16):
        found = results(operator(name)(*given))
    for got, wanted in zip(found, expected, strict=True):
        assert_same(got, wanted.cpu())


@pytest.mark.parametrize("name", NAMES)
def test_tracing_is_told_the_truth(name: str, device: str) -> None:
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(operator(name).definition, tuple(example(name, device)), test_utils=checks)
