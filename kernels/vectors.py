"""SIMD vectors for CPU kernels: LLVM keeps a vector in one or more registers and chooses the register width.

LLVM vectorises Numba's loops only where it can prove that this is allowed. These functions emit vector code explicitly,
for inner loops whose sums must stay in registers and have the same order of addition on every machine. They can only be
called inside kernels. Arrays are one-dimensional and contiguous; indices are non-negative and are not checked.

Numba's disk cache tracks a kernel's own file, not this one: after a change here, delete the kernels' caches.
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
    """The Numba type of a vector of `lanes` numbers of the type `element`."""

    def __init__(self, element: types.Type, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"Vector({element}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.element).get_value_type(), vector.lanes))


@intrinsic
def zeros(typing: Any, template: Any) -> Any:
    """Return a zero vector with the element type and lane count of `template`, a structured array with one field of
    `lanes` numbers."""
    (field,) = template.dtype.fields.values()
    vector = Vector(field.type.dtype, field.type.shape[0])
    return vector(template), lambda context, builder, signature, values: ir.Constant(
        context.get_value_type(vector), None
    )


@intrinsic
def lanes(typing: Any, vector: Any) -> Any:
    """Return the number of lanes of the vector."""
    return types.intp(vector), lambda context, builder, signature, values: context.get_constant(
        types.intp, vector.lanes
    )


@intrinsic
def at(typing: Any, array: Any, index: Any) -> Any:
    """Return array[index] without support for negative indices, which would keep LLVM from vectorising loops."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_address(context, builder, signature, values))

    return array.dtype(array, types.intp), code


@intrinsic
def put(typing: Any, array: Any, index: Any, number: Any) -> Any:
    """Set array[index] = number, without support for negative indices as in `at`."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[2], _address(context, builder, signature, values))
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), code


@intrinsic
def load(typing: Any, array: Any, index: Any, like: Any) -> Any:
    """Return array[index : index + lanes] as a vector of the type of `like`; the values of `like` are not used."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = builder.bitcast(
            _address(context, builder, signature, values), context.get_value_type(like).as_pointer()
        )
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return like(array, types.intp, like), code


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Set array[index : index + lanes] = vector."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = builder.bitcast(
            _address(context, builder, signature, values), context.get_value_type(vector).as_pointer()
        )
        builder.store(values[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@intrinsic
def add(typing: Any, first: Any, second: Any) -> Any:
    """Return first + second."""
    return first(first, second), lambda context, builder, signature, values: builder.fadd(*values)


@intrinsic
def fma(typing: Any, factor: Any, vector: Any, total: Any) -> Any:
    """Return factor * vector + total, rounded once; `factor` is a number of the vector's element type."""

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
    """Return the sum of first * second: the upper half is added to the lower half until one number is left. The number
    of lanes is a power of two."""

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
    """Emit the address of element values[1] of the array values[0]."""
    array = context.make_array(signature.args[0])(context, builder, values[0])
    return builder.gep(array.data, [values[1]], inbounds=True)
