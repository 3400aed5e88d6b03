"""Fixtures, which belong to a room or are fixed to it: doors, windows, curtains, pictures, kitchens, bathrooms, lights.

Things that hang on a wall have their back on y = 0; their z = 0 is their own lower edge.
"""

from __future__ import annotations

import numpy as np

from g3d.kernels.room_colours import CHECKED, FABRIC, GLOWING, LANDSCAPE, PICTURE, PLAIN, STRIPES, TILES, WOOD
from g3d.synthetic.rooms.colours import CLOTHS, COLOURS, WOODS, darker, near, paler, pick
from g3d.synthetic.rooms.furniture import METAL
from g3d.synthetic.rooms.solids import Builder, Colour, Thing

Rng = np.random.Generator
CHROME: Colour = (0.72, 0.74, 0.77)
COUNTER_HEIGHT = 0.9


def door(rng: Rng) -> Thing:
    """A closed door with frame, panels and handle."""
    name, colour = pick(rng, ("brown", "white", "beige", "gray"))
    build, x, high = Builder(), rng.uniform(0.42, 0.48), rng.uniform(2.0, 2.08)
    frame = paler(colour, 0.35) if name != "white" else darker(colour, 0.8)
    for side in (-1, 1):
        build.box((side * (x + 0.04) - 0.04, -0.03, 0), (side * (x + 0.04) + 0.04, 0.06, high + 0.08), frame)
    build.box((-x - 0.08, -0.03, high), (x + 0.08, 0.06, high + 0.08), frame)
    build.box((-x, -0.03, 0), (x, 0.03, high), colour, WOOD)
    for low, far in ((0.15, 0.85), (1.05, high - 0.15)):
        build.box((-x + 0.12, 0.01, low), (x - 0.12, 0.048, far), darker(colour, 0.85), WOOD)
    lock = float(rng.choice([-1, 1]))
    build.box((lock * (x - 0.1) - 0.02, 0, 0.98), (lock * (x - 0.1) + 0.02, 0.07, 1.06), METAL)
    build.box((lock * (x - 0.14) - 0.07, 0.05, 1.0), (lock * (x - 0.14) + 0.07, 0.085, 1.04), METAL)
    return build.build("door", name)


def window(rng: Rng) -> Thing:
    """A window with a white frame, a cross bar and a sill; one sees the sky and trees."""
    build, x, high = Builder(), rng.uniform(0.45, 0.8), rng.uniform(1.1, 1.35)
    frame = near(rng, COLOURS["white"], 0.03)
    build.box((-x, -0.03, 0), (x, 0.03, high), (0.7, 0.85, 1.0), LANDSCAPE)
    for side in (-1, 1):
        build.box((side * x - 0.035, -0.03, -0.03), (side * x + 0.035, 0.07, high + 0.03), frame)
    for level in (0.0, high):
        build.box((-x - 0.03, -0.03, level - 0.035), (x + 0.03, 0.07, level + 0.035), frame)
    build.box((-0.025, -0.03, 0), (0.025, 0.06, high), frame)
    build.box((-x - 0.08, -0.03, -0.07), (x + 0.08, 0.14, -0.03), frame)
    return build.build("window", "white")


def curtain(rng: Rng, height: float, colour: tuple[str, Colour] | None = None, label: str = "curtain") -> Thing:
    """Hanging cloth in folds, `height` metres long; a shower curtain hangs on rings and is partly drawn."""
    name, cloth = pick(rng, CLOTHS) if colour is None else colour
    build, width, fold = Builder(), rng.uniform(0.35, 0.6), 0.045
    shower = label == "shower curtain"
    if shower:
        width = rng.uniform(0.7, 1.1)
    count = max(4, round(width / (1.5 * fold)))
    pattern = int(rng.choice([FABRIC, CHECKED, CHECKED])) if shower else FABRIC
    rail = height + 0.09 if shower else height
    for k in range(count):
        x = -width / 2 + width * (k + 0.5) / count
        shade = cloth if k % 2 else darker(cloth, 0.88)
        build.cone((x, 0.05 + (0.02 if k % 2 else -0.01), 0), height, fold, fold, shade, pattern)
        if shower and k % 2:
            build.rod((x, 0.06, height - 0.02), (x, 0.05, rail), 0.02, CHROME)
    build.rod((-width / 2 - 0.1, 0.05, rail), (width / 2 + 0.1, 0.05, rail), 0.024, METAL)
    return build.build(label, name)


def picture(rng: Rng, label: str = "picture") -> Thing:
    """A framed picture, painting or mirror, by label."""
    name, frame = pick(rng, ("black", "brown", "white", "beige"))
    build, x, z = Builder(), rng.uniform(0.2, 0.48), rng.uniform(0.2, 0.4)
    if label == "mirror":
        x, z = rng.uniform(0.25, 0.4), rng.uniform(0.35, 0.5)
    build.box((-x, -0.03, 0), (x, 0.035, 2 * z), frame)
    inner, material = ((0.75, 0.82, 0.86), GLOWING) if label == "mirror" else (near(rng, COLOURS["beige"]), PICTURE)
    build.box((-x + 0.05, 0, 0.05), (x - 0.05, 0.045, 2 * z - 0.05), inner, material)
    return build.build(label, name)


def whiteboard(rng: Rng) -> Thing:
    """A whiteboard with frame, tray and two pens."""
    build, x, high = Builder(), rng.uniform(0.6, 1.1), rng.uniform(0.9, 1.15)
    build.box((-x, -0.03, 0), (x, 0.03, high), METAL)
    build.box((-x + 0.04, 0, 0.04), (x - 0.04, 0.042, high - 0.04), (0.96, 0.97, 0.97), GLOWING)
    build.box((-x + 0.1, 0, -0.03), (x - 0.1, 0.09, 0.02), METAL)
    return build.build("whiteboard", "white")


def clock(rng: Rng) -> Thing:
    """A round clock on a wall."""
    name, colour = pick(rng, ("black", "red", "white", "blue"))
    build, radius = Builder(), rng.uniform(0.13, 0.17)
    build.rod((0, -0.03, radius), (0, 0.04, radius), radius, colour)
    build.rod((0, 0, radius), (0, 0.05, radius), radius - 0.03, (0.95, 0.95, 0.93))
    build.box((-0.012, 0.03, radius - 0.01), (0.012, 0.062, 1.65 * radius), COLOURS["black"])
    build.box((-0.01, 0.03, radius - 0.012), (0.09, 0.062, radius + 0.012), COLOURS["black"])
    return build.build("clock", name)


def radiator(rng: Rng) -> Thing:
    """A heater with upright ribs below a window."""
    build, x, high = Builder(), rng.uniform(0.35, 0.6), 0.62
    colour = near(rng, COLOURS["white"], 0.03)
    build.box((-x, -0.02, 0.12), (x, 0.05, high), darker(colour, 0.85))
    for at in np.arange(-x + 0.03, x, 0.085):
        build.box((at, 0.0, 0.1), (at + 0.045, 0.105, high), colour, PLAIN, 0.01)
    return build.build("radiator", "white")


def towel(rng: Rng) -> Thing:
    """A towel on a rail."""
    name, cloth = pick(rng, CLOTHS)
    build, x, high = Builder(), rng.uniform(0.2, 0.3), rng.uniform(0.5, 0.75)
    build.rod((-x - 0.08, 0.06, high), (x + 0.08, 0.06, high), 0.022, CHROME)
    build.box((-x, 0.02, 0), (x, 0.09, high + 0.025), cloth, int(rng.choice([FABRIC, STRIPES])), 0.02)
    return build.build("towel", name)


def ceiling_light(rng: Rng) -> Thing:
    """A flat lamp; its top (z = 0.1) touches the ceiling."""
    build, radius = Builder(), rng.uniform(0.18, 0.28)
    build.cone((0, 0, 0), 0.1, radius, radius, (1.0, 0.97, 0.88), GLOWING)
    return build.build("ceiling light", "white")


def kitchen_counter(rng: Rng, width: float, basin: float) -> tuple[Thing, Thing, Thing]:
    """A worktop, the cabinets below it, and a sink in a hole of it at `basin` (x of its middle).

    All three share one frame; the middle of the back is at the origin.
    """
    wood, front = pick(rng, WOODS)
    name, stone = pick(rng, ("gray", "white", "black", "beige"))
    x, depth = width / 2, rng.uniform(0.6, 0.64)
    low, high, deep, half = COUNTER_HEIGHT - 0.05, COUNTER_HEIGHT, 0.2, 0.27
    back, fore = 0.1, depth - 0.09
    worktop = Builder()
    for near_x, far_x in ((-x, basin - half), (basin + half, x)):
        worktop.box((near_x, 0, low), (far_x, depth, high), stone, PLAIN, 0.006)
    worktop.box((basin - half, 0, low), (basin + half, back, high), stone)
    worktop.box((basin - half, fore, low), (basin + half, depth, high), stone)
    worktop.box((-x, -0.02, high - 0.02), (x, 0.035, high + 0.12), stone, TILES)
    worktop.top((-x + 0.06, 0.08), (basin - half - 0.05, depth - 0.06), high)
    worktop.top((basin + half + 0.05, 0.08), (x - 0.06, depth - 0.06), high)
    cabinets = Builder()
    cabinets.box((-x, 0, 0.08), (x, depth - 0.06, low - deep), front, WOOD)
    cabinets.box((-x, depth - 0.1, 0.08), (x, depth - 0.05, low + 0.01), front, WOOD)
    for side in (-1, 1):
        cabinets.box(
            (side * (x - 0.02) - 0.02, 0, 0.08), (side * (x - 0.02) + 0.02, depth - 0.05, low + 0.01), front, WOOD
        )
    cabinets.box((-x + 0.02, 0.02, 0), (x - 0.02, depth - 0.1, 0.1), darker(front, 0.4))
    doors = max(2, round(width / 0.5))
    for k in range(doors):
        left = -x + k * width / doors
        box = (left + 0.02, depth - 0.06, 0.11), (left + width / doors - 0.02, depth - 0.022, low - 0.02)
        cabinets.box(*box, paler(front, 0.22), WOOD)
        at = left + (width / doors - 0.07 if k % 2 == 0 else 0.07)
        cabinets.box((at - 0.014, depth - 0.05, low - 0.2), (at + 0.014, depth + 0.002, low - 0.06), METAL)
    sink = Builder()
    sink.rim((basin - half + 0.005, back, high - deep), (basin + half - 0.005, fore, high + 0.018), 0.07, 0.035, CHROME)
    sink.box(
        (basin - half + 0.02, back + 0.02, high - deep),
        (basin + half - 0.02, fore - 0.02, high - deep + 0.04),
        darker(CHROME),
    )
    _tap(sink, basin, 0.07, high)
    return worktop.build("kitchen counter", name), cabinets.build("kitchen cabinets", wood), sink.build("sink", "gray")


def wall_cabinets(rng: Rng, width: float, colour: Colour, name: str) -> Thing:
    """A row of cabinets on a wall above a counter."""
    build, x, high, deep = Builder(), width / 2, rng.uniform(0.6, 0.72), 0.33
    build.box((-x, -0.02, 0), (x, deep - 0.02, high), colour, WOOD)
    doors = max(1, round(width / 0.45))
    for k in range(doors):
        left = -x + k * width / doors
        build.box(
            (left + 0.02, deep - 0.04, 0.02),
            (left + width / doors - 0.02, deep + 0.018, high - 0.02),
            paler(colour, 0.22),
            WOOD,
        )
        at = left + (width / doors - 0.07 if k % 2 == 0 else 0.07)
        build.box((at - 0.014, deep, 0.06), (at + 0.014, deep + 0.04, 0.2), METAL)
    return build.build("kitchen cabinet", name)


def refrigerator(rng: Rng) -> Thing:
    """A fridge with a freezer door above or below."""
    name, colour = pick(rng, ("white", "gray", "black", "red"))
    build, x, y, high = Builder(), rng.uniform(0.3, 0.36), rng.uniform(0.31, 0.35), rng.uniform(1.65, 1.85)
    seam, handle = (paler(colour, 0.3), CHROME) if name == "black" else (darker(colour, 0.35), METAL)
    build.box((-x, -y, 0.03), (x, y - 0.05, high), darker(colour, 0.9), PLAIN, 0.015)
    build.box((-x + 0.01, y - 0.08, 0.06), (x - 0.01, y - 0.02, high - 0.02), seam)
    split = high * float(rng.choice([0.36, 0.68]))
    for low, far in ((0.06, split - 0.025), (split + 0.025, high)):
        build.box((-x, y - 0.07, low), (x, y + 0.01, far), colour, PLAIN, 0.015)
        long = 0.65 * (far - low)  # the handles meet at the seam
        at = far - 0.04 - long if low < split else low + 0.04
        build.box((-x + 0.05, y, at), (-x + 0.09, y + 0.06, at + long), handle)
    build.top((-x + 0.05, -y + 0.05), (x - 0.05, y - 0.1), high)
    return build.build("refrigerator", name)


def stove(rng: Rng) -> Thing:
    """A cooker with four burners, oven door and a panel at the back."""
    name, colour = pick(rng, ("white", "black", "gray"))
    build, x, depth, high = Builder(), 0.3, 0.63, COUNTER_HEIGHT
    build.box((-x, 0, 0.03), (x, depth - 0.03, high), colour, PLAIN, 0.008)
    build.box((-x, -0.02, high - 0.02), (x, 0.05, high + 0.15), colour)
    build.box((-x + 0.06, depth - 0.06, 0.22), (x - 0.06, depth + 0.005, 0.68), (0.08, 0.08, 0.09))
    build.rod((-x + 0.06, depth + 0.03, 0.73), (x - 0.06, depth + 0.03, 0.73), 0.022, CHROME)
    burner: Colour = (0.07, 0.07, 0.07) if name != "black" else (0.4, 0.4, 0.42)
    for left in (-0.14, 0.14):
        for front in (0.2, 0.46):
            build.cone((left, front, high - 0.02), 0.045, 0.095, 0.095, burner)
    for k in range(4):
        at = -0.2 + 0.13 * k
        build.rod((at, depth - 0.05, 0.81), (at, depth + 0.012, 0.81), 0.026, METAL)
    return build.build("stove", name)


def range_hood(rng: Rng) -> Thing:
    """A hood over a stove."""
    build = Builder()
    build.box((-0.3, -0.02, 0), (0.3, 0.48, 0.08), CHROME)
    build.box((-0.16, -0.02, 0.06), (0.16, 0.28, 0.7), near(rng, CHROME, 0.03))
    return build.build("range hood", "gray")


def bathroom_sink(rng: Rng) -> tuple[Thing, Thing]:
    """A vanity cabinet and the basin on it, in one frame; the back is at y = 0."""
    wood, colour = pick(rng, WOODS)
    vanity, x, depth, high = Builder(), rng.uniform(0.35, 0.55), 0.48, 0.78
    vanity.box((-x, 0, 0.08), (x, depth - 0.02, high), colour, WOOD)
    vanity.box((-x + 0.03, 0.02, 0), (x - 0.03, depth - 0.08, 0.1), darker(colour, 0.5))
    for left, far in ((-x, 0.0), (0.0, x)):
        vanity.box((left + 0.02, depth - 0.04, 0.11), (far - 0.02, depth + 0.02, high - 0.06), paler(colour, 0.2), WOOD)
        at = -0.06 if left < 0 else 0.06
        vanity.box((at - 0.014, depth, 0.4), (at + 0.014, depth + 0.045, 0.56), METAL)
    vanity.top((-x + 0.03, 0.05), (-0.3, depth - 0.06), high)
    basin = Builder()
    white = near(rng, COLOURS["white"], 0.03)
    wide = min(x - 0.03, 0.27)
    basin.rim((-wide, 0.08, high - 0.02), (wide, depth - 0.02, high + 0.13), 0.15, 0.045, white)
    basin.box((-wide + 0.05, 0.12, high - 0.02), (wide - 0.05, depth - 0.07, high + 0.03), darker(white, 0.85))
    _tap(basin, 0.0, 0.05, high)
    return vanity.build("bathroom vanity", wood), basin.build("sink", "white")


def toilet(rng: Rng) -> Thing:
    """A toilet with tank, bowl and seat; its back is at y = 0."""
    build, white = Builder(), near(rng, COLOURS["white"], 0.03)
    build.box((-0.2, 0.0, 0.36), (0.2, 0.18, 0.76), white, PLAIN, 0.02)
    build.box((-0.215, -0.0, 0.75), (0.215, 0.195, 0.795), white, PLAIN, 0.01)
    build.cone((0, 0.36, 0), 0.28, 0.13, 0.15, white)
    build.box((-0.11, 0.05, 0), (0.11, 0.36, 0.36), white, PLAIN, 0.03)
    build.box((-0.17, 0.16, 0.22), (0.17, 0.62, 0.34), white, PLAIN, 0.055)
    build.rim((-0.185, 0.18, 0.3), (0.185, 0.66, 0.42), 0.18, 0.055, white)
    build.box((-0.12, 0.25, 0.3), (0.12, 0.58, 0.345), (0.62, 0.74, 0.8))
    if rng.random() < 0.6:
        build.box((-0.18, 0.15, 0.4), (0.18, 0.195, 0.82), darker(white, 0.95), PLAIN, 0.02, tilt=-0.1)
    build.rod((0.15, 0.19, 0.68), (0.08, 0.215, 0.68), 0.016, CHROME)
    return build.build("toilet", "white")


def bathtub(rng: Rng) -> Thing:
    """A tub with a tap at one end; its long back is at y = 0."""
    build, x, depth, high = Builder(), rng.uniform(0.76, 0.84), rng.uniform(0.7, 0.78), rng.uniform(0.5, 0.58)
    white = near(rng, COLOURS["white"], 0.03)
    build.rim((-x, 0, 0), (x, depth, high), 0.06, 0.09, white)
    build.box((-x + 0.04, 0.04, 0), (x - 0.04, depth - 0.04, 0.16), darker(white, 0.93))
    build.rod((-x + 0.04, depth / 2, high), (-x + 0.04, depth / 2, high + 0.12), 0.024, CHROME)
    build.rod((-x + 0.04, depth / 2, high + 0.11), (-x + 0.2, depth / 2, high + 0.08), 0.022, CHROME)
    return build.build("bathtub", "white")


def _tap(build: Builder, x: float, y: float, z: float) -> None:
    build.rod((x, y, z - 0.03), (x, y, z + 0.22), 0.022, CHROME)
    build.rod((x, y, z + 0.21), (x, y + 0.15, z + 0.19), 0.02, CHROME)
