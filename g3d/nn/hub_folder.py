"""Models in Hugging Face's layout: a folder with config.json and weights, or a name on the hub.

`transformers` and `huggingface_hub` are imported inside the functions that use them, because they take seconds to
import and most commands need neither.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from g3d.data.boundary import first_line, reading
from g3d.errors import InputError, MissingDataError
from g3d.nn.weights import load_weights

log = logging.getLogger(__name__)

CONFIG = {"config.json": ("config.json",)}
"""A group of `Layout.files`: the description of a network."""
_SAFE = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")
WEIGHTS = {"weights (model.safetensors or pytorch_model.bin)": (*_SAFE, *_PICKLED)}
"""A group of `Layout.files`: pickled weights are downloaded from the hub only if there are no others."""


@dataclass(frozen=True)
class Layout:
    """The files that a model needs.

    Attributes:
        what: begins every message, for example "text encoder".
        files: description -> patterns; at least one of the patterns must match a file.
        offline: the setting or option that forbids the network.
        hint: ends messages about missing models.
        also: patterns of optional files, which are downloaded if the hub has them.
    """

    what: str
    files: Mapping[str, tuple[str, ...]]
    offline: str
    hint: str
    also: tuple[str, ...] = ()

    def lacks(self, folder: Path) -> list[str]:
        """Return the descriptions of the files that a folder does not have."""
        return [what for what, patterns in self.files.items() if not _has(folder, patterns)]

    def found(self, folder: Path) -> list[Path]:
        """Return the files of a folder that the patterns of `files` match, sorted."""
        patterns = [pattern for group in self.files.values() for pattern in group]
        return sorted({file for pattern in patterns for file in folder.glob(pattern)})


def locate(name: str | Path, layout: Layout, offline: bool) -> Path:
    """Return the folder of a model, with all files of `layout` in it.

    Args:
        name: a folder; or a name on the Hugging Face hub, `owner/model` or `owner/model@revision`; files that the local
            cache lacks are downloaded.
        layout: the files that the model needs.
        offline: never contact the hub.

    Raises:
        MissingDataError: there is no such folder, the folder or the hub's copy lacks files, or the name is not in the
            local cache and cannot be downloaded.
        InputError: `name` is neither a folder nor a name.
    """
    what = f"{layout.what} {name}"
    folder = Path(name).expanduser()
    if folder.is_dir():
        if lacking := layout.lacks(folder):
            raise MissingDataError(f"{what}: no {lacking[0]} in this folder", layout.hint)
        return folder
    repository, at, revision = str(name).partition("@")
    if repository.startswith((".", "/", "~")) or repository.count("/") > 1:
        raise MissingDataError(f"{what}: no such folder", layout.hint)
    if at and not revision:
        raise InputError(f"{what}: no revision after @", "expected owner/model@revision, or owner/model")
    cached = _cached(repository, revision or None, what)
    if cached is not None and not layout.lacks(cached):
        return cached
    if offline:
        found = "neither a folder nor complete in the local cache"
        raise MissingDataError(f"{what}: {found}, and {layout.offline} is set", layout.hint)
    log.info("%s: downloading from the Hugging Face hub", what)
    folder = _download(repository, revision or None, layout, what)
    if lacking := layout.lacks(folder):
        raise MissingDataError(f"{what}: the hub has no {lacking[0]}, or is out of reach", layout.hint)
    return folder


def read_json(file: Path, what: str) -> dict[str, Any]:
    """Return the object in a JSON file of a model, for example its config.json.

    Raises:
        MissingDataError: there is no such file.
        InputError: the file cannot be read, or holds no JSON object.
    """
    if not file.is_file():
        raise MissingDataError(f"{what} {file.parent}: no {file.name} in this folder")
    with reading(file, what, "the file is damaged or incomplete: copy it again", "not valid JSON"):
        entries = json.loads(file.read_bytes())
    if not isinstance(entries, dict):
        raise InputError(f"{what} {file}: expected an object, found {type(entries).__name__}")
    return entries


def load_pretrained(model_class: Any, folder: Path, what: str, **options: Any) -> nn.Module:
    """Return a network of transformers with all its weights from the files of a folder.

    Args:
        model_class: a class with `from_pretrained`.
        folder: the folder with the files.
        what: begins every message.
        options: further arguments of `from_pretrained`.

    Raises:
        InputError: a file is damaged; weights are missing, of another shape or not finite.
    """
    hint = "the files are damaged or incomplete: copy or download them again"
    with quiet():
        try:
            model, info = model_class.from_pretrained(
                str(folder), local_files_only=True, output_loading_info=True, **options
            )
        except Exception as error:  # a damaged file can raise any error in the reader
            raise InputError(f"{what} {folder}: its weights cannot be read: {first_line(error)}", hint) from None
    for problem, names in (
        ("lack", [name for name in info["missing_keys"] if not name.endswith("position_ids")]),
        ("have another shape in", [str(entry) for entry in info["mismatched_keys"]]),
    ):
        if names:
            found = f"its weights {problem} {len(names)} entries (first: {min(names)})"
            raise InputError(f"{what} {folder}: {found}", hint)
    load_weights(model, model.state_dict(), f"{what} {folder}", hint=hint)  # refuses values that are not finite
    network: nn.Module = model
    return network


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and warnings of transformers in this block; our errors state what matters."""
    from transformers.utils import logging as noise

    level, bars = noise.get_verbosity(), noise.is_progress_bar_enabled()
    noise.set_verbosity(logging.CRITICAL)
    noise.disable_progress_bar()
    try:
        yield
    finally:
        noise.set_verbosity(level)
        if bars:
            noise.enable_progress_bar()


def _download(repository: str, revision: str | None, layout: Layout, what: str) -> Path:
    """Download the files of `layout` that the local cache lacks, and return their folder."""
    patterns = [pattern for group in layout.files.values() for pattern in group if pattern not in _PICKLED]
    try:
        folder = _snapshot(repository, revision, (*patterns, *layout.also), what)
        if layout.lacks(folder) == list(WEIGHTS):
            folder = _snapshot(repository, revision, _PICKLED, what)
        return folder
    except InputError:
        raise
    except Exception as error:  # the hub's client raises errors of its HTTP library
        reason = f"cannot be downloaded ({first_line(error)})"
        raise MissingDataError(
            f"{what}: neither a folder nor complete in the local cache, and {reason}", layout.hint
        ) from None


def _cached(repository: str, revision: str | None, what: str) -> Path | None:
    """Return the folder of a hub repository in the local cache, or None if it is not there."""
    from huggingface_hub.utils import LocalEntryNotFoundError  # type: ignore[attr-defined]

    try:
        return _snapshot(repository, revision, (), what, local_only=True)
    except LocalEntryNotFoundError:
        return None


def _snapshot(
    repository: str, revision: str | None, patterns: tuple[str, ...], what: str, local_only: bool = False
) -> Path:
    """Return the local copy of a hub repository; unless `local_only`, download the matching files first."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import HFValidationError  # type: ignore[attr-defined]

    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=list(patterns), local_files_only=local_only)
        )
    except HFValidationError:
        raise InputError(f"{what}: neither a folder nor a name on the Hugging Face hub") from None


def _has(folder: Path, patterns: tuple[str, ...]) -> bool:
    return any(True for pattern in patterns for _ in folder.glob(pattern))
