"""Published files: checkpoints of both systems, MonoDETR in either spelling, ImageNet weights; all is taken or said why
not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_text import architecture
from torch import Tensor

from g3d import config as presets
from g3d.engine.checkpoint import read_raw
from g3d.errors import InputError
from g3d.systems.jln.model import JLN, PUBLISHED_NAMES
from g3d.systems.jln.official import import_backbone, import_official, import_start, our_name


def small(*overrides: str, joint: bool = True, **text: Any) -> JLN:
    backbone = "model.backbone={blocks: [1, 1, 1, 1], width: 4}"
    sizes = ("channels=32", "heads=2", "feedforward=16", "encoder_layers=1", "depth_bins=6", f"joint={joint}")
    config: Any = presets.load("jln", [backbone, *(f"model.{size}" for size in sizes), "text.max_words=20", *overrides])
    described = architecture(max_position_embeddings=25, **text)
    return JLN(config.model, config.text.model_copy(update={"architecture": described}))


def published(model: JLN, transformer: str = "mono3dvg_transformer.") -> dict[str, Tensor]:
    """The state dict that the published code would have written of other weights: its names, duplicates and unused
    parts."""
    back = {ours: theirs for theirs, ours in PUBLISHED_NAMES.items()}
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if name.endswith("_extra_state"):
            continue
        start = next((start for start in back if name.startswith(start)), "")
        filled = value if name.endswith("depth_bin_values") else torch.randn_like(value)
        state[back.get(start, "") + name.removeprefix(start)] = filled
    for name in [n for n in state if n.startswith(("bbox_embed.", "dim_embed_3d."))]:
        state[f"mono3dvg_transformer.decoder.{name.replace('dim_embed_3d', 'dim_embed')}"] = state[name]
    state["text_encoder.pooler.dense.weight"] = torch.zeros(16, 16)
    state["text_encoder.embeddings.position_ids"] = torch.arange(25)[None]
    return {name.replace("mono3dvg_transformer.", transformer): value for name, value in state.items()}


@pytest.mark.parametrize("joint", [True, False], ids=["JLN", "Mono3DVG-TR"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_a_published_file_is_taken_whole(tmp_path: Path, joint: bool, old: bool) -> None:
    model = small(joint=joint)
    state = published(small(joint=joint), "depthaware_transformer." if old else "mono3dvg_transformer.")
    if not old:
        del state["text_encoder.embeddings.position_ids"]
    wrapper = {"epoch": 61, "optimizer_state": {}, "best_result": np.float64(124.83), "best_epoch": 58}
    torch.save({"model_state": {f"module.{n}": v for n, v in state.items()}, **wrapper}, tmp_path / "c.pth")
    report = import_official(read_raw(tmp_path / "c.pth"), model)
    own = model.state_dict()
    new = {name.replace("depthaware_transformer", "mono3dvg_transformer"): value for name, value in state.items()}
    assert {*report.taken, *report.ignored} == set(new)
    assert all(torch.equal(own[our_name(name)], new[name]) for name in report.taken)
    assert list(report.fresh) == ["text_encoder._extra_state"]
    assert set(own) == {our_name(name) for name in report.taken} | set(report.fresh)
    said = report.lines()
    assert said[0] == f"{len(report.taken)} entries loaded"
    assert "ignored text_encoder.pooler.dense.weight: the text encoder's pooler, which nothing uses" in said
    assert any(line.startswith("ignored text_encoder.embeddings.position_ids") for line in said) == old


def test_of_a_weight_held_twice_the_heads_own_is_used(tmp_path: Path) -> None:
    model, state = small(), published(small())
    state["mono3dvg_transformer.decoder.dim_embed.0.layers.1.bias"] = torch.full((3,), 7.0)
    report = import_official(state, model)
    assert torch.equal(model.state_dict()["dim_embed_3d.0.layers.1.bias"], state["dim_embed_3d.0.layers.1.bias"])
    name = "mono3dvg_transformer.decoder.dim_embed.0.layers.1.bias"
    assert f"ignored {name}: dim_embed_3d.0.layers.1.bias is used in its place, which differs" in report.lines()


@pytest.mark.parametrize(
    ("joint", "said", "hint"),
    [
        (True, "of JLN, but this model is Mono3DVG-TR", "use --preset jln"),
        (False, "of Mono3DVG-TR, but this model is JLN", "use --preset mono3dvg-tr"),
    ],
)
def test_a_file_of_the_other_system_names_its_preset(joint: bool, said: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        import_official(published(small(joint=joint)), small(joint=not joint))
    assert said in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"vocab_size": 130}, "embeddings.word_embeddings.weight is (130, 16), expected (120, 16)"),
        ({"num_hidden_layers": 3}, "16 entries unknown (first: encoder.layer.2.attention.output.LayerNorm.bias)"),
        ({"num_hidden_layers": 1}, "16 entries missing (first: encoder.layer.1.attention.output.LayerNorm.bias)"),
    ],
)
def test_another_text_encoder_is_one_clear_line(other: dict[str, int], said: str) -> None:
    with pytest.raises(InputError) as caught:
        import_official(published(small(**other)), small())
    assert caught.value.message.startswith("checkpoint: its text encoder is not the one of text.architecture: ")
    assert said in caught.value.message


def test_what_does_not_fit_is_listed_and_the_model_stays_as_it_was() -> None:
    model, state = small(), published(small())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    del state["resizer.fc.bias"]
    state["resizer.fc.scale"] = torch.ones(1)
    state["query_embed.weight"] = torch.zeros(50, 32)
    with pytest.raises(InputError) as caught:
        import_official(state, model)
    for said in (
        "missing: resizer.fc.bias",
        "unknown: resizer.fc.scale",
        "query_embed.weight is (50, 32), expected (1, 32)",
    ):
        assert said in caught.value.message
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_depth_bins_of_another_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"6 depth bins up to 60 m, but model.depth_bins is 6 and model.max_depth 80"):
        import_official(published(small()), small("model.max_depth=80"))


def test_no_state_dict_at_all() -> None:
    with pytest.raises(InputError, match="expected a state dict, or one under 'model_state'"):
        import_official({"epoch": 3}, small())


def monodetr(spelling: str) -> dict[str, Tensor]:
    """A checkpoint of MonoDETR's names: what it shares with this network, and some of what it does not."""
    parts = (
        "TextGuidedAdapter.",
        "cls_",
        "global_",
        "text_injection_att.",
        "adapt_",
        "encoder.layers.0.cross_attn.",
        "encoder.layers.0.norm3.",
        "decoder.layers.0.cross_attn_text.",
        "decoder.layers.0.norm_text.",
    )
    new = (
        "text_encoder.",
        "resizer.",
        "query_embed.",
        "class_embed.",
        *(f"mono3dvg_transformer.{part}" for part in parts),
    )
    state = {name: value for name, value in published(small()).items() if not name.startswith(new)}
    state |= {
        "mono3dvg_transformer.decoder.layers.1.norm1.bias": torch.ones(32),
        "class_embed.0.bias": torch.ones(3),
        "query_embed.weight": torch.zeros(50, 64),
        "label_enc.weight": torch.zeros(3, 31),
    }
    return {
        name.replace("msdeform_attn", "self_attn").replace("mono3dvg_transformer.", spelling): value
        for name, value in state.items()
    }


@pytest.mark.parametrize("spelling", ["depthaware_transformer.", "transformer."])
def test_monodetr_starts_what_it_shares(spelling: str) -> None:
    model, state = small(), monodetr(spelling)
    if spelling == "transformer.":
        old = {"depth_classifier": "classifier", "depth_encoder": "encoder_proj", "depth_pos_embed": "depth_embed"}
        for now, then in old.items():
            state = {
                name.replace(f"depth_predictor.{now}.", f"depth_predictor.{then}."): value
                for name, value in state.items()
            }
    report = import_start({"model_state": state}, model)
    own = model.state_dict()
    assert {*report.taken, *report.ignored} == set(state)
    name = f"{spelling}encoder.layers.0.self_attn.value_proj.weight"
    assert name in report.taken
    assert torch.equal(own["transformer.encoder.layers.0.msdeform_attn.value_proj.weight"], state[name])
    assert {n: why for n, why in report.ignored.items() if "held twice" not in why} == {
        f"{spelling}decoder.layers.1.norm1.bias": "of a part that this network does not have",
        "label_enc.weight": "of a part that this network does not have",
        "class_embed.0.bias": "made anew: other classes",
        "query_embed.weight": "made anew: one query, for the sentence's object",
    }
    assert len(report.lines()) < 12
    assert report.lines()[-1] == f"not in the file {len(report.fresh)} entries: new since MonoDETR"


def test_monodetr_must_have_all_that_is_shared() -> None:
    state = monodetr("depthaware_transformer.")
    del state["depthaware_transformer.level_embed"]
    with pytest.raises(
        InputError, match=r"MonoDETR checkpoint does not fit this model: entries missing: transformer\.level_embed"
    ):
        import_start(state, small())


@pytest.mark.parametrize("norm", ["frozen", "batch"])
def test_imagenet_weights_start_the_backbone(norm: str) -> None:
    model = small(f"model.backbone.norm={norm}")
    weights = {name: torch.randn_like(value.float()) for name, value in model.backbone.state_dict().items()}
    counters = {
        name.replace("running_mean", "num_batches_tracked"): torch.tensor(5)
        for name in weights
        if name.endswith("running_mean")
    }
    report = import_backbone(
        {**weights, **counters, "fc.weight": torch.zeros(10, 128), "fc.bias": torch.zeros(10)}, model
    )
    assert torch.equal(model.backbone.state_dict()["layer4.0.conv3.weight"], weights["layer4.0.conv3.weight"])
    assert report.ignored["fc.bias"] == "the classifier of ImageNet"
    assert ("bn1.num_batches_tracked" in report.ignored) == (norm == "frozen")
    del weights["layer2.0.conv1.weight"]
    with pytest.raises(
        InputError, match=r"ResNet weight file does not fit this model: entries missing: layer2\.0\.conv1\.weight"
    ):
        import_backbone(weights, model)
