"""Compiled kernels of sparse convolutions on the CPU.

``multiply`` and ``correlate`` are matrix products whose rows are gathered on the way: nothing is copied into a buffer
before, and nothing is scattered afterwards. Their inner loops (``_product_tile``, ``_outer_tile``) are written in the
vector types of LLVM: so the sums of one tile, up to 8 rows of up to 4 vectors, stay in the registers of the processor.
Numba compiles them for the processor that it finds.

Two numbers of bfloat16 are one int32 in the rows and in the matrices (``packed`` in sparse_product.py). The processor's
instruction for such pairs multiplies and adds them in float32.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from wsss_ros.geometry.compiled import compiled

_FEATURES = llvmlite.binding.get_host_cpu_features()
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16
VECTORS = 2 if VECTOR_BYTES == 32 else 4  # of a tile; AVX2 has 16 registers, the others have 32
PAIRS = 64  # of a step of ``correlate``: both rows of these pairs stay in the cache of a core
BFLOAT16 = bool(_FEATURES.get("avx512bf16"))


@compiled
@no_type_check
def join(first, last, keys, order, base, rows, steps, low, high, block, cursor, source, target):
    """Find the pairs of the blocks ``first`` to ``last`` of output voxels, or count them if ``source`` is empty.

    Keys and base are sorted. The offsets ``low`` to ``high`` along z of one step along x and y are found together.
    ``cursor`` [blocks K] has the next place of each block and offset, and is moved on.
    """
    width = high - low + 1
    counting = len(source) == 0
    for b in range(first, last):
        begin, end = b * block, min(len(base), (b + 1) * block)
        for j in range(len(steps)):
            at = np.searchsorted(keys, base[begin] + steps[j] + low)
            for m in range(begin, end):
                lowest = base[m] + steps[j] + low
                while at < len(keys) and keys[at] < lowest:
                    at += 1
                run = at
                while run < len(keys) and keys[run] < lowest + width:
                    k = j * width + keys[run] - lowest
                    if not counting:
                        source[cursor[b, k]], target[cursor[b, k]] = order[run], rows[m]
                    cursor[b, k] += 1
                    run += 1


@compiled
@no_type_check
def multiply(first, last, rows, weight, source, target, starts, chunk, out):
    """out[target] += rows[source] @ weight[offset] for the items ``first`` to ``last``.

    An item is a chunk of columns of a block of output rows. ``chunk`` is its number of vectors.
    """
    lanes = VECTOR_BYTES // out.itemsize
    vectors = out.shape[1] // lanes
    chunks = (vectors + chunk - 1) // chunk
    for item in range(first, last):
        b, c = item // chunks, item % chunks
        column, width = c * chunk * lanes, min(chunk, vectors - c * chunk)
        for k in range(weight.shape[0]):
            p, end = starts[b, k], starts[b, k + 1]
            if width == 4:
                while p + 6 <= end:
                    _product_6_4(rows, weight, out, source, target, p, k, column)
                    p += 6
                while p < end:
                    _product_1_4(rows, weight, out, source, target, p, k, column)
                    p += 1
            elif width == 3:
                while p + 8 <= end:
                    _product_8_3(rows, weight, out, source, target, p, k, column)
                    p += 8
                while p < end:
                    _product_1_3(rows, weight, out, source, target, p, k, column)
                    p += 1
            elif width == 2:
                while p + 6 <= end:
                    _product_6_2(rows, weight, out, source, target, p, k, column)
                    p += 6
                while p < end:
                    _product_1_2(rows, weight, out, source, target, p, k, column)
                    p += 1
            else:
                while p + 8 <= end:
                    _product_8_1(rows, weight, out, source, target, p, k, column)
                    p += 8
                while p < end:
                    _product_1_1(rows, weight, out, source, target, p, k, column)
                    p += 1


@compiled
@no_type_check
def correlate(first, last, rows, gradient, source, target, starts, chunk, out):
    """out[k] += rows[source]ᵀ gradient[target] over the pairs of each offset k from ``first`` to ``last``."""
    lanes = VECTOR_BYTES // out.itemsize
    vectors = out.shape[2] // lanes
    for k in range(first, last):
        for b in range(starts.shape[0]):
            for p in range(starts[b, k], starts[b, k + 1], PAIRS):
                end = min(p + PAIRS, starts[b, k + 1])
                for c in range(0, vectors, chunk):
                    width, i = min(chunk, vectors - c), 0
                    while i + 6 <= out.shape[1]:
                        if width == 4:
                            _outer_6_4(rows, gradient, out, source, target, p, end, k, i, c * lanes)
                        elif width == 3:
                            _outer_6_3(rows, gradient, out, source, target, p, end, k, i, c * lanes)
                        elif width == 2:
                            _outer_6_2(rows, gradient, out, source, target, p, end, k, i, c * lanes)
                        else:
                            _outer_6_1(rows, gradient, out, source, target, p, end, k, i, c * lanes)
                        i += 6
                    while i < out.shape[1]:
                        for v in range(width):
                            _outer_1_1(rows, gradient, out, source, target, p, end, k, i, (c + v) * lanes)
                        i += 1


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite has no class for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


class _Vectors:
    """The instructions of a tile, for the number type of its sums."""

    def __init__(self, builder: Any, scalar: Any, packed: bool) -> None:
        self.builder, self.packed = builder, packed
        self.lanes = VECTOR_BYTES // (8 if isinstance(scalar, ir.DoubleType) else 4)
        self.scalar, self.sums = scalar, ir.VectorType(scalar, self.lanes)
        self.factor = ir.IntType(32) if packed else scalar  # what a row and a matrix consist of

    def of(self, pointer: Any, width: int) -> list[Any]:
        """Pointers of ``width`` vectors, one after the other."""
        return [self.builder.gep(pointer, [ir.Constant(ir.IntType(64), v * self.lanes)]) for v in range(width)]

    def update(self, pointers: list[Any], change: Callable[[list[Any]], list[Any]]) -> None:
        """Load the sums at the pointers, change them, and write them back."""
        changed = change([self._load(pointer, self.scalar) for pointer in pointers])
        for total, pointer in zip(changed, pointers, strict=True):
            place = self.builder.bitcast(pointer, self.sums.as_pointer())
            self.builder.store(total, place, align=self._bytes(self.scalar))

    def add_products(self, totals: list[Any], factors: list[Any], columns: list[Any]) -> list[Any]:
        """Totals [R W] + factors [R] times the W vectors at the pointers ``columns``."""
        loaded, added = [self._load(pointer, self.factor) for pointer in columns], []
        for r, factor in enumerate(factors):
            row, repeated = totals[r * len(loaded) :], self._repeated(factor)
            added += [self._add_product(total, repeated, vector) for total, vector in zip(row, loaded, strict=False)]
        return added

    def _load(self, pointer: Any, element: Any) -> Any:
        vector = ir.VectorType(element, self.lanes)
        return self.builder.load(self.builder.bitcast(pointer, vector.as_pointer()), align=self._bytes(element))

    @staticmethod
    def _bytes(element: Any) -> int:
        return 8 if isinstance(element, ir.DoubleType) else 4

    def _repeated(self, value: Any) -> Any:
        """A vector of one number."""
        vector = ir.VectorType(value.type, self.lanes)
        index = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        one = self.builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), index)

    def _add_product(self, total: Any, a: Any, b: Any) -> Any:
        """Total + a * b; of packed numbers, the sum of both products."""
        if self.packed:
            pairs = ir.VectorType(_BFloat(), 2 * self.lanes)
            name = "llvm.x86.avx512bf16.dpbf16ps.512"
            a, b = self.builder.bitcast(a, pairs), self.builder.bitcast(b, pairs)
            kind = ir.FunctionType(self.sums, [self.sums, pairs, pairs])
            operands = [total, a, b]
        else:
            kind = ir.FunctionType(self.sums, [self.sums] * 3)
            name = f"llvm.fma.v{self.lanes}{'f64' if isinstance(self.scalar, ir.DoubleType) else 'f32'}"
            operands = [a, b, total]
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), operands)


class _Array:
    """A C-contiguous array."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self.builder, self.data = builder, array.data
        self.shape = cgutils.unpack_tuple(builder, array.shape)

    def pointer(self, *indices: Any) -> Any:
        """The pointer of an element."""
        place = indices[0]
        for index, edge in zip(indices[1:], self.shape[1:], strict=True):
            place = self.builder.add(self.builder.mul(place, edge), index)
        return self.builder.gep(self.data, [place])

    def number(self, place: Any) -> Any:
        """The number at an index of an array of int32, as an index."""
        return self.builder.sext(self.builder.load(self.pointer(place)), place.type)


def _loop(
    builder: Any, begin: Any, end: Any, totals: list[Any], step: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """``for i in range(begin, end): totals = step(i, totals)`` with begin < end; the totals are registers."""
    before, body, after = builder.block, builder.append_basic_block("body"), builder.append_basic_block("after")
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(begin.type)
    index.add_incoming(begin, before)
    current = [builder.phi(total.type) for total in totals]
    for phi, total in zip(current, totals, strict=True):
        phi.add_incoming(total, before)
    done = step(index, current)
    following = builder.add(index, index.type(1))
    index.add_incoming(following, builder.block)
    for phi, total in zip(current, done, strict=True):
        phi.add_incoming(total, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, end), body, after)
    builder.position_at_end(after)
    return done


def _product_tile(count: int, width: int) -> Any:
    """out[target[p + r], column:] += rows[source[p + r]] @ weight[k, :, column:], ``count`` rows, ``width`` vectors."""

    @intrinsic
    def product(
        typing: Any, rows: Any, weight: Any, out: Any, source: Any, target: Any, p: Any, k: Any, column: Any
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            x, w, o, s, t = (_Array(context, builder, signature.args[i], values[i]) for i in range(5))
            p, k, column = values[5:]
            index, zero = p.type, p.type(0)
            vectors = _Vectors(builder, context.get_value_type(signature.args[2].dtype), rows.dtype == numba.int32)
            places = [builder.add(p, index(r)) for r in range(count)]
            inputs = [x.pointer(s.number(place), zero) for place in places]
            targets = [part for place in places for part in vectors.of(o.pointer(t.number(place), column), width)]

            def step(i: Any, totals: list[Any]) -> list[Any]:
                factors = [builder.load(builder.gep(row, [i])) for row in inputs]
                return vectors.add_products(totals, factors, vectors.of(w.pointer(k, i, column), width))

            vectors.update(targets, lambda totals: _loop(builder, zero, x.shape[1], totals, step))
            return context.get_dummy_value()

        return numba.void(rows, weight, out, source, target, numba.intp, numba.intp, numba.intp), code

    return product


def _outer_tile(count: int, width: int) -> Any:
    """out[k, i:, column:] += rows[source[p], i:]ᵀ gradient[target[p], column:] over the pairs ``p`` to ``end``."""

    @intrinsic
    def outer(
        typing: Any, rows: Any, gradient: Any, out: Any, source: Any, target: Any, p: Any, end: Any, k: Any, i: Any,
        column: Any,
    ) -> Any:  # fmt: skip
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            x, g, o, s, t = (_Array(context, builder, signature.args[n], values[n]) for n in range(5))
            p, end, k, i, column = values[5:]
            vectors = _Vectors(builder, context.get_value_type(signature.args[2].dtype), False)
            lines = [builder.add(i, p.type(r)) for r in range(count)]
            targets = [part for line in lines for part in vectors.of(o.pointer(k, line, column), width)]

            def step(pair: Any, totals: list[Any]) -> list[Any]:
                row = x.pointer(s.number(pair), i)
                factors = [builder.load(builder.gep(row, [p.type(r)])) for r in range(count)]
                return vectors.add_products(totals, factors, vectors.of(g.pointer(t.number(pair), column), width))

            vectors.update(targets, lambda totals: _loop(builder, p, end, totals, step))
            return context.get_dummy_value()

        return numba.void(rows, gradient, out, source, target, *[numba.intp] * 5), code

    return outer


_product_6_4, _product_8_3, _product_6_2, _product_8_1 = (_product_tile(*t) for t in ((6, 4), (8, 3), (6, 2), (8, 1)))
_product_1_4, _product_1_3, _product_1_2, _product_1_1 = (_product_tile(1, width) for width in (4, 3, 2, 1))
_outer_6_4, _outer_6_3, _outer_6_2, _outer_6_1 = (_outer_tile(6, width) for width in (4, 3, 2, 1))
_outer_1_1 = _outer_tile(1, 1)
