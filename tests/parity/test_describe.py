"""Descriptions of parity cases are read completely, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from parity.check import tolerance_of
from parity.describe import (
    DescriptionError,
    agreed,
    evaluate_formula,
    formula_in,
    named_data,
    parse_stream,
    stated_number,
    stored_part,
)
from parity.weights import filled_state

DDN = "logits = numpy RandomState(1081).standard_normal((3,81,24,80)).astype(float32)"
MAPS = (
    "one numpy RandomState(51): standard_normal float32, in order (B,256,8,20) stride 8, (B,256,4,10) stride 16, "
    "(B,256,2,5) stride 32; B=2; no padding; position encoding = the sine one of the stride 16 map"
)
LOSSES = (
    "pred_depth_map_logits (B,81,24,80), perd_forback_classifier (B,10200,1), perd_forback_classifier_depth (B,1920,1) "
    "are drawn in this order from numpy RandomState(1062).standard_normal, float32; B=4"
)
IMAGE = (
    "numpy.random.RandomState(101).standard_normal((2,3,384,1280)).astype(float32), fed as the already normalised "
    "network input"
)


@pytest.mark.parametrize(
    ("text", "seed", "shapes"),
    [
        (DDN, 1081, [(3, 81, 24, 80)]),
        (MAPS, 51, [(2, 256, 8, 20), (2, 256, 4, 10), (2, 256, 2, 5)]),
        (LOSSES, 1062, [(4, 81, 24, 80), (4, 10200, 1), (4, 1920, 1)]),
        (IMAGE, 101, [(2, 3, 384, 1280)]),
        ("np.random.RandomState(7).randn(2, 5), cast to float32", 7, [(2, 5)]),
        ("numpy legacy generator, seed 7: standard_normal float64 (5,)", 7, [(5,)]),
    ],
)
def test_streams_of_numpy_s_frozen_generator(text: str, seed: int, shapes: list[tuple[int, ...]]) -> None:
    stream = parse_stream(text)
    assert (stream.generator, stream.seed, [draw.shape for draw in stream.draws]) == ("RandomState", seed, shapes)
    random = np.random.RandomState(seed)
    for array, shape in zip(stream.arrays(), shapes, strict=True):
        expected = random.standard_normal(int(np.prod(shape))).reshape(shape)
        np.testing.assert_array_equal(array, expected.astype(stream.dtype))


def test_other_generators() -> None:
    (array,) = parse_stream("numpy default_rng(5).standard_normal((2,3)).astype(float32)").arrays()
    np.testing.assert_array_equal(array, np.random.default_rng(5).standard_normal(6).reshape(2, 3).astype(np.float32))
    (array,) = parse_stream("torch.manual_seed(5); torch.randn(2,3) float32").arrays()
    torch.manual_seed(5)
    np.testing.assert_array_equal(array, torch.randn(2, 3).numpy())


def test_names_and_strides_belong_to_their_shapes() -> None:
    assert [draw.stride for draw in parse_stream(MAPS).draws] == [8, 16, 32]
    names = ["pred_depth_map_logits", "perd_forback_classifier", "perd_forback_classifier_depth"]
    assert [draw.name for draw in parse_stream(LOSSES).draws] == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "expected a text"),
        ("logits (3,81,24,80), standard_normal float32", "random generator"),
        (DDN + ", RandomState(5)", "one seed"),
        (DDN + ", torch.randn", "one random generator"),
        (DDN.replace("float32", "int8"), "element type"),
        (DDN + ", float64", "element type"),
        (DDN.replace("standard_normal", "uniform"), "standard normal"),
        (DDN + " and uniform noise", "standard normal"),
        (DDN.replace("numpy", "0.1 * numpy"), "changed"),
        (DDN + " * 3", "changed"),
        (DDN + ", second draw of the stream", "changed"),
        (MAPS.replace("; B=2", ""), "no value for B"),
        (MAPS + "; B=3", "B is 2 and 3"),
        (DDN + "; B=4", "contradicts"),
        (DDN.replace("24", "H/16"), "not understood as a shape"),
        ("numpy RandomState(3), standard_normal float32", "no shape"),
        ("numpy RandomState(3), standard_normal float32, noise (7)", "neither a shape"),
    ],
)
def test_refused_streams(text: object, reason: str) -> None:
    with pytest.raises(DescriptionError, match=reason):
        parse_stream(text)


def test_numbers_are_stated_once() -> None:
    assert stated_number("lr 1e-4, weight decay 1e-5", r"\blr #", "ran") == 1e-4
    with pytest.raises(DescriptionError, match="no value"):
        stated_number("weight decay 1e-5", r"\blr #", "ran")
    with pytest.raises(DescriptionError, match="2 different values"):
        stated_number("lr 1e-4, then lr 1e-5", r"\blr #", "ran")
    assert agreed({"a": None, "b": 3}, "x") == 3
    with pytest.raises(DescriptionError, match="a states 2, b states 3"):
        agreed({"a": 2, "b": 3}, "x")
    with pytest.raises(DescriptionError, match="does not state it"):
        agreed({"a": None}, "x")


def _arrays(**meanings: str) -> dict:
    return {"arrays": {f"out.{name}": {"meaning": meaning} for name, meaning in meanings.items()}}


def test_stored_parts() -> None:
    value = np.arange(4 * 12 * 10).reshape(4, 12, 10)
    case = _arrays(a="raw [4,12,10], stored [:,::4,::3]", b="same subsampling", c="same subsampling as a", d="")
    for name in ("out.a", "out.b", "out.c"):
        np.testing.assert_array_equal(value[stored_part(case, name, value.shape, (4, 3, 4))], value[:, ::4, ::3])
    np.testing.assert_array_equal(value[stored_part(case, "out.d", value.shape, (4, 4, 5))], value[:, ::3, ::2])
    with pytest.raises(DescriptionError, match="has shape"):
        stored_part(case, "out.a", value.shape, (4, 4, 4))
    with pytest.raises(DescriptionError, match="no single step"):
        stored_part(case, "out.d", (7,), (2,))  # 4, 5 or 6
    assert stored_part(case, "out.d", (7,), (2,), otherwise=(5,)) == (slice(None, None, 5),)
    with pytest.raises(DescriptionError, match="no single step"):
        stored_part(case, "out.d", (7,), (2,), otherwise=(3,))


def test_formulas() -> None:
    formula = formula_in("float32(sin(0.3*r*(1+k%5) - k//2)) for row r and k", "tokens")
    found = evaluate_formula(formula, r=np.arange(3)[:, None], k=np.arange(7))
    expected = [[np.sin(0.3 * r * (1 + k % 5) - k // 2) for k in range(7)] for r in range(3)]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    for bad in ("float32(open(r))", "float32(r.shape)", "float32(q)", "float32(r, 2)", "float32('r')", "float32(r +)"):
        with pytest.raises(DescriptionError, match="formula"):
            evaluate_formula(bad, r=1)
    with pytest.raises(DescriptionError, match="do not close"):
        formula_in("float32(sin(r)", "tokens")


def test_names_of_small_data_sets() -> None:
    assert named_data({"ran": "on mini_kitti2, split train", "what": "mini_kitti2"}, "mini_kitti") == "mini_kitti2"
    assert named_data({"ran": "on real frames"}, "mini_kitti") == "mini_kitti"
    with pytest.raises(DescriptionError, match="mini_a, mini_b"):
        named_data({"ran": "mini_a", "what": "mini_b"}, "mini_kitti")


@pytest.mark.parametrize(
    ("stated", "name", "expected"),
    [
        (None, "out.a", (0, 0)),
        ("exact except ties", "out.a", (0, 0)),
        ("rtol 1e-3 atol 1e-4", "out.a", (1e-4, 1e-3)),
        ({"abs": 1, "rel": 2}, "out.a", (1, 2)),
        ({"atol": 1, "rtol": 2}, "out.a", (1, 2)),
        ({"abs": 1, "a, b": {"abs": 3, "rel": 4}}, "out.b", (3, 4)),
        ({"abs": 1, "out.a": "exact"}, "out.a", (0, 0)),
        ({"abs": 1, "a": 0.5}, "out.a", (0.5, 0)),
        ({"abs": 1, "image_u8": "at most 2 levels apart"}, "out.image_u8_stride3", (2, 0)),
        ({"loss_rel": 1, "abs": 5}, "out.losses", (0, 1)),
    ],
)
def test_tolerances(stated: object, name: str, expected: tuple[float, float]) -> None:
    assert tolerance_of(stated, name) == expected


def test_tolerance_that_is_not_understood() -> None:
    with pytest.raises(DescriptionError, match="not understood as a tolerance"):
        tolerance_of({"a": "close"}, "out.a")
    with pytest.raises(DescriptionError, match="not understood as a tolerance"):
        tolerance_of("close", "out.a")


def test_rules_of_weights(tmp_path: Path) -> None:
    entry = {"shape": [3], "dtype": "float32"}
    manifest = {"a.gamma": entry, "b.weight": {**entry, "alias_of": "a.gamma"}, "c.bias": {**entry, "value": [1, 2, 3]}}
    case = {"system": "vglaw", "manifest": manifest, "weights": {"salt": "s/"}}
    plain = filled_state(case, tmp_path)
    assert torch.equal(plain["a.gamma"], plain["b.weight"])
    assert plain["c.bias"].tolist() == [1, 2, 3]
    renamed = filled_state(
        case | {"fill_name": "names ending in '.gamma' are filled under NAME + '.weight' (so 1)"}, tmp_path
    )
    assert (renamed["a.gamma"] >= 0.5).all()  # the rule of norm scales: U(0.5, 1.5)
    assert not torch.equal(plain["a.gamma"], renamed["a.gamma"])
    assert not torch.equal(plain["a.gamma"], filled_state(case | {"weights": {}}, tmp_path)["a.gamma"])
    with pytest.raises(DescriptionError, match="salt"):
        filled_state(case | {"salt": "t/"}, tmp_path)
    with pytest.raises(DescriptionError, match="manifest"):
        filled_state({"system": "vglaw"}, tmp_path)
