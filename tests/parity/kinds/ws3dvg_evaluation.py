"""Accuracy and top-k accuracy of stored IoUs, by unique and multiple, and by class "others"."""

from pathlib import Path

import numpy as np

from g3d.metrics.scene_grounding import accuracies


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    multiple, others = (arrays[f"in.{name}"].astype(bool) for name in ("multiple", "others"))
    shares, counts = accuracies(
        (arrays["in.ious"], arrays["in.topk_ious"]),
        {"unique": ~multiple, "multiple": multiple},
        {"not in others": ~others, "in others": others},
    )
    return {"table": np.where(counts[..., None] == 0, 0, shares), "count": counts}
