"""Places of the official files of ScanRefer and ReferIt3D, and of WS-3DVG's folder layout.

- ScanRefer, in DATA, `scanrefer/` or `ScanRefer/`: `Masked_ScanRefer_filtered_<split>.json`, else
  `ScanRefer_filtered_<split>.json`; scene lists `ScanRefer_filtered_<split>.txt`.
- Nr3D, in DATA, `nr3d/` or `referit3d/`: `masked_nr3d.csv`, else `nr3d.csv`, else `nr3d_{train,val,test}.json`; scene
  lists `[nr3d_]{train,test}_scans.txt`; `manually_inspected_bad_contexts.csv`. Sr3D: the same with `sr3d`.
- Scene lists `scannetv2_<split>.txt` instead of these, and `scannetv2-labels.combined.tsv`: in the folder of the scenes
  and three above it, in DATA, in `scannet/` in it or beside it, and in their folders of meta data.
- `glove.p`: in DATA or the folder above.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from g3d.data.referit3d.raw import BAD_CONTEXTS
from g3d.data.scannet.folder import META, SPLITS

SCANREFER_SPLITS = ("train", "val", "test")
LABEL_TABLE = "scannetv2-labels.combined.tsv"
GLOVE = "glove.p"
_SETS = ("nr3d", "sr3d")
_FOLDERS = {
    "scanrefer": (".", "scanrefer", "ScanRefer"),
    "nr3d": (".", "nr3d", "referit3d"),
    "sr3d": (".", "sr3d", "referit3d"),
}


def sentence_files(root: Path, kind: str) -> dict[str, Path]:
    """Return the files of sentences in a folder: by split for JSON, by set ("nr3d", "sr3d") for tables.

    Args:
        root: the folder.
        kind: "scanrefer" or "referit3d".
    """
    if kind == "scanrefer":
        names = {s: [f"Masked_ScanRefer_filtered_{s}.json", f"ScanRefer_filtered_{s}.json"] for s in SCANREFER_SPLITS}
        found = {split: _first(root, _FOLDERS[kind], of_split) for split, of_split in names.items()}
        return {split: path for split, path in found.items() if path is not None}
    files: dict[str, Path] = {}
    for name in _SETS:
        table = _first(root, _FOLDERS[name], [f"masked_{name}.csv", f"{name}.csv"])
        if table is not None:
            files[name] = table
            continue
        for part, endings in (("train", ("train",)), ("test", ("val", "test"))):
            path = _first(root, _FOLDERS[name], [f"{name}_{ending}.json" for ending in endings])
            if path is not None:
                files[f"{name}-{part}"] = path
    return files


def scene_lists(root: Path, scenes: Path | None, name: str) -> dict[str, Path]:
    """Return the lists of the scenes of each split that are there: train, val and test.

    The test scenes of Nr3D and Sr3D are ScanNet's validation scenes, whose list is returned as "test".

    Args:
        root: the folder of the sentences.
        scenes: the folder of the scenes.
        name: "scanrefer", "nr3d" or "sr3d".
    """
    if name == "scanrefer":
        own = {s: _first(root, _FOLDERS[name], [f"ScanRefer_filtered_{s}.txt"]) for s in SCANREFER_SPLITS}
    else:
        named = {s: [f"{name}_{s}_scans.txt", f"{s}_scans.txt"] for s in ("train", "test")}
        own = {s: _first(root, (name, ".", "referit3d"), names) for s, names in named.items()}
    found = {split: path for split, path in own.items() if path is not None}
    if found:
        return found
    wanted = {s: s for s in SCANREFER_SPLITS} if name == "scanrefer" else {"train": "train", "test": "val"}
    listed = {split: _in_meta(root, scenes, SPLITS[of]) for split, of in wanted.items()}
    return {split: path for split, path in listed.items() if path is not None}


def bad_context_files(root: Path) -> dict[str, Path]:
    """Return the lists of bad contexts in a folder, by set; a list beside the tables is Nr3D's."""
    found = {name: _first(root, (name, f"referit3d/{name}"), [BAD_CONTEXTS]) for name in _SETS}
    found["nr3d"] = found["nr3d"] or _first(root, (".",), [BAD_CONTEXTS])
    return {name: path for name, path in found.items() if path is not None}


def label_table_file(root: Path, scenes: Path | None) -> Path | None:
    """Return the label table of ScanNet; None if it is nowhere."""
    return _in_meta(root, scenes, LABEL_TABLE)


def glove_file(root: Path) -> Path | None:
    """Return the published pickle of word vectors; None if it is not there."""
    return _first(root, (".",), [GLOVE]) or _first(root.resolve().parent, (".",), [GLOVE])


def _in_meta(root: Path, scenes: Path | None, name: str) -> Path | None:
    above = [] if scenes is None else [scenes.resolve(), *scenes.resolve().parents[:3]]
    places = [*above, root, root / "scannet", root.resolve().parent / "scannet"]
    return _first(Path(), [str(place / meta) for place in places for meta in META], [name])


def _first(root: Path, folders: Iterable[str], names: Iterable[str]) -> Path | None:
    """Return the first file that exists: the first name in all folders, then the next one."""
    places = list(folders)
    return next((path for name in names for place in places if (path := root / place / name).is_file()), None)
