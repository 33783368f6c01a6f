"""A training text as infini-gram's engine reads it: its files, byte for byte as its own indexer would write them.

Each shard has ``tokenized.N``, tokens with a separator before each document; ``table.N``, where they stand in that
file, in the order of what follows; ``offset.N``, where each document begins; ``metadata.N`` and ``metaoff.N``, a line
about each document and where it begins; and ``unigram.N``. The order is that of bytes, in which the lower byte of a
token comes first, and so another than that of an index here. ``engine.json`` has the arguments of the engine, and
``words.txt`` the tokens that a word begins with, for its attribution.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 4
"""Of the layout: tokens forward, several files."""
ENGINE, WORDS = "engine.json", "words.txt"
_PIECE = 2**22


@dataclass(frozen=True)
class Text:
    """A document of a shard.

    Attributes:
        tokens: without one that ends it.
        path: the file it is from.
        number: its number among all.
        about: what else there is to say of it.
    """

    tokens: NDArray[np.unsignedinteger]
    path: str
    number: int
    about: Mapping[str, Any]


def written(
    folder: Path, shards: Iterable[Iterable[Text]], *, vocabulary: int, end_of_text: int, words: Sequence[int]
) -> None:
    """Write the files of all shards.

    Args:
        folder: where.
        shards: the documents of each; a shard has to fit into memory eight times.
        vocabulary: the number of tokens there are.
        end_of_text: the token that ends a text; none of the documents has it.
        words: the tokens that a word begins with.
    """
    import numpy as np

    dtype = np.dtype("<u2" if vocabulary < 2**16 else "<u4")
    for number, texts in enumerate(shards):
        tokens, begins = _tokenized(folder, number, texts, dtype)
        np.multiply(begins, dtype.itemsize).astype("<u8").tofile(folder / f"offset.{number}")
        tokens.tofile(folder / f"tokenized.{number}")
        _unigrams(folder / f"unigram.{number}", tokens)
        _table(folder / f"table.{number}", tokens, vocabulary)
    facts = {
        "eos_token_id": end_of_text,
        "vocab_size": vocabulary,
        "version": VERSION,
        "token_dtype": f"u{8 * dtype.itemsize}",
        "bow_ids_path": WORDS,
    }
    (folder / ENGINE).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    (folder / WORDS).write_text("".join(f"{one}\n" for one in words), "utf-8")


def _tokenized(
    folder: Path, number: int, texts: Iterable[Text], dtype: np.dtype[Any]
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """The tokens of a shard with a separator before each document, and where the documents begin; what is said of them
    is written.
    """
    import numpy as np

    separator = np.array([np.iinfo(dtype).max], dtype)
    found, sizes, lines = [], [], []
    for text in texts:
        found += [separator, text.tokens.astype(dtype)]
        sizes.append(1 + len(text.tokens))
        lines.append(json.dumps({"path": text.path, "linenum": text.number, "metadata": dict(text.about)}) + "\n")
    (folder / f"metadata.{number}").write_text("".join(lines), "ascii", newline="\n")
    np.array(_begins(map(len, lines)), "<u8").tofile(folder / f"metaoff.{number}")
    return np.concatenate(found or [separator[:0]]), np.array(_begins(sizes), np.int64)


def _begins(sizes: Iterable[int]) -> list[int]:
    """Where things of some sizes begin, one after the other."""

    def running() -> Iterator[int]:
        at = 0
        for size in sizes:
            yield at
            at += size

    return list(running())


def _unigrams(path: Path, tokens: NDArray[np.unsignedinteger]) -> None:
    import numpy as np

    found = zip(*(one.tolist() for one in np.unique(tokens, return_counts=True)), strict=True)
    path.write_text("".join(f"{token} {count}\n" for token, count in found), "ascii", newline="\n")


def _table(path: Path, tokens: NDArray[np.unsignedinteger], vocabulary: int) -> None:
    """Where tokens stand, in bytes of their file, in the order of the bytes from there to its end."""
    import numpy as np

    from regrow.corpus.suffixes import sorted_places

    size = tokens.dtype.itemsize
    known = np.append(np.arange(vocabulary), np.iinfo(tokens.dtype).max).astype(tokens.dtype)
    order = np.argsort(known.byteswap(), kind="stable")
    ranks = np.empty(len(known), np.uint16 if len(known) <= 2**16 else np.uint32)
    ranks[order] = np.arange(len(known))
    row = ranks[np.minimum(tokens, vocabulary)]  # the separator is behind all tokens
    starts = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(known)))))
    places = sorted_places(row, starts) if len(row) else np.empty(0, np.uint32)
    width = -(-(max(2, len(tokens) * size) - 1).bit_length() // 8)
    with path.open("wb") as file:
        for first in range(0, len(places), _PIECE):
            piece = places[first : first + _PIECE].astype("<u8") * size
            file.write(piece.view(np.uint8).reshape(-1, 8)[:, :width].tobytes())
