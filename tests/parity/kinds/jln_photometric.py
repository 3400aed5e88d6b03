"""Photometric distortion with scripted random numbers."""

from pathlib import Path

import numpy as np

from g3d.data.images.photometric import distort, distort_float, draw_photometric
from parity.check import Check, compare


class Script:
    """A generator that gives what a script says."""

    def __init__(self, script: dict) -> None:
        self._integers, self._uniform = iter(script["randint"]), iter(script["uniform"])

    def integers(self, count: int) -> int:
        return next(self._integers)

    def uniform(self, low: float, high: float) -> float:
        value = next(self._uniform)
        assert low <= value <= high
        return value

    def spent(self) -> bool:
        return next(self._integers, None) is None and next(self._uniform, None) is None


def run(case: dict, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray | Check]:
    found: dict[str, np.ndarray | Check] = {}
    for i, numbers in enumerate(case["scripts"]):
        script = Script(numbers)
        drawn = draw_photometric(script)
        found[f"script_{i}"] = Check(f"script_{i}", 0.0, "exact", script.spent(), "every scripted number was drawn")
        values = distort_float(arrays["in.image"], drawn)
        expected = arrays[f"out.float_{i}"]
        found[f"float_{i}"] = compare(f"out.float_{i}", values, expected, case["tolerance"]["float"])
        inside = (expected >= 0) & (expected <= 255)  # beyond, the published cast does what its processor does
        for overflow in ("clip", "wrap"):
            name = f"uint8_{i}" + " wrapped" * (overflow == "wrap")
            pixels = distort(arrays["in.image"], drawn, overflow)
            found[name] = compare(f"out.{name}", pixels[inside], arrays[f"out.uint8_{i}"][inside])
    return found
