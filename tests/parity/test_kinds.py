"""Kinds of jln and monodle read settings from the case: variants that no stored case has."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support import paths

from g3d.systems.jln.config import ModelConfig
from parity import oracles
from parity.describe import DescriptionError, parse_stream
from parity.kinds import (
    jln_ddn,
    jln_depth_predictor,
    jln_geometry,
    jln_losses,
    jln_lr_schedule,
    jln_msda_module,
    jln_tokens,
    jln_train_step,
    monodle,
    monodle_decode,
    monodle_evaluation,
    monodle_train_step,
)
from parity.runner import find_cases
from parity.variants import failures, stored, write

GOLDEN = paths.GOLDEN
SHARED = paths.SHARED / "golden"


# --- ddn --------------------------------------------------------------------------------------------------------------


def ddn_variant(seed: int, images: int, bins: int, height: int, width: int) -> tuple[dict, dict[str, np.ndarray]]:
    """Return a case of kind ddn whose results are computed by plain loops."""
    text = f"logits = numpy RandomState({seed}).standard_normal(({images},{bins + 1},{height},{width})).astype(float32)"
    random = np.random.RandomState(seed + 1)
    counts = np.arange(images) % 3
    corner = random.uniform(0, [width - 4, height - 4], (counts.sum(), 2))
    boxes = np.hstack([corner, corner + random.uniform(1, 4, corner.shape)]).astype(np.float32)
    depth = random.uniform(1, 70, len(boxes)).astype(np.float32)
    splits = counts.cumsum()[:-1]
    maps = oracles.painted_depths(np.split(boxes, splits), np.split(depth, splits), height, width)
    logits = np.random.RandomState(seed).standard_normal((images, bins + 1, height, width)).astype(np.float32)
    classes = np.zeros(maps.shape, np.int64)
    pixels, gradient = np.zeros(maps.shape), np.zeros(logits.shape)
    total = 0.0
    for place in np.ndindex(maps.shape):
        image, y, x = place
        classes[place] = oracles.depth_class(float(maps[place]), bins)
        pixels[place], slope = oracles.focal_terms(logits[image, :, y, x].astype(np.float64), classes[place])
        weight = 13 if maps[place] > 0 else 1
        total += weight * pixels[place]
        gradient[image, :, y, x] = weight * slope / maps.size
    probe = random.uniform(0, 70, 20).astype(np.float32)
    settings = {
        "system": "jln",
        "kind": "ddn",
        "inputs": text,
        "tolerance": {"abs": 1e-6, "rel": 1e-4},
        "arrays": {"out.pixel_loss_sub": {"meaning": "unweighted focal loss per pixel [:, ::2, ::3]"}},
    }
    return settings, {
        "in.boxes_xyxy": boxes,
        "in.depth": depth,
        "in.boxes_per_image": counts,
        "in.depth_probe": probe,
        "out.depth_map": maps,
        "out.target_bins": classes,
        "out.pixel_loss_sub": pixels[:, ::2, ::3].astype(np.float32),
        "out.loss": np.float32(total / maps.size),
        "out.grad_sub": gradient[:, ::4, ::2, ::3].astype(np.float32),
        "out.bin_probe": np.array([oracles.depth_class(float(metres), bins) for metres in probe]),
    }


@pytest.mark.parametrize(
    ("seed", "images", "bins", "size"), [(7, 2, 80, (9, 14)), (1082, 5, 32, (12, 7)), (4, 1, 8, (5, 6))]
)
def test_ddn_with_other_seeds_and_shapes(
    tmp_path: Path, seed: int, images: int, bins: int, size: tuple[int, int]
) -> None:
    settings, arrays = ddn_variant(seed, images, bins, *size)
    assert not failures(write(tmp_path, settings, arrays))
    settings["inputs"] = settings["inputs"].replace(f"({seed})", f"({seed + 5})")
    assert {check.name for check in write(tmp_path, settings, arrays) if not check.passed} == {
        "out.pixel_loss_sub",
        "out.loss",
        "out.grad_sub",
    }


def test_ddn_refuses_contradictions() -> None:
    settings, arrays = ddn_variant(7, 2, 8, 6, 7)
    for text, reason in (
        (settings["inputs"].replace("(2,", "(3,"), "3 images of logits"),
        (settings["inputs"] + " and (2,9,6,7)", "expected one shape"),
        ("as in ddn_a", "random generator"),
    ):
        with pytest.raises(DescriptionError, match=reason):
            jln_ddn.run(settings | {"inputs": text}, arrays, Path())
    meaning = {"out.pixel_loss_sub": {"meaning": "[:, ::3, ::3]"}}
    with pytest.raises(DescriptionError, match="has shape"):
        jln_ddn.run(settings | {"arrays": meaning}, arrays, Path())


# --- depth_predictor --------------------------------------------------------------------------------------------------


def depth_predictor_variant(seed: int, images: int, size: tuple[int, int], bins: int) -> tuple[dict, dict]:
    """Return a case of kind depth_predictor whose results are computed operator by operator in float64.

    The maps are stated from the coarsest to the finest.
    """
    (height, width), channels = size, 64
    shapes = {32: (height // 2, width // 2), 16: (height, width), 8: (2 * height, 2 * width)}
    listed = ", ".join(f"(B,{channels},{h},{w}) stride {stride}" for stride, (h, w) in shapes.items())
    text = (
        f"one numpy RandomState({seed}): standard_normal float32, in order {listed}; B={images}; no padding; position "
        f"encoding = the sine one of the stride 16 map"
    )
    random = np.random.RandomState(seed)
    maps = {s: random.standard_normal((images, channels, *hw)).astype(np.float32) for s, hw in shapes.items()}
    weights = {"salt": "v/", "gain": 0.9, "prefix": "depth_predictor."}
    inputs = [torch.from_numpy(maps[stride]) for stride in (8, 16, 32)]
    config = ModelConfig()
    found = oracles.depth_branch(inputs, bins, config.heads, config.feedforward, weights)
    settings = {
        "system": "jln",
        "kind": "depth_predictor",
        "inputs": text,
        "weights": weights,
        "tolerance": {"abs": 1e-4, "rel": 1e-3},
    }
    check = np.stack([maps[32].ravel()[:4], maps[8].ravel()[:4]])
    return settings, {"in.check": check} | {f"out.{name}": value.astype(np.float32) for name, value in found.items()}


@pytest.mark.parametrize(("seed", "images", "size", "bins"), [(52, 1, (6, 8), 80), (3, 3, (4, 4), 24)])
def test_depth_predictor_with_other_seeds_and_shapes(
    tmp_path: Path, seed: int, images: int, size: tuple[int, int], bins: int
) -> None:
    settings, arrays = depth_predictor_variant(seed, images, size, bins)
    assert not failures(write(tmp_path, settings, arrays))
    settings["inputs"] = settings["inputs"].replace(f"({seed})", f"({seed + 1})")
    del arrays["in.check"]
    assert len(failures(write(tmp_path, settings, arrays))) == 3  # the encoding and the bins do not depend on the seed


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("(52)", "(53)", "in.check"),
        ("stride 8", "stride 64", "one map of each stride"),
        ("no padding", "padding of the last column", "padding"),
        ("(B,64,3,4)", "(B,32,3,4)", "the same B and C"),
        ("the stride 16 map", "the stride 64 map", "no map of stride 64"),
        ("; position encoding = the sine one of the stride 16 map", "", "position encoding"),
        ("; B=1", "", "no value for B"),
    ],
)
def test_depth_predictor_refuses_contradictions(old: str, new: str, reason: str) -> None:
    settings, arrays = depth_predictor_variant(52, 1, (6, 8), 8)
    assert old in settings["inputs"]
    settings["inputs"] = settings["inputs"].replace(old, new)
    with pytest.raises(DescriptionError, match=reason):
        jln_depth_predictor.run(settings, arrays, Path())


# --- other kinds of jln -----------------------------------------------------------------------------------------------


def test_jln_losses_draw_what_the_text_states() -> None:
    case, arrays = stored("jln", "losses_single")
    first = jln_losses.drawn_outputs(case, 1)
    other = jln_losses.drawn_outputs({"inputs": case["inputs"].replace("(1063)", "(9)")}, 1)
    smaller = jln_losses.drawn_outputs({"inputs": case["inputs"].replace("(B,81,24,80)", "(B,41,8,16)")}, 1)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    assert smaller["pred_depth_map_logits"].shape == (1, 41, 8, 16)
    random = np.random.RandomState(1063)
    random.standard_normal(81 * 24 * 80)
    regions = random.standard_normal(10200).astype(np.float32)
    np.testing.assert_array_equal(first["perd_forback_classifier"].detach().numpy().ravel(), regions)
    for text, reason in ((case["inputs"].replace("pred_depth_map_logits ", ""), "expected the outputs"), ("", "gener")):
        with pytest.raises(DescriptionError, match=reason):
            jln_losses.run(case | {"inputs": text}, arrays, Path())
    with pytest.raises(DescriptionError, match="the arrays hold 1 images"):
        jln_losses.run(case | {"inputs": case["inputs"].replace("B=1", "B=2")}, arrays, Path())


def test_jln_losses_use_the_stated_weights() -> None:
    case, arrays = stored("jln", "losses_single")
    found = jln_losses.run(case, arrays, Path())
    doubled = {name: 2 * weight for name, weight in case["loss_weights"].items()}
    total = jln_losses.run(case | {"loss_weights": doubled}, arrays, Path())["total"]
    assert total == pytest.approx(2 * found["total"], rel=1e-6)
    with pytest.raises(DescriptionError, match="unknown terms loss_x"):
        jln_losses.run(case | {"loss_weights": {"loss_x": 1}}, arrays, Path())


def test_jln_geometry_reads_both_sizes() -> None:
    case, arrays = stored("jln", "geometry")
    wide = jln_geometry.run(case | {"ran": case["ran"].replace("1280x384", "640x192")}, arrays, Path())
    np.testing.assert_allclose(wide["affine"], arrays["out.affine"] / 2, atol=1e-4)  # published in float32
    assert wide["region_masks"].shape[1] == 10200 // 4
    with pytest.raises(DescriptionError, match="ran"):
        jln_geometry.run(case | {"ran": "official functions"}, arrays, Path())


@pytest.mark.parametrize("system_case", [("jln", "matcher_a"), ("jln", "matcher_q1")])
def test_jln_matcher_weighs_costs_as_stated(tmp_path: Path, system_case: tuple[str, str]) -> None:
    case, arrays = stored(*system_case)
    text = "official HungarianMatcher, costs class 4, centre 20, l/r/t/b L1 10, GIoU 4"  # twice the stored ones
    arrays |= {name: 2 * value for name, value in arrays.items() if name.startswith("out.cost_")}
    assert not failures(write(tmp_path, case | {"ran": text}, arrays))
    assert failures(write(tmp_path, case, arrays))


@pytest.mark.parametrize("warm", [True, False])
def test_jln_lr_schedule_of_another_training(tmp_path: Path, warm: bool) -> None:
    text = f"official build_lr_scheduler, lr 2e-3, {'warmup, ' * warm}decay_list [2, 4], 12 epochs"
    wait, rates = 5 * warm, []
    for epoch in range(12):
        if epoch < wait:
            share = (1 - math.cos(math.pi * epoch / wait)) / 2
            rates.append(1e-5 + (2e-3 - 1e-5) * share)
        else:
            rates.append(2e-3 * 0.1 ** sum(epoch - wait >= decay for decay in (2, 4)))
    case = {"system": "jln", "kind": "lr_schedule", "ran": text, "tolerance": {"rel": 1e-9}}
    assert not failures(write(tmp_path, case, {"out.lr": np.array(rates)}))
    with pytest.raises(DescriptionError, match=r"12 epochs, but out\.lr has 3"):
        jln_lr_schedule.run(case, {"out.lr": np.zeros(3)}, tmp_path)


def test_jln_msda_init_has_the_stored_shape(tmp_path: Path) -> None:
    heads, levels, points = 6, 2, 3
    bias = np.zeros((heads, levels, points, 2))
    for head, level, point in np.ndindex(heads, levels, points):
        x, y = (wave(2 * math.pi * head / heads) for wave in (math.cos, math.sin))
        bias[head, level, point] = np.array([x, y]) / max(abs(x), abs(y)) * (point + 1)
    case = {"system": "jln", "kind": "msda_init", "tolerance": {"abs": 1e-6}}
    assert not failures(write(tmp_path, case, {"out.sampling_offsets_bias": bias}))


def test_jln_msda_module_has_the_stated_sizes() -> None:
    arrays = {"in.query": np.zeros((1, 3, 24)), "in.shapes_hw": np.zeros((2, 2))}
    assert jln_msda_module.module_sizes("(d 24, 2 levels, 3 heads, 5 points)", arrays) == (24, 2, 3, 5)
    with pytest.raises(DescriptionError, match="levels"):
        jln_msda_module.module_sizes("(d 24, 4 levels, 3 heads, 5 points)", arrays)
    with pytest.raises(DescriptionError, match="no value"):
        jln_msda_module.module_sizes("official module", arrays)


def test_jln_sentences_beyond_the_excerpt_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("G3D_ROBERTA", raising=False)
    with pytest.raises(DescriptionError, match="G3D_ROBERTA"):
        jln_tokens.tokenise(["the purple elephant"], 20)
    ids = {"in.token_ids": np.array([[0, 7, 2]]), "in.attention_mask": np.ones((1, 3))}
    found, _ = jln_train_step.token_ids({"sentences": ["the purple elephant"]}, ids, 110)
    assert found.tolist() == [[0, 7, 2]]


def test_jln_train_step_tolerances_come_from_the_text() -> None:
    words = {"loss": "rel 2e-4", "grad_norms": "rel 5e-3 (as before)"}
    words["grad_first64"] = "abs 1e-3 * max|value| for backbone.*, 1e-5 * max|value| for the others"
    assert jln_train_step.tolerances(words) == jln_train_step.Tolerances(2e-4, 5e-3, 1e-3, 1e-5)
    with pytest.raises(DescriptionError, match="grad_first64"):
        jln_train_step.tolerances(words | {"grad_first64": "small"})


def test_monodle_qi_loss_has_the_stated_weight_and_temperature(tmp_path: Path) -> None:
    """Each loss of the case doubles with its weight; without a stated weight the case is refused."""
    case, arrays = stored("monodle", "qi_loss")
    number = next(name.split(".")[1] for name in arrays if name.endswith(".loss") and arrays[name] > 0)
    some = {name: value for name, value in arrays.items() if name.split(".")[1] == number}
    for name in (f"out.{number}.loss", f"out.{number}.grad"):
        some[name] = 2 * some[name]
    entry = {f"out.{number}.loss": {"meaning": "1.0 * quasi-isometric loss, temperature 10"}}
    assert not failures(write(tmp_path, case | {"arrays": entry}, some))
    entry[f"out.{number}.loss"]["meaning"] = "1.0 * quasi-isometric loss, temperature 1"
    assert failures(write(tmp_path, case | {"arrays": entry}, some))
    with pytest.raises(DescriptionError, match="temperature"):
        write(tmp_path, case | {"arrays": {f"out.{number}.loss": {"meaning": "1.0 * quasi-isometric loss"}}}, some)


# --- monodle ----------------------------------------------------------------------------------------------------------


def test_monodle_numbers_have_no_defaults() -> None:
    case = {"ran": "official model, official loss (K 2.5, B 0.25, radius 4), lr 3e-4, weight decay 1e-6"}
    assert monodle.setting(case, "lr", "lr") == 3e-4
    config = monodle.loss_config(case, {}).quasi_isometric
    assert config is not None
    assert (config.K, config.B, config.radius) == (2.5, 0.25, 4)
    with pytest.raises(DescriptionError, match="momentum"):
        monodle.setting(case, "momentum", "momentum")
    with pytest.raises(DescriptionError, match=r"in\.K states 1\.5, ran states 2\.5"):
        monodle.loss_config(case, {"in.K": np.float32(1.5)})


def test_monodle_images_are_checked(tmp_path: Path) -> None:
    image = np.random.RandomState(4).standard_normal((1, 3, 8, 12)).astype(np.float32)
    arrays = {"in.seed": np.int64(4), "in.image_shape": np.array(image.shape)}
    arrays |= {"in.image_first8": image.ravel()[:8], "in.image_sum": image.sum(dtype=np.float64)}
    np.testing.assert_array_equal(monodle.seeded_image(arrays).numpy(), image)
    for name, other in (("in.image_first8", image.ravel()[1:9]), ("in.image_sum", np.float64(1))):
        with pytest.raises(DescriptionError, match=name):
            monodle.seeded_image(arrays | {name: other})


def test_monodle_names_come_from_the_case(tmp_path: Path) -> None:
    meaning = "[step, (total, depth, seg, total minus those = rest)]"
    case = {"arrays": {"out.losses": {"meaning": meaning}}}
    assert monodle_train_step.loss_order(case) == ["total", "depth", "heatmap"]
    case["arrays"]["out.losses"]["meaning"] = meaning.replace("seg", "mask")
    with pytest.raises(DescriptionError, match="unknown terms mask"):
        monodle_train_step.loss_order(case)
    with pytest.raises(DescriptionError, match="found Car, Van"):
        monodle_decode.check_classes("class ids: 0 Car, 1 Van")
    with pytest.raises(DescriptionError, match="files"):
        monodle_evaluation.evaluate_case({"case": "eval_200"}, GOLDEN / "monodle", ("Car",))


def test_monodle_evaluates_the_classes_of_the_arrays(tmp_path: Path) -> None:
    case, arrays = stored("monodle", "eval_rules")
    (tmp_path / "other.zip").write_bytes((GOLDEN / "monodle" / "eval_rules.zip").read_bytes())
    some = {name: value for name, value in arrays.items() if name.startswith(("out.Pedestrian", "out.thresholds"))}
    named = case | {"files": "other.zip: label_2/*.txt ground truth, data/*.txt results"}
    assert not failures(write(tmp_path, named, some))


def test_stored_descriptions_are_understood() -> None:
    """Every text of a stored case that describes random arrays of a supported kind can be read."""
    texts = [
        case.settings.get("inputs", case.settings.get("image", {}).get("formula"))
        for case in find_cases([folder for folder in (GOLDEN / "jln", SHARED / "jln") if folder.is_dir()])
        if "inputs" in case.settings or "image" in case.settings
    ]
    assert len(texts) >= 9
    assert all(parse_stream(text).draws for text in texts)
