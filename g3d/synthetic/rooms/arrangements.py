"""Groups of things that several kinds of rooms have: windows with curtains, workplaces, tables with chairs, clutter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from g3d.synthetic.rooms import clutter, fixtures, furniture
from g3d.synthetic.rooms.colours import CLOTHS, pick
from g3d.synthetic.rooms.layout import Plan
from g3d.synthetic.rooms.solids import Thing, turn_z

Rng = np.random.Generator


def add_door(plan: Plan, walls: Sequence[int] = (0, 1, 2, 3)) -> None:
    """A closed door, with free floor before it."""
    number = plan.hang(fixtures.door(plan.rng), 0.0, walls)
    if number is not None:
        plan.keep_free(number, 0.9)


def add_window(plan: Plan, walls: Sequence[int] = (0, 1, 2, 3), sill: float = 0.9) -> None:
    """A window, often with a pair of curtains, or with a radiator below it."""
    rng = plan.rng
    number = plan.hang(fixtures.window(rng), sill + rng.uniform(0, 0.1), walls)
    if number is None:
        return
    placed = plan.objects[number]
    wall = plan.wall_behind(number)
    along, half = plan.along_of(number, wall), placed.thing.size[0] / 2
    if sill < 1 and rng.random() < 0.7:
        pair = pick(rng, CLOTHS)
        for side in (-1, 1):
            cloth = fixtures.curtain(rng, 2.15, pair)
            plan.beside_wall(cloth, wall, along + side * (half + 0.05), 0.06, 0.06, "wall", (number,))
    if sill < 1 and rng.random() < 0.5:
        heater = plan.beside_wall(fixtures.radiator(rng), wall, along, 0.0, 0.0, "wall")
        if heater is not None:
            plan.keep_free(heater, 0.1)


def add_workplace(plan: Plan, seat: Callable[[Rng], Thing]) -> None:
    """A desk with screen and keyboard, or laptop, and a chair partly below it."""
    rng = plan.rng
    desk = plan.against(furniture.desk(rng))
    if desk is None:
        return
    deep = plan.objects[desk].thing.size[1] / 2
    away = deep + rng.uniform(0.0, 0.25)
    chair = plan.near(seat(rng), desk, (rng.uniform(-0.15, 0.15), away), np.pi + rng.uniform(-0.4, 0.4), touching=True)
    if rng.random() < 0.7:
        screen = plan.on(clutter.monitor(rng), desk, 0.15, back=True)
        if screen is not None:
            turn = plan.objects[desk].yaw
            at = plan.objects[screen].position + turn_z(turn) @ np.array([0, 0.26, 0])
            # the chair's seat may be below it
            plan.at(clutter.keyboard(rng), at, turn, desk, (desk,) if chair is None else (desk, chair))
    else:
        plan.on(clutter.laptop(rng), desk)
    scatter(plan, desk, (clutter.cup, clutter.books, lambda r: clutter.lamp(r, False), clutter.bottle), 3)
    if rng.random() < 0.5:
        plan.hang_above(fixtures.picture(rng), desk, rng.uniform(0.5, 0.7))


def add_seating(plan: Plan, table: Thing, seat: Callable[[Rng], Thing] = furniture.chair) -> int | None:
    """A table in the room with chairs of one kind at its sides, some pulled out."""
    rng = plan.rng
    number = plan.stand(table, 0.55, float(rng.choice([0, np.pi / 2])))
    if number is None:
        return None
    x, y = table.size[:2] / 2
    places = [(0.0, y, np.pi), (0.0, -y, 0.0), (x, 0.0, np.pi / 2), (-x, 0.0, -np.pi / 2)]
    if x > 0.7:
        places = [(s * x / 2, f * y, np.pi if f > 0 else 0.0) for s in (-1, 1) for f in (-1, 1)] + places[2:]
    state = int(rng.integers(2**31))
    for px, py, yaw in places:
        if rng.random() < 0.85:
            chair = seat(np.random.default_rng(state))  # chairs of one set
            out = rng.uniform(0.02, 0.3)
            offset = (px + np.sign(px) * out if py == 0 else px, py + np.sign(py) * out)
            plan.near(chair, number, offset, yaw + rng.uniform(-0.2, 0.2), touching=True)
    return number


def add_shelf(plan: Plan, label: str) -> None:
    """A bookshelf or a shelf with things in it."""
    number = plan.against(furniture.bookshelf(plan.rng, label), clear=0.4)
    if number is not None:
        count = 6 if label == "shelf" else 2
        scatter(plan, number, (clutter.row_of_books, clutter.box, clutter.books, clutter.bottle, clutter.bowl), count)


def scatter(plan: Plan, number: int, makers: Sequence[Callable[[Rng], Thing]], count: int, back: bool = False) -> None:
    """Put up to `count` things on an object."""
    for k in plan.rng.permutation(max(count, len(makers)))[:count]:
        plan.on(makers[int(k) % len(makers)](plan.rng), number, back=back)


def add_others(plan: Plan, makers: Sequence[Callable[[Rng], Thing]], count: int) -> None:
    """Stand up to `count` things about, each at a wall or in a corner if it can."""
    for k in plan.rng.permutation(len(makers))[:count]:
        thing = makers[int(k)](plan.rng)
        if plan.rng.random() < 0.6:
            plan.against(thing, gap=(0.02, 0.12))
        elif plan.stand(thing, corner=plan.rng.random() < 0.5) is None:
            plan.against(thing)


def add_pictures(plan: Plan, count: int) -> None:
    """Up to `count` pictures and paintings on the walls."""
    for _ in range(count):
        plan.hang(fixtures.picture(plan.rng, str(plan.rng.choice(["picture", "painting"]))), plan.rng.uniform(1.2, 1.5))
