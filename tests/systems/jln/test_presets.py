"""Presets: where the published training has bugs `jln` is right, `jln-as-published` has all of them, and neither
differs in more."""

from __future__ import annotations

from typing import Any

import pytest
from support.rates import rates

from g3d import config

CORRECTED = {  # setting -> corrected, as published
    "data.region_masks": ("exact", "published"),
    "augment.photometric_overflow": ("clip", "wrap"),
    "augment.flip_words": (True, False),
    "text.dropout": (False, True),
    "loss.depth_map_boxes": ("clamped", "published"),
}
KEPT = {  # what checkpoints or tables need, and what is no bug
    "data.sentences": 1,
    "data.resolution": (1280, 384),
    "model.reference": "learned",
    "model.positions": "queries",
    "model.word_mask": False,
    "loss.pointing": 0,
    "decode.exact_inverse": False,
    "optim.name": "adamw_scaled_decay",
    "optim.weight_decay": 1e-4,
    "train.batch": 10,
}
OF_THE_PRESET = {"name", "description", "extends"}


def settings(name: str) -> dict[str, Any]:
    """The resolved preset, by dotted names."""

    def leaves(section: dict[str, Any], prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in section.items():
            found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        return found

    return leaves(config.load(name).model_dump(), "")


def differing(first: str, second: str) -> dict[str, tuple[Any, Any]]:
    one, two = settings(first), settings(second)
    keys = (one.keys() | two.keys()) - OF_THE_PRESET
    return {key: (one.get(key), two.get(key)) for key in keys if one.get(key) != two.get(key)}


def test_as_published_has_every_bug_back_and_nothing_else() -> None:
    assert differing("jln", "jln-as-published") == CORRECTED


@pytest.mark.parametrize("name", ["jln", "jln-as-published", "mono3dvg-tr"])
def test_what_the_published_weights_and_tables_need_is_kept(name: str) -> None:
    found = settings(name)
    assert {key: found[key] for key in KEPT} == KEPT


def test_mono3dvg_tr_is_one_flag_and_shorter() -> None:
    changed = {
        key: values for key, values in differing("jln", "mono3dvg-tr").items() if not key.startswith("published.")
    }
    assert changed == {"model.joint": (True, False), "train.epochs": (75, 60)}


def test_the_rate_falls_at_epoch_45() -> None:
    found = rates(config.load("jln").optim, 75)[[0, 1, 2, 3, 4, 5, 44, 45, 74]]
    assert found == pytest.approx([1e-5, 1.859e-5, 4.109e-5, 6.891e-5, 9.141e-5, 1e-4, 1e-4, 1e-5, 1e-5], rel=1e-3)
