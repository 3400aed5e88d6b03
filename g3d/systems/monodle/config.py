"""The schema of MonoDLE presets.

The description of every setting that stands for a quirk of the published code states which value reproduces it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from g3d import config
from g3d.config import Schema

CLASS_NAMES = ("Pedestrian", "Car", "Cyclist")
"""Class ids inside the network: 0 Pedestrian, 1 Car, 2 Cyclist."""


class DataConfig(config.DataConfig):
    dataset: Literal["kitti"] = "kitti"
    resolution: tuple[PositiveInt, PositiveInt] = Field(
        (1280, 384), description="network input, width and height, multiples of 32"
    )
    classes: tuple[str, ...] = Field(("Car",), description="classes to learn: Pedestrian, Car, Cyclist")
    class_merging: bool = Field(False, description="Van and Truck also draw into the Car heatmap")
    center: Literal["3d", "2d"] = Field("3d", description="heatmap peaks: projected 3D centre, or centre of the 2D box")
    box2d: Literal["annotated", "projected"] = Field(
        "annotated", description="2D boxes from the label or around the projected corners"
    )
    min_depth: NonNegativeFloat = Field(2.0, description="metres; nearer objects are not learnt")
    max_depth: PositiveFloat = Field(65.0, description="metres; farther objects are not learnt")
    max_objects: PositiveInt = Field(50, description="label lines looked at per image")

    @field_validator("resolution")
    @classmethod
    def _multiples_of_32(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] % 32 or value[1] % 32:
            raise ValueError("width and height must be multiples of 32")
        return value

    @field_validator("classes")
    @classmethod
    def _known_classes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(CLASS_NAMES))
        if unknown or not value or len(set(value)) != len(value):
            raise ValueError(f"expected some of {', '.join(CLASS_NAMES)}, each once")
        return value


class AugmentConfig(Schema):
    flip: NonNegativeFloat = Field(0.5, le=1, description="probability of a horizontal flip")
    crop: NonNegativeFloat = Field(
        0.5, le=1, description="probability of a random scale and shift (no 3D targets then)"
    )
    scale: NonNegativeFloat = Field(0.4, description="spread of the random scale")
    shift: NonNegativeFloat = Field(0.1, description="spread of the random shift, in image sizes")


class ModelConfig(Schema):
    channels: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        (16, 32, 64, 128, 256, 512), description="channels of the DLA levels 0-5 (strides 1-32)"
    )
    head_channels: PositiveInt = 256
    object_depth: bool = Field(False, description="auxiliary object-wise depth head, used in training only")
    mean_sizes: bool = Field(False, description="predict the 3D size as a difference from the class mean")
    backbone_weights: Path | None = Field(
        None, description="ImageNet weights of DLA-34 to start training from (dla34-ba72cf86.pth)"
    )


class QuasiIsometricConfig(Schema):
    """The (K, B, eps)-quasi-isometric loss on object features, arXiv 2401.01075."""

    K: PositiveFloat = Field(1.5, description="slope of the bounds")
    B: NonNegativeFloat = Field(0.5, description="offset of the bounds")
    radius: PositiveFloat = Field(10.0, description="pairs farther apart in depth are left out, metres")
    temperature: PositiveFloat = 10.0
    weight: NonNegativeFloat = 0.5
    pool: PositiveInt = Field(5, description="side of the average pool over the neck feature, odd")
    lower_sign: Literal["published", "flipped"] = Field(
        "published", description="sign of the lower violations inside the exponent"
    )
    stop_gradient: bool = Field(True, description="true: the second object of a pair is held fixed, as published")


class LossConfig(Schema):
    quasi_isometric: QuasiIsometricConfig | None = None
    object_depth_weight: NonNegativeFloat = Field(1.0, description="weight of the object depth loss")
    object_depth_resize: Literal["bilinear", "nearest"] = Field(
        "bilinear", description="bilinear as published: mixes depths at borders"
    )
    size3d_divisor: Literal["size", "residual"] = Field(
        "size", description="residual: the published division, wrong with mean_sizes"
    )


class DecodeConfig(Schema):
    threshold: NonNegativeFloat = Field(0.2, description="smallest heatmap peak")
    max_detections: PositiveInt = 50
    exact_inverse: bool = Field(
        False, description="false: the published way back to the image (heights off by up to 1 %)"
    )


class Config(config.Config):
    """A MonoDLE preset."""

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    decode: DecodeConfig = DecodeConfig()
    train: config.ImageTrainConfig
