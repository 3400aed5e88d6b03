"""Comparison of arrays within the tolerance that a parity case states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.describe import DescriptionError, stated_number


@dataclass(frozen=True)
class Check:
    """One line of the report: the largest absolute error, the tolerance in words, whether it is met, and what a reader
    must know."""

    name: str
    error: float
    tolerance: str
    passed: bool
    note: str = ""

    def __str__(self) -> str:
        note = f"  ({self.note})" if self.note else ""
        return (
            f"{'PASS' if self.passed else 'FAIL'}  {self.name:<44} largest error {self.error:<10.3g} "
            f"tolerance {self.tolerance}{note}"
        )


def tolerance_of(stated: Any, name: str) -> tuple[float, float]:
    """Return the absolute and relative tolerance that a case states for the array `name`; nothing stated means exact.

    A key with the array's name goes before a key for a group of arrays (loss_rel, grad_norm_rel, after_abs, AP_abs,
    curve_abs, image_u8), and this before the general abs and rel (or atol and rtol).

    Raises:
        DescriptionError: the text that states the tolerance is not understood.
    """
    name = name.removeprefix("out.")
    if not isinstance(stated, dict):
        return _understood(stated, "tolerance")
    for key, entry in stated.items():
        if name in [part.strip().removeprefix("out.") for part in key.split(",")] and key not in _GENERAL:
            return _understood(entry, f"tolerance.{key}")
    groups = {
        "loss_rel": name.startswith("loss"),
        "grad_norm_rel": name.startswith("grad_norm"),
        "after_abs": name.startswith("after"),
        "curve_abs": name.endswith("curve"),
        "AP_abs": name.endswith(("R40", "R11")),
    }
    for key, applies in groups.items():
        if applies and key in stated:
            return (float(stated[key]), 0.0) if key.endswith("_abs") else (0.0, float(stated[key]))
    if "image_u8" in stated and name.startswith("image_u8"):
        return stated_number(stated["image_u8"], r"\bat most # levels? apart\b", "tolerance.image_u8"), 0.0
    return _pair(stated)


_GENERAL = ("abs", "atol", "rel", "rtol", "note", "exact")


def _understood(stated: Any, where: str) -> tuple[float, float]:
    """Return the absolute and relative tolerance of a number, a dictionary with abs and rel, a text, or nothing."""
    if stated is None:
        return 0.0, 0.0
    if isinstance(stated, dict):
        return _pair(stated)
    if isinstance(stated, int | float) and not isinstance(stated, bool):
        return float(stated), 0.0
    if isinstance(stated, str) and re.match(r"(?:bit )?(?:exact|equal)\b", stated):
        return 0.0, 0.0
    given = {word: re.search(rf"\b{word}\b", str(stated)) for word in ("atol", "rtol")}
    if not any(given.values()):
        raise DescriptionError(f"{where}: {stated!r} is not understood as a tolerance")
    values = [stated_number(stated, rf"\b{word} #", where) if found else 0.0 for word, found in given.items()]
    return values[0], values[1]


def _pair(stated: dict[str, Any]) -> tuple[float, float]:
    """Return the absolute (abs or atol) and relative (rel or rtol) tolerance of a dictionary, 0 where it has none."""
    values = [
        next((float(stated[key]) for key in keys if key in stated), 0.0) for keys in (_GENERAL[:2], _GENERAL[2:4])
    ]
    return values[0], values[1]


def compare(
    name: str, found: np.ndarray, expected: np.ndarray, absolute: float = 0.0, relative: float = 0.0, note: str = ""
) -> Check:
    """|found - expected| <= absolute + relative |expected| everywhere, NaN exactly where NaN is expected, equal
    shapes."""
    words = " + ".join([f"{absolute:g}"] * (absolute > 0) + [f"{relative:g} relative"] * (relative > 0)) or "exact"
    if found.shape != expected.shape:
        return Check(name, float("nan"), words, False, f"shape {found.shape}, expected {expected.shape}")
    if found.size == 0:
        return Check(name, 0.0, words, True, note or "empty")
    if found.dtype.kind in "US" or expected.dtype.kind in "US":
        return Check(name, float(np.sum(found != expected)), words, bool((found == expected).all()), note)
    a, b = found.astype(np.float64), expected.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(divide="ignore", invalid="ignore"):  # equal infinities
        error = np.where(same, 0.0, np.abs(a - b))
        within = same | (error <= absolute + relative * np.abs(b))
        used = np.where(same, 0.0, error / (absolute + relative * np.abs(b)))
    note = note or f"{used.max():.0%} of what is allowed" * bool(absolute + relative)
    return Check(name, float(error.max()), words, bool(within.all()), note)
