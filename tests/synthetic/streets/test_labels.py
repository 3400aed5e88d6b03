"""Labels of made frames against the instance buffer, sample by sample, and against the 3D boxes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from g3d.geometry.boxes import box_corners
from g3d.geometry.cameras import project
from g3d.kernels import rasterise
from g3d.synthetic.streets import people, vehicles
from g3d.synthetic.streets.labels import LEAST_SEEN, OCCLUSION, FrameLabels, label_frame, silhouette_mask
from g3d.synthetic.streets.render import Frame, render
from g3d.synthetic.streets.sampling import sample_scene
from g3d.synthetic.streets.scene import Scene, SceneSettings

SETTINGS = SceneSettings((480, 160))
FRAMES = range(12)


@cache
def made(index: int) -> tuple[Scene, Frame, FrameLabels]:
    scene = sample_scene(SETTINGS, 3, index)
    frame = render(scene)
    return scene, frame, label_frame(scene, frame)


@pytest.mark.parametrize("index", FRAMES)
def test_2d_boxes_hold_the_whole_silhouette_to_the_pixel(index: int) -> None:
    _, frame, labels = made(index)
    height, width = frame.image.shape[:2]
    for silhouette, line in zip(frame.silhouettes, labels.lines, strict=True):
        if line is None:
            continue
        rows, columns = np.nonzero(silhouette_mask(silhouette, frame))
        found = (
            np.array([columns.min(), rows.min(), columns.max(), rows.max()]) / frame.samples + 0.5 / frame.samples - 0.5
        )
        found = np.clip(found, 0, [width - 1, height - 1] * 2)
        box = labels.objects.boxes2d[line]
        outward = np.where([True, True, False, False], found - box, box - found)
        assert (outward >= -0.005).all(), "a sample lies outside the box"
        assert (outward <= 1).all(), "a side stands more than a pixel away"


@pytest.mark.parametrize("index", FRAMES)
def test_occlusion_counts_the_samples_of_the_instance_buffer(index: int) -> None:
    _, frame, labels = made(index)
    instances = frame.instances
    for number, (silhouette, sight) in enumerate(zip(frame.silhouettes, labels.sights, strict=True)):
        mask, seen = silhouette_mask(silhouette, frame), instances == number
        assert not (seen & ~mask).any()
        assert sight.area == pytest.approx(seen.sum() / frame.samples**2)
        if mask.any():
            assert sight.visible == pytest.approx(seen.sum() / mask.sum())
            assert sight.occluded == sum(sight.visible < threshold for threshold in OCCLUSION)


@pytest.mark.parametrize("index", FRAMES)
def test_what_hides_an_object_is_nearer(index: int) -> None:
    scene, frame, _ = made(index)
    for number, actor in enumerate(scene.actors):
        hidden = silhouette_mask(frame.silhouettes[number], frame) & (frame.instances != number)
        farthest = box_corners(actor.location[None], actor.size[None], np.array([actor.rotation_y]))[0, :, 2].max()
        assert (1 / frame.inverse_depth[hidden] <= farthest + 0.01).all()


@pytest.mark.parametrize("index", FRAMES)
def test_3d_boxes_are_the_extent_of_the_meshes_and_project_around_the_silhouettes(index: int) -> None:
    scene, frame, _ = made(index)
    for actor, silhouette in zip(scene.actors, frame.silhouettes, strict=True):
        cos, sin = np.cos(actor.rotation_y), np.sin(actor.rotation_y)
        local = (actor.mesh.triangles.reshape(-1, 3) - actor.location) @ np.array(
            [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
        )
        height, width, length = actor.size
        np.testing.assert_allclose(local.min(0), [-length / 2, -height, -width / 2], atol=1e-9)
        np.testing.assert_allclose(local.max(0), [length / 2, 0, width / 2], atol=1e-9)
        corners = project(
            box_corners(actor.location[None], actor.size[None], np.array([actor.rotation_y]))[0], scene.camera.matrix
        )
        pixels = silhouette[..., :2].reshape(-1, 2)
        assert (pixels.min(0) >= corners.min(0) - 1e-6).all()
        assert (pixels.max(0) <= corners.max(0) + 1e-6).all()


@pytest.mark.parametrize("index", FRAMES)
def test_labels_carry_the_scene_exactly_and_dontcare_comes_last(index: int) -> None:
    scene, _, labels = made(index)
    objects = labels.objects
    for actor, sight, line in zip(scene.actors, labels.sights, labels.lines, strict=True):
        assert (line is None) == (sight.status == "hidden")
        if sight.status != "labelled":
            continue
        assert objects.classes[line] == actor.type
        assert objects.locations[line].tolist() == actor.location.round(2).tolist() == actor.location.tolist()
        assert objects.sizes[line].tolist() == actor.size.tolist()
        assert objects.rotation_y[line] == actor.rotation_y
        alpha = actor.rotation_y - np.arctan2(actor.location[0], actor.location[2])
        assert abs((objects.alpha[line] - alpha + np.pi) % (2 * np.pi) - np.pi) <= 0.0051
    dontcare = objects.classes == "DontCare"
    assert sorted(dontcare.tolist()) == dontcare.tolist()
    assert (objects.locations[dontcare] == -1000).all()


@pytest.mark.parametrize("index", FRAMES)
def test_things_stand_on_the_ground_and_apart(index: int) -> None:
    scene, _, _ = made(index)
    boxes = box_corners(
        np.array([a.location for a in scene.actors]),
        np.array([a.size for a in scene.actors]),
        np.array([a.rotation_y for a in scene.actors]),
    )
    for k, actor in enumerate(scene.actors):
        assert actor.location[1] in (round(scene.street.ground, 2), round(scene.street.ground - scene.street.kerb, 2))
        for other in boxes[k + 1 :]:
            assert separated(boxes[k, :4, ::2], other[:4, ::2])


def separated(first: np.ndarray, second: np.ndarray) -> bool:
    axes = [corners[a] - corners[b] for corners in (first, second) for a, b in ((0, 1), (1, 2))]
    return any(
        (first @ axis).max() < (second @ axis).min() or (second @ axis).max() < (first @ axis).min() for axis in axes
    )


def one_car(x: float, z: float, yaw: float = -np.pi / 2) -> tuple[Scene, FrameLabels]:
    """A car alone on a street, moved to a place."""
    scene = next(s for s in (sample_scene(SETTINGS, 0, k) for k in range(20)) if any(a.type == "Car" for a in s.actors))
    car = next(a for a in scene.actors if a.type == "Car")
    location = np.array([x, scene.street.ground, z])
    moved = replace(
        car,
        location=location,
        rotation_y=yaw,
        mesh=car.mesh.placed(-car.location, 0).placed((0, 0, 0), yaw - car.rotation_y).placed(location, 0),
    )
    nothing = replace(
        car.mesh, triangles=car.mesh.triangles[:0], colours=car.mesh.colours[:0], materials=car.mesh.materials[:0]
    )
    scene = replace(scene, actors=(moved,), fixtures=nothing)
    return scene, label_frame(scene, render(scene))


def test_a_car_alone_is_neither_truncated_nor_occluded() -> None:
    _, labels = one_car(0.0, 15.0)
    assert labels.sights[0].truncated == 0
    assert labels.sights[0].visible == 1
    assert labels.objects.occluded.tolist() == [0]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_truncation_is_the_share_of_the_silhouette_outside_the_image(share: float) -> None:
    scene, _ = one_car(0.0, 15.0)
    camera, z = scene.camera.matrix, 12.0
    half = 0.9 * camera[0, 0] / z  # about half the car's width in pixels
    x = ((half - 2 * half * share) * z - camera[0, 2] * z - camera[0, 3]) / camera[0, 0]
    scene, labels = one_car(x, z, float(np.arctan2(-z, x)))
    frame = render(scene)
    height, width = frame.image.shape[:2]
    mask = np.zeros((8 * height, 8 * (width + 400)), np.uint8)
    rasterise.cover(frame.silhouettes[0], (-400.5 + 1 / 16, -0.5 + 1 / 16), (1 / 8, 1 / 8), mask, 1)
    assert labels.sights[0].truncated == pytest.approx(mask[:, : 8 * 400].sum() / mask.sum(), abs=0.005)
    assert abs(labels.sights[0].truncated - share) < 0.15
    assert labels.objects.boxes2d[0, 0] == 0


def test_a_car_outside_the_picture_has_no_line() -> None:
    _, labels = one_car(-30.0, 12.0)
    assert labels.lines == (None,)
    assert len(labels.objects) == 0


def test_barely_seen_things_become_dontcare() -> None:
    found = [sight for k in FRAMES for sight in made(k)[2].sights if 0 < sight.visible < LEAST_SEEN]
    assert all(sight.status == "dontcare" for sight in found)


@pytest.mark.parametrize("kind", [*vehicles.BODIES, "truck", "bus"])
def test_vehicles_show_their_white_lights_in_front_and_red_ones_behind(kind: str) -> None:
    model = vehicles.vehicle(kind)
    ahead = {name: model.triangles[model.parts == k, :, 0].mean() for k, name in enumerate(model.names)}
    assert ahead["front light"] > 0.4 * model.size[2]
    assert ahead["rear light"] < -0.4 * model.size[2]


@pytest.mark.parametrize("pose", range(people.POSES))
def test_people_have_their_hair_behind_their_faces(pose: int) -> None:
    for model in (people.pedestrian(pose), people.cyclist(pose)):
        head = model.triangles[:, :, 1].mean(1) < -0.85 * model.size[0]
        places = {
            name: model.triangles[(model.parts == k) & head, :, 0].mean()
            for k, name in enumerate(model.names)
            if name in ("skin", "hair")
        }
        assert places["skin"] > places["hair"]
