import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus.normalise import normalise


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\r\nb\rc\n\nd", "a\nb\nc\n\nd"),
        ("a \t\nb\u00a0\n", "a\nb"),
        ("\n\n  a", "  a"),
        ("a\n\n\n\n\n\nb", "a\n\n\nb"),
        ("a\n \n\t\n \n \nb", "a\n\n\nb"),
        ("\ufeffa\x00b\x07c", "abc"),
        ("one\x0ctwo\u2028three\x85four", "one\ntwo\nthree\nfour"),
        ("a\tb", "a\tb"),
        ("e\u0301", "\u00e9"),
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("\x00 \n", ""),
    ],
)
def test_what_it_does(text: str, clean: str) -> None:
    assert normalise(text) == clean


@given(st.text())
def test_twice_is_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@given(st.text())
def test_the_result_is_clean(text: str) -> None:
    clean = normalise(text)
    assert not clean.startswith("\n")
    assert not clean.endswith(("\n", " ", "\t"))
    assert "\n\n\n\n" not in clean
    assert all(character in "\n\t" or unicodedata.category(character) != "Cc" for character in clean)


@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_composed_as_everywhere(text: str) -> None:
    assert unicodedata.is_normalized("NFC", normalise(text))


def test_it_takes_linear_time() -> None:
    for unit in (" ", "\n", " \n", "\r", "\t", "e\u0301"):
        normalise(unit * 300_000 + "x")
