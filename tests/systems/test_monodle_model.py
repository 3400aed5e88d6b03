"""The network: sparse and dense heads agree, published names, input sizes, groups, official checkpoints."""

from __future__ import annotations

import json

import pytest
import torch
from support import paths

from g3d.errors import InputError
from g3d.nn.images import normalise
from g3d.nn.object_losses import depth_from_raw
from g3d.nn.parameter_groups import no_decay_on_biases
from g3d.systems.monodle.model import MonoDLE, find_peaks, values_in_maps
from g3d.systems.monodle.official import import_backbone, import_official

MANIFEST = json.loads((paths.GOLDEN / "monodle" / "state_dict.json").read_text())


def small(object_depth: bool = True) -> MonoDLE:
    torch.manual_seed(0)
    model = MonoDLE((4, 4, 8, 8, 16, 16), head_channels=8, object_depth=object_depth)
    for name in ("depth", "heading", "offset_2d"):
        torch.nn.init.normal_(model.get_submodule(name)[0].weight)
        torch.nn.init.normal_(model.get_submodule(name)[2].weight)
    return model


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_heads_at_cells_are_those_of_the_dense_maps(layout: torch.memory_format) -> None:
    model = small().eval().to(memory_format=layout)
    images = torch.randn(2, 3, 64, 96).contiguous(memory_format=layout)
    cells = torch.tensor([[0, 23, 24 * 15, 24 * 16 - 1], [5, 5, 100, 201]])  # corners of the map too
    outputs, maps = model(images, cells), model.maps(images)
    for sparse, dense in zip(outputs.objects, values_in_maps(maps, cells), strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outputs.heatmap, maps["heatmap"])
    assert outputs.obj_depth is not None
    torch.testing.assert_close(outputs.obj_depth, maps["obj_depth"])


def test_gradients_of_heads_at_cells_are_those_of_the_dense_maps() -> None:
    images, cells = torch.randn(1, 3, 64, 64), torch.tensor([[3, 77]])
    gradients = []
    for sparse in (True, False):
        model = small()
        values = model(images, cells).objects if sparse else values_in_maps(model.maps(images), cells)
        sum((value**2).sum() for value in values).backward()
        gradients.append(
            {
                name: p.grad
                for name, p in model.named_parameters()
                if name.startswith(("depth", "heading", "backbone.level5"))
            }
        )
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradient, gradients[1][name], rtol=1e-3, atol=1e-4 * gradients[1][name].abs().max().item()
        )


def test_detect_reads_the_heads_at_the_strongest_peaks() -> None:
    model, images = small().eval(), torch.randn(2, 3, 64, 96)
    peaks, values = model.detect(images, 10)
    maps = model.maps(images)
    expected = find_peaks(maps["heatmap"], 10)
    assert torch.equal(peaks.cells, expected.cells)
    assert torch.equal(peaks.classes, expected.classes)
    torch.testing.assert_close(values.depth, values_in_maps(maps, expected.cells).depth, rtol=1e-4, atol=1e-5)


def test_peaks_are_local_maxima_best_first_over_classes() -> None:
    heatmap = torch.full((1, 3, 4, 5), -9.0)
    heatmap[0, 2, 1, 1], heatmap[0, 2, 1, 2], heatmap[0, 0, 3, 4] = 3.0, 2.9, 1.0  # the second is beside a stronger one
    peaks = find_peaks(heatmap, 2)
    assert peaks.cells.tolist() == [[6, 19]]
    assert peaks.classes.tolist() == [[2, 0]]
    assert peaks.scores.tolist()[0] == pytest.approx([0.95257, 0.73106], abs=1e-5)


def test_fewer_cells_than_detections() -> None:
    assert find_peaks(torch.randn(1, 3, 2, 2), 50).scores.shape == (1, 4)


def test_image_size_must_be_a_multiple_of_32() -> None:
    with pytest.raises(ValueError, match="multiples of 32, found 375 x 1242"):
        small().maps(torch.zeros(1, 3, 375, 1242))


def test_normalise_is_the_published_one() -> None:
    image = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(normalise(image).flatten(), (torch.tensor([0, 128, 255]) / 255 - mean) / std)


def test_depth_of_raw_value() -> None:
    assert depth_from_raw(torch.tensor(-3.0)).item() == pytest.approx(torch.tensor(3.0).exp().item(), rel=1e-4)


def test_only_names_with_bias_are_not_decayed() -> None:
    model = MonoDLE(object_depth=True)
    free, decayed = no_decay_on_biases(model, 1e-5)
    assert (free["weight_decay"], decayed["weight_decay"]) == (0, 1e-5)
    assert len(free["params"]) + len(decayed["params"]) == 193 - 8  # all but the dead weights
    assert sum(p.numel() for p in model.parameters()) == 20_971_200


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("in_model", [True, False])
def test_auxiliary_head_alone_may_be_missing_on_either_side(in_file: bool, in_model: bool) -> None:
    state = small(in_file).state_dict()
    wrapped = {f"module.{name}": value for name, value in state.items()}
    report = import_official({"epoch": 140, "model_state": wrapped, "optimizer_state": {}}, small(in_model))
    assert len(report.ignored) == 4 * (in_file and not in_model)
    assert len(report.fresh) == 4 * (in_model and not in_file)
    assert len(report.taken) + len(report.ignored) == len(state)


def test_import_lists_everything_that_does_not_fit_and_changes_nothing() -> None:
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = dict(small().state_dict())
    del state["heatmap.0.bias"]
    state["neck.extra"] = torch.zeros(1)
    state["depth.2.weight"] = torch.zeros(3, 8, 1, 1)
    state["backbone.base_layer.0.weight"] = state["backbone.base_layer.0.weight"] + 1
    with pytest.raises(InputError) as caught:
        import_official(state, model)
    assert caught.value.message == (
        "MonoDLE checkpoint does not fit this model: entries missing: heatmap.0.bias; unknown: neck.extra; "
        "of another shape: depth.2.weight is (3, 8, 1, 1), expected (2, 8, 1, 1)"
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("content", [{"a": 1}, {}, {"model_state": [1]}])
def test_what_is_no_checkpoint_is_refused(content: dict) -> None:
    with pytest.raises(InputError, match="expected a state dict, or one under 'model_state'"):
        import_official(content, small())


def test_imagenet_weights_go_to_the_backbone() -> None:
    source, model = small(), small()
    torch.nn.init.ones_(source.backbone.fc.bias)
    heads = model.heatmap[0].weight.clone()
    report = import_backbone(source.backbone.state_dict(), model)
    assert model.backbone.fc.bias.eq(1).all()
    assert torch.equal(model.heatmap[0].weight, heads)
    assert "base_layer.0.weight" in report.taken


def test_full_network_has_the_published_names_and_shapes() -> None:
    state = MonoDLE(object_depth=True).state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == {
        name: entry["shape"] for name, entry in MANIFEST.items()
    }
