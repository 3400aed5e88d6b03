"""Group-Free 3D: points -> seeds, queries and the heads' boxes, then kept proposals and detections."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from g3d.data.types import SceneBoxes
from g3d.geometry.boxes import box_corners
from g3d.nn.box_proposals import DetectionSettings, decode_proposals, detections, kept_proposals
from g3d.nn.groupfree import GroupFreeOutputs
from g3d.ops.box_iou import camera_from_scene_boxes
from g3d.systems.groupfree.config import ModelConfig
from g3d.systems.groupfree.model import build
from g3d.systems.groupfree.official import import_official
from parity.check import Check, compare
from parity.describe import DescriptionError, stated, stated_number
from parity.weights import filled_state


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    settings, rule = case["settings"], case["tolerance"]
    network = build(
        ModelConfig(
            decoder_layers=settings["num_decoder_layers"],
            proposals=settings["num_proposal"],
            input_features=settings["input_feature_dim"],
        )
    ).eval()
    import_official(filled_state(case, folder), network)
    sampled: list[Tensor] = []
    network.backbone_net.sa1.register_forward_hook(lambda _module, _inputs, result: sampled.append(result[2]))
    clouds = torch.from_numpy(arrays["in.point_clouds"])
    with torch.inference_mode():
        outputs = network(clouds)
    rules = DetectionSettings(
        _least_points(case), settings["nms_iou"], settings["conf_thresh"], settings["per_class_proposal"]
    )
    proposals = decode_proposals(outputs.heads[-1], network.mean_sizes)
    kept = [kept_proposals(one, cloud, rules) for one, cloud in zip(proposals, clouds[..., :3], strict=True)]
    kept = [rows[one.objectness[rows] > rules.min_objectness] for one, rows in zip(proposals, kept, strict=True)]
    names = [str(number) for number in range(proposals[0].class_scores.shape[1])]
    found = [detections(one, rows, names, rules) for one, rows in zip(proposals, kept, strict=True)]
    order = matched(outputs, arrays["out.query_points_sample_inds"], stated_number(rule, r"\bless than # order", rule))
    tolerance = stated_number(rule, r"\bFloats rtol [^ ]+ atol #", rule), stated_number(rule, r"\bFloats rtol #", rule)
    checks = {}
    for name, value in (_seeds(outputs, sampled[0]) | _boxes(outputs, order)).items():
        where = f"out.{name}"
        if where in arrays:
            stored = arrays[where]
            allowed = tolerance if stored.dtype.kind == "f" else (0.0, 0.0)
            checks[where] = compare(where, value.numpy(), stored, *allowed)
    return checks | _detections(case, arrays, order, kept, found, outputs.heads[-1].boxes[0], tolerance)


def matched(outputs: GroupFreeOutputs, expected: np.ndarray, gap: float) -> Tensor:
    """Return (B, Q) the place among ours of each published query.

    Raises:
        DescriptionError: queries differ, or two that are swapped have scores that differ by more than `gap`.
    """
    places = []
    for ours, theirs, scores in zip(
        outputs.query_indices, torch.from_numpy(expected).long(), outputs.seed_scores.sigmoid(), strict=True
    ):
        if not torch.equal(ours.sort().values, theirs.sort().values):
            raise DescriptionError("out.query_points_sample_inds: other seeds are chosen")
        if float((scores[ours] - scores[theirs]).abs().max()) > gap:
            raise DescriptionError(f"out.query_points_sample_inds: scores of swapped queries differ by over {gap}")
        place = torch.empty_like(outputs.seed_scores[0], dtype=torch.long)
        place[ours] = torch.arange(len(ours))
        places.append(place[theirs])
    return torch.stack(places)


def _seeds(outputs: GroupFreeOutputs, sampled: Tensor) -> dict[str, Tensor]:
    return {
        "sa1_inds_s8": sampled[:, ::8],
        "fp2_features_s16": outputs.seeds.features.transpose(1, 2)[:, :, ::16],
        "seeds_obj_cls_logits": outputs.seed_scores[:, None],
    }


def _boxes(outputs: GroupFreeOutputs, order: Tensor) -> dict[str, Tensor]:
    """Return the stored values of the heads in the published order of the queries."""

    def ordered(values: Tensor) -> Tensor:
        return torch.stack([rows[places] for rows, places in zip(values, order, strict=True)])

    last = outputs.heads[-1]
    found = {
        "query_points_sample_inds": ordered(outputs.query_indices),
        "heading_scores": ordered(last.heading_scores),
        "heading_residuals": ordered(last.heading_residuals) * (torch.pi / last.heading_scores.shape[2]),
        "size_residuals": ordered(last.size_residuals * last.mean_sizes)[:, ::8],
        "objectness_scores": ordered(last.objectness),
        "size_scores": ordered(last.size_scores),
        "sem_cls_scores": ordered(last.class_scores),
    }
    named = {"": last, "proposal_": outputs.heads[0]}
    named |= {f"{number}head_": head for number, head in enumerate(outputs.heads[1:-1])}
    for prefix, head in named.items():
        found[f"{prefix}center"], found[f"{prefix}pred_size"] = ordered(head.centers), ordered(head.sizes)
    return found


def _least_points(case: dict) -> int:
    """Return the least number of points in a box that is kept, 0 if the case keeps empty boxes."""
    if not case["settings"]["remove_empty_box"]:
        return 0
    return int(stated(case["arrays"]["out.nms_keep"]["meaning"], r"\bfewer than (\d+) points", "out.nms_keep")[0])


def _detections(
    case: dict,
    arrays: dict[str, np.ndarray],
    order: Tensor,
    kept: list[Tensor],
    found: list[SceneBoxes],
    signed: Tensor,
    tolerance: tuple[float, float],
) -> dict[str, Check]:
    keep = np.zeros(order.shape, np.int32)
    for scene, rows in enumerate(kept):
        keep[scene] = np.isin(order[scene].numpy(), rows.numpy())
    share = stated_number(case["tolerance"], r"\bnms_keep equal for at least #%", "tolerance") / 100
    equal = float((keep == arrays["out.nms_keep"]).mean())
    note = f"{equal:.1%} equal"
    checks = {
        "nms_keep": Check("out.nms_keep", 1 - equal, f"at least {share:.0%} equal", equal >= share, note),
        "det_count": compare("out.det_count", np.array([len(one) for one in found]), arrays["out.det_count"]),
    }
    assert found[0].scores is not None
    each = len(found[0]) // len(kept[0])  # detections of one box, one after another
    proposal = kept[0].repeat_interleave(each)
    classes = torch.from_numpy(found[0].classes.astype(np.int64))
    number = order[0].argsort()[proposal]  # the published order: by class, then by the proposal's number
    rows = (classes * len(order[0]) + number).argsort()[::7]
    values = {
        "det_class_s7": classes[rows].numpy(),
        "det_score_s7": found[0].scores[rows.numpy()].astype(np.float32),
        "det_corners_s7": _corners(found[0], signed[proposal], rows),
    }
    for name, value in values.items():
        allowed = tolerance if value.dtype.kind == "f" else (0.0, 0.0)
        checks[name] = compare(f"out.{name}", value, arrays[f"out.{name}"], *allowed)
    return checks


def _corners(found: SceneBoxes, signed: Tensor, rows: Tensor) -> np.ndarray:
    """Return corners (n, 8, 3) of detections, camera frame, in the published order, which negative extents mirror.

    Args:
        found: detections of one scene.
        signed: (K, 6) centre and predicted extents of the proposal of each detection.
        rows: (n,) detections.
    """
    boxes = signed[rows].double()
    np.testing.assert_allclose(found.centers[rows.numpy()], boxes[:, :3].numpy(), rtol=0, atol=1e-5)
    camera = camera_from_scene_boxes(torch.cat([boxes, torch.zeros(len(rows), 1)], 1)).numpy()
    return box_corners(camera[:, :3], camera[:, 3:6], camera[:, 6]).astype(np.float32)
