"""The teacher: all candidates in one batch equal one after the other, and the loss of words its plain composition."""

from __future__ import annotations

import pytest
import torch
from support.plain_ws3dvg import reconstruct, reconstruction_scores
from support.ws3dvg import COUNTS, LENGTHS, TINY, network, sentences
from torch import Tensor

from g3d.systems.ws3dvg.teacher import Teacher, reconstruction_losses, sine_positions, word_kinds
from g3d.systems.ws3dvg.vocabulary import word_losses

Inputs = tuple[Teacher, dict[str, Tensor]]


def inputs() -> Inputs:
    """A teacher in float64 without dropout, and what it judges: S sentences of different lengths."""
    found = sentences(LENGTHS, COUNTS)
    teacher = network().recnet.double().eval()
    g = torch.Generator().manual_seed(3)
    count, longest = found.lengths.numel(), found.vectors.shape[2]
    assert found.keyword_mask is not None
    kinds, scored = word_kinds(found.keyword_mask, found.lengths, found.counts)
    assert found.replaced is not None
    assert found.word_ids is not None
    return teacher, {
        "words": torch.randn(count, longest, TINY.channels, generator=g, dtype=torch.float64).requires_grad_(),
        "features": torch.randn(count, 4, TINY.channels, generator=g, dtype=torch.float64).requires_grad_(),
        "kinds": kinds.flatten(0, 1),
        "scored": scored.flatten(0, 1),
        "replaced": found.replaced.flatten(0, 1),
        "ids": found.word_ids.flatten(0, 1),
    }


def judged(teacher: Teacher, given: dict[str, Tensor]) -> Tensor:
    rows = given["scored"]
    hidden, at = teacher(given["words"], given["replaced"], given["kinds"] == 2, rows, given["features"])
    losses = teacher.losses(hidden, given["ids"][rows])
    return reconstruction_losses(losses, at.sentences, given["kinds"][rows], len(rows))


def judged_in_turn(teacher: Teacher, given: dict[str, Tensor]) -> Tensor:
    masks = given["replaced"].long().masked_fill(given["kinds"] == 2, 2)
    logits = reconstruct(teacher, given["words"], masks, given["features"])
    return reconstruction_scores(logits, given["ids"], given["kinds"], given["scored"].any(1))


def gradients(teacher: Teacher, given: dict[str, Tensor], value: Tensor) -> list[Tensor]:
    weights = torch.linspace(1, 2, value.numel(), dtype=value.dtype).view(value.shape)
    wanted = [*teacher.parameters(), given["words"], given["features"]]
    return list(torch.autograd.grad((value * weights).sum(), wanted))


def test_one_batch_of_candidates_equals_one_candidate_after_the_other() -> None:
    teacher, given = inputs()
    ours, plain = judged(teacher, given), judged_in_turn(teacher, given)
    assert ours[-1].tolist() == [0] * 4  # the sentence that fills up the batch
    assert (ours[:-1] > 1).all()
    assert torch.allclose(ours, plain, rtol=1e-12, atol=1e-12)
    for mine, other in zip(gradients(teacher, given, ours), gradients(teacher, given, plain), strict=True):
        assert torch.allclose(mine, other, rtol=1e-9, atol=1e-12)


def test_a_word_marked_as_padding_is_neither_attended_to_nor_scored() -> None:
    teacher, given = inputs()
    given["kinds"] = given["kinds"].clone()
    given["kinds"][0, 1] = given["kinds"][2, 0] = 2
    given["scored"] = given["scored"] & (given["kinds"] != 2)
    ours = judged(teacher, given)
    assert torch.allclose(ours, judged_in_turn(teacher, given), rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(ours.sum(), given["words"])
    assert torch.equal((gradient != 0).any(2), given["scored"] & ~given["replaced"])


def test_dropout_differs_between_candidates_after_the_shared_layer() -> None:
    teacher, given = inputs()
    given["features"] = given["features"][:, :1].expand(-1, 4, -1)
    assert torch.allclose(judged(teacher, given)[:, :1], judged(teacher, given))
    torch.manual_seed(0)
    dropped = judged(teacher.train(), given)
    assert (dropped[0, 1:] != dropped[0, 0]).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_word_losses_equal_cross_entropy_with_smoothing(smoothing: float) -> None:
    g = torch.Generator().manual_seed(1)
    hidden, weight = (torch.randn(n, 5, generator=g, dtype=torch.float64).requires_grad_() for n in (9, 13))
    bias = torch.randn(13, generator=g, dtype=torch.float64).requires_grad_()
    targets = torch.randint(13, (9,), generator=g)
    expected = torch.nn.functional.cross_entropy(
        hidden @ weight.T + bias, targets, reduction="none", label_smoothing=smoothing
    )
    found = word_losses(hidden, weight, bias, targets, smoothing)
    assert torch.allclose(found, expected, rtol=1e-12)
    with torch.no_grad():
        assert torch.equal(word_losses(hidden, weight, bias, targets, smoothing), found)
    assert torch.autograd.gradcheck(lambda *x: word_losses(*x, targets, smoothing), (hidden, weight, bias))


def test_chunks_do_not_change_word_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(1)
    hidden, weight = (torch.randn(n, 5, generator=g).requires_grad_() for n in (9, 13))
    targets = torch.randint(13, (9,), generator=g)
    weights = torch.tensor([1.0, 0, 2, 0, 0, 1, 3, 0, 1])

    def found() -> list[Tensor]:
        losses = word_losses(hidden, weight, torch.zeros(13), targets)
        return [losses, *torch.autograd.grad((losses * weights).sum(), (hidden, weight))]

    whole = found()
    monkeypatch.setattr("g3d.systems.ws3dvg.vocabulary._CHUNK", 2 * 13)
    for one, other in zip(whole, found(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)
    assert (whole[1][weights == 0] == 0).all()


def test_kinds_of_words_with_and_without_the_fault() -> None:
    mask = torch.tensor([[[1, 2, 0, 2, 2]], [[0, 0, 0, 0, 0]]])  # in both lists; without lists
    lengths, counts = torch.tensor([[3], [2]]), torch.tensor([1, 1])
    kinds, scored = word_kinds(mask, lengths, counts)
    assert kinds.tolist() == [[[1, 1, 0, 2, 2]], [[0, 0, 2, 2, 2]]]
    assert scored.sum((1, 2)).tolist() == [3, 2]
    kinds, scored = word_kinds(mask, lengths, counts, mask_value_two_is_padding=True)
    assert torch.equal(kinds, mask)
    assert scored.sum((1, 2)).tolist() == [2, 5]
    assert not word_kinds(mask, lengths, torch.tensor([0, 1]))[1][0].any()


def test_positions_are_sines_and_cosines_and_nothing_for_the_first_word() -> None:
    found = sine_positions(4, 6)
    assert (found[0] == 0).all()
    angles = 3 * torch.tensor([1.0, 0.01, 1e-4])
    assert torch.allclose(found[3], torch.cat([angles.sin(), angles.cos()]))
