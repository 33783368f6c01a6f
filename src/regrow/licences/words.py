"""A text as the words that matter for recognising a licence, and their shingles.

Case, punctuation, markup, addresses, list numbers and line breaks do not matter. Nothing else is dropped: what is not
a word of the known licence must stay visible, because it may be a restriction.
"""

from __future__ import annotations

import html
import re
import unicodedata
from array import array
from functools import cache
from hashlib import blake2b

from regrow.data import any_of, toml

LENGTH = 4  # words in a shingle
LARGEST = 10_000_000  # characters of a text that is looked at
_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s<>()\[\]\"']+", re.IGNORECASE)
_NUMBERING = re.compile(r"\((?:\d{1,2}|[ivx]{1,4})\)|(?<![\w.])(?:\d{1,2}|[ivx]{1,4})[.)](?=\s)", re.IGNORECASE)
_JOINED = re.compile(r"\b(non|sub|world)\W{1,12}(?=infring|licens|wide)", re.IGNORECASE)
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]{2,}")


def words(text: str) -> list[str]:
    """The words of a text: in lower case, without single letters and list numbers."""
    if "<" in text or "&" in text:
        text = _markup().sub(" ", html.unescape(text))
    text = _JOINED.sub(r"\1", _NUMBERING.sub(" ", _ADDRESS.sub(" ", text)))
    text = unicodedata.normalize("NFKC", text).casefold()
    same = toml("licences", "words")["same"]
    return [same.get(word, word) for word in _WORD.findall(text)]


@cache
def _markup() -> re.Pattern[str]:
    """The tags of HTML that texts of licences are set with."""
    tags = any_of(toml("licences", "words")["tags"])
    return re.compile(rf"</?{tags}(?:\s[^<>]{{0,400}})?/?>", re.IGNORECASE)


def shingles(words: list[str]) -> array[int]:
    """A 32-bit hash of each run of ``LENGTH`` words, in their order."""
    encoded = [word.encode() + b" " for word in words]
    hashes = array("I")
    for i in range(len(encoded) - LENGTH + 1):
        hashes.append(int.from_bytes(blake2b(b"".join(encoded[i : i + LENGTH]), digest_size=4).digest(), "little"))
    return hashes
