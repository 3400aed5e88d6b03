"""The backbone and neck: sizes, dead weights, initialisation; the layers' numbers are checked by the parity cases."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from g3d.nn.cells import gather_cells, gather_patches
from g3d.nn.dla import DLA34, BilinearUp, DLAUp

NARROW = (4, 4, 6, 8, 10, 12)


@pytest.mark.parametrize("channels", [NARROW, (16, 16, 16, 16, 16, 16)])
def test_any_widths_give_levels_and_one_map_at_stride_4(channels: tuple[int, ...]) -> None:
    levels = DLA34(channels)(torch.randn(1, 3, 64, 96))
    shapes = [(c, 64 // stride, 96 // stride) for c, stride in zip(channels[2:], (4, 8, 16, 32), strict=True)]
    assert [tuple(level.shape[1:]) for level in levels] == shapes
    assert DLAUp(channels[2:])(levels).shape == (1, channels[2], 16, 24)


def test_dead_weights_take_no_gradient_but_their_statistics_move_in_training() -> None:
    backbone = DLA34(NARROW)
    before = backbone.level3.project[1].running_mean.clone()
    sum(level.sum() for level in backbone.train()(torch.randn(2, 3, 64, 64))).backward()
    without = {name for name, p in backbone.named_parameters() if p.grad is None}
    projects = {
        f"{level}.project.{name}" for level in ("level3", "level4") for name in ("0.weight", "1.weight", "1.bias")
    }
    assert without == projects | {"fc.weight", "fc.bias"}
    assert not any(dict(backbone.named_parameters())[name].requires_grad for name in without)
    moved = backbone.level3.project[1].running_mean.clone()
    assert not torch.equal(before, moved)
    backbone.eval()(torch.randn(2, 3, 64, 64))
    assert torch.equal(backbone.level3.project[1].running_mean, moved)


def test_upsampling_starts_as_bilinear_interpolation() -> None:
    x = torch.randn(1, 5, 6, 7)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(BilinearUp(5)(x)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])


def test_upsampling_keeps_the_precision_it_is_given() -> None:
    x = torch.randn(1, 4, 5, 6)
    up = BilinearUp(4)
    with torch.autocast("cpu", torch.bfloat16):
        assert up(x.bfloat16()).dtype is torch.bfloat16
    assert up(x).dtype is torch.float32
    assert up.double()(x.double()).dtype is torch.float64


def test_convolutions_start_with_the_published_deviation() -> None:
    torch.manual_seed(0)
    weight = DLA34().level5.tree1.conv2.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 512)), rel=1e-2)


def test_gathered_patches_are_what_a_padded_convolution_sees() -> None:
    maps, cells = torch.randn(2, 3, 4, 5), torch.arange(20).expand(2, 20)
    for side in (1, 3, 5):
        unfolded = F.unfold(maps, side, padding=side // 2).view(2, 3, side * side, 20).permute(0, 3, 2, 1)
        for layout in (torch.contiguous_format, torch.channels_last):
            assert torch.equal(gather_patches(maps.contiguous(memory_format=layout), cells, side), unfolded)
    assert torch.equal(gather_cells(maps, cells), maps.flatten(2).transpose(1, 2))


def test_gradients_reach_the_cells_that_were_gathered() -> None:
    maps = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    cells = torch.tensor([[0, 4, 4]])
    assert torch.autograd.gradcheck(lambda m: gather_patches(m, cells, 3), maps)
    assert torch.autograd.gradcheck(lambda m: gather_cells(m, cells), maps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_overlapping_patches_have_the_same_bits_in_every_run(dtype: torch.dtype) -> None:
    maps = torch.randn(2, 64, 24, 32).to(dtype).requires_grad_()
    cells = torch.randint(0, 20, (2, 60), generator=torch.Generator().manual_seed(0))  # each cell in many patches
    weights = torch.randn(2, 60, 9, 64).to(dtype)

    def gradient() -> torch.Tensor:
        return torch.autograd.grad((gather_patches(maps, cells, 3) * weights).sum(), maps)[0]

    threads, first = torch.get_num_threads(), gradient()
    torch.set_num_threads(2)
    assert all(torch.equal(gradient(), first) for _ in range(10))
    torch.set_num_threads(threads)
