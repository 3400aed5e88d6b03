"""Settings of the Group-Free 3D network; this module imports no torch."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from g3d.config import Schema


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
