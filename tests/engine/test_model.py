"""Loading weights: every name and shape fits, extra state of any size travels with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from g3d.engine.model import load_strictly
from g3d.errors import InputError


class WithNotes(nn.Module):
    """A layer that carries bytes besides its weights, as the text encoder carries its tokenizer."""

    def __init__(self, notes: str = "") -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.notes = notes

    def get_extra_state(self) -> Tensor:
        return torch.tensor(list(self.notes.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        if b"!" in bytes(state.tolist()):
            raise InputError("notes: damaged", "write them again")
        self.notes = bytes(state.tolist()).decode()


def test_extra_state_of_another_size_is_loaded() -> None:
    model, other = nn.Sequential(WithNotes()), nn.Sequential(WithNotes("long notes"))
    load_strictly(model, other.state_dict(), Path("c.pt"))
    assert model[0].notes == "long notes"
    assert torch.equal(model[0].layer.weight, other[0].layer.weight)


@pytest.mark.parametrize(
    ("change", "said"),
    [("drop", "entries missing: _extra_state"), ("shape", "of another shape: layer.bias is (4,), expected (3,)")],
)
def test_what_does_not_fit_is_named(change: str, said: str) -> None:
    state = WithNotes("a").state_dict()
    if change == "drop":
        del state["_extra_state"]
    else:
        state["layer.bias"] = torch.zeros(4)
    with pytest.raises(InputError) as caught:
        load_strictly(WithNotes(), state, Path("c.pt"))
    assert said in caught.value.message


def test_extra_state_that_cannot_be_used_names_the_file() -> None:
    with pytest.raises(InputError, match=r"checkpoint c\.pt: notes: damaged") as caught:
        load_strictly(WithNotes(), WithNotes("!").state_dict(), Path("c.pt"))
    assert caught.value.hint == "write them again"
