"""Settings of the VoteNet network; this module imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from g3d.config import Schema


class ModelConfig(Schema):
    """The network; the defaults are the published ones for ScanNet."""

    proposals: PositiveInt = Field(256, description="boxes that are predicted")
    sampling: Literal["vote", "seed"] = Field(
        "vote",
        description="furthest point sampling of the proposals among votes or seeds; published: vote to train, seed to "
        "evaluate",
    )
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
