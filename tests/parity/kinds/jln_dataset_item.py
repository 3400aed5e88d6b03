"""An expression of the small data set -> warped image and targets, with the published augmentation."""

from pathlib import Path
from typing import Any

import numpy as np

from g3d import config
from g3d.data.images.augment import Augmentation, no_augmentation
from g3d.data.images.image import apply_affine, read_image
from g3d.data.mono3drefer.folder import Mono3DReferRoot
from g3d.data.mono3drefer.raw import EXPRESSIONS_FILE, read_expressions
from g3d.data.types import ImageSource
from g3d.nn.images import normalise
from g3d.systems.jln.samples import make_sample, warped_image
from g3d.systems.jln.targets import Targets
from parity.check import Check, compare
from parity.describe import meaning_of, named_data, stated, stated_number, stored_part

DATA = "mini_mono3drefer"
"""The small data set beside the cases, for a case that names none."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    root, item = Mono3DReferRoot.find(folder / named_data(case, DATA)), case["item"]
    height, width = stated(meaning_of(case, "out.image_u8_sub"), r" of \[(\d+), ?(\d+), ?3\]", "out.image_u8_sub")
    settings: Any = config.load("jln-as-published", [f"data.resolution=[{width}, {height}]"])
    levels = stated_number(case["tolerance"]["image"], r"\buint8 within #", "tolerance.image")
    identity = f"{item['im_name']}_{item['instanceID']}_{item['ann_id']}"
    (expression,) = (e for e in read_expressions(root.root / EXPRESSIONS_FILE).expressions if e.id == identity)
    pixels, camera = read_image(root.image_path(expression.image)), root.calibration(expression.image)
    size = (pixels.shape[1], pixels.shape[0])
    augmentation = _augmentation(case.get("augmentation"), size)
    image = warped_image(pixels, augmentation, settings.data.resolution)
    training = "out.labels" in arrays
    sample = make_sample(image, ImageSource(None, size, camera), expression, augmentation, settings, training)

    normalised = normalise(image[None])[0].permute(1, 2, 0).contiguous().numpy()
    label = expression.objects
    stored = arrays["out.image_u8_sub"]
    part = stored_part(case, "out.image_u8_sub", (int(height), int(width), 3), stored.shape)
    found: dict[str, np.ndarray | Check] = {
        "text": Check("text", 0.0, "exact", (sample.expression or "").lower() == item["text"]),
        "image_u8_sub": compare("out.image_u8_sub", image.permute(1, 2, 0).numpy()[part], stored, levels),
        "image_mean_std": np.stack(
            [normalised.mean((0, 1)), normalised.std((0, 1))]
        ),  # running float32 sums, pixel after pixel
        "P2": camera.astype(np.float32),
        "img_size": np.array(size),
        "gt_3dbox": np.concatenate([label.sizes[0], label.locations[0]]),
    }
    if training:
        found |= _targets(sample.targets, camera)
        found["size_2d"] = _size_2d(label.boxes2d, size, augmentation, settings.data.resolution)
    return found


def _augmentation(drawn: dict | None, size: tuple[int, int]) -> Augmentation:
    whole = no_augmentation(size)
    if drawn is None:
        return whole
    shift = np.array(drawn.get("center_shift_fraction", (0, 0)))
    return Augmentation(drawn["flip"], drawn["crop"], whole.center + size * shift, drawn.get("crop_scale", 1.0))


def _targets(targets: Targets, camera: np.ndarray) -> dict[str, np.ndarray]:
    """The published arrays: one row for the one object."""
    names = {
        "labels": "label",
        "boxes": "box",
        "boxes_3d": "box3d",
        "size_3d": "size",
        "src_size_3d": "size",
        "mask_2d": "present",
    }
    found = {name: getattr(targets, ours)[None].numpy() for name, ours in names.items()}
    found |= {name: getattr(targets, name)[None, None].numpy() for name in ("depth", "heading_bin", "heading_res")}
    return found | {
        "calibs": camera.astype(np.float32)[None],
        "target_visual_classifier": targets.regions.numpy(),
        "target_depth_classifier": targets.depth_regions.numpy(),
    }


def _size_2d(
    box: np.ndarray, image_size: tuple[int, int], augmentation: Augmentation, resolution: tuple[int, int]
) -> np.ndarray:
    """Width and height of the 2D box in network pixels, which no loss uses, with the published float32 at every step.

    The published transform is solved from three points in float32: the centre, the middle of the upper side, and one at
    its left.
    """
    corners = box.astype(np.float32).reshape(2, 2)
    if augmentation.flip:
        corners[:, 0] = np.float32(image_size[0]) - corners[::-1, 0]
    middle = np.array(resolution) / 2
    source = _three_points(augmentation.center, image_size[0] * augmentation.scale / 2)
    target = _three_points(middle, middle[0])
    transform = np.linalg.solve(np.column_stack([source, np.ones(3)]), target).T
    corners = apply_affine(corners, transform).astype(np.float32)
    return (corners[1] - corners[0])[None]


def _three_points(center: np.ndarray, reach: float) -> np.ndarray:
    points = np.array([center, center - [0, reach], center], np.float32)
    points[2] = points[1] - (points[0] - points[1])[::-1]
    return points.astype(np.float64)
