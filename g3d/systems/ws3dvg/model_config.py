"""The schema of WS-3DVG's network, its losses and its published faults; this module imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from g3d.config import Schema


class FaultConfig(Schema):
    """Faults of the published code. The defaults are correct; each setting makes one fault happen, as published."""

    detector_mean_sizes: Literal["detector", "scanrefer"] = Field(
        "detector",
        description="mean sizes that boxes are decoded with: those that the detector was trained with, or ScanRefer's "
        "(published), which differ by up to 0.3 m",
    )
    dropout_at_test: bool = Field(
        False, description="true: dropout of word features is active in evaluation as well, so that scores are random"
    )
    score_times_objectness: bool = Field(
        False,
        description="true: student scores are multiplied by 0 where there is no object, so that a proposal without an "
        "object wins if all scores of objects are negative; false: only objects can win",
    )
    unknown_words_in_place: bool = Field(
        False,
        description="true: words that are replaced by the unknown word in training are also replaced in the teacher's "
        "input and where candidates are chosen; false: only in the student's input",
    )
    mask_value_two_is_padding: bool = Field(
        False,
        description="true: value 2 of a keyword mask alone decides what padding is: a word in both keyword lists is "
        "left out, and sentences without lists have no padding; false: padding follows the last word",
    )
    view_features_by_channel: bool = Field(
        False,
        description="true: view features are transposed before the rows of seeds are read, so that a proposal gets "
        "the values that one channel has at 128 points; false: a proposal gets all channels of its seed",
    )


class AblationConfig(Schema):
    """Parts that the paper's ablations leave out."""

    no_mil: bool = Field(False, description="without contrast of scenes and sentences, in the loss and in candidates")
    no_text: bool = Field(False, description="without classification of sentences, in the loss and in candidates")
    no_recon: bool = Field(False, description="without the teacher: all candidates have the same reward")
    no_distill: bool = Field(False, description="without the student: the answer is the best candidate")


class ModelConfig(Schema):
    """The network; the defaults are those published with Group-Free 3D. VoteNet has 128 channels and 1 feature."""

    detector: Literal["groupfree", "votenet"] = Field("groupfree", description="frozen detector that proposes boxes")
    detector_weights: Path | None = Field(
        None,
        description="checkpoint of the detector to start from: of g3d (system groupfree or votenet), or published",
    )
    channels: PositiveInt = Field(288, description="H of all parts; the detector's proposals have as many")
    heads: PositiveInt = Field(8, description="of all attention layers; a divisor of channels")
    input_features: NonNegativeInt = Field(0, description="columns of a point after x y z that the detector reads")
    proposals: PositiveInt = Field(256, description="boxes that the detector proposes")
    min_objectness: NonNegativeFloat = Field(
        0.5, lt=1, description="a proposal above this probability is an object; published: 0.5"
    )
    width: PositiveFloat = Field(1.0, description="factor of the channels of the detector's backbone")
    samples: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        (2048, 1024, 512, 256), description="points of the levels of the detector's backbone"
    )
    decoder_layers: PositiveInt = Field(6, description="of Group-Free 3D")
    feedforward: PositiveInt = Field(2048, description="hidden channels of Group-Free 3D's decoder layers")
    view_features: PositiveInt = Field(128, description="channels of the image features of a point")
    word_channels: NonNegativeInt = Field(300, description="numbers of a word vector; 0: as many as the data's have")
    vocabulary: NonNegativeInt = Field(0, description="words that the teacher predicts; 0: as many as the data has")
    candidates: PositiveInt = Field(8, description="proposals that the teacher judges, the best of the coarse stage")
    relation_layers: PositiveInt = Field(2, description="self-attention layers of the relation module")
    teacher_layers: PositiveInt = Field(3, description="decoder layers of the teacher")
    dropout: NonNegativeFloat = Field(0.1, lt=1, description="of word features, relation and student")
    teacher_dropout: NonNegativeFloat = Field(0.2, lt=1, description="of the teacher's layers")
    replaced_words: NonNegativeFloat = Field(0.3, lt=1, description="share of words that the teacher does not see")
    unknown_words: NonNegativeFloat = Field(
        0.2, le=1, description="draws of a word that training replaces by the unknown word, for each word of a sentence"
    )
    ablation: AblationConfig = AblationConfig()
    faults: FaultConfig = FaultConfig()

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.channels % self.heads or self.channels % 2:
            raise ValueError("channels must be even and a multiple of heads")
        if self.candidates > self.proposals:
            raise ValueError("candidates must be at most proposals")
        if self.detector == "groupfree" and self.proposals > self.samples[1]:
            raise ValueError("proposals must be at most the second of samples: queries are chosen among these points")
        return self


class LossConfig(Schema):
    """Weights and constants of the losses; the defaults are the published ones."""

    contrast: Literal["nce", "margin"] = Field("nce", description="loss of matching scenes with sentences")
    contrast_weight: NonNegativeFloat = Field(2.0, description="of the contrast of scenes and sentences")
    class_weight: NonNegativeFloat = Field(2.0, description="of the classification of sentences")
    reconstruction_weight: NonNegativeFloat = Field(1.0, description="of the teacher's reconstruction")
    distillation_weight: NonNegativeFloat = Field(1.0, description="of what the student learns from the teacher")
    margin: NonNegativeFloat = Field(0.2, description="of contrast: margin")
    all_candidates_epochs: NonNegativeInt = Field(
        3, description="epochs in which all candidates are reconstructed; later, only the better half of them"
    )
