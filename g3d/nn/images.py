"""Normalisation of images for networks with ImageNet weights."""

from __future__ import annotations

import torch
from torch import Tensor

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor, channels_last: bool = False) -> Tensor:
    """Return images (B, 3, H, W) uint8 RGB as float32, normalised by ImageNet's mean and standard deviation."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) * 255 for v in (IMAGE_MEAN, IMAGE_STD))
    result = (images.float() - mean) / std
    return result.contiguous(memory_format=torch.channels_last) if channels_last else result
