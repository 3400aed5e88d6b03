"""Answers of the stages, and the coarse stage: what counts in each, and what the published fault changes."""

from __future__ import annotations

import torch

from g3d.systems.ws3dvg.answers import answers, best_answers, student_scores, teacher_scores
from g3d.systems.ws3dvg.coarse import best_candidates, coarse_scores
from g3d.systems.ws3dvg.model_config import AblationConfig

OBJECTS = torch.tensor([[False, True, True, False, True]])


def test_only_objects_can_be_the_students_answer_unless_scores_are_multiplied() -> None:
    negative = torch.tensor([[[5.0, -3, -1, 4, -2]]])
    assert answers(student_scores(negative, OBJECTS)).tolist() == [[2]]
    assert answers(student_scores(negative, OBJECTS, times_objectness=True)).tolist() == [[0]]
    positive = negative.abs()
    for fault in (False, True):
        assert answers(student_scores(positive, OBJECTS, fault)).tolist() == [[1]]
        assert best_answers(student_scores(positive, OBJECTS, fault), 3).tolist() == [[[1, 4, 2]]]


def test_the_teacher_answers_with_the_least_loss_and_then_with_other_candidates() -> None:
    candidates, losses = torch.tensor([[[4, 1, 3]]]), torch.tensor([[[2.0, 0.5, 1.0]]])
    scores = teacher_scores(candidates, losses, 5)
    assert answers(scores).tolist() == [[1]]
    assert best_answers(scores, 5).tolist() == [[[1, 3, 4, 0, 2]]]
    assert scores[0, 0, 0] == -3  # less than every candidate's


def test_each_ablation_leaves_its_similarity_out_of_the_coarse_scores() -> None:
    features = torch.eye(5)[None] * 20
    sentence = torch.eye(5)[None, 1:2] * 20  # is like proposal 1
    classes = torch.zeros(1, 5, 3)
    classes[0, 2, 1] = 9.0  # proposal 2 has the sentence's class
    of_sentence = torch.tensor([[[0.0, 4, 0]]])

    def best(**without: bool) -> int:
        given = AblationConfig(**without)
        return int(coarse_scores(features, classes, OBJECTS, sentence, of_sentence, given).argmax())

    whole = coarse_scores(features, classes, OBJECTS, sentence, of_sentence, AblationConfig())[0, 0]
    assert torch.isneginf(whole[~OBJECTS[0]]).all()
    assert float(whole[1]) > 0.5
    assert float(whole[2]) > 1.9  # softmax and cosine
    assert best() == 2
    assert best(no_mil=True) == 2
    assert best(no_text=True) == 1


def test_proposals_without_an_object_fill_in_by_their_number() -> None:
    scores = torch.tensor([[[-torch.inf, 1.0, 3.0, -torch.inf, 2.0]]])
    assert best_candidates(scores, 4).tolist() == [[[2, 4, 1, 0]]]
