"""Tokenizers that do not know every byte: what they can say, they say, and what they cannot is refused."""

import pytest
from tokenizers.pre_tokenizers import ByteLevel

from regrow.corpus.alphabet import LETTERS, lacking
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError

from .test_tokenizers import TOKENS, written

RARE = (0x04, 0x1D, 0xC0, 0xF1, 0xF2, 0xFF)


def test_letters_are_those_of_the_library():
    assert sorted(LETTERS.values()) == sorted(ByteLevel.alphabet())
    for character in "a \n\x00ü漢😀":
        [(spelled, _)] = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(character)
        assert spelled == "".join(LETTERS[byte] for byte in character.encode())


def test_characters_that_a_byte_begins_are_found_and_no_others():
    edges = {0x3FFFF, 0x40000, 0xBFFFF, 0xC0000, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF}
    codes = {*range(0x900), *range(0x900, 0xD800, 61), *range(0xE000, 0x110000, 997), *edges}
    begun = {code: chr(code).encode()[0] for code in codes}
    for byte in range(256):
        found = lacking({byte})
        wrong = [code for code, first in begun.items() if bool(found and found.match(chr(code))) != (first == byte)]
        assert not wrong, (byte, [hex(code) for code in wrong[:5]])


def test_a_tokenizer_without_bytes_that_hardly_a_text_has_is_read(tmp_path):
    tokens = [token for token in TOKENS if token not in {LETTERS[byte] for byte in RARE}]
    kinds = tuple(3 if token.startswith("<|") else 1 for token in tokens)
    tokenizer = Tokenizer.open(written(tmp_path, tokens=tuple(tokens), token_type=kinds))
    assert tokenizer.unknown_bytes == set(RARE)
    text = "ä text, 漢字 and 😀\n"
    assert tokenizer.letters(tokenizer.documents([text])) == [text]
    for bad in (chr(4), chr(0x40000), chr(0xBFFFF)):
        for read in (tokenizer.prompt, lambda text: tokenizer.documents(["one", text])):
            with pytest.raises(InputError, match=f"U\\+{ord(bad):04X} cannot be said") as caught:
                read(f"some text {bad} and more")
            assert "some text" in caught.value.where
