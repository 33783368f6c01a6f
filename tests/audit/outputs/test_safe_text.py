"""python -m pytest tests/audit/outputs/test_safe_text.py"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from sample_audits import nasty

from regrow.auditing.outputs.safe import markdown, plain, row, shorten, whole, wrap


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two  words\nand\tmore", "two words and more"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("half \ud800", "half \\ud800"),
        ("漢字 é", "漢字 é"),
    ],
)
def test_what_does_not_print_is_shown_as_what_it_is(text: str, shown: str) -> None:
    assert whole(text) == shown


def test_long_text_is_cut_and_marked() -> None:
    assert plain("x" * 500, 10) == "x" * 9 + "…"
    assert plain("x" * 10, 10) == "x" * 10


@given(nasty, st.integers(10, 100))
def test_wrapping_keeps_all_words_and_the_width(text: str, columns: int) -> None:
    lines = wrap(text, columns)
    assert all(cell_len(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == plain(text, 4000).replace(" ", "")


@given(nasty, nasty)
def test_a_row_keeps_its_columns(first: str, second: str) -> None:
    assert all(cell_len(line) <= 2 + 20 + 2 + 30 for line in row((first, second), (20, 30)))


@given(nasty, st.integers(5, 60))
def test_shortened_text_fits(text: str, columns: int) -> None:
    assert cell_len(shorten(text, columns)) <= columns


@pytest.mark.parametrize(
    "text",
    [
        "*a*",
        "_a_",
        "`a`",
        "[a](b)",
        "![a](b)",
        "<b>a</b>",
        "a | b",
        "# a",
        "- a",
        "+ a",
        "1. a",
        "1) a",
        "===",
        "a & b",
    ],
)
def test_markdown_shows_text_literally(text: str) -> None:
    tokens = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False}).parse(markdown(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    parts = tokens[1].children
    assert {part.type for part in parts} <= {"text", "text_special"}
    assert "".join(part.content for part in parts) == text
