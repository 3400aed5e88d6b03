"""Answers of the student, the teacher and the coarse stage: pure functions of scores.

Every stage has scores (B, L, P) of proposals, higher is better; the answer is the proposal with the highest score.
Source: lib/joint/eval_ground.py of ZzZZCHS/WS-3DVG. Letters in shapes: B scenes, L sentences, P proposals, K
candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor


def student_scores(student: Tensor, objects: Tensor, times_objectness: bool = False) -> Tensor:
    """Return the student's scores (B, L, P), -inf for proposals without an object.

    Args:
        student: (B, L, P) of the network.
        objects: (B, P) bool, whether a proposal is an object.
        times_objectness: the published fault. Proposals without an object score 0, so that one of them wins where all
            objects score below 0.
    """
    if times_objectness:
        return student * objects[:, None].to(student.dtype)
    return student.masked_fill(~objects[:, None], -torch.inf)


def teacher_scores(candidates: Tensor, reconstruction: Tensor, proposals: int) -> Tensor:
    """Return the teacher's scores (B, L, P): minus the loss of reconstruction, and less than all for other proposals.

    Args:
        candidates: (B, L, K) int64, proposals without repetition.
        reconstruction: (B, L, K), the losses.
        proposals: P.
    """
    worse = reconstruction.amax(2, keepdim=True) + 1
    losses = worse.expand(*reconstruction.shape[:2], proposals).scatter(2, candidates, reconstruction)
    return -losses


def answers(scores: Tensor) -> Tensor:
    """Return (B, L) int64, the proposal with the highest score (B, L, P); the first one of equal scores."""
    return scores.argmax(2)


def best_answers(scores: Tensor, count: int) -> Tensor:
    """Return (B, L, count) int64, proposals by falling score (B, L, P); equal scores keep the order of proposals."""
    return scores.sort(dim=2, descending=True, stable=True).indices[..., :count]
