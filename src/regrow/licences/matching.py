"""Which licence a text is, from its words alone.

To say that a text is an *open* licence, it must be that licence: the known words in the known order from the beginning
to the end, up to names in the places of names and a short cut at the end, around it nothing but titles and copyright
lines, and before it a few words more that cannot be a restriction. So a text with one more condition is not identified,
and neither is one from which a permission was taken. The terms of a *restricted* licence are recognised more freely,
inside a longer text and under any title, because there the harm lies in overlooking them.

    >>> identify(Path("LICENSE").read_text())
    Match(id='apache-2.0', score=1.0, also=())
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from regrow.data import any_of, toml
from regrow.licences.align import align, usable
from regrow.licences.catalogue import Kind, get
from regrow.licences.index import Text, shipped
from regrow.licences.words import LARGEST, LENGTH, shingles, words

_RESTRICTED = 0.85  # of the shingles that only restricted licences have, in any order
_PROBABLE = 0.6  # of an open licence's shingles, below which it is not looked at closely
_CUT = 0.12  # of the required words, that may be missing at the end
_HEADING = 12  # words before an open licence that may be the name of a work; after one, every word counts
_HOLDER = 14  # words of a copyright line
_NAME = 20  # words in the place of a name

_ORDER = list(Kind)  # from the freest


@dataclass(frozen=True)
class Match:
    """The licence that a text is.

    Attributes:
        id: in the catalogue; where a text holds several licences, the strictest.
        score: how much of the known text is there, 0 to 1.
        also: the other licences in the text.
    """

    id: str
    score: float
    also: tuple[str, ...] = ()


_LETTERS = re.compile(r"[^\W\d_]+")


@cache
def _pattern(*names: str) -> re.Pattern[str]:
    """The words of some lists of ``data/words.toml``, as one regular expression."""
    return re.compile(any_of(word for name in names for word in toml("licences", "words")[name]))


@cache
def _words(name: str) -> frozenset[str]:
    """The words of a list of ``data/words.toml``."""
    return frozenset(toml("licences", "words")[name])


def _in_no_name(word: str) -> bool:
    """Whether a word can be part of a restriction or of a sentence; Will is a name."""
    return word != "will" and _pattern("strong", "verbs").fullmatch(word) is not None


def identify(text: str) -> Match | None:
    """The licence that a text is, or None if that cannot be said."""
    if len(text) > LARGEST or "\0" in text:
        return None
    found = _Input(words(text))
    if not found.hashes:
        return None
    near = [known for known in shipped() if _is_standard(known) and found.share(known) >= _PROBABLE]
    copies = _chosen([copy for known in near for copy in _copies(found, known)])
    restricted = _restricted(found, [known for known in shipped() if not _is_standard(known)])
    restricted += [(copy.id, copy.score) for copy in copies if not get(copy.id).open]
    if restricted:
        return _match([*restricted, *((copy.id, copy.score) for copy in copies if not _within(copy, restricted))])
    return _match([(copy.id, copy.score) for copy in copies]) if copies and _silent(found, copies) else None


def _is_standard(known: Text) -> bool:
    """Whether a text is one of those that are used word for word, and of which slight changes make another licence."""
    return get(known.id).open or get(known.id).kind in (Kind.NON_COMMERCIAL, Kind.NO_DERIVATIVES)


def _match(found: Sequence[tuple[str, float]]) -> Match:
    """The strictest first; of several copies of a licence the best."""
    best: dict[str, float] = {}
    for id, score in found:
        best[id] = max(score, best.get(id, 0.0))
    ids = sorted(best, key=lambda id: (-_ORDER.index(get(id).kind), -best[id], id))
    return Match(ids[0], round(best[ids[0]], 4), tuple(ids[1:]))


@dataclass(frozen=True)
class _Input:
    words: list[str]
    hashes: array[int] = field(init=False)
    present: frozenset[int] = field(init=False)
    usable: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hashes", shingles(self.words))
        object.__setattr__(self, "present", frozenset(self.hashes))
        object.__setattr__(self, "usable", usable(self.hashes))

    def share(self, known: Text) -> float:
        """How much of a known text's shingles are here."""
        return sum(hash in self.present for hash in known.hashes) / max(1, len(known.hashes))


# Restricted licences


def _restricted(found: _Input, candidates: Sequence[Text]) -> list[tuple[str, float]]:
    """The restricted licences whose terms are in the text: the one that explains most, then those that add to it."""
    there = [(known, own, _own(known)) for known in candidates if (own := _own(known) & found.present)]
    there = [(known, own, whole) for known, own, whole in there if len(own) >= _RESTRICTED * len(whole)]
    chosen: list[tuple[str, float]] = []
    explained: set[int] = set()
    for known, own, whole in sorted(there, key=lambda item: (-len(item[1]), len(item[2]), item[0].id)):
        if len(own - explained) > len(own) / 2:
            chosen.append((known.id, len(own) / len(whole)))
        explained |= own
    return chosen


def _within(copy: _Copy, restricted: Sequence[tuple[str, float]]) -> bool:
    """Whether an open licence is the text that a restricted one adds to."""
    ids = {id for id, _ in restricted}
    inside = {hash for known in shipped() if known.id in ids for hash in known.hashes}
    own = [hash for known in shipped() if known.id == copy.id for hash in known.hashes]
    return sum(hash in inside for hash in own) > 0.9 * len(own)


@cache
def _own(known: Text) -> frozenset[int]:
    """What only this text and other restricted ones say."""
    return frozenset(known.hashes) - _standard_hashes()


@cache
def _standard_hashes() -> frozenset[int]:
    return frozenset(hash for known in shipped() if _is_standard(known) for hash in known.hashes)


# Open licences


@dataclass(frozen=True)
class _Block:
    """Words of the input that are words of the known text, one after another."""

    start: int
    end: int
    place: int

    @property
    def after(self) -> int:
        """The place behind the last word in the known text."""
        return self.place + self.end - self.start


@dataclass(frozen=True)
class _Copy:
    """A whole copy of an open licence in the input: words ``start`` to ``end``; ``cut`` if the known text goes on."""

    id: str
    score: float
    start: int
    end: int
    cut: bool


def _copies(found: _Input, known: Text, start: int = 0, end: int | None = None) -> Iterator[_Copy]:
    """The copies of a licence that are complete and unchanged, among shingles ``start`` to ``end``."""
    end = len(found.hashes) if end is None else end
    if end - start < (1 - _CUT) * sum(known.required) - LENGTH:
        return
    way = align(found.hashes, known.places, len(known.required), found.usable, start, end)
    blocks = [_Block(run.start, run.start + run.length + LENGTH - 1, run.place) for run in way]
    missing = _judge_pass(found, known, blocks) if blocks else None
    if missing is None:
        return
    score, cut = 1 - missing / max(1, sum(known.required)), blocks[-1].after < len(known.required)
    yield _Copy(known.id, score, blocks[0].start, blocks[-1].end, cut)
    yield from _copies(found, known, start, blocks[0].start)
    yield from _copies(found, known, blocks[-1].end, end)


def _judge_pass(found: _Input, known: Text, blocks: Sequence[_Block]) -> int | None:
    """How many required words are missing from a copy; None if it is not a copy."""
    needed = sum(known.required)
    lost = sum(known.required[blocks[-1].after :])
    if lost > _CUT * needed or _hard(known, 0, blocks[0].place):
        return None
    for left, right in pairwise(blocks):
        if _hard(known, left.after, right.place) or not _fits(found, known, left, right):
            return None
        lost += sum(known.required[left.after : right.place])
    return lost


def _hard(known: Text, start: int, end: int) -> bool:
    """Whether words are missing that copies do not leave out or replace."""
    return any(known.required[i] and not known.names[i] for i in range(start, end))


def _fits(found: _Input, known: Text, left: _Block, right: _Block) -> bool:
    """Whether what stands between two parts of a copy is a name in the place of a name."""
    inserted = [word for word in found.words[left.end : right.start] if not word[0].isdigit()]
    if not inserted or all(word in _words("fill") for word in inserted):
        return True
    seam = left.after in known.seams or right.place in known.seams
    if seam or not (known.required[left.after - 1] and known.required[right.place]):
        return _says_nothing(inserted)
    beside = any(known.names[i] for i in (left.after - 1, left.after, right.place - 1, right.place))
    return beside and len(inserted) <= _NAME and not any(_in_no_name(word) or _foreign(word) for word in inserted)


def _chosen(copies: Sequence[_Copy]) -> list[_Copy]:
    """The longest copies that do not overlap, in the order of the text."""
    chosen: list[_Copy] = []
    for copy in sorted(copies, key=lambda copy: (copy.start - copy.end, -copy.score, copy.id)):
        if all(copy.end <= other.start or other.end <= copy.start for other in chosen):
            chosen.append(copy)
    return sorted(chosen, key=lambda copy: copy.start)


def _silent(found: _Input, copies: Sequence[_Copy]) -> bool:
    """Whether the words around the copies say nothing that could matter."""
    titles = frozenset(word for copy in copies for word in title_words(copy.id))
    edges = [0, *(edge for copy in copies for edge in (copy.start, copy.end)), len(found.words)]
    gaps = list(zip(edges[::2], edges[1::2], strict=True))
    half = int(copies[-1].cut)  # a text that breaks off does so within a word
    allowed = [_HEADING, *[0] * (len(copies) - 1), half]
    return all(
        _says_nothing(found.words[start:end], titles, most) for (start, end), most in zip(gaps, allowed, strict=True)
    )


@cache
def title_words(id: str) -> frozenset[str]:
    """The words that name a licence."""
    licence = get(id)
    return frozenset(words(" ".join((licence.title, licence.spdx, licence.id, *licence.aliases)).replace("-", " ")))


def _says_nothing(gap: Sequence[str], titles: frozenset[str] = frozenset(), allowed: int = 0) -> bool:
    """Whether words are copyright lines, the licence's title and at most some others of which none can restrict."""
    other, holder = 0, 0
    for i, word in enumerate(gap):
        if word.startswith("copyright"):
            holder = _HOLDER
            continue
        holder -= 1
        if (
            _pattern("plain").fullmatch(word)
            or word[0].isdigit()
            or word in titles
            or _announces(gap[i : i + 7], titles)
        ):
            continue
        restricts = _in_no_name(word) if holder > 0 else _pattern("strong", "weak", "verbs").fullmatch(word)
        if restricts or _foreign(word):
            return False
        other += holder <= 0
    return other <= allowed


def _announces(words: Sequence[str], titles: frozenset[str]) -> bool:
    """Whether words begin to say that this is the licence (``under the terms of the MIT``), or who the holders are."""
    if words[0] == "portions":
        return words[1:2] == ["copyright"]
    if words[0] == "see":
        return bool({"authors", "contributors"} & set(words[1:3]))
    own = titles - _words("common")
    return words[0] in _words("announce") and any(word in own for word in words[1:] if word not in _words("common"))


def _foreign(word: str) -> bool:
    """Whether it is of a script in which one word can be a sentence or whose words are not known here."""
    return _LETTERS.fullmatch(word) is not None and not word.isascii() and any(ord(letter) > 0x24F for letter in word)
