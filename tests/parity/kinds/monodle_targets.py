"""A KITTI frame -> warped image and encoded targets, with the random draws of the published loader."""

from pathlib import Path

import numpy as np
import torch

from g3d.data.images.augment import Augmentation, draw_augmentation, no_augmentation
from g3d.data.images.image import invert_affine, read_image, warp_image
from g3d.data.kitti.object_depth import depth_rectangles
from g3d.data.kitti.raw import read_calibration, read_labels
from g3d.nn.images import normalise
from g3d.systems.monodle.targets import depth_map_of_cars, encode
from parity.check import Check, compare
from parity.kinds.monodle import augment_config, data_config, mini_kitti, summary
from parity.kinds.monodle_decode import STRIDE


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    root, frame, config = mini_kitti(case, folder), f"{int(case['frame']):06d}", case["config"]
    height, width = (STRIDE * n for n in arrays["out.heatmap"].shape[1:])
    data = data_config(config, (width, height))
    image, objects, camera = (
        read_image(root.image(frame)),
        read_labels(root.label(frame)),
        read_calibration(root.calibration(frame)),
    )
    size = (image.shape[1], image.shape[0])
    augmentation = _drawn(case, arrays, size)
    transform = augmentation.transform(size, data.resolution)
    warped = warp_image(image[:, ::-1] if augmentation.flip else image, transform, data.resolution)
    cars_only = depth_map_of_cars(data) and not config.get(
        "use_dontcare"
    )  # DontCare lengthens the published list, and no more
    rectangles = depth_rectangles(objects, ["Car"] if cars_only else None) if config.get("obj_depth", True) else None
    targets = encode(objects, camera, size, augmentation, data, config["meanshape"], rectangles)

    found: dict[str, np.ndarray | Check] = {
        f"draw.{name}": check for name, check in _compare_draws(arrays, augmentation).items()
    }
    found |= {
        "trans": transform,
        "trans_inv": invert_affine(transform),
        "image.stats": summary(normalise(torch.from_numpy(warped).permute(2, 0, 1)[None]).numpy()),
        "img_size": np.array(size),
        "bbox_downsample_ratio": np.array(size) / [width // STRIDE, height // STRIDE],
        "indices": targets.cells.numpy(),
        "depth": targets.depth[:, None].numpy(),
        "heading_bin": targets.heading_bin[:, None].numpy(),
        "heading_res": targets.heading_res[:, None].numpy(),
        "mask_2d": targets.mask_2d.numpy().astype(np.uint8),
        "mask_3d": targets.mask_3d.numpy().astype(np.uint8),
    }
    for name in ("heatmap", "offset_2d", "offset_3d", "size_2d", "size_3d", "src_size_3d", "obj_depth"):
        found[name] = getattr(targets, name).numpy()
    for name in (n.removeprefix("out.") for n in arrays if n.startswith("out.image_u8")):
        step = int(name.partition("stride")[2] or 1)
        found[name] = warped[::step, ::step]
    return found


def _drawn(case: dict, arrays: dict[str, np.ndarray], size: tuple[int, int]) -> Augmentation:
    if case["split"] not in ("train", "trainval"):
        return no_augmentation(size)
    return draw_augmentation(np.random.RandomState(int(arrays["in.seed"])), size, augment_config(case["config"]))


def _compare_draws(arrays: dict[str, np.ndarray], augmentation: Augmentation) -> dict[str, Check]:
    """The draws from the case's seed against those it records."""
    drawn = {
        "flip": augmentation.flip,
        "crop": augmentation.crop,
        "aug_scale": augmentation.scale,
        "center": augmentation.center,
    }
    return {
        name: compare(f"in.{name}", np.asarray(value), arrays[f"in.{name}"], 1e-9, note="drawn again")
        for name, value in drawn.items()
    }
