"""Writer of a world of synthetic streets in KITTI's raw layout: images, calibration, labels, splits, and a description
of every scene.

    <root>/ImageSets/{train,val,trainval}.txt
    <root>/training/{image_2,calib,label_2,scene}/%06d.{png,txt,txt,json}
    <root>/streets.json            the arguments that it was made with

A scene's JSON lists every object with kind, colour, place, state and the index of its label line; sentences are
generated from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from g3d.data.folders import atomic_folder
from g3d.data.kitti.raw import format_labels
from g3d.errors import InputError
from g3d.prepare import workers as pool
from g3d.progress import Progress
from g3d.synthetic.streets.labels import FrameLabels, label_frame
from g3d.synthetic.streets.png import encode_png
from g3d.synthetic.streets.render import render
from g3d.synthetic.streets.sampling import sample_scene
from g3d.synthetic.streets.scene import SHARES, Camera, Scene, SceneSettings

SCENE_SCHEMA = "g3d.street-scene/1"
WORLD_SCHEMA = "g3d.streets/1"
MANIFEST = "streets.json"
DEMO_SIZE = (828, 250)
"""Image width and height of the demo's worlds: most cars reach the minimum height of KITTI's average precision."""
_FOLDERS = ("image_2", "calib", "label_2", "scene")


@dataclass(frozen=True)
class StreetsSummary:
    """Summary of the world under `root`: number of frames in all, for training and for validation, label lines by
    class, and whether it existed already."""

    root: Path
    frames: int
    train: int
    val: int
    labels: dict[str, int]
    reused: bool


def make_streets(
    root: Path | str,
    frames: int,
    seed: int = 0,
    image_size: tuple[int, int] = (1242, 375),
    *,
    val_fraction: float = 0.25,
    shares: Mapping[str, float] | None = None,
    vary_size: bool = True,
    samples: int = 2,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> StreetsSummary:
    """Write a world of `frames` street scenes, the last `val_fraction` of them for validation.

    A frame depends only on the settings, the seed and its index: any number of workers writes the same bytes. All files
    are written to a temporary folder beside `root`, which is renamed at the end; the next run removes the temporary
    folder of a killed run. A world that was made with the same arguments is reused.

    Args:
        root: output folder; missing parents are created.
        frames: number of frames, 1 to 999,999.
        seed: seed of all random choices.
        image_size: (width, height) in pixels; KITTI's (1242, 375) if not given. Focal length and principal point follow
            the width.
        val_fraction: share of the frames for validation, 0 to 1.
        shares: share of each class among the placed objects (scene.CLASSES); scene.SHARES if not given.
        vary_size: let image sizes differ by a few pixels between frames, as in KITTI.
        samples: samples along each side of a pixel, for antialiasing.
        workers: number of processes.
        overwrite: replace a world that was made with other arguments; a folder that contains anything else is never
            changed.
        progress: receives an update for every frame.

    Raises:
        InputError: an argument is out of range, or `root` contains something else.
        EnvironmentProblem: the disk is full or the folder cannot be written.
    """
    root = Path(root)
    settings = SceneSettings(
        (int(image_size[0]), int(image_size[1])), vary_size, dict(SHARES if shares is None else shares)
    )
    _check_counts(frames, val_fraction, samples, workers)
    arguments = {
        "schema": WORLD_SCHEMA,
        "frames": frames,
        "seed": seed,
        "val_fraction": val_fraction,
        "samples": samples,
    }
    manifest = json.loads(json.dumps({**arguments, **asdict(settings)}))
    val = round(frames * val_fraction)
    found = _existing_world(root, manifest, overwrite)
    if found is not None:
        return StreetsSummary(root, frames, frames - val, val, found, True)
    labels: dict[str, int] = {}
    with atomic_folder(root) as folder:
        for name in _FOLDERS:
            (folder / "training" / name).mkdir(parents=True)
        made = pool.apply(
            partial(_make_frame, folder / "training", settings, seed, samples),
            range(frames),
            "streets",
            workers,
            progress,
        )
        if made.broken:
            raise made.broken[0][1]
        for _, counts in made.good:
            for name, count in counts.items():
                labels[name] = labels.get(name, 0) + count
        (folder / "ImageSets").mkdir()
        for split, ids in {
            "train": range(frames - val),
            "val": range(frames - val, frames),
            "trainval": range(frames),
        }.items():
            (folder / "ImageSets" / f"{split}.txt").write_text("".join(f"{index:06d}\n" for index in ids))
        labels = dict(sorted(labels.items()))
        (folder / MANIFEST).write_text(json.dumps({**manifest, "labels": labels}, indent=1) + "\n")
    return StreetsSummary(root, frames, frames - val, val, labels, False)


def describe_scene(scene: Scene, labels: FrameLabels, index: int) -> dict[str, Any]:
    """Return the JSON description of a frame; units and frames are those of the labels, `visible` is the visible share
    of an object."""
    things = []
    for number, (actor, sight, line) in enumerate(zip(scene.actors, labels.sights, labels.lines, strict=True)):
        things.append(
            {
                "id": number,
                "label_line": line,
                "status": sight.status,
                "type": actor.type,
                "kind": actor.kind,
                "colour": actor.colour,
                "place": actor.place,
                "side": actor.side,
                "state": actor.state,
                "direction": actor.direction,
                "distance": round(float(np.hypot(actor.location[0], actor.location[2])), 2),
                "size": actor.size.tolist(),
                "location": actor.location.tolist(),
                "rotation_y": actor.rotation_y,
                "box2d": None if sight.status == "hidden" else np.round(sight.box, 2).tolist(),
                "visible": round(sight.visible, 3),
                "truncated": round(sight.truncated, 2),
                "occluded": sight.occluded,
            }
        )
    street = scene.street
    return {
        "schema": SCENE_SCHEMA,
        "frame": f"{index:06d}",
        "image_size": list(scene.camera.image_size),
        "camera": scene.camera.matrix.tolist(),
        "camera_height": scene.camera.height,
        "light": scene.light.name,
        "street": {
            "kind": street.kind,
            "lanes": len(street.lanes),
            "crossing": street.crossing is not None,
            "curve": "straight" if street.path.curvature == 0 else "right" if street.path.curvature > 0 else "left",
        },
        "objects": things,
    }


def format_calibration(camera: Camera) -> str:
    """Return KITTI's seven calibration lines and an empty line; P2 is the camera, the others describe a rig like
    KITTI's around it."""
    p0 = camera.matrix.copy()
    p0[:, 3] = 0
    matrices = {"P0": p0, "P1": p0.copy(), "P2": camera.matrix, "P3": camera.matrix.copy()}
    matrices["P1"][0, 3] = -0.5372 * p0[0, 0]
    matrices["P3"][0, 3] -= 0.5327 * p0[0, 0]
    matrices["R0_rect"] = np.eye(3)
    matrices["Tr_velo_to_cam"] = np.array([[0, -1, 0, -0.004], [0, 0, -1, -0.076], [1, 0, 0, -0.272]], float)
    matrices["Tr_imu_to_velo"] = np.array([[1, 0, 0, -0.81], [0, 1, 0, 0.32], [0, 0, 1, -0.80]], float)
    lines = [
        f"{name}: " + " ".join(f"{number:.12e}" for number in matrix.ravel()) + "\n"
        for name, matrix in matrices.items()
    ]
    return "".join(lines) + "\n"


def _make_frame(folder: Path, settings: SceneSettings, seed: int, samples: int, index: int) -> dict[str, int]:
    """Write the four files of one frame; return the number of label lines by class."""
    scene = sample_scene(settings, seed, index)
    frame = render(scene, samples)
    labels = label_frame(scene, frame)
    name = f"{index:06d}"
    (folder / "image_2" / f"{name}.png").write_bytes(encode_png(frame.image))
    (folder / "calib" / f"{name}.txt").write_text(format_calibration(scene.camera))
    (folder / "label_2" / f"{name}.txt").write_text(format_labels(labels.objects))
    (folder / "scene" / f"{name}.json").write_text(json.dumps(describe_scene(scene, labels, index), indent=1) + "\n")
    names, counts = np.unique(labels.objects.classes, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _check_counts(frames: int, val_fraction: float, samples: int, workers: int) -> None:
    for name, value, low, high in (
        ("frames", frames, 1, 999_999),
        ("val_fraction", val_fraction, 0, 1),
        ("samples", samples, 1, 4),
        ("workers", workers, 1, 1024),
    ):
        if not low <= value <= high:
            raise InputError(f"{name}: expected {low} to {high}, found {value}")


def _existing_world(root: Path, manifest: dict[str, Any], overwrite: bool) -> dict[str, int] | None:
    """Return the label counts of a world with these settings at `root`; None if a world must be written.

    Raises:
        InputError: `root` contains something else, or a world with other settings and `overwrite` is False.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        found = json.loads((root / MANIFEST).read_text())
        labels = found.pop("labels")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{root}: expected a new folder, found one that holds something else", hint="Choose another folder."
        ) from error
    if found == manifest:
        return labels
    if overwrite:
        return None
    changed = sorted(key for key in {*found, *manifest} if found.get(key) != manifest.get(key))
    hint = "Choose another folder, or overwrite this one."
    raise InputError(f"{root}: holds streets made with another {', '.join(changed)}", hint=hint)
