"""Kinds of ws3dvg, bqnet and vglaw read settings from the case: variants that no stored case has."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from parity import oracles
from parity.describe import DescriptionError
from parity.kinds import (
    bqnet_voxelise_pool,
    ws3dvg_enet,
    ws3dvg_multiview_projection,
    ws3dvg_pointnet_ops,
)
from parity.variants import failures, stored, write


def test_ws3dvg_projection_features_follow_the_formula(tmp_path: Path) -> None:
    case, arrays = stored("ws3dvg", "multiview_projection")
    text = case["settings"]["frame_features"].replace("0.3*f", "0.9*f").replace("y<3", "y<5").replace("..128", "..6")
    features = ws3dvg_multiview_projection.features_of(text, 3)
    for f, c, y, x in ((0, 1, 5, 0), (2, 6, 31, 40), (1, 3, 17, 8)):
        expected = math.sin(0.1 * c + 0.9 * f + 0.2 * x - 0.15 * y)
        assert features[f, c - 1, y, x] == pytest.approx(expected, abs=1e-6)
    assert features.shape[:2] == (3, 6)
    assert not features[:, :, :5].any()
    assert features[:, :, 5].any()
    for name, value in (("depth_max", 6.0), ("image_dims", [40, 30])):
        with pytest.raises(DescriptionError, match=name):
            ws3dvg_multiview_projection.run(case | {"settings": case["settings"] | {name: value}}, arrays, tmp_path)
    assert failures(write(tmp_path, case | {"settings": case["settings"] | {"frame_features": text}}, arrays))


def test_ws3dvg_interpolation_step_is_read() -> None:
    assert ws3dvg_pointnet_ops.interpolation_step({"notes": "three_nn runs on every 5th point; others"}) == 5
    assert ws3dvg_pointnet_ops.interpolation_step({"notes": "an empty ball"}) == 1
    with pytest.raises(DescriptionError, match=r"settings\.notes"):
        ws3dvg_pointnet_ops.interpolation_step({"notes": "three_nn runs on some points"})


def test_ws3dvg_enet_settings_are_checked(tmp_path: Path) -> None:
    case, _ = stored("ws3dvg", "enet_filled")
    for name, value in (("mean", [0.5, 0.5, 0.5]), ("channel_order", "BGR")):
        with pytest.raises(DescriptionError, match=name):
            ws3dvg_enet.check_preprocessing(case["settings"] | {name: value})
    folder = tmp_path / "golden" / "ws3dvg"
    weights = tmp_path / "data" / "real" / "other.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    assert ws3dvg_enet.published_weights("other.pth of a repository", folder) == weights
    with pytest.raises(DescriptionError, match="has sha256"):
        ws3dvg_enet.published_weights(f"other.pth, sha256 {'0' * 64}", folder)
    with pytest.raises(DescriptionError, match=r"no file missing\.pth"):
        ws3dvg_enet.published_weights("missing.pth", folder)


def test_ws3dvg_boxes_need_both_tolerances(tmp_path: Path) -> None:
    case, arrays = stored("ws3dvg", "boxes")
    arrays["out.iou_axis"] = arrays["out.iou_axis"] + np.float32(5e-4)
    wide = case | {"tolerance": "corners atol 1e-5; IoU atol 1e-3; NMS equal"}
    assert not failures(write(tmp_path, wide, arrays))
    assert len(failures(write(tmp_path, case, arrays))) == 1
    with pytest.raises(DescriptionError, match="corners"):
        write(tmp_path, case | {"tolerance": "equal"}, arrays)


def voxel_variant(scenes: int, per_metre: int) -> tuple[dict, dict[str, np.ndarray]]:
    """Return a case of kind voxelise_pool with made points, whose results are computed by plain loops."""
    random = np.random.RandomState(scenes)
    arrays: dict[str, np.ndarray] = {}
    voxels: dict[tuple[int, ...], list[int]] = {}
    rows, groups, offsets = [], [], [0]
    smallest, meanings = 6, {}
    for n in range(scenes):
        xyz, rgb = random.uniform(0.5, 1.5, (40, 3)), random.uniform(-1, 1, (40, 3)).astype(np.float32)
        raw = random.choice([3, 5, 9, 11, 20], 40)
        arrays |= {f"in.scene{n}.xyz": xyz, f"in.scene{n}.rgb": rgb, f"in.scene{n}.superpoint_raw": raw}
        scaled = xyz * per_metre
        grid = np.trunc(scaled - scaled.min(0)).astype(np.int64)
        meanings[f"out.scene{n}.grid"] = {"meaning": f"trunc({per_metre}*xyz - min({per_metre}*xyz))"}
        arrays[f"out.scene{n}.grid"] = grid
        for cell in grid:
            voxels.setdefault((n, *map(int, cell)), []).append(len(rows))
            rows.append(np.concatenate([rgb[len(rows) - 40 * n], xyz[len(rows) - 40 * n].astype(np.float32)]))
        names = sorted(set(raw.tolist()))
        groups += [offsets[-1] + names.index(value) for value in raw.tolist()]
        offsets.append(offsets[-1] + len(names))
    points, members = np.stack(rows).astype(np.float64), list(voxels.values())
    means = np.stack([points[indices].mean(0) for indices in members])
    voxel_of = np.zeros(len(points), np.int64)
    for v, indices in enumerate(members):
        voxel_of[indices] = v
    group = np.array(groups)
    pooled = np.stack([means[voxel_of[group == g]].mean(0) for g in range(offsets[-1])])
    centres = np.stack([points[group == g, 3:].mean(0) for g in range(offsets[-1])]).astype(np.float32)
    upstream = random.standard_normal(pooled.shape).astype(np.float32)
    to_point = upstream[group] / np.bincount(group)[group][:, None]
    gradient = np.zeros_like(points)
    for indices in members:
        gradient[indices] = to_point[indices].sum(0) / len(indices)
    sites = np.array(list(voxels))
    most = max(map(len, members))
    padded = np.array([[len(m), *m, *[0] * (most - len(m))] for m in members])
    samples = [oracles.furthest_points(centres[a:b], 3) for a, b in itertools.pairwise(offsets)]
    meanings["out.spatial_shape"] = {"meaning": f"max(grid max+1, {smallest})"}
    outputs = {"voxel_coords": sites, "point_to_voxel": voxel_of, "voxel_count": padded[:, 0], "voxel_to_point": padded}
    outputs |= {"spatial_shape": np.maximum(sites[:, 1:].max(0) + 1, smallest), "superpoint": group}
    outputs |= {"batch_offsets": np.array(offsets), "fps3": np.array(samples), "voxel_feats": means, "sp_feats": pooled}
    outputs |= {"sp_coords": centres, "grad_feats": gradient}
    settings = {"system": "bqnet", "kind": "voxelise_pool", "arrays": meanings, "tolerance": {"floats abs": 1e-5}}
    return settings, arrays | {"in.upstream": upstream} | {f"out.{name}": value for name, value in outputs.items()}


def test_bqnet_voxels_of_another_size_and_number_of_scenes(tmp_path: Path) -> None:
    for scenes, per_metre in ((3, 4), (1, 10)):
        settings, arrays = voxel_variant(scenes, per_metre)
        assert not failures(write(tmp_path, settings, arrays))
    settings["arrays"]["out.scene0.grid"]["meaning"] = "voxel index per point"
    with pytest.raises(DescriptionError, match=r"scene0\.grid"):
        bqnet_voxelise_pool.run(settings, arrays, tmp_path)


def test_bqnet_fps_of_other_points(tmp_path: Path) -> None:
    points = np.random.RandomState(8).uniform(-1, 1, (60, 3)).astype(np.float32)
    points[5] = 0.001
    chosen = np.array(oracles.furthest_points(points, 17), np.int32)
    case = {"system": "bqnet", "kind": "ops_fps", "tolerance": "exact indices"}
    assert not failures(write(tmp_path, case, {"in.xyz9": points, "out.idx9": chosen}))


def test_vglaw_masks_of_other_sizes(tmp_path: Path) -> None:
    mask = np.random.RandomState(2).uniform(size=(9, 13)) > 0.6
    lengths, value, count = [], False, 0
    for pixel in [*mask.T.ravel().tolist(), None]:
        if pixel != value:
            lengths.append(count)
            value, count = not value, 0
        count += 1
    text = ""
    for k, length in enumerate(lengths):
        rest = length - (lengths[k - 2] if k > 2 else 0)
        while True:  # COCO's code: five bits a character, the sixth says that more follow
            bits, rest = rest & 31, rest >> 5
            more = rest != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
            if not more:
                break
    case = {"system": "vglaw", "kind": "rle_masks", "tolerance": "exact", "rle": [{"size": [9, 13], "counts": text}]}
    assert not failures(write(tmp_path, case, {"out.mask_0": mask.astype(np.uint8)}))


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("detector_losses_votenet", "near", 0.4),
        ("detector_losses_votenet", "objectness_class_weights", [0.5, 0.5]),
        ("detector_losses_groupfree", "size_loss_type", "l1"),
        ("detector_targets", "nyu40_ids", [3, 4]),
        ("detector_targets", "use_color", True),
    ],
)
def test_ws3dvg_detector_settings_are_checked(tmp_path: Path, name: str, setting: str, value: object) -> None:
    case, arrays = stored("ws3dvg", name)
    with pytest.raises(DescriptionError, match=setting):
        write(tmp_path, case | {"settings": case["settings"] | {setting: value}}, arrays)


@pytest.mark.parametrize(
    ("name", "setting", "value", "changed"),
    [
        ("detector_losses_groupfree", "center_delta", 0.5, "center_loss"),
        ("detector_losses_groupfree", "query_points_obj_topk", 2, "kps_pos_ratio"),
        ("detector_targets", "use_height", False, "point_clouds"),
    ],
)
def test_ws3dvg_detector_settings_are_read(
    tmp_path: Path, name: str, setting: str, value: object, changed: str
) -> None:
    case, arrays = stored("ws3dvg", name)
    found = failures(write(tmp_path, case | {"settings": case["settings"] | {setting: value}}, arrays))
    assert any(changed in str(failure) for failure in found)


def test_ws3dvg_detections_follow_the_settings_of_each_run(tmp_path: Path) -> None:
    case, arrays = stored("ws3dvg", "detection_ap")
    looser = case["settings"]["a"] | {"nms_iou": 0.9}
    found = failures(write(tmp_path, case | {"settings": case["settings"] | {"a": looser}}, arrays))
    assert any("a_kept" in str(failure) for failure in found)
    assert not any("b_" in str(failure) or "c_" in str(failure) for failure in found)
    other = case["settings"]["a"] | {"use_3d_nms": False}
    with pytest.raises(DescriptionError, match="use_3d_nms"):
        write(tmp_path, case | {"settings": case["settings"] | {"a": other}}, arrays)
