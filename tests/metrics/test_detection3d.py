"""Average precision beside a plain loop over detections, and the rules for classes without boxes or detections."""

from __future__ import annotations

import numpy as np
import pytest

from g3d.data.answers import SceneBoxes
from g3d.metrics.detection3d import box_ious, class_figures, detection_table


def boxes(rows: list[tuple[str, float, float]], scored: bool = True) -> SceneBoxes:
    """Unit cubes: class, x of the centre, score."""
    return SceneBoxes(
        np.array([row[0] for row in rows], np.str_),
        np.array([[row[1], 0, 0] for row in rows], float).reshape(-1, 3),
        np.ones((len(rows), 3)),
        scores=np.array([row[2] for row in rows], float) if scored else None,
    )


def truth(*rows: tuple[str, float]) -> SceneBoxes:
    return boxes([(name, x, 0.0) for name, x in rows], scored=False)


def looped(found: dict[str, SceneBoxes], true: dict[str, SceneBoxes], name: str, bound: float) -> tuple[float, float]:
    """Return AP and recall by the published steps, one detection after another."""
    entries = sorted(
        (-float(b.scores[k]), scene, k)  # type: ignore[index]
        for scene, b in found.items()
        for k in range(len(b))
        if b.classes[k] == name
    )
    total = sum(int((b.classes == name).sum()) for b in true.values())
    taken: set[tuple[str, int]] = set()
    points, hits = [(0.0, 0.0)], 0
    for rank, (_, scene, k) in enumerate(entries, 1):
        rows = [j for j in range(len(true[scene])) if true[scene].classes[j] == name]
        iou = [float(box_ious(found[scene][[k]], true[scene][[j]])[0, 0]) for j in rows]
        if iou and max(iou) > bound and (scene, int(np.argmax(iou))) not in taken:
            taken.add((scene, int(np.argmax(iou))))
            hits += 1
        points.append((hits / total, hits / rank))
    area = 0.0
    for k in range(1, len(points)):
        area += (points[k][0] - points[k - 1][0]) * max(precision for _, precision in points[k:])
    return area, points[-1][0]


@pytest.mark.parametrize("seed", range(4))
def test_figures_agree_with_a_loop(seed: int) -> None:
    random = np.random.default_rng(seed)
    found, true = {}, {}
    for scene in ("a", "b", "c"):
        names = random.choice(["bed", "chair"], 12)
        true[scene] = truth(*[(str(n), float(x)) for n, x in zip(names, random.uniform(0, 15, 12), strict=True)])
        spots = random.choice(true[scene].centers[:, 0], 40) + random.normal(0, 0.4, 40)
        scores = random.uniform(size=40)
        rows = zip(random.choice(["bed", "chair"], 40).tolist(), spots.tolist(), scores.tolist(), strict=True)
        found[scene] = boxes(list(rows))
    for name in ("bed", "chair"):
        for figure, bound in zip(class_figures(found, true, name, (0.25, 0.5)), (0.25, 0.5), strict=True):
            assert (figure.ap, figure.recall) == pytest.approx(looped(found, true, name, bound))
            assert 0.05 < figure.ap < 0.95  # type: ignore[operator]


def test_a_detection_of_a_taken_box_is_false_even_where_another_box_would_fit() -> None:
    true = {"a": truth(("bed", 0.0), ("bed", 0.5))}
    found = {"a": boxes([("bed", 0.0, 0.9), ("bed", 0.1, 0.8)])}  # both overlap the first box most
    (figure,) = class_figures(found, true, "bed", (0.25,))
    assert (figure.ap, figure.recall) == (0.5, 0.5)


def test_an_overlap_at_the_bound_does_not_count() -> None:
    true, found = {"a": truth(("bed", 0.0))}, {"a": boxes([("bed", 0.5, 1.0)])}
    iou = float(box_ious(found["a"], true["a"])[0, 0])
    at, below = class_figures(found, true, "bed", (iou, np.nextafter(iou, 0)))
    assert (at.ap, below.ap) == (0.0, 1.0)


def test_classes_without_boxes_are_left_out_and_named() -> None:
    true = {"a": truth(("bed", 0.0), ("lamp", 3.0)), "b": truth()}
    found = {"a": boxes([("bed", 0.0, 1.0), ("sofa", 0.0, 1.0)]), "b": boxes([])}
    table = detection_table(found, true, ("bed", "chair", "sofa"))
    assert table.metrics["mAP25"] == table.metrics["AR50"] == table.score == 100.0
    assert "AP25_sofa" not in table.metrics
    assert "chair, sofa" in table.notes[0]
    assert "lamp" in table.notes[1]
    assert {row.label: row.values for row in table.rows}["sofa"] == (None,) * 4


def test_a_class_without_detections_has_zero() -> None:
    table = detection_table({"a": boxes([])}, {"a": truth(("bed", 0.0))}, ("bed",))
    assert table.metrics == {"mAP25": 0.0, "AR25": 0.0, "mAP50": 0.0, "AR50": 0.0, "AP25_bed": 0.0, "AP50_bed": 0.0}


def test_no_box_at_all_has_no_figures() -> None:
    table = detection_table({"a": boxes([("bed", 0.0, 1.0)])}, {"a": truth()}, ("bed",))
    assert table.metrics == {}
    assert table.score is None


def test_turned_boxes_have_their_rotated_overlap() -> None:
    turned = SceneBoxes(np.array(["bed"]), np.zeros((1, 3)), np.array([[2.0, 1, 1]]), yaws=np.array([np.pi / 2]))
    level = SceneBoxes(np.array(["bed"]), np.zeros((1, 3)), np.array([[1.0, 2, 1]]))
    assert box_ious(turned, level)[0, 0] == pytest.approx(1)


def test_missing_scenes_and_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="no detections of a"):
        detection_table({}, {"a": truth(("bed", 0.0))}, ("bed",))
    with pytest.raises(ValueError, match="no scores"):
        detection_table({"a": truth(("bed", 0.0))}, {"a": truth(("bed", 0.0))}, ("bed",))
