"""The schema of Group-Free 3D presets; this module imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from g3d import config
from g3d.config import Schema
from g3d.data.scannet import detection_config
from g3d.data.scannet.detection_config import AugmentConfig, DataConfig


class ModelConfig(Schema):
    """The network; the defaults are the published L6 O256."""

    decoder_layers: PositiveInt = Field(6, description="published: 6 or 12")
    proposals: PositiveInt = Field(
        256, description="queries, at most the second level's samples; published: 256 or 512"
    )
    width: PositiveFloat = Field(1.0, description="factor of the backbone's channels, in 64ths; published: 1 or 2")
    input_features: NonNegativeInt = Field(0, description="columns of a point after x y z")
    channels: PositiveInt = Field(288, description="of seeds and queries, a multiple of heads")
    heads: PositiveInt = Field(8, description="attention heads")
    feedforward: PositiveInt = Field(2048, description="hidden channels of the decoder's linear layers")
    dropout: NonNegativeFloat = Field(0.1, lt=1, description="in the decoder")
    samples: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        (2048, 1024, 512, 256), description="points of the backbone's levels; the second level's are the seeds"
    )

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.channels % self.heads:
            raise ValueError("channels must be a multiple of heads")
        if not (64 * self.width).is_integer():
            raise ValueError("width must be a multiple of 1/64")
        if self.proposals > self.samples[1]:
            raise ValueError("proposals must be at most the second of samples: queries are chosen among these points")
        return self


class LossConfig(Schema):
    """Weights and constants of the losses; the defaults are those that train the published ScanNet models."""

    nearest: PositiveInt = Field(4, description="seeds of each box that are trained as good query points")
    center_delta: PositiveFloat = Field(0.04, description="where smooth L1 of centres becomes linear, metres")
    size_delta: PositiveFloat = Field(
        0.111111111111, description="where smooth L1 of sizes becomes linear, share of the class's mean size"
    )
    heading_delta: PositiveFloat = Field(
        1.0, description="where smooth L1 of headings becomes linear, share of a heading bin"
    )
    sampling_weight: NonNegativeFloat = Field(0.8, description="of the choice of query points")
    objectness_weight: NonNegativeFloat = Field(0.1, description="of each head's objectness")
    class_weight: NonNegativeFloat = Field(0.1, description="of each head's classification")
    foreign_seeds: bool = Field(
        False,
        description="true: the published fault; a box with few seeds of its own takes seeds of other objects as well",
    )


class OptimConfig(config.OptimConfig):
    decoder_lr_scale: PositiveFloat = Field(
        0.1, description="factor of the learning rate of parameters with `decoder` in their name"
    )


class DecodeConfig(detection_config.DecodeConfig):
    heads: Literal["last", "last_three", "all"] = Field(
        "last", description="decoder layers whose boxes are evaluated, with one suppression over them"
    )


class Config(config.Config):
    """A Group-Free 3D preset."""

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    decode: DecodeConfig = DecodeConfig()
    optim: OptimConfig

    @model_validator(mode="after")
    def _fits(self) -> Config:
        detection_config.check_features(self.data, self.model.input_features)
        return self
