"""The rules by which Gopher, C4 and FineWeb tell prose from what else the web holds, for many texts at once.

Each rule is one that was published, with its threshold; which one a text breaks is told, and nothing is done about it
here. They were made for English web pages: code, verse, tables and other languages break them without being bad.

What the papers leave open is settled so: words stand between blanks, and count without the punctuation at their ends;
lines are those with something in them. So every text is split once, and most of what is asked of a word is asked once
for each different word of a block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Counts = NDArray[np.int64]

_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_PUNCTUATION = (
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00ab\u00bb\u00b7\u2022\xa0"
)
_ELLIPSIS = "\u2026"
_ENDS = ".?!\u3002\uff01\uff1f\u061f\u0964"  # of lines that are sentences, for FineWeb
_C4_ENDS = ".?!\"'"
_BULLETS = "-\u2022"
_SENTENCE_END = "[.?!][\"'\u2019\u201d)\\]]*$"
_OF_PAGES = "javascript|terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies"
_PLACEHOLDER = "lorem ipsum"
_LONGEST_WORD, _FEWEST_WORDS, _FEWEST_SENTENCES = 1000, 3, 5
_SHORT_LINE = 30
_ANY = float("inf")
_TOP = (0.20, 0.18, 0.16, _ANY, _ANY, _ANY, _ANY, _ANY, _ANY)  # of runs of 2 words, and so on
_AGAIN = (_ANY, _ANY, _ANY, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10)


@dataclass(frozen=True)
class Rule:
    """A rule that a text may break.

    Attributes:
        name: as a tag; it begins with the set that the rule is of.
        about: which texts break it, in words.
        broken: whether each of some texts does.
    """

    name: str
    about: str
    broken: Callable[[_Texts], Mask]

    @property
    def of(self) -> str:
        """The set that it is of."""
        return self.name.partition("-")[0]


def broken(texts: pyarrow.StringArray) -> Mask:
    """Which rules some texts break.

    Args:
        texts: none of which is null.

    Returns:
        ``(rules, texts)``, the rules in the order of :data:`RULES`.
    """
    import numpy as np

    if not len(texts):
        return np.zeros((len(RULES), 0), np.bool_)
    measured = _Texts(texts)
    return np.stack([rule.broken(measured) for rule in RULES])


class _Texts:
    """Some texts in lines and words, with what the rules ask of them; each is an array with a value for each text."""

    def __init__(self, texts: pyarrow.StringArray) -> None:
        import numpy as np
        import pyarrow.compute as pc

        self.texts = texts
        split = pc.split_pattern(texts, "\n")
        lines = pc.ascii_trim_whitespace(split.flatten())
        self.filled = _mask(pc.not_equal(lines, ""))
        self.newlines = _lengths(split) - 1
        text = np.repeat(np.arange(len(texts)), self.newlines + 1)
        self.text_of_line = text[self.filled]
        self.lines = lines.filter(self.filled)
        self.line_ends = _ends(self.text_of_line, len(texts))

    @cached_property
    def characters(self) -> Counts:
        import pyarrow.compute as pc

        return _numbers(pc.utf8_length(self.texts))

    @cached_property
    def line_lengths(self) -> Counts:
        import pyarrow.compute as pc

        return _numbers(pc.utf8_length(self.lines))

    @cached_property
    def line_count(self) -> Counts:
        import numpy as np

        return np.diff(self.line_ends)

    @cached_property
    def words(self) -> _Words:
        return _Words(self.lines, self.line_ends)

    @cached_property
    def repeats(self) -> Mask:
        """Which texts say most often, and which say again, what are runs of words; ``(2, texts)``."""
        import numpy as np

        from regrow.evidence.counting import repeats

        words, found = self.words, np.zeros((2, len(self.texts)), np.bool_)
        repeats(words.codes, words.sizes, words.ends, self.characters, np.array(_TOP), np.array(_AGAIN), found)
        return found

    def lines_that(self, chosen: Mask) -> Counts:
        """How many lines of each text are among some."""
        return _sums(chosen, self.line_ends)

    @cached_property
    def ends_of_lines(self) -> Counts:
        """The last three bytes of each line, as a number."""
        return _bytes_at(self.lines, last=True)

    @cached_property
    def again(self) -> tuple[Mask, Mask]:
        """Which lines, and which paragraphs, stood in their texts before."""
        return _seen(self.lines, self.text_of_line), _seen(self.paragraphs[0], self.paragraphs[1])

    @cached_property
    def paragraphs(self) -> tuple[pyarrow.StringArray, Counts]:
        """What stands between empty lines, and the text that each paragraph is of."""
        import numpy as np
        import pyarrow.compute as pc

        split = pc.split_pattern(self.texts, "\n\n")
        found = pc.ascii_trim_whitespace(split.flatten())
        filled = _mask(pc.not_equal(found, ""))
        return found.filter(filled), np.repeat(np.arange(len(self.texts)), _lengths(split))[filled]


class _Words:
    """The words of some lines: which ones they are, and what holds of each different one."""

    def __init__(self, lines: pyarrow.StringArray, line_ends: Counts) -> None:
        import numpy as np
        import pyarrow.compute as pc

        split = pc.ascii_split_whitespace(lines)
        self.per_line = _lengths(split)
        self.ends_in_lines = np.concatenate([[0], np.cumsum(self.per_line)])
        self.ends = self.ends_in_lines[line_ends]  # where the words of each text end
        coded = split.flatten().dictionary_encode()
        self.codes = coded.indices.to_numpy(zero_copy_only=False)
        self.different = coded.dictionary
        self.cores = pc.utf8_trim(self.different, _PUNCTUATION)  # without the punctuation at their ends
        self.sizes = _numbers(pc.utf8_length(self.different))

    @cached_property
    def count(self) -> Counts:
        """How many words each text has."""
        import numpy as np

        return np.diff(self.ends)

    @cached_property
    def totals(self) -> Mapping[str, Counts]:
        """What holds of words, added up over each text."""
        import numpy as np
        import pyarrow.compute as pc

        from regrow.evidence.counting import totals

        cores = _numbers(pc.utf8_length(self.cores))
        columns = {
            "real": cores > 0,
            "characters": cores,
            "alphabetic": self._alphabetic(),
            "hashes": self._marks("#"),
            "ellipses": self._marks("...", _ELLIPSIS),
            "curly": self._marks("{"),
        }
        found = np.zeros((len(self.ends) - 1, len(columns)), np.int64)
        totals(self.codes, self.ends, np.column_stack([*columns.values()]).astype(np.int64), found)
        return dict(zip(columns, found.T, strict=True))

    @cached_property
    def stop_words(self) -> Counts:
        """How many different stop words each text has."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        which = pc.index_in(pc.ascii_lower(self.cores), value_set=pa.array(_STOP_WORDS))
        bits = np.where(_mask(which.is_valid()), 1 << _numbers(pc.fill_null(which, 0)), 0).astype(np.uint8)
        found = np.zeros(len(self.count), np.uint8)
        filled = np.flatnonzero(self.count)
        if len(filled):
            found[filled] = np.bitwise_or.reduceat(bits[self.codes], self.ends[filled])
        return np.bitwise_count(found).astype(np.int64)

    def in_lines(self, of_different: Mask) -> Counts:
        """How many words of each line, none of which is empty, are among some of the different ones."""
        import numpy as np

        if not len(self.per_line):
            return np.zeros(0, np.int64)
        return np.add.reduceat(of_different[self.codes], self.ends_in_lines[:-1], dtype=np.int64)

    def ends_sentence(self) -> Mask:
        """Which of the different words end a sentence."""
        import pyarrow.compute as pc

        return _mask(pc.match_substring_regex(self.different, _SENTENCE_END))

    def _alphabetic(self) -> Mask:
        """Which of the different words have a letter."""
        import numpy as np
        import pyarrow.compute as pc

        found = _mask(pc.match_substring_regex(self.different, "[A-Za-z]"))
        if len(others := np.flatnonzero(~(found | _mask(pc.string_is_ascii(self.different))))):
            letters = _letters()
            found[others] = [letters.search(word) is not None for word in self.different.take(others).to_pylist()]
        return found

    def _marks(self, *patterns: str) -> Counts:
        """How often some patterns stand in each different word."""
        import numpy as np
        import pyarrow.compute as pc

        counts = (_numbers(pc.count_substring(self.different, pattern)) for pattern in patterns)
        return sum(counts, np.zeros(len(self.different), np.int64))


def _seen(rows: pyarrow.StringArray, text: Counts) -> Mask:
    """Which of some lines stood before in the text that each is of."""
    import numpy as np

    codes = _numbers(rows.dictionary_encode().indices)
    found = np.ones(len(rows), np.bool_)
    found[np.unique(codes | text << 32, return_index=True)[1]] = False
    return found


def _lengths(lists: pyarrow.ListArray) -> Counts:
    import numpy as np

    lengths: Counts = np.diff(_numbers(lists.offsets))
    return lengths


def _mask(values: pyarrow.BooleanArray) -> Mask:
    mask: Mask = values.to_numpy(zero_copy_only=False).copy()
    return mask


def _numbers(values: pyarrow.Array) -> Counts:
    import numpy as np

    numbers: Counts = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _ends(groups: Counts, count: int) -> Counts:
    """Where the members of each of some groups end, after a zero; they are in order."""
    import numpy as np

    return np.searchsorted(groups, np.arange(count + 1))


def _sums(values: Any, ends: Counts) -> Counts:
    """The sum over each stretch of values."""
    import numpy as np

    total: Counts = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return total[ends[1:]] - total[ends[:-1]]


def _bytes_at(lines: pyarrow.StringArray, last: bool) -> Counts:
    """The first or the last three bytes of some lines, none of which is empty, as numbers; zero bytes fill up."""
    import numpy as np
    import pyarrow as pa

    lines = pa.concat_arrays([lines])  # from its beginning
    if not len(lines):
        return np.zeros(0, np.int64)
    _, offsets, data = lines.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(lines) + 1, 4 * lines.offset).astype(np.int64)
    units = np.concatenate(
        [np.zeros(3, np.uint8), np.frombuffer(data, np.uint8, int(bounds[-1])), np.zeros(3, np.uint8)]
    )
    found = np.zeros(len(lines), np.int64)
    for step in range(3):
        place = bounds[1:] - 3 + step if last else bounds[:-1] + step
        inside = (place >= bounds[:-1]) & (place < bounds[1:])
        found = found << 8 | np.where(inside, units[place + 3], 0)
    return found


def _ending(ends: Counts, characters: str) -> Mask:
    """Whether the last bytes of lines are one of some characters."""
    import numpy as np

    found = np.zeros(len(ends), np.bool_)
    for width in range(1, 4):
        wanted = [int.from_bytes(one.encode(), "big") for one in characters if len(one.encode()) == width]
        if wanted:
            found |= np.isin(ends & ((1 << 8 * width) - 1), wanted)
    return found


def _beginning(begins: Counts, characters: str) -> Mask:
    import numpy as np

    found = np.zeros(len(begins), np.bool_)
    for one in characters:
        code = one.encode()
        found |= begins >> 8 * (3 - len(code)) == int.from_bytes(code, "big")
    return found


_DOTS = int.from_bytes(b"...", "big")


@cache
def _letters() -> re.Pattern[str]:
    """A letter beyond ASCII, by tables that no newer Unicode changes; of scripts that are newer, none."""
    from regrow.corpus.characters import category, such_that

    return re.compile(
        f"[{such_that(lambda one: category(one)[0] == 'L')}\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]"
    )


def _word_count(texts: _Texts) -> Mask:
    count = texts.words.totals["real"]
    return (count < 50) | (count > 100_000)


def _word_length(texts: _Texts) -> Mask:
    size, count = texts.words.totals["characters"], texts.words.totals["real"]
    return (size < 3 * count) | (size > 10 * count)


def _symbols(texts: _Texts) -> Mask:
    count, totals = texts.words.count, texts.words.totals
    return (10 * totals["hashes"] > count) | (10 * totals["ellipses"] > count)


def _bullets(texts: _Texts) -> Mask:
    bullets = texts.lines_that(_beginning(_bytes_at(texts.lines, last=False), _BULLETS))
    return 10 * bullets > 9 * texts.line_count


def _ellipses(texts: _Texts) -> Mask:
    ends = texts.ends_of_lines
    return 10 * texts.lines_that((ends == _DOTS) | _ending(ends, _ELLIPSIS)) > 3 * texts.line_count


def _alphabetic(texts: _Texts) -> Mask:
    return 10 * texts.words.totals["alphabetic"] < 8 * texts.words.count


def _stop_words(texts: _Texts) -> Mask:
    return texts.words.stop_words < 2


def _lines_again(texts: _Texts) -> Mask:
    again = texts.again[0]
    count, size = texts.lines_that(again), _sums(texts.line_lengths * again, texts.line_ends)
    return (10 * count > 3 * texts.line_count) | (5 * size > texts.characters)


def _paragraphs_again(texts: _Texts) -> Mask:
    import numpy as np
    import pyarrow.compute as pc

    paragraphs, text = texts.paragraphs
    ends, again = _ends(text, len(texts.texts)), texts.again[1]
    size = _sums(np.where(again, _numbers(pc.utf8_length(paragraphs)), 0), ends)
    return (10 * _sums(again, ends) > 3 * np.diff(ends)) | (5 * size > texts.characters)


def _top_n_grams(texts: _Texts) -> Mask:
    top: Mask = texts.repeats[0]
    return top


def _n_grams_again(texts: _Texts) -> Mask:
    again: Mask = texts.repeats[1]
    return again


def _curly(texts: _Texts) -> Mask:
    return texts.words.totals["curly"] > 0


def _lorem(texts: _Texts) -> Mask:
    import pyarrow.compute as pc

    return _mask(pc.match_substring(texts.texts, _PLACEHOLDER, ignore_case=True))


def _sentences(texts: _Texts) -> Mask:
    import numpy as np
    import pyarrow.compute as pc

    words, ends = texts.words, texts.ends_of_lines
    kept = _ending(ends, _C4_ENDS) & (ends != _DOTS) & (words.per_line >= _FEWEST_WORDS)
    kept[kept] = ~_mask(pc.match_substring_regex(pc.ascii_lower(texts.lines.filter(kept)), _OF_PAGES))
    if (long := words.sizes > _LONGEST_WORD).any():
        kept &= words.in_lines(long) == 0
    sentences = np.maximum(1, words.in_lines(words.ends_sentence()))
    return _sums(sentences * kept, texts.line_ends) < _FEWEST_SENTENCES


def _punctuation(texts: _Texts) -> Mask:
    return 100 * texts.lines_that(_ending(texts.ends_of_lines, _ENDS)) <= 12 * texts.line_count


def _duplicates(texts: _Texts) -> Mask:
    size = _sums(texts.line_lengths * texts.again[0], texts.line_ends)
    return 10 * size >= texts.characters - texts.newlines


def _short_lines(texts: _Texts) -> Mask:
    return 100 * texts.lines_that(texts.line_lengths < _SHORT_LINE) >= 67 * texts.line_count


RULES: Sequence[Rule] = (
    Rule("gopher-words", "fewer than 50 words or more than 100,000", _word_count),
    Rule("gopher-word-length", "words of fewer than 3 or more than 10 characters on average", _word_length),
    Rule("gopher-symbols", "more than one hash sign or one ellipsis to ten words", _symbols),
    Rule("gopher-bullets", "more than 90 % of the lines begin with a bullet", _bullets),
    Rule("gopher-ellipses", "more than 30 % of the lines end with an ellipsis", _ellipses),
    Rule("gopher-alphabetic", "fewer than 80 % of the words have a letter", _alphabetic),
    Rule("gopher-stop-words", f"fewer than two of: {', '.join(_STOP_WORDS)}", _stop_words),
    Rule(
        "gopher-lines-again",
        "more than 30 % of the lines, or 20 % of the characters, are lines said before",
        _lines_again,
    ),
    Rule("gopher-paragraphs-again", "the same of paragraphs", _paragraphs_again),
    Rule("gopher-top-n-gram", "one run of 2, 3 or 4 words is more than 20, 18 or 16 % of the text", _top_n_grams),
    Rule("gopher-n-grams-again", "more than 15 to 10 % in runs of 5 to 10 words said before", _n_grams_again),
    Rule("c4-curly-bracket", "a curly bracket", _curly),
    Rule("c4-lorem-ipsum", "a text that only fills a page", _lorem),
    Rule(
        "c4-sentences",
        "fewer than 5 sentences in lines that end like one, but for notices of web pages",
        _sentences,
    ),
    Rule("fineweb-punctuation", "12 % of the lines or fewer end with punctuation", _punctuation),
    Rule("fineweb-lines-again", "10 % of the characters or more in lines said before", _duplicates),
    Rule("fineweb-short-lines", "67 % of the lines or more have fewer than 30 characters", _short_lines),
)
"""The rules, in the order in which they are told."""
