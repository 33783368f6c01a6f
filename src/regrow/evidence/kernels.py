"""The loops over every byte and every atom of a corpus, compiled by Numba. All of it is integer arithmetic.

A run of one to three atoms has a hash whose last two bits are its length; a passage, which is a run of
:data:`PASSAGE` atoms, has one whose last two bits are 0. Where no run is, because its text ends before, stands
:data:`NONE`.

Arguments with the same meaning throughout: ``hashes`` of the atoms; ``first`` and ``last``, of each the first atom of
its text and one past the last one; ``own``, which of them count; ``short`` and ``long``, tables of how often atoms and
pairs, and how often passages stand in the corpus; ``shift``, the bits of a hash that do not name a cell of these.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from regrow.exact.kernel import kernel

BLANK, WORD, SIGN = 0, 1, 2
"""What a character is: between atoms, part of one, or one by itself."""

MOST = 255
"""The highest count of a cell."""

PASSAGE = 8
LENGTHS = 3
NONE = 0

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BASE = np.uint64(0xD1342543DE82EF95)
_BASE_TO_PASSAGE = np.uint64(pow(0xD1342543DE82EF95, PASSAGE, 1 << 64))
_TAIL = np.uint64(3)
_CONTINUED, _HIGH = 0x80, 0xC0

_compiled: Any = kernel(nogil=True)


@_compiled
def _mixed(value: Any) -> Any:
    """As :func:`regrow.corpus.mixing.mix`."""
    value ^= value >> np.uint64(30)
    value *= _FIRST
    value ^= value >> np.uint64(27)
    value *= _SECOND
    return value ^ (value >> np.uint64(31))


@_compiled
def split(data: Any, pieces: Any, characters: Any, hashes: Any, facts: Any, own: Any) -> int:
    """Cut texts, or pieces of them, into atoms.

    Args:
        data: UTF-8 of all.
        pieces: ``(pieces, 6)``: of each the first byte of ``data`` and one past the last; the number of its text; the
            byte of its text with which it begins; and which bytes of its text count, the first and one past the last.
        characters: uint8 ``(65536,)``: what a character is, by its first two bytes.
        hashes: gets the hash of each atom; as long as ``data``.
        facts: ``(5, n)``, gets of each the bytes of its text at which it begins and ends, its text, and the first atom
            of its piece and one past the last.
        own: gets whether it counts.

    Returns:
        how many there are.
    """
    count, letters = 0, np.uint64(0)
    for piece in pieces:
        place, end, text, start, least, most = piece[0], piece[1], piece[2], piece[3], piece[4], piece[5]
        shift, before, first, last = start - place, BLANK, count, np.uint64(0)
        while place < end:
            lead = data[place]
            second = data[place + 1] if lead >= _CONTINUED and place + 1 < end else np.uint8(0)
            sort = characters[(np.uint16(lead) << 8) | second]
            begin, value = place, np.uint64(lead)
            place += 1
            if lead >= _CONTINUED:
                while place < end and data[place] & _HIGH == _CONTINUED:
                    value = value << np.uint64(8) | np.uint64(data[place])
                    place += 1
            if sort == BLANK:
                before = BLANK
                continue
            if before != sort or (sort == SIGN and (lead >= _CONTINUED or value != last)):
                facts[0, count], facts[2, count], facts[3, count] = begin + shift, text, first
                own[count] = least <= begin + shift < most
                count, letters = count + 1, np.uint64(sort)
            letters = (letters ^ value) * _BASE
            hashes[count - 1], facts[1, count - 1] = letters, place + shift
            before, last = sort, value
        facts[4, first:count] = count
    return count


@_compiled
def _longer(run: Any, atom: Any) -> Any:
    """The hash of a run that is longer by an atom; of none the one of the atom alone."""
    length = (run & _TAIL) + np.uint64(1)
    return _mixed(run + atom) & ~_TAIL | length


@_compiled
def run_at(hashes: Any, place: int, length: int) -> Any:
    """The hash of a run."""
    value = np.uint64(0)
    for at in range(place, place + length):
        value = _longer(value, hashes[at])
    return value


@_compiled
def runs(hashes: Any, last: Any, places: Any, length: int, found: Any) -> None:
    """The hashes of runs that begin at some places."""
    for i in range(places.shape[0]):
        whole = places[i] + length <= last[places[i]]
        found[i] = run_at(hashes, places[i], length) if whole else np.uint64(NONE)


@_compiled
def passages(hashes: Any, last: Any, found: Any) -> None:
    """The hash of the passage that begins at each atom."""
    rolled = np.uint64(0)
    for end in range(hashes.shape[0] + PASSAGE - 1):
        begin = end - PASSAGE + 1
        rolled = rolled * _BASE + (hashes[end] if end < hashes.shape[0] else np.uint64(0))
        if begin > 0:
            rolled -= hashes[begin - 1] * _BASE_TO_PASSAGE
        if begin >= 0:
            found[begin] = max(_mixed(rolled) & ~_TAIL, np.uint64(4)) if begin + PASSAGE <= last[begin] else NONE


@_compiled
def _add(table: Any, cell: int) -> None:
    if table[cell] < MOST:
        table[cell] += np.uint8(1)


@_compiled
def count(hashes: Any, last: Any, own: Any, passages: Any, short: Any, long: Any, shift: Any) -> int:
    """Count atoms, pairs and passages in the cells that their first bits name.

    Returns:
        how many pairs there were.
    """
    pairs = 0
    for place in range(hashes.shape[0]):
        if not own[place]:
            continue
        run = _longer(np.uint64(0), hashes[place])
        _add(short, np.int64(run >> shift))
        if place + 2 <= last[place]:
            _add(short, np.int64(_longer(run, hashes[place + 1]) >> shift))
            pairs += 1
        if passages[place] != NONE:
            _add(long, np.int64(passages[place] >> shift))
    return pairs


@_compiled
def novel(hashes: Any, last: Any, short: Any, shift: Any, sums: Any) -> None:
    """How many pairs before each place stand nowhere else: ``sums`` gets the numbers, and is longer by one."""
    total = 0
    for place in range(hashes.shape[0]):
        sums[place] = total
        if place + 2 <= last[place] and short[np.int64(run_at(hashes, place, 2) >> shift)] == 1:
            total += 1
    sums[hashes.shape[0]] = total


@_compiled
def _rise(sums: Any, first: Any, last: Any, start: int, end: int, window: int, usual: int, one: int) -> Any:
    """By how much novelty rises at a run, from what stands before to what stands behind, in parts of ``one``.

    Args:
        sums: of :func:`novel`.
        start: the first atom of the run.
        end: its last one.
        window: pairs that are looked at on each side; half as many have to stand behind.
        usual: the novelty of what is lacking before.
        one: parts.
    """
    stop, begin = min(end + window, last[end] - 1), max(start - window, first[start])
    behind, before = stop - end, start - begin
    if 2 * behind < window:
        return -one
    after = (sums[stop] - sums[end]) * one // behind
    return after - ((sums[start] - sums[begin]) * one + (window - before) * usual) // window


@_compiled
def leaps(sums: Any, first: Any, last: Any, rule: Any, places: Any, rises: Any) -> int:
    """Where novelty leaps.

    Args:
        sums: of :func:`novel`.
        rule: window, usual and one of :func:`_rise`; and how much of a rise is a leap.
        places: gets them.
        rises: gets by how much.

    Returns:
        how many there are.
    """
    window, usual, one, leap = rule
    number = 0
    for place in range(first.shape[0]):
        rise = _rise(sums, first, last, place, place, window, usual, one)
        if rise >= leap:
            places[number], rises[number] = place, rise
            number += 1
    return number


@_compiled
def edges(
    hashes: Any, first: Any, passages: Any, short: Any, long: Any, shift: Any, least: int, window: int, found: Any
) -> Any:
    """Where passages begin that stand in a corpus several times, behind different atoms.

    Args:
        passages: of :func:`passages`.
        least: how often a passage has to be there.
        window: places before that are looked at.
        found: ``(places, 3)``: gets the place of a passage, of the rarest of its first three atoms, and whether it
            stands behind text of its own: at most half of the places before have passages that are there as often.

    Returns:
        how many there are; and of all places how many stand behind text of its own.
    """
    number = own = 0
    times: Any
    before: Any = 0
    common: Any = 0
    often = np.zeros(window, np.bool_)  # of the places before, by their remainders
    for place in range(passages.shape[0]):
        times = 0
        if passages[place] != NONE:
            times = np.int64(long[np.int64(passages[place] >> shift)])
        if first[place] == place:
            before = common = 0
            often[:] = False
        alone = 2 * common <= min(window, place - first[place])
        own += int(alone)
        edge = times >= least and (2 * before <= times or before == MOST)
        if edge and _rarest(hashes, place, 2, 2, short, shift)[1] <= 2 * times:
            found[number, 0] = place
            found[number, 1] = _rarest(hashes, place, 3, 1, short, shift)[0]
            found[number, 2] = alone
            number += 1
        before = times
        common += np.int64(times >= least) - np.int64(often[place % window])
        often[place % window] = times >= least
    return number, own


@_compiled
def _rarest(hashes: Any, place: int, among: int, length: int, short: Any, shift: Any) -> Any:
    """Which of some neighbouring runs is the rarest, the first of them, and how often it is there."""
    best = place
    rarity: Any = MOST + 1
    for other in range(place, place + among):
        times = np.int64(short[np.int64(run_at(hashes, other, length) >> shift)])
        if times < rarity:
            best, rarity = other, times
    return best, rarity


@_compiled
def _index(sorted: Any, wanted: Any) -> int:
    """Where a number is in an ascending row; -1 if it is not there."""
    begin, end = 0, sorted.shape[0]
    while begin < end:
        middle = (begin + end) // 2
        if sorted[middle] < wanted:
            begin = middle + 1
        else:
            end = middle
    return begin if begin < sorted.shape[0] and sorted[begin] == wanted else -1


@_compiled
def measure(
    hashes: Any, first: Any, last: Any, own: Any, texts: Any, starts: Any, ends: Any, sums: Any, rule: Any,
    wanted: Any, flags: Any, tail: Any, state: Any, totals: Any, found: Any
) -> int:  # fmt: skip
    """Count the texts that have the runs that are looked for.

    Args:
        texts: of each atom the number of its text.
        starts: the byte of the text at which each begins.
        ends: one past its last byte.
        sums: of :func:`novel`.
        rule: as in :func:`leaps`.
        wanted: the hashes of runs, ascending.
        flags: for the first bits of a hash, whether any that is looked for has them.
        tail: the other bits.
        state: ``(wanted, 5)``: of each the text that it was last seen in, or -1; how often it stands there, and how
            often at leaps; and the bytes of the first leap there.
        totals: ``(wanted, 3)``, see :func:`_total`.
        found: ``(three for each atom, 4)``: gets the texts that :func:`_total` tells of.

    Returns:
        how many these are.
    """
    window, usual, one, leap = rule
    number = 0
    for place in range(hashes.shape[0]):
        if not own[place]:
            continue
        run = np.uint64(0)
        for end in range(place, min(place + LENGTHS, last[place])):
            run = _longer(run, hashes[end])
            which = _index(wanted, run) if flags[np.int64(run >> tail)] else -1
            if which < 0:
                continue
            now = state[which]
            if now[0] != texts[place]:
                number += _total(which, now, totals, found[number])
                now[0], now[1], now[2] = texts[place], 0, 0
            now[1] += 1
            if _rise(sums, first, last, place, end, window, usual, one) >= leap:
                if now[2] == 0:
                    now[3], now[4] = starts[place], ends[end]
                now[2] += 1
    return number


@_compiled
def measured(state: Any, totals: Any, found: Any) -> int:
    """Count the texts that runs were last seen in; see :func:`measure`."""
    number = 0
    for which in range(state.shape[0]):
        number += _total(which, state[which], totals, found[number])
        state[which, 0] = -1
    return number


@_compiled
def _total(which: int, now: Any, totals: Any, found: Any) -> int:
    """Count a text that has a run: in all, if most of its places are leaps, and in a hash of the set of texts.

    In the second case ``found`` gets the run, the text, and the bytes of the first leap, and 1 is returned.
    """
    if now[0] < 0:
        return 0
    totals[which, 0] += np.uint64(1)
    totals[which, 2] += _mixed(np.uint64(now[0]))
    if now[2] == 0 or 2 * now[2] < now[1]:
        return 0
    totals[which, 1] += np.uint64(1)
    found[0], found[1], found[2], found[3] = which, now[0], now[3], now[4]
    return 1
