"""Numba kernels respect PyTorch's number of threads and leave it alone."""

from __future__ import annotations

import subprocess
import sys

import numba
import torch

from g3d.ops.threads import kernel_threads


def test_kernels_use_as_many_threads_as_torch() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with kernel_threads():
            assert numba.get_num_threads() == 1
            torch.set_num_threads(2)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_first_kernel_of_a_process_does_not_change_torch() -> None:
    # Numba starts its threads once in a process, and that is what would change the number.
    program = (
        "import torch; torch.set_num_threads(1); from g3d.ops.box_iou import rotated_iou_bev; "
        "rotated_iou_bev(torch.ones(2, 7), torch.ones(2, 7)); print(torch.get_num_threads())"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "1\n"
