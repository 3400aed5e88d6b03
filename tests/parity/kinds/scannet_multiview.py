"""Multiview features: frames of the made stream, ENet with the published weights, points to pixels, pooling. Runs from
../shared only."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from g3d.data.scannet.frame_export import export_frames
from g3d.data.scannet.frames import open_frames
from g3d.data.scannet.multiview import FeaturePool, View, make_view, published_order, see_points
from g3d.nn.enet import CHANNELS, load_enet, normalise
from parity.check import Check, compare
from parity.kinds.scannet_sens import SCENE
from parity.kinds.ws3dvg_enet import REAL

FEATURES, FROM_STREAM, FROM_STREAM_MEAN = 1e-3, 5e-2, 5e-3  # as the case says, from its pictures and from the stream


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    root = folder.parents[1]
    points = torch.from_numpy(np.load(folder / "batch_load.npz")["out.full.vert"][:, :3].copy())
    views, small = (_views(root / SCENE, size) for size in (None, (320, 240)))
    names = published_order(name for name in views if np.isfinite(views[name].pose).all())
    pictures = {name: arrays["in.images_uint8"][i] for i, name in enumerate(names)}
    network = load_enet(root / REAL)

    def features(picture: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            return network(normalise(torch.from_numpy(picture)[None]))[0]

    made = {name: features(pictures.get(name, view.colour)) for name, view in views.items()}
    found: dict[str, np.ndarray | Check] = {
        "frame_ids": np.array([int(name) for name in names]),
        "enet_input_frame0_stride8": _within(
            "enet_input_frame0_stride8",
            normalise(torch.from_numpy(pictures["0"])[None])[0, :, ::8, ::8].numpy(),
            arrays,
            FEATURES,
        ),
    }
    found |= _features(case, arrays, views, made, features)
    for prefix, chosen in (("", views), ("f320_", small)):
        found |= _projection(arrays, prefix, points, [chosen[name] for name in names])
    for mode, label in (("max", "maxpool"), ("first", "first")):
        found |= _pooled(arrays, label, _pool(points, [(views[name], made[name]) for name in names], mode))
    stats = _stats(_pool(points, [(small[name], features(small[name].colour)) for name in names], "max"))
    found["f320_point_features_maxpool_stats"] = _within(
        "f320_point_features_maxpool_stats", stats, arrays, FROM_STREAM_MEAN
    )
    return found


def _views(path: Path, size: tuple[int, int] | None) -> dict[str, View]:
    """Name -> view by number, poses as published with six decimals."""
    with tempfile.TemporaryDirectory() as name:
        export_frames(path, name, reencode=True, keep_lost=True, size=size)
        with open_frames(name) as source:
            views = {frame: make_view(source.frame(i)) for i, frame in enumerate(source.names)}
    return {
        n: replace(view, pose=np.array([[float(f"{x:f}") for x in row] for row in view.pose], np.float32))
        for n, view in views.items()
    }


def _features(case: dict, arrays: dict, views: dict, made: dict, features) -> dict[str, Check]:
    expected = arrays["out.enet_features"]
    given = [i for i, name in enumerate(views) if np.isfinite(views[name].pose).all()]
    stack = np.stack([value[::8].numpy() for value in made.values()])
    again = np.stack([features(view.colour)[::8].numpy() for view in views.values()])
    mean = np.abs(again - expected).mean()
    return {
        "enet_features": compare("out.enet_features", stack[given], expected[given], FEATURES),
        "from stream": compare("enet_features from the .sens", again, expected, FROM_STREAM),
        "from stream, mean": Check(
            "enet_features from the .sens, mean", mean, f"{FROM_STREAM_MEAN:g}", bool(mean <= FROM_STREAM_MEAN)
        ),
    }


def _projection(arrays: dict, prefix: str, points: torch.Tensor, views: list[View]) -> dict[str, np.ndarray | Check]:
    """Pairs of point and cell, as sets: the same, or for other arithmetic (planes through borders) all but 0.1 %."""
    expected = set()
    for frame, (rows, cells) in enumerate(
        zip(arrays[f"out.{prefix}indices_3d"], arrays[f"out.{prefix}indices_2d"], strict=True)
    ):
        expected |= {(frame, int(row), int(cell)) for row, cell in zip(rows, cells, strict=True) if row >= 0}
    found = set()
    for frame, view in enumerate(views):
        cells = see_points(points, view)
        found |= {(frame, int(row), int(cells[row])) for row in (cells >= 0).nonzero()[:, 0]}
    wrong, most = len(found ^ expected), len(expected) / 1000
    apart = Check(f"out.{prefix}indices_3d and _2d", wrong, f"0.1 % of {len(expected)} pairs", wrong <= most)
    counts = np.bincount([frame for frame, _, _ in found], minlength=len(views))
    differ = int(np.abs(counts - arrays[f"out.{prefix}count"]).sum())
    return {
        f"{prefix}indices_3d": apart,
        f"{prefix}indices_2d": apart,
        f"{prefix}count": Check(f"out.{prefix}count", differ, "0.1 % of the pairs", differ <= most),
        f"{prefix}depth_41x32": np.stack([view.depth for view in views]),
    }


def _pool(points: torch.Tensor, views: list[tuple[View, torch.Tensor]], mode: str) -> FeaturePool:
    pool = FeaturePool(len(points), CHANNELS, mode)
    for view, features in views:
        pool.add(see_points(points, view), features)
    return pool


def _pooled(arrays: dict, label: str, pool: FeaturePool) -> dict[str, np.ndarray | Check]:
    name = f"point_features_{label}"
    return {
        f"covered_{label}": pool.seen.numpy(),
        f"{name}_stride6": _within(f"{name}_stride6", pool.features[::6].numpy(), arrays, FEATURES),
        f"{name}_stats": _within(f"{name}_stats", _stats(pool), arrays, FEATURES),
    }


def _stats(pool: FeaturePool) -> np.ndarray:
    values = pool.features.numpy().astype(np.float64)
    return np.array([values.mean(), np.abs(values).mean(), values.std()])


def _within(name: str, found: np.ndarray, arrays: dict, absolute: float) -> Check:
    return compare(f"out.{name}", found, arrays[f"out.{name}"], absolute)
