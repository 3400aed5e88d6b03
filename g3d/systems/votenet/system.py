"""The System of VoteNet: it connects the parts to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from g3d.data.scannet.detection_samples import DetectionSamples, SceneBatch, SceneSample, point_settings
from g3d.data.scannet.detection_scenes import split_sources
from g3d.data.scannet.mean_sizes import DETECTION_MEAN_SIZES
from g3d.data.scannet.user_scenes import UserScenes
from g3d.data.types import Prediction, SceneBoxes
from g3d.nn.scene_detection import joined_heads, one_box_each, scene_predictions
from g3d.nn.votenet import VoteNet, VoteNetOutputs
from g3d.position import Position
from g3d.systems.base import ImportReport, InferRequest, Input, System, SystemDefaults
from g3d.systems.votenet import official
from g3d.systems.votenet.config import Config
from g3d.systems.votenet.losses import LossInputs
from g3d.systems.votenet.losses import losses as all_losses
from g3d.systems.votenet.model import build
from g3d.systems.votenet.targets import VoteTargets, vote_targets

_MEAN_SIZES = torch.from_numpy(DETECTION_MEAN_SIZES)


class VoteNetSystem(SystemDefaults):
    """The System of VoteNet presets."""

    name = "votenet"
    takes: frozenset[Input] = frozenset({"scene"})
    answers = SceneBoxes

    def build(self, config: Config) -> nn.Module:
        return build(config.model)

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Config) -> ImportReport:
        assert isinstance(model, VoteNet)
        return official.import_official(checkpoint, model)

    def samples(self, config: Config, root: Path, split: str, training: bool) -> DetectionSamples:
        targets = partial(vote_targets, mean_sizes=_MEAN_SIZES, rows=config.data.boxes)
        settings = point_settings(config.data, config.augment)
        return DetectionSamples(split_sources(root, split), settings, targets if training else None)

    def collate(self, groups: list[list[SceneSample]]) -> SceneBatch:
        return SceneBatch.of([sample for group in groups for sample in group], VoteTargets.stack)

    def losses(self, model: nn.Module, batch: SceneBatch, config: Config, at: Position) -> dict[str, Tensor]:
        found: VoteNetOutputs = model(batch.points)
        inputs = LossInputs(found.seeds.xyz, found.seeds.indices, found.vote_xyz, found.base, found.boxes)
        return all_losses(inputs, batch.targets, _MEAN_SIZES, config.loss.match_unused_rows)

    def predict(self, model: nn.Module, batch: SceneBatch, config: Config) -> list[Prediction]:
        found: VoteNetOutputs = model(batch.points)
        return scene_predictions(joined_heads([found.boxes], _MEAN_SIZES), batch, config.decode)

    def asked(self, config: Config, request: InferRequest) -> Config:
        return config.model_copy(update={"decode": one_box_each(config.decode)})

    def inputs(self, config: Config, request: InferRequest) -> DetectionSamples:
        return DetectionSamples(UserScenes(request).sources, point_settings(config.data, config.augment))


SYSTEM: System[Config, SceneBatch] = VoteNetSystem()
