"""The schema of JLN and Mono3DVG-TR presets.

The description of every setting that stands for a quirk of the published code states which value reproduces it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from g3d import config
from g3d.config import Schema
from g3d.data.mono3drefer.names import CLASS_NAMES as CLASS_NAMES  # class ids inside the network

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?e[+-]?\d+", re.IGNORECASE)
STRIDES = (8, 16, 32, 64)
"""Strides of the four feature levels, pixels."""


class DataConfig(config.DataConfig):
    dataset: Literal["mono3drefer"] = "mono3drefer"
    resolution: tuple[PositiveInt, PositiveInt] = Field(
        (1280, 384), description="network input, width and height, multiples of 64"
    )
    sentences: PositiveInt = Field(
        1,
        description="above 1, an epoch has each image once with so many of its sentences, drawn anew, and "
        "train.batch counts images; "
        "1 as published: each sentence once, with its own copy of the image",
    )
    depth_map: Literal["object", "scene"] = Field(
        "object",
        description="what the depth map learns; object: that of the sentence, all else is background, as published; "
        "scene: all objects of "
        "the image that sentences are about",
    )
    region_masks: Literal["exact", "published"] = Field(
        "exact",
        description="published: boxes divided by the original image's size, and negative starts wrap (masks 3 % too "
        "large)",
    )

    @field_validator("resolution")
    @classmethod
    def _multiples_of_64(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] % 64 or value[1] % 64:
            raise ValueError("width and height must be multiples of 64")
        return value


class AugmentConfig(Schema):
    photometric: bool = Field(True, description="random brightness, contrast, saturation, hue and channel order")
    photometric_overflow: Literal["clip", "wrap"] = Field(
        "clip", description="values beyond 0..255; wrap as published: bright spots turn dark"
    )
    flip: NonNegativeFloat = Field(0.5, le=1, description="probability of a horizontal flip")
    flip_words: bool = Field(
        True, description="a flipped image's sentence swaps left and right, east and west; false as published"
    )
    crop: NonNegativeFloat = Field(0.5, le=1, description="probability of a random scale and shift")
    scale: NonNegativeFloat = Field(0.05, description="spread and bound of the random scale")
    shift: NonNegativeFloat = Field(
        0.05, description="spread of the random shift, in image sizes; its bound is twice that"
    )


class TextConfig(Schema):
    """The sentence encoder: a Hugging Face model."""

    encoder: str = Field(
        "roberta-base",
        description="a folder in Hugging Face's layout, or a name on the hub: owner/model or owner/model@revision",
    )
    architecture: dict[str, Any] = Field(
        description="entries of the encoder's config.json: model_type, hidden_size, ...; those left out have that "
        "model type's defaults"
    )
    max_words: int = Field(
        110, ge=3, description="tokens a sentence is padded or cut to; its start and its end take one each"
    )
    frozen: bool = Field(True, description="the encoder is not trained")
    dropout: bool = Field(False, description="true as published: the frozen encoder's dropouts stay active in training")
    offline: bool = Field(False, description="never ask the hub, only its local cache")
    cache: Path | None = Field(
        None, description="folder for the word features of a frozen encoder, computed once per sentence"
    )

    @field_validator("architecture")
    @classmethod
    def _numbers(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Return the entries with texts such as "1e-5" as numbers.

        YAML reads 1e-5 as text. In other sections the field types convert it; this section has no field types.
        """
        return {
            key: float(entry) if isinstance(entry, str) and _EXPONENT.fullmatch(entry) else entry
            for key, entry in value.items()
        }

    @model_validator(mode="after")
    def _consistent(self) -> TextConfig:
        if "model_type" not in self.architecture or "hidden_size" not in self.architecture:
            raise ValueError("architecture must name model_type and hidden_size")
        if self.cache is not None and (self.dropout or not self.frozen):
            raise ValueError("cache needs an encoder that is frozen and without dropout: its features must not change")
        return self


class BackboneConfig(Schema):
    """A ResNet with frozen batch norm; the defaults are ResNet-50."""

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        (3, 4, 6, 3), description="bottlenecks in the four stages"
    )
    width: PositiveInt = Field(64, description="channels after the first convolution; stage k has 4 x width x 2^k")
    norm: Literal["frozen", "batch"] = Field(
        "frozen", description="batch: trained batch norm, for networks without ImageNet weights"
    )
    frozen_stages: NonNegativeInt = Field(
        2, le=5, description="of five (stem and four stages), how many are not trained"
    )
    weights: Path | None = Field(
        None, description="ImageNet weights to start training from, in torchvision's names (resnet50-0676ba61.pth)"
    )


class ModelConfig(Schema):
    joint: bool = Field(True, description="JLN: global tokens, region heads and their losses; false: Mono3DVG-TR")
    backbone: BackboneConfig = BackboneConfig()
    channels: PositiveInt = Field(256, description="of every token, a multiple of heads and of 32")
    heads: PositiveInt = 8
    points: PositiveInt = Field(4, description="samples of a deformable attention on each level, in each head")
    feedforward: PositiveInt = 256
    encoder_layers: PositiveInt = 3
    decoder_layers: PositiveInt = 1
    dropout: NonNegativeFloat = Field(0.1, lt=1)
    reference: Literal["learned", "regions"] = Field(
        "learned",
        description="where the decoder looks first; learned: one point for all, as published; regions: the place "
        "that the region heads "
        "mark most, joint only: networks without MonoDETR's weights learn to point much sooner",
    )
    positions: Literal["queries", "features"] = Field(
        "queries",
        description="where position encodings are added; queries: of attention only, as published; features: to the "
        "image's features too, "
        "from which small networks learn sooner what left and near mean",
    )
    word_mask: bool = Field(
        False,
        description="the visual encoder ignores padded words; false as published, and as its weights were trained",
    )
    depth_bins: PositiveInt = Field(80, description="depth classes up to max_depth; one more is background")
    max_depth: PositiveFloat = Field(60.0, description="metres")
    start_weights: Path | None = Field(None, description="MonoDETR checkpoint to start training from")

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.channels % self.heads or self.channels % 32:
            raise ValueError("channels must be a multiple of heads and of 32")
        if self.reference == "regions" and not self.joint:
            raise ValueError("reference: regions needs the region heads of joint: true")
        return self


class LossConfig(Schema):
    """Weights of the loss terms, and variants of some terms."""

    label: NonNegativeFloat = 2.0
    box: NonNegativeFloat = Field(5.0, description="distances from the 3D centre to the 2D box's sides")
    giou: NonNegativeFloat = 2.0
    center: NonNegativeFloat = Field(10.0, description="projected 3D centre")
    size: NonNegativeFloat = 1.0
    angle: NonNegativeFloat = 1.0
    depth: NonNegativeFloat = 1.0
    depth_map: NonNegativeFloat = 1.0
    region: NonNegativeFloat = Field(100.0, description="visual region heads, joint only")
    depth_region: NonNegativeFloat = Field(100.0, description="depth region head, joint only")
    pointing: NonNegativeFloat = Field(
        0.0, description="cross entropy of the region heads' finest level over its places, joint only; 0 as published"
    )
    contrastive: NonNegativeFloat = Field(4.0, description="global visual against global text token, joint only")
    temperature: PositiveFloat = Field(0.06, description="of the contrastive term")
    contrastive_gather: bool = Field(
        True,
        description="contrast over all processes; false: each its own part of the batch. The published run has one "
        "process: the same",
    )
    depth_map_boxes: Literal["clamped", "published"] = Field(
        "clamped",
        description="published: a box that starts left of or above the image wraps around, and may paint nothing",
    )


class OptimConfig(config.OptimConfig):
    optimizers: ClassVar[tuple[str, ...]] = (*config.OptimConfig.optimizers, "adamw_scaled_decay")

    name: str = Field(
        "adam",
        description="adam adds L2 decay to the gradient, adamw decouples it, adamw_scaled_decay (as published) scales "
        "it with the bias correction too",
    )


class DecodeConfig(Schema):
    exact_inverse: bool = Field(
        True, description="false: the published way back to the image, off by up to 1.2 pixels in y"
    )
    maps: bool = Field(False, description="predictions carry region and depth maps, to draw")


class Config(config.Config):
    """A JLN or Mono3DVG-TR preset."""

    retired: ClassVar[tuple[str, ...]] = ("data.test", "model.queries")

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    text: TextConfig
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    decode: DecodeConfig = DecodeConfig()
    optim: OptimConfig
    train: config.ImageTrainConfig
