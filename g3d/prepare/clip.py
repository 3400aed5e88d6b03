"""`g3d prepare clip`: compute dense CLIP features of RGB-D frames and pool them over superpoints.

The files are <out>/clip/<scene>/superpoints.safetensors. Source: 80chen86/IPDN data/image2point_clip.py, whose result
songchuanle-1/CFNet reads.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor

from g3d.data.files import atomic_write
from g3d.data.scannet.frames import Frame, FrameSource, open_frames
from g3d.data.scannet.scenes import Scene, read_scene
from g3d.errors import InputError
from g3d.nn.hub_folder import locate
from g3d.nn.lift_features import PixelHits, SuperpointFeatures, find_hits, grid_on_depth
from g3d.nn.patch_encoder import CLIP_FILES, PUBLISHED_CLIP, ClipPatchEncoder, PatchEncoder
from g3d.prepare.frames_of_scenes import frames_of
from g3d.prepare.manifest import fingerprint
from g3d.prepare.runner import Item, Recipe
from g3d.prepare.scannet import SCENES

VERSION = 1
CLIP = "clip"
FILE = "superpoints.safetensors"


@dataclass(frozen=True)
class ClipSettings:
    """Settings of CLIP features.

    Attributes:
        encoder: folder of a CLIP in Hugging Face's layout, or its name on the hub (owner/model, owner/model@revision).
        final_norm: apply CLIP's last layer norm to the patch tokens.
        every: take each `every`-th frame.
        mapping: "cropped": the patch grid covers the crop that the encoder saw; "stretched": it is stretched over the
            whole image, as published.
        unseen: "zero": points that no frame saw count as 0 in their superpoint's mean, as published; "skip": they do
            not count.
        half: store float16 instead of float32.
        published: also write <scene>.pth, a float32 tensor (S, C), as CFNet reads it.
    """

    encoder: str = PUBLISHED_CLIP
    final_norm: bool = False
    every: int = 10
    mapping: Literal["cropped", "stretched"] = "cropped"
    unseen: Literal["zero", "skip"] = "zero"
    half: bool = False
    published: bool = False


def clip_recipe(
    out: Path, frames: Path, settings: ClipSettings, device: str = "cpu", local_only: bool = False
) -> Recipe:
    """Return the recipe that makes the CLIP features of one scene.

    Its settings include a fingerprint of the encoder's files, so features are made again if one of them changes.

    Args:
        out: folder of the prepared scenes.
        frames: folder of the frames (see `frames_of`).
        settings: settings of the features.
        device: device of the encoder.
        local_only: never use the network to find the encoder.

    Raises:
        MissingDataError, InputError: the encoder cannot be used.
    """
    _encoder(settings.encoder, settings.final_norm, device, local_only)  # to report errors before the work begins
    work = functools.partial(_make, out=out, frames=frames, settings=settings, device=device, local_only=local_only)
    files = fingerprint(CLIP_FILES.found(locate(settings.encoder, CLIP_FILES, local_only)))
    return Recipe("clip", VERSION, {**asdict(settings), "encoder_files": files}, work)


@functools.cache
def _encoder(name: str, final_norm: bool, device: str, local_only: bool) -> PatchEncoder:
    return ClipPatchEncoder.from_pretrained(name, final_norm=final_norm, device=device, local_only=local_only)


def _make(
    item: Item, target: Path, out: Path, frames: Path, settings: ClipSettings, device: str, local_only: bool
) -> Mapping[str, Any]:
    """Make one scene's features and return its facts.

    Raises:
        G3DError: the scene or its frames cannot be used, or no frame has a valid pose.
    """
    scene = read_scene(out / SCENES / item.name, "vertices", "superpoints")
    encoder = _encoder(settings.encoder, settings.final_norm, device, local_only)
    with open_frames(frames_of(frames, item.name)) as source:
        features, used = superpoint_features(scene, source, encoder, settings, device)
    if not used:
        raise InputError(
            f"scene {item.name}: none of its frames has a valid pose", "features of nothing but zeros would be made"
        )
    found = features.cpu().numpy()
    about = {"encoder": settings.encoder, "mapping": settings.mapping, "frames": str(used)}
    with atomic_write(target / FILE) as file:
        file.write(save({"superpoints": found.astype(np.float16 if settings.half else np.float32)}, about))
    if settings.published:
        content = io.BytesIO()
        torch.save(features.float().cpu().clone(), content)
        with atomic_write(target / f"{item.name}.pth") as file:
            file.write(content.getbuffer())
    return {"superpoints": len(found), "seen": int((found != 0).any(1).sum()), "frames": used}


def superpoint_features(
    scene: Scene, source: FrameSource, encoder: PatchEncoder, settings: ClipSettings, device: str = "cpu"
) -> tuple[Tensor, int]:
    """Return the features of a scene's superpoints, (S, C) float32, and the number of frames used.

    The first pass over the frames reads the depth images and counts the pixels that hit each point. The second pass
    encodes the colour images and adds their features.
    """
    points = torch.from_numpy(scene.vertices).to(device)
    superpoints = torch.from_numpy(scene.superpoints.astype(np.int64)).to(device)
    count = int(scene.superpoints.max(initial=-1)) + 1
    counts, used = torch.zeros(len(points), dtype=torch.int64, device=device), 0
    for frame, _ in _frames(source, settings.every):
        counts += _hits(frame, points, encoder, settings).counts(len(points))
        used += 1
    pooled = SuperpointFeatures(superpoints, counts, count, encoder.channels, settings.unseen)
    for frame, colour in _frames(source, settings.every):
        pooled.add(_hits(frame, points, encoder, settings), encoder.encode(colour()[None])[0])
    return pooled.means, used


def _frames(source: FrameSource, every: int) -> Iterator[tuple[Frame, Any]]:
    for index in range(0, len(source), every):
        frame = source.frame(index)
        if frame.has_pose:
            yield frame, frame.colour


def _hits(frame: Frame, points: Tensor, encoder: PatchEncoder, settings: ClipSettings) -> PixelHits:
    depth = frame.depth()
    size = (depth.shape[1], depth.shape[0])
    camera = frame.depth_camera(size)
    colour = (
        None
        if frame.colour_intrinsics is None
        else (torch.from_numpy(camera), torch.from_numpy(frame.colour_intrinsics))
    )
    grid = grid_on_depth(encoder.layout(*frame.colour_size()), size, settings.mapping, colour)
    to = functools.partial(torch.as_tensor, device=points.device)
    pose = frame.pose.astype(np.float64)
    if settings.mapping == "stretched":
        pose = pose.round(6)  # the published exporter writes six decimals, which decide whether some pixels hit
    return find_hits(points, to(depth), to(camera), to(pose), grid)
