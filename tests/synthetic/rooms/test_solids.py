"""Solids: their distances against the definitions, their triangles against their distances."""

from __future__ import annotations

import numpy as np
import pytest
from support.solid_oracle import surface_distance

from g3d.synthetic.rooms.solids import Builder, SolidArrays, Thing
from g3d.synthetic.rooms.triangles import triangulate

KINDS = ("box", "cone", "ellipsoid", "rim")


def things() -> dict[str, Thing]:
    """One thing of one solid for each kind and special case."""
    made = {}
    for name in ("sharp box", "rounded box", "tilted box", "cylinder", "cone", "rod", "ball", "tube", "rim"):
        build = Builder()
        if name == "sharp box":
            build.box((0, 0, 0), (0.4, 0.2, 0.7), (1, 1, 1), yaw=0.4)
        elif name == "rounded box":
            build.box((0, 0, 0), (0.4, 0.2, 0.7), (1, 1, 1), rounding=0.06)
        elif name == "tilted box":
            build.box((0, 0, 0), (0.4, 0.2, 0.7), (1, 1, 1), rounding=0.03, tilt=0.5, yaw=-1.2)
        elif name in ("cylinder", "cone"):
            build.cone((0.1, 0, 0), 0.5, 0.3, 0.3 if name == "cylinder" else 0.1, (1, 1, 1))
        elif name == "rod":
            build.rod((0, 0, 0), (0.3, 0.4, 0.5), 0.05, (1, 1, 1))
        elif name == "ball":
            build.ball((0, 0, 0.2), (0.3, 0.2, 0.12), (1, 1, 1))
        elif name == "tube":
            build.rim((-0.2, -0.2, 0), (0.2, 0.2, 0.4), 0.2, 0.04, (1, 1, 1))
        else:
            build.rim((-0.4, -0.2, 0), (0.4, 0.2, 0.3), 0.1, 0.05, (1, 1, 1))
        made[name] = build.build("box", "white")
    return made


def described(shapes: SolidArrays) -> list[dict[str, object]]:
    """Solids as the description of a scan has them."""
    return [
        {
            "kind": KINDS[shapes.kinds[k]],
            "center": shapes.centres[k],
            "half": shapes.halves[k],
            "extra": shapes.extras[k],
            "axes": shapes.rotations[k],
        }
        for k in range(len(shapes.kinds))
    ]


@pytest.mark.parametrize("name", things())
def test_distances_follow_the_definitions(name: str) -> None:
    shapes = SolidArrays.of(things()[name].solids)
    low, high = things()[name].bounds
    points = np.random.default_rng(0).uniform(low - 0.1, high + 0.1, (4000, 3))
    first, stop = np.zeros(len(points), np.int64), np.ones(len(points), np.int64)
    expected = surface_distance(points, described(shapes))
    close = np.abs(expected) < 0.05
    assert close.sum() > 200
    # the ellipsoid's distance is a first-order estimate
    tolerance = 0.012 if name == "ball" else 1e-9
    found = shapes.distance(points, first, stop)
    np.testing.assert_allclose(found[close], expected[close], atol=tolerance)
    assert ((found < 0) == (expected < 0))[np.abs(expected) > 1e-9].all()


@pytest.mark.parametrize("name", things())
def test_triangles_cover_the_surface(name: str) -> None:
    thing = things()[name]
    shapes = SolidArrays.of(thing.solids)
    triangles, owners = triangulate(shapes)
    assert (owners == 0).all()
    inner = triangles.mean(1)
    corners = triangles.reshape(-1, 3)
    solids = described(shapes)
    assert np.abs(surface_distance(corners, solids)).max() < 1e-6
    # facets lie inside round parts by at most r (1 - cos(pi / 28)): 2 mm for 0.3 m
    assert np.abs(surface_distance(inner, solids)).max() < 0.005
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    length = np.linalg.norm(normals, axis=1)
    real = length > 1e-9
    outside = inner[real] + 0.01 * normals[real] / length[real, None]
    assert (surface_distance(outside, solids) > 0.003).all()
    volume = np.einsum("ij,ij->", np.cross(triangles[:, 0], triangles[:, 1]), triangles[:, 2]) / 6
    low, high = thing.bounds
    points = np.random.default_rng(1).uniform(low, high, (60_000, 3))
    share = (surface_distance(points, solids) < 0).mean()
    assert volume == pytest.approx(share * np.prod(high - low), rel=0.04)


def test_bounds_are_those_of_the_surface() -> None:
    for thing in things().values():
        triangles, _ = triangulate(SolidArrays.of(thing.solids))
        low, high = thing.bounds
        found = triangles.reshape(-1, 3)
        assert (found.min(0) >= low - 1e-9).all()
        assert (found.max(0) <= high + 1e-9).all()
