import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus import normalise as normalise_module
from regrow.corpus.normalise import normalise, normalised


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


TABLES = unicodedata.ucd_3_2_0
MARKS = [chr(code) for code in range(0x300, 0x20000) if TABLES.combining(TABLES.normalize("NFD", chr(code))[0])]
BASES = [*"ab\n \u00e9\u1ec5\u0958\u0f40\u0b47\u1100\uac00"]


@given(st.lists(st.tuples(st.sampled_from(BASES), st.lists(st.sampled_from(MARKS), max_size=50)), max_size=5))
def test_marks_without_end_are_composed_as_a_few_are(letters: list[tuple[str, list[str]]]) -> None:
    text = "".join(base + "".join(marks) for base, marks in letters)
    assert normalise(text) == tidied(TABLES.normalize("NFC", text))


def tidied(text: str) -> str:
    """The text without needless blanks."""
    return re.sub("\n{4,}", "\n\n\n", "\n".join(line.rstrip(" ") for line in text.split("\n")).strip("\n"))


PIECES = st.sampled_from(
    [" ", "\t", "\n", "\n\n", "\r", "\u00a0", "\x00", "a", "word", "!", "\u00e9", "\u4e16", *MARKS[:3]]
)


@given(st.lists(PIECES, max_size=40).map("".join), st.integers(0, 9))
def test_piece_by_piece_it_is_the_same(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(normalise_module, "_PIECE", size)
        assert normalised(text.encode()).decode() == normalise(text)


def test_it_takes_linear_time() -> None:
    for unit in (" ", "\n", " \n", "\r", "\t", "e\u0301", "\u0301\u0323", "\u0344\u0323", "\u0f73", "\u05b0\u0591"):
        normalise(unit * 100_000 + "x")


def test_one_look_finds_all_that_goes_or_becomes_a_line_break() -> None:
    for code in range(0x10000):
        character = chr(code)
        odd = bool(normalise_module._BREAKS.match(character) or normalise_module._CONTROLS.match(character))
        assert bool(normalise_module._ODD.match(character)) is odd
