"""Pickles of plain data are read whatever wrote them; nothing in a pickle is run, and no address is taken from it."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import random
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g3d.data import pickles
from g3d.errors import InputError, MissingDataError


def same(a: Any, b: Any) -> bool:
    if isinstance(b, torch.Tensor):
        return type(a) is torch.Tensor and torch.equal(a, b.detach()) and a.dtype == b.dtype and not a.requires_grad
    if isinstance(b, np.ndarray | np.generic):
        native = np.asarray(b).dtype.newbyteorder("=")
        return type(a) is type(b) and a.dtype == native and a.shape == b.shape and bool(np.array_equal(a, b))
    if isinstance(b, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if type(b) in (list, tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def plain_values() -> dict[str, Any]:
    sentences = [{"tokens": ["the", "man"], "raw": "Café, the man\n", "sent_id": 2**40}]
    numbers = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return {
        "refs": [{"ref_id": 1, "split": "val", "sentences": sentences, "box": (1.5, None, True, -3)}],
        "arrays": {
            **{kind: np.arange(6).astype(kind) for kind in ("<f2", ">f4", "<f8", "|i1", ">i8", "<u2", "c16", "?")},
            "text": np.array(["a", "Ångström"]),
            "bytes": np.array([b"a", b"bc"]),
            "fortran": np.asfortranarray(numbers),
            "cut": numbers[:, 1:, ::2],
            "empty": np.zeros((0, 3)),
            "point": np.array(3),
        },
        "scalars": [np.float64(124.83), np.float32(0.5), np.int64(7), np.bool_(True), np.str_("x")],
        "raw": [b"\x00\xff", b"", bytearray(b"\xfe"), {1, 2}, frozenset("a"), 1 + 2j],
        "ordered": OrderedDict([("b", OrderedDict(c=np.ones(2))), ("a", Counter({120: 1}))]),
        "dtype": np.dtype("<f4"),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", plain_values())
def test_plain_values_of_every_protocol_come_back(tmp_path: Path, kind: str, protocol: int) -> None:
    path = tmp_path / "x.p"
    value = plain_values()[kind]
    path.write_bytes(pickle.dumps(value, protocol))
    assert same(pickles.read(path), value)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_of_numpy_1_and_2_come_back(tmp_path: Path, core: bytes) -> None:
    path = tmp_path / "x.p"
    values = {"glove": np.arange(3.0), "best": np.float64(2)}
    content = pickle.dumps(values, 2)  # names are lines of text in it
    for module in (b"numpy.core", b"numpy._core"):
        content = content.replace(b"c" + module + b".multiarray\n", b"c" + core + b".multiarray\n")
    assert b"c" + core + b".multiarray\n" in content
    path.write_bytes(content)
    assert same(pickles.read(path), values)


def test_arrays_of_python_2_come_back(tmp_path: Path) -> None:
    """Python 2 stores text, bytes and the numbers of arrays as the same kind of string."""
    numbers = np.array([1.5, -2.0], "<f4")
    content = (
        b"\x80\x02}U\x04nameU\x05caf\xc3\xa9U\x05arraycnumpy.core.multiarray\n_reconstruct\n"
        b"(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08" + numbers.tobytes() + b"tbh\x00."
    )
    path = tmp_path / "x.p"
    path.write_bytes(content.replace(b"tbh\x00.", b"tb(U\x01xK\x01dR.").replace(b"(U\x01xK\x01dR.", b"u.").replace(
        b"}U\x04name", b"}(U\x04name", 1))  # fmt: skip
    read = pickles.read(path)
    assert read["name"] == "cafÃ©"
    assert same(read["array"], numbers)
    assert pickle.loads(path.read_bytes(), encoding="latin1")["name"] == read["name"]


def tensors() -> dict[str, Any]:
    whole = torch.arange(24.0).reshape(4, 6)
    return {
        "model_state": OrderedDict(weight=whole, tied=whole, part=whole[1:3, ::2], turned=whole.t()),
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "kinds": [torch.arange(4).to(kind) for kind in (torch.bfloat16, torch.half, torch.bool, torch.uint8)],
        "empty": torch.zeros(0, 3),
        "point": torch.tensor(3),
        "repeated": torch.ones(1).expand(5),
        "best_result": np.float64(12.5),
        "array": np.arange(3),
        "shape": torch.Size([1, 2]),
        "device": torch.device("cuda:0"),
    }


SAVED: dict[str, Callable[[Any, Path], Any]] = {
    "zip": torch.save,
    "zip4": lambda value, path: torch.save(value, path, pickle_protocol=4),
    "legacy": lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
    "pickle": lambda value, path: path.write_bytes(pickle.dumps(value)),
}


@pytest.mark.parametrize("form", SAVED)
def test_tensors_come_back(tmp_path: Path, form: str) -> None:
    path = tmp_path / "x.pth"
    value = tensors()
    SAVED[form](value, path)
    read = pickles.read(path)
    assert same(read, {**value, "parameter": value["parameter"].detach()})
    if form != "pickle":
        state = read["model_state"]
        state["weight"][1, 0] = 100
        assert state["tied"][1, 0] == state["part"][0, 0] == state["turned"][0, 1] == 100  # they share their memory


class Calls:
    """An object that is pickled as a call."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple:
        return self.reduced


def array_state(shape: Any, dtype: Any, data: Any) -> Calls:
    """An array with a state of its own making."""
    rebuild, arguments, _ = np.zeros(1).__reduce__()  # type: ignore[misc]
    return Calls(rebuild, *arguments, state=(1, shape, dtype, False, data))


def bad_dtype() -> Calls:
    """A dtype whose state makes numpy take an address from the file."""
    return Calls(np.dtype, "f8", False, True, state=(3, "|", None, ("a",), {"a": (1, 2)}, 8, 8, 63))


CRAFTED: dict[str, tuple[Callable[[], Any], str]] = {
    "system": (lambda: Calls(os.system, "touch harm"), r"it names \w+\.system"),
    "mkdir": (lambda: Calls(os.mkdir, "harm"), r"it names \w+\.mkdir"),
    "getattr": (lambda: Calls(builtins.getattr, "x", "upper"), r"it names (builtins|__builtin__)\.getattr"),
    "eval": (lambda: Calls(eval, "1"), r"it names (builtins|__builtin__)\.eval"),
    "path": (lambda: Path("a"), "it names pathlib"),
    "function": (lambda: np.random.default_rng, "it names numpy.random"),
    "load": (lambda: Calls(np.load, "x"), "it names numpy.load"),
    "torch": (lambda: Calls(torch.load, "x"), "it names torch.serialization.load"),
    "dtype state": (bad_dtype, "a dtype of several fields"),
    "dtype order": (lambda: Calls(np.dtype, "f8", state=(3, 5, None, None, None, 8, 8, 0)), "state of dtype"),
    "dtype name": (lambda: Calls(np.dtype, "O"), "dtype 'O' is not one of numbers or text"),
    "dtype pointer": (lambda: Calls(np.dtype, "V8"), "dtype 'V8' is not one of"),
    "dtype zero": (lambda: Calls(np.dtype, "S0"), "dtype 'S0' is not one of"),
    "dtype fields": (lambda: np.dtype([("a", "f4")]), "dtype 'V4'"),
    "objects": (lambda: np.array([{}, None], object), "dtype 'O"),
    "negative shape": (lambda: array_state((-1,), np.dtype("f8"), b""), "the shape of an array"),
    "huge shape": (lambda: array_state((2**40, 2**40), np.dtype("f8"), b"12345678"), "has 8 bytes, expected 9671"),
    "fractional shape": (lambda: array_state((1.0,), np.dtype("f8"), b"12345678"), "the shape of an array"),
    "few bytes": (lambda: array_state((2,), np.dtype("f8"), b"12345678"), "has 8 bytes, expected 16"),
    "many bytes": (lambda: array_state((2,), np.dtype("i1"), b"12345678"), "has 8 bytes, expected 2"),
    "list of objects": (lambda: array_state((1,), np.dtype("f8"), [{}]), "not bytes"),
    "another class": (lambda: Calls(Calls, np.ndarray), r"it names [\w.]*Calls, which"),
    "bytearray": (lambda: Calls(bytearray, 2**50), "encoding|bytes"),
    "short scalar": (lambda: Calls(np.float64(0).__reduce__()[0], np.dtype("f8"), b"1"), "has 1 bytes, expected 8"),
    "torch beyond": (lambda: beyond(offset=100), r"a tensor of shape \(2,\) in a storage of 3"),
    "torch huge": (lambda: beyond(size=(2**60,), stride=(0,)), "a tensor of shape"),
    "torch negative": (lambda: beyond(offset=-1), "negative"),
    "torch stride": (lambda: beyond(stride=(-1,)), "negative"),
    "counter": (lambda: Calls(Counter, 5), "no mapping"),
}


def beyond(offset: int = 0, size: tuple[int, ...] = (2,), stride: tuple[int, ...] = (1,)) -> Calls:
    storage = torch.arange(3.0).storage()
    return Calls(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", SAVED)
@pytest.mark.parametrize("kind", CRAFTED)
def test_crafted_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, form: str) -> None:
    make, says = CRAFTED[kind]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pth"
    SAVED[form]({"a": make()}, path)
    with pytest.raises(InputError, match=says) as caught:
        pickles.read(path, "weights")
    assert caught.value.message.startswith(f"weights {path}: ")
    assert "\n" not in caught.value.message
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "state",
    [b"}U\x09_functionNs", b"N}U\x09_functionNs\x86", b"}U\x0c__defaults__)s", b"N}U\x0c__defaults__)s\x86"],
)
@pytest.mark.parametrize(
    "name",
    [b"numpy\ndtype", b"numpy.core.multiarray\nscalar", b"torch.storage\n_load_from_bytes", b"torch\nFloatStorage"],
)
def test_no_stand_in_can_be_altered(tmp_path: Path, name: bytes, state: bytes) -> None:
    path = tmp_path / "x.p"
    path.write_bytes(b"\x80\x02c" + name + b"\n" + state + b"b.")
    with pytest.raises(InputError, match="state for"):
        pickles.read(path)
    path.write_bytes(pickle.dumps(np.float64(3)))
    assert pickles.read(path) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"r\xff\xff\xff\x7f.",  # a memo of 2 billion places
        b"N" + b"p2000000000\n.",
        b"\x8e" + struct.pack("<Q", 2**40) + b"a.",
        b"\x8b" + struct.pack("<I", 2**31) + b"a.",
        b"\x95" + struct.pack("<Q", 2**40) + b"N.",
        b"\x82\x01.",  # a registered extension
        b"P1\n.",
        b"cos\nsystem",
        b"",
        b"N",
        b".",
        b"}}U\x01aNsb.",  # an attribute of a dict
        b"(" * 1000,
    ],
    ids=repr,
)
def test_damaged_pickles_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.p"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.p: not a pickle, or damaged: "):
        pickles.read(path)


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.p"
    path.write_bytes(b"cnumpy\ndtype\nU\x02f8\x85R" + b"\x85" * 5000 + b".")
    with pytest.raises(InputError, match="nested too deeply"):
        pickles.read(path)


def test_lists_that_hold_themselves_come_back(tmp_path: Path) -> None:
    loop: list[Any] = [np.arange(2)]
    loop.append({"again": (loop,)})
    path = tmp_path / "x.p"
    path.write_bytes(pickle.dumps(loop))
    read = pickles.read(path)
    assert read[1]["again"][0] is read
    assert same(read[0], loop[0])


def edited(path: Path, edit: Callable[[str, bytes], bytes | None]) -> None:
    """Rewrite the members of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            new = edit(name, content)
            if new is not None:
                archive.writestr(name, new)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda name, content: content[:4] if name.endswith("data/0") else content, "expected 96 bytes"),
        (lambda name, content: content + b"1234" if name.endswith("data/0") else content, "expected 96 bytes"),
        (lambda name, content: None if name.endswith("data/0") else content, "expected 96 bytes"),
        (lambda name, content: None if name.endswith("data.pkl") else content, "not one of torch.save"),
        (lambda name, content: b"big" if name.endswith("byteorder") else content, "big-endian"),
    ],
)
def test_storages_of_another_size_are_refused(
    tmp_path: Path, edit: Callable[[str, bytes], bytes | None], says: str
) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.zeros(4, 6)}, path)
    edited(path, edit)
    with pytest.raises(InputError, match=says):
        pickles.read(path)


def test_a_program_is_no_file_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/constants.pkl", b"")
    with pytest.raises(InputError, match="TorchScript"):
        pickles.read(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"refs .*none\.p: no such file"):
        pickles.read(tmp_path / "none.p", "refs")


@pytest.mark.parametrize("form", SAVED)
def test_damage_of_any_kind_is_bad_input(tmp_path: Path, form: str, recwarn: pytest.WarningsRecorder) -> None:
    """Bytes changed at random, or the end cut off: it loads, or is refused; nothing else is raised."""
    path = tmp_path / "x.pth"
    SAVED[form]({**tensors(), **plain_values()}, path)
    whole = path.read_bytes()
    draws = random.Random(0)
    messages = []
    for turn in range(300):
        damaged = bytearray(whole if turn % 10 else whole[: draws.randrange(len(whole))])
        for _ in range(draws.randint(1, 5)):
            if damaged:
                damaged[draws.randrange(min(len(damaged), 3000))] = draws.randrange(256)
        path.write_bytes(damaged)
        try:
            pickles.read(path)
        except InputError as error:
            messages.append(error.message)
    assert len(messages) > 50
    assert all(str(path) in message and "\n" not in message for message in messages)
    assert not recwarn.list


def test_a_readers_own_buffer_is_not_shared_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.p"
    path.write_bytes(pickle.dumps([np.arange(3), torch.arange(3)], 5))
    array, tensor = pickles.read(path)
    array += 1
    tensor += 1
    again = io.BytesIO(path.read_bytes())
    assert pickle.load(again)[0].tolist() == [0, 1, 2]
    assert array.tolist() == tensor.tolist() == [1, 2, 3]
