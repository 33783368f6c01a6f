"""Fingerprints of works: the same numbers as a plain definition gives, a file that is checked, and what is found."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from regrow.evidence.fingerprints import FingerprintError, Fingerprints, fingerprint
from regrow.evidence.fingerprints.lists import FORMAT
from regrow.evidence.fingerprints.matching import Matcher, Run
from regrow.evidence.fingerprints.windows import WORDS, count, spans, windows

ALL = (1 << 64) - 1
CHANCE = random.Random(4)
VOCABULARY = [f"{CHANCE.choice('abcdefgh')}{CHANCE.randrange(5000)}" for _ in range(2000)]


def prose(words: int, seed: int) -> str:
    chance = random.Random(seed)
    return " ".join(chance.choice(VOCABULARY) for _ in range(words))


def plainly(text: str) -> list[int]:
    """The windows of a text, number by number, as the module documents them."""

    def mixed(x: int) -> int:
        x ^= x >> 32
        x = x * 0xD6E8FEB86659FD93 & ALL
        return x ^ x >> 29

    def total(values: list[int], base: int) -> int:
        return mixed(sum(value * pow(base, i, 1 << 64) for i, value in enumerate(values)) & ALL)

    letters = "".join(one if one.isalnum() else " " for one in unicodedata.normalize("NFKC", text).casefold())
    words = [total(list(word.encode()), 0xA0761D6478BD642F) for word in letters.split()]
    return [total(words[i : i + 50], 0x9E3779B97F4A7C15) for i in range(len(words) - 49)]


def hashes(*texts: str) -> list[int]:
    return [one for some in windows(texts) for one in some.hashes.tolist()]


@pytest.mark.parametrize(
    "text",
    [
        prose(60, 1),
        "Über_die 'Straße' \u2014 ﬁn, don\u2019t. " + prose(55, 2),
        prose(49, 3),
        "",
        "a" * 3000 + " " + prose(50, 4),
    ],
)
def test_numbers_are_those_of_the_plain_definition(text: str) -> None:
    assert hashes(text) == plainly(text)


def test_windows_do_not_reach_from_text_to_text_nor_depend_on_how_many_are_read_together() -> None:
    texts = [prose(n, n) for n in (120, 3, 0, 49, 50, 20_000)]
    assert hashes(*texts) == [one for text in texts for one in hashes(text)]
    long = prose(30_000, 9)
    assert hashes(long)[20_000:20_010] == plainly(" ".join(long.split()[20_000:20_059]))


def test_case_punctuation_and_lines_do_not_matter() -> None:
    text = prose(80, 5)
    assert hashes(text) == hashes(",\n ".join(text.upper().split()))


def test_places_of_words() -> None:
    assert spans("One, two!") == [(0, 3), (5, 8)]
    assert spans("Ünder ﬁre") == [(0, 5), (6, 9)]
    assert spans("½ and") == []  # which in normal form has a word more
    assert count("½ and") == 3


def found(matcher: Matcher, rows: int, *texts: str) -> tuple[list[Run], float]:
    seen = np.zeros(rows, np.bool_)
    runs = list(matcher.runs(texts, seen))
    return runs, float(seen.mean())


def test_what_stands_in_a_work_is_found_in_filler() -> None:
    book, other = prose(3000, 6), prose(2000, 7)
    prints = fingerprint([("book", book), ("other", other)])
    words = book.split()
    text = (
        f"{prose(90, 8)} {', '.join(words[200:500]).title()}. {prose(60, 9)} {' '.join(words[1000:1049])} {prose(9, 1)}"
    )
    runs, share = found(Matcher(prints), len(prints.hashes), prose(500, 10), text)
    assert runs == [Run(1, 0, 90, 390, 251)]
    assert share == pytest.approx(251 / len(prints.hashes))


def test_a_window_of_several_works_is_told_of_each() -> None:
    shared = prose(WORDS, 11)
    prints = fingerprint([("one", f"{prose(30, 12)} {shared}"), ("two", shared), ("two again", shared)])
    runs, _ = found(Matcher(prints), len(prints.hashes), shared)
    assert [run.work for run in runs] == [0, 1, 2]
    assert [work.windows for work in prints.works] == [31, 1, 1]


def test_nothing_in_a_list_of_nothing() -> None:
    prints = fingerprint([("short", "few words")])
    assert prints.works[0].words == 2
    assert list(Matcher(prints).runs([prose(100, 1)], np.zeros(0, np.bool_))) == []


def test_a_list_is_read_as_it_was_written_and_has_nothing_of_the_text(tmp_path: Path) -> None:
    text = prose(500, 13)
    prints = fingerprint([("Der Reiher", text), ("b", prose(70, 14))])
    path = tmp_path / "a.fingerprints"
    prints.write(path)
    again = Fingerprints.open(path)
    assert again.works == prints.works
    assert again.hashes.tolist() == sorted(prints.hashes.tolist())
    assert again.work.tolist() == prints.work.tolist()
    data = path.read_bytes()
    assert not any(word.encode() in data for word in text.split() if len(word) > 4)
    assert data.index(b"\n") % 8 == 7
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_lists_together_are_what_one_would_be() -> None:
    texts = [(str(n), prose(100, n)) for n in range(4)]
    apart = Fingerprints.together([fingerprint(texts[:1]), fingerprint(texts[1:])])
    whole = fingerprint(texts)
    assert apart.works == whole.works
    assert (apart.hashes == whole.hashes).all()
    assert (apart.work == whole.work).all()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "its first line does not say": lambda data: b"{}\n",
    "its windows have 13 words": lambda data: data.replace(b'"words":50', b'"words":13', 1),
    "bytes, and says of itself": lambda data: data[:-4],
    "does not say `rows`": lambda data: data.replace(b'"rows"', b'"xxxx"', 1),
    "its first line is not JSON": lambda data: b"\x00\x01 no list\n",
    "not in ascending order": lambda data: (
        data[: data.index(b"\n") + 1] + bytes([255] * 8) + data[data.index(b"\n") + 9 :]
    ),
    "do not have the sha256": lambda data: (
        data[: data.index(b"\n") + 1] + bytes([data[data.index(b"\n") + 1] ^ 1]) + data[data.index(b"\n") + 2 :]
    ),
    "a work that the first line does not name": lambda data: data[:-4] + bytes([9, 0, 0, 0]),
}


@pytest.mark.parametrize("why", DAMAGE)
def test_a_damaged_list_is_refused(why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.fingerprints"
    fingerprint([("a", prose(60, 1))]).write(path)
    path.write_bytes(DAMAGE[why](path.read_bytes()))
    with pytest.raises(FingerprintError, match="no list of fingerprints") as told:
        Fingerprints.open(path, "a.fingerprints")
    assert why in str(told.value.why)
    assert told.value.where == "a.fingerprints"


def test_the_format_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.fingerprints"
    fingerprint([("a", prose(60, 1))]).write(path)
    head, _, numbers = path.read_bytes().partition(b"\n")
    told = json.loads(head)
    assert told == {
        "format": FORMAT,
        "words": 50,
        "rows": 11,
        "sha256": sha256(numbers).hexdigest(),
        "works": [{"name": "a", "words": 60, "windows": 11}],
    }
