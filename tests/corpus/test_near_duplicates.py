from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus import near_duplicates
from regrow.corpus.grouping import COMPARED, alike, components, pairs
from regrow.corpus.near_duplicates import (
    BANDS,
    _run_hashes,
    _word_hash,
    _word_hashes,
    numbers,
    runs,
    signatures,
    similarity,
    words,
)


class Sets:
    """The runs of texts that are called by their places."""

    def __init__(self, texts: list[str]) -> None:
        self.sets = [runs(text) for text in texts]
        self.sizes = np.array([len(one) for one in self.sets])

    def __len__(self) -> int:
        return len(self.sets)

    def places(self, names: np.ndarray) -> np.ndarray:
        return names.astype(np.intp)

    def runs(self, place: int) -> np.ndarray:
        return self.sets[place]


def proposed(texts: list[str]) -> list[np.ndarray]:
    """Pairs of places of texts that share a number."""
    found = [np.column_stack([row.ravel(), np.repeat(names, BANDS)]) for names, row in numbers(enumerate(texts))]
    rows = np.concatenate([np.empty((0, 2), np.uint64), *found])
    return list(pairs([rows[np.lexsort(rows.T[::-1])]])) if found else []


def groups(texts: list[str], threshold: float) -> list[list[int]]:
    """The groups of near-duplicates: lists of places, ascending."""
    edges = [np.empty((0, 2), np.intp), *alike(proposed(texts), Sets(texts), threshold)]
    least = components(np.concatenate(edges).astype(np.intp), len(texts))
    found = [np.flatnonzero(least == first).tolist() for first in np.unique(least)]
    return [group for group in found if len(group) > 1]


def prose(seed: int, length: int = 200) -> list[str]:
    chance = random.Random(seed)
    return [f"w{chance.randrange(2000)}" for _ in range(length)]


def edited(text: list[str], places: int) -> str:
    copy = list(text)
    for place in range(places):
        copy[place * len(copy) // max(1, places) + 2] = f"new{place}"
    return " ".join(copy)


def test_words_do_not_depend_on_unicode_tables() -> None:
    assert words("Don't STOP, caf\u00e9-\u00c9t\u00e9 42!") == ["don", "t", "stop", "café", "Été", "42"]
    assert words("\U00011f00\U00011f01 \u08a0a") == ["\U00011f00\U00011f01", "\u08a0a"]  # newer than the tables


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("手机iPhone 15です。", "手 机 iphone 15 で す"),
        ("「引用」、々〆・ガカ\u3099\uff76\uff9e", "引 用 々 〆 ガ カ\u3099 \uff76 \uff9e"),
        ("\U00020000\U0002a6d6", "\U00020000 \U0002a6d6"),
        ("น้ำ สวัสดี ๑๒", "น้ ำ ส วั ส ดี ๑ ๒"),
        ("ភាសាខ្មែរ។", "ភា សា ខ្ មែ រ"),
        ("မြန်မာ", "မြ န် မာ"),
        ("བོད་སྐད།", "བོད སྐད"),
        ("한국어 문장, 둘", "한국어 문장 둘"),
        ("नमस्ते। मित्र", "नमस्ते मित्र"),
        ("\u0628\u060c\u062a \u0645\u06cc\u200c\u062e", "\u0628 \u062a \u0645\u06cc\u200c\u062e"),
        ("ሰላም፡ለዓለም", "ሰላም ለዓለም"),
        ("one—two…“three”\u2060four\u00a0five", "one two three four five"),
        ("e\u0301te\u0301", "e\u0301te\u0301"),
        ("hi😀👍\U0001f3fd☺\ufe0f!", "hi 😀 👍\U0001f3fd ☺\ufe0f"),
    ],
)
def test_words_of_many_scripts(text: str, found: str) -> None:
    assert words(text) == found.split()


def test_similarity_is_that_of_the_sets() -> None:
    assert similarity(runs("a b c d e f"), runs("a b c d e g")) == 1 / 3
    assert similarity(runs("a b"), runs("A, b!")) == 1.0
    assert similarity(runs(""), runs("a")) == 0.0


def test_similar_texts_are_grouped() -> None:
    base, other = prose(1), prose(2)
    texts = [" ".join(base), " ".join(other), edited(base, 2), edited(base, 15), edited(other, 1)]
    assert similarity(runs(texts[0]), runs(texts[2])) > 0.8 > similarity(runs(texts[0]), runs(texts[3]))
    assert groups(texts, 0.8) == [[0, 2], [1, 4]]
    assert groups(texts, 1.0) == []


def test_chance_agreement_drops_nothing() -> None:
    """Whatever MinHash proposes, a pair below the threshold is not a pair."""
    texts = [" ".join(prose(seed)) + " a common end of some length that all of these texts share" for seed in range(60)]
    assert groups(texts, 0.5) == []


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_the_texts_does_not_matter(seed: int, chance: random.Random) -> None:
    base = prose(seed, 80)
    texts = [
        " ".join(base),
        *(edited(base, places) for places in (1, 2, 3)),
        *(" ".join(prose(seed + n, 80)) for n in (1, 2)),
    ]
    mixed = chance.sample(texts, len(texts))
    found = {frozenset(texts[place] for place in group) for group in groups(texts, 0.7)}
    assert found == {frozenset(mixed[place] for place in group) for group in groups(mixed, 0.7)}
    assert found


def test_nearly_all_pairs_are_found() -> None:
    pairs = [(prose(seed), edited(prose(seed), 4)) for seed in range(300)]
    texts = [text for one, other in pairs for text in (" ".join(one), other)]
    real = [n for n in range(300) if similarity(runs(texts[2 * n]), runs(texts[2 * n + 1])) >= 0.8]
    assert len(real) > 200
    assert groups(texts, 0.8) == [[2 * n, 2 * n + 1] for n in real]


def test_texts_that_are_looked_at_together_have_the_runs_of_each() -> None:
    texts = ["a b c", " ".join(prose(1, 30)), "", "用 Python 写的 program 很好读", "a b c d e", " ".join(prose(2, 7))]
    together = _run_hashes([_word_hashes(text) for text in texts])
    assert [len(found) for found in together] == [1, 26, 0, 1, 1, 3]
    for text, found in zip(texts, together, strict=True):
        assert np.array_equal(np.unique(found), runs(text))


def test_a_long_text_is_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(prose(1, 500)), spaceless(1, HAN, 500), "word" * 300, "a  b" * 40]
    whole = [(words(text), runs(text).tolist()) for text in texts]
    monkeypatch.setattr(near_duplicates, "_PIECE", 7)
    monkeypatch.setattr(near_duplicates, "_MIXED", 5)
    assert [(words(text), runs(text).tolist()) for text in texts] == whole


def test_short_and_wordless_texts() -> None:
    assert groups(["a b", "A B", "...", "!!!", "", "c"], 0.8) == [[0, 1]]
    assert groups([], 0.8) == []


def test_signatures_are_the_same_everywhere() -> None:
    """Of rensa and of our hashing: integers only, so every platform must agree with these digests."""
    texts = [" ".join(prose(seed, 5 + 40 * seed)) for seed in range(20)]
    hashes = _run_hashes([_word_hashes(text) for text in texts])
    assert hashlib.sha256(np.concatenate(hashes).astype("<u8").tobytes()).hexdigest() == RUNS
    found = signatures(hashes)
    assert found.shape == (20, 128)
    assert hashlib.sha256(found.astype("<u4").tobytes()).hexdigest() == SIGNATURES


RUNS = "20a058eaa5e831e22aa3f1407849433d2bb77a5fa8025564711d14113ccb28a8"
SIGNATURES = "6bd0d8cdca37cdf15b669dbfb288b93d440f2601373975f645df4186979e7383"


def spaceless(seed: int, letters: list[str], length: int) -> str:
    """A text without blanks whose words have two letters on average, the usual ones more often, and a stop at times."""
    chance = random.Random(seed)
    usual = random.Random(0)
    vocabulary = ["".join(usual.choices(letters, k=usual.choice((1, 2, 3)))) for _ in range(3000)]
    found = chance.choices(vocabulary, [1 / (rank + 3) for rank in range(3000)], k=length)
    return "".join(word + ("。" if place % 9 == 8 else "") for place, word in enumerate(found))


HAN = [chr(0x4E00 + n) for n in range(2000)]
KANA = [chr(0x3042 + n) for n in range(80)]
THAI = [chr(0x0E01 + n) + vowel for n in range(44) for vowel in ("", "า", "ี", "ั้")]
KHMER = [chr(0x1780 + n) + vowel for n in range(33) for vowel in ("", "ា", "ី", "្ក")]


@pytest.mark.parametrize("letters", [HAN, HAN[:400] + KANA * 9, THAI, KHMER], ids=["han", "kana", "thai", "khmer"])
def test_scripts_without_blanks(letters: list[str]) -> None:
    texts = [spaceless(seed, letters, 250) for seed in range(60)]
    copies = [text[:99] + letters[1] + text[100:300] + letters[2] * 2 + text[303:] for text in texts]
    assert groups([*texts, *copies], 0.8) == [[n, n + 60] for n in range(60)]
    assert max(similarity(runs(one), runs(other)) for one in texts[:9] for other in texts[9:18]) < 0.1


def test_a_character_is_half_a_word() -> None:
    """What is the same of two short texts is weighed as in scripts with blanks, and not more."""
    shared = spaceless(1, HAN, 40)
    assert 0.5 < similarity(runs(shared + "一" * 20), runs(shared + "二" * 20)) < 0.8
    mixed = ["用 Python 写的 program 很好读 and so on", "one two three four five 一", "一二三四五六七八九十", "一二"]
    assert [len(runs(text)) for text in mixed] == [5, 1, 1, 1]
    assert len(np.intersect1d(runs("a b c d e f 一二"), runs("a b c d e f 三四"))) == 2


def test_a_long_text_is_not_like_another_in_its_script() -> None:
    for letters in (HAN, HAN[:400] + KANA * 9, THAI, KHMER):
        assert similarity(*(runs(spaceless(seed, letters, 30_000)) for seed in (1, 2))) < 0.2


@pytest.mark.parametrize("own", [1, 20], ids=["alike", "less alike than asked"])
def test_many_pages_from_one_template_take_linear_time(own: int) -> None:
    """Every text is compared with few: a page that is unlike all others costs no more than one that is like them."""
    head = " ".join(prose(3, 100))
    texts = [f"{head} {' '.join(f'x{n}y{m}' for m in range(own))}" for n in range(400)]
    assert sum(map(len, proposed(texts))) < 400 * BANDS * COMPARED
    assert groups(texts, 0.8) == ([list(range(400))] if own == 1 else [])


def test_pairs_are_found_among_pages_from_one_template() -> None:
    head, chance = prose(3, 150), random.Random(5)
    pages = [[*head, *(f"own{chance.randrange(10**9)}" for _ in range(50))] for _ in range(300)]
    assert similarity(*(runs(" ".join(page)) for page in pages[:2])) < 0.8
    texts = [" ".join(page) for page in pages] + [" ".join([*page[:-1], "other"]) for page in pages]
    assert groups(texts, 0.8) == [[n, n + 300] for n in range(300)]


def test_what_words_were_seen_before_costs_nothing() -> None:
    """Unlike words, of which a million must be as quick by text as the first, and are not all remembered."""
    chance = random.Random(1)
    assert groups([" ".join(str(chance.randrange(10**9)) for _ in range(60)) for _ in range(1500)], 0.8) == []
    assert _word_hash.cache_info().currsize <= 2**16
