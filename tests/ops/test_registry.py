"""The library of operators: what G3D_KERNELS chooses, what happens where a fast path cannot run, and that every
operator is complete."""

from __future__ import annotations

import logging
import sys

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from g3d.errors import EnvironmentProblem, InputError
from g3d.kernels.compiled import KernelUnavailable
from g3d.ops import registry
from g3d.ops.registry import OPERATORS, Operator, load_all


@pytest.fixture(scope="module")
def doubling():
    """An operator whose fast path can be told to fail."""

    def reference(values: Tensor) -> Tensor:
        return values * 2 + 0.25

    def cpu(values: Tensor) -> Tensor:
        if values.numel() == 3:
            raise KernelUnavailable("no threes")
        return values * 2

    made = Operator(
        "test_doubling",
        reference=reference,
        cpu=cpu,
        cuda=None,
        fake=torch.empty_like,
        example=lambda: (torch.ones(2),),
    )
    yield made
    del OPERATORS["test_doubling"]


def test_auto_takes_the_fast_path(doubling: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("G3D_KERNELS", raising=False)
    assert doubling(torch.ones(2)).tolist() == [2, 2]
    assert torch.ops.g3d.test_doubling(torch.ones(2)).tolist() == [2, 2]


def test_reference_never_takes_it(doubling: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_KERNELS", "reference")
    assert doubling(torch.ones(2)).tolist() == [2.25, 2.25]


def test_auto_falls_back_with_one_line_that_says_why(
    doubling: Operator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("G3D_KERNELS", "auto")
    doubling._warned.clear()
    with caplog.at_level(logging.WARNING, logger="g3d"):
        for _ in range(3):
            assert doubling(torch.ones(3)).tolist() == [2.25] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "test_doubling runs as its PyTorch reference on cpu: no threes; `g3d doctor` explains"
    ]


def test_require_makes_it_an_error(doubling: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_KERNELS", "require")
    assert doubling(torch.ones(2)).tolist() == [2, 2]
    with pytest.raises(EnvironmentProblem, match="test_doubling has no compiled kernel on cpu: no threes"):
        doubling(torch.ones(3))


def test_another_choice_is_refused(doubling: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3D_KERNELS", "fast")
    with pytest.raises(InputError, match="expected auto, reference or require, found 'fast'"):
        doubling(torch.ones(2))


def test_the_reference_runs_where_triton_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in ("g3d.kernels.triton_probe", "g3d.kernels.ball_query_cuda"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(KernelUnavailable, match="Triton cannot be imported"):
        registry.triton_path.__wrapped__("g3d.kernels.ball_query_cuda:ball_query")


def test_every_operator_equals_its_reference_on_its_example() -> None:
    for name, operator in load_all().items():
        if name != "test_doubling":
            operator.check_itself("cpu")


def test_the_self_check_sees_a_wrong_kernel(doubling: Operator) -> None:
    with pytest.raises(ArithmeticError, match=r"test_doubling: result 0 differs from the reference by up to 0\.25"):
        doubling.check_itself("cpu")


def test_every_operator_is_registered_for_tracing() -> None:
    for name, operator in load_all().items():
        if name != "test_doubling":
            torch.library.opcheck(
                operator.definition, operator.example(), test_utils=("test_schema", "test_faketensor")
            )


def test_strides_are_those_that_tracing_was_told() -> None:
    """Compiled code trusts them: of input whose axes lie in another order, every result is as contiguous as its
    fake."""
    for name, operator in load_all().items():
        given = [_reversed_in_memory(a) if isinstance(a, Tensor) else a for a in operator.example()]
        with FakeTensorMode(shape_env=ShapeEnv()) as fake:
            told = operator.definition(
                *[fake.from_tensor(a, static_shapes=True) if isinstance(a, Tensor) else a for a in given]
            )
        for path in (operator.cpu, operator.reference):
            found = path(*given)
            pairs = zip(*((r,) if isinstance(r, Tensor) else r for r in (told, found)), strict=True)
            assert all(a.is_contiguous() and b.is_contiguous() for a, b in pairs), (name, path)


def _reversed_in_memory(tensor: Tensor) -> Tensor:
    axes = tuple(reversed(range(tensor.dim())))
    return tensor.permute(axes).contiguous().permute(axes)


def test_operators_do_not_break_a_compiled_graph() -> None:
    from g3d.ops.ball_query import ball_query

    def nearest(points: Tensor) -> Tensor:
        return ball_query(points * 2, points[:, :4], 0.3, 5) + 1

    points = torch.rand(1, 30, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.compile(nearest, backend="aot_eager", fullgraph=True)(points), nearest(points))


def test_second_derivatives_that_are_not_there_are_refused() -> None:
    from g3d.ops.group_points import gather_points

    features = torch.rand(1, 2, 5, requires_grad=True)
    (first,) = torch.autograd.grad(
        gather_points(features, torch.tensor([[1, 3]])).square().sum(), features, create_graph=True
    )
    with pytest.raises(RuntimeError, match="group_points_backward has no derivative"):
        torch.autograd.grad(first.sum(), features)
