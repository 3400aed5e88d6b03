"""Read the descriptions of parity cases: seeds, shapes, stored parts, formulas, and names of scenes and files.

A case states what the arrays do not hold in plain text, for example

    logits = numpy RandomState(1081).standard_normal((3,81,24,80)).astype(float32)
    one numpy RandomState(51): standard_normal float32, in order (B,256,8,20) stride 8, (B,256,4,10) stride 16; B=2

Every function raises `DescriptionError` where the text lacks a value, states two values for it, or states something
that is not understood. There are no defaults.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NUMBER = r"([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
"""Pattern of a number, as one group."""


class DescriptionError(ValueError):
    """The description of a case lacks a value, contradicts itself or is not understood."""


def stated(text: object, pattern: str, what: str) -> tuple[str, ...]:
    """Return the groups of `pattern` in a text that states them once, or several times with the same values.

    Raises:
        DescriptionError: `text` is not a text, the pattern does not occur, or its occurrences differ.
    """
    if not isinstance(text, str):
        raise DescriptionError(f"{what}: expected a text, found {text!r}")
    found = {match.groups() for match in re.finditer(pattern, text)}
    if len(found) != 1:
        problem = f"{len(found)} different values" if found else "no value"
        raise DescriptionError(f"{what}: {problem} in {text!r} (pattern {pattern})")
    (values,) = found
    return values


def stated_number(text: object, pattern: str, what: str) -> float:
    """Return the one number that `pattern` with `NUMBER` for `#` finds in a text."""
    return float(stated(text, pattern.replace("#", NUMBER), what)[0])


def agreed(values: Mapping[str, Any], what: str) -> Any:
    """Return the value that all places state; `values` names the places, None marks a place without a statement.

    Raises:
        DescriptionError: no place states the value, or two places contradict each other.
    """
    given = {place: value for place, value in values.items() if value is not None}
    if not given:
        raise DescriptionError(f"{what}: the case does not state it (looked in {', '.join(values)})")
    first = next(iter(given.values()))
    if any(value != first for value in given.values()):
        raise DescriptionError(f"{what}: " + ", ".join(f"{place} states {value}" for place, value in given.items()))
    return first


# --- random inputs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draw:
    """One array of a random stream: its shape, the word before it (its name or "") and the stride after it (or 0)."""

    shape: tuple[int, ...]
    name: str
    stride: int


@dataclass(frozen=True)
class Stream:
    """Standard normal arrays drawn one after another from one seeded generator.

    Attributes:
        generator: "RandomState" (numpy's frozen generator), "default_rng" (numpy's newer one) or "torch".
        seed: seed of the generator.
        dtype: element type; numpy's draws are made in float64 and cast.
        draws: the arrays in the order in which they are drawn.
    """

    generator: str
    seed: int
    dtype: str
    draws: tuple[Draw, ...]

    def arrays(self) -> list[np.ndarray]:
        """Return the drawn arrays, in order."""
        if self.generator == "torch":
            import torch

            source = torch.Generator().manual_seed(self.seed)
            kind = getattr(torch, self.dtype)
            return [torch.randn(draw.shape, generator=source, dtype=kind).numpy() for draw in self.draws]
        random = np.random.RandomState if self.generator == "RandomState" else np.random.default_rng
        stream = random(self.seed)
        return [np.asarray(stream.standard_normal(draw.shape), self.dtype) for draw in self.draws]


_GENERATORS = {
    "RandomState": r"\bRandomState\b|\bnumpy legacy\b|\bnp\.random\.seed\b|\bnumpy\.random\.seed\b",
    "default_rng": r"\bdefault_rng\b",
    "torch": r"\btorch\.randn\b|\bmanual_seed\b|\btorch seed\b",
}
_SEEDS = (
    r"\b(?:RandomState|default_rng|manual_seed|seed)\((\d+)\)|\bseed(?:ed with|\s*[=:])?\s+(\d+)|\bseed\s*=\s*(\d+)"
)
_NORMAL = r"\bstandard[_ ]normal\b|\brandn\b"
_NOT_NORMAL = (
    r"\b(?:uniform|rand|random_sample|randint|integers|choice|permutation|shuffle|exponential|poisson|gamma)\b"
    r"|(?<!standard )\bnormal\b"
)
_CHANGED = (
    r"[-+*/]\s*(?:numpy|np\.|torch|RandomState|standard_normal|randn)|\)\s*[-+*/]\s*\d|\bscaled\b|\bmultiplied\b"
    r"|\btimes\b|\bdivided\b|\bshifted\b|\bclipped\b|\bsoftmax\b|\bsigmoid\b|\bsorted\b|\breversed?\b|\babs\("
    r"|\b(?:second|third|fourth|last|\d+(?:nd|rd|th)) draw\b|\bskip"
)
_GROUP = re.compile(r"(?:\b(?P<name>[A-Za-z_]\w*)\s*)?\((?P<items>[^()]*)\)(?:\s*,?\s*\bstride (?P<stride>\d+))?")
_CALLS = ("standard_normal", "randn", "order", "from")  # words before a shape that do not name an array
_NO_SHAPE = ("RandomState", "default_rng", "manual_seed", "seed", "astype")


def parse_stream(text: object, what: str = "inputs") -> Stream:
    """Return the random arrays that a text describes, in the order of the text.

    The text names the generator with its seed, the standard normal distribution, the element type, and one shape in
    parentheses per array. Letters in shapes are bound in the text (`B=2`).

    Raises:
        DescriptionError: one of these is missing, stated twice with different values, or not understood; the values
            are changed after the draw; or a bound letter contradicts the shapes.
    """
    if not isinstance(text, str):
        raise DescriptionError(f"{what}: expected a text, found {text!r}")

    def one(values: Iterable[Any], thing: str) -> Any:
        found = sorted(set(values))
        if len(found) != 1:
            raise DescriptionError(f"{what}: expected one {thing}, found {found or 'none'} in {text!r}")
        return found[0]

    generator = one((name for name, words in _GENERATORS.items() if re.search(words, text)), "random generator")
    seed = one((int(next(filter(None, groups))) for groups in re.findall(_SEEDS, text)), "seed")
    dtype = one(re.findall(r"\bfloat(?:16|32|64)\b", text), "element type")
    if not re.search(_NORMAL, text) or re.search(_NOT_NORMAL, text):
        raise DescriptionError(f"{what}: expected the standard normal distribution alone in {text!r}")
    changed = re.search(_CHANGED, text)
    if changed:
        raise DescriptionError(f"{what}: values are drawn otherwise or changed ({changed[0]!r}) in {text!r}")
    letters = _bound_letters(text, what)
    draws = tuple(_draws(text, letters, what))
    if not draws:
        raise DescriptionError(f"{what}: no shape in {text!r}")
    if "B" in letters and any(draw.shape[0] != letters["B"] for draw in draws):
        raise DescriptionError(f"{what}: B={letters['B']} contradicts the shapes in {text!r}")
    return Stream(generator, seed, dtype, draws)


def _bound_letters(text: str, what: str) -> dict[str, int]:
    letters: dict[str, int] = {}
    for letter, value in re.findall(r"\b([A-Z]\d?)\s*=\s*(\d+)\b", text):
        if letters.setdefault(letter, int(value)) != int(value):
            raise DescriptionError(f"{what}: {letter} is {letters[letter]} and {value} in {text!r}")
    return letters


def _draws(text: str, letters: Mapping[str, int], what: str) -> Iterable[Draw]:
    for group in _GROUP.finditer(text):
        name, items = group["name"] or "", [item.strip() for item in group["items"].split(",")]
        if name in _NO_SHAPE:
            continue
        trailing = len(items) > 1 and items[-1] == ""  # (5,)
        items = items[:-1] if trailing else items
        sizes = [re.fullmatch(r"\d+|[A-Z]\d?", item) is not None for item in items]
        if not any(re.match(r"\d|[A-Z]\d?(?![A-Za-z])", item) for item in items):
            continue  # a remark
        if not all(sizes):
            raise DescriptionError(f"{what}: ({group['items']}) is not understood as a shape in {text!r}")
        if len(items) == 1 and not trailing and name not in ("standard_normal", "randn"):
            raise DescriptionError(f"{what}: {group[0]!r} is neither a shape nor a known call in {text!r}")
        unbound = [item for item in items if not item.isdigit() and item not in letters]
        if unbound:
            raise DescriptionError(f"{what}: no value for {', '.join(unbound)} in {text!r}")
        shape = tuple(int(item) if item.isdigit() else letters[item] for item in items)
        yield Draw(shape, "" if name in _CALLS else name, int(group["stride"] or 0))


def check_values(found: np.ndarray, quoted: np.ndarray, what: str) -> None:
    """Raise unless generated values equal those that the case quotes.

    Raises:
        DescriptionError: the shapes or values differ.
    """
    if found.shape != quoted.shape or not np.array_equal(found, quoted):
        raise DescriptionError(
            f"{what}: the generated values {found.ravel()[:4]} {found.shape} are not those that the case quotes, "
            f"{quoted.ravel()[:4]} {quoted.shape}"
        )


# --- stored parts of arrays -----------------------------------------------------------------------------------------

Index = tuple[slice | int, ...]


def meaning_of(case: Mapping[str, Any], name: str) -> str:
    """Return what the case states about an array, "" if nothing."""
    entry = case.get("arrays", {}).get(name, {})
    return entry if isinstance(entry, str) else str(entry.get("meaning", ""))


def stored_part(
    case: Mapping[str, Any],
    name: str,
    full: Sequence[int],
    stored: Sequence[int],
    otherwise: Sequence[int] | None = None,
) -> Index:
    """Return the index of the part of an array that a case stores.

    Args:
        case: JSON of the case.
        name: name of the stored array.
        full: shape of the whole array.
        stored: shape of the stored array.
        otherwise: step of each axis for a case that states none, where the shapes allow several.

    Returns:
        One entry per axis, from a description such as "[:, ::4, ::3, ::5]" ("same subsampling" refers to another
        array); without a description, the only steps that lead from one shape to the other.

    Raises:
        DescriptionError: the description contradicts the shapes, or nothing decides the steps.
    """
    index = _stated_part(case, name)
    if index is None:
        index = _steps_between(full, stored, otherwise, name)
    index = (*index, *(slice(None),) * (len(full) - len(index)))
    if len(index) > len(full):
        raise DescriptionError(f"{name}: the description {meaning_of(case, name)!r} has more axes than {tuple(full)}")
    sizes = tuple(len(range(*i.indices(n))) for i, n in zip(index, full, strict=True) if isinstance(i, slice))
    if sizes != tuple(stored):
        raise DescriptionError(
            f"{name}: the part {meaning_of(case, name)!r} of {tuple(full)} has shape {sizes}, not {tuple(stored)}"
        )
    return index


def _stated_part(case: Mapping[str, Any], name: str) -> Index | None:
    text = meaning_of(case, name)
    part = r"\[\s*((?:::\d+|:|\d+)(?:\s*,\s*(?:::\d+|:|\d+))*)\s*\]"
    found = {groups.replace(" ", "") for groups in re.findall(part, text) if ":" in groups}
    if len(found) > 1:
        raise DescriptionError(f"{name}: several stored parts in {text!r}")
    if found:
        items = next(iter(found)).split(",")
        return tuple(int(i) if i.isdigit() else slice(None, None, int(i[2:]) if i[2:] else None) for i in items)
    same = re.search(r"\bsame subsampling(?: as (\w+))?", text)
    if not same:
        return None
    names = list(case["arrays"])
    others = [n for n in names if n.split(".", 1)[-1] == same[1]] if same[1] else names[: names.index(name)][-1:]
    if len(others) != 1:
        raise DescriptionError(f"{name}: {text!r} refers to {len(others)} arrays")
    return _stated_part(case, others[0])


def _steps_between(full: Sequence[int], stored: Sequence[int], otherwise: Sequence[int] | None, name: str) -> Index:
    if len(full) != len(stored):
        raise DescriptionError(f"{name}: nothing states which part of {tuple(full)} the case stores as {tuple(stored)}")
    steps = []
    for axis, (size, kept) in enumerate(zip(full, stored, strict=True)):
        possible = [step for step in range(1, size + 1) if math.ceil(size / step) == kept]
        if len(possible) > 1 and size > 1 and otherwise is not None:
            possible = [step for step in possible if step == otherwise[axis]]
        if len(possible) != 1:
            raise DescriptionError(f"{name}: no single step leads from {size} to {kept} entries on axis {axis}")
        steps.append(slice(None, None, possible[0]))
    return tuple(steps)


# --- formulas -------------------------------------------------------------------------------------------------------

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "exp": np.exp,
    "float32": lambda value: np.asarray(value, np.float32),
    "float64": lambda value: np.asarray(value, np.float64),
}


def formula_in(text: object, what: str) -> str:
    """Return the formula `float32(...)` of a text, parentheses balanced."""
    if not isinstance(text, str) or text.count("float32(") != 1:
        raise DescriptionError(f"{what}: expected one formula float32(...), found {text!r}")
    start = text.index("float32(")
    depth = 0
    for end in range(start, len(text)):
        depth += (text[end] == "(") - (text[end] == ")")
        if depth == 0 and text[end] == ")":
            return text[start : end + 1]
    raise DescriptionError(f"{what}: the parentheses of the formula do not close in {text!r}")


def evaluate_formula(formula: str, **values: Any) -> np.ndarray:
    """Evaluate a formula of numbers, the names in `values`, + - * / // % and sin, cos, exp, float32, float64.

    Raises:
        DescriptionError: the formula contains anything else.
    """

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return node.value
        if isinstance(node, ast.Name) and node.id in values:
            return values[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
            function = _FUNCTIONS.get(ast.unparse(node.func))
            if function is not None:
                return function(value(node.args[0]))
        raise DescriptionError(f"formula {formula!r}: {ast.unparse(node)!r} is not understood")

    try:
        tree = ast.parse(formula, mode="eval")
    except SyntaxError as error:
        raise DescriptionError(f"formula {formula!r}: {error.msg}") from error
    return np.asarray(value(tree.body))


# --- names ----------------------------------------------------------------------------------------------------------


def named_data(case: Mapping[str, Any], otherwise: str) -> str:
    """Return the name of the small data set (`mini_*`) that the case's texts mention, `otherwise` if they mention none.

    Raises:
        DescriptionError: the texts mention several.
    """
    names = sorted(set(re.findall(r"\bmini_\w+", json.dumps(dict(case)))))
    if len(names) > 1:
        raise DescriptionError(f"the case names several data sets: {', '.join(names)}")
    return names[0] if names else otherwise
