"""Published WS-3DVG checkpoints load strictly, with either detector, and tell their number of words."""

from __future__ import annotations

import pytest
import torch
from support.ws3dvg import TINY, TINY_VOTENET, network
from torch import Tensor

from g3d.errors import InputError
from g3d.systems.ws3dvg.model_config import ModelConfig
from g3d.systems.ws3dvg.official import import_official, vocabulary_size


def published(config: ModelConfig) -> dict[str, Tensor]:
    """A published state dict of the tiny network: with both names of the position embeddings of Group-Free 3D."""
    state = dict(network(config, seed=1).state_dict())
    for name in list(state):
        for kind in ("self", "cross"):
            layer, found, rest = name.partition(f".{kind}_posembed.")
            if found:
                number = layer.removeprefix("group_free.decoder.")
                state[f"group_free.decoder_{kind}_posembeds.{number}.{rest}"] = state[name]
    return state


@pytest.mark.parametrize("config", [TINY, TINY_VOTENET], ids=["groupfree", "votenet"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["model.pth", "checkpoint.tar"])
def test_every_entry_is_loaded_or_a_second_name(config: ModelConfig, wrapped: bool) -> None:
    state = published(config)
    checkpoint = {"epoch": 20, "model_state_dict": state, "optimizer_state_dict": {}, "best": 1.0} if wrapped else state
    model = network(config, seed=0)
    report = import_official(checkpoint, model)
    assert len(report.taken) + len(report.ignored) == len(state)
    assert not report.fresh
    assert len(report.ignored) == (2 * 9 if config.detector == "groupfree" else 0)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_number_of_words_is_the_checkpoints() -> None:
    state = published(TINY)
    assert vocabulary_size(state) == vocabulary_size({"model_state_dict": state}) == TINY.vocabulary
    other = network(TINY.model_copy(update={"vocabulary": 21}))
    with pytest.raises(InputError, match="predicts 20 words, this model 21") as error:
        import_official(state, other)
    assert error.value.hint == "set model.vocabulary=20"
    state.pop("recnet.vocab_fc.weight")
    with pytest.raises(InputError, match=r"expected recnet\.vocab_fc\.weight"):
        vocabulary_size(state)


def test_another_detector_is_named_with_the_setting() -> None:
    with pytest.raises(InputError, match="has the detector votenet, this model groupfree") as error:
        import_official(published(TINY_VOTENET), network(TINY))
    assert error.value.hint == "set model.detector=votenet"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("match.match.0.weight"), "missing: match.match.0.weight"),
        (lambda state: state.update(strange=torch.zeros(1)), "unknown: strange"),
        (
            lambda state: state.update({"lang.fc.bias": torch.zeros(2)}),
            r"of another shape: lang.fc.bias is \(2,\), expected \(32,\)",
        ),
        (
            lambda state: state.update(
                {"group_free.decoder_self_posembeds.0.position_embedding_head.3.bias": torch.zeros(32)}
            ),
            r"group_free\.decoder_self_posembeds\.0\S+ and group_free\.decoder\.0\.self_posembed\S+ differ",
        ),
    ],
)
def test_misfits_are_refused_and_change_nothing(change: object, message: str) -> None:
    state, model = published(TINY), network(TINY)
    change(state)  # type: ignore[operator]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match=message):
        import_official(state, model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
