"""The tokenizer artifact: byte-level BPE, with a token that stands between and behind texts, and often before them.

A document is its letters: one that speaks of a special token says so. A prompt is written by somebody who may mean
the token, and is read as other engines read it. ::

    tokenizer = Tokenizer.open(folder)
    tokenizer.decode(tokenizer.prompt("To be")[1:])  # "To be"
"""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.corpus.alphabet import LETTERS, lacking
from regrow.errors import InputError
from regrow.formats import parquet
from regrow.words import DAMAGED, shown

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

END_OF_TEXT = "<|endoftext|>"
FILE = "tokenizer.json"
CONFIG = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
TEMPLATE = "chat_template.jinja"
"""How a conversation is written as one text."""
_LONGEST_WORD = 1024
_LARGEST = 32 << 20
_PIECE = 1 << 19
_BETWEEN_WORDS = re.compile(r"(?<=[A-Za-z]) (?=[A-Za-z])")
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""How Llama 3, OLMo 2 and others cut a text into words."""
QWEN2 = LLAMA3.replace("{1,3}", "")
"""How Qwen 2 and 3 do."""

_SORT = {
    "normalizer": (None, "Lowercase", "NFC", "NFD", "NFKC", "NFKD"),
    "pre_tokenizer": ("ByteLevel", "Digits", "Split"),
    "model": ("BPE",),
    "decoder": ("ByteLevel",),
}
"""What the parts of a tokenizer may be: none takes a text to put in, and of patterns only known ones are read."""
_SEVERAL = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "decoder": "decoders",
    "post_processor": "processors",
}
"""The parts that may be a sequence, and what its members are called."""
LEARNT: Mapping[str, Any] = {
    "added_tokens_decoder": {
        "0": {
            "content": END_OF_TEXT,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
    },
    "bos_token": END_OF_TEXT,
    "clean_up_tokenization_spaces": False,
    "eos_token": END_OF_TEXT,
    "tokenizer_class": "PreTrainedTokenizerFast",
}
"""The settings of a tokenizer that was learnt here, by which it is known from those of others."""


@dataclass(frozen=True)
class Tokenizer:
    """Text to tokens and back.

    Attributes:
        end_of_text: the token that ends a document.
        start: the tokens that begin a prompt.
        vocabulary: the number of tokens.
    """

    end_of_text: int
    start: tuple[int, ...]
    vocabulary: int
    _library: Any
    _words: bool

    @staticmethod
    def open(folder: Path) -> Tokenizer:
        """Read the tokenizer in a folder.

        Raises:
            InputError: if there is none, or it cannot be read or has no token for the end of a text.
        """
        import tokenizers

        path = folder / FILE
        try:
            raw = _read(path)
            library: Any = tokenizers.Tokenizer.from_str(json.dumps(_known(raw)))
        except Exception as error:  # the library has no class of its own for it
            raise InputError("the tokenizer cannot be read", where=str(path), why=str(error), hint=DAMAGED) from error
        said = settings(folder / CONFIG)
        end_of_text, ids = _ending(library, {**settings(folder / SPECIAL), **said}), library.get_vocab().values()
        if end_of_text is None:
            raise InputError(f"the tokenizer has no `{END_OF_TEXT}`", where=str(path), hint="rebuild the release")
        if max(ids) >= len(ids):
            why = f"it calls one of its {len(ids):,} tokens {max(ids):,}, and they are counted from 0"
            raise InputError("the tokenizer cannot be read", where=str(path), why=why, hint=DAMAGED)
        return Tokenizer(
            end_of_text, _start(library, raw.get("post_processor"), said), len(ids), library, _in_words(raw)
        )

    def id(self, token: str) -> int | None:
        """The number of a token, if there is such."""
        found: int | None = self._library.token_to_id(token)
        return found

    def tokens(self) -> tuple[str, ...]:
        """All tokens as they are written in its file, in the order of their numbers."""
        return tuple(self._library.id_to_token(number) for number in range(self.vocabulary))

    def prompt(self, text: str) -> list[int]:
        """The tokens of a text to continue, behind those that begin every text.

        Raises:
            InputError: if it has a character that the tokenizer has no bytes for.
        """
        return [*self.start, *self.meant(text)]

    def meant(self, text: str) -> list[int]:
        """The tokens of a text in which the names of special tokens mean these, and which says itself how it begins.

        Raises:
            InputError: as :meth:`prompt`.
        """
        self.require_sayable((text,))
        return list(self._library.encode(text, add_special_tokens=False).ids)

    def documents(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of the letters of texts, without the ones that end them.

        Raises:
            InputError: if one has a character that the tokenizer has no bytes for.
        """
        self.require_sayable(texts)
        return [found.ids for found in self._letter_by_letter.encode_batch_fast(list(texts), add_special_tokens=False)]

    def placed(self, text: str) -> list[tuple[int, int, int]]:
        """The tokens of the letters of a text, each with where it begins and ends in it, in characters.

        Tokens that share the bytes of a character are each where that character is.

        Raises:
            InputError: as :meth:`documents`.
        """
        self.require_sayable((text,))
        found = self._letter_by_letter.encode(text, add_special_tokens=False)
        return [(id, start, end) for id, (start, end) in zip(found.ids, found.offsets, strict=True)]

    @cached_property
    def special(self) -> Mapping[str, int]:
        """The special tokens by what they are called."""
        added = self._library.get_added_tokens_decoder()
        return {token.content: id for id, token in sorted(added.items()) if token.special}

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        return str(self._library.decode(list(tokens)))

    def letters(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The texts of rows of tokens, special ones included."""
        found: list[str] = self._library.decode_batch(rows, skip_special_tokens=False)
        return found

    def pieces(self, text: str) -> Iterator[str]:
        """A long text in pieces that make the tokens, one after the other, that it makes as a whole."""
        return pieces(text) if self.cuts_at_spaces else iter((text,))

    @cached_property
    def cuts_at_spaces(self) -> bool:
        """Whether a space behind a visible character always begins a token, and no token is looked for before."""
        added = self._library.get_added_tokens_decoder().values()
        return self._words and all(token.special for token in added)

    @cached_property
    def bytes(self) -> tuple[bytes, ...]:
        """What each token says, in the order of their numbers: of a special one, its name."""
        byte_of = {letter: byte for byte, letter in LETTERS.items()}

        def said(token: str) -> bytes:
            return bytes(map(byte_of.__getitem__, token)) if byte_of.keys() >= {*token} else token.encode()

        return tuple(map(said, self.tokens()))

    def say(self, tokens: NDArray[np.uint32], data: builtins.bytes) -> bool:
        """Whether tokens, one after the other, say exactly these bytes."""
        import pyarrow as pa

        numbers = pa.Array.from_buffers(pa.uint32(), len(tokens), [None, pa.py_buffer(tokens)])
        said = self._spelled.take(numbers).buffers()[2]
        return bool(said.equals(pa.py_buffer(data)) if said else not data)

    @cached_property
    def _spelled(self) -> pyarrow.BinaryArray:
        """:attr:`bytes` as a column."""
        import pyarrow as pa

        return parquet.column(self.bytes, pa.binary())

    @property
    def unknown_bytes(self) -> frozenset[int]:
        """Those that it has no token for, and that it would drop in silence."""
        return frozenset(byte for byte, letter in LETTERS.items() if self.id(letter) is None)

    @cached_property
    def _unsayable(self) -> re.Pattern[str] | None:
        return lacking(self.unknown_bytes)

    def require_sayable(self, texts: Sequence[str]) -> None:
        """Raise if a text cannot be said.

        Raises:
            InputError: naming the character that the tokenizer has no bytes for, and what stands before it.
        """
        if self._unsayable is None:
            return
        for text in texts:
            if found := self._unsayable.search(text):
                raise InputError(
                    f"the character U+{ord(found[0]):04X} cannot be said",
                    where=f"{shown(text[max(0, found.start() - 20) : found.start()])} and what follows",
                    why="the tokenizer has no tokens for its bytes",
                    hint="leave it out, or take a base whose tokenizer knows every byte",
                )

    @cached_property
    def _letter_by_letter(self) -> Any:
        """The library's tokenizer for text in which no token is meant; another one, as threads may ask both at once."""
        other = deepcopy(self._library)
        other.encode_special_tokens = True
        return other


def _read(path: Path) -> Any:
    """The JSON of a tokenizer, which may be a stranger's.

    Raises:
        ValueError: if it is none, or too large.
    """
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST:,} bytes")
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("its lists and tables are nested too deeply") from None


def _known(said: Any) -> dict[str, Any]:
    """A tokenizer of the one sort there is here, without what others have to be told.

    The library would run whatever stands in the file: patterns that never end, replacements that fill the memory.

    Raises:
        ValueError: if it is of another sort.
    """
    if not isinstance(said, dict):
        raise ValueError("it is no table of keys and values")
    for part, known in _SORT.items():
        for inside in _members(part, said.get(part)):
            kind = inside.get("type") if isinstance(inside, dict) else inside
            if kind not in known:
                raise ValueError(f"its `{part}` is {shown(kind)}, and what is known here is byte-level BPE")
            if kind == "Split" and inside.get("pattern") not in [{"Regex": LLAMA3}, {"Regex": QWEN2}]:
                raise ValueError(f"its `{part}` cuts texts at a pattern that is not known here")
    return {**said, "post_processor": None, "truncation": None, "padding": None}


def _members(part: str, inside: Any) -> list[Any]:
    """The members of a sequence; or the one that there is."""
    if isinstance(inside, dict) and inside.get("type") == "Sequence" and part in _SEVERAL:
        members = inside.get(_SEVERAL[part])
        return members if isinstance(members, list) else [members]
    return [inside]


def _in_words(said: Mapping[str, Any]) -> bool:
    """Whether a tokenizer cuts texts into words, each of which it makes tokens of by itself."""
    members = [one for one in _members("pre_tokenizer", said.get("pre_tokenizer")) if isinstance(one, dict)]
    return any(one.get("use_regex", one.get("type") == "ByteLevel") for one in members) or any(
        one.get("type") == "Split" and one.get("behavior") == "Isolated" and not one.get("invert") for one in members
    )


def settings(path: Path) -> dict[str, Any]:
    """What stands beside a tokenizer, if anything does.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        said = _read(path) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError("the tokenizer cannot be read", where=str(path), why=str(error), hint=DAMAGED) from error
    return said if isinstance(said, dict) else {}


def _ending(library: Any, said: Mapping[str, Any]) -> int | None:
    """The token between documents: by its usual name, or else what the tokenizer takes for the end."""
    ours: int | None = library.token_to_id(END_OF_TEXT)
    return ours if ours is not None else library.token_to_id(_content(said.get("eos_token", END_OF_TEXT)))


def _start(library: Any, template: Any, said: Mapping[str, Any]) -> tuple[int, ...]:
    """The tokens that begin a prompt: those of its template, which is what transformers goes by, whatever
    ``add_bos_token`` says. A tokenizer as it is learnt here has none yet, and begins with the token that ends texts.
    """
    first = [END_OF_TEXT] if template is None and said == LEARNT else list(_first_of(template))
    return tuple(token for token in map(library.token_to_id, first) if token is not None)


def _first_of(template: Any) -> Iterator[str]:
    """The special tokens that a post-processor puts before a text."""
    for part in _members("post_processor", template):
        pieces = part.get("single") if isinstance(part, dict) and part.get("type") == "TemplateProcessing" else None
        for piece in pieces if isinstance(pieces, list) else []:
            special = piece.get("SpecialToken") if isinstance(piece, dict) else None
            if not isinstance(special, dict):
                break
            if isinstance(name := special.get("id"), str):
                yield name


def _content(token: Any) -> str:
    """The text of a token, which may be a table that says more of it."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else END_OF_TEXT


def pieces(text: str) -> Iterator[str]:
    """A long text in pieces, of about half a million characters, none of which cuts a word: each but the first begins
    with a space between two letters of ASCII, with which words begin however a byte-level tokenizer tells them apart.

    The library needs a hundred bytes and more for each character of a text.
    """
    start = 0
    while len(text) - start > _PIECE and (found := _BETWEEN_WORDS.search(text, start + _PIECE)):
        yield text[start : found.start()]
        start = found.start()
    yield text[start:]


def learn(texts: Iterable[str], vocabulary: int) -> Any:
    """The library's tokenizer, which knows every byte, so that it can say any text.

    Ties between pairs go to the smaller ids. It has fewer tokens than asked for if the texts allow no more. What has no
    end, such as a million letters in a row, is learnt from in pieces of 1024 bytes: the library takes the square of the
    length of a word. The tokenizer knows nothing of the pieces, and makes tokens in about linear time.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.FixedLength(_LONGEST_WORD)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        show_progress=False,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def write(tokenizer: Any, folder: Path) -> None:
    """Write the artifact, with the files in which others look for its settings."""
    tokenizer.save(str(folder / FILE))
    _write(folder / CONFIG, LEARNT)
    _write(folder / SPECIAL, {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT})


def _write(path: Path, value: Any) -> None:
    path.write_bytes(json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")
