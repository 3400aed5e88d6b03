"""WS-3DVG's network from points and word vectors: proposals, all stages, losses, answers and their overlaps.

Published order: proposals by `out.query_points_sample_inds`, candidates by `out.target_ids`. Ours are brought into it
first. The teacher's logits are compared at all positions, so that the teacher runs once more on all of them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.data.scannet.mean_sizes import SCANREFER_MEAN_SIZES
from g3d.ops.box_iou import axis_aligned_iou_3d
from g3d.systems.ws3dvg import losses as ws3dvg
from g3d.systems.ws3dvg.answers import answers, best_answers, student_scores, teacher_scores
from g3d.systems.ws3dvg.model import WS3DVG, Outputs, Sentences, rows_at
from g3d.systems.ws3dvg.model_config import FaultConfig, LossConfig, ModelConfig
from g3d.systems.ws3dvg.official import import_official
from g3d.systems.ws3dvg.relation import box_corners
from parity.check import Check, compare
from parity.describe import DescriptionError, evaluate_formula, formula_in, stated_number
from parity.kinds.ws3dvg_heads import tensors
from parity.kinds.ws3dvg_state_dict_ws3dvg_groupfree import GROUPFREE, VOTENET
from parity.weights import filled_state

FAULTS = FaultConfig(
    detector_mean_sizes="scanrefer",
    score_times_objectness=True,
    mask_value_two_is_padding=True,
    view_features_by_channel=True,
)


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, Check]:
    given = tensors(arrays)
    config = settings_of(case)
    network = WS3DVG(config).eval()
    import_official(filled_state(case, folder), network)
    sentences = Sentences(
        given["word_embeddings"].float(),
        given["lengths"],
        given["lang_num"],
        given["word_ids"],
        given["keyword_mask"],
        replaced=given["rand_mask"] == 1,
    )
    points, views = clouds_of(case, given["xyz"])
    with torch.inference_mode():
        outputs = network(points, views, sentences)
        outputs = ordered(outputs, torch.from_numpy(arrays["out.query_points_sample_inds"]).long())
        outputs = with_candidates(outputs, torch.from_numpy(arrays["out.target_ids"]))
        found = _of_network(outputs) | {"rec_word_logits_s61": _logits(network, outputs, sentences)}
        found |= _losses(outputs, given) | _answers(outputs, given, case["settings"]["topk"])
    return _checks(case, arrays, found, given["lang_num"])


def settings_of(case: dict) -> ModelConfig:
    """Return the network's settings.

    Raises:
        DescriptionError: the case has other mean sizes or another contrast than this kind checks.
    """
    stated = case["settings"]
    for name, value in {"mean_sizes": "scannet_reference_means", "mil_type": "nce"}.items():
        if stated[name] != value:
            raise DescriptionError(f"settings.{name}: {stated[name]}, expected {value}")
    detector = VOTENET if "votenet" in case["case"] else GROUPFREE
    return ModelConfig(
        **detector | {"channels": stated["hidden_size"]},
        proposals=stated["num_proposals"],
        candidates=stated["num_target"],
        vocabulary=stated["vocabulary_size"],
        faults=FAULTS,
    )


def clouds_of(case: dict, xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points (B, N, 3 or 4), with heights if the case has them, and their image features (B, N, 128)."""
    x, y, z = xyz.double().numpy()[..., None].transpose(2, 0, 1, 3)
    views = evaluate_formula(formula_in(case["point_clouds"], "point_clouds"), x=x, y=y, z=z, c=np.arange(1, 129))
    if "height" not in case["point_clouds"]:
        return xyz, torch.from_numpy(views)
    percent = stated_number(case["point_clouds"], r"\bq=#", "point_clouds")
    floors = np.percentile(xyz[..., 2].numpy(), percent, axis=1)
    heights = xyz[..., 2:] - torch.from_numpy(floors.astype(np.float32))[:, None, None]
    return torch.cat([xyz, heights], 2), torch.from_numpy(views)


def ordered(outputs: Outputs, seeds: Tensor) -> Outputs:
    """Return the outputs with proposals in the order of the published seeds (B, P).

    Raises:
        DescriptionError: the proposals are at other seeds.
    """
    ours = outputs.scenes.proposals.seeds
    if not torch.equal(ours.sort(1).values, seeds.sort(1).values):
        raise DescriptionError("out.query_points_sample_inds: other seeds are chosen")
    place = ours.argsort(1).gather(1, seeds.argsort(1).argsort(1))  # of ours for each published proposal
    scene = torch.arange(len(place))[:, None]
    proposals = replace(
        outputs.scenes.proposals,
        **{name: value[scene, place] for name, value in vars(outputs.scenes.proposals).items()},
    )
    scores = {name: getattr(outputs, name).gather(2, place[:, None].expand_as(outputs.student)) for name in STAGES}
    number = place.argsort(1)[:, None].expand(-1, outputs.candidates.shape[1], -1)
    scenes = replace(outputs.scenes, proposals=proposals, features=outputs.scenes.features[scene, place])
    return replace(outputs, scenes=scenes, **scores, candidates=number.gather(2, outputs.candidates))


STAGES = ("student", "coarse")


def with_candidates(outputs: Outputs, candidates: Tensor) -> Outputs:
    """Return the outputs with candidates in the order of the published ones (B, L, K).

    Raises:
        DescriptionError: other candidates are chosen.
    """
    if not torch.equal(outputs.candidates.sort(2).values, candidates.sort(2).values):
        raise DescriptionError("out.target_ids: other candidates are chosen")
    place = outputs.candidates.argsort(2).gather(2, candidates.argsort(2).argsort(2))
    assert outputs.reconstruction is not None
    return replace(outputs, candidates=candidates, reconstruction=outputs.reconstruction.gather(2, place))


def _of_network(outputs: Outputs) -> dict[str, Tensor]:
    proposals = outputs.scenes.proposals
    assert outputs.reconstruction is not None
    return {
        "query_points_sample_inds": proposals.seeds,
        "objectness_pred": proposals.objects.long(),
        "sem_cls_scores": proposals.class_scores,
        "pred_center": proposals.boxes[..., :3],
        "pred_size": proposals.boxes[..., 3:],
        "lang_emb": outputs.sentences.flatten(0, 1),
        "lang_scores": outputs.class_scores.flatten(0, 1),
        "cluster_ref": outputs.student.flatten(0, 1),
        "coarse_weights": outputs.coarse.flatten(0, 1),
        "target_ids": outputs.candidates,
        "rec_score": outputs.reconstruction.flatten(0, 1),
        "pred_bbox_corner_s8": box_corners(proposals.boxes[:, ::8]),
        "pred_bbox_feature_s8": proposals.features[:, ::8],
        "bbox_feature_s4": outputs.scenes.features[:, ::4],
        "lang_fea": outputs.words.flatten(0, 1)[..., ::4],
    }


def _logits(network: WS3DVG, outputs: Outputs, sentences: Sentences) -> Tensor:
    """Return logits (B, L, K, T, V / 61) of every position of every sentence, whether it is scored or not."""
    inputs: list[Any] = []
    hook = network.recnet.register_forward_pre_hook(lambda _, arguments: inputs.extend(arguments))
    everything = replace(sentences, counts=torch.full_like(sentences.counts, sentences.lengths.shape[1]))
    network.ground(outputs.scenes, everything)
    hook.remove()
    words, replaced, padding, scored, _ = inputs
    features = rows_at(outputs.scenes.features, outputs.candidates).flatten(0, 1)
    hidden, _ = network.recnet(words, replaced, padding, torch.ones_like(scored), features)
    some = network.recnet.vocab_fc(hidden)[..., ::61]  # (S T, K, V / 61)
    return some.view(*sentences.vectors.shape[:3], *some.shape[1:]).transpose(2, 3)


def _losses(outputs: Outputs, given: dict[str, Tensor]) -> dict[str, Tensor]:
    truth, config = ws3dvg.Truth(given["lang_num"], given["object_cat"]), LossConfig()
    ablation = ModelConfig().ablation
    early, late = (ws3dvg.losses(outputs, truth, epoch, config, ablation) for epoch in (0, 3))
    margin = ws3dvg.losses(outputs, truth, 0, LossConfig(contrast="margin"), ablation)
    return {
        "nce_loss": early["nce"],
        "lang_loss": early["lang"],
        "weak_loss": early["weak"],
        "rec_loss_epoch0": early["rec"],
        "rec_loss_epoch3": late["rec"],
        "loss_epoch0": early["total"],
        "margin_loss": margin["nce"],
    }


def _answers(outputs: Outputs, given: dict[str, Tensor], topk: int) -> dict[str, Tensor]:
    """Return what each stage answers, and the overlaps of the answers with the described boxes."""
    proposals = outputs.scenes.proposals
    assert outputs.reconstruction is not None
    stages = {
        "student": student_scores(outputs.student, proposals.objects, FAULTS.score_times_objectness),
        "teacher": teacher_scores(outputs.candidates, outputs.reconstruction, outputs.student.shape[2]),
        "coarse": outputs.coarse,
    }
    found = {f"{name}_choice": answers(scores) for name, scores in stages.items()}
    valid = torch.arange(outputs.student.shape[1]) < given["lang_num"][:, None]
    scene = valid.nonzero()[:, 0]
    rows = given["ref_object"][valid]
    means = torch.from_numpy(SCANREFER_MEAN_SIZES)
    sizes = means[given["size_class_label"][scene, rows]] + given["size_residual_label"][scene, rows]
    truth = torch.cat([given["center_label"][scene, rows].double(), sizes], 1)
    overlaps = torch.stack(
        [axis_aligned_iou_3d(proposals.boxes[s].double(), box[None])[:, 0] for s, box in zip(scene, truth, strict=True)]
    )
    for name in ("student", "teacher"):
        best = best_answers(stages[name], topk)[valid]
        found[f"{name}_iou"] = overlaps.gather(1, found[f"{name}_choice"][valid][:, None])[:, 0]
        found[f"{name}_topk_iou"] = overlaps.gather(1, best).amax(1)
    reached = overlaps.amax(1)
    found["max_iou"] = torch.stack([(reached >= bound).double().mean() for bound in (0.1, 0.25, 0.5)])
    return found


def _checks(case: dict, arrays: dict[str, np.ndarray], found: dict[str, Tensor], counts: Tensor) -> dict[str, Check]:
    rule = case["tolerance"]
    allowed = stated_number(rule, r"\bFloats rtol [^ ]+ atol #", rule), stated_number(rule, r"\bFloats rtol #", rule)
    of_losses = 0.0, stated_number(rule, r"\blosses rtol #", rule)
    margin = stated_number(rule, r"\bmargin, computed from the stored scores, exceeds #", rule)
    decided = _decided(arrays, margin, counts)
    checks = {}
    for name, value in found.items():
        where, stored = f"out.{name}", arrays[f"out.{name}"]
        if name.endswith("_choice"):
            stage = decided[name.removesuffix("_choice")]
            note = f"{stage.sum()} of {int(counts.sum())} sentences are decided"
            checks[where] = compare(where, value.numpy()[stage], stored[stage], note=note)
            continue
        tolerance = of_losses if "loss" in name else allowed if stored.dtype.kind == "f" else (0.0, 0.0)
        checks[where] = compare(where, value.reshape(stored.shape).numpy(), stored, *tolerance)
    return checks


def _decided(arrays: dict[str, np.ndarray], margin: float, counts: Tensor) -> dict[str, np.ndarray]:
    """Return, for each stage, the sentences (B, L) that count and whose best stored score leads by over `margin`.

    The student's stored scores are multiplied by 0 where there is no object; a best score of exactly 0 is decided too,
    as the first proposal without an object wins.
    """
    shape = arrays["in.lengths"].shape
    objects = np.repeat(arrays["out.objectness_pred"], shape[1], 0)
    scores = {
        "student": arrays["out.cluster_ref"] * objects,
        "teacher": -arrays["out.rec_score"],
        "coarse": arrays["out.coarse_weights"],
    }
    decided = {}
    for name, values in scores.items():
        best = -np.sort(-values, axis=1)[:, :2]
        leads = (best[:, 0] - best[:, 1] > margin) | ((name == "student") & (best[:, 0] == 0))
        decided[name] = leads.reshape(shape) & (np.arange(shape[1]) < counts.numpy()[:, None])
    return decided
