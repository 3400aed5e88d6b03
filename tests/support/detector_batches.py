"""Made outputs and targets of the scene detectors: random numbers with the shapes of a real batch."""

from __future__ import annotations

import torch
from torch import Tensor

from g3d.nn.scene_box_losses import BoxPrediction, BoxTargets

CLASSES, ROWS, SEEDS, QUERIES, POINTS = 4, 6, 24, 10, 60
MEANS = torch.tensor([[1.0, 1, 1], [2, 1, 1], [0.5, 0.5, 1], [1, 2, 0.3]], dtype=torch.float64)


def random_head(scenes: int, objectness: int, centers: Tensor, seed: int) -> BoxPrediction:
    """Outputs of a head with one heading bin; every tensor receives gradients."""
    g = torch.Generator().manual_seed(seed)

    def normal(*last: int) -> Tensor:
        return torch.randn(scenes, QUERIES, *last, generator=g, dtype=torch.float64).requires_grad_()

    return BoxPrediction(
        normal(objectness),
        (centers + 0.05 * normal(3)).detach().requires_grad_(),
        normal(1),
        normal(1),
        normal(CLASSES),
        normal(CLASSES, 3),
        normal(CLASSES),
    )


def random_boxes(used: list[int], unused_center: float, seed: int = 0) -> BoxTargets:
    """Boxes of as many scenes, at least 1.5 m apart and 1 m from the origin."""
    g = torch.Generator().manual_seed(seed)
    scenes = len(used)
    mask = torch.arange(ROWS) < torch.tensor(used)[:, None]
    places = torch.stack([torch.arange(ROWS) * 1.5 + 1, torch.ones(ROWS), torch.full((ROWS,), 0.5)], 1).double()
    classes = torch.randint(0, CLASSES, (scenes, ROWS), generator=g) * mask
    residuals = torch.randn(scenes, ROWS, 3, generator=g, dtype=torch.float64) * 0.1 * mask[..., None]
    return BoxTargets(
        torch.where(mask[..., None], places, unused_center),
        (MEANS[classes] + residuals) * mask[..., None],
        torch.zeros(scenes, ROWS, dtype=torch.int64),
        torch.zeros(scenes, ROWS, dtype=torch.float64),
        residuals,
        classes,
        mask,
    )


def leaves(value: object) -> list[Tensor]:
    """Return all tensors with gradients in a nested dataclass or tuple of outputs, in a fixed order."""
    if isinstance(value, Tensor):
        return [value] if value.requires_grad else []
    parts = value if isinstance(value, tuple) else vars(value).values()
    return [leaf for part in parts for leaf in leaves(part)]


def scenes_of(value: object, chosen: slice) -> object:
    """Return the outputs or targets of some scenes; tensors with gradients become leaves of their own."""
    if isinstance(value, Tensor):
        part = value[chosen].detach().clone()
        return part.requires_grad_() if value.requires_grad else part
    if isinstance(value, tuple):
        return tuple(scenes_of(part, chosen) for part in value)
    return type(value)(**{name: scenes_of(part, chosen) for name, part in vars(value).items()})
