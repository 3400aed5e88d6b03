"""The strict loader of weights: every way in which a file can fail to fit, in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from g3d.errors import InputError
from g3d.nn.weights import load_weights, state_dict_of

State = dict[str, Any]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def stored() -> State:
    torch.manual_seed(1)
    return {name: value + 1 for name, value in network().state_dict().items()}


def put(name: str, value: Any) -> Callable[[State], Any]:
    return lambda state: state.update({name: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("0.bias"), "missing: 0.bias"),
        (put("2.weight", torch.ones(1)), "unknown: 2.weight"),
        (put("same.bias", torch.ones(3)), "given twice: same.bias and 0.bias"),
        (put("0.bias", [1, 2, 3]), "no tensors: 0.bias is list"),
        (put("0.bias", torch.ones(4)), "of another shape: 0.bias is (4,), expected (3,)"),
        (
            put("0.bias", torch.ones(3, dtype=torch.int64)),
            "of another kind of number: 0.bias is integer, expected floating point",
        ),
        (put("0.bias", torch.ones(3, dtype=torch.complex64)), "0.bias is complex, expected floating point"),
        (put("0.bias", torch.ones(3, dtype=torch.bool)), "0.bias is true or false, expected floating point"),
        (put("1.num_batches_tracked", torch.tensor(1.5)), "1.num_batches_tracked is floating point, expected integer"),
        (put("0.bias", torch.tensor([0, torch.nan, 1])), "not finite: 0.bias has 1 of 3 values NaN or infinite"),
        (put("1.running_var", torch.full((3,), torch.inf)), "not finite: 1.running_var has 3 of 3 values"),
        (put("0.bias", torch.full((3,), 1e300, dtype=torch.float64)), "not finite: 0.bias"),  # overflows float32
    ],
)
def test_each_misfit_is_named_and_nothing_changes(change: Callable[[State], Any], said: str) -> None:
    model, state = network(), stored()
    change(state)
    with pytest.raises(InputError) as caught:
        load_weights(model, state, "some file", our_name=lambda name: name.replace("same.", "0."), hint="look again")
    assert caught.value.message.startswith("some file does not fit this model: entries ")
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint == "look again"
    before = network().state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_all_misfits_are_in_one_message_and_many_names_are_counted() -> None:
    state = {**stored(), **{f"extra.{number}": torch.ones(1) for number in range(11)}}
    del state["0.weight"]
    with pytest.raises(InputError) as caught:
        load_weights(network(), state, "file")
    assert "missing: 0.weight; unknown: extra.0, " in caught.value.message
    assert "extra.7 and 3 more" in caught.value.message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_formats_are_converted(dtype: torch.dtype) -> None:
    state = {name: v.to(dtype) if v.is_floating_point() else v for name, v in stored().items()}
    model = network()
    report = load_weights(model, state, "file")
    assert report.taken == tuple(state)
    for name, value in model.state_dict().items():
        assert value.dtype == network().state_dict()[name].dtype
        assert torch.equal(value, state[name].to(value.dtype))


def test_the_report_says_what_was_left_out_and_what_kept_its_value() -> None:
    state = {"head.weight": torch.ones(9), **{f"old.{name}": value for name, value in stored().items()}}
    del state["old.0.bias"], state["old.1.num_batches_tracked"]
    model = network()
    report = load_weights(
        model,
        state,
        "file",
        {"head.weight": "not needed"},
        {"0.bias": "new here", "0.weight": "not read, the file has it"},
        lambda name: name.removeprefix("old."),
    )
    assert report.taken == tuple(name for name in state if name.startswith("old."))
    assert dict(report.ignored) == {"head.weight": "not needed"}
    assert dict(report.fresh) == {
        "0.bias": "new here",
        "1.num_batches_tracked": "a counter that older PyTorch did not store",
    }
    assert torch.equal(model[0].bias, network()[0].bias)
    assert torch.equal(model[0].weight, state["old.0.weight"])


def test_counters_are_required_where_asked() -> None:
    state = stored()
    del state["1.num_batches_tracked"]
    with pytest.raises(InputError, match=r"entries missing: 1\.num_batches_tracked"):
        load_weights(network(), state, "file", counters=True)


def test_a_name_without_counterpart_is_unknown() -> None:
    with pytest.raises(InputError, match=r"missing: 0\.weight, .* unknown: 0\.weight"):
        load_weights(network(), stored(), "file", our_name=lambda name: None)


@pytest.mark.parametrize("wrapped", [True, False])
def test_state_dicts_are_found_under_their_key_or_alone(wrapped: bool) -> None:
    tensors: dict[str, Tensor] = {"module.a": torch.ones(1), "b": torch.ones(2)}
    found = state_dict_of({"epoch": 1, "weights": tensors} if wrapped else tensors, "weights")
    assert list(found) == ["a", "b"]


def test_an_entry_with_and_without_the_prefix_is_refused() -> None:
    with pytest.raises(InputError, match=r"holds both a and module\.a"):
        state_dict_of({"a": torch.ones(1), "module.a": torch.ones(1)}, "weights")


@pytest.mark.parametrize("content", [{}, [], {"weights": {}}, {"weights": {"a": 1}}, {1: torch.ones(1)}])
def test_content_without_a_state_dict_is_refused(content: object) -> None:
    with pytest.raises(InputError, match="expected a state dict, or one under 'weights'; found"):
        state_dict_of(content, "weights")
