"""Stand-ins for the names that a pickle of plain data may contain: containers, numpy arrays and torch tensors.

A pickle calls the names that it contains and sets the state of the results. Therefore a file never reaches real
functions or classes: each allowed name maps to a `_Call`, whose function checks its arguments and returns a plain value
or a `_Late` object, which becomes a numpy array or a torch tensor only after the unpickler has finished. `__setstate__`
of numpy's and torch's own classes is never run on values from the file.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_DTYPE = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32)|\?|[bBhHiIlLqQefdgFD]|[SU][1-9]\d{0,8})")
_MOST_REPEATED = 2**24
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


class _Fixed:
    """Base class of all stand-ins: an instance without a `__dict__`, whose state a file cannot set."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # so that none becomes a key, which could not be replaced

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError(f"state for {type(self).__name__.strip('_')}, which has none")


class _Call(_Fixed):
    """Stand-in for a function or a class; the function that it calls checks the arguments."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class StorageType(_Fixed):
    """Stand-in for a class of torch's storages.

    Attributes:
        dtype: type of the storage's elements.
    """

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _Late(_Fixed):
    """Stand-in for a value that replaces it after the file has been read."""

    __slots__ = ("_value",)

    def __init__(self, value: Any = None) -> None:
        self._value = value

    def resolve(self) -> Any:
        return self._value


class Storage(_Late):
    """Stand-in for a storage: its elements as a flat tensor."""

    __slots__ = ()

    @property
    def elements(self) -> torch.Tensor:
        return self._value


class _Tensor(_Late):
    __slots__ = ()


class _Dtype(_Late):
    """A numpy dtype of numbers or text; only the byte order is used of the state that numpy stores."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"state of dtype {self._value} is damaged")
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("a dtype of several fields, expected numbers or text")
        if state[1] in "<>" and self._value.kind not in "b":
            self._value = self._value.newbyteorder(state[1])


class _Array(_Late):
    """A numpy array, created when its state is set."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise pickle.UnpicklingError("the state of an array is damaged")
        shape, dtype, fortran, data = state[-4:]
        self._value = _numbers(shape, dtype, data, "F" if fortran else "C")

    def resolve(self) -> np.ndarray:
        if self._value is None:
            raise pickle.UnpicklingError("an array without content")
        return self._value


class _Mapping(dict):
    """Stand-in for a subclass of dict; attributes that the file sets (`_metadata` of state dicts) are dropped."""

    __slots__ = ("kind",)
    kind: type[dict]

    def __setstate__(self, state: Any) -> None:
        pass


def _mapping(kind: type[dict]) -> Callable[..., _Mapping]:
    def make(*arguments: Any) -> _Mapping:
        if len(arguments) > 1 or not all(isinstance(argument, dict | list | tuple) for argument in arguments):
            raise pickle.UnpicklingError(f"{kind.__name__} of something that is no mapping")
        made = _Mapping(*arguments)
        made.kind = kind
        return made

    return make


def _require(fits: bool, problem: str) -> None:
    if not fits:
        raise pickle.UnpicklingError(problem)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= 32 and all(map(_is_count, value))


def _bytes(value: Any) -> bytes:
    """Return raw bytes. Python 2 stored them as text, which encoding latin1 preserves byte for byte."""
    if isinstance(value, str):
        return value.encode("latin1")
    _require(isinstance(value, bytes | bytearray), "the content of an array is not bytes: an array of objects?")
    return bytes(value)


def _numbers(shape: Any, dtype: Any, data: Any, order: Any = "C") -> np.ndarray:
    """Return a new numpy array in native byte order after checking shape, dtype and bytes."""
    _require(isinstance(dtype, _Dtype), "the dtype of an array is something else")
    _require(_is_shape(shape), "the shape of an array is no tuple of numbers from 0 on")
    _require(order in ("C", "F"), "the order of an array is neither C nor F")
    kind, content = dtype.resolve(), _bytes(data)
    expected = math.prod(shape) * kind.itemsize
    if len(content) != expected:
        raise pickle.UnpicklingError(
            f"an array of {kind} of shape {shape} has {len(content)} bytes, expected {expected}"
        )
    flat = np.frombuffer(content, kind) if content else np.zeros(0, kind)
    return flat.reshape(shape, order=order).astype(kind.newbyteorder("="), order=order, copy=True)


def _dtype(name: Any, align: Any = False, copy: Any = True) -> _Dtype:
    if isinstance(name, bytes):
        name = name.decode("ascii")
    _require(
        isinstance(name, str) and _DTYPE.fullmatch(name) is not None,
        f"dtype {str(name)[:40]!r} is not one of numbers or text",
    )
    return _Dtype(np.dtype(name))


def _ndarray(shape: Any, dtype: Any, buffer: Any) -> _Array:
    return _Array(_numbers(shape, dtype, buffer))


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    _require(kind is _NDARRAY, "an array of another class than numpy.ndarray")
    return _Array()


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    return _Array(_numbers(shape, dtype, buffer, order))


def _scalar(dtype: Any, data: Any) -> Any:
    return _numbers((), dtype, data)[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    _require(isinstance(text, str) and encoding in ("latin1", "latin-1"), "bytes in an unknown encoding")
    return text.encode("latin1")


def _bytearray(content: Any = b"", encoding: Any = "latin1") -> bytearray:
    return bytearray(content if isinstance(content, bytes) else _encode(content, encoding))


def _empty_bytes() -> bytes:
    return b""


def _set(members: Any = ()) -> set:
    _require(isinstance(members, list | tuple), "a set of something that is no list")
    return set(members)


def _frozenset(members: Any = ()) -> frozenset:
    return frozenset(_set(members))


def _complex(real: Any, imaginary: Any) -> complex:
    return complex(float(real), float(imaginary))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> _Tensor:
    """Return a tensor that views a storage; gradients and hooks are dropped."""
    _require(isinstance(storage, Storage), "a tensor without a storage")
    _require(len(rest) < 3 or not rest[2], "a tensor with a conjugate or negative bit")
    return _view(storage.elements, offset, size, stride)


def _tensor_of_dtype(
    storage: Any, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> _Tensor:
    _require(isinstance(storage, Storage) and isinstance(dtype, torch.dtype), "a tensor without a storage or a dtype")
    _require(not metadata, "a tensor with a conjugate or negative bit")
    return _view(storage.elements.view(dtype), offset, size, stride)


def _view(elements: torch.Tensor, offset: Any, size: Any, stride: Any) -> _Tensor:
    """Return a view inside a storage. With strides of 0, it may have more elements than the storage, up to 2**24."""
    size, stride = tuple(size), tuple(stride)
    _require(_is_count(offset) and _is_shape(size) and _is_shape(stride), "a tensor of negative or fractional size")
    _require(len(size) == len(stride), "a tensor of different numbers of sizes and strides")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) if all(size) else 0
    _require(
        last < max(elements.numel(), 1) and math.prod(size) <= max(elements.numel(), _MOST_REPEATED),
        f"a tensor of shape {size} in a storage of {elements.numel()} elements",
    )
    return _Tensor(elements.new_empty(size) if not all(size) else elements.as_strided(size, stride, offset))


def _parameter(data: Any, *rest: Any) -> _Tensor:
    _require(isinstance(data, _Tensor), "a parameter that is no tensor")
    return _Tensor(data.resolve())


def _from_type(rebuild: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """Return a tensor without the attributes that the file gives it."""
    known = isinstance(rebuild, _Call) and kind in (_TENSOR, _PARAMETER) and isinstance(arguments, tuple)
    _require(known, "a tensor of an unknown class")
    return rebuild(*arguments)


def _size(lengths: Any) -> torch.Size:
    _require(_is_shape(lengths), "torch.Size of something that is no shape")
    return torch.Size(lengths)


def _device(*place: Any) -> _Late:
    _require(1 <= len(place) <= 2 and isinstance(place[0], str), "a device without a name")
    return _Late(torch.device(*place))


def _not_alone(*arguments: Any) -> Any:
    raise pickle.UnpicklingError("a class that is only allowed inside a tensor")


_NDARRAY, _TENSOR, _PARAMETER = _Call(_ndarray), _Call(_not_alone), _Call(_not_alone)
_BUILTINS = {
    "bytes": _Call(_empty_bytes),
    "bytearray": _Call(_bytearray),
    "set": _Call(_set),
    "frozenset": _Call(_frozenset),
    "complex": _Call(_complex),
}

NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Call(_mapping(OrderedDict)),
    ("collections", "Counter"): _Call(_mapping(Counter)),
    ("_codecs", "encode"): _Call(_encode),
    **{(module, name): call for module in ("builtins", "__builtin__") for name, call in _BUILTINS.items()},
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Call(_dtype),
    **{
        (f"numpy.{core}.{module}", name): _Call(function)
        for core in ("core", "_core")  # numpy 1, numpy 2
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    ("torch._utils", "_rebuild_tensor"): _Call(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): _Call(_tensor_of_dtype),
    ("torch._utils", "_rebuild_parameter"): _Call(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): _Call(_parameter),
    ("torch._tensor", "_rebuild_from_type_v2"): _Call(_from_type),
    ("torch", "Tensor"): _TENSOR,
    ("torch.nn.parameter", "Parameter"): _PARAMETER,
    ("torch", "Size"): _Call(_size),
    ("torch", "device"): _Call(_device),
    **{("torch", name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
    **{
        (module, name): StorageType(dtype)
        for module in ("torch", "torch.cuda", "torch.storage")
        for name, dtype in _STORAGES.items()
    },
}
"""The stand-ins of all names that a pickle may contain, by module and name."""


def resolved(value: Any, seen: dict[int, tuple[Any, Any]] | None = None) -> Any:
    """Return the value with every stand-in replaced; lists and dicts are changed in place."""
    seen = {} if seen is None else seen
    kind = type(value)
    if kind not in (list, tuple, dict, _Mapping) and not isinstance(value, _Fixed):
        return value
    if id(value) in seen:
        return seen[id(value)][1]
    if isinstance(value, _Late):
        result = value.resolve()
    elif kind is list:
        seen[id(value)] = value, value
        value[:] = [resolved(member, seen) for member in value]
        return value
    elif kind is dict or kind is _Mapping:
        result = value if kind is dict else value.kind()
        seen[id(value)] = value, result
        for key, member in list(value.items()):
            result[key] = resolved(member, seen)
        return result
    elif kind is tuple:
        result = tuple([resolved(member, seen) for member in value])
    else:
        raise pickle.UnpicklingError("a function or a class where a value is expected")
    seen[id(value)] = value, result  # keep the value too, so that its id is not reused
    return result
