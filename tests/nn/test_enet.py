from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support import paths
from torch import Tensor, nn

from g3d.data.scannet.frames import open_frames
from g3d.data.scannet.multiview import make_view
from g3d.errors import InputError, MissingDataError
from g3d.nn.enet import (
    CHANNELS,
    CLASSES,
    MEAN,
    STD,
    Bottleneck,
    Downsampling,
    ENet,
    import_enet,
    load_enet,
    normalise,
    published_name,
)

REAL = paths.REAL
WEIGHTS, FRAMES = REAL / "scannet" / "enet" / "scannetv2_enet.pth", REAL / "rgbd_7scenes"
WALL, CHAIR, TABLE = 1, 5, 7


@pytest.fixture(scope="module")
def network() -> ENet:
    torch.manual_seed(0)
    return ENet().eval()


def published_state(network: ENet) -> dict[str, Tensor]:
    own = network.state_dict()
    return {published: value for name, value in own.items() if (published := published_name(name, network))}


@pytest.mark.parametrize("size", [(256, 328), (64, 40)])
def test_features_have_128_channels_at_an_eighth(network: ENet, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        features = network(torch.randn(2, 3, *size))
        classes = network.classifier(features)
    assert features.shape == (2, CHANNELS, size[0] // 8, size[1] // 8)
    assert classes.shape == (2, CLASSES, size[0] // 8, size[1] // 8)


def test_the_parts_are_the_published_ones(network: ENet) -> None:
    kinds = [
        "down"
        if isinstance(part, Downsampling)
        else "asymmetric"
        if isinstance(part.branch.middle, nn.Sequential)
        else part.branch.middle.dilation[0]
        for part in network.bottlenecks
    ]
    twice = [1, 2, "asymmetric", 4, 1, 8, "asymmetric", 16]
    assert kinds == ["down", 1, 1, 1, 1, "down", *twice, *twice]
    assert len(published_state(network)) == 430


def test_dropout_scales_when_evaluated_and_only_drops_while_training() -> None:
    torch.manual_seed(0)
    part, x = Bottleneck(32, dropout=0.25), torch.randn(4, 32, 6, 5)
    branch = part.branch.eval()
    kept = branch.expand_norm(
        branch.expand(
            branch.middle_activation(
                branch.middle_norm(branch.middle(branch.reduce_activation(branch.reduce_norm(branch.reduce(x)))))
            )
        )
    )
    torch.testing.assert_close(branch(x), 0.75 * kept)
    branch.train()
    for norm in (branch.reduce_norm, branch.middle_norm, branch.expand_norm):
        norm.eval()
    dropped = branch(x)
    channels = (dropped == 0).flatten(2).all(2)
    assert channels.any()
    torch.testing.assert_close(dropped, kept * ~channels[:, :, None, None])


def test_pictures_are_normalised_as_rgb() -> None:
    picture = torch.zeros(1, 1, 2, 3, dtype=torch.uint8)
    picture[0, 0, 1] = torch.tensor([255, 0, 128])
    found = normalise(picture)
    assert found.shape == (1, 3, 1, 2)
    expected = [(value / 255 - mean) / std for value, mean, std in zip((255, 0, 128), MEAN, STD, strict=True)]
    torch.testing.assert_close(found[0, :, 0, 1], torch.tensor(expected))


def test_an_import_takes_every_entry_or_changes_nothing(network: ENet) -> None:
    state = published_state(network)
    other = ENet()
    import_enet(state, other)
    assert all(torch.equal(value, state[name]) for name, value in published_state(other).items())
    before = {name: value.clone() for name, value in other.state_dict().items()}
    lacking = {name: value for name, value in state.items() if name != "26.0.weight"}
    for wrong, said in (
        (lacking, "entries missing: classifier.weight"),
        ({**state, "27.weight": state["2.weight"]}, "unknown: 27.weight"),
        ({**state, "2.weight": torch.ones(7)}, r"of another shape: 2.weight is \(7,\), expected \(16,\)"),
        ({}, "and 422 more"),
        ([], "expected a state dict, found list"),
    ):
        with pytest.raises(InputError, match=said):
            import_enet({n: v + 1 for n, v in wrong.items()} if isinstance(wrong, dict) else wrong, other)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_subnormal_numbers_become_zero(network: ENet) -> None:
    state = {name: value.clone() for name, value in published_state(network).items()}
    state["4.0.0.3.weight"][0, 0] = torch.tensor([1e-40, -1e-39, 1e-37])
    other = ENet()
    import_enet(state, other)
    np.testing.assert_array_equal(published_state(other)["4.0.0.3.weight"][0, 0], np.float32([[0, 0, 1e-37]] * 3))


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        load_enet(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_enet(tmp_path / "text.pth")
    torch.save({"model": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: ENet weight file does not fit"):
        load_enet(tmp_path / "other.pth")


@pytest.mark.skipif(not (WEIGHTS.is_file() and FRAMES.is_dir()), reason="the real weights and frames are not here")
def test_real_weights_know_the_furniture_of_real_frames() -> None:
    network = load_enet(WEIGHTS)
    with open_frames(FRAMES) as source:
        pictures = torch.from_numpy(np.stack([make_view(source.frame(i)).colour for i in (0, 4)]))
    with torch.inference_mode():
        features = network(normalise(pictures))
        classes = network.classifier(features).argmax(1)
    assert features.shape == (2, 128, 32, 41)
    assert features.isfinite().all()
    kitchen, sink = classes
    assert (kitchen[16:26, 20:36] == TABLE).float().mean() > 0.8  # a table on the right
    assert (kitchen[27:, 27:] == CHAIR).float().mean() > 0.5  # before a chair
    assert (sink[:4] == WALL).float().mean() > 0.5
    assert (sink[28:, 4:9] == CHAIR).float().mean() > 0.5
