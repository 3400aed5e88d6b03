"""Vectors of numbers for CPU kernels: what LLVM keeps in one or more registers, with the processor's own width left to
LLVM.

Numba's loops become vector code where LLVM can prove that it may; these few functions say it instead, for inner loops
whose sums must stay in registers and keep one order of addition on every machine. They are called inside kernels only.
Arrays are one-dimensional and contiguous; indices are not negative and are not checked.

Numba's disk cache follows a kernel's own file, not this one: after a change here, delete the kernels' caches.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = ["add", "at", "dot", "fma", "lanes", "load", "put", "store", "zeros"]
_INDEX = ir.IntType(32)


class Vector(types.Type):
    """`lanes` numbers of the type `element`."""

    def __init__(self, element: types.Type, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"Vector({element}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.element).get_value_type(), vector.lanes))


@intrinsic
def zeros(typing: Any, template: Any) -> Any:
    """A vector of zeros; of which type says that of `template`, a structured array with one field of `lanes`
    numbers."""
    (field,) = template.dtype.fields.values()
    vector = Vector(field.type.dtype, field.type.shape[0])
    return vector(template), lambda context, builder, signature, values: ir.Constant(
        context.get_value_type(vector), None
    )


@intrinsic
def lanes(typing: Any, vector: Any) -> Any:
    """How many numbers the vector has."""
    return types.intp(vector), lambda context, builder, signature, values: context.get_constant(
        types.intp, vector.lanes
    )


@intrinsic
def at(typing: Any, array: Any, index: Any) -> Any:
    """array[index], without Python's meaning of a negative index, which keeps LLVM from making vectors of loops."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_address(context, builder, signature, values))

    return array.dtype(array, types.intp), code


@intrinsic
def put(typing: Any, array: Any, index: Any, number: Any) -> Any:
    """array[index] = number, as in `at`."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[2], _address(context, builder, signature, values))
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), code


@intrinsic
def load(typing: Any, array: Any, index: Any, like: Any) -> Any:
    """array[index : index + lanes], with the lanes of the vector `like`, whose values do not matter."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = builder.bitcast(
            _address(context, builder, signature, values), context.get_value_type(like).as_pointer()
        )
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return like(array, types.intp, like), code


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """array[index : index + lanes] = vector."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = builder.bitcast(
            _address(context, builder, signature, values), context.get_value_type(vector).as_pointer()
        )
        builder.store(values[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@intrinsic
def add(typing: Any, first: Any, second: Any) -> Any:
    """first + second."""
    return first(first, second), lambda context, builder, signature, values: builder.fadd(*values)


@intrinsic
def fma(typing: Any, factor: Any, vector: Any, total: Any) -> Any:
    """factor * vector + total, rounded once; `factor` is one number of the vector's type."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.get_value_type(vector)
        nothing = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(nothing, values[0], _INDEX(0))
        spread = builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INDEX, vector.lanes), None))
        name = f"llvm.fma.v{vector.lanes}f{vector.element.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, [spread, values[1], values[2]])

    return vector(vector.element, vector, vector), code


@intrinsic
def dot(typing: Any, first: Any, second: Any) -> Any:
    """The sum of first * second: the upper half is added to the lower one until one number is left. Lanes are a power
    of two."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        products, lanes = builder.fmul(*values), first.lanes
        while lanes > 1:
            lanes //= 2
            halves = [
                ir.Constant(ir.VectorType(_INDEX, lanes), list(range(start, start + lanes))) for start in (0, lanes)
            ]
            products = builder.fadd(*(builder.shuffle_vector(products, products, half) for half in halves))
        return builder.extract_element(products, _INDEX(0))

    return first.element(first, second), code


def _address(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Of the element values[1] of the array values[0]."""
    array = context.make_array(signature.args[0])(context, builder, values[0])
    return builder.gep(array.data, [values[1]], inbounds=True)
