"""Character encodings: those that are read, which bytes are which character, and what a file may be in instead."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from regrow.corpus.content import Content
from regrow.corpus.reading import Refusal

EXAMPLES = "utf-8, utf-16, utf-32, iso8859-1, cp1252, koi8-r, shift_jis, euc_jp, gb18030, big5, euc_kr"
"""Some of the encodings that are read, for messages and the reference."""

BYTE_ORDER_MARK = "\ufeff"
WIDE = ("utf-16", "utf-32")
"""How encodings are called in which every character has several bytes."""

_ONE_WAY = "utf-"  # how those are called in which a character is written in one way

_KNOWN = re.compile(
    r"utf-8(-sig)?|ascii|utf-(16|32)(-[lb]e)?|iso8859-\d+|cp(125\d|437|850|852|866|874)|koi8-[ru]|mac-roman|tis-620"
    r"|shift_jis|cp932|euc_jp|gb2312|gbk|gb18030|big5|cp950|euc_kr|cp949|johab"
)
_MARKED: Mapping[str, tuple[tuple[bytes, str], ...]] = {
    "utf-8-sig": ((codecs.BOM_UTF8, "utf-8"), (b"", "utf-8")),
    "utf-16": ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
    "utf-32": ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
}
"""Encodings whose files begin with a byte order mark: what it may be, and what it says about the rest."""
_CHUNK = 1 << 20
_EVIDENCE = 1 << 16  # bytes that are looked at to find out what a file may be in


def known_encoding(name: str) -> str:
    """The usual name of an encoding that is read: one in which every character has bytes of its own.

    Others are not, such as ISO-2022-JP, in which a character means something else after an escape, or Big5-HKSCS, in
    which some bytes are two characters: where a text begins in them would be a matter of opinion.

    Raises:
        LookupError: if there is no such encoding.
        ValueError: if it is not one that is read.
    """
    try:
        usual = codecs.lookup(name).name
    except ValueError as error:  # a name with a null character
        raise LookupError(name) from error
    if not _KNOWN.fullmatch(usual):
        raise ValueError(f"`{name}` is not an encoding in which every character has bytes of its own")
    return usual


@dataclass(frozen=True)
class Decoded:
    """A text and the bytes it was decoded from.

    Attributes:
        text: the text.
        data: the file; empty if places in it follow from the text alone.
        encoding: of the bytes, one without a byte order mark.
        start: the first of the bytes.
    """

    text: str
    data: bytes
    encoding: str
    start: int

    def places(self, characters: Iterable[int]) -> Iterator[int]:
        """The byte of the file at which each of some characters begins; they are told in ascending order."""
        sized = _sized if _is_reversible(self) else _walked
        return sized(self, characters)


def decoded(content: Content, encoding: str) -> Decoded | Refusal:
    """The text of a file, without the byte order mark that its encoding asks for."""
    plain = plain_encoding(content, encoding)
    if isinstance(plain, Refusal):
        return plain
    name, start = plain
    data = content.data
    try:
        text = str(memoryview(data)[start:], name)
    except UnicodeDecodeError as error:
        return not_encoded(data, 0, len(data), encoding, start + error.start)
    return Decoded(text, b"" if name.startswith(_ONE_WAY) else data, name, start)


def plain_encoding(content: Content, encoding: str) -> tuple[str, int] | Refusal:
    """The encoding of what follows the byte order mark of a file, and where that begins."""
    if encoding not in _MARKED:
        return encoding, 0
    if not content.head:
        return _MARKED[encoding][0][1], 0
    for mark, name in _MARKED[encoding]:
        if content.head.startswith(mark):
            return name, len(mark)
    hint = f"it has no byte order mark, without which it would be `{encoding}-le` or `{encoding}-be`"
    return Refusal(0, content.size, f"not {encoding}", _with_guess(hint, content.head, encoding))


def not_encoded_in(content: Content, encoding: str) -> Refusal | None:
    """A refusal of a file that is not in an encoding, which is looked for without all of it in memory."""
    plain = plain_encoding(content, encoding)
    if isinstance(plain, Refusal):
        return plain
    name, start = plain
    file = content.opened()
    file.seek(start)
    decoder = codecs.getincrementaldecoder(name)()
    before = start
    while True:
        data = file.read(_CHUNK)
        pending = decoder.getstate()[0]
        try:
            decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = before - len(pending) + error.start
            detail = f"byte {place} is 0x{error.object[error.start : error.start + 1].hex()}"
            return Refusal(0, content.size, f"not {encoding}", _with_guess(detail, content.head, encoding))
        before += len(data)
        if not data:
            return None


def not_encoded(part: bytes, start: int, end: int, encoding: str, place: int, rows: int = 0) -> Refusal:
    """A refusal of bytes that are not in an encoding: which one it is, and in what they may be instead.

    Args:
        part: the bytes, or the first of them.
        start: where they begin in the file.
        end: where they end there.
        encoding: in which they are not.
        place: of the one that is not, in the part.
        rows: as of a :class:`Refusal`.
    """
    detail = f"byte {start + place} is 0x{part[place : place + 1].hex()}"
    return Refusal(start, end, f"not {encoding}", _with_guess(detail, part, encoding), rows)


def guess(data: bytes) -> str:
    """An encoding in which bytes make sense as text; empty if none is likely. A hint for people, no more."""
    for name in ("utf-32", "utf-16"):  # in this order: the mark of one begins with that of the other
        if data.startswith(tuple(mark for mark, _ in _MARKED[name])):
            return name
    part = data[:_EVIDENCE]
    if b"\0" in part:
        return next((name for name, size, zeros, low in _LANES if _is_wide(part, size, zeros, low)), "")
    return next((name for name, fits in _GUESSES if _fits(part, name, fits)), "")


def _with_guess(detail: str, data: bytes, encoding: str) -> str:
    found = guess(data)
    return f"{detail}; `{found}` fits" if found and found != encoding else detail


def _sized(decoded: Decoded, characters: Iterable[int]) -> Iterator[int]:
    """By what the characters between take when they are encoded again."""
    before, place = 0, decoded.start
    for character in characters:
        place += len(decoded.text[before:character].encode(decoded.encoding))
        before = character
        yield place


def _walked(decoded: Decoded, characters: Iterable[int]) -> Iterator[int]:
    """Byte by byte: where an encoding has two ways to write a character, its length does not follow from it."""
    decoder = codecs.getincrementaldecoder(decoded.encoding)()
    count, place = 0, decoded.start
    for character in characters:
        while count < character:
            count += len(decoder.decode(decoded.data[place : place + 1]))
            place += 1
        yield place


def _is_reversible(decoded: Decoded) -> bool:
    if decoded.encoding.startswith(_ONE_WAY):
        return True
    try:
        return decoded.text.encode(decoded.encoding) == decoded.data[decoded.start :]
    except UnicodeEncodeError:
        return False


_LANES: tuple[tuple[str, int, tuple[int, ...], int], ...] = (
    ("utf-32-le", 4, (2, 3), 0),
    ("utf-32-be", 4, (0, 1), 3),
    ("utf-16-le", 2, (1,), 0),
    ("utf-16-be", 2, (0,), 1),
)
"""Wide encodings: bytes of a unit, those of them that are zero in a text of plain letters, and the one that is not."""


def _is_wide(data: bytes, size: int, zeros: tuple[int, ...], low: int) -> bool:
    lanes = [data[lane::size] for lane in range(size)]
    zero = all(lanes[lane].count(0) > len(lanes[lane]) / 2 or _is_one_script(lanes[lane]) for lane in zeros)
    return zero and lanes[low].count(0) < len(lanes[low]) / 10


def _is_one_script(lane: bytes) -> bool:
    """Whether the upper halves of characters are those of ASCII and of one script, as in Russian, Arabic and Thai."""
    (first, often), (second, less) = [*Counter(lane).most_common(2), (0, 0), (0, 0)][:2]
    return 0 in (first, second) and max(first, second) < 0x20 and often + less >= 0.9 * len(lane)


def _fits(data: bytes, encoding: str, fits: Callable[[str], bool]) -> bool:
    """Whether bytes, the last of which may be half a character, are text that looks like what an encoding is for."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return False
    return not text.isascii() and fits(text)


def _are(letters: str, least: float) -> Callable[[str], bool]:
    """Whether enough of the characters that are not ASCII's are of a class."""
    one = re.compile(f"[{letters}]")
    return lambda text: len(one.findall(text)) >= least * sum(1 for character in text if character > "\x7f")


def _all(*conditions: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: all(condition(text) for condition in conditions)


def _in_words(letters: str) -> Callable[[str], bool]:
    """Whether most of the characters of a class stand beside others: a script has words, and not a letter in some."""
    pair = re.compile(f"[{letters}]{{2,}}")
    return lambda text: sum(map(len, pair.findall(text))) >= 0.8 * len(re.findall(f"[{letters}]", text))


def _mostly_plain(text: str) -> bool:
    return sum(character <= "\x7f" for character in text) >= len(text) / 2


_KANA, _KANJI, _MARKS = "\u3041-\u30ff", "\u4e00-\u9fff", "\u3000-\u3003\u3008-\u3011\uff01-\uff5e\u2010-\u2026"
_HANGUL, _SMALL_CYRILLIC = "\uac00-\ud7a3", "\u0430-\u044f\u0451"
_JAPANESE = _all(_are(_KANA, 0.15), _are(_KANA + _KANJI + _MARKS, 0.95))
_KOREAN = _are(_HANGUL + _MARKS, 0.9)
_RUSSIAN = _all(_are(_SMALL_CYRILLIC + "\u2013-\u2026", 0.75), _in_words("\u0400-\u045f"))
_WESTERN = _all(
    lambda text: sum(one <= "\x7f" for one in text) >= len(text) / 2,
    _are("\u00a0-\u00ff\u0152\u0153\u2013-\u2026\u20ac", 0.95),
)
_GUESSES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("utf-8", lambda text: True),
    ("shift_jis", _JAPANESE),
    ("cp932", _JAPANESE),
    ("euc_jp", _JAPANESE),
    ("euc_kr", _KOREAN),
    ("cp949", _KOREAN),
    ("gb18030", _all(_are(_KANJI + _MARKS + "\u2018-\u201d", 0.95), _in_words(_KANJI))),
    ("big5", _all(_are(_KANJI + _MARKS + "\ufe30-\ufe4f", 0.95), _in_words(_KANJI))),
    ("cp1251", _RUSSIAN),
    ("koi8-r", _RUSSIAN),
    ("cp866", _RUSSIAN),
    ("cp1252", _WESTERN),
)
"""Encodings in the order in which they are tried, and what a text in them looks like."""
