"""Published Group-Free 3D checkpoints load strictly, with and without `module.`."""

from __future__ import annotations

import pytest
import torch
from support.detectors import TINY_GROUPFREE, draw_weights
from torch import Tensor

from g3d.errors import InputError
from g3d.systems.groupfree.model import build
from g3d.systems.groupfree.official import import_official


def published() -> dict[str, Tensor]:
    """A published state dict of the tiny network: with both names of the position embeddings."""
    torch.manual_seed(1)
    network = build(TINY_GROUPFREE)
    draw_weights(network)
    state = dict(network.state_dict())
    for name in list(state):
        for kind in ("self", "cross"):
            layer, found, rest = name.partition(f".{kind}_posembed.")
            if found:
                state[f"decoder_{kind}_posembeds.{layer.removeprefix('decoder.')}.{rest}"] = state[name]
    return state


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_entry_is_loaded_or_a_second_name(prefix: str, wrapped: bool) -> None:
    state = {prefix + name: value for name, value in published().items()}
    torch.manual_seed(0)
    network = build(TINY_GROUPFREE)
    report = import_official({"model": state, "save_path": "x", "epoch": 400} if wrapped else state, network)
    assert len(report.taken) + len(report.ignored) == len(state)
    assert not report.fresh
    assert len(report.ignored) == 2 * 2 * 9  # two embeddings in two layers
    assert all(name.startswith(("decoder_self_posembeds.", "decoder_cross_posembeds.")) for name in report.ignored)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[prefix + name]), name


def test_another_number_of_layers_is_named_with_the_setting() -> None:
    network = build(TINY_GROUPFREE.model_copy(update={"decoder_layers": 3}))
    with pytest.raises(InputError, match="has 2 decoder layers, this model has 3") as error:
        import_official(published(), network)
    assert error.value.hint == "set model.decoder_layers=2"


def test_differing_second_names_are_refused() -> None:
    state = published()
    name = "decoder_self_posembeds.1.position_embedding_head.3.bias"
    state[name] = state[name] + 1
    with pytest.raises(InputError, match=r"decoder_self_posembeds\.1\S+ and decoder\.1\.self_posembed\S+ differ"):
        import_official(state, build(TINY_GROUPFREE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("proposal_head.conv1.weight"), "missing: proposal_head.conv1.weight"),
        (lambda state: state.update(strange=torch.zeros(1)), "unknown: strange"),
        (
            lambda state: state.update({"points_obj_cls.conv3.bias": torch.zeros(2)}),
            r"of another shape: points_obj_cls.conv3.bias is \(2,\), expected \(1,\)",
        ),
    ],
)
def test_misfits_are_refused_and_change_nothing(change: object, message: str) -> None:
    state, network = published(), build(TINY_GROUPFREE)
    change(state)  # type: ignore[operator]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(InputError, match=message):
        import_official(state, network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
