"""Seats, beds, tables and storage, each with varied size, shape and colour. Frame: see solids.py."""

from __future__ import annotations

import numpy as np

from g3d.kernels.room_colours import BOOKS, CHECKED, FABRIC, STRIPES, WOOD
from g3d.synthetic.rooms.colours import CLOTHS, COLOURS, FABRICS, WOODS, darker, near, paler, pick
from g3d.synthetic.rooms.solids import Builder, Colour, Thing

Rng = np.random.Generator
METAL: Colour = (0.35, 0.36, 0.38)
LEG = 0.022


def chair(rng: Rng) -> Thing:
    """A chair with four legs; some have armrests."""
    name, colour = pick(rng, (*WOODS, "red", "blue", "green"))
    build, width, depth = Builder(), rng.uniform(0.42, 0.5), rng.uniform(0.42, 0.5)
    seat, back = rng.uniform(0.44, 0.48), rng.uniform(0.84, 0.98)
    x, y = width / 2, depth / 2
    _legs(build, x, y, seat - 0.03, darker(colour, 0.85))
    build.box((-x, -y, seat - 0.045), (x, y, seat), colour, WOOD, 0.015)
    if rng.random() < 0.5:
        build.box((-x, -y - 0.025, seat + 0.1), (x, -y + 0.02, back), colour, WOOD, 0.015, tilt=-0.1)
    else:
        for at in (-x + LEG, x - LEG):
            build.rod((at, -y + LEG, seat - 0.02), (at, -y - 0.02, back), LEG, darker(colour, 0.85))
        for low in np.arange(seat + 0.12, back - 0.06, 0.13):
            build.box((-x + 0.02, -y - 0.02, low), (x - 0.02, -y + 0.02, low + 0.06), colour, WOOD)
    if rng.random() < 0.3:
        for at in (-x, x):
            build.box((at - 0.02, -y, seat + 0.19), (at + 0.02, y - 0.06, seat + 0.23), colour, WOOD, 0.01)
            build.rod((at, y - 0.09, seat - 0.02), (at, y - 0.09, seat + 0.2), LEG, darker(colour, 0.85))
    build.top((-x + 0.05, -y + 0.08), (x - 0.05, y - 0.05), seat)
    return build.build("chair", name)


def office_chair(rng: Rng) -> Thing:
    """A swivel chair on a star of five legs."""
    name, colour = pick(rng, ("black", "gray", "blue", "red", "green"))
    build, seat, radius = Builder(), rng.uniform(0.46, 0.52), rng.uniform(0.24, 0.27)
    for k in range(5):
        angle = 2 * np.pi * k / 5 + 0.3
        tip = (0.3 * np.cos(angle), 0.3 * np.sin(angle), 0.05)
        build.rod((0, 0, 0.1), tip, 0.025, METAL)
        build.ball((tip[0], tip[1], 0.035), (0.035, 0.035, 0.035), COLOURS["black"])
    build.cone((0, 0, 0.05), seat - 0.08, 0.035, 0.03, METAL)
    build.box((-radius, -radius, seat - 0.07), (radius, radius, seat + 0.02), colour, FABRIC, 0.035)
    height = rng.uniform(0.38, 0.6)
    build.box((-0.03, -radius - 0.03, seat - 0.05), (0.03, -radius + 0.02, seat + 0.3), METAL)
    low, high = (-radius + 0.02, -radius - 0.03, seat + 0.12), (radius - 0.02, -radius + 0.05, seat + 0.12 + height)
    build.box(low, high, colour, FABRIC, 0.035, tilt=-0.12)
    if rng.random() < 0.7:
        for x in (-radius - 0.02, radius + 0.02):
            build.box((x - 0.025, -0.14, seat + 0.19), (x + 0.025, 0.14, seat + 0.23), COLOURS["black"], 0, 0.012)
            build.box((x - 0.02, -0.04, seat - 0.06), (x + 0.02, 0.03, seat + 0.2), COLOURS["black"])
    return build.build("office chair", name)


def stool(rng: Rng) -> Thing:
    """A round stool, low or as high as a bar."""
    name, colour = pick(rng, (*WOODS, "red", "blue"))
    build, height, radius = Builder(), float(rng.choice([0.46, 0.68])), rng.uniform(0.16, 0.2)
    for k in range(4):
        angle = np.pi / 4 + np.pi * k / 2
        foot = (radius * np.cos(angle), radius * np.sin(angle), 0.0)
        build.rod(foot, (0.7 * foot[0], 0.7 * foot[1], height - 0.02), LEG, METAL)
    build.cone((0, 0, height - 0.05), 0.05, radius, radius, colour, WOOD)
    return build.build("stool", name)


def couch(rng: Rng) -> Thing:
    """A sofa for two to four people."""
    name, colour = pick(rng, FABRICS)
    return _sofa(rng, "couch", name, colour, rng.uniform(1.6, 2.4))


def armchair(rng: Rng) -> Thing:
    """A sofa for one person."""
    name, colour = pick(rng, FABRICS)
    return _sofa(rng, "armchair", name, colour, rng.uniform(0.85, 1.0))


def _sofa(rng: Rng, label: str, name: str, colour: Colour, width: float) -> Thing:
    build, depth, seat = Builder(), rng.uniform(0.82, 0.95), rng.uniform(0.4, 0.46)
    arm, high, back = rng.uniform(0.14, 0.22), rng.uniform(0.56, 0.66), rng.uniform(0.76, 0.92)
    x, y = width / 2, depth / 2
    build.box((-x, -y, 0.05), (x, y - 0.02, seat - 0.12), darker(colour, 0.85), FABRIC, 0.02)
    build.box((-x + 0.05, -y, 0.05), (x - 0.05, -y + 0.22, back), colour, FABRIC, 0.07)
    for side in (-1, 1):
        low, far = sorted((side * x, side * (x - arm)))
        build.box((low, -y, 0.05), (far, y, high), colour, FABRIC, 0.06)
    seats = max(1, round((width - 2 * arm) / 0.65))
    step = (width - 2 * arm) / seats
    for k in range(seats):
        left = -x + arm + k * step
        corners = (left + 0.005, -y + 0.2, seat - 0.16), (left + step - 0.005, y + 0.01, seat)
        build.box(*corners, near(rng, colour, 0.02), FABRIC, 0.045)
        build.box(
            (left + 0.02, -y + 0.17, seat - 0.02),
            (left + step - 0.02, -y + 0.33, back - 0.06),
            near(rng, colour, 0.02),
            FABRIC,
            0.05,
            tilt=-0.15,
        )
    for side in (-1, 1):
        for at in (-y + 0.08, y - 0.1):
            build.cone((side * (x - 0.08), at, 0), 0.07, 0.03, 0.03, COLOURS["black"])
    build.top((-x + arm + 0.02, -y + 0.34), (x - arm - 0.02, y - 0.08), seat)
    return build.build(label, name)


def ottoman(rng: Rng) -> Thing:
    """An upholstered block to rest the feet on."""
    name, colour = pick(rng, FABRICS)
    build, x, y = Builder(), rng.uniform(0.25, 0.4), rng.uniform(0.22, 0.3)
    build.box((-x, -y, 0.03), (x, y, rng.uniform(0.36, 0.44)), colour, FABRIC, 0.05)
    return build.build("ottoman", name)


def bench(rng: Rng) -> Thing:
    """A wooden bench."""
    name, colour = pick(rng, WOODS)
    build, x, y = Builder(), rng.uniform(0.5, 0.75), rng.uniform(0.17, 0.22)
    _legs(build, x, y, 0.43, darker(colour))
    build.box((-x, -y, 0.41), (x, y, 0.46), colour, WOOD, 0.01)
    build.top((-x + 0.05, -y + 0.03), (x - 0.05, y - 0.03), 0.46)
    return build.build("bench", name)


def bed(rng: Rng) -> Thing:
    """A single or double bed with headboard (at the back), mattress and blanket."""
    _, frame = pick(rng, WOODS)
    name, cloth = pick(rng, CLOTHS)
    build, x, y = Builder(), rng.choice([0.5, 0.75, 0.9]), rng.uniform(1.0, 1.06)
    high, head = rng.uniform(0.48, 0.6), rng.uniform(0.95, 1.2)
    sheet = near(rng, COLOURS["white"], 0.03)
    build.box((-x - 0.03, -y, 0.12), (x + 0.03, y + 0.03, high - 0.18), frame, WOOD, 0.01)
    for side in (-1, 1):
        for at in (-y + 0.06, y - 0.04):
            build.box((side * x - 0.04, at - 0.04, 0), (side * x + 0.04, at + 0.04, 0.2), frame)
    build.box((-x - 0.05, -y - 0.05, 0.1), (x + 0.05, -y + 0.03, head), frame, WOOD, 0.02)
    build.box((-x, -y + 0.03, high - 0.22), (x, y, high), sheet, FABRIC, 0.05)
    fold = rng.uniform(-0.45, -0.2) * y
    pattern = int(rng.choice([FABRIC, FABRIC, STRIPES, CHECKED]))
    build.box((-x - 0.035, fold, high - 0.28), (x + 0.035, y + 0.035, high + 0.045), cloth, pattern, 0.05)
    build.box((-x - 0.03, fold - 0.18, high - 0.22), (x + 0.03, fold + 0.03, high + 0.05), paler(cloth), FABRIC, 0.03)
    build.top((-x + 0.02, -y + 0.08), (x - 0.02, -y + 0.52), high)
    return build.build("bed", name)


def table(rng: Rng, label: str = "table") -> Thing:
    """A rectangular dining table, a coffee table or an end table, by label."""
    name, colour = pick(rng, WOODS)
    half, height = {
        "table": ((0.55, 0.95), (0.72, 0.77)),
        "dining table": ((0.6, 0.95), (0.72, 0.77)),
        "coffee table": ((0.4, 0.6), (0.38, 0.48)),
        "end table": ((0.22, 0.3), (0.45, 0.6)),
    }[label]
    build, x, high = Builder(), rng.uniform(*half), rng.uniform(*height)
    y = rng.uniform(0.36, 0.48) if x > 0.5 else x * rng.uniform(0.65, 1)
    _legs(build, x - 0.03, y - 0.03, high - 0.03, darker(colour, 0.8), 0.032)
    build.box((-x, -y, high - 0.05), (x, y, high), colour, WOOD, 0.008)
    if label != "table" and label != "dining table" and rng.random() < 0.5:
        build.box((-x + 0.05, -y + 0.05, 0.14), (x - 0.05, y - 0.05, 0.18), colour, WOOD)
    build.top((-x + 0.04, -y + 0.04), (x - 0.04, y - 0.04), high)
    return build.build(label, name)


def round_table(rng: Rng) -> Thing:
    """A round table on one foot."""
    name, colour = pick(rng, WOODS)
    build, radius, high = Builder(), rng.uniform(0.42, 0.62), rng.uniform(0.71, 0.76)
    build.cone((0, 0, 0), 0.05, 0.6 * radius, 0.5 * radius, METAL)
    build.cone((0, 0, 0.03), high - 0.05, 0.045, 0.045, METAL)
    build.cone((0, 0, high - 0.045), 0.045, radius, radius, colour, WOOD)
    build.top((-0.6 * radius, -0.6 * radius), (0.6 * radius, 0.6 * radius), high)
    return build.build("round table", name)


def desk(rng: Rng) -> Thing:
    """A desk with legs on one side and a block of drawers on the other; one works at its front."""
    name, colour = pick(rng, WOODS)
    build, x, y, high = Builder(), rng.uniform(0.6, 0.85), rng.uniform(0.3, 0.4), rng.uniform(0.72, 0.76)
    side = float(rng.choice([-1, 1]))
    build.box((-x, -y, high - 0.05), (x, y, high), colour, WOOD, 0.006)
    low, far = sorted((side * x, side * (x - 0.42)))
    build.box((low, -y + 0.02, 0), (far, y - 0.04, high - 0.04), colour, WOOD)
    for bottom in (0.06, 0.28, 0.5):
        build.box((low + 0.03, y - 0.05, bottom), (far - 0.03, y - 0.015, bottom + 0.19), paler(colour, 0.15), WOOD)
        _handle(build, (low + far) / 2, y - 0.01, bottom + 0.12)
    for at in (-y + 0.04, y - 0.05):
        build.box(
            (-side * x - 0.03 + side * 0.04, at - 0.03, 0),
            (-side * x + 0.03 + side * 0.04, at + 0.03, high - 0.04),
            METAL,
        )
    build.box((-x + 0.05, -y, high - 0.4), (x - 0.05, -y + 0.04, high - 0.03), darker(colour, 0.9), WOOD)
    build.top((-x + 0.05, -y + 0.05), (x - 0.05, y - 0.05), high)
    return build.build("desk", name)


def cabinet(rng: Rng, label: str = "cabinet") -> Thing:
    """Storage with doors or drawers: cabinet, file cabinet, dresser, nightstand or wardrobe closet, by label."""
    name, colour = pick(rng, ("gray", "beige", "white", "black") if label == "file cabinet" else WOODS)
    width, depth, height, rows, columns = {
        "cabinet": ((0.8, 1.3), (0.38, 0.5), (0.8, 1.3), 1, 2),
        "file cabinet": ((0.4, 0.5), (0.5, 0.62), (0.7, 1.35), 3, 1),
        "dresser": ((0.9, 1.4), (0.42, 0.52), (0.75, 1.0), 3, 2),
        "nightstand": ((0.4, 0.55), (0.36, 0.45), (0.48, 0.62), 2, 1),
        "wardrobe closet": ((1.0, 1.7), (0.55, 0.65), (1.9, 2.15), 1, 2),
    }[label]
    build, x, y, high = Builder(), rng.uniform(*width) / 2, rng.uniform(*depth) / 2, rng.uniform(*height)
    build.box((-x, -y, 0.06), (x, y - 0.02, high), colour, WOOD, 0.006)
    build.box((-x + 0.03, -y + 0.02, 0), (x - 0.03, y - 0.06, 0.08), darker(colour, 0.5))
    _fronts(build, (-x, x), (0.08, high - 0.03), y - 0.02, rows, columns, paler(colour, 0.18))
    build.top((-x + 0.04, -y + 0.04), (x - 0.04, y - 0.06), high)
    return build.build(label, name)


def tv_stand(rng: Rng) -> Thing:
    """A long low cabinet."""
    name, colour = pick(rng, WOODS)
    build, x, y, high = Builder(), rng.uniform(0.6, 0.9), rng.uniform(0.19, 0.24), rng.uniform(0.42, 0.55)
    build.box((-x, -y, 0.05), (x, y - 0.02, high), colour, WOOD, 0.006)
    _fronts(build, (-x, x), (0.07, high - 0.03), y - 0.02, 1, 3, paler(colour, 0.18))
    build.top((-x + 0.04, -y + 0.03), (x - 0.04, y - 0.04), high)
    return build.build("tv stand", name)


def bookshelf(rng: Rng, label: str = "bookshelf") -> Thing:
    """Open shelves with a back, filled with rows of books; an almost empty one is labelled "shelf"."""
    name, colour = pick(rng, WOODS)
    build, x, y = Builder(), rng.uniform(0.38, 0.6), rng.uniform(0.14, 0.18)
    floors = int(rng.integers(4, 6)) if label == "bookshelf" else 4
    gap = rng.uniform(0.34, 0.4)
    high = floors * gap + 0.1
    build.box((-x, -y, 0), (x, -y + 0.035, high), darker(colour, 0.8), WOOD)
    for side in (-1, 1):
        build.box((side * x - 0.022, -y, 0), (side * x + 0.022, y, high), colour, WOOD)
    for k in range(floors + 1):
        level = 0.04 + k * gap
        build.box((-x, -y, level), (x, y, level + 0.04), colour, WOOD)
        if k == floors:
            break
        room = gap - 0.05
        if label != "bookshelf":
            build.top((-x + 0.05, -y + 0.06), (x - 0.05, y - 0.03), level + 0.04, room)
            continue
        at = -x + 0.03
        while at < x - 0.15:
            wide = min(rng.uniform(0.15, 0.45), x - 0.03 - at)
            if rng.random() < 0.78:
                tall = level + 0.04 + rng.uniform(0.18, 0.27)
                build.box((at, -y + 0.03, level + 0.03), (at + wide, y - rng.uniform(0.03, 0.07), tall), colour, BOOKS)
            else:
                build.top((at + 0.01, -y + 0.06), (at + wide - 0.01, y - 0.03), level + 0.04, room)
            at += wide + 0.02
    build.top((-x + 0.06, -y + 0.05), (x - 0.06, y - 0.03), high - 0.02)
    return build.build(label, name)


def _legs(build: Builder, x: float, y: float, height: float, colour: Colour, half: float = LEG) -> None:
    for left in (-1, 1):
        for front in (-1, 1):
            a, b = left * (x - half), front * (y - half)
            build.box((a - half, b - half, 0), (a + half, b + half, height), colour)


def _handle(build: Builder, x: float, y: float, z: float) -> None:
    build.box((x - 0.06, y - 0.02, z - 0.014), (x + 0.06, y + 0.025, z + 0.014), METAL)


def _fronts(
    build: Builder,
    across: tuple[float, float],
    up: tuple[float, float],
    y: float,
    rows: int,
    columns: int,
    colour: Colour,
) -> None:
    """Doors or drawers with handles on a front at `y`."""
    wide, tall = (across[1] - across[0]) / columns, (up[1] - up[0]) / rows
    for column in range(columns):
        for row in range(rows):
            left, low = across[0] + column * wide, up[0] + row * tall
            build.box(
                (left + 0.02, y - 0.02, low + 0.02), (left + wide - 0.02, y + 0.022, low + tall - 0.02), colour, WOOD
            )
            if rows == 1:  # doors: upright handles that meet in the middle
                at = left + (wide - 0.07 if column % 2 == 0 else 0.07)
                middle = low + tall * 0.5
                build.box((at - 0.014, y, middle - 0.08), (at + 0.014, y + 0.045, middle + 0.08), METAL)
            else:
                _handle(build, left + wide / 2, y + 0.02, low + tall * 0.6)
