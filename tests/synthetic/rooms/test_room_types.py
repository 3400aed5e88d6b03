"""Furnished rooms, without their meshes: what stands in them, and that it could."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from g3d.data.scannet.labels import DETECTION18_IDS, LabelTable
from g3d.synthetic.rooms.camera_path import camera_path
from g3d.synthetic.rooms.categories import CATEGORIES, label_table
from g3d.synthetic.rooms.layout import SHELL, Finish, Plan
from g3d.synthetic.rooms.room_types import KINDS, SCANNET_TYPES, Room, furnish
from g3d.synthetic.rooms.scan import kind_of
from g3d.synthetic.rooms.solids import Builder, Thing


@cache
def rooms() -> tuple[Room, ...]:
    return tuple(furnish(np.random.default_rng(seed), kind) for kind in KINDS for seed in range(6))


def cube(side: float, label: str = "box") -> Thing:
    build = Builder()
    build.box((-side / 2, -side / 2, 0), (side / 2, side / 2, side), (1, 1, 1))
    build.top((-side / 2, -side / 2), (side / 2, side / 2), side, 0.3)
    return build.build(label, "white")


def plan(size: tuple[float, float, float] = (3.0, 4.0, 2.5)) -> Plan:
    return Plan(np.random.default_rng(0), size, Finish(0, ("white", (1, 1, 1)), ("white", (1, 1, 1)), 0))


def test_the_rooms_hold_all_of_scannets_classes() -> None:
    found = {CATEGORIES[placed.thing.label][2] for room in rooms() for placed in room.objects}
    assert set(DETECTION18_IDS) <= found
    assert len(found) >= 30


@pytest.mark.parametrize("kind", KINDS)
def test_things_stay_in_their_room_and_stand_on_something(kind: str) -> None:
    for room in (room for room in rooms() if room.kind == kind):
        assert len(room.objects) > SHELL + 8
        for placed in room.objects[SHELL:]:
            low, high = placed.bounds
            assert (low > (-0.06, -0.06, -0.06)).all(), placed.thing.label
            assert (high < np.array(room.size) + 0.06).all(), placed.thing.label
            if isinstance(placed.support, int):
                carrier = room.objects[placed.support]
                under = carrier.bounds
                heights = [top.height for top in carrier.thing.tops]
                assert (placed.position[:2] > under[0, :2] - 0.01).all()
                assert (placed.position[:2] < under[1, :2] + 0.01).all()
                # fixtures are built in one frame with what carries them
                assert placed.position[2] == 0 or min(abs(h - placed.position[2]) for h in heights) < 1e-6
            elif placed.support == "floor":
                assert abs(placed.position[2]) < 1e-9


def test_big_things_do_not_run_through_each_other() -> None:
    for room in rooms():
        big = [k for k in range(SHELL, len(room.objects)) if room.objects[k].support == "floor"]
        for at, a in enumerate(big):
            for b in big[at + 1 :]:
                names = {room.objects[k].thing.label for k in (a, b)}
                pushed_in = names & {"chair", "office chair"} and any("table" in n or n == "desk" for n in names)
                if pushed_in or names & {"rug", "mat", "door", "window"}:
                    continue
                low = np.maximum(room.objects[a].bounds[0], room.objects[b].bounds[0])
                high = np.minimum(room.objects[a].bounds[1], room.objects[b].bounds[1])
                assert (high - low).min() < 0.03, (room.kind, names)


def test_labels_are_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(label_table({"chair": 3}))
    table = LabelTable.read(path)
    for room in rooms():
        for placed in room.objects:
            assert table[placed.thing.label].nyu40 == CATEGORIES[placed.thing.label][2]
    assert set(SCANNET_TYPES) == set(KINDS)


def test_the_same_generator_gives_the_same_room() -> None:
    for kind in KINDS:
        first, second, other = (furnish(np.random.default_rng(seed), kind) for seed in (3, 3, 4))
        assert [p.position.tolist() for p in first.objects] == [p.position.tolist() for p in second.objects]
        assert [p.position.tolist() for p in first.objects] != [p.position.tolist() for p in other.objects]


def test_every_kind_comes_in_turn() -> None:
    for seed in range(3):
        kinds = [kind_of(seed, index) for index in range(2 * len(KINDS))]
        assert sorted(kinds[: len(KINDS)]) == sorted(kinds[len(KINDS) :]) == sorted(KINDS)
    assert {kind_of(0, index, ("office",)) for index in range(5)} == {"office"}


def test_cameras_stand_in_the_room_and_do_not_stare_at_walls() -> None:
    for room in rooms():
        poses = camera_path(room, np.random.default_rng(1), 60)
        turns, places = poses[:, :3, :3], poses[:, :3, 3]
        np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (60, 1, 1)), atol=1e-12)
        assert np.allclose(np.linalg.det(turns), 1)
        assert (turns[:, 2, 1] < 0).all()  # the picture's y axis points down
        assert (places > 0.2).all()
        assert (places < np.array(room.size) - 0.2).all()
        again = camera_path(room, np.random.default_rng(1), 119)  # the same walk in half steps
        np.testing.assert_allclose(again[::2], poses, atol=1e-9)


def test_cameras_look_into_the_open() -> None:
    """At no key pose, anything that reaches across eye height is within a metre."""
    assert not [(room.kind, found) for room in rooms() if (found := near_things(room))]


def near_things(room: Room) -> list[int]:
    """The key poses of a walk with a wall or a tall thing within a metre of the camera's horizontal line of sight."""
    poses = camera_path(room, np.random.default_rng(1), 6 * len(room.places))
    tall = [p.bounds[:, :2] for p in room.objects[SHELL:] if p.bounds[0, 2] <= 1.4 <= p.bounds[1, 2]]
    found = []
    for number, pose in enumerate(poses):
        ahead = pose[:2, 2] / np.linalg.norm(pose[:2, 2])
        line = pose[:2, 3] + np.linspace(0.02, 1.0, 50)[:, None] * ahead
        hit = ((line < 0) | (line > room.size[:2])).any(1)
        for low, high in tall:
            hit |= ((line > low) & (line < high)).all(1)
        if hit.any():
            found.append(number)
    return found


def test_a_plan_refuses_collisions() -> None:
    room = plan()
    first = room.at(cube(0.5), (1, 1, 0), 0.0)
    assert first is not None
    assert room.at(cube(0.5), (1.3, 1, 0), 0.0) is None
    assert room.at(cube(0.5), (1.3, 1, 0), 0.0, touching=(first,)) is not None
    assert room.at(cube(0.5), (2.9, 1, 0), 0.0) is None
    assert room.at(cube(0.5), (2, 3, 2.2), 0.0) is None


def test_free_space_is_kept_and_headroom_is_minded() -> None:
    room = plan()
    number = room.beside_wall(cube(0.5), 1, 2.0, 0.25)
    assert number is not None
    assert room.wall_behind(number) == 1
    np.testing.assert_allclose(room.objects[number].bounds[1, 0], 3.0)
    room.keep_free(number, 0.8)
    assert room.at(cube(0.3), (2.1, 2.0, 0), 0.0) is None
    assert room.at(cube(0.3), (1.3, 2.0, 0), 0.0) is not None
    assert room.on(cube(0.2), number) is not None
    assert room.on(cube(0.4), number) is None  # higher than the 0.3 m that are free above
    assert room.on(cube(0.25), room.stand(cube(0.2)) or 0) is None  # wider than the top


def test_a_full_room_takes_no_more() -> None:
    room = plan((1.2, 1.2, 2.5))
    assert room.stand(cube(0.8), yaw=0.0) is not None
    assert room.stand(cube(0.8), yaw=0.0) is None
    assert room.against(cube(1.5)) is None
