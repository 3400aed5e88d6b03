"""Whatever a reader's file breaks becomes one line with the file's name; bugs stay bugs."""

from __future__ import annotations

import errno
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file

from g3d.data.boundary import reader, reading
from g3d.errors import EnvironmentProblem, G3DError, InputError, Interrupted, MissingDataError


def too_deep(path: Path) -> None:
    too_deep(path)


def read_h5(path: Path) -> None:
    with h5py.File(path, "r"):
        pass


BREAKS: dict[str, Callable[[Path], object]] = {
    "json": lambda path: json.loads(path.read_bytes()),
    "yaml": lambda path: yaml.safe_load("a: [" + path.read_text()),
    "numpy": lambda path: np.load(path, allow_pickle=False),
    "zip": zipfile.ZipFile,
    "zlib": lambda path: zlib.decompress(path.read_bytes()),
    "struct": lambda path: struct.unpack("<I", path.read_bytes()),
    "h5py": read_h5,
    "safetensors": load_file,
    "pillow": lambda path: Image.open(path).load(),
    "integer": lambda path: int(path.read_text()),
    "key": lambda path: dict.fromkeys("xyz")[path.read_text()],
    "index": lambda path: [][1],
    "type": lambda path: len(5),  # type: ignore[arg-type]
    "attribute": lambda path: path.read_text().nothing,  # type: ignore[attr-defined]
    "overflow": lambda path: int(float("inf")),
    "recursion": too_deep,
    "memory": lambda path: np.empty(2**60),
    "unicode": lambda path: b"\xff".decode(),
    "folder": lambda path: path.parent.read_bytes(),
    "lines": lambda path: int("a\nb" * 1000),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_any_exception_of_content_is_one_line_with_the_original_chained(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "content.bin"
    path.write_text("abc")
    with pytest.raises(InputError) as caught, reading(path, "thing", hint="make it again"):
        BREAKS[kind](path)
    assert caught.value.message.startswith(f"thing {path}: ")
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < len(str(path)) + 400
    assert caught.value.hint == "make it again"
    assert isinstance(caught.value.__cause__, Exception)


def test_a_missing_file_is_missing_data(tmp_path: Path) -> None:
    path = tmp_path / "none"
    with pytest.raises(MissingDataError, match=r"thing .*none: no such file$"), reading(path, "thing"):
        path.read_bytes()
    with pytest.raises(MissingDataError, match=r"list: no such file: .*none$"), reading(tmp_path / "list"):
        path.read_bytes()


def test_errors_of_the_reader_name_the_file_once() -> None:
    for message, expected in (
        ("line 3 is odd", "label a.txt: line 3 is odd"),
        ("label a.txt: odd", "label a.txt: odd"),
    ):
        with pytest.raises(InputError) as caught, reading("a.txt", "label"):
            raise InputError(message, "mend it")
        assert (caught.value.message, caught.value.hint, caught.value.__cause__) == (expected, "mend it", None)
        assert str(caught.value) == f"{expected}\nmend it"
    for error in (EnvironmentProblem("no memory"), Interrupted("stopped")):
        with pytest.raises(G3DError) as passed, reading("a.txt", "label"):
            raise error
        assert passed.value is error
        assert "a.txt" not in error.message


@pytest.mark.parametrize("error", [AssertionError(), ImportError(), NameError(), SystemExit()])
def test_bugs_pass_unchanged(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, reading("a.txt"):
        raise error
    assert caught.value is error


def test_too_many_open_files_are_no_fault_of_the_file() -> None:
    with pytest.raises(EnvironmentProblem, match=r"a.txt: cannot be read: Too many"), reading("a.txt"):
        raise OSError(errno.EMFILE, "Too many open files")


def test_a_decorated_reader(tmp_path: Path) -> None:
    @reader("number", hint="write a number")
    def read_number(path: str | Path, base: int = 10) -> int:
        """Return the number in a file."""
        return int(Path(path).read_text(), base)

    path = tmp_path / "n.txt"
    path.write_text("11")
    assert read_number(path, base=2) == 3
    assert read_number.__doc__ == "Return the number in a file."
    path.write_text("x")
    with pytest.raises(InputError, match=r"number .*n.txt: damaged: invalid literal"):
        read_number(str(path))
