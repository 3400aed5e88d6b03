"""`g3d prepare multiview`: compute ENet features of RGB-D frames and pool them over the points of prepared scenes.

The files are <out>/multiview/<scene>/features.h5. Source: ScanRefer's multiview preparation (daveredrum/ScanRefer,
daveredrum/Pointnet2.ScanNet).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from g3d.data.scannet.frames import Frame, FrameSource, frames_with_pose, open_frames
from g3d.data.scannet.multiview import View, make_view, pool_views, published_order
from g3d.data.scannet.point_features import FILE, rows_fingerprint, write_features
from g3d.data.scannet.point_features import MULTIVIEW as MULTIVIEW
from g3d.data.scannet.scenes import read_scene
from g3d.errors import InputError
from g3d.nn.enet import CHANNELS, ENet, load_enet, normalise
from g3d.prepare.frames_of_scenes import frames_of
from g3d.prepare.runner import Item, Recipe
from g3d.prepare.scannet import SCENES

VERSION = 1
_AT_ONCE = 4  # frames in one batch of the network


@dataclass(frozen=True)
class MultiviewSettings:
    """Settings of multiview features.

    Attributes:
        every: take each `every`-th frame (1 for frames that were exported with a step).
        pool: "max": maximum over the frames that see a point; "first": feature of the first frame that sees the point,
            with the frames sorted by name as strings.
        points: "scanrefer": the rows that ScanRefer's form keeps, as published; "all": every vertex.
        projection: "published": one set of intrinsics and ScanRefer's frustum; "frame": each frame's own intrinsics.
        half: store float16 instead of float32.
    """

    every: int = 1
    pool: Literal["max", "first"] = "max"
    points: Literal["scanrefer", "all"] = "scanrefer"
    projection: Literal["published", "frame"] = "published"
    half: bool = False


def multiview_recipe(
    out: Path, frames: Path, weights: Path, settings: MultiviewSettings, device: str = "cpu"
) -> Recipe:
    """Return the recipe that makes the multiview features of one scene.

    Args:
        out: folder of the prepared scenes.
        frames: folder of the frames (see `frames_of`).
        weights: file with ENet's weights.
        settings: settings of the features.
        device: device of the network.

    Raises:
        MissingDataError: the file of weights does not exist.
        InputError: the weights cannot be used.
    """
    load_enet(weights)  # to report errors before the work begins
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    work = functools.partial(_make, out=out, frames=frames, weights=weights, settings=settings, device=device)
    return Recipe("multiview", VERSION, {**asdict(settings), "weights": digest}, work)


def _make(
    item: Item, target: Path, out: Path, frames: Path, weights: Path, settings: MultiviewSettings, device: str
) -> Mapping[str, Any]:
    """Make one scene's features and return its facts.

    Raises:
        G3DError: the scene or its frames cannot be used, or no frame has a valid pose.
    """
    scene = read_scene(out / SCENES / item.name, "vertices", "rows")
    points = scene.vertices if settings.points == "all" or scene.rows is None else scene.vertices[scene.rows]
    network = _network(weights, device)
    seen = 0

    def views(source: FrameSource) -> Iterator[tuple[View, Tensor]]:
        nonlocal seen
        for batch in _batches(source, settings):
            seen += len(batch)
            with torch.inference_mode():
                features = network(normalise(torch.from_numpy(np.stack([view.colour for view in batch])).to(device)))
            yield from zip(batch, features, strict=True)

    with open_frames(frames_of(frames, item.name)) as source:
        pooled = pool_views(torch.from_numpy(points).to(device), views(source), CHANNELS, settings.pool)
    if not seen:
        raise InputError(
            f"scene {item.name}: none of its frames has a valid pose", "features of nothing but zeros would be made"
        )
    about = {"pool": settings.pool, "projection": settings.projection, "frames": seen}
    write_features(
        target / FILE, item.name, pooled.features.cpu().numpy(), rows_fingerprint(points), about, settings.half
    )
    return {"points": len(points), "seen": int(pooled.seen.sum()), "frames": seen}


def _batches(source: FrameSource, settings: MultiviewSettings) -> Iterator[list[View]]:
    """Yield batches of views of the frames that have a pose, in the order that the pooling requires."""
    if settings.pool == "first":
        index = {name: number for number, name in enumerate(source.names)}
        ordered = (source.frame(index[name]) for name in published_order(source.names[:: settings.every]))
        chosen: Iterator[Frame] = (frame for frame in ordered if frame.has_pose)
    else:
        chosen = frames_with_pose(source, settings.every)
    batch: list[View] = []
    for frame in chosen:
        batch.append(make_view(frame, settings.projection == "published"))
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


@functools.cache
def _network(weights: Path, device: str) -> ENet:
    return load_enet(weights).to(device)
