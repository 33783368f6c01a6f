"""Commitments to texts that may not be shared: what is published of them, and showing that one of them was there.

Each document has a leaf, a hash of its text with a salt of its own, and the leaves are the ends of a Merkle tree whose
root stands for all of them:

    leaf = SHA-256(0x00 | "regrow/commitment/1" | salt | id | text)
    node = SHA-256(0x01 | left | right)

as in RFC 6962, section 2.1, with the leaf's data in fields of fixed length before the text. Salts are 256 bits that
nobody can guess, so a leaf tells nothing of its text, however short that is; and since nobody finds two texts with one
hash, whoever published a root cannot say afterwards that another text was there. Who holds a document opens its leaf by
telling salt, id and text, with the hashes beside its way to the root: that is a proof to anybody who has the root, and
tells nothing of other documents.

What no such tree can show is that a text is *not* among the documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from regrow.recipe.pin import is_sha256

COMMITMENT = "commitment.json"
"""The file of an artifact in which the commitment is, beside the evidence."""

SCHEMA = "regrow/commitment/1"
_LEAF, _NODE = b"\0", b"\1"
_DOMAIN = SCHEMA.encode()
_Data = str | bytes


def leaf(salt: str, id: str, text: bytes) -> bytes:
    """What stands for a document.

    Args:
        salt: its secret, 64 hex digits.
        id: its id, 64 hex digits.
        text: what it says, as UTF-8.
    """
    return sha256(_LEAF + _DOMAIN + bytes.fromhex(salt) + bytes.fromhex(id) + text).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right).digest()


def root(leaves: Iterable[bytes]) -> str:
    """The root of the tree over some leaves, in hex; of none, the hash of nothing. A few hashes are in memory."""
    peaks: list[tuple[int, bytes]] = []  # of whole trees, each smaller than the one before
    for found in leaves:
        size, top = 1, found
        while peaks and peaks[-1][0] == size:
            size, top = 2 * size, _node(peaks.pop()[1], top)
        peaks.append((size, top))
    if not peaks:
        return sha256().hexdigest()
    top = peaks.pop()[1]
    while peaks:
        top = _node(peaks.pop()[1], top)
    return top.hex()


def path(leaves: Sequence[bytes], index: int) -> tuple[str, ...]:
    """The hashes beside the way from a leaf to the root, in hex, the lowest first."""
    if len(leaves) <= 1:
        return ()
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    left, right = leaves[:middle], leaves[middle:]
    if index < middle:
        return (*path(left, index), root(right))
    return (*path(right, index - middle), root(left))


def root_from(found: bytes, index: int, count: int, beside: Sequence[str]) -> str | None:
    """The root that a leaf leads to, in hex; None if there is no such way in a tree of so many leaves.

    Args:
        found: the leaf.
        index: its place among all, from 0.
        count: of all leaves.
        beside: as :func:`path` gives them.
    """
    if not 0 <= index < count:
        return None
    sides = [*_sides(index, count)]
    if len(sides) != len(beside):
        return None
    top = found
    for first, other in zip(reversed(sides), map(bytes.fromhex, beside), strict=True):
        top = _node(top, other) if first else _node(other, top)
    return top.hex()


def _sides(index: int, count: int) -> Iterator[bool]:
    """From the root down to a leaf, whether it goes to the first half."""
    while count > 1:
        middle = 1 << ((count - 1).bit_length() - 1)
        first = index < middle
        index, count = (index, middle) if first else (index - middle, count - middle)
        yield first


@dataclass(frozen=True)
class Commitment:
    """What is published of texts that may not be shared.

    Attributes:
        source: its name in the recipe.
        licence: on which they may be used.
        root: that stands for all documents, in hex.
        documents: how many there are.
        bytes: of text in them, as UTF-8.
        training: how many of them the model was trained on; the others are held out to measure it.
    """

    source: str
    licence: str
    root: str
    documents: int
    bytes: int
    training: int

    def write(self, folder: Path) -> None:
        """Write it into an artifact."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / COMMITMENT).write_text(text + "\n", "utf-8", newline="\n")

    @staticmethod
    def read(text: _Data) -> Commitment:
        """What was written.

        Raises:
            ValueError: if it is not a commitment, or not in a shape that is known here.
        """
        return Commitment(**_told(json.loads(text), SCHEMA, Commitment))


OPENING = "regrow/opening/1"


@dataclass(frozen=True)
class Opened:
    """A document whose leaf is opened.

    Attributes:
        document: its id.
        salt: its secret.
        index: its place among the documents of its source, from 0.
        path: the hashes beside its way to the root, the lowest first.
        text: what it says; None if whoever is to see the proof has it.
    """

    document: str
    salt: str
    index: int
    path: tuple[str, ...]
    text: str | None = None

    def leaf(self, text: str) -> bytes:
        """The leaf, if the document says this."""
        return leaf(self.salt, self.document, text.encode())


@dataclass(frozen=True)
class Opening:
    """A proof that some documents are among those of a commitment.

    Attributes:
        source: of all of them.
        root: of the commitment.
        documents: how many the commitment is to.
        opened: those that are shown.
    """

    source: str
    root: str
    documents: int
    opened: tuple[Opened, ...]

    def to_json(self) -> str:
        """As a file holds it."""
        told = {"schema": OPENING, **asdict(self)}
        told["opened"] = [{key: value for key, value in one.items() if value is not None} for one in told["opened"]]
        return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @staticmethod
    def read(text: _Data) -> Opening:
        """What a file holds, whoever wrote it.

        Raises:
            ValueError: if it is no opening, or not in a shape that is known here.
        """
        told = _told(json.loads(text), OPENING, Opening)
        return Opening(**{**told, "opened": tuple(map(_opened, _list(told["opened"])))})


def _opened(told: Any) -> Opened:
    found = _told(told if not isinstance(told, dict) else {"text": None, **told}, "", Opened)
    beside = tuple(_list(found["path"]))
    if not all(isinstance(one, str) and is_sha256(one) for one in (found["salt"], found["document"], *beside)):
        raise ValueError("salts, ids and hashes are 64 digits and letters from a to f")
    return Opened(**{**found, "path": beside})


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("there is no list where one should be")
    return value


def _told(value: Any, schema: str, kind: type[Commitment | Opening | Opened]) -> dict[str, Any]:
    """The fields of a table, each of its type; what has parts is looked at by itself."""
    if not isinstance(value, dict) or (schema and value.pop("schema", None) != schema):
        raise ValueError(f"it is not of the shape {schema or OPENING}")
    wanted = {name: str(said) for name, said in kind.__annotations__.items()}
    if value.keys() != wanted.keys():
        raise ValueError(f"it has not just the fields {', '.join(wanted)}")
    for name, said in wanted.items():
        plain: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "str | None": (str, type(None))}
        if said in plain and type(value[name]) not in plain[said]:
            raise ValueError(f"`{name}` is of another type")
    return value
