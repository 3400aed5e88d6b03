"""Carry picture features to points and superpoints as 80chen86/IPDN does, with stand-ins for CLIP's tokens."""

import re
from dataclasses import dataclass
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
from parity.describe import DescriptionError, evaluate_formula, formula_in, stated, stated_number
from parity.kinds.scannet import made_files, made_stream, other_case_array

LISTED = re.compile(r"out\.pixel_to_point_frame(\d+)_rows(\d+)_(\d+)_cols(\d+)_(\d+)")
"""Names of arrays that list the points of some pixels: frame, first row and step, first column and step."""
FLOAT32_SINE = 1e-6
"""Tolerance of the stand-in tokens that the case quotes as a check: numpy's sine differs by an ulp between versions."""


@dataclass(frozen=True)
class Tokens:
    """The stand-in tokens of a case: a formula of row, column, channel and frame on a grid of rows x columns."""

    formula: str
    names: tuple[str, str, str]
    rows: int
    columns: int
    channels: int

    def of(self, frame: int) -> torch.Tensor:
        """Return the tokens of a frame, (rows, columns, C) float32."""
        grid = np.ogrid[: self.rows, : self.columns, : self.channels]
        values = evaluate_formula(self.formula, **dict(zip(self.names, grid, strict=True)), frame=frame)
        return torch.from_numpy(np.broadcast_to(values, (self.rows, self.columns, self.channels)).copy())


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    settings, allowed = case["settings"], case["tolerance"]
    channels = settings["channels"]
    points = torch.from_numpy(read_mesh(made_files(case, folder).mesh).vertices)
    superpoints = torch.from_numpy(other_case_array(settings["superpoint"], folder).astype(np.int64))
    tokens = stand_ins(case)
    features = PointFeatures(len(points), channels)
    with SensFile.open(made_stream(case, folder)) as stream:
        every = {frame: _hits(stream, frame, points, tokens, settings) for frame in settings["frames"]}
    for frame, hits in every.items():
        features.add(hits, tokens.of(frame))
    count = int(superpoints.max()) + 1
    in_two_passes = SuperpointFeatures(superpoints, features.counts, count, channels)
    for frame, hits in every.items():
        in_two_passes.add(hits, tokens.of(frame))

    found: dict[str, np.ndarray | Check] = {}
    for name in (name for name in arrays if name.startswith("in.tokens_frame")):
        quoted = tokens.of(int(name.removeprefix("in.tokens_frame"))).flatten(0, 1).numpy()
        found[name] = compare(name, quoted, arrays[name], FLOAT32_SINE)
    for name in (name for name in arrays if LISTED.fullmatch(name)):
        found[name] = _listed(name, every, arrays[name], case)
    apart = stated_number(allowed["point_pixel_count"], r"\babs # allowed", "tolerance.point_pixel_count")
    superpoint_means = features.superpoint_means(superpoints, count).numpy()
    for name, values, absolute in (
        ("point_pixel_count", features.counts.numpy(), apart),
        ("point_feat_2d", features.means().numpy(), allowed["point_feat_2d"]),
        ("sp_feat_2d", superpoint_means, allowed["sp_feat_2d"]),
        ("sp_feat_2d, two passes", in_two_passes.means.numpy(), allowed["sp_feat_2d"]),
    ):
        found[name] = compare(name, values, arrays[f"out.{name.partition(',')[0]}"], absolute)
    if "in.ball.points" in arrays:
        ball = (torch.from_numpy(arrays[f"in.ball.{name}"])[None] for name in ("points", "queries"))
        found["ball.index"] = ball_query(*ball, settings["radius"], settings["K"], pad="none")[0].numpy()
    return found


def stand_ins(case: dict) -> Tokens:
    """Return the tokens that the text of `settings.tokens` describes."""
    text = case["settings"]["tokens"]
    pattern = r"\brow (\w), column (\w) of (\d+)x(\d+) and channel (\w)\b"
    row, column, rows, columns, channel = stated(text, pattern, "settings.tokens")
    names = (row, column, channel)
    return Tokens(formula_in(text, "settings.tokens"), names, int(rows), int(columns), case["settings"]["channels"])


def _hits(stream: SensFile, frame: int, points: torch.Tensor, tokens: Tokens, settings: dict) -> PixelHits:
    header = stream.header
    size = header.colour_size
    layout = PatchLayout(tokens.rows, tokens.columns, (0, 0, *size), size)
    depth = torch.from_numpy(to_metres(stream.depth(frame), header.depth_shift))
    grid = grid_on_depth(layout, header.depth_size, "stretched")
    pose = (
        stream.pose(frame).astype(np.float64).round(6)
    )  # the published exporter's digits decide whether some pixels hit
    matrices = (torch.from_numpy(matrix.astype(np.float64)) for matrix in (header.depth_intrinsic, pose))
    return find_hits(points, depth, *matrices, grid, radius=settings["radius"], most=settings["K"])


def _listed(name: str, every: dict[int, PixelHits], expected: np.ndarray, case: dict) -> Check:
    match = LISTED.fullmatch(name)
    assert match is not None
    frame, row, row_step, column, column_step = map(int, match.groups())
    if frame not in every:
        raise DescriptionError(f"{name}: frame {frame} is not among the case's frames {list(every)}")
    hits = every[frame]
    width, height = hits.grid.depth_size
    found = np.full((height * width, hits.points.shape[1]), -1)
    found[hits.pixels] = hits.points
    found = found.reshape(height, width, -1)[row::row_step, column::column_step]
    share = stated_number(case["tolerance"]["pixel_to_point"], r"# % of entries", "tolerance.pixel_to_point")
    words = f"{share:g} % equal"
    if found.shape != expected.shape:
        return Check(name, float("nan"), words, False, f"shape {found.shape}, expected {expected.shape}")
    wrong = int((found != expected).sum())
    passed = 100 * wrong <= (100 - share) * expected.size
    note = f"{(expected >= 0).sum()} hits; the error is the share that differs"
    return Check(name, wrong / expected.size, words, passed, note)
