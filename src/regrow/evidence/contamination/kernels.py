"""The loops of the search for benchmarks, compiled by Numba. Everything in them is a whole number.

``scan`` goes through text once. A word that no item has ends a run; in a run, each pair of neighbours that some item
has too is looked up, and behind three such pairs in a row the four words are looked up as a *seed*, with the items
that have it. Seeds of one item near each other make it a candidate, which ``compare`` looks at word by word.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from regrow.exact.kernel import kernel

_helper: Any = kernel(nogil=True)
_kernel: Any = kernel(nogil=True)

_BETWEEN, _WORD, _ALONE, _MARK, _PASSED_OVER = range(5)
_END = 0x20000
_LAST_IDEOGRAPH = 0x3FFFF
_NONE = -1


@_helper
def _mixed(value: Any) -> Any:
    """The finaliser of SplitMix64, as in :mod:`regrow.corpus.mixing`."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@_kernel
def cut_words(data: Any, at: int, end: int, kinds: Any, small: Any, hashes: Any, starts: Any, ends: Any) -> Any:
    """Words from a byte on, until there is no room for another.

    Args:
        data: UTF-8.
        at: the first byte.
        end: one past the last.
        kinds: of characters.
        small: how they are written small.
        hashes: gets the words.
        starts: gets the first byte of each.
        ends: gets the byte behind each.

    Returns:
        How many there are, and where to go on.
    """
    count, most = 0, hashes.shape[0]
    open_as = _BETWEEN
    value = np.uint64(0)
    start = last = at
    code: Any
    while at < end:
        code = np.int64(data[at])
        size = 1
        if code >= 0x80:
            if code >= 0xF0 and at + 3 < end:
                size = 4
                code = (code & 7) << 18 | np.int64(data[at + 1] & 63) << 12
                code |= np.int64(data[at + 2] & 63) << 6 | np.int64(data[at + 3] & 63)
            elif code >= 0xE0 and at + 2 < end:
                size = 3
                code = (code & 15) << 12 | np.int64(data[at + 1] & 63) << 6 | np.int64(data[at + 2] & 63)
            elif code >= 0xC0 and at + 1 < end:
                size = 2
                code = (code & 31) << 6 | np.int64(data[at + 1] & 63)
            else:  # the rest of a character that begins before the stretch, or ends behind it
                code = np.int64(0)
        if code < _END:
            kind = np.int64(kinds[code])
            code = np.int64(small[code])
        else:
            kind = np.int64(_ALONE if code <= _LAST_IDEOGRAPH else _WORD)
        if kind == _PASSED_OVER:
            at += size
            continue
        joins = open_as != _BETWEEN and (kind == _MARK or (kind == _WORD and open_as == _WORD))
        if not joins:
            if open_as != _BETWEEN:
                hashes[count] = _mixed(value)
                starts[count] = start
                ends[count] = last
                count += 1
                open_as = _BETWEEN
                if count == most:
                    return count, at
            if kind == _BETWEEN:
                at += size
                continue
            start = at
            value = np.uint64(0xCBF29CE484222325)
            open_as = _ALONE if kind == _ALONE else _WORD
        value = (value ^ np.uint64(code)) * np.uint64(0x100000001B3)
        at += size
        last = at
    if open_as != _BETWEEN:
        hashes[count] = _mixed(value)
        starts[count] = start
        ends[count] = last
        count += 1
    return count, at


@_helper
def _slot(table: Any, key: Any, mask: Any) -> Any:
    """Where a key is in a table with open places, or would be."""
    place = _mixed(np.uint64(key)) & mask
    while table[place] != key and table[place] != 0:
        place = (place + np.uint64(1)) & mask
    return place


@_kernel
def fill(keys: Any, table: Any, values: Any) -> None:
    """Put keys, none of which is 0, into a table of a power of two of places, each with its number."""
    mask = np.uint64(table.shape[0] - 1)
    for number in range(keys.shape[0]):
        place = _slot(table, keys[number], mask)
        table[place] = keys[number]
        values[place] = number


@_kernel
def scan(
    data: Any, bounds: Any, first: int,
    kinds: Any, small: Any, hashes: Any, starts: Any, ends: Any,
    words: Any, word_ids: Any, word_counts: Any,
    pairs: Any, pair_ids: Any, pair_counts: Any,
    seeds: Any, seed_ids: Any, postings: Any, posted: Any,
    needs: Any, reach: Any, state: Any, touched: Any, found: Any,
) -> Any:  # fmt: skip
    """Go through some texts, count the words and pairs that items have, and find stretches that may hold an item.

    Args:
        data: UTF-8 of all texts.
        bounds: where each begins, and the end.
        first: the text to begin with.
        kinds: of characters.
        small: how they are written small.
        hashes: room for words.
        starts: as many.
        ends: as many.
        words: table of the words of items.
        word_ids: their numbers.
        word_counts: gets how often each is there, and how many words there are at its end.
        pairs: table of the pairs of neighbouring words of items.
        pair_ids: their numbers.
        pair_counts: gets how often each is there.
        seeds: table of the seeds.
        seed_ids: their numbers.
        postings: where the items of each seed begin in ``posted``.
        posted: items.
        needs: of an item, how many words of seeds make it a candidate.
        reach: of an item, how many words may lie between two of its seeds.
        state: int64 (items, 10), -1 in its first column: the text; of the latest stretch the first byte, last word, end
            and words of seeds; of the best one the words of seeds; the first word of the latest; the first byte and
            end of the best; and how many stretches before the latest have enough.
        touched: room for items.
        found: gets (text, item, first byte, end, in how many stretches of the text it may be).

    Returns:
        How many were found, and the text to go on with.
    """
    word_mask, pair_mask, seed_mask = (
        np.uint64(words.shape[0] - 1), np.uint64(pairs.shape[0] - 1), np.uint64(seeds.shape[0] - 1),
    )  # fmt: skip
    count = 0
    text = first
    while text < bounds.shape[0] - 1 and count + needs.shape[0] <= found.shape[0]:
        at, end = bounds[text], bounds[text + 1]
        before = one = two = np.int64(_NONE)  # the word before, the pair that it ends, and the pair before that
        position = 0
        begin1 = begin2 = begin3 = np.int64(0)  # first bytes of the words before
        many = 0
        while at < end:
            here, at = cut_words(data, at, end, kinds, small, hashes, starts, ends)
            for i in range(here):
                position += 1
                place = _slot(words, hashes[i], word_mask)
                word = np.int64(_NONE)
                pair = np.int64(_NONE)
                if words[place] != 0:
                    word = np.int64(word_ids[place])
                    word_counts[word] += 1
                    if before >= 0:
                        key = np.uint64(before) << np.uint64(32) | np.uint64(word) + np.uint64(1)
                        place = _slot(pairs, key, pair_mask)
                        if pairs[place] != 0:
                            pair = np.int64(pair_ids[place])
                            pair_counts[pair] += 1
                if pair >= 0 and one >= 0:
                    for length in range(3, 5):
                        other = one if length == 3 else two
                        if other < 0:
                            continue
                        key = np.uint64(other) << np.uint64(31) | np.uint64(pair) + np.uint64(1)
                        if length == 3:
                            key |= np.uint64(1) << np.uint64(63)
                        place = _slot(seeds, key, seed_mask)
                        if seeds[place] == 0:
                            continue
                        seed = seed_ids[place]
                        start = begin2 if length == 3 else begin3
                        for k in range(postings[seed], postings[seed + 1]):
                            item = posted[k]
                            now = state[item]
                            if now[0] != text:
                                now[0] = text
                                now[2] = -(1 << 60)
                                now[4] = now[5] = now[9] = 0
                                touched[many] = item
                                many += 1
                            if position - length - now[2] > reach[item] or position - now[6] > 2 * reach[item]:
                                now[9] += now[4] >= needs[item]
                                now[6] = position - length
                                now[1] = start
                                now[4] = length
                            else:
                                now[4] += min(length, position - now[2])
                            now[2] = position
                            now[3] = ends[i]
                            if now[4] > now[5]:
                                now[5] = now[4]
                                now[7] = now[1]
                                now[8] = now[3]
                two = one
                one = pair
                before = word
                begin3, begin2, begin1 = begin2, begin1, starts[i]
            if here < hashes.shape[0]:
                break
        word_counts[word_counts.shape[0] - 1] += position
        for k in range(many):
            now = state[touched[k]]
            if now[5] >= needs[touched[k]]:
                found[count, 0] = text
                found[count, 1] = touched[k]
                found[count, 2] = now[7]
                found[count, 3] = now[8]
                found[count, 4] = now[9] + (now[4] >= needs[touched[k]])
                count += 1
        text += 1
    return count, text


@_helper
def _first_with(keys: Any, key: Any) -> Any:
    low, high = 0, keys.shape[0]
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@_helper
def _run_key(hashes: Any, at: int, length: int) -> Any:
    """One number for some words in a row; as :func:`regrow.evidence.contamination.index.run_keys` has it."""
    value = np.uint64(length)
    for k in range(length):
        value = _mixed(value + hashes[at + k])
    return value


@_kernel
def compare(hashes: Any, keys: Any, places: Any, lengths: Any, width: int, covered: Any) -> Any:
    """Find the stretch of a text in which most words of an item stand, in runs that both have.

    Args:
        hashes: words of the text.
        keys: of the runs of the item, ascending; of equal ones the last first.
        places: the first word of each run in the item.
        lengths: how many words each has, at most three.
        width: words of a stretch, at most.
        covered: uint8, for each word of the item; gets which of them stand there.

    Returns:
        The first word of the stretch and the one behind it; and of the longest run of words that both have in a row,
        its length, its place in the item and its place in the text.
    """
    size = covered.shape[0]
    there = np.zeros(4, np.bool_)
    for k in range(lengths.shape[0]):
        there[lengths[k]] = True
    at = np.empty(2 * hashes.shape[0] + 16, np.int64)
    run = np.empty_like(at)
    count = 0
    for j in range(hashes.shape[0]):
        for length in range(1, min(4, hashes.shape[0] - j + 1)):
            if not there[length]:
                continue
            key = _run_key(hashes, j, length)
            k = _first_with(keys, key)
            while k < keys.shape[0] and keys[k] == key:
                if count == at.shape[0]:
                    at = np.concatenate((at, np.empty_like(at)))
                    run = np.concatenate((run, np.empty_like(run)))
                at[count], run[count] = j, k
                count += 1
                k += 1
    times = np.zeros(size, np.int64)
    now = best = 0
    begin = best_begin = best_end = 0
    for i in range(count):
        for k in range(places[run[i]], places[run[i]] + lengths[run[i]]):
            now += times[k] == 0
            times[k] += 1
        while at[i] + lengths[run[i]] - at[begin] > width:
            for k in range(places[run[begin]], places[run[begin]] + lengths[run[begin]]):
                times[k] -= 1
                now -= times[k] == 0
            begin += 1
        if now > best:
            best, best_begin, best_end = now, begin, i + 1
    covered[:] = 0
    first, last = 0, 0
    longest = longest_item = longest_text = 0
    grown = np.zeros(size, np.int64)  # words of the run that ends with a word of the item
    seen = np.full(size, -2, np.int64)  # the word of the text with which it ended
    for i in range(best_begin, best_end):
        place, length, j = places[run[i]], lengths[run[i]], at[i]
        if i == best_begin:
            first = j
        last = max(last, j + length)
        for k in range(place, place + length):
            covered[k] = 1
        end, text_end = place + length - 1, j + length - 1
        words = length
        if end > 0 and seen[end - 1] == text_end - 1 and length == 3:
            words = max(words, grown[end - 1] + 1)
        if seen[end] != text_end or words > grown[end]:
            grown[end], seen[end] = words, text_end
        if words > longest:
            longest, longest_item, longest_text = words, end - words + 1, text_end - words + 1
    return first, last, longest, longest_item, longest_text


@_kernel
def share(covered: Any, weights: Any, end: int) -> float:
    """Which share of the first words of an item is covered: of all alike, or by weights, whichever is less."""
    count = 0
    there = total = 0.0
    for k in range(end):
        total += weights[k]
        if covered[k]:
            count += 1
            there += weights[k]
    return min(count / end, there / total)
