"""Models in Hugging Face's layout: folders, the local cache, the hub (a stand-in), and revisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from g3d.errors import InputError, MissingDataError
from g3d.nn.hub_folder import CONFIG, WEIGHTS, Layout, locate, read_json

huggingface_hub = pytest.importorskip("huggingface_hub")
LAYOUT = Layout("thing", {**CONFIG, **WEIGHTS}, "--offline", "make one", ("notes.txt",))
NAME = "g3d-tests/tiny"


class Hub:
    """A repository with two revisions, which `snapshot_download` copies into a cache, as the real one does."""

    def __init__(self, root: Path, real: Any) -> None:
        self.root, self.real = root, real
        self.cache = root / "cache"
        self.files: dict[str, set[str]] = {}
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, name: str, revision: str | None, allow_patterns: list[str], local_files_only: bool) -> str:
        folder = self.cache / "models--g3d-tests--tiny" / "snapshots" / ("b" if revision == "pinned" else "a") / "."
        if not local_files_only:
            self.asked.append(tuple(allow_patterns))
            if revision not in (None, "pinned"):
                raise ConnectionError("revision not found\nsecond line")
            folder.mkdir(parents=True, exist_ok=True)
            refs = folder.parent.parent / "refs"
            refs.mkdir(exist_ok=True)
            (refs / (revision or "main")).write_text(folder.name)
            for file in self.files[revision or "main"]:
                if any(Path(file).match(pattern) for pattern in allow_patterns):
                    (folder / file).write_text(f"{file} of {folder.name}")
        options = {"revision": revision, "allow_patterns": allow_patterns, "local_files_only": True}
        return self.real(name, cache_dir=self.cache, **options)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path, huggingface_hub.snapshot_download)
    hub.files = {name: {"config.json", "model.safetensors", "pytorch_model.bin", "notes.txt"} for name in ("main",)}
    hub.files["pinned"] = {"config.json", "pytorch_model.bin", "flax_model.msgpack"}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    monkeypatch.chdir(tmp_path)
    return hub


def test_a_folder_is_itself_and_must_be_complete(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingDataError) as caught:
        locate(tmp_path, LAYOUT, offline=False)
    assert caught.value.message == (
        f"thing {tmp_path}: no weights (model.safetensors or pytorch_model.bin) in this folder"
    )
    assert caught.value.hint == "make one"
    (tmp_path / "model-00001-of-00002.safetensors").write_text("")
    assert locate(str(tmp_path), LAYOUT, offline=False) == tmp_path
    (tmp_path / "other.txt").write_text("")
    assert [file.name for file in LAYOUT.found(tmp_path)] == ["config.json", "model-00001-of-00002.safetensors"]


def test_a_name_is_downloaded_once_without_what_is_not_needed(hub: Hub) -> None:
    folder = locate(NAME, LAYOUT, offline=False)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors", "notes.txt"]
    assert len(hub.asked) == 1
    assert locate(NAME, LAYOUT, offline=False) == folder
    assert locate(NAME, LAYOUT, offline=True) == folder
    assert len(hub.asked) == 1  # the cache was complete


def test_a_revision_is_another_folder_and_pickled_weights_come_where_there_are_no_others(hub: Hub) -> None:
    main, pinned = locate(NAME, LAYOUT, offline=False), locate(f"{NAME}@pinned", LAYOUT, offline=False)
    assert main != pinned
    assert (pinned / "config.json").read_text() == "config.json of b"
    assert sorted(file.name for file in pinned.iterdir()) == ["config.json", "pytorch_model.bin"]
    assert locate(f"{NAME}@pinned", LAYOUT, offline=True) == pinned


@pytest.mark.parametrize("offline", [True, False])
def test_a_cache_that_lost_its_weights(hub: Hub, offline: bool) -> None:
    weights = locate(NAME, LAYOUT, offline=False) / "model.safetensors"
    weights.unlink()
    if offline:
        with pytest.raises(MissingDataError, match="nor complete in the local cache, and --offline is set"):
            locate(NAME, LAYOUT, offline=True)
    else:
        assert locate(NAME, LAYOUT, offline=False) == weights.parent
        assert weights.is_file()


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("no/such/folder", MissingDataError, "thing no/such/folder: no such folder"),
        ("./nowhere", MissingDataError, "thing ./nowhere: no such folder"),
        ("two words", InputError, "thing two words: neither a folder nor a name on the Hugging Face hub"),
        (f"{NAME}@", InputError, "no revision after @"),
        (f"{NAME}@gone", MissingDataError, "cannot be downloaded (revision not found)"),
    ],
)
def test_what_cannot_be_found_is_said_in_one_line(hub: Hub, name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        locate(name, LAYOUT, offline=False)
    assert said in caught.value.args[0]
    assert "\n" not in caught.value.args[0]


def test_a_repository_without_weights(hub: Hub) -> None:
    hub.files["main"] = {"config.json"}
    with pytest.raises(MissingDataError, match="the hub has no weights"):
        locate(NAME, LAYOUT, offline=False)


def test_json_files_hold_an_object(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    with pytest.raises(MissingDataError, match=r"no config\.json in this folder"):
        read_json(file, "thing")
    for text, said in (
        ("[1]", "expected an object, found list"),
        ("{", "not valid JSON"),
        ("\udcff", "not valid JSON"),
    ):
        file.write_text(text, errors="surrogateescape")
        with pytest.raises(InputError, match=said):
            read_json(file, "thing")
    file.write_text(json.dumps({"a": 1}))
    assert read_json(file, "thing") == {"a": 1}
