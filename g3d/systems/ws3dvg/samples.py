"""The samples of WS-3DVG: sentences about scenes, with the drawn points of their scene.

Letters in shapes: B scenes of a batch, n drawn points, F = 3, or 4 with the height above the floor as last column, V
image features of a point.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from g3d.data.referit3d.splits import KIND as REFERIT3D
from g3d.data.referit3d.splits import filtered, full_name
from g3d.data.request import InferRequest
from g3d.data.scannet.detection import Augmentation, augment, draw_generator, draw_item, draw_rows
from g3d.data.scannet.detection_samples import scene_of
from g3d.data.scannet.user_scenes import UserScenes
from g3d.data.scannet.view_features import ViewFeatures
from g3d.data.scanrefer.index import IndexedSentence, SentenceRoot
from g3d.data.scanrefer.keywords import marked_by_rules
from g3d.data.scanrefer.sentences import words_of
from g3d.data.types import SceneSource
from g3d.errors import InputError
from g3d.systems.ws3dvg.config import Config
from g3d.systems.ws3dvg.words import Written

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Question:
    """A sentence about a scene.

    Attributes:
        id: the sample's id.
        source: the scene.
        text: the sentence.
        written: its words.
        label: class 0..17 of the object by its name; None for a user's sentence.
    """

    id: str
    source: SceneSource
    text: str
    written: Written
    label: int | None


@dataclass(frozen=True, eq=False)
class GroundingSample:
    """A sentence with the points of its scene; the samples of one group share the tensors.

    Attributes:
        question: the sentence.
        points: (n, F) float32, metres, in the frame of the source.
        views: (n, V) float32, image features; None for zeros.
    """

    question: Question
    points: Tensor
    views: Tensor | None


@dataclass(frozen=True, eq=False)
class GroundingBatch:
    """Sentences about B scenes.

    Attributes:
        groups: the sentences about each scene, at least one.
        points: (B, n, F) float32.
        views: (B, n, V) float32; None for zeros.
    """

    groups: tuple[tuple[Question, ...], ...]
    points: Tensor
    views: Tensor | None

    def __len__(self) -> int:
        return sum(map(len, self.groups))

    @property
    def sentences(self) -> list[list[Written]]:
        """The words of the sentences about each scene."""
        return [[question.written for question in group] for group in self.groups]

    def to(self, device: torch.device | str) -> GroundingBatch:
        """Return the batch on a device; the sentences stay on the CPU."""
        views = None if self.views is None else self.views.to(device, non_blocking=True)
        return replace(self, points=self.points.to(device, non_blocking=True), views=views)

    @staticmethod
    def of(groups: Sequence[Sequence[GroundingSample]]) -> GroundingBatch:
        """Return the batch of some groups of samples."""
        views = [group[0].views for group in groups if group[0].views is not None]
        return GroundingBatch(
            tuple(tuple(sample.question for sample in group) for group in groups),
            torch.stack([group[0].points for group in groups]),
            torch.stack(views) if views else None,
        )


class DrawnScenes:
    """Draws the points of scenes, with their image features.

    A generator that is seeded with the scene's name draws them, and with the repetition in evaluation or with a number
    from the loader in training, so that they do not depend on the number of processes.

    Args:
        config: the preset.
    """

    def __init__(self, config: Config) -> None:
        self.data, self.augmentation = config.data, Augmentation(**config.augment.model_dump())
        prepared = config.data.view_features == "prepared"
        self.features = ViewFeatures(config.data.features, config.model.view_features) if prepared else None

    def read(
        self, source: SceneSource, rng: np.random.Generator | None = None
    ) -> tuple[SceneSource, Tensor, Tensor | None]:
        """Return a scene's source with the transform of its points, points (n, F) and image features (n, V).

        Args:
            source: the scene.
            rng: for augmentation in training; None in evaluation.

        Raises:
            MissingDataError, InputError: the scene or its features are not there, or cannot be used.
        """
        scene, placed = scene_of(source)
        number = self.data.repetition if rng is None else int(rng.integers(1 << 62))
        random = draw_generator(source.name, number)
        rows = draw_rows(random, len(scene.points), self.data.points)
        item = draw_item(scene, rows, self.data.height)
        if rng is not None:
            item = augment(item, random, self.augmentation)
        views = None if self.features is None else torch.from_numpy(self.features.read(source, rows))
        return placed, torch.from_numpy(item.points), views


class SceneSentences:
    """The sentences of a split; those about one scene form a group.

    Attributes:
        ids: id of each sentence.
        drawn: number of sentences of a training sample; None without training.
        all_drawn: whether a training epoch has each sentence once.

    Args:
        config: the preset.
        root: folder of the prepared sentences.
        split: name of the split, or file of ids.
        training: whether training draws from the samples.

    Raises:
        MissingDataError: the data was not prepared with scenes, or a scene has no image features.
        InputError: there is no such split, or no sentence is left.
    """

    def __init__(self, config: Config, root: Path, split: str, training: bool) -> None:
        self.sentences = split_sentences(config, root, split)
        self.ids = [sentence.id for sentence in self.sentences]
        self.drawn = config.data.sentences if training else None
        self.all_drawn = config.data.epoch == "sentences"
        self.repetition = config.data.repetition
        self._sources = SentenceRoot.find(root, config.data.dataset).sources(self.sentences)
        self._scenes = DrawnScenes(config)
        if self._scenes.features is not None:
            self._scenes.features.check(self._sources.values())

    def __len__(self) -> int:
        return len(self.ids)

    def group(self, index: int) -> str:
        """Return the name of the scene that a sentence is about."""
        return self.sentences[index].scene

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[GroundingSample]:
        """Return sentences about one scene, which is read once; see DrawnScenes for errors."""
        source, points, views = self._scenes.read(self._sources[self.ids[indices[0]]], rng)
        asked = [self.sentences[index] for index in indices]
        questions = [Question(s.id, source, s.text, _written(s, self.repetition), s.last_word_class) for s in asked]
        return [GroundingSample(question, points, views) for question in questions]


class SceneQueries(UserScenes):
    """A user's sentences about scenes; all about one scene form a group.

    Args:
        config: the preset.
        request: scenes and sentences.

    Raises:
        MissingDataError, InputError: see UserScenes; and a sentence has no word.
    """

    def __init__(self, config: Config, request: InferRequest) -> None:
        super().__init__(request)
        self._scenes = DrawnScenes(config)
        self._written = {text: _asked(text) for text in request.expressions}

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[GroundingSample]:
        """Return sentences about one scene, which is read once; see DrawnScenes for errors."""
        source, points, views = self._scenes.read(self.sources[self.source(indices[0])])
        texts = [str(self.expression(index)) for index in indices]
        return [
            GroundingSample(Question(self.ids[index], source, text, self._written[text], None), points, views)
            for index, text in zip(indices, texts, strict=True)
        ]


def split_sentences(config: Config, root: Path, split: str) -> list[IndexedSentence]:
    """Return the sentences of a split that count and whose scenes are there.

    Raises:
        MissingDataError, InputError: see SceneSentences.
    """
    data = SentenceRoot.find(root, config.data.dataset)
    if config.data.dataset != REFERIT3D:
        return data.sentences(split)
    index = data.index()
    name = full_name(index, split)
    sentences = data.sentences(name)
    kept = filtered(index, name, sentences, config.data.filters)
    if not kept.kept:
        raise InputError(f"{REFERIT3D} data {root}: split {split}: no sentence is left ({kept.note()})")
    log.info("%s: %s", split, kept.note())
    return [sentences[k] for k in kept.kept]


def _written(sentence: IndexedSentence, repetition: int) -> Written:
    seed = zlib.crc32(f"{sentence.id} {repetition}".encode())
    return Written(sentence.words, sentence.keywords, sentence.first_keywords, seed)


def _asked(text: str) -> Written:
    words = words_of(text)
    if not words:
        raise InputError(f"--text {text!r}: has no word; expected words that describe one object")
    return Written(words, *marked_by_rules(words), zlib.crc32(text.encode()))
