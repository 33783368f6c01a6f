"""Which spans of a text stand in the training data, word for word, and in which documents.

The spans are those of OLMoTrace (Liu et al., 2025): from each word the longest run of whole words, within a line and a
sentence, that stands in the training text; of those the ones that lie in no other; and of these the rarest, by the
probability of their tokens, or the longest. Where a word begins a line, its token is another one than after a blank, so
both are looked for. Documents are ordered by BM25 (Robertson and Zaragoza, 2009) of the passage that a span stands in
against the whole text, among the passages of all spans.

That a span stands in a document says that the words are there. It does not say that the model has them from there. ::

    there = corpus(Release.open(folder), None, print)  # once
    found = trace(answer, there)  # any number of times, from any thread
    found.to_json()  # spans with places in characters; regions; documents with what stands around
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby, islice, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from regrow.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.corpus.suffixes import Range
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.tracing.corpus import Corpus

Ranking = Literal["rarity", "length"]
_SEGMENT = re.compile(r"[^\n]*?(?:[.!?][\"'\u2019\u201d)\]]*(?=\s)|(?=\n)|\Z)\s*")
_SAMPLE = 40
"""Places of a span that are looked at, where it stands at more."""
_CONTEXT = 40
"""Tokens before and after a place that are shown."""
_PASSAGE = 250
"""Tokens before and after a place that are compared with the text."""
_STEPS = 5
"""That are named of those that saw a place."""
LARGEST = 1 << 20
"""Bytes of a text: no answer is as long."""
_LONGEST = 512
"""Tokens of a span."""
_K1, _B = 1.5, 0.75
"""The usual constants of BM25."""


@dataclass(frozen=True)
class Wanted:
    """What to look for.

    Attributes:
        ranking: which spans come first, and are kept where there are more than ``most``.
        most: spans; by default one for each 20 tokens, at least 10 and at most 1,000.
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
        seen: how many steps did; None if nobody here can say.
        before: what stands before it there.
        text: the span as it stands there.
        after: what stands behind it.
        score: of the passage it stands in, by BM25 against the whole text.
    """

    document: str
    source: str
    licence: str
    locator: str
    steps: tuple[int, ...]
    seen: int | None
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
        rank: its place among the spans, from 1: the rarest is the first, or the longest.
        tokens: how many it has.
        count: how often it stands in the training data.
        rarity: minus the logarithm of the probability of its tokens, each by itself.
        documents: some in which it stands, the likest to the whole text first.
    """

    start: int
    end: int
    text: str
    rank: int
    tokens: int
    count: int
    rarity: float
    documents: tuple[Found, ...] = ()


@dataclass(frozen=True)
class Region:
    """A stretch of the text that spans cover together: spans that overlap are in one.

    Attributes:
        start: where it begins, in characters.
        end: where it ends.
        spans: the ranks of the spans.
    """

    start: int
    end: int
    spans: tuple[int, ...]


@dataclass(frozen=True)
class Traced:
    """A document in which spans stand.

    Attributes:
        document: its id.
        source: the name of the source in the recipe.
        licence: of the source.
        locator: where in the source the document is.
        score: the best of the spans' in it.
        spans: the ranks of the spans.
    """

    document: str
    source: str
    licence: str
    locator: str
    score: float
    spans: tuple[int, ...]


@dataclass(frozen=True)
class Trace:
    """A text, and what of it stands in the training data.

    Attributes:
        text: the text.
        spans: in its order.
        untold: why it is not known which steps saw them; empty if it is.
    """

    text: str
    spans: tuple[Span, ...]
    untold: str = ""

    @property
    def regions(self) -> tuple[Region, ...]:
        """The text's stretches that stand in the training data."""
        found: list[Region] = []
        for span in self.spans:
            if found and span.start < found[-1].end:
                last = found.pop()
                found.append(Region(last.start, max(last.end, span.end), (*last.spans, span.rank)))
            else:
                found.append(Region(span.start, span.end, (span.rank,)))
        return tuple(found)

    @property
    def documents(self) -> tuple[Traced, ...]:
        """The documents of all spans, each once, the likest to the text first."""
        by_id: dict[str, list[tuple[Found, int]]] = {}
        for span in self.spans:
            for one in span.documents:
                by_id.setdefault(one.document, []).append((one, span.rank))
        merged = (
            Traced(
                name, here[0][0].source, here[0][0].licence, here[0][0].locator,
                max(one.score for one, _ in here), tuple(sorted(rank for _, rank in here)),
            )
            for name, here in by_id.items()
        )  # fmt: skip
        return tuple(sorted(merged, key=lambda one: (-one.score, one.spans, one.document)))

    @property
    def covered(self) -> float:
        """The share of the text's characters that stand in the training data."""
        return sum(one.end - one.start for one in self.regions) / max(1, len(self.text))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            **asdict(self),
            "regions": [asdict(one) for one in self.regions],
            "documents": [asdict(one) for one in self.documents],
            "covered": self.covered,
        }


@dataclass(frozen=True)
class _Candidate:
    """Tokens ``[first, last)`` of the text that stand in the training data, perhaps with another first one.

    Attributes:
        first: the first token.
        last: the one after the last.
        ranges: where they stand: ranges in the tables of shards.
    """

    first: int
    last: int
    ranges: Sequence[tuple[int, Range]]

    @property
    def count(self) -> int:
        """At how many places they stand."""
        return sum(high - low for _, (low, high) in self.ranges)


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
        """The tokens of each sentence, or line; of a long one, in pieces."""
        first = 0
        for match in _SEGMENT.finditer(self.text):
            last = first
            while last < len(self.ids) and self.ends[last] <= match.end():
                last += 1
            yield from _cut(range(first, last))
            first = last
        yield from _cut(range(first, len(self.ids)))


def _cut(tokens: range) -> Iterator[range]:
    """Tokens in pieces, so that no run of them is compared for long."""
    return (tokens[at : at + _LONGEST] for at in range(0, len(tokens), _LONGEST))


def trace(text: str, corpus: Corpus, wanted: Wanted | None = None) -> Trace:
    """Find what of a text stands in the training data.

    Args:
        text: an answer, or any other text.
        corpus: the training data of a release.
        wanted: what to look for.

    Raises:
        InputError: if there is no text, too much of it, or a character that the tokenizer has no bytes for.
    """
    _require_text(text)
    wanted = wanted or Wanted()
    said = _Text.of(text, corpus.tokenizer)
    spans = [
        (one, _span(one, said, corpus.surprise))
        for one in _maximal(said, corpus)
        if len(_words(said, one)) >= wanted.words
    ]
    most = wanted.most if wanted.most is not None else min(1000, max(10, math.ceil(len(said.ids) / 20)))
    spans.sort(key=lambda pair: (-pair[1].rarity if wanted.ranking == "rarity" else -pair[1].tokens, pair[1].start))
    asked = [Asked(one.ranges, one.last - one.first) for one, _ in spans[:most]]
    ranked = zip(spans, documents(corpus, asked, said.ids, wanted.documents), strict=False)
    found = [replace(span, rank=rank, documents=there) for rank, ((_, span), there) in enumerate(ranked, 1)]
    return Trace(text, tuple(sorted(found, key=lambda span: span.start)), corpus.untold)


def _require_text(text: str) -> None:
    """Refuse a text that cannot be looked for.

    Raises:
        InputError: saying why.
    """
    if not text.strip():
        raise InputError("there is no text to look for")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InputError("the text is not UTF-8", where=f"the text, character {error.start:,}") from error
    if size > LARGEST:
        raise InputError("the text is too long", why=f"it has {size:,} bytes, and {LARGEST:,} are looked up at a time")


def _maximal(said: _Text, corpus: Corpus) -> Iterator[_Candidate]:
    """The longest run of whole words from each word, if it goes beyond those before."""
    asked = [
        (first, segment.stop, head)
        for segment in said.segments()
        for first in segment
        if said.breaks(said.starts[first]) and said.is_word(first)
        for head in corpus.heads(said.ids[first])
    ]
    firsts, ends, heads = ([one[part] for one in asked] for part in range(3))
    lengths = zip(firsts, heads, corpus.index.longest(said.ids, heads, firsts, ends), strict=True)
    reached, found = 0, list[tuple[int, int, list[list[int]]]]()
    for first, group in groupby(lengths, key=itemgetter(0)):
        alike = [(head, length) for _, head, length in group]
        last = first + max(length for _, length in alike)
        while last > first and not (said.breaks(said.ends[last - 1]) and said.is_word(last - 1)):
            last -= 1
        if last > reached:
            reached = last
            runs = [[head, *said.ids[first + 1 : last]] for head, length in alike if length >= last - first]
            found.append((first, last, runs))
    ranges = iter(corpus.index.find_all([run for _, _, runs in found for run in runs]))
    for first, last, runs in found:
        yield _Candidate(first, last, [one for _ in runs for one in enumerate(next(ranges))])


def _words(said: _Text, one: _Candidate) -> list[str]:
    return re.findall(r"\w+", said.text[said.starts[one.first] : said.ends[one.last - 1]])


def _span(one: _Candidate, said: _Text, surprise: NDArray[np.float64]) -> Span:
    start, end = said.starts[one.first], said.ends[one.last - 1]
    start += len(said.text[start:end]) - len(said.text[start:end].lstrip())
    rarity = float(surprise[said.ids[one.first : one.last]].sum())
    return Span(start, end, said.text[start:end], 0, one.last - one.first, one.count, rarity)


@dataclass(frozen=True)
class Asked:
    """What documents are looked for of.

    Attributes:
        ranges: of places in the tables of shards; where they are many, some at equal distances are looked at.
        length: tokens of what stands there.
    """

    ranges: Sequence[tuple[int, Range]]
    length: int


def documents(corpus: Corpus, asked: Sequence[Asked], query: Sequence[int], most: int) -> list[tuple[Found, ...]]:
    """Documents that have what stands at some places, the likest to a text first.

    Args:
        corpus: the training data.
        asked: several such.
        query: the tokens of the text.
        most: how many of each.
    """
    if not most:
        return [() for _ in asked]
    samples = [_sample(one.ranges) for one in asked]
    standing = iter(corpus.index.places([at for some in samples for at in some]))
    places: list[dict[int, int]] = []
    for some in samples:
        places.append({})
        for place in sorted(islice(standing, len(some))):
            places[-1].setdefault(corpus.document(place), place)
    passages = corpus.index.passages(
        [
            _passage(corpus, document, place, one.length)
            for one, there in zip(asked, places, strict=True)
            for document, place in there.items()
        ]
    )
    scores = iter(_bm25(passages, query))
    chosen: list[list[tuple[int, float]]] = []
    for there in places:
        scored = [(place, next(scores)) for place in there.values()]
        chosen.append(sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:most])
    steps = corpus.steps([(at, at + one.length) for one, some in zip(asked, chosen, strict=True) for at, _ in some])
    seen = repeat(None) if steps is None else iter(steps)
    return [
        tuple(_found(place, one.length, corpus, score, next(seen)) for place, score in some)
        for one, some in zip(asked, chosen, strict=True)
    ]


def _passage(corpus: Corpus, document: int, place: int, length: int) -> Range:
    """The range of the tokens around a place, in its document."""
    begin, end = corpus.bounds(document)
    return max(begin, place - _PASSAGE), min(end, place + length + _PASSAGE)


def _sample(ranges: Sequence[tuple[int, Range]]) -> list[tuple[int, int]]:
    """Places: shards, and numbers in their tables."""
    count = sum(high - low for _, (low, high) in ranges)
    chosen = iter(range(count) if count <= _SAMPLE else [n * count // _SAMPLE for n in range(_SAMPLE)])
    places, before, wanted = list[tuple[int, int]](), 0, next(chosen, None)
    for shard, (low, high) in ranges:
        while wanted is not None and wanted < before + high - low:
            places.append((shard, low + wanted - before))
            wanted = next(chosen, None)
        before += high - low
    return places


def _bm25(passages: Sequence[NDArray[Any]], query: Sequence[int]) -> list[float]:
    """How well passages fit a text, with their own frequencies for those of all."""
    import numpy as np

    if not passages:
        return []
    terms = np.unique(np.array(query, np.int64))
    lengths = np.array([len(one) for one in passages], np.int64)
    tokens = np.concatenate(passages).astype(np.int64)
    at = np.minimum(np.searchsorted(terms, tokens), len(terms) - 1)
    same = terms[at] == tokens
    passage = np.repeat(np.arange(len(passages)), lengths)[same]
    pairs, counts = np.unique(passage * len(terms) + at[same], return_counts=True)
    passage, term = np.divmod(pairs, len(terms))
    having = np.bincount(term, minlength=len(terms))
    weight = np.log(1 + (len(passages) - having + 0.5) / (having + 0.5))
    scaled = _K1 * (1 - _B + _B * lengths / max(1.0, float(lengths.mean())))
    parts = weight[term] * counts * (_K1 + 1) / (counts + scaled[passage])
    return [round(score, 4) for score in np.bincount(passage, parts, len(passages)).tolist()]


def _found(place: int, length: int, corpus: Corpus, score: float, steps: Sequence[int] | None) -> Found:
    document = corpus.document(place)
    source, (begin, end) = corpus.sources[document], corpus.bounds(document)
    stop = min(end, place + length)
    return Found(
        source.document,
        source.source,
        source.licence,
        source.locator,
        tuple((steps or ())[:_STEPS]),
        None if steps is None else len(steps),
        corpus.text(max(begin, place - _CONTEXT), place),
        corpus.text(place, stop),
        corpus.text(stop, min(end, stop + _CONTEXT)),
        score,
    )


@dataclass(frozen=True)
class Finding:
    """Where a string stands in the training data.

    Attributes:
        text: the string.
        count: how often.
        documents: some in which it does.
        untold: why it is not known which steps saw them; empty if it is.
    """

    text: str
    count: int
    documents: tuple[Found, ...]
    untold: str = ""


def find(text: str, corpus: Corpus, *, fold: bool = False, most: int = 10) -> Finding:
    """Find a string in the training data, wherever it begins and ends.

    Args:
        text: the string.
        corpus: the training data.
        fold: take capitals and small letters for the same, and any blanks and ends of lines, too.
        most: documents to name.

    Raises:
        InputError: as :func:`trace`.
    """
    _require_text(text)
    ranges = corpus.lookup(fold).find(text)
    tokens = [one for one, _, _ in corpus.tokenizer.placed(text)]
    (found,) = documents(corpus, [Asked(ranges, max(1, len(tokens)))], tokens, most)
    return Finding(text, sum(high - low for _, (low, high) in ranges), found, corpus.untold)
