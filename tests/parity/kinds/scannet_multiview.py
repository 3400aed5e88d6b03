"""Multiview features: frames of a stream, ENet with the published weights, points to pixels, pooling.

Runs from ../shared only, because of the weights.
"""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from g3d.data.scannet.frame_export import export_frames
from g3d.data.scannet.frames import open_frames
from g3d.data.scannet.multiview import (
    CELLS,
    COLOUR_SIZE,
    FeaturePool,
    View,
    make_view,
    published_order,
    see_points,
)
from g3d.nn.enet import CHANNELS, load_enet, normalise
from parity.check import Check, compare
from parity.describe import DescriptionError, stated, stated_number
from parity.kinds.scannet import made_stream, other_case_array
from parity.kinds.ws3dvg_enet import published_weights

Features = Callable[[np.ndarray], torch.Tensor]
Found = dict[str, np.ndarray | Check]


@dataclass(frozen=True)
class Tolerances:
    """Absolute tolerances of features: from the case's pictures; from the stream; from the stream, on average; and the
    share of pairs of point and cell that may differ."""

    features: float
    from_stream: float
    from_stream_mean: float
    pairs: float


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> Found:
    settings, allowed = case["settings"], tolerances(case)
    check_sizes(settings)
    points = torch.from_numpy(other_case_array(settings["points"], folder)[:, :3].copy())
    stream = made_stream(case, folder)
    views = _views(stream, None)
    names = chosen_frames(settings, views)
    pictures = {name: arrays["in.images_uint8"][i] for i, name in enumerate(names)}
    network = load_enet(published_weights(case["source"], folder))

    def features(picture: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            return network(normalise(torch.from_numpy(picture)[None]))[0]

    made = {name: features(pictures.get(name, view.colour)) for name, view in views.items()}
    found: Found = {"frame_ids": np.array([int(name) for name in names])}
    for name in (name for name in arrays if name.startswith("out.enet_input_frame")):
        frame, step = stated(name, r"frame(\d+)_stride(\d+)", "name of an array")
        pixels = normalise(torch.from_numpy(pictures[frame])[None])[0, :, :: int(step), :: int(step)].numpy()
        found[name] = compare(name, pixels, arrays[name], allowed.features)
    found |= _features(case, arrays, views, made, features, allowed)
    found |= _projection(arrays, "", points, [views[name] for name in names], allowed)
    pools = {mode: _pool(points, [(views[name], made[name]) for name in names], mode) for mode in ("max", "first")}
    for mode, label in (("max", "maxpool"), ("first", "first")):
        found |= _pooled(arrays, "", label, pools[mode], allowed.features)
    for prefix, size in resized_frames(settings).items():
        small = _views(stream, size)
        found |= _projection(arrays, prefix, points, [small[name] for name in names], allowed)
        pool = _pool(points, [(small[name], features(small[name].colour)) for name in names], "max")
        found |= _pooled(arrays, prefix, "maxpool", pool, allowed.from_stream_mean)
    return found


def tolerances(case: dict) -> Tolerances:
    """Return the tolerances that the case gives in words."""
    words, pairs = case["tolerance"]["enet_features"], case["tolerance"]["indices"]
    return Tolerances(
        stated_number(words, r"from in\.images_uint8: # abs", "tolerance.enet_features"),
        stated_number(words, r"\b[Ff]rom the \.sens,[^:]*: abs #", "tolerance.enet_features"),
        stated_number(words, r"\bmean abs #", "tolerance.enet_features"),
        stated_number(pairs, r"\ballow # %", "tolerance.indices") / 100,
    )


def check_sizes(settings: dict) -> None:
    """Raise unless pictures and features have the sizes for which the published projection is defined."""
    found = stated(settings["image"], r"\b(\d+)x(\d+) nearest.*ENet -> (\d+) x (\d+) x (\d+)", "settings.image")
    expected = (*COLOUR_SIZE, CHANNELS, CELLS[1], CELLS[0])
    if tuple(map(int, found)) != expected:
        raise DescriptionError(f"settings.image: expected the published sizes {expected}, found {found}")


def chosen_frames(settings: dict, views: dict[str, View]) -> list[str]:
    """Return the names of the frames that the case uses, in the published order."""
    text = settings["frames"]
    if isinstance(text, list):
        return published_order(str(frame) for frame in text)
    if not re.search(r"\ball frames but the one with the invalid pose, in the published order\b", text):
        raise DescriptionError(f"settings.frames: expected a list of frames or the known rule, found {text!r}")
    return published_order(name for name, view in views.items() if np.isfinite(view.pose).all())


def resized_frames(settings: dict) -> dict[str, tuple[int, int]]:
    """Return the width and height of the frames of each further setting, by the prefix of its arrays."""
    sizes = {}
    for prefix in (name for name in settings if name.endswith("_")):
        size = stated(settings[prefix], r"\bframes first resized to (\d+)x(\d+) \(nearest\)", f"settings.{prefix}")
        sizes[prefix] = (int(size[0]), int(size[1]))
    return sizes


def _views(path: Path, size: tuple[int, int] | None) -> dict[str, View]:
    """Return the views by frame name, in the order of their numbers, poses with the six published decimals."""
    with tempfile.TemporaryDirectory() as name:
        export_frames(path, name, reencode=True, keep_lost=True, size=size)
        with open_frames(name) as source:
            views = {frame: make_view(source.frame(i)) for i, frame in enumerate(source.names)}
    return {
        n: replace(view, pose=np.array([[float(f"{x:f}") for x in row] for row in view.pose], np.float32))
        for n, view in views.items()
    }


def _features(
    case: dict,
    arrays: dict,
    views: dict[str, View],
    made: dict[str, torch.Tensor],
    features: Features,
    allowed: Tolerances,
) -> dict[str, Check]:
    expected = arrays["out.enet_features"]
    step, channels = stated(
        case["meaning"]["enet_features"], r"\bevery (\d+)th of (\d+) channels", "meaning.enet_features"
    )
    if int(channels) != CHANNELS:
        raise DescriptionError(f"meaning.enet_features: ENet has {CHANNELS} channels, not {channels}")
    given = [i for i, name in enumerate(views) if np.isfinite(views[name].pose).all()]
    stack = np.stack([value[:: int(step)].numpy() for value in made.values()])
    again = np.stack([features(view.colour)[:: int(step)].numpy() for view in views.values()])
    mean = np.abs(again - expected).mean()
    most = allowed.from_stream_mean
    return {
        "enet_features": compare("out.enet_features", stack[given], expected[given], allowed.features),
        "from stream": compare("enet_features from the .sens", again, expected, allowed.from_stream),
        "from stream, mean": Check("enet_features from the .sens, mean", mean, f"{most:g}", bool(mean <= most)),
    }


def _projection(arrays: dict, prefix: str, points: torch.Tensor, views: list[View], allowed: Tolerances) -> Found:
    """Compare pairs of point and cell as sets; other arithmetic may change some pairs at borders."""
    expected = set()
    for frame, (rows, cells) in enumerate(
        zip(arrays[f"out.{prefix}indices_3d"], arrays[f"out.{prefix}indices_2d"], strict=True)
    ):
        expected |= {(frame, int(row), int(cell)) for row, cell in zip(rows, cells, strict=True) if row >= 0}
    found = set()
    for frame, view in enumerate(views):
        cells = see_points(points, view)
        found |= {(frame, int(row), int(cells[row])) for row in (cells >= 0).nonzero()[:, 0]}
    wrong, most = len(found ^ expected), len(expected) * allowed.pairs
    share = f"{100 * allowed.pairs:g} %"
    apart = Check(f"out.{prefix}indices_3d and _2d", wrong, f"{share} of {len(expected)} pairs", wrong <= most)
    counts = np.bincount([frame for frame, _, _ in found], minlength=len(views))
    differ = int(np.abs(counts - arrays[f"out.{prefix}count"]).sum())
    depth_name = f"{prefix}depth_{CELLS[0]}x{CELLS[1]}"
    return {
        f"{prefix}indices_3d": apart,
        f"{prefix}indices_2d": apart,
        f"{prefix}count": Check(f"out.{prefix}count", differ, f"{share} of the pairs", differ <= most),
        depth_name: np.stack([view.depth for view in views]),
    }


def _pool(points: torch.Tensor, views: list[tuple[View, torch.Tensor]], mode: str) -> FeaturePool:
    pool = FeaturePool(len(points), CHANNELS, mode)
    for view, features in views:
        pool.add(see_points(points, view), features)
    return pool


def _pooled(arrays: dict, prefix: str, label: str, pool: FeaturePool, absolute: float) -> Found:
    """Compare what the case stores of pooled features: covered points, every n-th point, statistics."""
    name, values = f"out.{prefix}point_features_{label}", pool.features.numpy()
    found: Found = {}
    if f"out.{prefix}covered_{label}" in arrays:
        found[f"{prefix}covered_{label}"] = pool.seen.numpy()
    for stored in (stored for stored in arrays if stored.startswith(f"{name}_")):
        what = stored.removeprefix(f"{name}_")
        if what == "stats":
            found[stored] = compare(stored, _stats(values), arrays[stored], absolute)
        else:
            (step,) = stated(what, r"^stride(\d+)$", stored)
            found[stored] = compare(stored, values[:: int(step)], arrays[stored], absolute)
    return found


def _stats(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return np.array([values.mean(), np.abs(values).mean(), values.std()])
