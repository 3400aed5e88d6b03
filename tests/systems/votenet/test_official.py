"""Published VoteNet checkpoints load strictly."""

from __future__ import annotations

import pytest
import torch
from support.detectors import TINY_VOTENET, draw_weights

from g3d.errors import InputError
from g3d.systems.votenet.model import build
from g3d.systems.votenet.official import import_official


@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_entry_of_a_tar_file_is_loaded(prefix: str) -> None:
    torch.manual_seed(1)
    source = build(TINY_VOTENET)
    draw_weights(source)
    state = {prefix + name: value for name, value in source.state_dict().items()}
    network = build(TINY_VOTENET)
    report = import_official({"model_state_dict": state, "epoch": 180, "optimizer_state_dict": {}}, network)
    assert len(report.taken) == len(state)
    assert not report.ignored
    assert not report.fresh
    assert all(torch.equal(value, state[prefix + name]) for name, value in network.state_dict().items())


def test_a_checkpoint_without_height_is_refused_with_the_setting() -> None:
    state = build(TINY_VOTENET.model_copy(update={"input_features": 0})).state_dict()
    with pytest.raises(InputError, match=r"sa1\.mlp_module\.layer0\.conv\.weight is \(16, 3, 1, 1\)") as error:
        import_official({"model_state_dict": dict(state)}, build(TINY_VOTENET))
    assert "model.input_features" in (error.value.hint or "")


def test_a_file_without_a_state_dict_is_refused() -> None:
    with pytest.raises(InputError, match="expected a state dict, or one under 'model_state_dict'"):
        import_official({"weights": 3}, build(TINY_VOTENET))
