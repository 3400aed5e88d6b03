"""The System of MonoDLE, with or without depth-discriminative metric learning: it connects the parts to the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from g3d.data.images.user_images import UserImages
from g3d.data.types import CameraBoxes, ImageBatch, ImageSample, Prediction
from g3d.nn.images import normalise
from g3d.nn.parameter_groups import no_decay_on_biases
from g3d.position import Position
from g3d.systems.base import ImportReport, InferRequest, Input, System, SystemDefaults
from g3d.systems.monodle import official
from g3d.systems.monodle.config import Config
from g3d.systems.monodle.decode import decode
from g3d.systems.monodle.losses import losses as all_losses
from g3d.systems.monodle.model import MonoDLE
from g3d.systems.monodle.samples import KittiFrames
from g3d.systems.monodle.targets import MEAN_SIZES, Targets


class Monodle(SystemDefaults):
    """The System of MonoDLE presets."""

    name = "monodle"
    takes: frozenset[Input] = frozenset({"image", "camera"})
    answers = CameraBoxes
    starts = ("model.backbone_weights",)

    def build(self, config: Config) -> nn.Module:
        return MonoDLE(config.model.channels, config.model.head_channels, config.model.object_depth)

    def layout(self, config: Config) -> torch.memory_format | None:
        return torch.channels_last if config.train.channels_last else None

    def start(self, config: Config, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        weights = config.model.backbone_weights
        return [f"{weights}: {'; '.join(official.import_backbone(read(weights), model).lines())}"] if weights else []

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Config) -> ImportReport:
        return official.import_official(checkpoint, model)

    def parameter_groups(self, model: nn.Module, config: Config) -> list[dict[str, Any]]:
        return no_decay_on_biases(model, config.optim.weight_decay)

    def samples(self, config: Config, root: Path, split: str, training: bool) -> KittiFrames:
        return KittiFrames(config, root, split, training)

    def collate(self, groups: list[list[ImageSample]]) -> ImageBatch:
        targets = [sample.targets for group in groups for sample in group]
        return ImageBatch.of_groups(groups, None if targets[0] is None else Targets.stack(targets))

    def losses(self, model: nn.Module, batch: ImageBatch, config: Config, at: Position) -> dict[str, Tensor]:
        outputs = model(_network_input(batch, config), batch.targets.cells)
        return all_losses(outputs, batch.targets, config.loss)

    def predict(self, model: nn.Module, batch: ImageBatch, config: Config) -> list[Prediction]:
        assert isinstance(model, MonoDLE)
        settings = config.decode
        peaks, values = model.detect(_network_input(batch, config), settings.max_detections)
        means = MEAN_SIZES if config.model.mean_sizes else None
        found = decode(
            peaks,
            values,
            batch.cameras,
            batch.image_sizes,
            config.data.resolution,
            settings.threshold,
            settings.exact_inverse,
            means,
        )
        return [
            Prediction(frame, source, (boxes,))
            for frame, source, boxes in zip(batch.ids, batch.sources, found, strict=True)
        ]

    def inputs(self, config: Config, request: InferRequest) -> UserImages:
        return UserImages(request, config.data.resolution)


def _network_input(batch: ImageBatch, config: Config) -> Tensor:
    return normalise(batch.images, config.train.channels_last)


SYSTEM: System[Config, ImageBatch] = Monodle()
