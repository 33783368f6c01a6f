from __future__ import annotations

import hashlib
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus.near_duplicates import _run_hashes, _signatures, groups, runs, similarity, words


def prose(seed: int, length: int = 200) -> list[str]:
    chance = random.Random(seed)
    return [f"w{chance.randrange(2000)}" for _ in range(length)]


def edited(text: list[str], places: int) -> str:
    copy = list(text)
    for place in range(places):
        copy[place * len(copy) // max(1, places) + 2] = f"new{place}"
    return " ".join(copy)


def test_words_do_not_depend_on_unicode_tables() -> None:
    assert words("Don't STOP, caf\u00e9-\u00c9t\u00e9 42!") == [
        b"don",
        b"t",
        b"stop",
        "caf\u00e9".encode(),
        "\u00c9t\u00e9".encode(),
        b"42",
    ]


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


def test_short_and_wordless_texts() -> None:
    assert groups(["a b", "A B", "...", "!!!", "", "c"], 0.8) == [[0, 1]]
    assert groups([], 0.8) == []


def test_signatures_are_the_same_everywhere() -> None:
    """Of rensa and of our hashing: integers only, so every platform must agree with these digests."""
    texts = [" ".join(prose(seed, 5 + 40 * seed)) for seed in range(20)]
    hashes = np.concatenate([_run_hashes(text, {}) for text in texts])
    assert hashlib.sha256(hashes.astype("<u8").tobytes()).hexdigest() == RUNS
    found = np.stack([signature for _, signature in _signatures(texts, lambda done: None)])
    assert found.shape == (20, 128)
    assert hashlib.sha256(found.astype("<u4").tobytes()).hexdigest() == SIGNATURES


RUNS = "20a058eaa5e831e22aa3f1407849433d2bb77a5fa8025564711d14113ccb28a8"
SIGNATURES = "6bd0d8cdca37cdf15b669dbfb288b93d440f2601373975f645df4186979e7383"


def test_many_copies_take_little_time() -> None:
    base = prose(3)
    assert groups([edited(base, 1) + f" end{n}" for n in range(600)], 0.8) == [list(range(600))]
