"""ENet (Paszke et al. 2016) as in 3D-SIS, ScanRefer and WS-3DVG: image features at an eighth of the image's size.

Layers and arithmetic are those of the published scannetv2_enet.pth (daveredrum/Pointnet2.ScanNet), which was converted
from torch7: its dropout does not scale in training, so evaluation scales features by 1 - p. Letters: B images, C
channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g3d.data import pickles
from g3d.data.boundary import reading
from g3d.errors import InputError, MissingDataError
from g3d.nn.weights import load_weights

CHANNELS = 128
"""Number of feature channels."""
STRIDE = 8
"""Pixels per feature cell, in x and y."""
CLASSES = 41
"""Number of classes of the classifier: NYU40 ids, 0 for none."""
MEAN, STD = (0.496342, 0.466664, 0.440796), (0.277856, 0.28623, 0.291129)
"""Mean and standard deviation of RGB in 0..1, over ScanNet's frames."""
_EPS = 1e-3
_FIRST = 4  # index of the first bottleneck in the published file


class ENet(nn.Module):
    """The encoder: an initial block and 22 bottlenecks.

    Five bottlenecks have stride 4; the others have stride 8. After the one that downsamples to stride 8, plain or
    asymmetric bottlenecks alternate with dilated ones of dilation 2, 4, 8, 16, twice.

    `classifier`, from features to NYU40 classes, is not used for the features; it exists so that published weights load
    completely.
    """

    def __init__(self) -> None:
        super().__init__()
        self.initial = InitialBlock(16)
        at_4 = [Downsampling(16, 64, dropout=0.01)] + [Bottleneck(64, dropout=0.01) for _ in range(4)]
        at_8: list[nn.Module] = [Downsampling(64, CHANNELS)]
        for _ in range(2):
            for dilation in (2, 4, 8, 16):
                at_8 += [Bottleneck(CHANNELS, asymmetric=dilation in (4, 16)), Bottleneck(CHANNELS, dilation=dilation)]
        self.bottlenecks = nn.Sequential(*at_4, *at_8)
        self.classifier = nn.Conv2d(CHANNELS, CLASSES, 1, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features (B, 128, H / 8, W / 8) of pictures (B, 3, H, W) from `normalise`.

        H and W are multiples of 8.
        """
        return self.bottlenecks(self.initial(pictures))


class InitialBlock(nn.Module):
    """A strided convolution concatenated with a max pooling of the image.

    It maps (B, 3, H, W) to (B, outputs, H / 2, W / 2).
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, outputs - 3, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(outputs, eps=_EPS)
        self.activation = nn.PReLU(outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        joined = torch.cat([self.convolution(pictures), F.max_pool2d(pictures, 2)], 1)
        return self.activation(self.norm(joined))


class Bottleneck(nn.Module):
    """A residual block: reduce to a quarter of the channels, convolve, expand, and add to the input.

    Args:
        channels: channels of input and output.
        dilation: dilation of the 3 x 3 convolution.
        asymmetric: use a 1 x 5 and a 5 x 1 convolution instead of the 3 x 3 convolution.
        dropout: fraction of channels that are dropped in training.
    """

    def __init__(self, channels: int, dilation: int = 1, asymmetric: bool = False, dropout: float = 0.1) -> None:
        super().__init__()
        inner = channels // 4
        middle: nn.Module
        if asymmetric:
            row = nn.Conv2d(inner, inner, (1, 5), padding=(0, 2), bias=False)
            middle = nn.Sequential(row, nn.Conv2d(inner, inner, (5, 1), padding=(2, 0)))
        else:
            middle = nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation)
        self.branch = Branch(nn.Conv2d(channels, inner, 1, bias=False), middle, channels, dropout)
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.branch(x))


class Downsampling(nn.Module):
    """A bottleneck of stride 2 with `outputs // 4` inner channels.

    The residual is the max-pooled input, padded by zeros to the number of output channels.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.1) -> None:
        super().__init__()
        inner = outputs // 4
        self.missing = outputs - inputs
        self.branch = Branch(
            nn.Conv2d(inputs, inner, 2, stride=2, bias=False), nn.Conv2d(inner, inner, 3, padding=1), outputs, dropout
        )
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        skipped = F.pad(F.max_pool2d(x, 2), (0, 0, 0, 0, 0, self.missing))
        return self.activation(skipped + self.branch(x))


class Branch(nn.Module):
    """Reduce, convolve and expand, each with batch norm, followed by torch7's dropout of whole channels.

    This dropout scales by 1 - p in evaluation instead of 1 / (1 - p) in training.
    """

    def __init__(self, reduce: nn.Conv2d, middle: nn.Module, outputs: int, dropout: float) -> None:
        super().__init__()
        inner = reduce.out_channels
        self.reduce, self.reduce_norm, self.reduce_activation = reduce, nn.BatchNorm2d(inner, eps=_EPS), nn.PReLU(inner)
        self.middle, self.middle_norm, self.middle_activation = middle, nn.BatchNorm2d(inner, eps=_EPS), nn.PReLU(inner)
        self.expand, self.expand_norm = nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs, eps=_EPS)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce_activation(self.reduce_norm(self.reduce(x)))
        x = self.middle_activation(self.middle_norm(self.middle(x)))
        return F.dropout2d(self.expand_norm(self.expand(x)), self.dropout, self.training) * (1 - self.dropout)


def normalise(pictures: Tensor) -> Tensor:
    """Return pictures (B, H, W, 3) uint8 RGB as network input (B, 3, H, W) float32."""
    mean, std = (pictures.new_tensor(values, dtype=torch.float32) for values in (MEAN, STD))
    return ((pictures.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def load_enet(path: Path | str) -> ENet:
    """Return the network in evaluation mode with the weights of a scannetv2_enet.pth.

    Raises:
        MissingDataError: there is no such file.
        InputError: the file does not contain these weights.
    """
    if not Path(path).exists():
        raise MissingDataError(
            f"ENet weights {path}: no such file", "daveredrum/Pointnet2.ScanNet has data/scannetv2_enet.pth"
        )
    network = ENet().eval()
    with reading(path, "ENet weights", "expected the published scannetv2_enet.pth"):
        import_enet(pickles.read(path, "ENet weights", problem="cannot be loaded"), network)
    return network


def import_enet(state: Mapping[str, Tensor], network: ENet) -> None:
    """Load published weights; every entry is used.

    An eighth of the published numbers is subnormal (weights that decayed to 1e-40), which slows CPUs down by a factor
    of 20. They are set to 0; the features are bit-identical.

    Args:
        state: the 430 entries of scannetv2_enet.pth by their names: layer, then position in nested sequences.
        network: changed only if everything fits.

    Raises:
        InputError: entries do not fit (g3d/nn/weights.py).
    """
    if not isinstance(state, Mapping):
        raise InputError(f"ENet weights: expected a state dict, found {type(state).__name__}")
    names = {published: name for name in network.state_dict() if (published := published_name(name, network))}
    load_weights(
        network, state, "ENet weight file", our_name=names.get, hint="expected the published scannetv2_enet.pth"
    )
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.masked_fill_(value.abs() < torch.finfo(value.dtype).tiny, 0)


def published_name(name: str, network: ENet) -> str | None:
    """Return the name in scannetv2_enet.pth of an entry of the network; None for a batch counter, which it lacks."""
    *path, entry = name.split(".")
    if entry == "num_batches_tracked":
        return None
    if path[0] == "initial":
        return {"convolution": "0.0", "norm": "2", "activation": "3"}[path[1]] + f".{entry}"
    if path[0] == "classifier":
        return f"26.0.{entry}"
    number = int(path[1])
    if path[2] == "activation":
        return f"{_FIRST + number}.2.{entry}"
    asymmetric = isinstance(network.get_submodule(".".join([*path[:3], "middle"])), nn.Sequential)
    order = [
        "reduce",
        "reduce_norm",
        "reduce_activation",
        *(["middle.0", "middle.1"] if asymmetric else ["middle"]),
        "middle_norm",
        "middle_activation",
        "expand",
        "expand_norm",
    ]
    return f"{_FIRST + number}.0.0.{order.index('.'.join(path[3:]))}.{entry}"
