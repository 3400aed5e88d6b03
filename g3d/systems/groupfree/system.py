"""The System of Group-Free 3D: it connects the parts to the engine."""

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
from g3d.nn.groupfree import GroupFree, GroupFreeOutputs
from g3d.nn.scene_detection import joined_heads, one_box_each, scene_predictions
from g3d.position import Position
from g3d.systems.base import ImportReport, InferRequest, Input, System, SystemDefaults
from g3d.systems.groupfree import official
from g3d.systems.groupfree.config import Config
from g3d.systems.groupfree.losses import LossInputs
from g3d.systems.groupfree.losses import losses as all_losses
from g3d.systems.groupfree.model import build
from g3d.systems.groupfree.targets import GroupFreeTargets, groupfree_targets

_MEAN_SIZES = torch.from_numpy(DETECTION_MEAN_SIZES)
_EVALUATED = {"last": 1, "last_three": 3, "all": None}


class GroupFreeSystem(SystemDefaults):
    """The System of Group-Free 3D presets."""

    name = "groupfree"
    takes: frozenset[Input] = frozenset({"scene"})
    answers = SceneBoxes

    def build(self, config: Config) -> nn.Module:
        return build(config.model)

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Config) -> ImportReport:
        assert isinstance(model, GroupFree)
        return official.import_official(checkpoint, model)

    def parameter_groups(self, model: nn.Module, config: Config) -> list[dict[str, Any]]:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        return [
            {"params": [p for name, p in named if "decoder" not in name]},
            {"params": [p for name, p in named if "decoder" in name], "lr_scale": config.optim.decoder_lr_scale},
        ]

    def samples(self, config: Config, root: Path, split: str, training: bool) -> DetectionSamples:
        targets = partial(groupfree_targets, mean_sizes=_MEAN_SIZES, rows=config.data.boxes)
        settings = point_settings(config.data, config.augment)
        return DetectionSamples(split_sources(root, split), settings, targets if training else None)

    def collate(self, groups: list[list[SceneSample]]) -> SceneBatch:
        return SceneBatch.of([sample for group in groups for sample in group], GroupFreeTargets.stack)

    def losses(self, model: nn.Module, batch: SceneBatch, config: Config, at: Position) -> dict[str, Tensor]:
        found: GroupFreeOutputs = model(batch.points)
        inputs = LossInputs(found.seeds.xyz, found.seeds.indices, found.seed_scores, found.query_indices, found.heads)
        return all_losses(inputs, batch.targets, _MEAN_SIZES, config.loss)

    def predict(self, model: nn.Module, batch: SceneBatch, config: Config) -> list[Prediction]:
        found: GroupFreeOutputs = model(batch.points)
        count = _EVALUATED[config.decode.heads] or len(found.heads)
        return scene_predictions(joined_heads(found.heads[-count:], _MEAN_SIZES), batch, config.decode)

    def asked(self, config: Config, request: InferRequest) -> Config:
        return config.model_copy(update={"decode": one_box_each(config.decode)})

    def inputs(self, config: Config, request: InferRequest) -> DetectionSamples:
        return DetectionSamples(UserScenes(request).sources, point_settings(config.data, config.augment))


SYSTEM: System[Config, SceneBatch] = GroupFreeSystem()
