"""The module around deformable attention: rules that the parity cases (tests/parity/golden/jln/msda_*) do not
isolate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from g3d.nn.deformable_attention import MSDeformAttn

SHAPES = [(4, 6), (2, 3)]
POSITIONS = 30


@pytest.fixture
def module() -> MSDeformAttn:
    torch.manual_seed(0)
    made = MSDeformAttn(channels=16, levels=2, heads=2, points=3)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def inputs(queries: int, numbers: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    references = torch.rand(2, queries, 2, numbers, generator=draw)
    return torch.randn(2, queries, 16, generator=draw), references, torch.randn(2, POSITIONS, 16, generator=draw)


def test_parameters_have_the_published_names() -> None:
    found = {name: tuple(weight.shape) for name, weight in MSDeformAttn().state_dict().items()}
    assert found == {
        "sampling_offsets.weight": (256, 256),
        "sampling_offsets.bias": (256,),
        "attention_weights.weight": (128, 256),
        "attention_weights.bias": (128,),
        "value_proj.weight": (256, 256),
        "value_proj.bias": (256,),
        "output_proj.weight": (256, 256),
        "output_proj.bias": (256,),
    }


def test_fresh_module_averages_around_the_reference() -> None:
    """All weights are equal at first: on constant maps every query away from the border gets their projection."""
    module = MSDeformAttn(channels=16, levels=1, heads=2, points=2)
    queries, maps = torch.randn(1, 1, 16), torch.ones(1, 100, 16)
    found = module(queries, torch.full((1, 1, 1, 2), 0.5), maps, [(10, 10)])
    torch.testing.assert_close(found, module.output_proj(module.value_proj(maps[:, :1])))


def test_one_reference_serves_all_queries(module: MSDeformAttn) -> None:
    queries, references, maps = inputs(5)
    expected = module(queries, references[:, :1].expand(-1, 5, -1, -1), maps, SHAPES)
    torch.testing.assert_close(module(queries, references[:, :1], maps, SHAPES), expected)


def test_six_numbers_scale_offsets_by_the_box(module: MSDeformAttn) -> None:
    queries, boxes, maps = inputs(5, numbers=6)
    sides = boxes[..., None, 2:].clone()
    pixels = torch.tensor([[w, h] for h, w in SHAPES])[:, None]
    # the same places from two-number references: offsets counted in pixels instead of fractions of the box
    scale = (sides[..., 0::2] + sides[..., 1::2]) * 0.5 / module.points * pixels
    offsets = module.sampling_offsets(queries).unflatten(2, (2, 2, 3, 2)) * scale[:, :, None]
    module.sampling_offsets.forward = lambda _: offsets.flatten(2)  # type: ignore[method-assign]
    expected = module(queries, boxes[..., :2], maps, SHAPES)
    del module.sampling_offsets.forward
    torch.testing.assert_close(module(queries, boxes, maps, SHAPES), expected)


def test_padding_is_seen_as_zero(module: MSDeformAttn) -> None:
    queries, references, maps = inputs(5)
    padding = torch.zeros(2, POSITIONS, dtype=torch.bool)
    padding[:, 20:] = True
    changed = maps.clone()
    changed[:, 20:] = 1e6
    assert torch.equal(
        module(queries, references, maps, SHAPES, padding), module(queries, references, changed, SHAPES, padding)
    )
    assert not torch.equal(
        module(queries, references, maps, SHAPES), module(queries, references, maps, SHAPES, padding)
    )


def test_gradients_reach_every_input_and_weight(module: MSDeformAttn) -> None:
    queries, references, maps = (t.requires_grad_() for t in inputs(5))
    module(queries, references, maps, SHAPES).square().sum().backward()
    assert all(t.grad is not None and t.grad.abs().sum() > 0 for t in (queries, references, maps, *module.parameters()))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_autocast_keeps_places_and_weights_in_float32(module: MSDeformAttn, device: str) -> None:
    """In bfloat16 a location in a map of 160 pixels would be off by up to a third of a pixel."""
    module.to(device)
    queries, references, maps = (tensor.to(device) for tensor in inputs(5))
    with torch.autocast(device, torch.bfloat16):
        found = module(queries, references, maps, SHAPES)
        found.float().square().sum().backward()
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), module(queries, references, maps, SHAPES), rtol=0.05, atol=0.05)
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in module.parameters())


def test_compiles_without_a_break(module: MSDeformAttn) -> None:
    queries, references, maps = inputs(5)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    found = compiled(queries, references, maps, SHAPES)
    torch.testing.assert_close(found, module(queries, references, maps, SHAPES))
    found.sum().backward()
    assert module.value_proj.weight.grad is not None


@pytest.mark.parametrize(
    ("shapes", "numbers", "message"),
    [
        ([(5, 6)], 2, "shapes: expected 2 levels, found 1"),
        (SHAPES, 4, r"references: expected \(B, Q, 2, 2 or 6\), found \(2, 5, 2, 4\)"),
    ],
)
def test_what_does_not_fit_is_refused(
    module: MSDeformAttn, shapes: list[tuple[int, int]], numbers: int, message: str
) -> None:
    queries, references, maps = inputs(5, numbers)
    with pytest.raises(ValueError, match=message):
        module(queries, references, maps, shapes)


def test_channels_are_a_multiple_of_the_heads() -> None:
    with pytest.raises(ValueError, match="channels: expected a multiple of the 3 heads, found 16"):
        MSDeformAttn(channels=16, heads=3)
