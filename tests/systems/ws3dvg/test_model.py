"""WS-3DVG's network: the plain composition's losses and gradients, what trains, and what each setting changes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from support.plain_ws3dvg import PlainWS3DVG
from support.ws3dvg import COUNTS, LENGTHS, TINY, TINY_VOTENET, network, scenes, sentences
from torch import Tensor

from g3d.systems.ws3dvg.language import with_unknown_words
from g3d.systems.ws3dvg.losses import Truth, losses
from g3d.systems.ws3dvg.model import WS3DVG, Outputs, Sentences
from g3d.systems.ws3dvg.model_config import AblationConfig, FaultConfig, LossConfig, ModelConfig
from g3d.systems.ws3dvg.relation import view_features_of

CLASSES = torch.tensor([[3, 0, 17], [5, 5, 1]])
POINTS, VIEWS = scenes()
SENTENCES = sentences(LENGTHS, COUNTS)


def total(found: Outputs, config: ModelConfig = TINY, epoch: int = 3) -> dict[str, Tensor]:
    return losses(found, Truth(SENTENCES.counts, CLASSES), epoch, LossConfig(), config.ablation)


def with_faults(**faults: object) -> ModelConfig:
    return TINY.model_copy(update={"faults": FaultConfig(**faults)})  # type: ignore[arg-type]


def still(config: ModelConfig = TINY) -> ModelConfig:
    """Return the settings without random numbers in training."""
    return config.model_copy(update={"dropout": 0.0, "teacher_dropout": 0.0, "unknown_words": 0.0})


def test_the_plain_composition_has_the_same_proposals() -> None:
    ours = network()
    found, head = ours.detect(POINTS), PlainWS3DVG(ours).detect(POINTS)
    assert torch.equal(head["points"], found.points)
    assert torch.allclose(torch.cat([head["centers"], head["sizes"]], 2), found.boxes, atol=1e-5)
    assert torch.allclose(head["features"], found.features, atol=1e-5)


@pytest.mark.parametrize("epoch", [0, 3])
def test_losses_and_gradients_equal_those_of_the_plain_composition(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = (network(still()) for _ in range(2))
    plain = PlainWS3DVG(other).train()
    found = ours.detect(POINTS)  # the same for both, so that nothing rounds differently
    found = replace(found, **{n: x.double() for n, x in vars(found).items() if x.is_floating_point()})
    head = {
        "centers": found.boxes[..., :3],
        "sizes": found.boxes[..., 3:],
        "objectness": found.objects[..., None] * 2.0 - 1,
        "class_scores": found.class_scores,
        "features": found.features,
        "points": found.points,
    }
    monkeypatch.setattr(ours, "detect", lambda _: found)
    monkeypatch.setattr(plain, "detect", lambda _: head)
    ours.double()
    plain.double()
    views, given = VIEWS.double(), replace(SENTENCES, vectors=SENTENCES.vectors.double())
    terms = total(ours(POINTS, views, given), epoch=epoch)
    terms["total"].backward()
    expected = plain(POINTS, views, given, CLASSES, epoch)
    expected["total"].backward()
    for name, value in terms.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-9), name
    for (name, mine), theirs in zip(ours.named_parameters(), other.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None), name
        if mine.grad is not None and theirs.grad is not None:
            assert torch.allclose(mine.grad, theirs.grad, rtol=1e-6, atol=1e-9), name
    for name, value in ours.state_dict().items():
        assert torch.allclose(value.double(), other.state_dict()[name].double()), name


@pytest.mark.parametrize("config", [TINY, TINY_VOTENET], ids=["groupfree", "votenet"])
def test_gradients_reach_all_that_trains_and_the_detector_does_not_change(config: ModelConfig) -> None:
    model = network(config)
    parts = model.detector_parts
    before = [{name: value.clone() for name, value in part.state_dict().items()} for part in parts]
    assert not any(module.training for part in parts for module in part.modules())
    assert model.match.training
    total(model(POINTS, VIEWS, SENTENCES), config)["total"].backward()
    frozen = {id(p) for part in parts for p in part.parameters()}
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (id(parameter) in frozen), name
        assert parameter.requires_grad == (id(parameter) not in frozen), name
    for part, values in zip(parts, before, strict=True):
        assert all(torch.equal(value, values[name]) for name, value in part.state_dict().items())
    assert (model.match.match[1].num_batches_tracked, model.relation.features_concat[1].num_batches_tracked) == (1, 1)


@pytest.mark.parametrize(
    ("without", "unused"), [("recon", "recnet."), ("distill", "match."), ("text", "lang.lang_cls.")]
)
def test_what_an_ablation_does_not_train_needs_no_gradient(without: str, unused: str) -> None:
    config = TINY.model_copy(update={"ablation": AblationConfig(**{f"no_{without}": True})})
    model = network(config)
    total(model(POINTS, VIEWS, SENTENCES, teach=without != "recon"), config)["total"].backward()
    for name, parameter in model.named_parameters():
        if not name.startswith("group_free."):
            assert parameter.requires_grad != name.startswith(unused), name
            assert (parameter.grad is None) == name.startswith(unused), name


def test_many_sentences_at_once_equal_single_ones() -> None:
    model = network().eval()
    with torch.inference_mode():
        encoded = model.encode(POINTS[:1], VIEWS[:1])
        whole = model.ground(encoded, one_scene(SENTENCES, 0), teach=False)
        assert whole.reconstruction is None
        for k in range(3):
            one = one_scene(SENTENCES, 0, k)
            alone = model(POINTS[:1], VIEWS[:1], one, teach=False)
            assert torch.allclose(alone.student[0, 0], whole.student[0, k], rtol=1e-4, atol=1e-5)
            assert torch.equal(alone.candidates[0, 0], whole.candidates[0, k])


def one_scene(given: Sentences, scene: int, k: int | None = None) -> Sentences:
    """Return the sentences of one scene, or its sentence k alone, cut to its words, without the teacher's inputs."""
    chosen = slice(None) if k is None else slice(k, k + 1)
    lengths = given.lengths[scene : scene + 1, chosen]
    vectors = given.vectors[scene : scene + 1, chosen, : int(lengths.max())]
    return Sentences(vectors, lengths, torch.tensor([lengths.shape[1]]))


def test_dropout_at_test_makes_scores_random() -> None:
    for fault in (False, True):
        model = network(with_faults(dropout_at_test=fault)).eval()
        first, second = (model(POINTS, VIEWS, SENTENCES, teach=False) for _ in range(2))
        assert torch.equal(first.student, second.student) != fault
        assert torch.equal(first.sentences, second.sentences)


def test_unknown_words_reach_the_teacher_and_the_candidates_only_in_place() -> None:
    unseen = replace(SENTENCES, unknown=torch.full((TINY.word_channels,), 9.0))
    read: dict[bool, list[Tensor]] = {}
    for fault in (False, True):
        model = network(with_faults(unknown_words_in_place=fault))
        model.lang.register_forward_pre_hook(
            lambda _, given, f=fault: read.__setitem__(f, [*given[0].chunk(2 + (not f))])
        )
        model(POINTS, VIEWS, unseen)
    noisy, masked, clean = read[False]
    assert torch.equal(clean, SENTENCES.vectors.flatten(0, 1))
    assert not (masked == 9).any()
    assert (noisy == 9).any()
    noisy, masked = read[True]
    assert (masked == 9).any()
    assert network().eval()(POINTS, VIEWS, replace(SENTENCES, unknown=None)).reconstruction is not None
    with pytest.raises(ValueError, match=r"sentences\.unknown: training needs"):
        network()(POINTS, VIEWS, replace(SENTENCES, unknown=None))


def test_unknown_words_are_a_fifth_of_the_words() -> None:
    lengths = torch.tensor([4, 5, 14, 15, 126])
    vectors = torch.zeros(5, 126, 2)
    torch.manual_seed(0)
    found = with_unknown_words(vectors, lengths, torch.ones(2), 0.2)
    changed = found[..., 0].sum(1)
    assert changed[:2].tolist() == [0, 1]
    assert changed[2] <= 2
    assert changed[3] <= 3
    assert 15 < changed[4] <= 25
    assert all((found[k, n:] == 0).all() for k, n in enumerate(lengths.tolist()))
    assert (vectors == 0).all()


def test_mean_sizes_are_the_detectors_or_scanrefers() -> None:
    ours, published = (
        network(with_faults(detector_mean_sizes=name)).eval().detect(POINTS) for name in ("detector", "scanrefer")
    )
    assert torch.allclose(ours.features, published.features) is False  # refined boxes are an input of the decoder
    assert not torch.allclose(ours.boxes[..., 3:], published.boxes[..., 3:], atol=1e-3)


def test_mask_value_two_is_padding_changes_the_teachers_losses() -> None:
    assert SENTENCES.keyword_mask is not None
    mask = SENTENCES.keyword_mask.clone()
    mask[0, 0, 3] = 2
    given = replace(SENTENCES, keyword_mask=mask)
    found = [
        network(with_faults(mask_value_two_is_padding=fault)).eval()(POINTS, VIEWS, given).reconstruction
        for fault in (False, True)
    ]
    assert not torch.allclose(found[0][0, 0], found[1][0, 0], rtol=1e-3)
    assert torch.allclose(found[0][1], found[1][1])


def test_view_features_by_channel_are_those_of_no_point() -> None:
    views = torch.arange(2 * 6 * 3.0).view(2, 6, 3)
    points = torch.tensor([[4, 0], [1, 5]])
    assert torch.equal(view_features_of(points, views)[1, 0], views[1, 1])
    rows = views.transpose(1, 2).reshape(-1, 3)
    assert torch.equal(view_features_of(points, views, by_channel=True)[1, 0], rows[3 + 1])
    model, fault = (network(with_faults(view_features_by_channel=f)).eval() for f in (False, True))
    assert not torch.allclose(model.encode(POINTS, VIEWS).features, fault.encode(POINTS, VIEWS).features, atol=1e-3)


def test_losses_in_bfloat16_are_close_and_stay_float32() -> None:
    whole = total(network(still())(POINTS, VIEWS, SENTENCES))
    with torch.autocast("cpu", torch.bfloat16):
        half = total(network(still())(POINTS, VIEWS, SENTENCES))
    for name, value in half.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(whole[name].item(), rel=0.02), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": torch.tensor([[7, 0, 9], [4, 9, 9]])}, r"sentences\.lengths: expected 1\.\.9"),
        ({"lengths": torch.tensor([[7, 5, 8], [4, 8, 8]])}, r"sentences\.lengths: expected 1\.\.9 with this maximum"),
        ({"word_ids": None}, "the teacher needs word_ids and keyword_mask"),
    ],
)
def test_sentences_that_do_not_fit_are_refused(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network()(POINTS, VIEWS, replace(SENTENCES, **change))


def test_a_network_needs_the_size_of_the_vocabulary() -> None:
    with pytest.raises(ValueError, match=r"model\.vocabulary: expected the number of words"):
        WS3DVG(TINY.model_copy(update={"vocabulary": 0}))


@pytest.mark.parametrize("config", [TINY, TINY_VOTENET], ids=["groupfree", "votenet"])
def test_proposals_above_the_stated_probability_are_objects(config: ModelConfig) -> None:
    points, _ = scenes()
    found = [
        network(config.model_copy(update={"min_objectness": bound})).detect(points).objects
        for bound in (0.0, 0.3, 0.5, 0.999)
    ]
    assert found[0].all()
    assert not found[3].all()
    for more, fewer in pairwise(found):
        assert (more | ~fewer).all()
