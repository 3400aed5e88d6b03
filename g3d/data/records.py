"""Field-by-field checks of JSON lines records; errors name the line, the field, the found and the expected value."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from g3d.errors import InputError, did_you_mean

_LARGEST = 2**31 - 1
"""Bound of whole numbers: counts, ids and sizes are far below it, and arrays of int64 can hold it."""


class Record:
    """A JSON object whose fields are read and checked.

    Args:
        values: the object, as `json` returns it.
        where: file and line, for messages.
        prefix: path of the object inside its line, with a final dot: "answers[0].".
    """

    def __init__(self, values: Any, where: str, prefix: str = "") -> None:
        self.where, self.prefix = where, prefix
        if not isinstance(values, dict):
            self.fail(prefix.removesuffix(".") or "record", values, "a JSON object", whole=True)
        self.values: Mapping[str, Any] = values

    def fail(self, field: str, found: Any, expected: str, whole: bool = False) -> NoReturn:
        """Raise the InputError of a field; with `whole`, `field` is used without the prefix."""
        text = json.dumps(found, ensure_ascii=False)
        text = text if len(text) <= 60 else text[:57] + "..."
        raise InputError(f"{self.where}: {'' if whole else self.prefix}{field}: found {text}, expected {expected}")

    def only(self, known: Sequence[str], required: Sequence[str]) -> None:
        """Check that all required fields are present and that all fields are known.

        Raises:
            InputError: a field is missing or unknown.
        """
        for name in required:
            if name not in self.values:
                found = ", ".join(self.values) or "nothing"
                raise InputError(f"{self.where}: {self.prefix}{name} is missing (found: {found})")
        for name in self.values:
            if name not in known:
                near = did_you_mean(name, known)
                raise InputError(f"{self.where}: {self.prefix}{name} is not a known field{near}")

    def inner(self, field: str) -> Record:
        """Return the JSON object in a field."""
        return Record(self.values[field], self.where, f"{self.prefix}{field}.")

    def rows(self, field: str) -> list[Record]:
        """Return the JSON objects of the list in a field."""
        found = self.values[field]
        if not isinstance(found, list):
            self.fail(field, found, "a list")
        return [Record(row, self.where, f"{self.prefix}{field}[{k}].") for k, row in enumerate(found)]

    def name(self, field: str, expected: str) -> str:
        """Return the text in a field, which must not be empty."""
        value = self.values[field]
        if not isinstance(value, str) or not value:
            self.fail(field, value, expected)
        return str(value)

    def text(self, field: str) -> str | None:
        """Return the text in a field, None where the field is null or absent."""
        value = self.values.get(field)
        if value is not None and not isinstance(value, str):
            self.fail(field, value, "a string or null")
        return value

    def one_of(self, field: str, known: Sequence[str]) -> str:
        """Return the word in a field, which must be one of the known words."""
        value = self.values.get(field)
        if value not in known:
            self.fail(field, value, " or ".join(known))
        return str(value)

    def count(self, field: str) -> int:
        """Return the whole number of 0 or more in a field."""
        value = self.values[field]
        if type(value) is not int or not 0 <= value <= _LARGEST:
            self.fail(field, value, "a whole number of 0 or more")
        return int(value)

    def integer(self, field: str, default: int) -> int:
        """Return the integer in a field, or the default where the field is absent."""
        value = self.values.get(field, default)
        if type(value) is not int or not -_LARGEST <= value <= _LARGEST:
            self.fail(field, value, "an integer")
        return int(value)

    def number(self, field: str, default: float | None = None) -> float:
        """Return the finite number in a field, or the default where the field is absent and a default is given."""
        return self._finite([self.values.get(field, default)], 1, field)[0]

    def numbers(self, field: str, count: int) -> list[float]:
        """Return the list of `count` finite numbers in a field."""
        return self._finite(self.values[field], count, field)

    def matrix(self, field: str, rows: int, columns: int) -> np.ndarray | None:
        """Return the matrix (rows, columns) float64 in a field, None where the field is null or absent."""
        value = self.values.get(field)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != rows:
            self.fail(field, value, f"{rows} rows of {columns} numbers, or null")
        return np.array([self._finite(row, columns, f"{field}[{k}]") for k, row in enumerate(value)])

    def size(self, field: str) -> tuple[int, int] | None:
        """Return the (width, height) in pixels in a field, None where the field is null or absent."""
        value = self.values.get(field)
        if value is None:
            return None
        if (
            not isinstance(value, list)
            or len(value) != 2
            or any(type(v) is not int or not 0 < v <= _LARGEST for v in value)
        ):
            self.fail(field, value, "[width, height] in pixels, or null")
        return value[0], value[1]

    def _finite(self, value: Any, count: int, field: str) -> list[float]:
        expected = "a finite number" if count == 1 else f"{count} finite numbers"
        if not isinstance(value, list) or len(value) != count:
            self.fail(field, value, expected)
        if not all(type(v) in (int, float) and abs(v) < math.inf for v in value):
            self.fail(field, value[0] if count == 1 else value, expected)
        try:
            return [float(v) for v in value]
        except OverflowError:  # an integer of more than 308 digits
            self.fail(field, value, expected)


def floats(values: Any) -> list:
    """Return an array as nested lists of numbers that read back to the same bits."""
    found: list = np.asarray(values, np.float64).tolist()
    return found
