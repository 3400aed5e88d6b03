"""Run-length coding of masks and drawing of polygons, beside pycocotools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from benchmarks.op_case import Case, Peers
from torch import Tensor

from g3d.ops.mask_rle import masks_to_strings, rle_encode, rle_iou, strings_to_masks
from g3d.ops.polygons import polygons_to_mask, polygons_to_rle

MODULE = "pycocotools.mask"


def cases() -> list[Case]:
    large = blob(480, 640)[None]
    small = torch.stack([blob(64, 64).roll(shift, 0) for shift in range(100)])
    return [*coding("640 x 480", large), *coding("100 of 64 x 64", small), overlaps(small), *drawing(480, 640)]


def blob(height: int, width: int) -> Tensor:
    """An object with a rough outline and holes, in the middle of its image."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    radius, angle = (x * x + y * y).sqrt(), torch.atan2(y, x)
    return (radius < 0.6 + 0.1 * torch.sin(7 * angle) + 0.02 * torch.sin(60 * angle)) & (
        torch.sin(9 * x) * torch.sin(8 * y) > -0.9
    )


def coding(size: str, masks: Tensor) -> list[Case]:
    texts, (height, width) = masks_to_strings(masks), masks.shape[1:]
    pixels = masks.permute(1, 2, 0).numpy().astype(np.uint8)
    encoders, decoders = Peers(), Peers()

    def encoder(module: Any) -> Callable[[], Any]:
        columns = np.asfortranarray(pixels)
        assert [code["counts"].decode() for code in module.encode(columns)] == texts
        return lambda: module.encode(columns)

    def decoder(module: Any) -> Callable[[], Any]:
        codes = [{"size": [height, width], "counts": text} for text in texts]
        return lambda: module.decode(codes)

    encoders.add("pycocotools, from columns", MODULE, encoder)
    encoders.add("pycocotools, from rows", MODULE, lambda module: lambda: module.encode(np.asfortranarray(pixels)))
    decoders.add("pycocotools", MODULE, decoder)
    traffic = float(masks.numel() + sum(map(len, texts)))
    return [
        Case(
            f"masks_to_strings {size}",
            lambda: masks_to_strings(masks),
            0,
            traffic,
            peers=encoders.calls,
            missing=encoders.missing,
        ),
        Case(
            f"strings_to_masks {size}",
            lambda: strings_to_masks(texts, height, width),
            0,
            traffic,
            peers=decoders.calls,
            missing=decoders.missing,
        ),
    ]


def overlaps(masks: Tensor) -> Case:
    counts, texts = rle_encode(masks), masks_to_strings(masks)
    peers = Peers()
    codes = [{"size": list(masks.shape[1:]), "counts": text} for text in texts]
    peers.add("pycocotools", MODULE, lambda module: lambda: module.iou(codes, codes, [0] * len(codes)))
    return Case(
        f"rle_iou {len(masks)} x {len(masks)}",
        lambda: rle_iou(counts, counts),
        0,
        8.0 * len(masks) ** 2,
        peers=peers.calls,
        missing=peers.missing,
    )


def drawing(height: int, width: int) -> list[Case]:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outline = (150 + 30 * np.sin(5 * angle))[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    one = [(outline + np.array([width / 2, height / 2])).ravel().tolist()]
    draw = np.random.default_rng(0)
    many = [(outline * draw.uniform(0.1, 0.6) + draw.uniform(0, [width, height])).ravel().tolist() for _ in range(100)]
    masks, codes = Peers(), Peers()

    def drawer(module: Any) -> Callable[[], Any]:
        return lambda: module.decode(module.merge(module.frPyObjects(one, height, width)))

    masks.add("pycocotools", MODULE, drawer)
    codes.add("pycocotools", MODULE, lambda module: lambda: module.frPyObjects(many, height, width))
    size = f"{width} x {height}"
    return [
        Case(
            f"polygons_to_mask 60 points, {size}",
            lambda: polygons_to_mask(one, height, width),
            0,
            height * width,
            peers=masks.calls,
            missing=masks.missing,
        ),
        Case(
            f"polygons_to_rle 100 of 60 points, {size}",
            lambda: polygons_to_rle(many, height, width),
            0,
            1e5,
            peers=codes.calls,
            missing=codes.missing,
        ),
    ]
