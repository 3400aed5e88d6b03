"""Compiles every Triton kernel for sm_80 and sm_90 without a GPU: what the AHEAD lists of this folder's tests name."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.insert(0, str(Path(__file__).parents[1]))


def source_of(kernel: Any, signature: dict[str, str], constants: dict[str, Any]) -> ASTSource:
    """Return the input of triton.compile; Triton 3.2 names constants otherwise and omits them from the signature."""
    if "constexprs" in inspect.signature(ASTSource).parameters:
        return ASTSource(fn=kernel, signature=signature, constexprs=constants)
    return ASTSource(fn=kernel, signature={n: t for n, t in signature.items() if t != "constexpr"}, constants=constants)


def main() -> None:
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"ahead_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for kernel, signature, constants, options in module.AHEAD:
            for capability in (80, 90):
                binary = triton.compile(
                    source_of(kernel, signature, constants), target=GPUTarget("cuda", capability, 32), options=options
                )
                print(f"{file.stem} {kernel.__name__} sm_{capability} {len(binary.asm['cubin'])} bytes", flush=True)


if __name__ == "__main__":
    main()
