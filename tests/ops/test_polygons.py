"""Polygons are drawn to the pixel as COCO draws them: by codes that pycocotools made, and beside it where it is
installed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support import paths
from support.polygon_shapes import KINDS, polygon

from g3d.kernels import polygons as kernel
from g3d.ops.mask_rle import rle_decode, rle_merge, rle_to_strings
from g3d.ops.polygons import polygons_to_mask, polygons_to_rle

REFER = paths.SHARED / "golden" / "vglaw"


def stored() -> list[tuple[list[float], int, int, str]]:
    """Polygon, height, width, and its code."""
    with np.load(paths.GOLDEN / "coco" / "polygons.npz") as held:
        points = np.split(held["points"], held["sizes"].cumsum()[:-1].astype(int))
        return [
            (p.tolist(), int(h), int(w), c.decode())
            for p, (h, w), c in zip(points, held["images"], held["codes"], strict=True)
        ]


def test_codes_are_those_of_coco() -> None:
    wrong = [case for case in stored() if rle_to_strings(polygons_to_rle([case[0]], case[1], case[2]))[0] != case[3]]
    assert wrong == []


def test_reference_gives_the_codes_of_coco() -> None:
    for points, height, width, code in stored()[::3]:
        held = torch.tensor(points, dtype=torch.float64).reshape(-1, 2)
        counts, _ = kernel.reference(held, torch.tensor([len(held)]), height, width)
        assert rle_to_strings([counts]) == [code]


@pytest.mark.parametrize("kind", KINDS)
def test_codes_beside_pycocotools(kind: str) -> None:
    theirs = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(150):
        height, width = (int(side) for side in rng.integers(1, 90, 2))
        shapes = [polygon(kind, rng) for _ in range(3)]
        expected = theirs.frPyObjects(shapes, height, width)
        found = polygons_to_rle(shapes, height, width)
        assert rle_to_strings(found) == [code["counts"].decode() for code in expected]
        assert rle_to_strings([rle_merge(found)])[0] == theirs.merge(expected)["counts"].decode()
        assert torch.equal(
            polygons_to_mask(shapes, height, width), torch.from_numpy(theirs.decode(theirs.merge(expected))).bool()
        )


def test_masks_of_refcoco_annotations() -> None:
    if not REFER.is_dir():
        pytest.skip("the published masks are not here")
    content = json.loads((REFER / "mini_refer" / "refcoco" / "instances.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    with np.load(REFER / "refer_items.npz") as held:
        masks = [held[name] for name in held.files if name.startswith("out.mask")]
    for annotation in content["annotations"]:
        if isinstance(annotation["segmentation"], list) and isinstance(annotation["segmentation"][0], list):
            size = sizes[annotation["image_id"]]
            parts = rle_decode(polygons_to_rle(annotation["segmentation"], *size), *size).sum(0).numpy()
            candidates = [mask for mask in masks if mask.shape == size]
            assert candidates
            assert any(np.array_equal(parts, mask) for mask in candidates)


def test_many_at_once_are_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    shapes = [polygon(kind, rng) for kind in KINDS]
    together = polygons_to_rle(shapes, 40, 50)
    assert all(torch.equal(a, polygons_to_rle([shape], 40, 50)[0]) for a, shape in zip(together, shapes, strict=True))
    assert polygons_to_rle([], 40, 50) == []


def test_outlines_that_cross_columns_many_times_fit() -> None:
    teeth = np.array([[4 + 30 * (k % 2), 2 * k] for k in range(20)] + [[2, 40], [2, 0]]).ravel().tolist()
    counts = polygons_to_rle([teeth], 50, 40)[0]
    points = torch.tensor(teeth, dtype=torch.float64).reshape(-1, 2)
    assert len(counts) > 2 * 40 + 2
    assert torch.equal(counts, kernel.reference(points, torch.tensor([len(points)]), 50, 40)[0])


def test_a_polygon_is_filled_and_parts_are_united() -> None:
    left, right = [1.0, 1, 3, 1, 3, 4, 1, 4], [2.0, 2, 5, 2, 5, 3, 2, 3]
    mask = polygons_to_mask([left, right], 5, 6)
    expected = torch.zeros(5, 6, dtype=torch.bool)
    expected[1:4, 1:3] = True
    expected[2, 2:5] = True
    assert torch.equal(mask, expected)
    assert not polygons_to_mask([], 5, 6).any()
    assert torch.equal(polygons_to_mask(np.array([left, right]), 5, 6), expected)


def test_far_outside_costs_nothing() -> None:
    assert polygons_to_mask([[-1e8, -1e8, 1e8, -1e8, 1e8, 1e8, -1e8, 1e8]], 7, 9).all()
    assert polygons_to_rle([[1e8, 0, 1e8 + 1, 1e8, 1e8, 5]], 7, 9)[0].tolist() == [63]


def test_bad_polygons_are_named() -> None:
    good = [0.0, 0, 4, 0, 4, 4]
    with pytest.raises(ValueError, match="polygon 1: expected x y of at least three points"):
        polygons_to_rle([good, good[:4]], 5, 5)
    with pytest.raises(ValueError, match="polygon 0: expected x y of at least three points"):
        polygons_to_rle([[*good, 1.0]], 5, 5)
    with pytest.raises(ValueError, match="polygon 1: a coordinate is not finite"):
        polygons_to_rle([good, [*good[:5], float("nan")]], 5, 5)
    with pytest.raises(ValueError, match="image: expected a height and width above 0, found 0 x 5"):
        polygons_to_mask([good], 0, 5)


def test_registration() -> None:
    points = torch.tensor([[0.0, 0], [4, 0], [4, 4], [1, 1], [3, 1], [2, 5]], dtype=torch.float64)
    torch.library.opcheck(torch.ops.g3d.polygon_rle, (points, torch.tensor([3, 3]), 6, 7))
