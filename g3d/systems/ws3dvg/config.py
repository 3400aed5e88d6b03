"""The schema of WS-3DVG presets; this module imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from g3d import config
from g3d.config import Schema
from g3d.data.referit3d.filters import SentenceFilters
from g3d.data.scannet.detection_config import AugmentConfig, PointsConfig, check_features
from g3d.systems.ws3dvg.model_config import LossConfig, ModelConfig

Stage = Literal["student", "teacher", "coarse"]


class DataConfig(PointsConfig):
    """The sentences, and how points are drawn of their scenes."""

    dataset: Literal["scanrefer", "referit3d"] = "scanrefer"
    points: PositiveInt = Field(50000, description="points drawn of each scene; published: 40000 for VoteNet")
    view_features: Literal["prepared", "zeros"] = Field(
        "prepared",
        description="image features of points; prepared: of g3d prepare multiview, and a scene without them is an "
        "error; zeros: none are read",
    )
    features: Path | None = Field(
        None,
        description="folder or HDF5 file of the image features; null: multiview/ beside the prepared scenes, or "
        "enet_feats_maxpool.hdf5 beside published ones",
    )
    sentences: PositiveInt = Field(8, description="sentences about a scene in one training sample; published: 8")
    epoch: Literal["sentences", "scenes"] = Field(
        "sentences",
        description="sentences: an epoch has each sentence once, dealt anew to samples, as published; scenes: it has "
        "each scene once, with sentences drawn anew",
    )
    top_answers: PositiveInt = Field(3, description="boxes that are kept of a sentence: the answer, then runners-up")
    others: Literal["last_word", "whole_name"] = Field(
        "last_word", description='scanrefer: the rule by which an object is of class "others" in the table'
    )
    filters: SentenceFilters = Field(SentenceFilters(), description="referit3d: the sentences that count")

    @model_validator(mode="after")
    def _of_data_set(self) -> DataConfig:
        unread = ("filters",) if self.dataset == "scanrefer" else ("others",)
        for name in unread:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"dataset: {self.dataset} does not use {name}: expected its default")
        if self.features is not None and self.view_features == "zeros":
            raise ValueError("view_features: zeros does not use features: expected null")
        return self


class TextConfig(Schema):
    """Words where the data does not give them: for published checkpoints, which do not hold them."""

    vectors: Path | None = Field(
        None,
        description="word vectors, <data set>.vectors.safetensors of g3d prepare scanrefer or referit3d; null: those "
        "of the data to train on",
    )
    vocabulary: Path | None = Field(
        None,
        description="numbers of the words that the teacher predicts, WS-3DVG's <data set>_vocabulary.json; null: the "
        "words of the training sentences by falling count",
    )


class DecodeConfig(Schema):
    """The way from scores to answers."""

    answer: Stage = Field("student", description="the stage whose best proposal is the answer; published: student")


class Config(config.Config):
    """A WS-3DVG preset."""

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig(flip=0.3, degrees=(5.0, 5.0, 5.0), scale=0.1, shift=0.5)
    text: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    decode: DecodeConfig = DecodeConfig()

    @model_validator(mode="after")
    def _fits(self) -> Config:
        check_features(self.data, self.model.input_features)
        untrained = {"student": self.model.ablation.no_distill, "teacher": self.model.ablation.no_recon}
        if untrained.get(self.decode.answer):
            raise ValueError(
                f"decode.answer: found {self.decode.answer}, which model.ablation leaves untrained; expected another"
            )
        return self
