"""Filters, splits and groups of made-up Nr3D and Sr3D tables, and accuracies over given candidates."""

import tempfile
from pathlib import Path

import numpy as np

from g3d.data.referit3d.filters import REFERIT3D, SentenceFilters, apply_filters
from g3d.data.referit3d.raw import read_referit3d_csv
from g3d.data.referit3d.splits import HARD_FROM
from g3d.data.scanrefer.records import SceneSentence
from g3d.data.scanrefer.sentences import view_dependent
from g3d.metrics.scene_grounding import candidate_accuracies, chosen_candidates
from parity.describe import DescriptionError, stated_number
from parity.kinds.ws3dvg_dataset_item import text_of

CONTEXT = SentenceFilters(clothes=True)
"""The filters of the first published step, bad contexts and clothes."""


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    settings = case["settings"]
    if not settings["mentions_target_class_only"]:
        raise DescriptionError("settings.mentions_target_class_only: False, expected True")
    both = REFERIT3D.model_copy(update={"most_words": settings["max_seq_len"], "unique_in_test": False})
    nr3d, sr3d = (sentences(arrays[f"in.{kind}_csv"], kind) for kind in ("nr3d", "sr3d"))
    bad, bad_sr3d = (frozenset(text_of(arrays[f"in.bad_{kind}"])) for kind in ("nr3d", "sr3d"))
    train = set(text_of(arrays["in.train_scenes"]))
    rows = np.array(apply_filters(nr3d, both, False, bad).kept)
    is_train = np.array([nr3d[row].scene in train for row in rows])
    tested = [int(row) for row in rows[~is_train]]
    in_test = apply_filters([nr3d[row] for row in tested], SentenceFilters(unique_in_test=True), True, bad)
    test_rows = np.array([tested[k] for k in in_test.kept])
    more = np.array(apply_filters(sr3d, CONTEXT, False, bad | bad_sr3d).kept)
    augmentation = np.array([row for row in more if sr3d[row].scene in train])
    hardness = np.array([s.same_class for s in nr3d])
    view = np.array([view_dependent(s.words) for s in nr3d])
    found = {
        "nr3d_context_rows": np.array(apply_filters(nr3d, CONTEXT, False, bad).kept),
        "sr3d_context_rows": more,
        "rows": rows,
        "is_train": is_train,
        "rows_any_mention": np.array(apply_filters(nr3d, both.model_copy(update={"mentions": False}), False, bad).kept),
        "rows_augmented": np.concatenate(
            [np.column_stack([np.full(len(r), k), r]) for k, r in enumerate((rows, augmentation))]
        ),
        "train_rows": rows[is_train],
        "test_rows": test_rows,
        "n_objects": hardness,
        "view_dependent": view,
    }
    if len(test_rows) != len(arrays["in.target_pos"]):
        raise DescriptionError(
            f"in.target_pos: {len(arrays['in.target_pos'])} rows, {len(test_rows)} are in the test set"
        )
    most = stated_number(settings["easy"], r"^n_objects <= #$", "settings.easy")
    if most != HARD_FROM - 1:
        raise DescriptionError(f"settings.easy: {most}, expected {HARD_FROM - 1}")
    return found | accuracy(arrays, hardness[test_rows] >= HARD_FROM, view[test_rows])


def sentences(table: np.ndarray, kind: str) -> list[SceneSentence]:
    """Return all sentences of a table; Nr3D rows keep their order."""
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / f"{kind}.csv"
        file.write_bytes(table.tobytes())
        read = read_referit3d_csv(file, kind)
    if read.broken:
        raise DescriptionError(f"in.{kind}_csv: {read.broken[0][1]}")
    return list(read.sentences)


def accuracy(arrays: dict[str, np.ndarray], hard: np.ndarray, view: np.ndarray) -> dict[str, np.ndarray]:
    """Return the hits of each run among all candidates and among those of the class, and the accuracies."""
    logits, target = arrays["in.logits"], arrays["in.target_pos"]
    real = np.arange(logits.shape[2]) < arrays["in.context_size"][:, None]
    right, of_class = (
        np.stack([chosen_candidates(run, allowed) == target for run in logits])
        for allowed in (real, arrays["in.class_mask"].astype(bool))
    )
    figures = np.stack([candidate_accuracies(r, c, hard, view) for r, c in zip(right, of_class, strict=True)])
    return {
        "correct": right,
        "correct_among_class": of_class,
        "accuracy": figures,
        "mean_std": np.stack([figures.mean(0), figures.std(0, ddof=1)], 1),
    }
