"""The System of JLN and Mono3DVG-TR: it connects their parts to the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from g3d.data.images.user_images import UserImages
from g3d.data.types import CameraBoxes, ImageBatch, ImageSample, Prediction
from g3d.nn.images import normalise
from g3d.nn.parameter_groups import no_decay_on_biases
from g3d.nn.weights import errors_name
from g3d.position import Position
from g3d.systems.base import ImportReport, InferRequest, Input, System, SystemDefaults
from g3d.systems.jln import official
from g3d.systems.jln.config import Config
from g3d.systems.jln.decode import decode
from g3d.systems.jln.depth_predictor import Depth
from g3d.systems.jln.losses import losses as all_losses
from g3d.systems.jln.maps import image_maps
from g3d.systems.jln.model import JLN, Encoded, Outputs
from g3d.systems.jln.optimizer import adamw_scaled_decay
from g3d.systems.jln.samples import Expressions
from g3d.systems.jln.targets import Targets

_AT_ONCE = 16  # sentences per call; for an image of 1280 x 384 pixels they need a few GB


class Jln(SystemDefaults):
    """The System of JLN presets."""

    name = "jln"
    takes: frozenset[Input] = frozenset({"image", "camera", "expression"})
    answers = CameraBoxes
    carried = ("text.encoder", "text.architecture")
    starts = ("model.start_weights", "model.backbone.weights")
    optimizers = {"adamw_scaled_decay": adamw_scaled_decay}  # noqa: RUF012

    def layout(self, config: Config) -> torch.memory_format | None:
        return torch.channels_last if config.train.channels_last else None

    def build(self, config: Config) -> nn.Module:
        model = JLN(config.model, config.text)
        if config.text.cache is not None:
            model.text_encoder.cache_in(config.text.cache)
        return model

    def start(self, config: Config, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        assert isinstance(model, JLN)
        model.text_encoder.load(_encoder(config, root), config.text.offline)
        said = [f"sentences are encoded by {_encoder(config, root)}"]
        if config.model.backbone.weights:
            content = read(config.model.backbone.weights)
            with errors_name(config.model.backbone.weights):
                report = official.import_backbone(content, model)
            said.append(f"{config.model.backbone.weights}: {'; '.join(report.lines())}")
        if config.model.start_weights:
            content = read(config.model.start_weights)
            with errors_name(config.model.start_weights):
                report = official.import_start(content, model)
            said.append(f"{config.model.start_weights}: {'; '.join(report.lines())}")
        return said

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Config) -> ImportReport:
        assert isinstance(model, JLN)
        report = official.import_official(checkpoint, model)
        # Published files hold the network only.
        model.text_encoder.load_tokenizer(config.text.encoder, config.text.offline)
        return report

    def parameter_groups(self, model: nn.Module, config: Config) -> list[dict[str, Any]]:
        return no_decay_on_biases(model, config.optim.weight_decay)

    def samples(self, config: Config, root: Path, split: str, training: bool) -> Expressions:
        return Expressions(config, root, split, training)

    def collate(self, groups: list[list[ImageSample]]) -> ImageBatch:
        targets = [sample.targets for group in groups for sample in group]
        return ImageBatch.of_groups(groups, None if targets[0] is None else Targets.stack(targets))

    def losses(self, model: nn.Module, batch: ImageBatch, config: Config, at: Position) -> dict[str, Tensor]:
        guide = batch.targets.regions if config.model.reference == "regions" else None
        images, cameras, sizes = _inputs(batch, config)
        outputs: Outputs = model(images, batch.image_of, cameras, sizes, batch.expressions, guide)
        return all_losses(outputs, batch.targets, config.loss, config.model.max_depth)

    def predict(self, model: nn.Module, batch: ImageBatch, config: Config) -> list[Prediction]:
        assert isinstance(model, JLN)
        pixels, cameras, sizes = _inputs(batch, config)
        encoded, image_of = model.encode(pixels), _image_of(batch)
        sentences = cast("tuple[str, ...]", batch.expressions)
        found: list[CameraBoxes] = []
        maps: list[Mapping[str, np.ndarray] | None] = []
        for start in range(0, len(batch), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            images, own = (encoded, None) if image_of is None else _of_images(encoded, image_of[part])
            outputs = model.ground(images, own, cameras[part], sizes[part], sentences[part])
            resolution, image_sizes = config.data.resolution, batch.image_sizes[part]
            found += decode(outputs, batch.cameras[part], image_sizes, resolution, config.decode.exact_inverse)
            if config.decode.maps:
                maps += image_maps(outputs, batch.transforms[part], image_sizes, resolution)
        return [
            Prediction(sample, source, (boxes,), sentence, seen)
            for sample, source, boxes, sentence, seen in zip(
                batch.ids, batch.sources, found, sentences, maps or [None] * len(batch), strict=True
            )
        ]

    def inputs(self, config: Config, request: InferRequest) -> UserImages:
        return UserImages(request, config.data.resolution)


def _of_images(encoded: Encoded, image_of: Tensor) -> tuple[Encoded, Tensor]:
    """Return the images that the samples refer to, and each sample's index among them."""
    used, own = image_of.unique(return_inverse=True)
    if len(used) == len(encoded.maps[0]):
        return encoded, image_of
    return Encoded([level[used] for level in encoded.maps], Depth(*(part[used] for part in encoded.depth))), own


def _image_of(batch: ImageBatch) -> Tensor | None:
    """Return each sample's image index; None if each sample has its own image and all are grounded in one call."""
    if batch.image_of is None and len(batch) > _AT_ONCE:
        return torch.arange(len(batch), device=batch.images.device)
    return batch.image_of


def _inputs(batch: ImageBatch, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """Return the network's images, cameras and image sizes."""
    device = batch.images.device
    cameras = torch.tensor(np.stack(batch.cameras), dtype=torch.float32, device=device)
    sizes = torch.tensor(batch.image_sizes, dtype=torch.float32, device=device)
    return normalise(batch.images, config.train.channels_last), cameras, sizes


def _encoder(config: Config, root: Path) -> str:
    """Return the text encoder's name or folder; a folder of that name inside the data set's folder has precedence."""
    inside = root / config.text.encoder
    return str(inside) if inside.is_dir() else config.text.encoder


SYSTEM: System[Config, ImageBatch] = Jln()
