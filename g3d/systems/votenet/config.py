"""The schema of VoteNet presets; this module imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from g3d import config
from g3d.config import Schema
from g3d.data.scannet import detection_config
from g3d.data.scannet.detection_config import AugmentConfig, DataConfig, DecodeConfig

Sampling = Literal["vote", "seed"]


class ModelConfig(Schema):
    """The network; the defaults are the published ones for ScanNet."""

    proposals: PositiveInt = Field(256, description="boxes that are predicted")
    sampling: Sampling = Field(
        "vote", description="training: furthest point sampling of the proposals among votes or seeds; published: vote"
    )
    sampling_at_test: Sampling = Field("seed", description="the same in evaluation; published: seed")
    input_features: NonNegativeInt = Field(1, description="columns of a point after x y z; published: 1, the height")
    channels: PositiveInt = Field(256, description="of seeds and votes, even; proposals have half as many")
    width: PositiveFloat = Field(1.0, description="factor of the backbone's channels, in 64ths")
    samples: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        (2048, 1024, 512, 256), description="points of the backbone's levels; the second level's are the seeds"
    )

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.channels % 2:
            raise ValueError("channels must be even")
        if not (64 * self.width).is_integer():
            raise ValueError("width must be a multiple of 1/64")
        return self


class LossConfig(Schema):
    """The published losses have no settings but their fault."""

    match_unused_rows: bool = Field(
        False, description="true: the published fault; proposals near the origin are trained as objects of class 0"
    )


class Config(config.Config):
    """A VoteNet preset."""

    data: DataConfig = DataConfig(height=True)
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    decode: DecodeConfig = DecodeConfig()

    @model_validator(mode="after")
    def _fits(self) -> Config:
        detection_config.check_features(self.data, self.model.input_features)
        return self
