"""Text that is told while tokens come: whole characters, and nothing of what it stops at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus import tokenizer
from regrow.corpus.alphabet import LETTERS
from regrow.corpus.tokenizer import Tokenizer
from regrow.serve.text import Spelling

TEXT = "the cat sat on the mat; the dog \u00f6 \u20ac \U0001f600 sat too. " * 20


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.write(tokenizer.learn([TEXT], 320), folder)
    return Tokenizer.open(folder)


def bytes_of(opened: Tokenizer, data: bytes) -> list[int]:
    """A token for each byte."""
    return [opened._library.token_to_id(LETTERS[byte]) for byte in data]


def told(opened: Tokenizer, tokens: list[int], *stops: str) -> tuple[list[str], str]:
    spelling = Spelling(opened, stops)
    return [*(spelling.add(token) for token in tokens), spelling.end()], spelling.stopped


def whole(text: str, *stops: str) -> tuple[str, str]:
    """The same, character by character over the whole text."""
    for end in range(1, len(text) + 1):
        if ended := [stop for stop in stops if text[:end].endswith(stop)]:
            stop = max(ended, key=len)
            return text[: end - len(stop)], stop
    return text, ""


@given(st.lists(st.integers(0, 330), max_size=40))
def test_what_is_told_is_the_text_of_all_tokens(opened: Tokenizer, tokens: list[int]) -> None:
    """Broken bytes, special tokens and such that only the model has are told as the library tells them."""
    pieces, _ = told(opened, tokens)
    assert "".join(pieces) == opened.decode(tokens)


@given(st.binary(max_size=30))
def test_bytes_in_any_order_are_told_as_others_tell_them(opened: Tokenizer, data: bytes) -> None:
    pieces, _ = told(opened, bytes_of(opened, data))
    assert "".join(pieces) == data.decode("utf-8", "replace") == opened.decode(bytes_of(opened, data))


@pytest.mark.parametrize("text", ["n\u00f6w \u20ac", "\U0001f600\U0001f601"])
def test_a_character_is_told_with_its_last_byte_and_not_before(opened: Tokenizer, text: str) -> None:
    spelling = Spelling(opened)
    for character in text:
        *before, last = bytes_of(opened, character.encode())
        assert [spelling.add(token) for token in before] == [""] * len(before)
        assert spelling.add(last) == character


ALPHABET = st.text("ab\u20ac", max_size=30)
STOPS = st.lists(st.text("ab\u20ac", min_size=1, max_size=5), max_size=4)


@given(ALPHABET, STOPS, st.data())
def test_text_ends_before_the_first_stop_wherever_tokens_end(
    opened: Tokenizer, text: str, stops: list[str], data: st.DataObject
) -> None:
    """Bytes, and the library's own tokens, are told the same, and nothing that was told is taken back."""
    expected = whole(text, *stops)
    for tokens in (bytes_of(opened, text.encode()), opened.meant(text)):
        spelling = Spelling(opened, stops)
        so_far, characters = "", 0
        for token in tokens:
            so_far += spelling.add(token)
            assert expected[0].startswith(so_far)
            assert spelling.characters >= characters
            characters = spelling.characters
        so_far += spelling.end()
        assert (so_far, spelling.stopped) == expected


def test_what_may_begin_a_stop_waits_until_it_does_not(opened: Tokenizer) -> None:
    pieces, stopped = told(opened, bytes_of(opened, b"a\n\nb\n\nEND!"), "\n\nEND")
    assert (pieces, stopped) == (["a", "", "", "\n\nb", "", "", "", "", "", "", ""], "\n\nEND")
    assert told(opened, bytes_of(opened, b"aa\n"), "\n\n") == (["a", "a", "", "\n"], "")


def test_the_stop_that_ends_first_counts_however_early_another_began(opened: Tokenizer) -> None:
    assert whole("abcd", "abcd", "c") == ("ab", "c")
    [token] = opened.meant(" the")
    pieces, stopped = told(opened, [token], " the", "h", "th")
    assert ("".join(pieces), stopped) == (" ", "th")


def test_nothing_comes_after_a_stop(opened: Tokenizer) -> None:
    spelling = Spelling(opened, ("b",))
    assert [spelling.add(token) for token in bytes_of(opened, b"abcabc")] == ["a", "", "", "", "", ""]
    assert (spelling.end(), spelling.stopped) == ("", "b")


def test_a_long_stop_that_almost_comes_again_and_again_takes_linear_time(opened: Tokenizer) -> None:
    """Comparing each end of the text with each beginning of the stop would take 10**9 steps."""
    stop = "a" * 30_000 + "b"
    pieces, stopped = told(opened, bytes_of(opened, b"a" * 60_000), stop)
    assert not stopped and "".join(pieces) == "a" * 60_000


def test_stopping_at_nothing_is_refused(opened: Tokenizer) -> None:
    with pytest.raises(ValueError, match="nothing can be stopped at"):
        Spelling(opened, ("",))
