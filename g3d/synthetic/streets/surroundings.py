"""Random unlabelled surroundings of a street: ground, markings, kerbs, buildings, trees, poles, the far background."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np

from g3d.kernels.shade import ASPHALT, FACADE, GRASS, LEAVES, MARKING, PAVING, PLAIN
from g3d.synthetic.streets.meshes import Builder, Colour, Mesh, Model
from g3d.synthetic.streets.street import Path, Street

REACH = 130.0  # largest s at which the street is built, metres
_BEHIND = -8.0  # smallest s, behind the camera, so that the lower corners of the image are covered, metres
_WALLS: tuple[Colour, ...] = (
    (0.86, 0.82, 0.72), (0.78, 0.70, 0.58), (0.82, 0.80, 0.78), (0.66, 0.47, 0.38), (0.90, 0.88, 0.84),
    (0.72, 0.66, 0.50), (0.60, 0.62, 0.64), (0.84, 0.74, 0.62), (0.70, 0.55, 0.46),
)  # fmt: skip
_ROOFS: tuple[Colour, ...] = ((0.46, 0.22, 0.16), (0.36, 0.19, 0.15), (0.28, 0.27, 0.27), (0.42, 0.30, 0.22))
_GREENS: tuple[Colour, ...] = ((0.24, 0.33, 0.16), (0.30, 0.38, 0.19), (0.20, 0.28, 0.15), (0.37, 0.40, 0.20))
_SIGNS: tuple[Colour, ...] = ((0.75, 0.08, 0.08), (0.10, 0.25, 0.62), (0.92, 0.90, 0.86), (0.90, 0.72, 0.10))
_PAINT: Colour = (0.88, 0.88, 0.85)


def quads(corners: np.ndarray, colours: np.ndarray | Colour, material: int = PLAIN) -> Mesh:
    """Return the mesh of quadrilaterals (Q, 4, 3), camera frame, with one colour each or one for all."""
    triangles = corners[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 3)
    each = np.empty((len(corners), 2, 3), np.float32)
    each[:] = np.asarray(colours)[..., None, :]
    return Mesh(triangles, each.reshape(-1, 3), np.full(len(triangles), material, np.uint8))


def strip(
    path: Path,
    s: tuple[float, float],
    t: tuple[float, float],
    y: float | tuple[float, float],
    colour: Colour,
    material: int,
    step: float = 4.0,
) -> Mesh:
    """Return a strip along the path from s[0] to s[1] between t[0] and t[1], at y (metres down), or between two values
    of y."""
    count = 1 if abs(path.curvature) < 1e-9 else max(1, math.ceil((s[1] - s[0]) / step))
    stations = np.linspace(s[0], s[1], count + 1)
    return ribbons(path, np.stack([stations[:-1], stations[1:]], 1), t, y, colour, material)


def ribbons(
    path: Path, s: np.ndarray, t: tuple[float, float], y: float | tuple[float, float], colour: Colour, material: int
) -> Mesh:
    """Return straight strips as in `strip`, one for each row (start, stop) of s, (K, 2)."""
    low, high = (y, y) if isinstance(y, (int, float)) else y
    corners = np.empty((len(s), 4, 3))
    corners[:, 0:2, [0, 2]], corners[:, 0:2, 1] = path.at(s, t[0]), low
    corners[:, 2:4, [0, 2]], corners[:, 2:4, 1] = path.at(s[:, ::-1], t[1]), high
    return quads(corners, colour, material)


def ground(rng: np.random.Generator, street: Street) -> list[Mesh]:
    """Return the flat parts and the kerbs, which receive shadows and cast none."""
    y, path, span = street.ground, street.path, (_BEHIND, REACH)
    left, right = street.edges
    tint = rng.uniform(0.85, 1.12)
    asphalt = _tinted((0.40, 0.40, 0.41), tint)
    green = _tinted(_GREENS[int(rng.integers(2))], 1.25)
    far = np.array([[-200, y + 0.04, -5], [200, y + 0.04, -5], [200, y + 0.04, 300], [-200, y + 0.04, 300]], float)
    paved = street.kind in ("avenue", "one-way") and rng.random() < 0.6
    parts = [
        quads(far[None], (0.50, 0.49, 0.46) if paved else green, PAVING if paved else GRASS),
        strip(path, span, (left, right), y, asphalt, ASPHALT),
    ]
    parts += [
        strip(path, span, (p.centre - p.width / 2, p.centre + p.width / 2), y - 0.003, _tinted(asphalt, 0.93), ASPHALT)
        for p in street.parking
    ]
    for outward, edge, width in ((-1, left, street.pavements[0]), (1, right, street.pavements[1])):
        for start, stop in _outside_crossing(street):
            if width > 0:
                paving = _tinted((0.56, 0.55, 0.53), rng.uniform(0.9, 1.1))
                parts.append(
                    strip(
                        path, (start, stop), (edge, edge + outward * 0.15), y - street.kerb, (0.66, 0.66, 0.64), PLAIN
                    )
                )
                parts.append(
                    strip(
                        path,
                        (start, stop),
                        (edge + outward * 0.15, edge + outward * width),
                        y - street.kerb,
                        paving,
                        PAVING,
                    )
                )
                parts.append(strip(path, (start, stop), (edge, edge), (y, y - street.kerb), (0.58, 0.58, 0.57), PLAIN))
                inner = edge + outward * width
                parts.append(
                    strip(path, (start, stop), (inner, inner), (y + 0.04, y - street.kerb), (0.5, 0.5, 0.5), PLAIN)
                )
    if street.crossing is not None:
        half = street.crossing_width / 2
        parts.append(strip(path.crossing(street.crossing), (-90, 90), (-half, half), y - 0.002, asphalt, ASPHALT))
    parts += _markings(rng, street)
    for _ in range(int(rng.integers(4))):  # repaired asphalt
        s, t = rng.uniform(4, 40), rng.uniform(left, right - 1)
        parts.append(
            strip(
                path,
                (s, s + rng.uniform(1, 6)),
                (t, min(right, t + rng.uniform(0.6, 1.6))),
                y - 0.004,
                _tinted(asphalt, rng.uniform(0.75, 0.9)),
                ASPHALT,
            )
        )
    return parts


def _markings(rng: np.random.Generator, street: Street) -> Iterator[Mesh]:
    """Yield lane lines, edge lines, and stop line or zebra crossing."""
    y, path, width = street.ground - 0.006, street.path, street.lane_width
    forward, oncoming = sum(lane.forward for lane in street.lanes), sum(not lane.forward for lane in street.lanes)
    lines = [(k * width, True) for k in range(1, forward)] + [(-k * width, True) for k in range(1, oncoming)]
    if oncoming and (street.kind != "residential" or rng.random() < 0.45):
        lines += [(-0.12, False), (0.12, False)] if street.kind == "avenue" else [(0.0, bool(rng.random() < 0.7))]
    if street.kind in ("rural", "avenue"):
        lines += [(forward * width - 0.1, False), (-oncoming * width + 0.1, False)]
    offset = rng.uniform(0, 9)
    for t, dashed in lines:
        for start, stop in _outside_crossing(street, margin=4.5):
            if dashed:
                starts = np.arange(start + offset, stop, 9.0)
                yield ribbons(
                    path,
                    np.stack([starts, np.minimum(stop, starts + 3.5)], 1),
                    (t - 0.07, t + 0.07),
                    y,
                    _PAINT,
                    MARKING,
                )
            else:
                yield strip(path, (start, stop), (t - 0.07, t + 0.07), y, _PAINT, MARKING)
    if street.crossing is not None:
        stop_line = street.crossing - street.crossing_width / 2 - 0.8
        if street.zebra:
            for t in np.arange(street.edges[0] + 0.4, street.edges[1] - 0.6, 1.0):
                yield strip(path, (stop_line - 3.0, stop_line), (t, t + 0.5), y, _PAINT, MARKING)
        else:
            yield strip(path, (stop_line - 0.4, stop_line), (0.1, forward * width), y, _PAINT, MARKING)


def fixtures(rng: np.random.Generator, street: Street, keep_clear: np.ndarray) -> list[Mesh]:
    """Return the upright objects, which cast shadows.

    Args:
        rng: random generator.
        street: the plan of the street.
        keep_clear: (N, 3) x, z and radius of circles that trees, bushes and poles must not touch, metres.
    """
    parts: list[Mesh] = []
    for side in (0, 1):
        parts += _buildings(rng, street, side)
        parts += _greenery(rng, street, side, keep_clear)
        parts += _poles(rng, street, side, keep_clear)
    return parts


def background(rng: np.random.Generator, street: Street) -> Mesh:
    """Return an irregular line of distant trees and hills along the horizon."""
    angles = np.linspace(-1.0, 1.0, 260)
    swell, clumps = rng.uniform(2, 5), rng.uniform(20, 40)
    heights = (
        4
        + 4 * np.sin(angles * swell + rng.uniform(0, 6)) ** 2
        + 1.5 * np.sin(angles * clumps) ** 2
        + rng.uniform(0, 1.6, len(angles))
    )
    x, z = 150 * np.sin(angles), 150 * np.cos(angles)
    foot = np.stack([x, np.full_like(x, street.ground), z], -1)
    top = foot - np.stack([0 * x, heights, 0 * x], -1)
    colours = np.array(_GREENS[0]) * rng.uniform(0.9, 1.1, (len(angles) - 1, 1))
    return quads(np.stack([foot[:-1], foot[1:], top[1:], top[:-1]], 1), colours, LEAVES)


def _buildings(rng: np.random.Generator, street: Street, side: int) -> Iterator[Mesh]:
    outward = 2 * side - 1
    front = street.edges[side] + outward * (street.pavements[side] + street.setbacks[side])
    tall, rural = street.kind in ("avenue", "one-way"), street.kind == "rural"
    s = rng.uniform(-6, 4) + (25 if rural else 0)
    while s < 95:
        width = rng.uniform(9, 17)
        if street.clear_of_crossing(s + width / 2, width / 2 + 2.5) and rng.random() < (0.35 if rural else 0.92):
            storeys = int(rng.integers(3, 6)) if tall and rng.random() < 0.75 else int(rng.integers(1, 4))
            yield from _building(
                rng, street, s + width / 2, front + outward * rng.uniform(0, 1.5), width, storeys, outward
            )
        s += width + (0.0 if tall and rng.random() < 0.7 else rng.uniform(1.5, 9))


def _building(
    rng: np.random.Generator, street: Street, s: float, front: float, width: float, storeys: int, outward: int
) -> Iterator[Mesh]:
    """Yield the parts of one house: walls, windows, door, and a gabled or a flat roof."""
    angle, ground_y = float(street.path.direction(s)), street.ground - street.kerb
    x, z = street.path.at(s, front)
    along, out = np.array([np.sin(angle), 0, np.cos(angle)]), outward * np.array([np.cos(angle), 0, -np.sin(angle)])
    origin, up = np.array([x, ground_y + 0.15, z]), np.array([0, -1.0, 0])

    def points(local: np.ndarray) -> np.ndarray:  # (..., 3) along, up, out -> camera frame
        return origin + local[..., :1] * along + local[..., 1:2] * up + local[..., 2:] * out

    floor, depth, half = rng.uniform(2.7, 3.3), rng.uniform(7, 11), width / 2
    eaves = storeys * floor + 0.5
    wall = np.array(_WALLS[int(rng.integers(len(_WALLS)))]) * rng.uniform(0.9, 1.08)
    corners = [(-half, 0), (half, 0), (half, depth), (-half, depth)]
    walls = np.array(
        [
            [(a[0], 0, a[1]), (b[0], 0, b[1]), (b[0], eaves, b[1]), (a[0], eaves, a[1])]
            for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
        ]
    )
    yield quads(points(walls), wall, FACADE)
    roof = np.array(_ROOFS[int(rng.integers(len(_ROOFS)))]) * rng.uniform(0.9, 1.15)
    if storeys <= 3 and rng.random() < 0.8:
        ridge, over = eaves + depth * rng.uniform(0.3, 0.5), 0.4
        middle, end = depth / 2, half + 0.4
        slopes = [
            [(-end, eaves - 0.2, edge), (end, eaves - 0.2, edge), (end, ridge, middle), (-end, ridge, middle)]
            for edge in (-over, depth + over)
        ]
        yield quads(points(np.array(slopes)), roof, FACADE)
        gables = [[(a, eaves, 0), (a, ridge, middle), (a, eaves, depth), (a, eaves, depth)] for a in (-half, half)]
        yield quads(points(np.array(gables)), wall, FACADE)
    else:
        yield quads(
            points(
                np.array(
                    [
                        [
                            (-half, eaves, -0.15),
                            (half, eaves, -0.15),
                            (half, eaves - 0.4, -0.15),
                            (-half, eaves - 0.4, -0.15),
                        ]
                    ]
                )
            ),
            roof,
        )
        yield quads(
            points(
                np.array([[(-half, eaves, -0.15), (half, eaves, -0.15), (half, eaves, depth), (-half, eaves, depth)]])
            ),
            roof,
        )
    yield from _windows(rng, points, half, depth, storeys, floor)


def _windows(rng: np.random.Generator, points, half: float, depth: float, storeys: int, floor: float) -> Iterator[Mesh]:  # type: ignore[no-untyped-def]
    """Yield frames and panes on the two walls that the camera can see, and a door."""
    pitch, wide, high = rng.uniform(2.2, 3.2), rng.uniform(0.9, 1.4), rng.uniform(1.2, 1.6)
    frame = (0.92, 0.92, 0.90) if rng.random() < 0.7 else (0.35, 0.28, 0.22)
    columns = max(1, int((2 * half - 1.0) / pitch))
    a = (np.arange(columns) - (columns - 1) / 2) * pitch
    gable = (np.arange(2) + 0.5) / 2 * depth
    u = np.array([0, 1, 1, 0]) - 0.5
    v = np.array([0, 0, 1, 1])
    for grow, proud, colour in ((0.12, 0.03, frame), (0.0, 0.05, (0.20, 0.24, 0.29))):
        levels = 1.0 + np.arange(storeys)[:, None, None] * floor + v * (high + grow) - grow / 2  # (storeys, 1, 4)
        faces = [_grid(a[:, None] + u * (wide + grow), levels, -proud)]
        faces.append(_grid(-half - proud, levels, gable[:, None] + u * (wide + grow)))
        panes = np.concatenate(faces)
        yield quads(points(panes), np.array(colour) * rng.uniform(0.85, 1.1, (len(panes), 1)))
    at = a[int(rng.integers(columns))]
    door = np.array([[(at - 0.6, 0, -0.06), (at + 0.6, 0, -0.06), (at + 0.6, 2.3, -0.06), (at - 0.6, 2.3, -0.06)]])
    yield quads(points(door), rng.uniform(0.15, 0.5, 3))


def _grid(along: np.ndarray | float, up: np.ndarray, out: np.ndarray | float) -> np.ndarray:
    """Return panes (Q, 4, 3) from coordinates that broadcast to (storeys, columns, 4)."""
    return np.stack(np.broadcast_arrays(along, up, out), -1).reshape(-1, 4, 3)


@cache
def _tree(variant: int) -> Model:
    """Return a tree of about 6 m; every fourth variant is a conifer, the others are deciduous."""
    rng = np.random.default_rng(variant)
    builder = Builder()
    if variant % 4 == 3:
        builder.limb((0, 0, 0), (0, 1.2, 0), (0.16, 0.14), "trunk")
        for k in range(4):
            builder.limb((0, 0.8 + 1.25 * k, 0), (0, 2.7 + 1.25 * k, 0), (1.5 - 0.3 * k, 0.05), "crown", 9)
        return builder.build()
    fork = rng.uniform(1.9, 2.6)
    builder.limb((0, 0, 0), (rng.normal(0, 0.1), fork + 0.8, rng.normal(0, 0.1)), (0.17, 0.11), "trunk", 6)
    for _ in range(5):
        centre = (rng.normal(0, 0.65), fork + rng.uniform(0.9, 2.6), rng.normal(0, 0.65))
        builder.ball(centre, rng.uniform(0.95, 1.5, 3), "crown", 8, 5)
    return builder.build()


@cache
def _bush(variant: int) -> Model:
    rng = np.random.default_rng(100 + variant)
    builder = Builder()
    for _ in range(4):
        builder.ball(
            (rng.normal(0, 0.7), rng.uniform(0.35, 0.75), rng.normal(0, 0.5)), rng.uniform(0.6, 1.0, 3), "crown", 7, 4
        )
    return builder.build()


def _greenery(rng: np.random.Generator, street: Street, side: int, keep_clear: np.ndarray) -> Iterator[Mesh]:
    """Yield trees and bushes along the kerb or in front of the houses, hedges and garden walls."""
    outward = 2 * side - 1
    walk_end = street.edges[side] + outward * street.pavements[side]
    rows = []
    if street.kind == "avenue" and street.pavements[side] > 2.2 and rng.random() < 0.7:
        rows.append((street.edges[side] + outward * 0.8, rng.uniform(8, 12), 0.0))
    if street.setbacks[side] > 2.5 or street.kind == "rural":
        rows.append(
            (walk_end + outward * min(street.setbacks[side] - 1.2, rng.uniform(2.0, 4.0)), rng.uniform(5, 11), 0.8)
        )
    for t, spacing, spread in rows:
        s = rng.uniform(3, 12)
        while s < 100:
            place = street.path.at(s, t + rng.normal(0, spread / 2))
            if rng.random() < 0.75 and street.clear_of_crossing(s, 2.0) and _is_clear(place, 0.5, keep_clear):
                bush = spread > 0 and rng.random() < 0.4
                yield _plant(rng, street, place, _bush(int(rng.integers(6))) if bush else _tree(int(rng.integers(12))))
            s += spacing * rng.uniform(0.7, 1.4)
    if street.setbacks[side] > 1.2 and rng.random() < 0.6:
        yield from _hedge(rng, street, walk_end + outward * 0.25, outward)


def _plant(rng: np.random.Generator, street: Street, place: np.ndarray, model: Model) -> Mesh:
    palette = {
        "trunk": (0.30, 0.24, 0.18),
        "crown": _tinted(_GREENS[int(rng.integers(len(_GREENS)))], rng.uniform(0.85, 1.2)),
    }
    mesh = model.painted(palette, model.size * rng.uniform(0.75, 1.35) * np.array([rng.uniform(0.85, 1.2), 1, 1]))
    colours = mesh.colours * rng.uniform(0.88, 1.1, (len(mesh), 1)).astype(np.float32)
    materials = np.where(np.array([name == "crown" for name in model.names])[model.parts], LEAVES, PLAIN).astype(
        np.uint8
    )
    return Mesh(mesh.triangles, colours, materials).placed(
        (place[0], street.ground - street.kerb + 0.1, place[1]), rng.uniform(0, 6.28)
    )


def _hedge(rng: np.random.Generator, street: Street, t: float, outward: int) -> Iterator[Mesh]:
    """Yield sections of hedge or garden wall."""
    leafy = bool(rng.random() < 0.6)
    colour = (
        _tinted(_GREENS[int(rng.integers(len(_GREENS)))], 1.0)
        if leafy
        else _tinted((0.68, 0.64, 0.58), rng.uniform(0.8, 1.1))
    )
    material, high, thick = (LEAVES, rng.uniform(0.9, 1.7), 0.7) if leafy else (FACADE, rng.uniform(0.7, 1.3), 0.25)
    foot, top = street.ground - street.kerb + 0.1, street.ground - street.kerb - high
    s = rng.uniform(-4, 4)
    while s < 90:
        length = rng.uniform(6, 16)
        for start, stop in _outside_crossing(street, 1.5, (s, s + length)):
            yield strip(street.path, (start, stop), (t, t), (foot, top), colour, material, 2.0)
            yield strip(street.path, (start, stop), (t, t + outward * thick), top, _tinted(colour, 1.12), material, 2.0)
            for end in (start, stop):
                a, b = street.path.at(end, t), street.path.at(end, t + outward * thick)
                yield quads(
                    np.array([[(a[0], foot, a[1]), (b[0], foot, b[1]), (b[0], top, b[1]), (a[0], top, a[1])]]),
                    colour,
                    material,
                )
        s += length + rng.uniform(2.5, 7)


@cache
def _lamp() -> Model:
    builder = Builder()
    builder.limb((0, 0, 0), (0, 7.0, 0), (0.08, 0.05), "pole", 6)
    builder.limb((0, 6.95, 0), (0, 7.25, 1.5), (0.04, 0.035), "pole", 4)
    builder.box((-0.1, 7.16, 1.3), (0.1, 7.28, 1.9), "head")
    return builder.build()


@cache
def _sign(shape: int) -> Model:
    builder = Builder()
    builder.limb((0, 0, 0), (0, 2.75, 0), (0.035, 0.035), "pole", 5)
    sides, turn = (16, 0.0) if shape == 0 else ((3, np.pi / 2) if shape == 1 else (4, 0.0))
    for radius, x, part in ((0.33, -0.045, "rim"), (0.24, -0.055, "face"), (0.33, 0.045, "pole")):
        builder.polygon(
            [
                (x, 2.45 + radius * np.sin(turn + a), radius * np.cos(turn + a))
                for a in 2 * np.pi * np.arange(sides) / sides
            ],
            part,
        )
    return builder.build()


def _poles(rng: np.random.Generator, street: Street, side: int, keep_clear: np.ndarray) -> Iterator[Mesh]:
    """Yield street lamps and traffic signs at the kerb."""
    outward = 2 * side - 1
    t = street.edges[side] + outward * (0.45 if street.kerb else 1.2)
    grey: dict[str, Colour] = {"pole": (0.45, 0.46, 0.46), "head": (0.3, 0.3, 0.3)}

    def stand(model: Model, palette: Mapping[str, Colour], s: float, turned: float) -> Iterator[Mesh]:
        place = street.path.at(s, t)
        if street.clear_of_crossing(s, 0.6) and _is_clear(place, 0.3, keep_clear):
            yield model.painted(palette).placed(
                (place[0], street.ground - street.kerb, place[1]), street.path.yaw(s, turned)
            )

    if rng.random() < 0.7:
        for s in np.arange(rng.uniform(6, 22), 100, rng.uniform(22, 32)):
            yield from stand(_lamp(), grey, s, np.pi if outward < 0 else 0.0)
    for _ in range(int(rng.integers(0, 4))):
        rim, face = (_SIGNS[k] for k in rng.integers(len(_SIGNS), size=2))
        yield from stand(
            _sign(int(rng.integers(3))),
            {**grey, "rim": rim, "face": face},
            rng.uniform(6, 45),
            0.0 if side == 1 else np.pi,
        )


def _outside_crossing(
    street: Street, margin: float = 0.0, span: tuple[float, float] = (_BEHIND, REACH)
) -> list[tuple[float, float]]:
    """Return the parts of a span of s outside the crossing street and its margin."""
    if street.crossing is None:
        return [span]
    gap = street.crossing - street.crossing_width / 2 - margin, street.crossing + street.crossing_width / 2 + margin
    pieces = [(span[0], min(span[1], gap[0])), (max(span[0], gap[1]), span[1])]
    return [(start, stop) for start, stop in pieces if stop - start > 0.1]


def _is_clear(place: np.ndarray, radius: float, keep_clear: np.ndarray) -> bool:
    gaps = np.hypot(keep_clear[:, 0] - place[0], keep_clear[:, 1] - place[1]) - keep_clear[:, 2]
    return bool((gaps > radius).all())


def _tinted(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(1.0, channel * factor) for channel in colour)
    return red, green, blue
