"""The loops of suffix arrays, compiled by Numba: sorting the places of a row of tokens, and searching among them.

Sorting is by induction (Nong, Zhang and Chan, 2009). A place is *small* if what begins there comes before what begins
one token later, else *large*; a *corner* is a small place behind a large one, and no more than every second is one.
When the corners are sorted, one pass from the front puts the large places where they belong, and one from the back the
small ones. The same two passes sort corners by what stands up to the next corner; those that are alike until there are
told apart by the ranks of later corners, twice as far ahead each time (Larsson and Sadakane, 2007). The end of the row
comes before every token, and the result is the only one there is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from regrow.exact.kernel import kernel

_compiled: Any = kernel(nogil=True)

_NONE = np.uint32(0xFFFFFFFF)
HEADED, HEAD = 64, 4
"""Of how many places one has its first tokens written down, and how many these are."""
_FEW = 24
"""Places that are sorted by insertion."""


@_compiled
def corners(row: Any, found: Any) -> int:
    """Write the corners of a row into the end of an array, in their order, and say how many there are."""
    count = 0
    small = False
    after = row[row.shape[0] - 1]
    for at in range(row.shape[0] - 2, -1, -1):
        token = row[at]
        if token < after:
            small = True
        elif token > after:
            if small:
                count += 1
                found[found.shape[0] - count] = at + 1
            small = False
        after = token
    return count


@_compiled
def _put(row: Any, sorted_corners: Any, starts: Any, places: Any, ends: Any) -> None:
    """Empty the table, and put corners at the ends of the ranges of their tokens."""
    places[:] = _NONE
    ends[:] = starts[1:]
    for k in range(sorted_corners.shape[0] - 1, -1, -1):
        token = row[sorted_corners[k]]
        ends[token] -= 1
        places[ends[token]] = sorted_corners[k]


@_compiled
def sort_pieces(row: Any, found: Any, starts: Any, places: Any, ends: Any) -> None:
    """Sort corners by the tokens up to the next one, into the beginning of the table.

    Args:
        row: the tokens.
        found: the corners, in their order.
        starts: where the range of each token begins in the table; and the end of the last.
        places: the table, uint32 ``(tokens,)``.
        ends: to work in, as many as there are tokens to tell apart.
    """
    size = row.shape[0]
    _put(row, found, starts, places, ends)
    ends[:] = starts[:-1]
    token = row[size - 1]
    places[ends[token]] = size - 1
    ends[token] += 1
    # A place is taken out as soon as it has led to the one before it, so that only corners are left.
    for k in range(size):
        at = places[k]
        if at != _NONE:
            leads = at == 0
            if at > 0:
                token = row[at - 1]
                leads = token >= row[at]
                if leads:
                    places[ends[token]] = at - 1
                    ends[token] += 1
            if leads:
                places[k] = _NONE
    ends[:] = starts[1:]
    for k in range(size - 1, -1, -1):
        at = places[k]
        if at != _NONE:
            leads = at == 0
            if at > 0:
                token = row[at - 1]
                leads = token <= row[at]
                if leads:
                    ends[token] -= 1
                    places[ends[token]] = at - 1
            if leads:
                places[k] = _NONE
    count = 0
    for k in range(size):
        if places[k] != _NONE:
            places[count] = places[k]
            count += 1


@_compiled
def rank_pieces(row: Any, found: Any, places: Any, numbers: Any, order: Any, ranks: Any) -> None:
    """Give each corner a rank, the same for those that are alike up to the next corner.

    Args:
        row: the tokens.
        found: the corners, in their order.
        places: their places as :func:`sort_pieces` leaves them.
        numbers: to work in, half as many as the row has tokens.
        order: gets the corners, by their numbers, in the order of the places; it may be the beginning of these.
        ranks: gets of each the first place in that order that has one alike.
    """
    count = found.shape[0]
    for number in range(count):
        numbers[found[number] >> 1] = number
    first, before = 0, 0
    for k in range(count):
        number = numbers[places[k] >> 1]
        order[k] = number
        # The last one ends with the row, and is like no other.
        alike = k > 0 and number + 1 < count and before + 1 < count
        if alike:
            one, other = found[before], found[number]
            length = found[before + 1] - one + 1
            alike = found[number + 1] - other + 1 == length
            step = 0
            while alike and step < length:
                alike = row[one + step] == row[other + step]
                step += 1
        if not alike:
            first = k
        ranks[number] = first
        before = number


@_compiled
def _sort_keys(keys: Any) -> None:
    """Sort numbers, of which there mostly are few."""
    if keys.shape[0] > _FEW:
        keys.sort()
        return
    for k in range(1, keys.shape[0]):
        key, to = keys[k], k
        while to > 0 and keys[to - 1] > key:
            keys[to] = keys[to - 1]
            to -= 1
        keys[to] = key


@_compiled
def refine(order: Any, ranks: Any) -> None:
    """Sort corners of the same rank by the ranks of later corners, until each has one of its own.

    Args:
        order: the corners by their numbers, sorted by rank.
        ranks: of each, the first place in that order that has one of the same rank.
    """
    count = order.shape[0]
    alike, same = 0, 0
    for k in range(1, count):
        same = same + 1 if ranks[order[k]] == ranks[order[k - 1]] else 0
        alike += same == 1
    firsts = np.empty(alike, np.uint32)  # of groups in which there are two at least
    lasts = np.empty(alike, np.uint32)
    groups, first = 0, 0
    for k in range(1, count + 1):
        if k == count or ranks[order[k]] != ranks[order[first]]:
            if k - first > 1:
                firsts[groups], lasts[groups] = first, k
                groups += 1
            first = k
    ahead = 1
    while groups > 0:
        keys = np.empty(_largest(firsts[:groups], lasts[:groups]), np.uint64)
        left = groups
        most = np.int64(0)
        for group in range(left):
            most += (np.int64(lasts[group]) - np.int64(firsts[group])) // 2
        # Groups are replaced by what is left of them, from the first on: each leaves half its size of groups at most.
        again_firsts, again_lasts = np.empty(most, np.uint32), np.empty(most, np.uint32)
        groups = 0
        for group in range(left):
            first, last = firsts[group], lasts[group]
            some = keys[: last - first]
            for k in range(first, last):
                later = np.int64(order[k]) + ahead
                rank = np.uint64(ranks[later]) + np.uint64(1) if later < count else np.uint64(0)
                some[k - first] = (rank << np.uint64(32)) | np.uint64(order[k])
            _sort_keys(some)
            begin = first
            for k in range(first, last):
                order[k] = some[k - first] & np.uint64(_NONE)
                if k > first and some[k - first] >> np.uint64(32) != some[k - first - 1] >> np.uint64(32):
                    if k - begin > 1:
                        again_firsts[groups], again_lasts[groups] = begin, k
                        groups += 1
                    begin = k
                ranks[order[k]] = begin
            if last - begin > 1:
                again_firsts[groups], again_lasts[groups] = begin, last
                groups += 1
        firsts, lasts = again_firsts, again_lasts
        ahead *= 2


@_compiled
def _largest(firsts: Any, lasts: Any) -> Any:
    """The size of the largest group."""
    most = np.int64(0)
    for group in range(firsts.shape[0]):
        most = max(most, np.int64(lasts[group]) - np.int64(firsts[group]))
    return most


@_compiled
def induce(row: Any, sorted_corners: Any, starts: Any, places: Any, ends: Any) -> None:
    """Sort all places, of which the corners are sorted; the arguments are those of :func:`sort_pieces`."""
    size = row.shape[0]
    _put(row, sorted_corners, starts, places, ends)
    ends[:] = starts[:-1]
    token = row[size - 1]
    places[ends[token]] = size - 1
    ends[token] += 1
    for k in range(size):
        at = places[k]
        if at != _NONE and at > 0:
            token = row[at - 1]
            if token >= row[at]:
                places[ends[token]] = at - 1
                ends[token] += 1
    ends[:] = starts[1:]
    for k in range(size - 1, -1, -1):
        at = places[k]
        if at != _NONE and at > 0:
            token, after = row[at - 1], row[at]
            # Of two equal tokens the first is small if the second is: those are behind the large ones in their range.
            if token < after or (token == after and ends[token] <= k):
                ends[token] -= 1
                places[ends[token]] = at - 1


@_compiled
def headed(row: Any, places: Any, heads: Any) -> None:
    """Write down the first tokens of every so many places; behind the end of the row stands 0.

    Args:
        row: the tokens.
        places: the table.
        heads: ``(places / HEADED, HEAD)``, rounded up.
    """
    for number in range(heads.shape[0]):
        at = np.int64(places[number * HEADED])
        for k in range(HEAD):
            heads[number, k] = row[at + k] if at + k < row.shape[0] else 0


@_compiled
def _middle(heads: Any, low: int, high: int) -> int:
    """A number between two, of a place with a head if there is one: it is compared without reading the row."""
    middle = (low + high) // 2
    if heads.shape[0] and middle - middle % HEADED >= low:
        return middle - middle % HEADED
    return middle


@_compiled
def _order(row: Any, places: Any, heads: Any, number: int, skip: int, tokens: Any) -> int:
    """-1, 0 or 1: whether what stands at a place comes before some tokens, begins with them, or comes after them.

    A head that ends with the row has zeros there, before which nothing comes, so that it is never taken for greater;
    where it is equal, the row decides.
    """
    known = 0
    if heads.shape[0] and number % HEADED == 0:
        head = heads[number // HEADED]
        while known < tokens.shape[0] and skip + known < HEAD:
            if head[skip + known] != tokens[known]:
                return -1 if head[skip + known] < tokens[known] else 1
            known += 1
    at = np.int64(places[number]) + skip
    if at + known > row.shape[0]:
        return -1
    for k in range(known, tokens.shape[0]):
        if at + k >= row.shape[0] or row[at + k] < tokens[k]:
            return -1
        if row[at + k] > tokens[k]:
            return 1
    return 0


@_compiled
def bisect(row: Any, places: Any, heads: Any, low: int, high: int, skip: int, tokens: Any, after: bool) -> int:
    """The first place in a range of the table whose tokens, from ``skip`` on, are not less than some.

    Args:
        row: the tokens.
        places: the table.
        heads: of :func:`headed`; none if it has no rows.
        low: where the range begins.
        high: where it ends.
        skip: tokens that are alike in the range.
        tokens: int64, what is looked for.
        after: whether they have to be greater.
    """
    while low < high:
        middle = _middle(heads, low, high)
        order = _order(row, places, heads, middle, skip, tokens)
        if order < 0 or (after and order == 0):
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def _leap(row: Any, places: Any, heads: Any, low: int, high: int, skip: int, token: int, after: bool) -> int:
    """The first place in a range with a token, ``skip`` tokens on, that is not less than one; or greater, if ``after``.

    It is looked for near the beginning first.
    """
    step = 1
    until = low
    while until < high and _before(row, places, heads, until, skip, token, after):
        low = until + 1
        until += step
        step *= 2
    high = min(until, high)
    while low < high:
        middle = _middle(heads, low, high)
        if _before(row, places, heads, middle, skip, token, after):
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def _before(row: Any, places: Any, heads: Any, number: int, skip: int, token: int, same: bool) -> bool:
    """Whether the token behind those that are alike comes before one, or is the ``same``; the row's end comes first."""
    if heads.shape[0] and number % HEADED == 0 and skip < HEAD and heads[number // HEADED, skip]:
        there: Any = heads[number // HEADED, skip]
        return there < token or (same and there == token)
    at = np.int64(places[number]) + skip
    return at >= row.shape[0] or row[at] < token or (same and row[at] == token)


@_compiled
def following(
    row: Any, places: Any, heads: Any, low: int, high: int, skip: int, tokens: Any, lows: Any, highs: Any
) -> None:
    """The ranges within one in which each of some tokens stands, ``skip`` tokens on.

    Args:
        row: the tokens.
        places: the table.
        heads: of :func:`headed`; none if it has no rows.
        low: where the range begins.
        high: where it ends.
        skip: tokens that are alike in the range.
        tokens: int64 ``(N,)``, ascending.
        lows: int64 ``(N,)``: gets where the range of each begins.
        highs: int64 ``(N,)``: gets where it ends; as ``lows`` if it is empty.
    """
    lows[:], highs[:] = low, low
    number = 0
    while number < tokens.shape[0] and low < high:
        low = _leap(row, places, heads, low, high, skip, tokens[number], False)
        if low < high:
            there = np.int64(row[np.int64(places[low]) + skip])
            while number < tokens.shape[0] and tokens[number] < there:
                number += 1
            if number < tokens.shape[0] and tokens[number] == there:
                lows[number] = low
                low = _leap(row, places, heads, low, high, skip, there, True)
                highs[number] = low
                number += 1


@_compiled
def longest(
    row: Any, places: Any, heads: Any, starts: Any, firsts: Any, tokens: Any, begins: Any, ends: Any, found: Any
) -> None:
    """How many of the first of some tokens stand together, of many at once; a number is raised and never lowered.

    Args:
        row: the tokens.
        places: the table.
        heads: of :func:`headed`; none if it has no rows.
        starts: where the range of each token begins in it; and the end of the last.
        firsts: int64 ``(N,)``: the first token of each.
        tokens: int64: a text.
        begins: int64 ``(N,)``: where in the text the others begin.
        ends: int64 ``(N,)``: where they end.
        found: int64 ``(N,)``.
    """
    for number in range(firsts.shape[0]):
        low, high = starts[firsts[number]], starts[firsts[number] + 1]
        if low == high:
            continue
        rest = tokens[begins[number] : ends[number]]
        at = bisect(row, places, heads, low, high, 1, rest, False)
        for one in range(max(low, at - 1), min(high, at + 1)):
            place = np.int64(places[one]) + 1
            length = 0
            while length < rest.shape[0] and place + length < row.shape[0] and row[place + length] == rest[length]:
                length += 1
            found[number] = max(found[number], length + 1)


@_compiled
def taken(table: Any, numbers: Any, found: Any) -> None:
    """Some numbers of a table.

    Args:
        table: of any integers.
        numbers: int64 ``(N,)``: which.
        found: int64 ``(N,)``: gets them.
    """
    for k in range(numbers.shape[0]):
        found[k] = table[numbers[k]]
