"""Decoding: the best query and class, the way back to the image, and that it undoes the targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from g3d.data.images.image import affine_from_crop, apply_affine
from g3d.geometry.cameras import project_at_depth
from g3d.geometry.heading import heading_bins
from g3d.systems.jln.config import CLASS_NAMES
from g3d.systems.jln.decode import decode, detection_rows
from g3d.systems.jln.model import Outputs

CAMERA = np.array([[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.22], [0, 0, 1, 0.0027]])
SIZE, RESOLUTION = (1242, 375), (1280, 384)
LOCATION, HWL, ALPHA = np.array([-6.0, 1.6, 18.0]), np.array([1.5, 1.7, 4.1]), 2.9
BOX = np.array([310.0, 160.0, 460.0, 260.0])


def outputs_of(box: np.ndarray, depth: float = 18.0, queries: int = 1, log_variance: float = 0.5) -> Outputs:
    """A network that is sure of a van at u v l r t b (0..1), in the last query."""
    bins, residuals = heading_bins(np.array([ALPHA]))
    bin_logits = F.one_hot(torch.from_numpy(bins), 12).float()
    last = [
        torch.full((9,), -5.0),
        torch.tensor(box),
        torch.tensor(HWL),
        torch.tensor([depth, log_variance]),
        torch.cat([bin_logits, bin_logits * float(residuals[0])], 1)[0],
    ]
    last[0][CLASS_NAMES.index("van")] = 2.0
    values = [torch.cat([torch.full((queries - 1, len(value)), -6.0), value.float()[None]])[None] for value in last]
    maps = torch.zeros(1, 81, 24, 80)
    logits, boxes, sizes, depths, angle = values
    return Outputs(logits, boxes, sizes, depths, angle, maps, maps[:, 0], None, None, None, None)


def network_box() -> np.ndarray:
    """u v l r t b of the van as its targets have them: through the exact warp."""
    to_network = affine_from_crop(np.array(SIZE) / 2, SIZE[0], RESOLUTION)
    u, v = apply_affine(project_at_depth(LOCATION - [0, HWL[0] / 2, 0], CAMERA), to_network) / RESOLUTION
    (x1, y1), (x2, y2) = apply_affine(BOX.reshape(2, 2), to_network) / RESOLUTION
    return np.array([u, v, u - x1, x2 - u, v - y1, y2 - v])


@pytest.mark.parametrize("queries", [1, 3])
def test_what_the_targets_say_comes_back(queries: int) -> None:
    (found,) = decode(outputs_of(network_box(), queries=queries), [CAMERA], [SIZE], RESOLUTION, exact_inverse=True)
    assert found.classes.tolist() == ["van"]
    np.testing.assert_allclose(found.locations, LOCATION[None], atol=1e-4)
    np.testing.assert_allclose(found.sizes, HWL[None], rtol=1e-6)
    np.testing.assert_allclose(found.boxes2d, BOX[None], atol=1e-3)
    np.testing.assert_allclose(found.alpha, [ALPHA], atol=1e-6)
    ray = np.arctan2(
        BOX[[0, 2]].mean() - CAMERA[0, 2], CAMERA[0, 0]
    )  # of the 2D box's middle, not of the projected centre
    np.testing.assert_allclose(found.rotation_y, [ALPHA + ray], atol=1e-6)
    assert found.scores is not None
    np.testing.assert_allclose(found.scores, torch.tensor(2.0).sigmoid() * np.exp(-0.5), rtol=1e-6)


def test_the_published_way_back_is_off_in_y_alone() -> None:
    exact, published = (
        decode(outputs_of(network_box()), [CAMERA], [SIZE], RESOLUTION, inverse)[0] for inverse in (True, False)
    )
    np.testing.assert_allclose(published.boxes2d[:, ::2], exact.boxes2d[:, ::2], atol=1e-3)
    off = published.boxes2d[0, 1::2] - exact.boxes2d[0, 1::2]
    middle = SIZE[1] / 2
    stretch = 1 - SIZE[1] / SIZE[0] * RESOLUTION[0] / RESOLUTION[1]  # of distances from the image's middle
    np.testing.assert_allclose(off, (middle - exact.boxes2d[0, 1::2]) * stretch, atol=1e-3)
    assert 0 < np.abs(off).max() < 1.2
    assert published.locations[0, 0] == pytest.approx(exact.locations[0, 0], abs=1e-5)


def test_yaw_stays_within_half_a_turn() -> None:
    far_right = network_box() + np.array([0.6, 0, 0, 0, 0, 0])
    (found,) = decode(outputs_of(far_right), [CAMERA], [SIZE], RESOLUTION, True)
    assert found.alpha[0] + np.arctan2(found.boxes2d[0, ::2].mean() - CAMERA[0, 2], CAMERA[0, 0]) > np.pi
    assert -np.pi <= found.rotation_y[0] < -2


def test_rows_of_a_bfloat16_network_are_float32() -> None:
    outputs = outputs_of(network_box())
    half = Outputs(*(None if value is None else value.bfloat16() for value in outputs))  # type: ignore[arg-type]
    rows = detection_rows(half)
    assert rows.dtype is torch.float32
    assert rows.shape == (1, 37)
    torch.testing.assert_close(rows, detection_rows(outputs), rtol=2e-2, atol=2e-2)


def test_each_sample_has_its_own_camera_and_image() -> None:
    pair = Outputs(
        *(None if value is None else value.expand(2, *value.shape[1:]) for value in outputs_of(network_box()))
    )  # type: ignore[arg-type]
    wide = CAMERA * [[0.5], [0.5], [1]]
    first, second = decode(pair, [CAMERA, wide], [SIZE, (621, 188)], RESOLUTION, True)
    np.testing.assert_allclose(second.boxes2d, first.boxes2d / 2, atol=0.3)  # 187.5 rows of the half image
    np.testing.assert_allclose(second.locations, first.locations, atol=0.02)
