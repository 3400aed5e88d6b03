"""The made scene prepared as `_refer` and as `_inst_nostuff`, written and read back, and its ground-truth file."""

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
from parity.kinds.scannet import made_scan


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    scan, table = made_scan(folder)
    assert scan.segments is not None
    assert scan.aggregation is not None
    assert scan.labels is not None
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
            found |= _fields(name, read_prepared(path))
    allowed = {"coords": case["tolerance"]["coords"], "colors": case["tolerance"]["colors"]}
    checks = {}
    for name in (n.removeprefix("out.") for n in arrays if n.startswith("out.")):
        field = name.rpartition(".")[2]
        pair = (found[name], arrays[f"out.{name}"])
        pair = (_by_appearance(pair[0]), _by_appearance(pair[1])) if field == "superpoint" else pair
        checks[name] = compare(name, *pair, allowed.get(field, 0.0))
    return checks


def _by_appearance(labels: np.ndarray) -> np.ndarray:
    """Superpoints numbered in the order in which they first occur: which vertex stands for one depends on how ties are
    sorted."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first.argsort().argsort()[inverse]


def _fields(name: str, scene: PreparedScene) -> dict[str, np.ndarray]:
    assert scene.semantic is not None
    assert scene.instance is not None
    return {
        f"{name}.val.coords": scene.coords,
        f"{name}.val.colors": scene.colours,
        f"{name}.val.superpoint": scene.superpoints,
        f"{name}.val.sem_label": scene.semantic,
        f"{name}.val.instance_label": scene.instance,
    }
