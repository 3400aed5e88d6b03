"""Registry of the operators: choice of each operator's implementation by device, and registration with PyTorch.

An operator has a reference in plain PyTorch, which runs on any device, and fast paths by device. G3D_KERNELS chooses
between them: `auto` (the default) takes the fast path, or the reference, with one warning, if the fast path cannot run;
`reference` always takes the reference; `require` makes a missing fast path an error.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import pkgutil
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from g3d.errors import EnvironmentProblem, InputError
from g3d.kernels.compiled import KernelUnavailable

Choice = Literal["auto", "reference", "require"]
log = logging.getLogger(__name__)
OPERATORS: dict[str, Operator] = {}
_LIBRARY = torch.library.Library("g3d", "FRAGMENT")


def kernels_choice() -> Choice:
    """Return the value of G3D_KERNELS; auto if it is unset.

    Raises:
        InputError: G3D_KERNELS is not auto, reference or require.
    """
    asked = os.environ.get("G3D_KERNELS", "auto")
    for choice in get_args(Choice):
        if asked == choice:
            return choice
    raise InputError(
        f"G3D_KERNELS: expected auto, reference or require, found {asked!r}", hint="auto is the default: unset it"
    )


def load_all() -> dict[str, Operator]:
    """Import all modules of this package and return every operator of g3d by name."""
    package = importlib.import_module("g3d.ops")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"g3d.ops.{module.name}")
    return dict(sorted(OPERATORS.items()))


class Operator:
    """One operator, registered with PyTorch as torch.ops.g3d.<name>; it is called like its reference.

    Args:
        name: name of the operator.
        reference: implementation in plain PyTorch; its annotations give the schema (torch.library.infer_schema).
        cpu: the fast path on a CPU; takes the reference's arguments.
        cuda: "module:function", the fast path on CUDA; its module imports Triton. None: the reference runs on CUDA.
        fake: returns empty results with the right shapes and dtypes; takes the reference's arguments.
        example: returns small arguments on a CPU, for the self-check of `g3d doctor` and the tests.
    """

    def __init__(
        self,
        name: str,
        *,
        reference: Callable[..., Any],
        cpu: Callable[..., Any],
        cuda: str | None,
        fake: Callable[..., Any],
        example: Callable[[], tuple[Any, ...]],
    ) -> None:
        self.name, self.reference, self.cpu, self.cuda, self.example = name, reference, cpu, cuda, example
        self._warned: set[str] = set()
        # Do not use torch.library.custom_op: its first call in a process imports torch._dynamo, which takes over 1 s.
        _LIBRARY.define(
            name + torch.library.infer_schema(reference, mutates_args=()), tags=(torch.Tag.pt2_compliant_tag,)
        )
        _LIBRARY.impl(name, self._run, "CompositeExplicitAutograd")
        torch.library.register_fake(f"g3d::{name}", fake, lib=_LIBRARY)
        self.definition = getattr(torch.ops.g3d, name).default
        OPERATORS[name] = self

    def __call__(self, *arguments: Any) -> Any:
        return self.definition(*arguments)

    def direct(self, *arguments: Any) -> Any:
        """Compute without PyTorch's dispatcher, which costs more than small computations on a CPU. Not
        differentiable."""
        return self(*arguments) if torch.compiler.is_compiling() else self._run(*arguments)

    def register_autograd(self, backward: Callable[..., Any], setup_context: Callable[..., None]) -> None:
        """Register the gradient; the arguments are those of torch.library.register_autograd."""
        torch.library.register_autograd(f"g3d::{self.name}", backward, setup_context=setup_context, lib=_LIBRARY)

    def refuse_gradient(self) -> None:
        """Raise on double backward; without this, the derivatives of a backward operator would silently be zero."""

        def refuse(context: Any, *gradients: Any) -> Any:
            raise RuntimeError(f"g3d::{self.name} has no derivative: second derivatives are not there")

        self.register_autograd(refuse, lambda ctx, inputs, output: None)

    def path(self, device: str) -> Literal["Numba", "Triton", "PyTorch"]:
        """Return the name of the preferred implementation on `device` ("cpu", "cuda", ...)."""
        if kernels_choice() == "reference":
            return "PyTorch"
        return "Numba" if device == "cpu" else "Triton" if device == "cuda" and self.cuda else "PyTorch"

    def check_itself(self, device: str) -> None:
        """Run the fast path on the example and compare it with the reference.

        Raises:
            KernelUnavailable: no fast path can run.
            ArithmeticError: the results differ: in shape or dtype, in any integer, or in a floating-point value by more
                than 1e-4 relative to the largest value.
        """
        arguments = [a.to(device) if isinstance(a, Tensor) else a for a in self.example()]
        found, expected = self._fast(device)(*arguments), self.reference(*arguments)
        pairs = zip(*((r,) if isinstance(r, Tensor) else r for r in (found, expected)), strict=True)
        for index, (a, b) in enumerate(pairs):
            if a.shape != b.shape or a.dtype != b.dtype:
                raise ArithmeticError(
                    f"{self.name}: result {index} is {tuple(a.shape)} {a.dtype}, its reference's {tuple(b.shape)} "
                    f"{b.dtype}"
                )
            if torch.equal(a, b):
                continue
            error = (
                torch.where(a == b, 0, (a.double() - b.double()).abs()).max().item()
            )  # the difference of equal infinities is 0
            if not (a.is_floating_point() and error <= 1e-4 * b.double().abs().max().item()):
                raise ArithmeticError(f"{self.name}: result {index} differs from the reference by up to {error:.3g}")

    def _run(self, *arguments: Any) -> Any:
        """Compute on the arguments' device with the implementation that G3D_KERNELS selects and that can run there."""
        place = next(a.device for a in arguments if isinstance(a, Tensor))
        device, choice = place.type, kernels_choice()
        if choice != "reference":
            try:
                fast = self._fast(device)
                with (
                    torch.cuda.device(place) if device == "cuda" else nullcontext()
                ):  # Triton launches on the current device
                    return fast(*arguments)
            except KernelUnavailable as error:
                if choice == "require":
                    raise EnvironmentProblem(
                        f"{self.name} has no compiled kernel on {device}: {error}",
                        hint="unset G3D_KERNELS to use the PyTorch reference; `g3d doctor` explains",
                    ) from error
                if device not in self._warned:
                    self._warned.add(device)
                    log.warning(
                        "%s runs as its PyTorch reference on %s: %s; `g3d doctor` explains", self.name, device, error
                    )
        return self.reference(*arguments)

    def _fast(self, device: str) -> Callable[..., Any]:
        if device == "cpu":
            return self.cpu
        return triton_path(self.cuda) if device == "cuda" and self.cuda else self.reference


@functools.cache
def triton_path(name: str) -> Callable[..., Any]:
    """Return the function "module:function" after a check that Triton works on this machine.

    Raises:
        KernelUnavailable: Triton cannot be imported, or cannot compile and run on this machine.
    """
    try:
        from g3d.kernels.triton_probe import probe

        probe()
        module, _, function = name.partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return found
    except ImportError as error:
        raise KernelUnavailable(f"Triton cannot be imported ({error})") from error
