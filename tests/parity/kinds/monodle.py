"""Shared by the kinds of monodle cases: the filled network, images, targets, sections of a preset, KITTI frames."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.data.kitti.raw import KittiRoot
from g3d.systems.monodle.config import AugmentConfig, DataConfig, LossConfig, QuasiIsometricConfig
from g3d.systems.monodle.model import MonoDLE
from g3d.systems.monodle.official import import_official
from g3d.systems.monodle.targets import Targets
from parity.describe import DescriptionError, agreed, check_values, named_data, stated_number
from parity.weights import beside, filled_state

DATA = "mini_kitti"
"""The small data set beside the cases, for a case that names none."""


def filled_model(case: dict[str, Any], folder: Path) -> MonoDLE:
    """The network of the manifest's widths with the case's weights, imported as a user's checkpoint is."""
    state = filled_state(case, folder)
    model = model_like(state)
    import_official({"epoch": 0, "model_state": state, "optimizer_state": {}}, model)
    return model


def model_like(state: dict[str, Tensor]) -> MonoDLE:
    """A network with the widths of a state dict, with fresh weights."""
    first = (
        "base_layer.0",
        "level1.0",
        "level2.tree1.conv1",
        "level3.tree1.tree1.conv1",
        "level4.tree1.tree1.conv1",
        "level5.tree1.conv1",
    )
    channels = [len(state[f"backbone.{name}.weight"]) for name in first]
    return MonoDLE(channels, len(state["heatmap.0.weight"]), any(name.startswith("obj_depth.") for name in state))


def seeded_image(arrays: dict[str, np.ndarray]) -> Tensor:
    """Return the image of a case that gives a seed and a shape, checked against the values and the sum it quotes.

    Raises:
        DescriptionError: the quoted values or the quoted sum differ.
    """
    shape = tuple(arrays["in.image_shape"].tolist())
    image = np.random.RandomState(int(arrays["in.seed"])).standard_normal(shape).astype(np.float32)
    if "in.image_first8" in arrays:
        quoted = arrays["in.image_first8"]
        check_values(image.flatten()[: len(quoted)], quoted, "in.image_first8")
    if "in.image_sum" in arrays:
        total, quoted = image.sum(dtype=np.float64), arrays["in.image_sum"]
        if not np.isclose(total, quoted, rtol=1e-9, atol=1e-6):  # the order of summation differs between versions
            raise DescriptionError(f"in.image_sum: the generated image sums to {total}, the case quotes {quoted}")
    return torch.from_numpy(image)


def targets_from(arrays: dict[str, np.ndarray]) -> Targets:
    """The published batch of targets (in.target.*) as ours."""
    t = {
        name.removeprefix("in.target."): torch.from_numpy(value)
        for name, value in arrays.items()
        if name.startswith("in.target.")
    }
    return Targets(
        heatmap=t["heatmap"],
        cells=t["indices"],
        offset_2d=t["offset_2d"],
        offset_3d=t["offset_3d"],
        size_2d=t["size_2d"],
        depth=t["depth"][..., 0],
        heading_bin=t["heading_bin"][..., 0],
        heading_res=t["heading_res"][..., 0],
        size_3d=t["size_3d"],
        src_size_3d=t["src_size_3d"],
        mask_2d=t["mask_2d"].bool(),
        mask_3d=t["mask_3d"].bool(),
        obj_depth=t.get("obj_depth", torch.zeros(len(t["heatmap"]), 0, 0)),
    )


def loss_config(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> LossConfig:
    """Return the published losses with the case's K, B and radius, which it gives as arrays or in its description."""
    used = not any(name.startswith("out.loss.") for name in arrays) or "out.loss.qi" in arrays
    if not used:
        return LossConfig(quasi_isometric=None, size3d_divisor="residual")
    names = (("K", "K", "K"), ("B", "B", "B"), ("radius", "rad", "radius"))
    values = {ours: setting(case, theirs, word, arrays.get(f"in.{theirs}")) for ours, theirs, word in names}
    return LossConfig(quasi_isometric=QuasiIsometricConfig(**values), size3d_divisor="residual")


def setting(case: dict[str, Any], key: str, word: str, array: np.ndarray | None = None) -> float:
    """Return a number that a case gives as an array, as a field, or after a word in its description (`lr 1e-4`).

    Numbers are compared with seven digits: arrays may hold float32.

    Raises:
        DescriptionError: none of these states the number, or two of them contradict each other.
    """
    text = case.get("ran", "")
    described = stated_number(text, rf"\b{word} #", "ran") if re.search(rf"\b{word} \d", text) else None
    places = {f"in.{key}": array, key: case.get(key), "ran": described}
    rounded = {place: None if value is None else float(f"{float(value):.7g}") for place, value in places.items()}
    return float(agreed(rounded, key))


def data_config(config: dict[str, Any], resolution: tuple[int, int]) -> DataConfig:
    """The published `dataset` section as ours."""
    return DataConfig(
        resolution=resolution,
        classes=tuple(config["writelist"]),
        class_merging=config["class_merging"],
        center="3d" if config["use_3d_center"] else "2d",
        box2d={"anno": "annotated", "proj": "projected"}[config["bbox2d_type"]],
    )


def augment_config(config: dict[str, Any]) -> AugmentConfig:
    return AugmentConfig(
        flip=config["random_flip"], crop=config["random_crop"], scale=config["scale"], shift=config["shift"]
    )


def mini_kitti(case: dict[str, Any], folder: Path) -> KittiRoot:
    """Return the data root that the case names, or that comes with the cases."""
    return KittiRoot.find(beside(folder, "monodle", named_data(case, DATA)))


def angle_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs((a - b + np.pi) % (2 * np.pi) - np.pi)


def summary(values: np.ndarray) -> np.ndarray:
    """Mean, mean magnitude and standard deviation."""
    values = np.asarray(values, np.float64)
    return np.array([values.mean(), np.abs(values).mean(), values.std()])
