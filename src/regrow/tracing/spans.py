"""Which spans of a text stand in the training data, word for word, and in which documents.

The spans are those of OLMoTrace (Liu et al., 2025): from each word the longest run of whole words, within a line and a
sentence, that stands in the training text; of those the ones that lie in no other; and of these the rarest, by the
probability of their tokens, or the longest. Where a word begins a line, its token is another one than after a blank, so
both are looked for. Documents of a span are ordered by BM25 (Robertson and Zaragoza, 2009) against the whole text.

That a span stands in a document says that the words are there. It does not say that the model has them from there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.corpus.suffixes import Index, Range
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.tracing.corpus import Corpus

Ranking = Literal["rarity", "length"]
_SEGMENT = re.compile(r"[^\n]*?(?:[.!?][\"'\u2019\u201d)\]]*(?=\s)|(?=\n)|\Z)\s*")
_SAMPLE = 40
"""Places of a span that are looked at, where it stands at more."""
_CONTEXT = 40
"""Tokens before and after a place that are shown."""
_LONGEST = 512
"""Tokens of a span."""
_K1, _B = 1.5, 0.75
"""The usual constants of BM25."""


@dataclass(frozen=True)
class Wanted:
    """What to look for.

    Attributes:
        ranking: which spans are kept, where there are more than ``most``.
        most: spans; by default one for each 20 tokens, and at least 10.
        words: the fewest in a span.
        documents: the most of a span.
    """

    ranking: Ranking = "rarity"
    most: int | None = None
    words: int = 3
    documents: int = 10


@dataclass(frozen=True)
class Found:
    """A document in which a span stands.

    Attributes:
        document: its id.
        source: the name of the source in the recipe.
        licence: of the source.
        locator: where in the source the document is.
        steps: the first optimizer steps that saw the span there.
        seen: how many steps did.
        before: what stands before it there.
        text: the span as it stands there.
        after: what stands behind it.
        score: of the document, by BM25 against the whole text.
    """

    document: str
    source: str
    licence: str
    locator: str
    steps: tuple[int, ...]
    seen: int
    before: str
    text: str
    after: str
    score: float


@dataclass(frozen=True)
class Span:
    """A part of the text that stands in the training data.

    Attributes:
        start: where it begins, in characters.
        end: where it ends.
        text: what it is.
        tokens: how many it has.
        count: how often it stands in the training data.
        rarity: minus the logarithm of the probability of its tokens, each by itself.
        documents: some in which it stands, the likest to the whole text first.
    """

    start: int
    end: int
    text: str
    tokens: int
    count: int
    rarity: float
    documents: tuple[Found, ...] = ()


@dataclass(frozen=True)
class Trace:
    """A text, and what of it stands in the training data.

    Attributes:
        text: the text.
        spans: in its order.
    """

    text: str
    spans: tuple[Span, ...]

    def regions(self) -> Iterator[tuple[int, int, tuple[Span, ...]]]:
        """Stretches of the text that spans cover together, and which: spans that overlap are in one."""
        begin, end, held = 0, 0, list[Span]()
        for span in self.spans:
            if held and span.start >= end:
                yield begin, end, tuple(held)
                held = []
            begin = begin if held else span.start
            end = max(end, span.end) if held else span.end
            held.append(span)
        if held:
            yield begin, end, tuple(held)

    @property
    def covered(self) -> float:
        """The share of the text's characters that stand in the training data."""
        return sum(end - begin for begin, end, _ in self.regions()) / max(1, len(self.text))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "covered": self.covered}


@dataclass(frozen=True)
class _Candidate:
    """Tokens ``[first, last)`` of the text that stand in the training data, perhaps with another first one."""

    first: int
    last: int
    heads: tuple[int, ...]


@dataclass(frozen=True)
class _Text:
    """A text in tokens.

    Attributes:
        text: all of it.
        ids: int64 of the tokens.
        starts: where each begins, in characters.
        ends: where it ends.
    """

    text: str
    ids: list[int]
    starts: list[int]
    ends: list[int]

    @staticmethod
    def of(text: str, tokenizer: Tokenizer) -> _Text:
        placed = tokenizer.placed(text)
        return _Text(text, *([one[part] for one in placed] for part in range(3)))

    def breaks(self, place: int) -> bool:
        """Whether a word may begin or end at a place."""
        if not 0 < place < len(self.text):
            return True
        return not (self.text[place - 1].isalnum() and self.text[place].isalnum())

    def is_word(self, token: int) -> bool:
        """Whether a token has letters or digits, and does more than stand between words."""
        return any(map(str.isalnum, self.text[self.starts[token] : self.ends[token]]))

    def segments(self) -> Iterator[range]:
        """The tokens of each sentence, or line."""
        first = 0
        for match in _SEGMENT.finditer(self.text):
            last = first
            while last < len(self.ids) and self.ends[last] <= match.end():
                last += 1
            if last > first:
                yield range(first, last)
            first = last
        if first < len(self.ids):
            yield range(first, len(self.ids))


def trace(text: str, corpus: Corpus, wanted: Wanted | None = None) -> Trace:
    """Find what of a text stands in the training data.

    Args:
        text: an answer, or any other text.
        corpus: the training data of a release.
        wanted: what to look for.

    Raises:
        InputError: if the text has a character that the tokenizer has no bytes for.
    """
    wanted = wanted or Wanted()
    said = _Text.of(text, corpus.tokenizer)
    weights = _surprise(corpus.index.unigrams)
    spans = [
        (one, _span(one, said, corpus.index, weights))
        for one in _maximal(said, corpus)
        if len(_words(said, one)) >= wanted.words
    ]
    most = wanted.most if wanted.most is not None else max(10, math.ceil(len(said.ids) / 20))
    spans.sort(key=lambda pair: (-pair[1].rarity if wanted.ranking == "rarity" else -pair[1].tokens, pair[1].start))
    chosen = sorted(spans[:most], key=lambda pair: pair[1].start)
    return Trace(text, tuple(_documented(one, span, said, corpus, wanted.documents) for one, span in chosen))


def _surprise(unigrams: NDArray[np.int64]) -> NDArray[np.float64]:
    """Minus the logarithm of each token's share; of one that never stands there, as if it stood once."""
    import numpy as np

    return np.asarray(-np.log(np.maximum(unigrams, 1) / max(1, int(unigrams.sum()))))


def _maximal(said: _Text, corpus: Corpus) -> Iterator[_Candidate]:
    """The longest run of whole words from each word, if it goes beyond those before."""
    asked = [
        (first, min(segment.stop, first + _LONGEST), head)
        for segment in said.segments()
        for first in segment
        if said.breaks(said.starts[first]) and said.is_word(first)
        for head in corpus.heads(said.ids[first])
    ]
    firsts, ends, heads = ([one[part] for one in asked] for part in range(3))
    reached = 0
    found = zip(firsts, heads, corpus.index.longest(said.ids, heads, firsts, ends), strict=True)
    for first, group in groupby(found, key=itemgetter(0)):
        lengths = {head: length for _, head, length in group}
        last = first + max(lengths.values())
        while last > first and not (said.breaks(said.ends[last - 1]) and said.is_word(last - 1)):
            last -= 1
        if last > reached:
            reached = last
            yield _Candidate(first, last, tuple(head for head, one in lengths.items() if one >= last - first))


def _words(said: _Text, one: _Candidate) -> list[str]:
    return re.findall(r"\w+", said.text[said.starts[one.first] : said.ends[one.last - 1]])


def _span(one: _Candidate, said: _Text, index: Index, weights: NDArray[np.float64]) -> Span:
    start, end = said.starts[one.first], said.ends[one.last - 1]
    start += len(said.text[start:end]) - len(said.text[start:end].lstrip())
    rest = said.ids[one.first + 1 : one.last]
    count = sum(index.count([head, *rest]) for head in one.heads)
    rarity = float(weights[said.ids[one.first : one.last]].sum())
    return Span(start, end, said.text[start:end], one.last - one.first, count, rarity)


def _documented(one: _Candidate, span: Span, said: _Text, corpus: Corpus, most: int) -> Span:
    """A span with documents in which it stands."""
    rest = said.ids[one.first + 1 : one.last]
    ranges = [(shard, found) for head in one.heads for shard, found in enumerate(corpus.index.find([head, *rest]))]
    return replace(span, documents=documents(corpus, ranges, one.last - one.first, said.ids, most))


def documents(
    corpus: Corpus, ranges: Sequence[tuple[int, Range]], length: int, query: Sequence[int], most: int
) -> tuple[Found, ...]:
    """Documents that have what stands at some places, the likest to a text first.

    Args:
        corpus: the training data.
        ranges: of places in the tables of shards; where they are many, some at equal distances are looked at.
        length: tokens of what stands there.
        query: the tokens of the text.
        most: how many.
    """
    by_document: dict[int, int] = {}
    for place in _sample(ranges, corpus.index):
        by_document.setdefault(corpus.document(place), place)
    scores = _bm25([corpus.tokens_of(document) for document in by_document], query)
    order = sorted(zip(scores, by_document.values(), strict=True), key=lambda pair: (-pair[0], pair[1]))
    return tuple(_found(place, length, corpus, score) for score, place in order[:most])


def _sample(ranges: Sequence[tuple[int, Range]], index: Index) -> list[int]:
    """Places in the training row, in its order."""
    count = sum(high - low for _, (low, high) in ranges)
    chosen = iter(range(count) if count <= _SAMPLE else [n * count // _SAMPLE for n in range(_SAMPLE)])
    places, before, wanted = [], 0, next(chosen, None)
    for shard, (low, high) in ranges:
        while wanted is not None and wanted < before + high - low:
            places.append(index.place(shard, low + wanted - before))
            wanted = next(chosen, None)
        before += high - low
    return sorted(places)


def _bm25(documents: Sequence[NDArray[Any]], query: Sequence[int]) -> list[float]:
    """How well documents fit a text, with their own frequencies for those of all."""
    import numpy as np

    terms = np.unique(np.array(query, np.int64))
    lengths = np.array([len(one) for one in documents], np.float64)
    counts = np.array([_counted(terms, one) for one in documents], np.float64).reshape(len(documents), len(terms))
    having = (counts > 0).sum(axis=0)
    weight = np.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
    scaled = _K1 * (1 - _B + _B * lengths / max(1.0, float(lengths.mean()) if len(lengths) else 1.0))
    scores = (weight * counts * (_K1 + 1) / (counts + scaled[:, None])).sum(axis=1)
    return [round(float(score), 4) for score in scores]


def _counted(terms: NDArray[np.int64], document: NDArray[Any]) -> NDArray[np.int64]:
    """How often each term stands in a document."""
    import numpy as np

    at = np.minimum(np.searchsorted(terms, document), len(terms) - 1)
    return np.asarray(np.bincount(at[terms[at] == document], minlength=len(terms)), np.int64)


def _found(place: int, length: int, corpus: Corpus, score: float) -> Found:
    source = corpus.source(corpus.document(place))
    begin, end = corpus.bounds(corpus.document(place))
    steps = corpus.steps(place, place + length)
    return Found(
        source.document,
        source.source,
        source.licence,
        source.locator,
        tuple(steps[:5]),
        len(steps),
        corpus.text(max(begin, place - _CONTEXT), place),
        corpus.text(place, place + length),
        corpus.text(place + length, min(end, place + length + _CONTEXT)),
        score,
    )


@dataclass(frozen=True)
class Finding:
    """Where a string stands in the training data.

    Attributes:
        text: the string.
        count: how often.
        documents: some in which it does.
    """

    text: str
    count: int
    documents: tuple[Found, ...]


def find(text: str, corpus: Corpus, *, fold: bool = False, most: int = 10) -> Finding:
    """Find a string in the training data, wherever it begins and ends.

    Args:
        text: the string.
        corpus: the training data.
        fold: take capitals and small letters for the same, and any blanks and ends of lines, too.
        most: documents to name.
    """
    ranges = corpus.lookup(fold).find(text)
    count = sum(high - low for _, (low, high) in ranges)
    tokens = [one for one, _, _ in corpus.tokenizer.placed(text)]
    return Finding(text, count, documents(corpus, ranges, max(1, len(tokens)), tokens, most))
