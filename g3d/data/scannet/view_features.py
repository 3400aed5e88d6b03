"""Image features of the points of scenes: where they lie, and which of their rows belong to drawn points.

If no other place is given, features are searched beside the scenes:

- for `<folder>/scenes/<scene>/` of `g3d prepare scannet`: `<folder>/multiview/<scene>/features.h5`, of `g3d prepare
  multiview`;
- for ScanRefer's `<folder>/<scene>_aligned_vert.npy`: `<folder>/enet_feats_maxpool.hdf5`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from g3d.data.scannet.point_features import MULTIVIEW, PointFeatures
from g3d.data.scannet.published import read_scanrefer
from g3d.data.scannet.published_scenes import columns_of, is_published, published_name
from g3d.data.scannet.scenes import FILE, read_scene
from g3d.data.scannet.user_scenes import one_scene
from g3d.data.types import SceneSource
from g3d.errors import InputError, MissingDataError

PUBLISHED_FILE = "enet_feats_maxpool.hdf5"
_WITHOUT = "set data.view_features=zeros to work without image features"


class ViewFeatures:
    """Reader of the image features of scenes.

    Args:
        path: folder or file of the features (see PointFeatures); None searches them beside each scene.
        channels: V, the features of a point that the network reads.
    """

    def __init__(self, path: Path | None, channels: int) -> None:
        self.path, self.channels = path, channels
        self._opened: dict[Path, PointFeatures] = {}

    def check(self, sources: Iterable[SceneSource]) -> None:
        """Check that all scenes have features, without reading them.

        Raises:
            MissingDataError: a scene has none; the message counts them.
        """
        known = list({source.name: source for source in sources}.values())
        missing = []
        for source in known:
            try:
                self._of(source)
            except MissingDataError as error:
                missing.append(error)
        if missing:
            raise MissingDataError(
                f"{missing[0].message} ({len(missing)} of {len(known)} scenes have no image features)", missing[0].hint
            )

    def read(self, source: SceneSource, rows: np.ndarray) -> np.ndarray:
        """Return the features (n, V) float32 of drawn points.

        Args:
            source: the scene.
            rows: (n,) int64, numbers of the points among those that `scene_of` returns.

        Raises:
            MissingDataError: the scene has no features, as a user's own file.
            InputError: they belong to other points than the scene's, or have another number of channels.
        """
        place, path = self._of(source)
        points, kept = _raw_points(path)
        if kept is not None:
            whole = place.count(source.name) == len(points)  # of g3d prepare multiview --points all
            points, rows = (points, kept[rows]) if whole else (points[kept], rows)
        found = place.read(source.name, points, rows)
        if found.shape[1] != self.channels:
            raise InputError(
                f"{place.path}: features of {source.name} have {found.shape[1]} channels, expected {self.channels}",
                f"set model.view_features={found.shape[1]}",
            )
        return found

    def _of(self, source: SceneSource) -> tuple[PointFeatures, Path]:
        """Return the features that hold a scene, and the scene's path."""
        path = one_scene(Path(str(source.path)))
        if not ((path / FILE).is_file() or (is_published(path) and columns_of(path) == "scanrefer")):
            raise MissingDataError(
                f"scene {source.path}: has no image features, which need a scene of g3d prepare scannet or in "
                "ScanRefer's form",
                _WITHOUT,
            )
        place = self.path or (path.parent / PUBLISHED_FILE if path.suffix == ".npy" else path.parents[1] / MULTIVIEW)
        if place not in self._opened:
            if not place.exists():
                raise MissingDataError(
                    f"scene {source.name}: no image features ({place} is missing)",
                    f"run g3d prepare multiview, name them with data.features, or {_WITHOUT}",
                )
            self._opened[place] = PointFeatures(place)
        found = self._opened[place]
        if source.name not in found.scenes:
            raise MissingDataError(f"{place}: no features of {source.name}", f"prepare them, or {_WITHOUT}")
        return found, path


def _raw_points(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return all points (N, 3) float32 of a scene in its raw frame, and the rows that are drawn from; None for all."""
    if path.suffix == ".npy":
        return read_scanrefer(path.parent, str(published_name(path))).vertices[:, :3], None
    scene = read_scene(path, "vertices", "rows")
    return np.asarray(scene.vertices), None if scene.rows is None else np.asarray(scene.rows)
