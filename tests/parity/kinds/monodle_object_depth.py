"""Label files -> object-wise depth maps, all classes and cars."""

from pathlib import Path

import numpy as np

from g3d.data.images.image import read_image
from g3d.data.kitti.object_depth import depth_rectangles, paint
from g3d.data.kitti.raw import parse_objects, read_labels
from parity.describe import DescriptionError, meaning_of, stated
from parity.kinds.monodle import mini_kitti


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for name in (n.removeprefix("out.") for n in arrays if n.startswith("out.")):
        frame, variant = name.split(".")
        root = mini_kitti(case, folder)
        if root.label(frame).is_file():
            objects, image = read_labels(root.label(frame)), read_image(root.image(frame))
            size = (image.shape[1], image.shape[0])
        else:
            (described,) = stated(meaning_of(case, "in.label_txt"), r"\bframe (\d+)\b", "in.label_txt")
            if frame != described:
                raise DescriptionError(f"out.{name}: frame {frame} is neither in {root} nor in.label_txt ({described})")
            objects = parse_objects(arrays["in.label_txt"].tobytes().decode("ascii"), "in.label_txt", scored=False)
            size = (int(arrays["in.size"][0]), int(arrays["in.size"][1]))
        found[name] = paint(depth_rectangles(objects, ["Car"] if variant == "car" else None), size)
    return found
