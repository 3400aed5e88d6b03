"""The System of WS-3DVG: it connects the parts to the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from g3d.data.scannet.labels import DETECTION18_NAMES
from g3d.data.scanrefer.index import SentenceRoot
from g3d.data.scanrefer.sentences import vocabulary
from g3d.data.scanrefer.vectors import WordVectors, read_vectors
from g3d.data.scanrefer.vocabulary_file import read_vocabulary
from g3d.data.types import Prediction, SceneBoxes
from g3d.errors import InputError
from g3d.position import Position
from g3d.systems.base import ImportReport, InferRequest, Input, System, SystemDefaults
from g3d.systems.ws3dvg import official
from g3d.systems.ws3dvg.answers import best_answers, student_scores, teacher_scores
from g3d.systems.ws3dvg.config import Config
from g3d.systems.ws3dvg.grounder import Grounder, detector_differences, load_detector, one_of
from g3d.systems.ws3dvg.losses import Truth
from g3d.systems.ws3dvg.losses import losses as all_losses
from g3d.systems.ws3dvg.model import Outputs, Proposals
from g3d.systems.ws3dvg.samples import (
    GroundingBatch,
    GroundingSample,
    Question,
    SceneQueries,
    SceneSentences,
    split_sentences,
)

log = logging.getLogger(__name__)
_AT_ONCE = 32  # sentences about one scene in one pass; more need more memory


class Ws3dvg(SystemDefaults):
    """The System of WS-3DVG presets."""

    name = "ws3dvg"
    takes: frozenset[Input] = frozenset({"scene", "expression"})
    answers = SceneBoxes
    carried = ("text.vectors", "text.vocabulary")
    resolved = ("model.vocabulary", "model.word_channels")
    starts = ("model.detector_weights",)

    def resolve(self, config: Config, root: Path) -> Config:
        model = config.model
        if model.vocabulary and model.word_channels:
            return config
        vectors = _vectors(config, root)
        found = {
            "vocabulary": model.vocabulary or len(_vocabulary(config, root, vectors)),
            "word_channels": model.word_channels or vectors.vectors.shape[1],
        }
        return config.model_copy(update={"model": model.model_copy(update=found)})

    def build(self, config: Config) -> nn.Module:
        return Grounder(config.model)

    def start(self, config: Config, model: nn.Module, root: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
        assert isinstance(model, Grounder)
        vectors = _vectors(config, root)
        numbers = _vocabulary(config, root, vectors)
        model.words.fill(numbers, vectors, f"--data {root}")
        said = [f"the teacher predicts {len(numbers):,} words; {len(vectors.words):,} words have vectors"]
        if config.model.detector_weights is None:
            raise InputError(
                "model.detector_weights: found null, expected the checkpoint of a trained detector, which stays frozen",
                f"--set model.detector_weights=FILE, of g3d train --preset {config.model.detector} or published",
            )
        path = config.model.detector_weights
        content = read(path)
        report = load_detector(model, content, path)
        for line in detector_differences(content, path, config):
            log.warning("%s", line)
        return [*said, f"{path}: {'; '.join(report.lines())}"]

    def import_official(self, checkpoint: Mapping[str, Any], model: nn.Module, config: Config) -> ImportReport:
        assert isinstance(model, Grounder)
        report = official.import_official(checkpoint, model)
        if config.text.vectors is not None:
            numbers = {} if config.text.vocabulary is None else read_vocabulary(config.text.vocabulary)
            model.words.fill(numbers, read_vectors(config.text.vectors), "text.vocabulary, text.vectors")
        return report

    def samples(self, config: Config, root: Path, split: str, training: bool) -> SceneSentences:
        return SceneSentences(config, root, split, training)

    def collate(self, groups: list[list[GroundingSample]]) -> GroundingBatch:
        return GroundingBatch.of(groups)

    def losses(self, model: nn.Module, batch: GroundingBatch, config: Config, at: Position) -> dict[str, Tensor]:
        rows, ablation = config.data.sentences, config.model.ablation
        teach = not ablation.no_recon
        outputs: Outputs = model(batch.points, batch.views, batch.sentences, teach=teach, rows=rows)
        return all_losses(outputs, _truth(batch, rows), at.epoch, config.loss, ablation)

    def predict(self, model: nn.Module, batch: GroundingBatch, config: Config) -> list[Prediction]:
        assert isinstance(model, Grounder)
        scenes = model.encode(batch.points, model.views(batch.points, batch.views))
        stage, device = config.decode.answer, batch.points.device
        found = []
        for number, group in enumerate(batch.groups):
            scene = one_of(scenes, number)
            self._report_unknown(model, group)
            for part in _parts(group):
                written = [[question.written for question in part]]
                sentences = model.words.encode(written, len(part), device, teach=stage == "teacher", drawn=False)
                scores = _scores(model.ground(scene, sentences, teach=stage == "teacher"), config)[0]
                for question, row in zip(part, scores, strict=True):
                    boxes = _best_boxes(scene.proposals, row, config.data.top_answers)
                    found.append(Prediction(question.id, question.source, (boxes,), question.text))
        return found

    @staticmethod
    def _report_unknown(model: Grounder, group: tuple[Question, ...]) -> None:
        """Log the words of a user's sentences that the model does not know; those of data are counted by prepare."""
        for question in group:
            missing = model.words.unknown(question.written) if question.label is None else []
            if missing:
                log.warning("sentence %r: no vector of %s, which is read as padding", question.text, ", ".join(missing))

    def inputs(self, config: Config, request: InferRequest) -> SceneQueries:
        return SceneQueries(config, request)


def _vectors(config: Config, root: Path) -> WordVectors:
    """Return the vectors of the known words."""
    if config.text.vectors is not None:
        return read_vectors(config.text.vectors)
    return SentenceRoot.find(root, config.data.dataset).vectors()


def _vocabulary(config: Config, root: Path, vectors: WordVectors) -> dict[str, int]:
    """Return the number of each word that the teacher predicts."""
    if config.text.vocabulary is not None:
        return read_vocabulary(config.text.vocabulary)
    sentences = split_sentences(config, root, config.data.train)
    return vocabulary((sentence.words for sentence in sentences), vectors)


def _truth(batch: GroundingBatch, rows: int) -> Truth:
    """Return what training knows about the sentences; a scene with fewer than `rows` repeats its last one."""
    device = batch.points.device
    labels = [[question.label for question in group] for group in batch.groups]
    classes = [[*of_scene, *[of_scene[-1]] * (rows - len(of_scene))] for of_scene in labels]
    return Truth(
        torch.tensor([len(group) for group in batch.groups], device=device), torch.tensor(classes, device=device)
    )


def _parts(group: tuple[Question, ...]) -> Iterator[list[Question]]:
    """Yield the sentences about a scene in parts that one pass can hold."""
    remaining = iter(group)
    while part := list(islice(remaining, _AT_ONCE)):
        yield part


def _scores(outputs: Outputs, config: Config) -> Tensor:
    """Return the scores (B, L, P) of the stage that answers."""
    if config.decode.answer == "coarse":
        return outputs.coarse
    objects = outputs.scenes.proposals.objects
    if config.decode.answer == "student":
        return student_scores(outputs.student, objects, config.model.faults.score_times_objectness)
    assert outputs.reconstruction is not None
    return teacher_scores(outputs.candidates, outputs.reconstruction, objects.shape[1])


def _best_boxes(found: Proposals, scores: Tensor, count: int) -> SceneBoxes:
    """Return the best proposals of a scene as boxes by falling score; none if no proposal is an object.

    Args:
        found: of one scene.
        scores: (P,), -inf for proposals that cannot be the answer.
        count: number of boxes.

    Returns:
        The boxes with the softmax over all scores as their scores.
    """
    chosen = best_answers(scores[None, None], count)[0, 0]
    chosen = chosen[torch.isfinite(scores[chosen])]
    shares = scores.double().softmax(0)[chosen]
    boxes = found.boxes[0, chosen].double().cpu().numpy()
    classes = found.class_scores[0, chosen].argmax(1).cpu().numpy()
    names = [DETECTION18_NAMES[number] for number in classes]
    return SceneBoxes(np.array(names, np.str_), boxes[:, :3], np.abs(boxes[:, 3:6]), scores=shares.cpu().numpy())


SYSTEM: System[Config, GroundingBatch] = Ws3dvg()
