"""Distance field, surface nets and sightlines on shapes whose answers are known."""

from __future__ import annotations

import numpy as np

from g3d.kernels import distance_field, surface_nets
from g3d.synthetic.rooms.fusion import free_steps
from g3d.synthetic.rooms.solids import Builder, SolidArrays

VOXEL, BAND = 0.02, 0.06


def field_of(build: Builder) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Field, owners and origin around what was built."""
    thing = build.build("box", "white")
    low, high = thing.bounds
    origin = low - 5 * VOXEL
    shape = tuple(np.ceil((high - low) / VOXEL).astype(int) + 11)
    field = np.full(shape, BAND, np.float32)
    owner = np.full(shape, distance_field.NOBODY, np.int16)
    shapes = SolidArrays.of(thing.solids)
    distance_field.fuse(*shapes.shapes, origin, VOXEL, BAND, VOXEL, field, owner)
    return field, owner, origin


def ball_mesh() -> tuple[np.ndarray, np.ndarray]:
    build = Builder()
    build.ball((0, 0, 0), (0.3, 0.3, 0.3), (1, 1, 1))
    field, _, origin = field_of(build)
    vertices, faces = surface_nets.extract(field, 100_000)
    return vertices * VOXEL + origin, faces


def test_the_mesh_of_a_ball_is_closed_and_looks_outwards() -> None:
    vertices, faces = ball_mesh()
    assert np.abs(np.linalg.norm(vertices, axis=1) - 0.3).max() < 0.15 * VOXEL
    directed = {tuple(edge) for a, b, c in faces.tolist() for edge in ((a, b), (b, c), (c, a))}
    assert len(directed) == 3 * len(faces)
    assert all((b, a) in directed for a, b in directed)
    assert len(vertices) - len(directed) // 2 + len(faces) == 2  # Euler's number of a sphere
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->", np.cross(a, b), c) / 6
    assert abs(volume / (4 / 3 * np.pi * 0.027) - 1) < 0.02


def test_the_seen_part_grows_and_loose_pieces_go() -> None:
    strip = np.array([[k, k + 1, k + 2] for k in range(8)], np.int32)  # vertices 0 to 9
    loose = np.array([[10, 11, 12]], np.int32)
    faces = np.concatenate([strip, loose])
    for rings, start, expected in ((0, (4, 5, 6), (4, 5, 6)), (1, (5,), (3, 4, 5, 6, 7)), (2, (5,), range(1, 10))):
        keep = np.isin(np.arange(13), [*start, 10, 11, 12])
        surface_nets.keep_pieces(faces, rings, 3, keep)
        assert np.flatnonzero(keep).tolist() == [*expected, 10, 11, 12]
    keep = np.isin(np.arange(13), [4, 5, 6, 7, 9, 10, 11, 12])
    surface_nets.keep_pieces(faces, 0, 4, keep)
    assert np.flatnonzero(keep).tolist() == [4, 5, 6, 7]  # 9 has no face, 10 to 12 are too few


def test_normals_are_smoothed() -> None:
    vertices, faces = ball_mesh()
    exact = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    rough = exact + np.random.default_rng(0).normal(0, 0.2, exact.shape)
    rough /= np.linalg.norm(rough, axis=1, keepdims=True)
    expected = rough
    for _ in range(2):
        sums = 2 * expected
        np.add.at(sums, faces.ravel(), expected[np.roll(faces, -1, 1).ravel()])
        expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    smooth = rough.copy()
    surface_nets.smooth_normals(faces, 2, smooth)
    np.testing.assert_allclose(smooth, expected, atol=1e-12)
    assert ((smooth - exact) ** 2).mean() < 0.2 * ((rough - exact) ** 2).mean()


def test_too_little_room_is_told() -> None:
    build = Builder()
    build.ball((0, 0, 0), (0.3, 0.3, 0.3), (1, 1, 1))
    field, _, _ = field_of(build)
    needed, faces = surface_nets.extract(field, 10)
    vertices, _ = surface_nets.extract(field, len(needed))
    assert len(faces) == 0
    assert len(needed) == len(vertices) > 1000


def test_the_field_is_the_distance_within_its_band() -> None:
    build = Builder()
    build.box((0, 0, 0), (0.4, 0.3, 0.2), (1, 1, 1), yaw=0.3)
    field, owner, origin = field_of(build)
    shapes = SolidArrays.of(build.build("box", "white").solids)
    places = np.stack(np.meshgrid(*(np.arange(n) for n in field.shape), indexing="ij"), -1).reshape(-1, 3)
    none, one = np.zeros(len(places), np.int64), np.ones(len(places), np.int64)
    exact = np.clip(shapes.distance(places * VOXEL + origin, none, one), -BAND, BAND)
    # a lone solid is joined with the empty field at the band's edge only
    inner = np.abs(exact) < BAND - VOXEL
    np.testing.assert_allclose(field.ravel()[inner], exact[inner], atol=1e-6)
    assert (owner.ravel()[inner] == 0).all()


def test_things_that_nearly_touch_are_welded() -> None:
    apart = Builder()
    apart.box((0, 0, 0), (0.2, 0.2, 0.2), (1, 1, 1))
    apart.box((0, 0, 0.205), (0.2, 0.2, 0.4), (1, 1, 1))
    field, owner, origin = field_of(apart)
    points = np.array([[0.0, 0.1, 0.1], [0.0, 0.1, 0.19], [0.0, 0.1, 0.215], [0.1, 0.1, 0.4], [3.0, 0, 0]])
    named = np.empty(5, np.int64)
    shapes = SolidArrays.of(apart.build("box", "white").solids)
    distance_field.name_surfaces(points, *shapes.shapes, origin, VOXEL, owner, named)
    assert named.tolist() == [0, 0, 1, 1, distance_field.NOBODY]
    middle = np.rint((np.array([0.1, 0.1, 0.2025]) - origin) / VOXEL).astype(int)
    assert (field[middle[0], middle[1], middle[2] - 3 : middle[2] + 4] < 0).all()


def test_noise_is_seeded_and_bounded() -> None:
    vertices, _ = ball_mesh()
    build = Builder()
    build.ball((0, 0, 0), (0.3, 0.3, 0.3), (1, 1, 1))
    made = []
    for seed in (1, 1, 2):
        field, _, origin = field_of(build)
        surface_nets.roughen(field, BAND, 0.004, 6.0, 0.002, seed)
        made.append(surface_nets.extract(field, 100_000)[0] * VOXEL + origin)
    assert np.array_equal(made[0], made[1])
    assert made[0].shape != made[2].shape or not np.array_equal(made[0], made[2])
    off = np.linalg.norm(made[0], axis=1) - 0.3
    assert 0.0005 < off.std() < 0.006
    assert np.abs(off).max() < 0.015
    assert vertices.shape != made[0].shape or not np.array_equal(vertices, made[0])


def test_a_board_hides_what_is_behind_it() -> None:
    build = Builder()
    build.box((-1, -1, -0.1), (1, 1, 0), (1, 1, 1))  # floor
    build.box((-0.3, -0.3, 0.5), (0.3, 0.3, 0.55), (1, 1, 1))  # board above it
    field, _, origin = field_of(build)
    x = np.linspace(-0.85, 0.85, 35)
    points = np.column_stack([x, np.zeros(35), np.zeros(35)])
    normals = np.tile([0.0, 0.0, 1.0], (35, 1))
    pose = np.array([[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 1.5], [0, 0, 0, 1.0]])  # looks down from 1.5 m
    seen = np.zeros(35, np.int32)
    lens = np.array([1.0, 1.0])
    side = 4
    occupied = np.zeros([-(-count // side) for count in field.shape], bool)
    distance_field.occupy(field, BAND, side, occupied)
    places = np.argwhere(field < BAND) // side
    assert occupied[tuple(places.T)].all()
    assert occupied.sum() == len(np.unique(places, axis=0))
    ways = (origin, VOXEL, BAND, field)
    for steps in (np.zeros(occupied.shape, np.float32), free_steps(occupied, side * VOXEL)):
        seen[:] = 0
        distance_field.count_views(points, normals, pose[None], lens, 3.0, 0.1, 1, *ways, steps, side, seen)
        check_shadow(x, seen)
    for width, far, facing in ((0.01, 3.0, 0.1), (1.0, 1.0, 0.1), (1.0, 3.0, 0.999)):
        lens = np.array([width, width])
        seen[:] = 0
        distance_field.count_views(points, normals, pose[None], lens, far, facing, 1, *ways, steps, side, seen)
        assert not seen[np.abs(x) > SHADOW + 0.06].any()


SHADOW = 0.3 * 1.5 / 0.95
"""Half the width of the shadow of the board's upper edge on the floor, metres."""


def check_shadow(x: np.ndarray, seen: np.ndarray) -> None:
    clear, hidden = np.abs(x) > SHADOW + 0.06, np.abs(x) < 0.3 * 1.5 / 1.0 - 0.06
    assert clear.sum() > 10
    assert hidden.sum() > 10
    assert seen[clear].all()
    assert not seen[hidden].any()
