"""Compiles every Triton kernel for sm_80 and sm_90 without a GPU: what the AHEAD lists of this folder's tests name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"ahead_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for kernel, signature, constants, options in module.AHEAD:
            for capability in (80, 90):
                source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
                binary = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
                print(f"{file.stem} {kernel.__name__} sm_{capability} {len(binary.asm['cubin'])} bytes", flush=True)


if __name__ == "__main__":
    main()
