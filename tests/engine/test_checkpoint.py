"""Checkpoint files: what is damaged is refused in one line, and which run a file belongs to."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g3d.engine import checkpoint
from g3d.errors import InputError


def content_of(legacy: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"model_state": {"a": torch.zeros(300)}, "epoch": 3}, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@pytest.mark.parametrize("legacy", [False, True])
def test_damage_of_any_kind_is_bad_input(tmp_path: Path, legacy: bool, recwarn: pytest.WarningsRecorder) -> None:
    """Bytes changed at random in a file of torch's new and old format: it loads, or is refused; nothing else is
    raised."""
    messages = []
    draws = random.Random(0)
    file = tmp_path / "c.pth"
    for _ in range(300):
        damaged = bytearray(content_of(legacy))
        for _ in range(draws.randint(1, 5)):
            damaged[draws.randrange(min(len(damaged), 1000))] = draws.randrange(256)
        file.write_bytes(damaged)
        try:
            checkpoint.read_raw(file)
        except InputError as error:
            messages.append(error.message)
    assert len(messages) > 50
    assert all("c.pth" in message and "\n" not in message for message in messages)
    assert not recwarn.list


@pytest.mark.parametrize("key", ["system", "config", "model", "training"])
def test_a_checkpoint_of_ours_without_one_of_its_parts(tmp_path: Path, key: str) -> None:
    content: dict[str, Any] = {"g3d_format": 1, "system": "monodle", "config": "", "model": {}, "training": {}}
    del content[key]
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(InputError, match=f"damaged: it has no {key}"):
        checkpoint.read(tmp_path / "c.pt")


@pytest.mark.parametrize("key", ["g3d_format", "system", "config", "model", "training"])
def test_a_part_of_another_type_is_damage(tmp_path: Path, key: str) -> None:
    content: dict[str, Any] = {"g3d_format": 1, "system": "monodle", "config": "", "model": {}, "training": {}}
    torch.save({**content, key: [1.5]}, tmp_path / "c.pt")
    with pytest.raises(InputError, match=f"damaged: {key} is of type list, expected"):
        checkpoint.read(tmp_path / "c.pt")


def test_the_run_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    assert checkpoint.run_of(folder / "last.pt") == tmp_path / "run"
    assert checkpoint.run_of(tmp_path / "last.pt") is None
    monkeypatch.chdir(folder)
    assert checkpoint.run_of(Path("last.pt")) == tmp_path / "run"
    monkeypatch.chdir(folder.parent)
    assert checkpoint.run_of(Path("checkpoints/last.pt")) == Path(".")


def renamed(content: bytes, core: str) -> bytes:
    """A torch file as another numpy major would have pickled it."""
    import zipfile

    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(result, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                for other in (b"numpy.core", b"numpy._core"):
                    data = data.replace(b"c" + other + b".multiarray\n", b"cnumpy." + core.encode() + b".multiarray\n")
            target.writestr(name, data)
    return result.getvalue()


@pytest.mark.parametrize("core", ["core", "_core"])
@pytest.mark.parametrize("number", [np.float64(124.83), np.float32(0.5), np.int64(7)], ids=lambda n: type(n).__name__)
def test_a_numpy_number_beside_the_weights_is_read(tmp_path: Path, core: str, number: np.generic) -> None:
    file = io.BytesIO()
    torch.save({"model_state": {"a": torch.ones(2)}, "best_result": number}, file)
    path = tmp_path / "c.pth"
    path.write_bytes(renamed(file.getvalue(), core))
    assert f"cnumpy.{core}.multiarray\n".encode() in path.read_bytes()
    assert checkpoint.read_raw(path)["best_result"] == number


@pytest.mark.parametrize("value", [np.random.default_rng, Path("a")], ids=["function", "path"])
def test_nothing_else_of_python_is_read(tmp_path: Path, value: Any) -> None:
    torch.save({"best_result": value}, tmp_path / "c.pth")
    with pytest.raises(InputError, match="it would run code"):
        checkpoint.read_raw(tmp_path / "c.pth")


def test_an_array_beside_the_weights_is_read(tmp_path: Path) -> None:
    torch.save({"results": np.arange(3)}, tmp_path / "c.pth")
    assert checkpoint.read_raw(tmp_path / "c.pth")["results"].tolist() == [0, 1, 2]


class _Dtype:
    """A dtype with a state of its own making, from which numpy would take the address of its fields."""

    def __reduce__(self) -> tuple:
        return np.dtype, ("f8", False, True), (3, "|", None, ("a",), {"a": (1, 2)}, 8, 8, 63)


def test_no_state_of_a_dtype_is_taken_from_the_file(tmp_path: Path) -> None:
    torch.save({"g3d_format": 1, "training": {"best": _Dtype()}}, tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"c\.pt: truncated or not a torch file: a dtype of several fields"):
        checkpoint.read_raw(tmp_path / "c.pt")


def test_reading_leaves_torch_as_strict_as_it_was(tmp_path: Path) -> None:
    torch.save({"a": np.float64(1)}, tmp_path / "c.pth")
    before = set(torch.serialization.get_safe_globals())
    checkpoint.read_raw(tmp_path / "c.pth")
    assert set(torch.serialization.get_safe_globals()) == before
