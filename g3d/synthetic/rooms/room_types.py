"""The rooms: what stands in a bedroom, an office, a kitchen, a living room, a bathroom, a corridor, a meeting room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from g3d.kernels.room_colours import CARPET, PLAIN, PLANKS, TILES
from g3d.synthetic.rooms import clutter, fixtures, furniture
from g3d.synthetic.rooms.arrangements import (
    add_door,
    add_others,
    add_pictures,
    add_seating,
    add_shelf,
    add_window,
    add_workplace,
    scatter,
)
from g3d.synthetic.rooms.colours import paler, pick
from g3d.synthetic.rooms.layout import Finish, Placed, Plan

Rng = np.random.Generator
_PALE = ("white", "beige", "gray", "yellow", "green", "blue", "pink")


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished room.

    Attributes:
        kind: one of KINDS.
        size: width, depth, height, metres.
        objects: floor, ceiling and four walls first (layout.py), then the rest; `support` refers to this list.
        places: (N, 2) float64, where a person with a camera can stand.
        lamps: (L, 4) float64, place and strength of each light.
    """

    kind: str
    size: tuple[float, float, float]
    objects: tuple[Placed, ...]
    places: np.ndarray
    lamps: np.ndarray


def furnish(rng: Rng, kind: str) -> Room:
    """A room of one of KINDS."""
    extent, floors, decorate = _TYPES[kind]
    width, depth = rng.uniform(*extent[0]), rng.uniform(*extent[1])
    if rng.random() < 0.5:
        width, depth = depth, width
    size = (float(width), float(depth), float(rng.uniform(2.35, 2.75)))
    floor = int(rng.choice(floors))
    ground = {PLANKS: ("brown", "beige"), TILES: ("white", "gray", "beige"), CARPET: ("gray", "blue", "beige")}[floor]
    name, colour = pick(rng, _PALE)
    walls = (name, colour if name in ("white", "beige") else paler(colour, 0.68))
    tiled = kind == "bathroom"
    if tiled:
        walls = ("white", (0.85, 0.9, 0.92))
    finish = Finish(floor, pick(rng, ground), walls, TILES if tiled else PLAIN)
    plan = Plan(rng, size, finish)
    decorate(plan)
    _light(plan)
    objects = tuple(plan.objects)
    return Room(kind, size, objects, plan.standing_places(9), _lamps(objects, size))


def _bedroom(plan: Plan) -> None:
    rng = plan.rng
    add_door(plan)
    head = int(rng.integers(4))
    bed = plan.against(furniture.bed(rng), (head, (head + 1) % 4))
    if bed is not None:
        width = plan.objects[bed].thing.size[0]
        for _ in range(1 if width < 1.3 else 2):
            plan.on(clutter.pillow(rng), bed, 0.1)
        for side in (-1, 1):
            if rng.random() < 0.8:
                stand = furniture.cabinet(rng, "nightstand")
                offset = (
                    side * (width / 2 + stand.size[0] / 2 + 0.01),
                    plan.objects[bed].thing.bounds[0, 1] - stand.bounds[0, 1],
                )
                number = plan.near(stand, bed, offset)
                if number is not None:
                    scatter(plan, number, (lambda r: clutter.lamp(r, False), clutter.books, clutter.cup), 2)
        plan.hang_above(fixtures.picture(rng, str(rng.choice(["picture", "painting"]))), bed, rng.uniform(0.15, 0.35))
    add_window(plan)
    plan.against(furniture.cabinet(rng, "wardrobe closet"), clear=0.5)
    chest = plan.against(furniture.cabinet(rng, "dresser"), clear=0.4)
    if chest is not None:
        plan.hang_above(fixtures.picture(rng, "mirror"), chest, 0.12)
        scatter(plan, chest, (clutter.books, clutter.bottle, clutter.box, lambda r: clutter.plant(r, False)), 3)
    if rng.random() < 0.6:
        add_workplace(plan, furniture.chair)
    plan.stand(clutter.rug(rng, (rng.uniform(0.5, 0.8), rng.uniform(0.4, 0.6))), yaw=0.0)
    add_others(
        plan,
        (clutter.laundry_basket, clutter.guitar, clutter.suitcase, clutter.backpack, clutter.shoes, clutter.lamp),
        4,
    )
    add_pictures(plan, 1)


def _office(plan: Plan) -> None:
    rng = plan.rng
    add_door(plan)
    add_window(plan)
    for _ in range(int(rng.integers(1, 4))):
        add_workplace(plan, furniture.office_chair)
    for label in ("bookshelf", "shelf"):
        add_shelf(plan, label)
    number = plan.against(furniture.cabinet(rng, "file cabinet"), clear=0.3)
    if number is not None:
        scatter(plan, number, (clutter.printer, clutter.box, clutter.books, lambda r: clutter.plant(r, False)), 2)
    number = plan.against(furniture.cabinet(rng), clear=0.3)
    if number is not None:
        scatter(plan, number, (clutter.printer, clutter.books, clutter.box), 2)
    plan.hang(fixtures.whiteboard(rng), rng.uniform(0.95, 1.1))
    if rng.random() < 0.4:
        plan.against(furniture.couch(rng))
    plan.hang(fixtures.clock(rng), 1.9)
    add_others(plan, (clutter.trash_can, clutter.box, clutter.plant, clutter.backpack, clutter.trash_can), 5)
    add_pictures(plan, 1)


def _kitchen(plan: Plan) -> None:
    rng = plan.rng
    wall = int(rng.integers(4))
    width = min(plan.length(wall) - 0.7 - 0.64, rng.uniform(1.8, 2.6))
    top, below, sink = fixtures.kitchen_counter(rng, width, float(rng.choice([-1, 1])) * (width / 2 - 0.55))
    middle = width / 2 + 0.72  # the fridge stands to the left of the counter, the stove to the right
    base = plan.beside_wall(below, wall, middle, 0.0)
    counter = None if base is None else plan.beside_wall(top, wall, middle, 0.0, support=base)
    if base is not None and counter is not None:
        plan.beside_wall(sink, wall, middle, 0.0, support=counter, touching=(base,))
    cooker, fridge = fixtures.stove(rng), fixtures.refrigerator(rng)
    at = middle + width / 2 + 0.31
    plan.beside_wall(cooker, wall, at, 0.0)
    plan.beside_wall(fixtures.range_hood(rng), wall, at, 0.0, 1.6, "wall")
    plan.beside_wall(fridge, wall, 0.37, -fridge.bounds[0, 1] + 0.02)
    cabinets = fixtures.wall_cabinets(rng, width, below.solids[0].colour, below.colour)
    plan.beside_wall(cabinets, wall, middle, 0.0, 1.42, "wall")
    if counter is not None:
        plan.keep_free(counter, 0.7)
        plan.on(clutter.microwave(rng), counter, 0.05)
        scatter(plan, counter, (clutter.kettle, clutter.bottle, clutter.cup, clutter.bowl, clutter.bottle), 5)
    others = [k for k in range(4) if k != wall]
    add_door(plan, others)
    add_window(plan, others)
    add_seating(plan, furniture.round_table(rng) if rng.random() < 0.4 else furniture.table(rng, "dining table"))
    cupboard = plan.against(furniture.cabinet(rng), others, clear=0.3)
    if cupboard is not None:
        scatter(plan, cupboard, (clutter.bowl, clutter.box, lambda r: clutter.plant(r, False)), 2)
    add_others(plan, (clutter.trash_can, furniture.stool, clutter.box, clutter.trash_can), 3)
    plan.hang(fixtures.clock(rng), 1.85, others)
    add_pictures(plan, 1)


def _living_room(plan: Plan) -> None:
    rng = plan.rng
    add_door(plan)
    wall = int(rng.integers(4))
    sofa = plan.against(furniture.couch(rng), (wall, (wall + 2) % 4), gap=(0.0, 0.1))
    if sofa is not None:
        scatter(plan, sofa, (clutter.cushion, clutter.cushion, clutter.pillow), 3, back=True)
        deep = plan.objects[sofa].thing.size[1]
        low = furniture.table(rng, "coffee table")
        away = deep / 2 + low.size[1] / 2 + rng.uniform(0.3, 0.45)
        number = plan.near(low, sofa, (0.0, away))
        if number is not None:
            scatter(plan, number, (clutter.books, clutter.cup, clutter.bowl, clutter.laptop), 3)
            plan.at(
                clutter.rug(rng, (0.95, 0.65)),
                plan.objects[number].position,
                plan.objects[number].yaw,
                "floor",
                (number, sofa),
            )
        side = furniture.table(rng, "end table")
        offset = float(rng.choice([-1, 1])) * (plan.objects[sofa].thing.size[0] / 2 + side.size[0] / 2 + 0.03)
        number = plan.near(side, sofa, (offset, -0.1))
        if number is not None:
            plan.on(clutter.lamp(rng, False), number)
        plan.hang_above(fixtures.picture(rng, "painting"), sofa, rng.uniform(0.2, 0.45))
        facing = (plan.wall_behind(sofa) + 2) % 4
        stand = plan.against(furniture.tv_stand(rng), (facing,))
        if stand is not None:
            plan.on(clutter.tv(rng), stand, 0.05)
    for _ in range(2):
        add_window(plan)
    for _ in range(int(rng.integers(1, 3))):
        seat = furniture.armchair(rng)
        plan.stand(seat, 0.1, rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.uniform(-0.4, 0.4))
    for _ in range(2):
        add_shelf(plan, "bookshelf")
    cupboard = plan.against(furniture.cabinet(rng), clear=0.3)
    if cupboard is not None:
        scatter(plan, cupboard, (clutter.books, lambda r: clutter.plant(r, False), clutter.bottle), 3)
    if rng.random() < 0.5:
        add_seating(plan, furniture.table(rng))
    add_others(plan, (furniture.ottoman, clutter.lamp, clutter.plant, clutter.plant, clutter.ball, clutter.box), 5)
    add_pictures(plan, 3)


def _bathroom(plan: Plan) -> None:
    rng = plan.rng
    wall = int(rng.integers(4))
    tub = fixtures.bathtub(rng)
    length = tub.size[0]
    walls = [k for k in range(4) if plan.length(k) >= length + 0.02]
    wall = int(rng.choice(walls)) if walls else wall
    along = plan.length(wall) - length / 2 - 0.01 if rng.random() < 0.5 else length / 2 + 0.01
    bath = plan.beside_wall(tub, wall, along, 0.0)
    if bath is not None:
        drape = fixtures.curtain(rng, 1.75, label="shower curtain")
        high = plan.objects[bath].thing.bounds[1]
        shift = float(rng.choice([-1, 1])) * (length - drape.size[0]) / 2
        plan.beside_wall(drape, wall, along + 0.7 * shift, float(high[1]) - 0.02, 0.22, "wall", (bath,))
    add_door(plan, [k for k in range(4) if k != wall])
    vanity, basin = fixtures.bathroom_sink(rng)
    number = plan.against(vanity, gap=(0, 0), clear=0.45)
    if number is not None:
        placed = plan.objects[number]
        plan.at(basin, placed.position, placed.yaw, number, (number,))
        mirror = fixtures.picture(rng, "mirror")
        plan.hang_above(mirror, number, rng.uniform(0.3, 0.4))
        scatter(plan, number, (clutter.cup, clutter.bottle), 1)
    seat = plan.against(fixtures.toilet(rng), gap=(0, 0), clear=0.4)
    if seat is not None:
        plan.hang(clutter.toilet_paper(rng), 0.65)
    for _ in range(2):
        plan.hang(fixtures.towel(rng), rng.uniform(0.75, 0.95))
    add_window(plan, sill=1.15)
    plan.stand(
        clutter.rug(rng, (rng.uniform(0.3, 0.4), rng.uniform(0.22, 0.3)), "mat"), yaw=float(rng.choice([0, np.pi / 2]))
    )
    add_others(plan, (clutter.trash_can, clutter.laundry_basket, furniture.stool), 3)


def _corridor(plan: Plan) -> None:
    rng = plan.rng
    for _ in range(3):
        add_door(plan)
    for label in ("bookshelf", "shelf", "bookshelf"):
        add_shelf(plan, label)
    seat = plan.against(furniture.bench(rng))
    if seat is not None:
        scatter(plan, seat, (clutter.backpack, clutter.box, clutter.books), 1)
    number = plan.against(furniture.cabinet(rng), clear=0.2)
    if number is not None:
        scatter(plan, number, (clutter.books, lambda r: clutter.plant(r, False), clutter.box), 3)
    plan.hang(fixtures.picture(rng, "mirror"), 1.1)
    plan.stand(clutter.rug(rng, (0.7, 0.35)), yaw=0.0)
    add_window(plan)
    add_others(
        plan, (clutter.shoes, clutter.trash_can, clutter.storage_bin, clutter.suitcase, clutter.plant, clutter.box), 6
    )
    add_pictures(plan, 3)


def _meeting_room(plan: Plan) -> None:
    rng = plan.rng
    add_door(plan)
    add_window(plan)
    add_window(plan)
    plan.hang(fixtures.whiteboard(rng), 1.0)
    plan.hang(clutter.tv(rng, False), 1.2)
    seats = furniture.office_chair if rng.random() < 0.5 else furniture.chair
    number = add_seating(plan, furniture.table(rng), seats)
    if number is not None:
        scatter(plan, number, (clutter.laptop, clutter.bottle, clutter.cup, clutter.cup), 5)
    number = plan.against(furniture.cabinet(rng), clear=0.3)
    if number is not None:
        scatter(plan, number, (clutter.printer, clutter.books, clutter.box), 2)
    add_shelf(plan, "bookshelf")
    plan.hang(fixtures.clock(rng), 1.9)
    add_others(plan, (clutter.trash_can, clutter.plant, seats, seats, clutter.backpack), 5)
    add_pictures(plan, 2)


def _light(plan: Plan) -> None:
    width, depth, height = plan.size
    spots = [(0.5, 0.5)] if max(width, depth) < 5 else [(0.28, 0.5), (0.72, 0.5)]
    for a, b in spots:
        a, b = (a, b) if width >= depth else (b, a)
        plan.at(fixtures.ceiling_light(plan.rng), (a * width, b * depth, height - 0.09), 0.0, "ceiling")


def _lamps(objects: Sequence[Placed], size: tuple[float, float, float]) -> np.ndarray:
    lights = [placed.position - np.array([0, 0, 0.15]) for placed in objects if placed.thing.label == "ceiling light"]
    found = [[*place, 0.55 / len(lights)] for place in lights]
    middle = np.array([size[0] / 2, size[1] / 2, 1.4])
    for placed in objects:
        if placed.thing.label == "window":
            place = placed.bounds.mean(0)
            place[:2] += 0.25 * (middle - place)[:2] / np.linalg.norm((middle - place)[:2])
            found.append([*place, 0.25])
    return np.array(found or [[*middle, 0.8]])


_TYPES: dict[str, tuple[tuple[tuple[float, float], tuple[float, float]], tuple[int, ...], Callable[[Plan], None]]] = {
    "bedroom": (((3.4, 4.4), (3.2, 4.0)), (PLANKS, CARPET), _bedroom),
    "office": (((3.6, 5.0), (3.2, 4.2)), (PLANKS, CARPET, TILES), _office),
    "kitchen": (((3.9, 4.8), (3.4, 4.2)), (TILES, PLANKS), _kitchen),
    "living room": (((4.3, 5.2), (3.7, 4.3)), (PLANKS, CARPET), _living_room),
    "bathroom": (((2.4, 3.2), (2.2, 2.8)), (TILES,), _bathroom),
    "corridor": (((4.8, 6.4), (1.9, 2.5)), (PLANKS, TILES), _corridor),
    "meeting room": (((4.2, 5.2), (3.3, 4.2)), (CARPET, PLANKS), _meeting_room),
}
KINDS = tuple(_TYPES)
"""Kinds of rooms."""
SCANNET_TYPES = dict(
    zip(
        KINDS,
        ("Bedroom / Hotel", "Office", "Kitchen", "Living room / Lounge", "Bathroom", "Hallway", "Conference Room"),
        strict=True,
    )
)
"""ScanNet's name for each kind, the `sceneType` of <scene>.txt."""
