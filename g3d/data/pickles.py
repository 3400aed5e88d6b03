"""Reader of pickles that other programs wrote: published checkpoints, prepared scenes, word vectors, annotations.

Unpickling calls the functions that the file names. This reader has a fixed list of names (g3d.data.pickle_names), uses
stand-ins for them and refuses all others, so that no code of a file runs and no address is taken from it. It reads

- plain pickles of every protocol, also of Python 2, which may contain tensors of torch;
- files of torch.save: zip archives (PyTorch 1.6 and later) and the older sequence of pickles and storages.

The opcodes of a pickle are scanned before it is run: lengths and memo numbers beyond the file's size would otherwise
make Python allocate that much memory.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import torch

from g3d.data.boundary import AnyPath, reading
from g3d.data.pickle_names import NAMES, Storage, StorageType, resolved
from g3d.errors import InputError
from g3d.names import shown

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file of torch.save before PyTorch 1.6
_ZIP = b"PK\x03\x04"
_HINT = "g3d reads plain data only: numbers, text, lists, dicts, numpy arrays and torch tensors"

Stored = Callable[[StorageType, Any, int], Storage]  # (class, key, number of elements) -> the storage


def read(
    path: AnyPath,
    what: str = "pickle",
    *,
    encoding: str = "latin1",
    hint: str | None = _HINT,
    problem: str = "not a pickle, or damaged",
) -> Any:
    """Return the content of a pickle or of a file of torch.save, without running its code; tensors are on the CPU.

    Args:
        path: the file.
        what: kind of content, the first word of an error.
        encoding: encoding of text that Python 2 wrote. latin1 decodes all bytes and is needed for arrays of Python 2.
        hint: advice on a file that is refused or damaged.
        problem: text before the reason in the error of a damaged file.

    Returns:
        Python values: containers, numbers, text, numpy arrays and scalars in native byte order, tensors without
        gradient (parameters too).

    Raises:
        MissingDataError: the file does not exist.
        InputError: the file is damaged, or it names anything other than the values above.
    """
    with reading(path, what, hint, problem), open(path, "rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            return _read_zip(file, encoding)
        file.seek(0)
        return _read_sequence(file.read(), encoding)


class _Unpickler(pickle.Unpickler):
    """Python's unpickler, restricted to the allowed names and their stand-ins."""

    def __init__(self, content: bytes, encoding: str, stored: Stored | None) -> None:
        super().__init__(io.BytesIO(content), encoding=encoding)
        self.names_used = False
        self._encoding = encoding
        self._stored = stored

    def find_class(self, module: str, name: str) -> Any:
        self.names_used = True
        if (module, name) == ("torch.storage", "_load_from_bytes"):  # a tensor that torch.save did not pickle
            return _EmbeddedStorage(self._encoding)
        if (module, name) not in NAMES:
            raise InputError(
                f"refused: it would run code (it names {shown(f'{module}.{name}'[:200])}, which is no array, tensor or "
                f"plain value)",
                _HINT,
            )
        return NAMES[module, name]

    def persistent_load(self, identity: Any) -> Any:
        self.names_used = True
        known = isinstance(identity, tuple) and len(identity) in (5, 6) and identity[0] in ("storage", b"storage")
        if not known or self._stored is None or not isinstance(identity[1], StorageType):
            raise pickle.UnpicklingError("it refers to something outside the file")
        _, kind, key, _, count = identity[:5]
        if type(count) is not int or count < 0 or not isinstance(key, str | int | bytes):
            raise pickle.UnpicklingError("a storage of negative size or without a key")
        whole = self._stored(kind, key, count)
        view = identity[5] if len(identity) == 6 else None
        if view is None:
            return whole
        _, offset, length = view
        if not 0 <= offset <= offset + length <= count:
            raise pickle.UnpicklingError("a view beyond its storage")
        return Storage(whole.elements[offset : offset + length])


class _EmbeddedStorage:
    """Stand-in for the function that reads a storage from the bytes of a file of torch.save."""

    __slots__ = ("_encoding",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("state for a function")

    def __call__(self, content: Any) -> Storage:
        if not isinstance(content, bytes) or content.startswith(_ZIP):
            raise pickle.UnpicklingError("an embedded storage is damaged")
        found = _read_sequence(content, self._encoding, embedded=True)
        if not isinstance(found, Storage):
            raise pickle.UnpicklingError("an embedded storage is damaged")
        return found


def _read_zip(file: BinaryIO, encoding: str) -> Any:
    """Return the content of a zip archive of torch.save."""
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        root = next((name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")), None)
        if root is None:
            raise pickle.UnpicklingError("a zip archive, but not one of torch.save")
        if f"{root}constants.pkl" in members:
            raise InputError("refused: it is a TorchScript program, expected weights", "save its state dict instead")
        stored: dict[str, Storage] = {}

        def get(name: str) -> bytes:
            info = members.get(root + name)
            if info is None or info.compress_type != zipfile.ZIP_STORED:
                raise pickle.UnpicklingError(f"its part {name} is missing or compressed")
            return archive.read(info)

        def storage(kind: StorageType, key: Any, count: int) -> Storage:
            name, size = f"data/{key}", count * kind.dtype.itemsize
            if name not in stored:
                if root + name not in members or members[root + name].file_size != size:
                    raise pickle.UnpicklingError(f"storage {key}: expected {size} bytes")
                stored[name] = Storage(_elements(get(name), kind.dtype))
            return _matching(stored[name], kind, key, count)

        if f"{root}byteorder" in members and get("byteorder") != b"little":
            raise pickle.UnpicklingError("its numbers are big-endian, expected little-endian")
        return resolved(_load(get("data.pkl"), 0, encoding, storage)[0])


def _read_sequence(content: bytes, encoding: str, embedded: bool = False) -> Any:
    """Return the content of a plain pickle, or of a file that torch.save wrote before PyTorch 1.6.

    Such a file is a sequence of five pickles, then the storages' numbers.
    """
    value, at, names_used = _load(content, 0, encoding)
    if value != _MAGIC or type(value) is not int:
        return resolved(value) if names_used else value
    _, at, _ = _load(content, at, encoding)  # version of the protocol
    machine, at, _ = _load(content, at, encoding)
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        raise pickle.UnpicklingError("its numbers are big-endian, expected little-endian")
    stored: dict[Any, Storage] = {}

    def storage(kind: StorageType, key: Any, count: int) -> Storage:
        if key not in stored:
            if count * kind.dtype.itemsize > len(content):
                raise pickle.UnpicklingError(f"storage {key} is larger than the file")
            stored[key] = Storage(torch.zeros(count, dtype=kind.dtype))
        return _matching(stored[key], kind, key, count)

    value, at, _ = _load(content, at, encoding, storage)
    keys, at, _ = _load(content, at, encoding)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(map(str, stored)):
        raise pickle.UnpicklingError("its storages are not those that its tensors name")
    for key in keys:
        elements = stored[key].elements
        size = elements.numel() * elements.dtype.itemsize
        if (
            at + 8 > len(content)
            or struct.unpack_from("<q", content, at)[0] != elements.numel()
            or len(content) < at + 8 + size
        ):
            raise pickle.UnpicklingError(f"storage {key} is cut off")
        elements.copy_(_elements(content[at + 8 : at + 8 + size], elements.dtype))
        at += 8 + size
    return value if embedded else resolved(value)


def _matching(storage: Storage, kind: StorageType, key: Any, count: int) -> Storage:
    if storage.elements.dtype != kind.dtype or storage.elements.numel() != count:
        raise pickle.UnpicklingError(f"storage {key} is of two types or sizes")
    return storage


def _elements(content: bytes, dtype: torch.dtype) -> torch.Tensor:
    """Return a flat tensor with its own memory."""
    made = torch.empty(len(content), dtype=torch.uint8)
    made.numpy()[:] = np.frombuffer(content, np.uint8)
    return made.view(dtype)


def _load(content: bytes, start: int, encoding: str, stored: Stored | None = None) -> tuple[Any, int, bool]:
    """Run the pickle at byte `start`; return its value, the byte after it, and whether it may contain stand-ins."""
    end = _end_of_pickle(content, start)
    unpickler = _Unpickler(content if end - start == len(content) else content[start:end], encoding, stored)
    return unpickler.load(), end, unpickler.names_used


_LENGTHS = [-1] * 256
"""Number of bytes that follow an opcode; -1 for opcodes that `_end_of_pickle` handles and for other bytes."""
for _opcode in pickletools.opcodes:
    _LENGTHS[ord(_opcode.code)] = 0 if _opcode.arg is None else max(_opcode.arg.n, -1)
_COUNTED = {
    **{code[0]: struct.Struct("<B") for code in (b"U", b"C", b"\x8c", b"\x8a")},
    **{code[0]: struct.Struct("<I") for code in (b"T", b"B", b"X", b"\x8b")},
    **{code[0]: struct.Struct("<Q") for code in (b"\x8e", b"\x8d", b"\x96")},
}
_LINES = {code[0]: lines for code, lines in ((b"c", 2), (b"i", 2), *((bytes([c]), 1) for c in b"FILSVgp"))}
_STOP, _PUT, _LONG_PUT, _FRAME = b".pr\x95"
_LENGTHS[_STOP] = _LENGTHS[_LONG_PUT] = _LENGTHS[_FRAME] = -1
for _code in pickle.EXT1 + pickle.EXT2 + pickle.EXT4:
    _LENGTHS[_code] = -1


def _end_of_pickle(content: bytes, at: int) -> int:
    """Return the byte after the pickle that begins at byte `at`.

    Raises:
        EOFError: the pickle is cut off, or an opcode asks for more bytes than there are.
        UnpicklingError: a byte is no opcode of plain data, or a memo number is larger than the number of bytes.
    """
    lengths, size = _LENGTHS, len(content)
    while at < size:
        code = content[at]
        at += 1
        length = lengths[code]
        if length >= 0:
            at += length
        elif code == _STOP:
            return at
        elif code in _COUNTED:
            number = _COUNTED[code]
            if at + number.size > size:
                break
            at += number.size + number.unpack_from(content, at)[0]
        elif code in _LINES:
            for _ in range(_LINES[code]):
                start, at = at, content.find(b"\n", at) + 1
                if not at:
                    raise EOFError("it is cut off")
            if code == _PUT and not (content[start : at - 1].isdigit() and int(content[start : at - 1]) <= size):
                raise pickle.UnpicklingError(f"a memo number at byte {start} is too large")
        elif code == _LONG_PUT:
            if int.from_bytes(content[at : at + 4], "little") > size:
                raise pickle.UnpicklingError(f"a memo number at byte {at} is too large")
            at += 4
        elif code == _FRAME:
            at += 8
            if int.from_bytes(content[at - 8 : at], "little") > size - at:
                break
        else:
            raise pickle.UnpicklingError(f"byte {at - 1} is {code:#04x}, which begins no plain value")
    raise EOFError("it is cut off")
