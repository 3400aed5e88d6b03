"""Features of pictures carried to points and superpoints as in 80chen86/IPDN, with stand-ins for CLIP's tokens."""

from pathlib import Path

import numpy as np
import torch

from g3d.data.images.depth_image import to_metres
from g3d.data.scannet.mesh import read_mesh
from g3d.data.scannet.sens import SensFile
from g3d.nn.lift_features import PixelHits, PointFeatures, SuperpointFeatures, find_hits, grid_on_depth
from g3d.nn.patch_encoder import PatchLayout
from g3d.ops.ball_query import ball_query
from parity.check import Check, compare

CELLS = 24
SCENE = "scene0900_00"
ROWS, COLUMNS = slice(3, None, 23), slice(5, None, 29)
"""Pixels whose points the case lists."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    settings = case["settings"]
    scene = folder.parents[1] / "data" / "made" / "scannet" / "scans" / SCENE
    points = torch.from_numpy(read_mesh(scene / f"{SCENE}_vh_clean_2.ply").vertices)
    with np.load(folder / "prepared_refer.npz") as prepared:
        superpoints = torch.from_numpy(prepared["out.spformer.val.superpoint"].astype(np.int64))
    features = PointFeatures(len(points), settings["channels"])
    with SensFile.open(scene / f"{SCENE}.sens") as stream:
        every = {frame: _hits(stream, frame, points, settings) for frame in settings["frames"]}
    for frame, hits in every.items():
        features.add(hits, tokens(frame, settings["channels"]))
    count = int(superpoints.max()) + 1
    in_two_passes = SuperpointFeatures(superpoints, features.counts, count, settings["channels"])
    for frame, hits in every.items():
        in_two_passes.add(hits, tokens(frame, settings["channels"]))

    ball = (torch.from_numpy(arrays[f"in.ball.{name}"])[None] for name in ("points", "queries"))
    allowed = case["tolerance"]
    sp_name, listed_name = "out.sp_feat_2d", "out.pixel_to_point_frame0_rows3_23_cols5_29"
    stand_ins = tokens(0, settings["channels"]).flatten(0, 1).numpy()
    return {
        "in.tokens_frame0": compare("in.tokens_frame0", stand_ins, arrays["in.tokens_frame0"], 1e-6),
        listed_name: _listed(listed_name, every[0], arrays[listed_name]),
        "point_pixel_count": compare("point_pixel_count", features.counts.numpy(), arrays["out.point_pixel_count"], 1),
        "point_feat_2d": compare(
            "point_feat_2d", features.means().numpy(), arrays["out.point_feat_2d"], allowed["point_feat_2d"]
        ),
        "sp_feat_2d": compare(
            "sp_feat_2d", features.superpoint_means(superpoints, count).numpy(), arrays[sp_name], allowed["sp_feat_2d"]
        ),
        "sp_feat_2d, two passes": compare(
            "sp_feat_2d, two passes", in_two_passes.means.numpy(), arrays[sp_name], allowed["sp_feat_2d"]
        ),
        "ball.index": ball_query(*ball, settings["radius"], settings["K"], pad="none")[0].numpy(),
    }


def tokens(frame: int, channels: int) -> torch.Tensor:
    """The stand-ins: (24, 24, C) float32."""
    row, column, channel = np.ogrid[:CELLS, :CELLS, :channels]
    return torch.from_numpy(
        np.sin(0.31 * row * (1 + channel % 5) + 0.17 * column * (1 + channel // 5) + 0.7 * frame).astype(np.float32)
    )


def _hits(stream: SensFile, frame: int, points: torch.Tensor, settings: dict) -> PixelHits:
    header = stream.header
    size = header.colour_size
    layout = PatchLayout(CELLS, CELLS, (0, 0, *size), size)
    depth = torch.from_numpy(to_metres(stream.depth(frame), header.depth_shift))
    grid = grid_on_depth(layout, header.depth_size, "stretched")
    pose = (
        stream.pose(frame).astype(np.float64).round(6)
    )  # the published exporter's digits decide whether some pixels hit
    matrices = (torch.from_numpy(matrix.astype(np.float64)) for matrix in (header.depth_intrinsic, pose))
    return find_hits(points, depth, *matrices, grid, radius=settings["radius"], most=settings["K"])


def _listed(name: str, hits: PixelHits, expected: np.ndarray) -> Check:
    width, height = hits.grid.depth_size
    found = np.full((height * width, hits.points.shape[1]), -1)
    found[hits.pixels] = hits.points
    found = found.reshape(height, width, -1)[ROWS, COLUMNS]
    if found.shape != expected.shape:
        return Check(name, float("nan"), "99.9 % equal", False, f"shape {found.shape}, expected {expected.shape}")
    different = float((found != expected).mean())
    return Check(
        name,
        different,
        "99.9 % equal",
        different <= 0.001,
        f"{(expected >= 0).sum()} hits; the error is the share that differs",
    )
