"""The made scene scene0900_00, on which the cases run: beside the copied cases, or in ../shared/data/made."""

from pathlib import Path

from g3d.data.scannet.folder import Scan, ScanFolder, read_scan
from g3d.data.scannet.labels import LabelTable

SCENE = "scene0900_00"


def made_folder(folder: Path) -> ScanFolder:
    """The made download; `folder` is the cases'."""
    beside = folder / "made"
    return ScanFolder(beside if beside.is_dir() else folder.parents[1] / "data" / "made" / "scannet")


def made_scan(folder: Path) -> tuple[Scan, LabelTable]:
    made = made_folder(folder)
    return read_scan(made.files(SCENE)), LabelTable.read(made.meta("scannetv2-labels.combined.tsv"))
