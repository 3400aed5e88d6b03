"""Precision and orientation similarity over recall, by the matching rules of KITTI's object benchmark.

Three rules determine the numbers. First pass: each label takes the unmatched detection with the highest score; the
scores of the true positives give at most 41 thresholds, about equally spaced in recall. Second pass, at each threshold:
each label takes the unmatched detection with the largest overlap. Ignored labels and detections can be matched, but
such a match is neither a true nor a false positive.

A label or detection has a `use`: 0 is counted, 1 is ignored, -1 is excluded. Shapes: G labels and D detections of all
frames, concatenated; P candidate pairs of a label and a detection of the same frame, sorted by label, then detection; T
tasks (one curve each).

Source: the development kit of KITTI's object benchmark, in the version with 40 recall positions, as xinzhuma/monodle
    evaluates with it.
"""

from __future__ import annotations

import numpy as np

from g3d.kernels.compiled import kernel, part

SLOTS = 41


def reference(
    label_frame: np.ndarray,
    detection_frame: np.ndarray,
    overlap: np.ndarray,
    label_use: np.ndarray,
    detection_use: np.ndarray,
    label_alpha: np.ndarray,
    detection_alpha: np.ndarray,
    scores: np.ndarray,
    excused: np.ndarray,
    limit: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision (41,) and orientation similarity (41,) of one curve from overlap (G, D), rule by rule. For small
    sets only."""
    candidates = (
        (overlap > limit) & (label_frame[:, None] == detection_frame) & (label_use >= 0)[:, None] & (detection_use >= 0)
    )

    def match(threshold: float, by_score: bool) -> tuple[list[int], list[int], set[int]]:
        taken: set[int] = set()
        labels_found, detections_found = [], []
        for g in range(len(label_use)):
            free = [d for d in np.flatnonzero(candidates[g]).tolist() if d not in taken and scores[d] >= threshold]
            counting = [d for d in free if detection_use[d] == 0]
            if by_score:
                best = [free[int(np.argmax(scores[free]))]] if free else []
            else:
                best = [counting[int(np.argmax(overlap[g, counting]))]] if counting else free[:1]
            taken.update(best)
            if best and label_use[g] == 0 and detection_use[best[0]] == 0:
                labels_found.append(g)
                detections_found += best
        return labels_found, detections_found, taken

    precision, similarity = np.zeros(SLOTS), np.zeros(SLOTS)
    hits = sorted((scores[d] for d in match(-np.inf, by_score=True)[1]), reverse=True)
    for slot, threshold in enumerate(_spaced_thresholds.py_func(np.array(hits), int((label_use == 0).sum()))):
        labels_found, detections_found, taken = match(threshold, by_score=False)
        wrong = sum(
            scores[d] >= threshold and detection_use[d] == 0 and d not in taken and not excused[d]
            for d in range(len(detection_use))
        )
        if labels_found or wrong:
            turn = label_alpha[labels_found] - detection_alpha[detections_found]
            precision[slot] = len(labels_found) / (len(labels_found) + wrong)
            similarity[slot] = ((1 + np.cos(turn)) / 2).sum() / (len(labels_found) + wrong)
    return np.maximum.accumulate(precision[::-1])[::-1], np.maximum.accumulate(similarity[::-1])[::-1]


@part()
def _spaced_thresholds(hits: np.ndarray, valid: int) -> np.ndarray:
    """Return the scores of true positives, descending, that are nearest to recalls 0, 1/40, ..., 1 of `valid` labels,
    and the last score."""
    kept = np.empty(SLOTS)
    count = 0
    recall = 0.0
    for i in range(hits.shape[0]):
        last = i == hits.shape[0] - 1
        left = (i + 1) / valid
        right = left if last else (i + 2) / valid
        if right - recall < recall - left and not last:
            continue
        if count < SLOTS:
            kept[count] = hits[i]
            count += 1
        recall += 1 / (SLOTS - 1.0)
    return kept[:count]


@part()
def _candidates(
    starts: np.ndarray,
    detections: np.ndarray,
    overlap: np.ndarray,
    label_use: np.ndarray,
    detection_use: np.ndarray,
    limit: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labels that can be matched in this task, the start of each label's pairs, and the pairs as indices
    into `detections`."""
    labels = np.empty(label_use.shape[0], np.int64)
    begins = np.empty(label_use.shape[0] + 1, np.int64)
    pairs = np.empty(detections.shape[0], np.int64)
    label_count = pair_count = 0
    for g in range(label_use.shape[0]):
        if label_use[g] < 0:
            continue
        begin = pair_count
        for p in range(starts[g], starts[g + 1]):
            if overlap[p] > limit and detection_use[detections[p]] >= 0:
                pairs[pair_count] = p
                pair_count += 1
        if pair_count > begin:
            labels[label_count], begins[label_count] = g, begin
            label_count += 1
    begins[label_count] = pair_count
    return labels[:label_count], begins[: label_count + 1], pairs[:pair_count]


@part()
def _hits(
    labels: np.ndarray,
    begins: np.ndarray,
    pairs: np.ndarray,
    detections: np.ndarray,
    label_use: np.ndarray,
    detection_use: np.ndarray,
    scores: np.ndarray,
    order: np.ndarray,
) -> np.ndarray:
    """Match by score (first pass) and return the scores of the true positives, descending."""
    taken = np.zeros(scores.shape[0], np.bool_)
    hit = np.zeros(scores.shape[0], np.bool_)
    for k in range(labels.shape[0]):
        chosen = -1
        for c in range(begins[k], begins[k + 1]):
            d = detections[pairs[c]]
            if not taken[d] and (chosen < 0 or scores[d] > scores[chosen]):
                chosen = d
        if chosen >= 0:
            taken[chosen] = True
            hit[chosen] = label_use[labels[k]] == 0 and detection_use[chosen] == 0
    return _in_order(scores, order, hit)


@part()
def _in_order(scores: np.ndarray, order: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the wanted scores, descending; `order` sorts all scores in descending order."""
    found = np.empty(order.shape[0])
    count = 0
    for d in order:
        if wanted[d]:
            found[count] = scores[d]
            count += 1
    return found[:count]


@part()
def _curve(
    starts: np.ndarray,
    detections: np.ndarray,
    overlap: np.ndarray,
    label_use: np.ndarray,
    detection_use: np.ndarray,
    label_alpha: np.ndarray,
    detection_alpha: np.ndarray,
    scores: np.ndarray,
    order: np.ndarray,
    excused: np.ndarray,
    limit: float,
    precision: np.ndarray,
    similarity: np.ndarray,
) -> None:
    """Fill one curve. The number of false positives is the number of detections that can be false positives minus the
    number of those that were matched."""
    labels, begins, pairs = _candidates(starts, detections, overlap, label_use, detection_use, limit)
    hits = _hits(labels, begins, pairs, detections, label_use, detection_use, scores, order)
    thresholds = _spaced_thresholds(hits, np.sum(label_use == 0))
    accusable = _in_order(scores, order, (detection_use == 0) & ~excused)
    above = 0  # number of `accusable` scores that reach the threshold
    taken = np.full(scores.shape[0], -1, np.int64)  # the last slot in which each detection was matched
    for slot in range(thresholds.shape[0]):
        threshold = thresholds[slot]
        while above < accusable.shape[0] and accusable[above] >= threshold:
            above += 1
        found, spent, alike = 0, 0, 0.0
        for k in range(labels.shape[0]):
            chosen, best = -1, 0.0
            for c in range(begins[k], begins[k + 1]):
                d = detections[pairs[c]]
                if taken[d] == slot or scores[d] < threshold:
                    continue
                if detection_use[d] == 0:
                    if overlap[pairs[c]] > best:  # best is 0 as long as only an ignored detection is chosen
                        chosen, best = d, overlap[pairs[c]]
                elif chosen < 0:
                    chosen = d
            if chosen < 0:
                continue
            taken[chosen] = slot
            if detection_use[chosen] == 0:
                if not excused[chosen]:
                    spent += 1
                if label_use[labels[k]] == 0:
                    found += 1
                    alike += (1 + np.cos(label_alpha[labels[k]] - detection_alpha[chosen])) / 2
        wrong = above - spent
        if found + wrong > 0:
            precision[slot], similarity[slot] = found / (found + wrong), alike / (found + wrong)
    for slot in range(SLOTS - 2, -1, -1):
        precision[slot] = max(precision[slot], precision[slot + 1])
        similarity[slot] = max(similarity[slot], similarity[slot + 1])


@kernel()
def cpu(
    starts: np.ndarray,
    detections: np.ndarray,
    overlaps: np.ndarray,
    label_use: np.ndarray,
    detection_use: np.ndarray,
    label_alpha: np.ndarray,
    detection_alpha: np.ndarray,
    scores: np.ndarray,
    order: np.ndarray,
    covered: np.ndarray,
    tasks: np.ndarray,
    limits: np.ndarray,
    precision: np.ndarray,
    similarity: np.ndarray,
) -> None:
    """Fill the curves of all tasks.

    Args:
        starts: (G + 1,) int64, the first pair of each label.
        detections: (P,) int64, the detection of each pair.
        overlaps: (K, P) float64, the overlap of each pair by K measures.
        label_use, detection_use: (R, G), (R, D) int8, for R combinations of object class and limits.
        label_alpha, detection_alpha, scores: (G,), (D,), (D,) float64.
        order: (D,) int64, the detections by descending score.
        covered: (K, D) float64, the share of a detection that an unlabelled region (DontCare) covers; if it is above
            the task's limit, the detection is not a false positive.
        tasks: (T, 2) int64, row of `overlaps` and `covered`, row of `label_use` and `detection_use`.
        limits: (T,) float64, a match needs an overlap above this limit.
        precision, similarity: (T, 41) float64, zeros on entry; running maximum from the right.
    """
    for t in range(tasks.shape[0]):
        measure, row = tasks[t]
        _curve(
            starts,
            detections,
            overlaps[measure],
            label_use[row],
            detection_use[row],
            label_alpha,
            detection_alpha,
            scores,
            order,
            covered[measure] > limits[t],
            limits[t],
            precision[t],
            similarity[t],
        )
