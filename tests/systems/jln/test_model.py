"""The network: shapes, gradients, images shared by sentences, precision, initialisation. Its numbers are checked by the
parity cases."""

from __future__ import annotations

import math

import pytest
import torch
from support.micro_jln import model, run, words

from g3d.nn.text_encoder import Words
from g3d.systems.jln.adapter import score_pyramid
from g3d.systems.jln.transformer import GatedInjection, rows_of


@pytest.mark.parametrize("joint", [True, False])
def test_outputs_have_the_promised_shapes_and_every_parameter_learns(joint: bool) -> None:
    network = model(joint=joint)
    outputs = run(network, torch.randn(2, 3, 64, 128), torch.tensor([0, 1, 1]), words(3))
    shapes = {"logits": (3, 1, 9), "boxes": (3, 1, 6), "sizes": (3, 1, 3), "depth": (3, 1, 2), "angle": (3, 1, 24),
              "depth_logits": (3, 11, 4, 8), "depth_map": (3, 4, 8)}  # fmt: skip
    if joint:
        shapes |= {
            "regions": (3, 128 + 32 + 8 + 2),
            "depth_regions": (3, 32),
            "visual_token": (3, 32),
            "text_token": (3, 32),
        }
    assert {name: tuple(value.shape) for name, value in outputs._asdict().items() if value is not None} == shapes
    sum((value**2).sum() for value in outputs if value is not None).backward()
    assert [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not any(p.requires_grad for p in network.text_encoder.parameters())


def test_mono3dvg_tr_is_jln_without_some_parameters() -> None:
    def names(joint: bool) -> set[str]:
        return {name.split(".")[1] for name in model(joint=joint).state_dict() if name.startswith("transformer.")}

    assert names(True) - names(False) == {
        "cls_text",
        "cls_visual",
        "global_text_att",
        "text_injection_att",
        "global_visual_att",
        "global_visual_injection",
        "adapt_visual_classifier",
        "adapt_depth_classifier",
    }
    assert names(False) < names(True)


@pytest.mark.parametrize("joint", [True, False])
def test_an_image_shared_by_sentences_is_as_good_as_its_copies(joint: bool) -> None:
    network, images, image_of = model(joint=joint).eval(), torch.randn(2, 3, 64, 64), torch.tensor([1, 0, 1, 1])
    shared, copied = run(network, images, image_of, words(4)), run(network, images[image_of], None, words(4))
    for a, b in zip(shared, copied, strict=True):
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_backbone_sees_each_image_once() -> None:
    network, seen = model().eval(), []
    network.backbone.register_forward_hook(lambda module, inputs, result: seen.append(len(inputs[0])))
    run(network, torch.randn(1, 3, 64, 128), torch.zeros(5, dtype=torch.int64), words(5))
    assert seen == [1]


@pytest.mark.parametrize("masked", [True, False])
def test_padded_words_matter_only_without_the_word_mask(masked: bool) -> None:
    network, images, sentences = model(word_mask=masked).eval(), torch.randn(2, 3, 64, 64), words(2)
    changed = Words(sentences.features + 5 * sentences.padding[..., None], sentences.padding)
    same = torch.allclose(
        run(network, images, None, sentences).boxes, run(network, images, None, changed).boxes, rtol=1e-5, atol=1e-6
    )
    assert same == masked


def test_sentences_change_the_answer() -> None:
    network, images = model().eval(), torch.randn(1, 3, 64, 128)
    first, second = (run(network, images, None, words(1, seed)) for seed in (1, 2))
    assert not torch.allclose(first.boxes, second.boxes, atol=1e-4)
    assert torch.equal(first.depth_map, second.depth_map)  # which knows no words


def test_under_autocast_outputs_are_float32_and_close() -> None:
    network, images, sentences = model().eval(), torch.randn(2, 3, 64, 64), words(2)
    exact = run(network, images, None, sentences)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = run(network, images, None, sentences)
    assert {value.dtype for value in rounded if value is not None} == {torch.float32}
    torch.testing.assert_close(rounded.boxes, exact.boxes, rtol=0.05, atol=0.02)
    torch.testing.assert_close(rounded.depth, exact.depth, rtol=0.05, atol=0.1)


def test_training_gradients_do_not_depend_on_recomputing_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for recomputed in (True, False):
        network = model().train()
        monkeypatch.setattr(network.transformer.encoder, "_recomputed", lambda visual, on=recomputed: on)
        torch.manual_seed(1)  # of the dropouts
        run(network, torch.randn(2, 3, 64, 64), None, words(2)).boxes.sum().backward()
        gradients.append({name: p.grad for name, p in network.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is None or torch.equal(gradient, gradients[1][name]), name


def test_image_size_must_be_a_multiple_of_64() -> None:
    with pytest.raises(ValueError, match="multiples of 64, found 96 x 64"):
        run(model(), torch.zeros(1, 3, 96, 64), None, words(1))


def test_fresh_heads_start_as_published() -> None:
    network = model()
    assert network.class_embed[0].bias.eq(-math.log(99)).all()
    assert network.bbox_embed[0].layers[-1].bias[2:].eq(-2).all()
    assert network.transformer.reference_points.bias.eq(0).all()
    bound = math.sqrt(6 / (32 + 32))  # Xavier's
    assert network.transformer.encoder.layers[0].linear1.weight.abs().max() <= bound
    assert network.transformer.cls_text.abs().max() <= math.sqrt(6 / (32 + 32))
    assert network.transformer.adapter.tf_sigma.item() == 0.5


def test_the_gate_is_a_layer_of_both_inputs() -> None:
    injection, visual, token = GatedInjection(8), torch.randn(2, 5, 8), torch.randn(2, 1, 8)
    regional, whole = injection.regional_transform(visual), injection.global_transform(token).expand(-1, 5, -1)
    gate = injection.gate(torch.cat([regional, whole], 2)).sigmoid()
    torch.testing.assert_close(injection(visual, token), gate * regional + (1 - gate) * whole)


def test_a_score_reaches_coarser_levels_as_the_largest_around() -> None:
    score = torch.zeros(1, 4, 8)
    score[0, 1, 5] = 1
    pyramid = score_pyramid(score)[0]
    fine, middle, coarse, coarsest = pyramid.split([8 * 16, 4 * 8, 2 * 4, 1 * 2])
    assert torch.equal(middle, score.flatten())
    assert fine.sum().item() == pytest.approx(4)
    assert coarse.view(2, 4).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]
    assert coarsest.tolist() == [0, 1]


def test_what_sentences_share_has_the_same_gradient_every_time() -> None:
    """Plain indexing adds the gradients of a row that is taken several times in an order that changes from run to
    run."""
    shared, image_of = torch.randn(1, 10_200, 64), torch.zeros(16, dtype=torch.int64)
    weights = torch.randn(16, 10_200, 64)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = []
        for _ in range(5):
            leaf = shared.clone().requires_grad_()
            (rows_of(leaf, image_of) * weights).sum().backward()
            found.append(leaf.grad)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, found[0]) for gradient in found)
    torch.testing.assert_close(found[0], weights.sum(0, keepdim=True), rtol=1e-4, atol=1e-4)
