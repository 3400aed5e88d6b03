"""Locations of the files of ScanNet's raw scans, and readers of whole scans and of split lists.

`scans/<scene>/` contains `<scene>_vh_clean_2.ply`, `<scene>_vh_clean_2.labels.ply`,
`<scene>_vh_clean_2.0.010000.segs.json`, `<scene>.aggregation.json`, `<scene>.txt` and `<scene>.sens`. Test scans, in
`scans_test/` or among the others, have no annotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g3d.data.boundary import reader, reading
from g3d.data.files import read_text
from g3d.data.scannet.labels import known_nyu40
from g3d.data.scannet.mesh import Mesh, read_mesh, read_vertex_labels
from g3d.data.scannet.raw import Aggregation, SceneFacts, read_aggregation, read_facts, read_segments
from g3d.errors import InputError, MissingDataError, did_you_mean

_SCANS = ("scans", "scans_test")
META = (".", "meta_data", "meta", "Tasks/Benchmark", "data/scannet/meta_data")
"""Folders, seen from the root of a data folder, in which ScanNet's and the published code's meta data may be."""
SPLITS = {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt", "test": "scannetv2_test.txt"}
"""Names of the split lists."""


@dataclass(frozen=True)
class ScanFiles:
    """The files of a scan. The mesh always exists; other files that do not exist are None.

    Attributes:
        scene: `scene0000_00`, or the folder's name for a user's own scan.
        folder: the scan's folder.
        mesh: decimated mesh, raw frame.
        labels: the same vertices with nyu40 ids.
        segments: over-segmentation of this mesh.
        aggregation: annotated objects as groups of segments; None for test scans.
        facts: axis alignment and cameras.
        stream: the RGB-D recording, .sens.
    """

    scene: str
    folder: Path
    mesh: Path
    labels: Path | None
    segments: Path | None
    aggregation: Path | None
    facts: Path | None
    stream: Path | None

    @property
    def annotated(self) -> bool:
        """Whether objects are annotated; in test scans, they are not."""
        return self.aggregation is not None

    def arrays_from(self) -> tuple[Path, ...]:
        """Return the files that `read_scan` reads, without the recording; fingerprints are computed from them."""
        return tuple(
            file for file in (self.mesh, self.labels, self.segments, self.aggregation, self.facts) if file is not None
        )


class ScanFolder:
    """A download of ScanNet: a folder with `scans/`, `scans_test/` or both, or one of these two itself."""

    def __init__(self, root: str | Path) -> None:
        """Find the folders of the scans.

        Raises:
            MissingDataError: the folder does not exist.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise MissingDataError(
                f"{root}: no such folder", hint="--data names ScanNet's folder: the one that holds scans/."
            )
        nested = [self.root / name for name in _SCANS if (self.root / name).is_dir()]
        self._folders = tuple(nested) or (self.root,)

    def scenes(self) -> tuple[str, ...]:
        """Return the sorted names of all scans: all folders in `scans/` and `scans_test/`.

        Raises:
            MissingDataError: there is no scan.
        """
        names = {
            entry.name
            for folder in self._folders
            for entry in folder.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        }
        if not names:
            raise MissingDataError(
                f"{self.root}: no scans", hint="Expected scans/<scene>/<scene>_vh_clean_2.ply, ScanNet's layout."
            )
        return tuple(sorted(names))

    def files(self, scene: str) -> ScanFiles:
        """Return the files of a scan.

        Raises:
            MissingDataError: the folder or the mesh is missing, an annotation has no segments or no `<scene>.txt`, or
                labels have no annotation.
        """
        folder = next((folder / scene for folder in self._folders if (folder / scene).is_dir()), None)
        if folder is None:
            places = " or ".join(str(place / scene) for place in self._folders)
            raise MissingDataError(f"scan {scene}: no folder {places}{did_you_mean(scene, self.scenes())}")
        mesh = folder / f"{scene}_vh_clean_2.ply"
        if not mesh.is_file():
            found = sorted(entry.name for entry in folder.iterdir())
            raise MissingDataError(
                f"scan {scene}: {mesh} is missing "
                f"({'the folder is empty' if not found else 'found: ' + ', '.join(found[:8])})",
                hint="Download the scan again, or leave it out of the list of scenes.",
            )
        present = {
            name: path if (path := folder / f"{scene}{ending}").is_file() else None
            for name, ending in (
                ("labels", "_vh_clean_2.labels.ply"),
                ("segments", "_vh_clean_2.0.010000.segs.json"),
                ("aggregation", ".aggregation.json"),
                ("facts", ".txt"),
                ("stream", ".sens"),
            )
        }
        for name, needed, ending, why in (
            ("aggregation", "segments", "_vh_clean_2.0.010000.segs.json", "the annotation refers to it"),
            ("aggregation", "facts", ".txt", "the axis alignment of an annotated scan is in it"),
            ("labels", "aggregation", ".aggregation.json", "the scan is annotated, since its labels.ply is there"),
        ):
            if present[name] is not None and present[needed] is None:
                raise MissingDataError(
                    f"scan {scene}: {folder / scene}{ending} is missing: {why}",
                    hint="Download the scan again, or leave it out of the list of scenes.",
                )
        return ScanFiles(scene, folder, mesh, **present)

    def file(self, scene: str, ending: str) -> Path:
        """Return the path of a scan's file <scene><ending>, which may not exist; other files are not checked."""
        folders = [folder / scene for folder in self._folders]
        return next((folder for folder in folders if folder.is_dir()), folders[0]) / f"{scene}{ending}"

    def meta(self, name: str) -> Path:
        """Return a file of the release's metadata, such as a split list or the label table.

        It is searched in the folder and in the folders of the published code.

        Raises:
            MissingDataError: the file is in none of these folders.
        """
        roots = (self.root, self.root.parent) if self.root.name in _SCANS else (self.root,)
        places = [root / folder / name for root in roots for folder in META]
        for place in places:
            if place.is_file():
                return place
        raise MissingDataError(f"{name} is missing (looked in {', '.join(str(place.parent) for place in places)})")


@dataclass(frozen=True, eq=False)
class Scan:
    """The content of a scan's files, checked for consistency; None where a file does not exist.

    Attributes:
        scene: the scan's name.
        mesh: vertices and faces, raw frame, metres.
        labels: (N,) integer, nyu40 id of every vertex from labels.ply, 0 unannotated.
        segments: (N,) int64, segment id of every vertex.
        aggregation: annotated objects as groups of these segments.
        facts: axis alignment and cameras.
    """

    scene: str
    mesh: Mesh
    labels: np.ndarray | None
    segments: np.ndarray | None
    aggregation: Aggregation | None
    facts: SceneFacts | None

    @property
    def alignment(self) -> np.ndarray | None:
        """Transform (4, 4) float64, raw frame -> axis-aligned frame; None for test scans."""
        return self.facts.axis_alignment if self.facts is not None else None


def read_scan(files: ScanFiles) -> Scan:
    """Return the content of a scan's files, without the recording.

    Raises:
        MissingDataError, InputError: see the readers of the files; labels that are not nyu40 ids also raise InputError.
    """
    mesh = read_mesh(files.mesh)
    count = len(mesh.vertices)
    labels = None
    if files.labels is not None:
        stored = read_vertex_labels(files.labels, count)
        with reading(files.labels, "labels"):
            labels = known_nyu40(stored)
    segments = None if files.segments is None else read_segments(files.segments, count)
    aggregation = None if files.aggregation is None else read_aggregation(files.aggregation, segments)
    return Scan(
        files.scene, mesh, labels, segments, aggregation, None if files.facts is None else read_facts(files.facts)
    )


@reader("split")
def read_split(path: str | Path) -> tuple[str, ...]:
    """Return the scans of a split list, one per line, in its order; blank lines are ignored.

    Raises:
        MissingDataError: the file does not exist.
        InputError: a line has several words or is a path, or a scan is named twice.
    """
    names: dict[str, int] = {}
    for number, line in enumerate(read_text(path, "split").splitlines(), 1):
        words = line.split()
        if len(words) > 1:
            raise InputError(f"split {path}: line {number} is '{line.strip()[:60]}', expected one scan's name")
        if words and (words[0] in (".", "..") or "/" in words[0] or "\\" in words[0]):
            raise InputError(f"split {path}: line {number} is '{words[0][:60]}', expected one scan's name, not a path")
        if words and names.setdefault(words[0], number) != number:
            raise InputError(
                f"split {path}: line {number}: {words[0]} is there twice (first on line {names[words[0]]})"
            )
    return tuple(names)
