"""Small and movable things: pillows, screens, lamps, plants, boxes, bags, dishes. Frame: see solids.py."""

from __future__ import annotations

import numpy as np

from g3d.kernels.room_colours import BOOKS, CARPET, CHECKED, FABRIC, GLOWING, LEAVES, PLAIN, STRIPES, WOOD
from g3d.synthetic.rooms.colours import CLOTHS, COLOURS, FABRICS, darker, near, paler, pick
from g3d.synthetic.rooms.furniture import METAL
from g3d.synthetic.rooms.solids import Builder, Colour, Thing

Rng = np.random.Generator
SCREEN: Colour = (0.05, 0.06, 0.08)


def pillow(rng: Rng) -> Thing:
    """A pillow that lies flat."""
    name, cloth = pick(rng, CLOTHS)
    build, x, y = Builder(), rng.uniform(0.2, 0.3), rng.uniform(0.17, 0.21)
    build.ball((0, 0, 0.06), (x, y, 0.085), cloth, int(rng.choice([FABRIC, STRIPES, CHECKED])))
    build.box((-0.9 * x, -0.9 * y, 0.01), (0.9 * x, 0.9 * y, 0.1), cloth, FABRIC, 0.044)
    return build.build("pillow", name)


def cushion(rng: Rng) -> Thing:
    """A square pillow that leans backwards on a sofa."""
    name, cloth = pick(rng, CLOTHS)
    build, x = Builder(), rng.uniform(0.19, 0.23)
    pattern = int(rng.choice([FABRIC, STRIPES, CHECKED]))
    build.box((-x, -0.065, 0.0), (x, 0.065, 2 * x), cloth, pattern, 0.06, tilt=-0.3)
    return build.build("pillow", name)


def monitor(rng: Rng) -> Thing:
    """A computer's screen on a foot."""
    build, x = Builder(), rng.uniform(0.25, 0.34)
    lit = rng.random() < 0.5
    build.box((-0.12, -0.09, 0), (0.12, 0.08, 0.025), METAL)
    build.box((-0.03, -0.05, 0), (0.03, -0.01, 0.25), METAL)
    build.box((-x, -0.02, 0.12), (x, 0.025, 0.12 + 1.15 * x), COLOURS["black"])
    build.box(
        (-x + 0.025, 0.0, 0.145),
        (x - 0.025, 0.033, 0.095 + 1.15 * x),
        (0.3, 0.5, 0.75) if lit else SCREEN,
        GLOWING if lit else PLAIN,
    )
    return build.build("monitor", "black")


def tv(rng: Rng, foot: bool = True) -> Thing:
    """A television with a foot, or for a wall."""
    build, x = Builder(), rng.uniform(0.45, 0.65)
    low = 0.07 if foot else 0.0
    if foot:
        build.box((-0.25, -0.11, 0), (0.25, 0.11, 0.025), METAL)
        build.box((-0.08, -0.03, 0), (0.08, 0.02, 0.12), METAL)
    build.box((-x, -0.03, low), (x, 0.035, low + 1.15 * x), COLOURS["black"])
    build.box((-x + 0.03, 0, low + 0.03), (x - 0.03, 0.042, low + 1.15 * x - 0.03), (0.12, 0.14, 0.18))
    return build.build("tv", "black")


def keyboard(rng: Rng) -> Thing:
    """A keyboard."""
    name, colour = pick(rng, ("black", "white", "gray"))
    build, keys = Builder(), paler(colour, 0.45) if name == "black" else darker(colour, 0.45)
    build.box((-0.23, -0.085, 0), (0.23, 0.085, 0.032), colour)
    for row in (-0.05, 0.0, 0.05):
        build.box((-0.2, row - 0.013, 0.01), (0.2, row + 0.013, 0.044), keys)
    return build.build("keyboard", name)


def laptop(rng: Rng) -> Thing:
    """An open laptop."""
    name, colour = pick(rng, ("gray", "black", "white"))
    build = Builder()
    build.box((-0.17, -0.12, 0), (0.17, 0.12, 0.033), colour)
    build.box((-0.14, -0.05, 0.01), (0.14, 0.06, 0.04), SCREEN if name != "black" else METAL, CHECKED)
    build.box((-0.17, -0.17, 0.01), (0.17, -0.13, 0.25), colour, PLAIN, 0, tilt=-0.3)
    build.box((-0.15, -0.155, 0.03), (0.15, -0.12, 0.235), (0.35, 0.55, 0.8), GLOWING, 0, tilt=-0.3)
    return build.build("laptop", name)


def lamp(rng: Rng, tall: bool = True) -> Thing:
    """A floor lamp, or a table lamp."""
    name, colour = pick(rng, ("white", "beige", "yellow", "orange", "red"))
    build, high = Builder(), rng.uniform(1.45, 1.7) if tall else rng.uniform(0.4, 0.5)
    foot = 0.15 if tall else 0.08
    shade = 0.3 if tall else 0.19
    build.cone((0, 0, 0), 0.035, foot, foot, METAL)
    build.cone((0, 0, 0.02), high - shade, 0.022, 0.022, METAL)
    build.cone((0, 0, high - shade), shade, 0.21 if tall else 0.14, 0.12 if tall else 0.08, colour, GLOWING)
    return build.build("lamp" if tall else "table lamp", name)


def plant(rng: Rng, tall: bool = True) -> Thing:
    """A plant in a pot."""
    build, size = Builder(), rng.uniform(0.9, 1.4) if tall else rng.uniform(0.28, 0.38)
    _, pot = pick(rng, ("brown", "white", "gray", "orange"))
    radius = 0.16 if tall else 0.07
    build.cone((0, 0, 0), 0.28 * size, 0.75 * radius, radius, pot)
    build.cone((0, 0, 0.24 * size), 0.5 * size, 0.022, 0.02, (0.35, 0.26, 0.15))
    for _ in range(15 if tall else 7):
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.1) * radius * 1.3
        at = (away * np.cos(angle), away * np.sin(angle), rng.uniform(0.45, 0.85) * size)
        leaf = rng.uniform(0.4, 0.75) * radius
        build.ball(
            at,
            (leaf, rng.uniform(0.6, 1) * leaf, rng.uniform(0.7, 1.2) * leaf),
            near(rng, (0.18, 0.45, 0.16), 0.07),
            LEAVES,
        )
    return build.build("plant", "green")


def trash_can(rng: Rng) -> Thing:
    """An open bin."""
    name, colour = pick(rng, ("black", "gray", "white", "blue", "green"))
    build, high, radius = Builder(), rng.uniform(0.3, 0.5), rng.uniform(0.13, 0.18)
    corner = radius if rng.random() < 0.6 else 0.03
    build.rim((-radius, -radius, 0), (radius, radius, high), corner, 0.035, colour)
    build.cone((0, 0, 0), 0.06, radius - 0.02, radius - 0.02, darker(colour, 0.6))
    build.ball((0.02, 0, 0.05 + 0.3 * high), (0.6 * radius, 0.6 * radius, 0.3 * high), COLOURS["white"], FABRIC)
    return build.build("trash can", name)


def box(rng: Rng) -> Thing:
    """A cardboard box with tape, or a coloured one."""
    build, x, y, high = Builder(), rng.uniform(0.15, 0.28), rng.uniform(0.13, 0.22), rng.uniform(0.18, 0.4)
    name, colour = pick(rng, ("brown", "brown", "white", "blue", "red"))
    if name == "brown":
        colour = near(rng, (0.68, 0.5, 0.31), 0.04)
    build.box((-x, -y, 0), (x, y, high), colour)
    build.box((-x - 0.004, -0.03, 0.4 * high), (x + 0.004, 0.03, high + 0.006), paler(colour, 0.35))
    build.top((-0.7 * x, -0.7 * y), (0.7 * x, 0.7 * y), high)
    return build.build("box", name)


def storage_bin(rng: Rng) -> Thing:
    """A plastic box with a lid."""
    name, colour = pick(rng, ("white", "blue", "red", "green", "purple"))
    build, x, y, high = Builder(), rng.uniform(0.2, 0.3), rng.uniform(0.16, 0.22), rng.uniform(0.2, 0.32)
    build.box((-x, -y, 0), (x, y, high - 0.04), paler(colour, 0.25), PLAIN, 0.02)
    build.box((-x - 0.02, -y - 0.02, high - 0.05), (x + 0.02, y + 0.02, high), colour, PLAIN, 0.01)
    build.top((-0.7 * x, -0.7 * y), (0.7 * x, 0.7 * y), high)
    return build.build("storage bin", name)


def backpack(rng: Rng) -> Thing:
    """A backpack that stands, with a pocket in front and a loop on top."""
    name, cloth = pick(rng, FABRICS)
    build = Builder()
    build.box((-0.16, -0.1, 0), (0.16, 0.09, 0.46), cloth, FABRIC, 0.085)
    build.box((-0.12, 0.05, 0.04), (0.12, 0.15, 0.25), darker(cloth, 0.75), FABRIC, 0.045)
    build.box((-0.06, -0.07, 0.42), (0.06, -0.03, 0.51), darker(cloth, 0.6), FABRIC, 0.015)
    for x in (-0.09, 0.09):
        build.box((x - 0.025, -0.13, 0.06), (x + 0.025, -0.08, 0.42), darker(cloth, 0.6))
    return build.build("backpack", name)


def suitcase(rng: Rng) -> Thing:
    """A suitcase on wheels."""
    name, colour = pick(rng, ("black", "red", "blue", "gray", "purple"))
    build, high = Builder(), rng.uniform(0.55, 0.72)
    build.box((-0.22, -0.13, 0.05), (0.22, 0.13, high), colour, PLAIN, 0.04)
    for at in np.linspace(-0.14, 0.14, 4):
        build.box((at - 0.02, 0.09, 0.1), (at + 0.02, 0.146, high - 0.06), darker(colour, 0.7))
    for x in (-0.09, 0.09):
        build.rod((x, -0.09, high - 0.04), (x, -0.09, high + 0.24), 0.018, METAL)
    build.box((-0.11, -0.11, high + 0.22), (0.11, -0.07, high + 0.26), COLOURS["black"])
    for x in (-0.18, 0.18):
        for y in (-0.1, 0.1):
            build.ball((x, y, 0.035), (0.03, 0.03, 0.035), COLOURS["black"])
    return build.build("suitcase", name)


def books(rng: Rng) -> Thing:
    """A pile of books."""
    build, high = Builder(), 0.0
    for _ in range(int(rng.integers(2, 6))):
        thick, x, y = rng.uniform(0.03, 0.055), rng.uniform(0.1, 0.14), rng.uniform(0.075, 0.1)
        _, cover = pick(rng, CLOTHS)
        build.box((-x, -y, high), (x, y, high + thick), cover, PLAIN, 0, 0, rng.uniform(-0.25, 0.25))
        high += thick
    return build.build("books", "multicolored")


def row_of_books(rng: Rng) -> Thing:
    """Books that stand side by side."""
    build, x, high = Builder(), rng.uniform(0.1, 0.2), rng.uniform(0.18, 0.25)
    build.box((-x, -0.08, 0), (x, 0.07, high), COLOURS["brown"], BOOKS)
    return build.build("books", "multicolored")


def cup(rng: Rng) -> Thing:
    """A mug with a handle."""
    name, colour = pick(rng, CLOTHS)
    build = Builder()
    build.cone((0, 0, 0), 0.105, 0.043, 0.045, colour)
    build.cone((0, 0, 0.08), 0.03, 0.033, 0.033, (0.22, 0.13, 0.07))
    build.box((0.03, -0.014, 0.025), (0.08, 0.014, 0.085), colour, PLAIN, 0.01)
    return build.build("cup", name)


def bottle(rng: Rng) -> Thing:
    """A bottle with a neck."""
    name, colour = pick(rng, ("green", "blue", "brown", "white", "orange"))
    build, high = Builder(), rng.uniform(0.26, 0.33)
    build.cone((0, 0, 0), 0.6 * high, 0.042, 0.042, colour)
    build.cone((0, 0, 0.59 * high), 0.2 * high, 0.042, 0.02, colour)
    build.cone((0, 0, 0.75 * high), 0.25 * high, 0.02, 0.02, darker(colour, 0.5))
    return build.build("bottle", name)


def bowl(rng: Rng) -> Thing:
    """A bowl with fruit."""
    name, colour = pick(rng, ("white", "blue", "brown", "green"))
    build = Builder()
    build.cone((0, 0, 0), 0.08, 0.07, 0.14, colour)
    for k in range(4):
        _, fruit = pick(rng, ("red", "orange", "yellow", "green"))
        angle = k * np.pi / 2 + 0.4
        build.ball((0.06 * np.cos(angle), 0.06 * np.sin(angle), 0.1), (0.042, 0.042, 0.042), fruit)
    return build.build("bowl", name)


def microwave(rng: Rng) -> Thing:
    """A microwave oven."""
    name, colour = pick(rng, ("white", "black", "gray"))
    build = Builder()
    build.box((-0.25, -0.19, 0), (0.25, 0.17, 0.29), colour, PLAIN, 0.01)
    build.box((-0.22, 0.14, 0.04), (0.1, 0.185, 0.25), SCREEN if name != "black" else (0.3, 0.32, 0.34))
    build.box((0.13, 0.14, 0.04), (0.22, 0.185, 0.25), darker(colour, 0.6), CHECKED)
    return build.build("microwave", name)


def kettle(rng: Rng) -> Thing:
    """A kettle with spout and handle."""
    name, colour = pick(rng, ("gray", "white", "black", "red"))
    build = Builder()
    build.cone((0, 0, 0), 0.2, 0.085, 0.06, colour)
    build.ball((0, 0, 0.2), (0.058, 0.058, 0.035), COLOURS["black"])
    build.rod((0.05, 0, 0.14), (0.12, 0, 0.19), 0.018, colour)
    build.rod((-0.12, 0, 0.05), (-0.12, 0, 0.2), 0.017, COLOURS["black"])
    for z in (0.055, 0.195):
        build.rod((-0.12, 0, z), (-0.05, 0, z), 0.017, COLOURS["black"])
    return build.build("kettle", name)


def printer(rng: Rng) -> Thing:
    """A printer with paper in its tray."""
    name, colour = pick(rng, ("white", "gray", "black"))
    build = Builder()
    build.box((-0.22, -0.18, 0), (0.22, 0.18, 0.22), colour, PLAIN, 0.02)
    build.box((-0.14, -0.17, 0.2), (0.14, -0.12, 0.38), COLOURS["white"], PLAIN, 0, tilt=-0.25)
    build.box((-0.14, 0.12, 0.05), (0.14, 0.3, 0.085), (0.97, 0.97, 0.97))
    build.box((0.06, 0.13, 0.15), (0.19, 0.19, 0.2), SCREEN)
    return build.build("printer", name)


def rug(rng: Rng, half: tuple[float, float], label: str = "rug") -> Thing:
    """A rug or a bath mat of the given half sizes."""
    name, colour = pick(rng, FABRICS)
    build, (x, y) = Builder(), half
    build.box((-x, -y, -0.02), (x, y, 0.022), colour, CARPET)
    build.box(
        (-0.85 * x, -0.8 * y, -0.02), (0.85 * x, 0.8 * y, 0.032), paler(colour, 0.4), int(rng.choice([CARPET, STRIPES]))
    )
    return build.build(label, name)


def shoes(rng: Rng) -> Thing:
    """A pair of shoes."""
    name, colour = pick(rng, ("black", "white", "brown", "red", "blue"))
    build = Builder()
    for x in (-0.07, 0.07):
        build.box((x - 0.045, -0.14, 0), (x + 0.045, 0.14, 0.035), darker(colour, 0.5))
        build.ball((x, 0.06, 0.035), (0.044, 0.09, 0.05), colour)
        build.box((x - 0.04, -0.135, 0.02), (x + 0.04, -0.01, 0.11), colour, PLAIN, 0.03)
    return build.build("shoes", name)


def laundry_basket(rng: Rng) -> Thing:
    """A basket with laundry."""
    name, colour = pick(rng, ("white", "beige", "blue"))
    build = Builder()
    build.rim((-0.26, -0.2, 0), (0.26, 0.2, 0.4), 0.1, 0.035, colour, STRIPES)
    build.box((-0.22, -0.16, 0), (0.22, 0.16, 0.2), darker(colour))
    for _ in range(4):
        _, cloth = pick(rng, CLOTHS)
        at = (rng.uniform(-0.1, 0.1), rng.uniform(-0.07, 0.07), 0.34)
        build.ball(at, (0.12, 0.1, 0.1), cloth, FABRIC)
    return build.build("laundry basket", name)


def toilet_paper(rng: Rng) -> Thing:
    """A roll on a holder, for a wall."""
    build = Builder()
    build.rod((-0.06, 0.07, 0.06), (0.06, 0.07, 0.06), 0.058, near(rng, (0.96, 0.96, 0.94), 0.02))
    build.rod((-0.09, 0.07, 0.06), (0.09, 0.07, 0.06), 0.018, METAL)
    build.box((-0.1, -0.02, 0.03), (-0.07, 0.09, 0.09), METAL)
    return build.build("toilet paper", "white")


def guitar(rng: Rng) -> Thing:
    """A guitar that leans backwards."""
    name, colour = pick(rng, ("brown", "red", "black", "beige"))
    build = Builder()
    build.rod((0, 0.05, 0.2), (0, -0.05, 0.22), 0.19, colour, WOOD)
    build.rod((0, 0.02, 0.45), (0, -0.07, 0.47), 0.14, colour, WOOD)
    build.rod((0, 0.056, 0.27), (0, 0.02, 0.28), 0.045, COLOURS["black"])
    build.box((-0.025, -0.08, 0.5), (0.025, -0.04, 1.0), darker(colour, 0.6), WOOD, 0, tilt=-0.12)
    return build.build("guitar", name)


def ball(rng: Rng) -> Thing:
    """A ball."""
    name, colour = pick(rng, ("red", "blue", "yellow", "green", "orange"))
    build, radius = Builder(), rng.uniform(0.11, 0.16)
    build.ball((0, 0, radius), (radius, radius, radius), colour, STRIPES)
    return build.build("ball", name)
