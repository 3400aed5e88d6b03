"""VoteNet equals the plain composition and the stored results of WS-3DVG's VoteNet."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from parity.weights import filled_state
from support import paths
from support.detectors import TINY_VOTENET, draw_weights, rooms
from support.plain_detectors import PlainVoteNet

from g3d.ops.furthest_point_sample import furthest_point_sample
from g3d.systems.votenet.config import ModelConfig
from g3d.systems.votenet.model import build
from g3d.systems.votenet.official import import_official


@pytest.mark.parametrize("training", [False, True])
def test_equals_the_plain_composition(training: bool) -> None:
    torch.manual_seed(0)
    ours = build(TINY_VOTENET).double().train(training)
    draw_weights(ours)
    plain = PlainVoteNet(ours.float(), 0.25, 1).double()
    ours.double()
    clouds = rooms()
    found, (votes, chosen, columns, features) = ours(clouds), plain(clouds)
    assert torch.equal(found.proposal_indices, chosen)
    torch.testing.assert_close(found.vote_xyz, votes, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.features, features, atol=1e-5, rtol=1e-5)
    base = votes.gather(1, chosen[..., None].expand(-1, -1, 3))
    torch.testing.assert_close(found.base, base, atol=1e-6, rtol=1e-6)
    parts = columns.split([2, 3, 1, 1, 18, 54, 18], 2)
    boxes = found.boxes
    names = ("objectness", "centers", "heading_scores", "heading_residuals", "size_scores")
    expected = [parts[0], base + parts[1], *parts[2:5], parts[5].unflatten(2, (18, 3)), parts[6]]
    for name, values in zip((*names, "size_residuals", "class_scores"), expected, strict=True):
        torch.testing.assert_close(getattr(boxes, name), values, atol=1e-5, rtol=1e-5, msg=name)
    for total in (boxes.centers.square().mean(), expected[1].square().mean()):
        total.backward()
    others = dict(plain.named_parameters())
    for name, parameter in ours.named_parameters():
        found, wanted = (p.grad if p.grad is not None else torch.zeros_like(p) for p in (parameter, others[name]))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-3, msg=name)
    assert float(ours.vgen.conv3.weight.grad[:3].abs().max()) > 1e-4


def test_proposals_at_seeds_are_sampled_among_the_seeds() -> None:
    ours = build(TINY_VOTENET.model_copy(update={"sampling": "vote", "sampling_at_test": "seed"}))
    with torch.no_grad():
        trained, tested = ours.train()(rooms()), ours.eval()(rooms())
    among_seeds = [furthest_point_sample(found.seeds.xyz, 16, skip_origin=True) for found in (trained, tested)]
    assert torch.equal(tested.proposal_indices, among_seeds[1])
    assert not torch.equal(trained.proposal_indices, among_seeds[0])


def test_equals_the_stored_results_of_ws3dvg() -> None:
    folder = paths.SHARED / "golden" / "ws3dvg"
    if not folder.is_dir():
        pytest.skip("the shared parity cases are not here")
    case = json.loads((folder / "grounding_votenet.json").read_text(encoding="utf-8"))
    arrays = np.load(folder / "grounding_votenet.npz")
    network = build(ModelConfig(sampling_at_test="vote")).eval()
    parts = ("backbone_net", "vgen", "pnet")
    state = {name: value for name, value in filled_state(case, folder).items() if name.split(".")[0] in parts}
    import_official(state, network)
    xyz = arrays["in.xyz"]
    height = xyz[..., 2:] - np.percentile(xyz[..., 2], 0.99, axis=1)[:, None, None]
    with torch.inference_mode():
        found = network(torch.from_numpy(np.concatenate([xyz, height], 2).astype(np.float32)))
    expected = torch.from_numpy(arrays["out.query_points_sample_inds"]).long()
    assert torch.equal(found.proposal_indices.sort().values, expected.sort().values)
    place = found.proposal_indices.argsort().gather(1, expected.argsort().argsort())
    values = {
        "pred_center": found.boxes.centers,
        "sem_cls_scores": found.boxes.class_scores,
    }
    for name, ours in values.items():
        ordered = ours.gather(1, place[..., None].expand(-1, -1, ours.shape[2]))
        np.testing.assert_allclose(ordered.numpy(), arrays[f"out.{name}"], rtol=2e-3, atol=5e-4, err_msg=name)
    features = found.features.gather(1, place[..., None].expand(-1, -1, 128))[:, ::8]
    np.testing.assert_allclose(features.numpy(), arrays["out.pred_bbox_feature_s8"], rtol=2e-3, atol=5e-4)
    objects = found.boxes.objectness.argmax(2).gather(1, place)
    assert np.array_equal(objects.numpy(), arrays["out.objectness_pred"])
