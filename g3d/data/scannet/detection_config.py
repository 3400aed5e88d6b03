"""Sections of the presets of 3D object detectors for scenes; this module imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from g3d import config
from g3d.config import Schema

_Degrees = Annotated[float, Field(ge=0, le=180)]


class PointsConfig(config.DataConfig):
    """The points that are drawn of scenes, in training and in repeated evaluations."""

    points: PositiveInt = Field(40000, description="points drawn of each scene")
    height: bool = Field(False, description="append the height above the floor to the coordinates of each point")
    repetitions: PositiveInt = Field(
        1, description="evaluations with other drawn points, whose mean is the result of `g3d eval`"
    )
    repetition: NonNegativeInt = Field(
        0, description="number of the first evaluation; the points of a scene depend on it"
    )


class DataConfig(PointsConfig):
    """The scenes, and how points are drawn of them."""

    dataset: Literal["scannet"] = "scannet"
    boxes: PositiveInt = Field(64, description="box rows, at least the number of boxes of any training scene")


class AugmentConfig(Schema):
    """Random changes of a scene in training."""

    flip: NonNegativeFloat = Field(0.5, le=1, description="probability of mirroring x, and of mirroring y")
    degrees: tuple[_Degrees, _Degrees, _Degrees] = Field(
        (0.0, 0.0, 5.0), description="bounds of the rotations about x, y and z"
    )
    scale: NonNegativeFloat = Field(0.0, description="bound of the logarithm of the scale of each axis")
    shift: NonNegativeFloat = Field(0.0, description="bound of the shift of each axis, metres")
    published_box_sizes: bool = Field(
        False, description="true: the published fault in box sizes after a rotation about x or y"
    )


class DecodeConfig(Schema):
    """The way from proposals to detections."""

    min_points: NonNegativeInt = Field(5, description="boxes that contain fewer of the drawn points are dropped")
    nms_iou: NonNegativeFloat = Field(
        0.25, le=1, description="a box is dropped if a better box of the same class overlaps it by more"
    )
    min_objectness: NonNegativeFloat = Field(0.0, le=1, description="evaluated boxes exceed this probability")
    per_class: bool = Field(
        True,
        description="evaluation: each box is a detection of every class that scores class probability x objectness; "
        "false: of its best class alone, which scores the objectness",
    )
    infer_objectness: NonNegativeFloat = Field(
        0.4, le=1, description="g3d infer: each box is one detection of its best class, above this probability"
    )


def check_features(data: PointsConfig, input_features: int) -> None:
    """Check that a network takes the points that the data section describes.

    Raises:
        ValueError: `model.input_features` does not fit `data.height`.
    """
    columns = 1 if data.height else 0
    if input_features != columns:
        height = str(data.height).lower()
        raise ValueError(f"model.input_features: found {input_features}, expected {columns} with data.height={height}")
