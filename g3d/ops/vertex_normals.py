"""Operator `vertex_normals` over kernels/vertex_normals.py: argument checks and registration."""

from __future__ import annotations

import torch
from torch import Tensor

from g3d.kernels import vertex_normals as kernel
from g3d.ops.registry import Operator


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Return the normals of a triangle mesh's vertices: the normalised sum of the unit normals of their faces.

    Args:
        vertices: (N, 3) float32, any frame.
        faces: (F, 3) int32, rows of `vertices`, counter-clockwise seen from outside; same device.

    Returns:
        (N, 3) float32; 0 for a vertex without faces, or whose faces have no area. Not differentiable.

    Raises:
        ValueError: shapes, dtypes or devices do not match; on a CPU also: a face refers to a vertex that does not
            exist.
    """
    if vertices.dim() != 2 or vertices.shape[1] != 3 or vertices.dtype != torch.float32:
        raise ValueError(f"vertices: expected (N, 3) float32, found {tuple(vertices.shape)} {vertices.dtype}")
    if faces.dim() != 2 or faces.shape[1] != 3 or faces.dtype != torch.int32 or faces.device != vertices.device:
        wanted = f"(F, 3) int32 on {vertices.device}"
        raise ValueError(f"faces: expected {wanted}, found {tuple(faces.shape)} {faces.dtype} on {faces.device}")
    if faces.device.type == "cpu" and len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
        raise ValueError(f"faces: expected rows 0..{len(vertices) - 1}, found {int(faces.min())}..{int(faces.max())}")
    return _operator(vertices.detach(), faces)


def _cpu(vertices: Tensor, faces: Tensor) -> Tensor:
    sums, normals = torch.zeros(len(vertices), 3, dtype=torch.float64), torch.empty(len(vertices), 3)
    kernel.cpu(vertices.contiguous().numpy(), faces.contiguous().numpy(), sums.numpy(), normals.numpy())
    return normals


def _example() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.rand(30, 3, generator=random), torch.randint(0, 30, (60, 3), generator=random, dtype=torch.int32)


_operator = Operator(
    "vertex_normals",
    reference=kernel.reference,
    cpu=_cpu,
    cuda=None,
    fake=lambda vertices, faces: vertices.new_empty(vertices.shape),
    example=_example,
)
