"""Samples of 3D object detection: the drawn points of scenes with the targets that a system makes of them.

Letters in shapes: B scenes, n drawn points, F = 3, or 4 with the height above the floor as last column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.data.scannet.detection import (
    DETECTION18,
    Augmentation,
    ClassSystem,
    DetectionItem,
    DetectionScene,
    augment,
    draw_generator,
    draw_item,
    draw_rows,
)
from g3d.data.scannet.detection_config import AugmentConfig, DataConfig
from g3d.data.scannet.detection_scenes import read_detection_scene
from g3d.data.scannet.scenes import FILE
from g3d.data.scannet.surface_points import surface_points
from g3d.data.scannet.upright import translation
from g3d.data.scannet.user_scenes import is_own_file, one_scene, read_points
from g3d.data.types import SceneSource
from g3d.errors import InputError


@dataclass(frozen=True, eq=False)
class SceneSample:
    """The drawn points of one scene.

    Attributes:
        id: the sample's id, which is the scene's name.
        source: the scene.
        points: (n, F) float32, metres, in the frame of the source.
        targets: the system's targets of one scene; None where there are no labels.
    """

    id: str
    source: SceneSource
    points: Tensor
    targets: Any = None


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """B scenes with one sample each.

    Attributes:
        ids: of the samples.
        sources: of the samples.
        points: (B, n, F) float32.
        targets: the system's targets of B scenes, with a `to(device)` of their own; None where there are no labels.
    """

    ids: tuple[str, ...]
    sources: tuple[SceneSource, ...]
    points: Tensor
    targets: Any = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> SceneBatch:
        """Return the batch on a device."""
        targets = None if self.targets is None else self.targets.to(device)
        return replace(self, points=self.points.to(device, non_blocking=True), targets=targets)

    @staticmethod
    def of(samples: Sequence[SceneSample], stack: Callable[[Sequence[Any]], Any]) -> SceneBatch:
        """Return the batch of some samples; `stack` makes the targets of B scenes of those of each."""
        labelled = all(sample.targets is not None for sample in samples)
        return SceneBatch(
            tuple(sample.id for sample in samples),
            tuple(sample.source for sample in samples),
            torch.stack([sample.points for sample in samples]),
            stack([sample.targets for sample in samples]) if labelled else None,
        )


@dataclass(frozen=True)
class PointSettings:
    """The settings by which the points of a scene are drawn.

    Attributes:
        count: n, the number of drawn points.
        height: append the height above the floor.
        augmentation: random changes in training.
        repetition: number of the evaluation, which draws other points each time.
    """

    count: int
    height: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    repetition: int = 0


def point_settings(data: DataConfig, augment: AugmentConfig) -> PointSettings:
    """Return the settings that two sections of a preset describe."""
    return PointSettings(data.points, data.height, Augmentation(**augment.model_dump()), data.repetition)


class DetectionSamples:
    """Scenes as samples; every scene is its own group.

    Points are drawn by a generator that is seeded with the scene's name, and with the repetition in evaluation or with
    a number from the loader in training, which differs for every epoch. The same scene therefore has the same points
    whatever the number of processes.

    Attributes:
        ids: names of the scenes.
        drawn: None: training takes each scene on its own.

    Args:
        sources: the scenes, which `scene_of` reads.
        settings: how points are drawn.
        targets: makes the system's targets of an item; None makes none. Scenes must then be annotated.
        system: the objects that count, and their classes.
    """

    drawn = None

    def __init__(
        self,
        sources: Sequence[SceneSource],
        settings: PointSettings,
        targets: Callable[[DetectionItem], Any] | None = None,
        system: ClassSystem = DETECTION18,
    ) -> None:
        self.sources, self.settings, self.targets, self.system = list(sources), settings, targets, system
        self.ids = [source.name for source in self.sources]

    def __len__(self) -> int:
        return len(self.ids)

    def group(self, index: int) -> str:
        """Return the name of the scene of a sample."""
        return self.ids[index]

    def read(self, indices: Sequence[int], rng: np.random.Generator | None) -> list[SceneSample]:
        """Return samples; with `rng`, their points and augmentation depend on it, otherwise on the repetition.

        Raises:
            MissingDataError, InputError: a scene is not there, cannot be used, or is not annotated though targets are
                made of it.
        """
        return [self._sample(self.sources[index], rng) for index in indices]

    def _sample(self, source: SceneSource, rng: np.random.Generator | None) -> SceneSample:
        scene, source = self._scene(source)
        number = self.settings.repetition if rng is None else int(rng.integers(1 << 62))
        random = draw_generator(source.name, number)
        item = draw_item(
            scene, draw_rows(random, len(scene.points), self.settings.count), self.settings.height, self.system
        )
        if rng is not None:
            item = augment(item, random, self.settings.augmentation)
        return SceneSample(source.name, source, torch.from_numpy(item.points), self._targets(source, item))

    def _targets(self, source: SceneSource, item: DetectionItem) -> Any:
        try:
            return None if self.targets is None else self.targets(item)
        except InputError as error:
            raise InputError(f"scene {source.name}: {error.message}", error.hint) from None

    def _scene(self, source: SceneSource) -> tuple[DetectionScene, SceneSource]:
        scene, source = scene_of(source)
        if self.targets is not None and not scene.annotated:
            raise InputError(f"scene {source.name}: not annotated, expected labels to train on", "leave it out")
        return scene, source


def scene_of(source: SceneSource) -> tuple[DetectionScene, SceneSource]:
    """Return a scene, and its source with the transform of the returned points.

    Prepared and published scenes of frame "aligned" are read as the published form has them (see
    `read_detection_scene`); all others are read whole (see `read_points`), without labels, and points are drawn on the
    surface of a user's own mesh with few vertices.

    Raises:
        MissingDataError, InputError: the scene is not there, or cannot be used.
    """
    if source.path is None:
        raise InputError(f"scene {source.name}: expected a path")
    path = one_scene(Path(source.path))
    if source.frame == "aligned" and (path.suffix == ".npy" or (path / FILE).is_file()):
        return read_detection_scene(path), source
    mesh = read_points(source)
    points = mesh.vertices
    colours = np.zeros(points.shape, np.uint8) if mesh.colours is None else mesh.colours
    if is_own_file(path):
        points, colours = surface_points(points, mesh.faces, colours, draw_generator(source.name, 0), source.name)
    if mesh.offset is not None:
        source = replace(source, transform=translation(-mesh.offset))
    return _unlabelled(source.name, points, colours), source


def _unlabelled(name: str, points: np.ndarray, colours: np.ndarray) -> DetectionScene:
    """Return a user's scene, which has no labels."""
    nothing = np.zeros(len(points), np.int64)
    none = np.zeros(0, np.int64)
    return DetectionScene(name, points, colours, nothing, nothing, np.zeros((0, 6)), none, none, annotated=False)
