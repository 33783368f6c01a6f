"""AVX2 and AVX512BW: products of words, where there are none of bytes that add up in 32 bits.

``2**7 (h h') + (h l' + l h')`` is ``n h' + h l'`` with ``n = 2**7 h + l``. Of these products those with ``n`` are pairs
of words, added to an int32 (VPMADDWD, VPADDD). The others are pairs of bytes, of which one is unsigned, and whose sum
is a word (VPMADDUBSW): ``h`` is taken plus 64, so that it is within 0..128, and ``l'``, the lower digit of
:func:`regrow.exact.definition.split`, is within -64..63; four such products are at least ``-2**15`` and less than
``2**15``, so that two instructions' sums may be added as words before they are made int32. All in all 13 instructions
for 8 of the depth, for each register of columns; as bytes alone they would be 16, as words alone too.

A plane of words has in each row, or for each four of the depth, first the even digits, then the odd ones: pairs that
need no shuffle to be made from bytes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.instructions import ROW, STEP, TILE
from regrow.exact.microkernels.processor import X86
from regrow.exact.microkernels.unit import Emitter, Panel, Unit
from regrow.exact.microkernels.vnni import add_shift

# A part's panel: words, which take the room of two planes, and bytes. Digits that become words are packed where the
# second half of these will be.
_LEFT = {1: Panel((1,), 3), 2: Panel((2, 1), 3), 3: Panel((2, 5, 4), 6)}
_RIGHT = {1: Panel((1,), 3), 2: Panel((1, 2), 3)}
# Sums of so many steps, 2048 of the depth, are below 2**31 with all that is added on the way: 2048 times 2**13 2**6 +
# 2**12 are below 2**30.1, and the offsets of a depth of 2**17 at most 2**29.
_STEPS = 32
# Of so many steps the columns of a block, 12 KiB, stay in the first-level cache while all rows are multiplied by them.
# Of more they would not, even where there is room: steps lie a power of two apart, so that they share sets of it.
_STEPS_CACHED = 2


def _halves(builder: Any, place: Any) -> tuple[Any, Any]:
    """The even bytes of a row as words, and the odd ones."""
    words, eight = emit.load(builder, emit.SHORTS_32, place), emit.constants(8, emit.SHORTS_32)
    return builder.ashr(builder.shl(words, eight), eight), builder.ashr(words, eight)


def _widen(builder: Any, low: Any, high: Any, target: Any, rows: Any) -> None:
    """Rows of digits, plus 128 times those at ``high`` if there are such, as words; ``low`` may be the target's end."""
    # From the first row to the last: none is written over before it is read.
    with emit.for_range(builder, rows) as loop:
        place = emit.times(builder, loop.index, ROW)
        found = _halves(builder, builder.add(low, place))
        if high is not None:
            seven, upper = emit.constants(7, emit.SHORTS_32), _halves(builder, builder.add(high, place))
            found = tuple(builder.add(x, builder.shl(y, seven)) for x, y in zip(found, upper, strict=True))
        for half, words in enumerate(found):
            emit.store(builder, words, emit.offset(builder, builder.add(target, builder.add(place, place)), half * ROW))


def _clear(builder: Any, panel: Any, rows: Any) -> None:
    with emit.for_range(builder, rows) as loop:
        place = builder.add(panel, emit.times(builder, loop.index, ROW))
        emit.store(builder, emit.constants(0, emit.BYTES_64), place)


def _finish_left(builder: Any, panel: Any, planes: Any, steps: Any) -> None:
    """``n`` and ``h`` for the first part; for the second of three planes, the lowest digit and the middle one."""
    rows = emit.times(builder, steps, STEP // ROW)
    single, three = (builder.icmp_signed("==", planes, emit.constant(count)) for count in (1, 3))

    def at(place: int) -> Any:
        return builder.add(panel, emit.times(builder, rows, place * ROW))

    with builder.if_then(single):
        _clear(builder, at(2), rows)
    _widen(builder, builder.select(three, at(5), at(1)), at(2), at(0), rows)
    add_shift(builder, at(2), rows)
    with builder.if_then(three):
        _widen(builder, at(4), None, at(3), rows)
        add_shift(builder, at(5), rows)


def _finish_right(builder: Any, panel: Any, planes: Any, steps: Any) -> None:
    """``h'`` and ``l'``."""
    rows = emit.times(builder, steps, STEP // ROW)
    room, low = (builder.add(panel, emit.times(builder, rows, place * ROW)) for place in (1, 2))
    with builder.if_then(builder.icmp_signed("==", planes, emit.constant(1))):
        _clear(builder, low, rows)
    _widen(builder, room, None, panel, rows)


# What becomes of a part's sums: one part; or two, ``sum >> 7`` and the rest of it, alone or added to what is there.
_WHOLE, _SPLIT, _ADDED = 0, 1, 2


def _blocks(lanes: int, height: int) -> tuple[Emitter, Emitter]:
    """Blocks by registers of so many int32, and shallow ones; so many rows at a time, whose sums stay in two registers
    each.
    """
    of, words_of, bytes_of = (
        ir.VectorType(kind, lanes * n) for kind, n in ((emit.INT, 1), (emit.SHORT, 2), (emit.BYTE, 4))
    )
    pairs = {8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}[lanes]
    byte_pairs = {8: "llvm.x86.avx2.pmadd.ub.sw", 16: "llvm.x86.avx512.pmaddubs.w.512"}[lanes]
    # A group is the columns of two registers: a tile where they are short, else two.
    groups, columns = 16 // lanes, [divmod(lanes * i, 16) for i in range(2)]

    def digits(builder: Any, address: Any, kind: Any) -> Any:
        return builder.bitcast(emit.broadcast(builder, emit.load(builder, emit.INT, address), lanes), kind)

    def add(builder: Any, total: Any, more: Any) -> None:
        builder.store(builder.add(builder.load(total), more), total)

    def words(builder: Any, sums: Any, left: Any, right: Any) -> None:
        """Add what eight of the depth give: the addresses of words of the rows, and of the columns."""
        for place in range(4):
            factors = [
                emit.load(builder, words_of, emit.offset(builder, right, 2 * tile * TILE + place * ROW + 4 * column))
                for tile, column in columns
            ]
            for number, row in enumerate(sums):
                address = emit.offset(builder, left, number * 2 * ROW + place % 2 * ROW + place // 2 * 4)
                given = digits(builder, address, words_of)
                for total, some in zip(row, factors, strict=True):
                    add(builder, total, emit.call(builder, pairs, given, some, gives=of))

    def bytes_(builder: Any, sums: Any, left: Any, right: Any) -> None:
        """Add what eight of the depth give: the addresses of bytes of the rows, and of the columns."""
        ones = emit.constants(1, words_of)
        factors = [
            [
                emit.load(builder, bytes_of, emit.offset(builder, right, tile * TILE + place * ROW + 4 * column))
                for place in range(2)
            ]
            for tile, column in columns
        ]
        for number, row in enumerate(sums):
            given = [digits(builder, emit.offset(builder, left, number * ROW + 4 * n), bytes_of) for n in range(2)]
            for total, some in zip(row, factors, strict=True):
                first, second = (
                    emit.call(builder, byte_pairs, x, y, gives=words_of) for x, y in zip(given, some, strict=True)
                )
                add(builder, total, emit.call(builder, pairs, builder.add(first, second), ones, gives=of))

    def step(builder: Any, sums: Any, left: tuple[Any, Any], right: tuple[Any, Any], eights: Any) -> None:
        """Add what a step gives: the addresses of words and bytes of the rows, and of the columns."""
        # One loop for words and one for bytes: of 16 registers fewer go to memory and back in every round than
        # where both are there at once.
        for wide, octet in ((2, words), (1, bytes_)):
            with emit.for_range(builder, eights) as eight:
                here = builder.add(left[2 - wide], emit.times(builder, eight.index, 8))
                there = builder.add(right[2 - wide], emit.times(builder, eight.index, 2 * wide * ROW))
                octet(builder, sums, here, there)

    def add_steps(
        builder: Any, left_words: Any, left_bytes: Any, right_words: Any, right_bytes: Any, steps: Any, block: Any,
        eights: Any,
    ) -> None:  # fmt: skip
        """Add what some steps give to 32 x 32 int32, side by side."""
        sums = [[emit.alloca(builder, of) for _ in range(2)] for _ in range(height)]
        with (
            emit.for_range(builder, emit.constant(groups)) as group,
            emit.for_range(builder, emit.constant(32 // height)) as some,
        ):
            rows = emit.times(builder, some.index, height)
            corner = builder.add(emit.times(builder, rows, 2 * ROW), emit.times(builder, group.index, ROW))
            places = [
                (total, emit.offset(builder, builder.add(block, corner), 2 * ROW * number + 4 * (16 * tile + column)))
                for number, row in enumerate(sums)
                for total, (tile, column) in zip(row, columns, strict=True)
            ]
            for total, place in places:
                builder.store(emit.load(builder, of, place), total)
            with emit.for_range(builder, steps) as deep:
                at = emit.times(builder, deep.index, STEP)
                left = builder.add(at, emit.times(builder, rows, ROW))
                right = builder.add(at, emit.times(builder, group.index, TILE))
                step(
                    builder, sums,
                    (builder.add(left_words, emit.times(builder, left, 2)), builder.add(left_bytes, left)),
                    (builder.add(right_words, emit.times(builder, right, 2)), builder.add(right_bytes, right)), eights,
                )  # fmt: skip
            for total, place in places:
                emit.store(builder, builder.load(total), place)

    def finish(builder: Any, total: Any, first: Any, second: Any, what: Any) -> None:
        """Write some sums to where ``what`` says."""
        seven, rest = emit.constants(7, of), emit.constants(127, of)
        with builder.if_else(builder.icmp_signed("==", what, emit.constant(_WHOLE))) as (whole, split):
            with whole:
                emit.store(builder, total, first)
            with split:
                added = builder.icmp_signed("==", what, emit.constant(_ADDED))
                for value, place in ((builder.ashr(total, seven), first), (builder.and_(total, rest), second)):
                    there = emit.load(builder, of, place)
                    there = builder.select(added, there, emit.constants(0, of))
                    emit.store(builder, builder.add(value, there), place)

    def part(
        builder: Any, left_words: Any, left_bytes: Any, right_words: Any, right_bytes: Any, steps: Any, offsets: Any,
        first: Any, second: Any, stride: Any, what: Any, eights: Any,
    ) -> None:  # fmt: skip
        """A part's sums over some steps."""
        adding = emit.function(builder.module, f"regrow.words.{lanes}.steps", add_steps, [emit.LONG] * 7)
        block = emit.room(builder, 32 * 2 * ROW)
        registers = [4 * lanes * i for i in range(32 // lanes)]
        fresh = builder.icmp_signed("!=", what, emit.constant(_ADDED))
        for place in registers:
            start = emit.load(builder, of, emit.offset(builder, offsets, place))
            start = builder.select(fresh, start, emit.constants(0, of))
            with emit.for_range(builder, emit.constant(32)) as row:
                target = builder.add(block, emit.times(builder, row.index, 2 * ROW))
                emit.store(builder, start, emit.offset(builder, target, place))
        with emit.pieces(builder, steps, emit.constant(_STEPS_CACHED)) as (begin, count):
            narrow = emit.times(builder, begin, STEP)
            wide = builder.add(narrow, narrow)
            builder.call(adding, [
                builder.add(left_words, wide), builder.add(left_bytes, narrow),
                builder.add(right_words, wide), builder.add(right_bytes, narrow), count, block,
                eights,
            ])  # fmt: skip
        with emit.for_range(builder, emit.constant(32)) as row:
            source = builder.add(block, emit.times(builder, row.index, 2 * ROW))
            upper, lower = (builder.add(at, builder.mul(row.index, stride)) for at in (first, second))
            for place in registers:
                total = emit.load(builder, of, emit.offset(builder, source, place))
                finish(builder, total, emit.offset(builder, upper, place), emit.offset(builder, lower, place), what)

    def write(
        builder: Any, left: Any, right: Any, planes: Any, steps: Any, offsets: Any, out: Any, apart: Any, stride: Any
    ) -> None:  # fmt: skip
        sums = emit.function(builder.module, f"regrow.words.{lanes}", part, [emit.LONG] * 11)
        size, double = emit.times(builder, steps, STEP), emit.times(builder, steps, 2 * STEP)
        several, third = (builder.icmp_signed(">", planes, emit.constant(count)) for count in (1, 2))
        narrow = builder.add(right, double)
        length = builder.select(several, emit.constant(_STEPS), steps)
        with emit.pieces(builder, steps, length) as (start, count):
            place, wide = emit.times(builder, start, STEP), emit.times(builder, start, 2 * STEP)
            later = builder.icmp_signed(">", start, emit.constant(0))
            what = builder.select(later, emit.constant(_ADDED), emit.constant(_SPLIT))
            builder.call(sums, [
                builder.add(left, wide), builder.add(builder.add(left, double), place), builder.add(right, wide),
                builder.add(narrow, place), count, offsets, out, builder.add(out, apart), stride,
                builder.select(several, what, emit.constant(_WHOLE)), emit.constant(8),
            ])  # fmt: skip
        with builder.if_then(third):
            wide = builder.add(left, builder.add(size, double))
            last = builder.add(out, builder.add(apart, apart))
            builder.call(sums, [
                wide, builder.add(wide, double), right, narrow, steps, emit.offset(builder, offsets, 256), last, last,
                stride, emit.constant(_WHOLE), emit.constant(8),
            ])  # fmt: skip

    def shallow(
        builder: Any, left: Any, right: Any, eights: Any, offsets: Any, out: Any, apart: Any, stride: Any
    ) -> None:  # fmt: skip
        sums = emit.function(builder.module, f"regrow.words.{lanes}", part, [emit.LONG] * 11)
        builder.call(sums, [
            left, emit.offset(builder, left, 2 * STEP), right, emit.offset(builder, right, 2 * STEP), emit.constant(1),
            offsets, out, builder.add(out, apart), stride, emit.constant(_SPLIT), eights,
        ])  # fmt: skip

    return write, shallow


def _unit(name: str, features: tuple[str, ...], blocks: tuple[Emitter, Emitter]) -> Unit:
    return Unit(
        name, X86, features, _LEFT, _RIGHT, *blocks, finish_left=_finish_left, finish_right=_finish_right, shift=64,
        offsets=((1,), (1,)),
    )  # fmt: skip


# Sums do not wait for each other: an addition is one cycle. 4 rows of 2 x 8 sums take half of 16 registers, 8 rows of
# 2 x 16 half of 32, and leave what the products need.
AVX512 = _unit("avx512", ("avx512f", "avx512bw"), _blocks(16, 8))
AVX2 = _unit("avx2", ("avx2",), _blocks(8, 4))
