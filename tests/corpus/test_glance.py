"""What is seen at a glance to be normal is normal: nothing that normalising would change is passed over."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus import glance
from regrow.corpus.glance import irregular
from regrow.corpus.normalise import normalise

PIECES = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from(
        [" ", "\t", "\n", "\n\n", "\n\n\n", "\r\n", "\xa0", "\xa0\n", " \n", "\u2028", "\x85", "\ufeff", "\x00"]
    ),
    st.sampled_from(
        ["e\u0301", "\u0301", "\u1100\u1161\u11a8", "\uac00\u11a8", "\u09c7\u09be", "\u212b", "\u0374", "\uf900"]
    ),
    st.sampled_from(["a", "word", "\xe0", "\u0439", "\u4e00", "\U0001f600", "\U0002f800"]),
)


@given(st.lists(st.lists(PIECES, max_size=8).map("".join), max_size=6), st.integers(0, 2))
def test_a_text_that_is_passed_over_is_normal(texts: list[str], skipped: int) -> None:
    found = irregular(pa.array([*texts, "tail \n"], pa.string()).slice(min(skipped, len(texts))))
    given = [*texts, "tail \n"][min(skipped, len(texts)) :]
    assert found == sorted(set(found))
    assert {place for place, text in enumerate(given) if normalise(text) != text} <= {*found}


@given(st.lists(st.lists(PIECES, max_size=8).map("".join), max_size=6), st.integers(1, 9))
def test_how_much_is_looked_at_together_changes_nothing(texts: list[str], window: int) -> None:
    column = pa.array(texts, pa.string())
    found = irregular(column)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(glance, "_WINDOW", window)
        assert irregular(column) == found


def test_every_character_that_is_ever_passed_over() -> None:
    texts = [chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000]
    wrapped = [f"a{one}b" for one in texts]
    seen = {*irregular(pa.array(wrapped, pa.string()))}
    assert not [text for place, text in enumerate(wrapped) if place not in seen and normalise(text) != text]
    beyond = [chr(code) for code in range(0x20000, 0x110000, 0x1001)]
    assert irregular(pa.array(beyond, pa.string())) == [*range(len(beyond))]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain words, 1234567890.\n\n\nAnd\tmore",
        "Stra\xdfe, \u201equoted\u201c \u2014 caf\xe9\u2026 na\xefve",
        "\u041f\u0440\u0438\u0432\u0435\u0442, \u0439\u043e\u0436\u0438\u043a",
        "\u4f60\u597d\uff0c\u4e16\u754c\u3002",
        "\ud55c\uad6d\uc5b4",
        "\U0001f600 smile",
    ],
)
def test_usual_text_is_not_looked_at_singly(text: str) -> None:
    assert irregular(pa.array([text], pa.string())) == []


def test_nothing_at_all() -> None:
    assert irregular(pa.array([], pa.string())) == irregular(pa.array(["", ""], pa.string())) == []
