"""A cache of computed word features, in memory and in files that several processes share."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from g3d.data.files import atomic_write
from g3d.errors import EnvironmentProblem

log = logging.getLogger(__name__)

MEMORY = 1 << 30
"""Bytes of features kept in memory: about 6,000 sentences of Mono3DRefer at width 768."""


class Rows(NamedTuple):
    """The features of one sentence.

    Attributes:
        features: (R, hidden), the first R positions; all later positions equal the last one.
        length: number of tokens without padding.
    """

    features: Tensor
    length: int


class WordCache:
    """Rows by key: the most recently used ones in memory, and all of them in `folder` if it is given.

    Args:
        folder: has one file per key. Several processes may use it: files are written atomically, and all processes
            would write the same content.
        memory: bytes of features to keep in memory.
    """

    def __init__(self, folder: Path | None = None, memory: int = MEMORY) -> None:
        self.folder = folder
        self.memory = memory
        self._rows: OrderedDict[str, Rows] = OrderedDict()
        self._bytes = 0
        self._writable = True

    def get(self, key: str, device: torch.device) -> Rows | None:
        """Return the rows of a key, on `device`; None if there are none, or only a damaged file."""
        rows = self._rows.get(key)
        if rows is None and self.folder is not None:
            with torch.inference_mode(False):  # rows that evaluation reads may be used in training
                rows = _read(self._path(key))
                if rows is not None:
                    rows = Rows(rows.features.to(device), rows.length)
                    self._remember(key, rows)
        elif rows is not None:
            self._rows.move_to_end(key)
        return rows

    def put(self, key: str, rows: Rows) -> None:
        """Store rows under a key.

        If the folder is not writable (another machine's, a full disk), warn once and use it read-only.
        """
        self._remember(key, rows)
        if self.folder is not None and self._writable:
            content = rows.features.cpu().contiguous()
            tensors = {"features": content, "length": torch.tensor(rows.length), "crc32": torch.tensor(_crc32(content))}
            try:
                with atomic_write(self._path(key), durable=False) as file:
                    file.write(save(tensors))
            except EnvironmentProblem as error:
                log.warning("text cache %s: nothing more is written (%s)", self.folder, error.message)
                self._writable = False

    def clear(self) -> None:
        """Remove all rows from memory; keep the files."""
        self._rows.clear()
        self._bytes = 0

    def _remember(self, key: str, rows: Rows) -> None:
        replaced = self._rows.pop(key, None)
        self._rows[key] = rows
        self._bytes += rows.features.nbytes - (replaced.features.nbytes if replaced is not None else 0)
        while self._bytes > self.memory and len(self._rows) > 1:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= oldest.features.nbytes

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"  # 256 folders of a few hundred files each


def _read(path: Path) -> Rows | None:
    try:
        stored = load(path.read_bytes())
        features = stored["features"]
        if int(stored["crc32"]) != _crc32(features):
            raise ValueError("checksum differs")
        return Rows(features, int(stored["length"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        log.warning("text cache %s: damaged (%s), computed anew", path, error)
        return None


def _crc32(features: Tensor) -> int:
    return zlib.crc32(features.view(torch.uint8).numpy().tobytes())
