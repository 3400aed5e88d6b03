"""Triton kernels against their references: on the GPU with `pytest -m cuda`, or anywhere with TRITON_INTERPRET=1 in the
environment.

tests/ops/test_triton.py runs this folder under the interpreter in a process of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and not INTERPRETED:
            item.add_marker(pytest.mark.cuda)


@pytest.fixture(scope="session")
def device() -> str:
    """The device of the tensors: kernels in Triton's interpreter work on CPU tensors."""
    return "cpu" if INTERPRETED else "cuda"
