"""WS-3DVG's losses: terms that the ablations leave out, ranks, one scene alone, and the same in two processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.two_ranks import in_two_processes
from torch import Tensor

from g3d.systems.ws3dvg.losses import (
    Truth,
    distillation_loss,
    losses,
    margin_loss,
    nce_loss,
    rank_rewards,
    reconstruction_loss,
)
from g3d.systems.ws3dvg.model import Outputs, Proposals, Scenes
from g3d.systems.ws3dvg.model_config import AblationConfig, LossConfig

SCENES, SENTENCES, PROPOSALS, CHANNELS, CLASSES, CANDIDATES = 3, 4, 6, 5, 7, 4
GRADIENTS = ("features", "sentences", "class_scores", "student", "reconstruction")
COUNTS = torch.tensor([4, 1, 3])


def made() -> dict[str, Tensor]:
    """Outputs of three scenes by name; those of GRADIENTS are leaves."""
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(SCENES, *shape, generator=g, dtype=torch.float64).requires_grad_()

    return {
        "features": normal(PROPOSALS, CHANNELS),
        "sentences": normal(SENTENCES, CHANNELS),
        "class_scores": normal(SENTENCES, CLASSES),
        "student": normal(SENTENCES, PROPOSALS),
        "reconstruction": normal(SENTENCES, CANDIDATES),
        "candidates": torch.rand(SCENES, SENTENCES, PROPOSALS, generator=g).argsort(dim=2)[..., :CANDIDATES],
        "classes": torch.randint(CLASSES, (SCENES, SENTENCES), generator=g),
        "counts": COUNTS,
    }


def outputs_of(given: dict[str, Tensor]) -> tuple[Outputs, Truth]:
    nothing = torch.zeros(0)
    found = Outputs(
        Scenes(Proposals(nothing, nothing, nothing, nothing, nothing, nothing), given["features"]),
        nothing,
        given["sentences"],
        given["class_scores"],
        given["student"],
        nothing,
        given["candidates"],
        given["reconstruction"],
    )
    return found, Truth(given["counts"], given["classes"])


def of(
    given: dict[str, Tensor], epoch: int = 3, config: LossConfig | None = None, **without: bool
) -> dict[str, Tensor]:
    outputs, truth = outputs_of(given)
    return losses(outputs, truth, epoch, config or LossConfig(), AblationConfig(**without))


@pytest.mark.parametrize(("without", "term"), [("mil", "nce"), ("text", "lang"), ("recon", "rec"), ("distill", "weak")])
def test_an_ablation_leaves_out_its_term(without: str, term: str) -> None:
    whole, less = of(made()), of(made(), **{f"no_{without}": True})
    assert set(whole) - set(less) == {term}
    weight = {"nce": 2, "lang": 2}.get(term, 1)
    if without == "recon":
        assert less["weak"] > whole["weak"]  # all rewards are 1
        return
    assert (whole["total"] - less["total"]).item() == pytest.approx(weight * whole[term].item())


def test_the_total_is_the_weighted_sum() -> None:
    config = LossConfig(contrast_weight=3, class_weight=5, reconstruction_weight=7, distillation_weight=11)
    terms = of(made(), config=config)
    expected = 3 * terms["nce"] + 5 * terms["lang"] + 7 * terms["rec"] + 11 * terms["weak"]
    assert terms["total"].item() == pytest.approx(expected.item())


def test_without_the_teacher_rewards_need_no_teacher_and_its_loss_does() -> None:
    outputs, truth = outputs_of(made())
    outputs = replace(outputs, reconstruction=None)
    terms = losses(outputs, truth, 0, LossConfig(), AblationConfig(no_recon=True))
    assert terms["weak"] > 0
    with pytest.raises(ValueError, match="expected the teacher's losses"):
        losses(outputs, truth, 0, LossConfig(), AblationConfig())


def test_late_epochs_train_the_better_half_of_the_candidates() -> None:
    judged = torch.tensor([[[4.0, 1, 3, 2], [9, 9, 9, 9]]])
    counted = torch.tensor([[True, False]])
    assert float(reconstruction_loss(judged, counted, False)) == pytest.approx(2.5)
    assert float(reconstruction_loss(judged, counted, True)) == pytest.approx(1.5)
    early, late = (of(made(), epoch)["rec"] for epoch in (2, 3))
    assert late < early


def test_rewards_follow_the_ranks_and_ties_are_decided_by_the_order() -> None:
    judged = torch.tensor([[[4.0, 1, 3, 2], [1, 1, 0, 1]]])
    steps = [0.01, 0.16, 0.49, 1.0]
    assert rank_rewards(judged)[0, 0].tolist() == pytest.approx([steps[0], steps[3], steps[1], steps[2]])
    assert rank_rewards(judged)[0, 1].tolist() == pytest.approx([steps[0], steps[1], steps[3], steps[2]])


def test_the_student_is_drawn_to_rewarded_candidates() -> None:
    student = torch.zeros(1, 1, 5, requires_grad=True)
    candidates, rewards = torch.tensor([[[3, 1]]]), torch.tensor([[[1.0, 0.01]]])
    distillation_loss(student, candidates, rewards, torch.ones(1, 1, dtype=torch.bool)).backward()
    assert student.grad is not None
    assert student.grad.argmin() == 3
    assert (student.grad[0, 0, [0, 2, 4]] > student.grad[0, 0, 1]).all()


def test_own_pairs_count_twice_against_others() -> None:
    features, sentences = torch.zeros(2, 3, 4), torch.zeros(2, 5, 4)
    assert float(nce_loss(features, sentences)) == pytest.approx(float(torch.tensor(4.0).log()))
    assert float(nce_loss(features[:1], sentences[:1])) == pytest.approx(float(torch.tensor(2.0).log()))


def test_the_margin_of_one_scene_alone_has_no_other_pairs() -> None:
    same = torch.ones(1, 3, 4)
    assert float(margin_loss(same, same, 0.2)) == 0
    assert float(margin_loss(same, -same, 0.2)) == pytest.approx(2 * 1.2)


def test_sentences_that_fill_up_have_no_gradient() -> None:
    given = made()
    of(given)["total"].backward()
    filling = ~(torch.arange(SENTENCES) < COUNTS[:, None])
    for name in GRADIENTS[1:]:
        gradient = given[name].grad
        assert gradient is not None
        assert (gradient[filling] == 0).all(), name
        assert (gradient[~filling] != 0).any(1).all(), name


def _one_rank(rank: int, contrast: str) -> tuple[dict[str, Tensor], list[Tensor | None]]:
    part = slice(0, 1) if rank == 0 else slice(1, 3)
    own = {name: value.detach()[part].clone() for name, value in made().items()}
    leaves = [own[name].requires_grad_() for name in GRADIENTS]
    terms = of(own, config=LossConfig(contrast=contrast))  # type: ignore[arg-type]
    terms["total"].backward()
    return {name: value.detach() for name, value in terms.items()}, [leaf.grad for leaf in leaves]


@pytest.mark.parametrize("contrast", ["nce", pytest.param("margin", marks=pytest.mark.slow)])
def test_two_processes_have_the_losses_and_gradients_of_one(tmp_path: Path, contrast: str) -> None:
    given = made()
    terms = of(given, config=LossConfig(contrast=contrast))  # type: ignore[arg-type]
    terms["total"].backward()
    (first, grads), (second, others) = in_two_processes(_one_rank, tmp_path, contrast)
    for name, value in terms.items():
        assert torch.allclose((first[name] + second[name]) / 2, value), name
    for name, one, other in zip(GRADIENTS, grads, others, strict=True):
        assert torch.allclose(torch.cat([one, other]) / 2, given[name].grad), name
