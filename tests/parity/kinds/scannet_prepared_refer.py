"""Prepare a scan as `_refer` and as `_inst_nostuff`, write and read back both files and the ground-truth file."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from g3d.data.scannet.arrays import PreparedScene, instances_without_stuff, prepared_scene, refer_instances
from g3d.data.scannet.published import (
    read_ground_truth,
    read_prepared,
    write_ground_truth,
    write_inst_nostuff,
    write_refer,
)
from g3d.ops.mesh_segments import mesh_segments
from parity.check import Check, compare
from parity.describe import DescriptionError
from parity.kinds.scannet import by_appearance, made_scan, scene_name

LABELLED_SPLITS = ("train", "val")
"""Splits whose prepared files hold labels; their fields are the same."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    scan, table = made_scan(case, folder)
    if scan.segments is None or scan.aggregation is None or scan.labels is None:
        raise DescriptionError(f"scene {scene_name(case)}: the scan has no segments, annotation or labels")
    superpoints = mesh_segments(torch.from_numpy(scan.mesh.vertices), torch.from_numpy(scan.mesh.faces)).numpy()
    without_stuff = instances_without_stuff(scan.segments, scan.aggregation, table, scan.labels)
    scenes = {
        "spformer": prepared_scene(scan.mesh, superpoints, scan.labels, without_stuff),
        "refer": prepared_scene(scan.mesh, superpoints, scan.labels, refer_instances(scan.segments, scan.aggregation)),
    }
    with tempfile.TemporaryDirectory() as temporary:
        ground_truth = Path(temporary) / "gt.txt"
        write_ground_truth(ground_truth, scenes["spformer"])
        found = {"spformer.gt_txt": read_ground_truth(ground_truth)}
        for name, write in (("spformer", write_inst_nostuff), ("refer", write_refer)):
            path = Path(temporary) / f"{name}.pth"
            write(path, scenes[name])
            for split in (split for split in LABELLED_SPLITS if any(f".{split}." in key for key in arrays)):
                found |= _fields(f"{name}.{split}", read_prepared(path))
    allowed = {"coords": case["tolerance"]["coords"], "colors": case["tolerance"]["colors"]}
    checks = {}
    for name in (n.removeprefix("out.") for n in arrays if n.startswith("out.")):
        field = name.rpartition(".")[2]
        if name not in found:
            continue  # reported as not computed
        pair = (found[name], arrays[f"out.{name}"])
        pair = (by_appearance(pair[0]), by_appearance(pair[1])) if field == "superpoint" else pair
        checks[name] = compare(name, *pair, allowed.get(field, 0.0))
    return checks


def _fields(name: str, scene: PreparedScene) -> dict[str, np.ndarray]:
    assert scene.semantic is not None
    assert scene.instance is not None
    return {
        f"{name}.coords": scene.coords,
        f"{name}.colors": scene.colours,
        f"{name}.superpoint": scene.superpoints,
        f"{name}.sem_label": scene.semantic,
        f"{name}.instance_label": scene.instance,
    }
