"""Changes to the tokens that a tokenizer knows, and what became of each of them.

Tokens keep their order, and are counted anew without those that are dropped; new ones come behind all others.

Example:
    >>> change(source, folder, Change(add=("<|user|>",)))
    >>> Changed.open(folder).added
    (Added('<|user|>', pieces=(27, 91, 345, 91, 29)),)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from regrow.corpus.alphabet import LETTERS
from regrow.corpus.gguf_tokenizer import template
from regrow.corpus.tokenizer import CONFIG, FILE, SPECIAL, TEMPLATE, Tokenizer
from regrow.errors import InputError
from regrow.words import shown, some, suggestion

RECORD = "vocabulary.json"
"""What became of each token, for those who keep something for each."""

_LISTS = ("additional_special_tokens", "extra_special_tokens")


@dataclass(frozen=True)
class Change:
    """What is to change.

    Attributes:
        add: texts that become one token each.
        drop: tokens that there shall be no more, as ``tokenizer.json`` spells them.
        special: whether the new ones are special: they say what a text is about, and are left out where one is read.
    """

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    special: bool = True


@dataclass(frozen=True)
class Added:
    """A new token.

    Attributes:
        text: what it stands for.
        pieces: the tokens, by their old numbers, that stood for it before.
    """

    text: str
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class Changed:
    """What became of the tokens.

    Attributes:
        before: how many there were.
        dropped: the old numbers of those that are no more, ascending.
        added: the new ones.
    """

    before: int
    dropped: tuple[int, ...]
    added: tuple[Added, ...]

    @staticmethod
    def open(folder: Path) -> Changed:
        """Read what :func:`change` wrote beside a tokenizer.

        Raises:
            InputError: if there is no such record.
        """
        try:
            found = json.loads((folder / RECORD).read_text("utf-8"))
            added = tuple(Added(one["text"], tuple(one["pieces"])) for one in found["added"])
            return Changed(found["before"], tuple(found["dropped"]), added)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise InputError("what became of the tokens cannot be read", where=str(folder / RECORD)) from error

    @property
    def kept(self) -> list[int]:
        """The old numbers of the tokens that are still there, in the order of the new ones."""
        return [token for token in range(self.before) if token not in set(self.dropped)]


@dataclass(frozen=True)
class Opened:
    """The files of a tokenizer that is to be changed.

    Attributes:
        source: the folder.
        tokenizer: what they make.
        raw: the members of ``tokenizer.json``.
        beside: the settings that lie beside it, by the names of their files.
    """

    source: Path
    tokenizer: Tokenizer
    raw: dict[str, Any]
    beside: Mapping[str, dict[str, Any]]

    @staticmethod
    def at(source: Path) -> Opened:
        """Read them.

        Raises:
            InputError: if there is no tokenizer, or none that is known here.
        """
        opened, raw = Tokenizer.open(source), json.loads((source / FILE).read_text("utf-8"))
        beside = {name: _table(source / name) for name in (CONFIG, SPECIAL) if (source / name).is_file()}
        return Opened(source, opened, raw, beside)

    @property
    def numbers(self) -> dict[str, int]:
        """All tokens as the file spells them, with their numbers."""
        return {**self.raw["model"]["vocab"], **{one["content"]: one["id"] for one in self.raw["added_tokens"]}}

    @property
    def merges(self) -> list[tuple[str, ...]]:
        """The pairs that become one token, in the order in which that is tried."""
        said = self.raw["model"]["merges"]
        return [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in said]

    def write(self, folder: Path, model: Mapping[str, Any], numbers: Mapping[str, int], new: Sequence[Any]) -> None:
        """Write them changed.

        Args:
            folder: where to.
            model: members of the model that are others now.
            numbers: the tokens that there will be, but for those that are added.
            new: the entries of those.

        Raises:
            InputError: if readers would give a token another number.
        """
        if (self.source / TEMPLATE).is_file():
            shutil.copyfile(self.source / TEMPLATE, folder / TEMPLATE)
        processor = _processor(self.raw.get("post_processor"), numbers)
        if processor is None and self.tokenizer.start:
            names = {number: token for token, number in self.numbers.items()}
            first = names[self.tokenizer.start[0]]
            processor = template(first, numbers[first])
        kept = (_renumbered(one, numbers) for one in self.raw["added_tokens"] if one["content"] in numbers)
        parts = {"added_tokens": [*kept, *new], "model": {**self.raw["model"], **model}, "post_processor": processor}
        _write(folder / FILE, {**self.raw, **parts})
        for name, table in self.beside.items():
            _write(folder / name, _beside(table, numbers, new))
        _require_meant(folder, {**numbers, **{one["content"]: one["id"] for one in new}})


def change(source: Path, folder: Path, wanted: Change) -> None:
    """Write a changed tokenizer, with the files that lie beside it and the record of what was done.

    Raises:
        InputError: if a token to drop is not there or cannot be spared, or one to add is there already.
    """
    given = Opened.at(source)
    before, numbers = given.tokenizer, given.numbers
    _require_spared(wanted.drop, numbers, dict(_needed(given)))
    kept = sorted((number, token) for token, number in numbers.items() if token not in set(wanted.drop))
    renumbered = {token: i for i, (_, token) in enumerate(kept)}
    pieces = before.documents(wanted.add) if wanted.add else []
    _require_new(wanted.add, pieces, renumbered)
    new = [entry(len(renumbered) + i, text, wanted.special) for i, text in enumerate(wanted.add)]
    vocabulary = {token: renumbered[token] for token in given.raw["model"]["vocab"] if token in renumbered}
    merges = _merges(given, wanted.drop)
    record = Changed(
        before.vocabulary,
        tuple(sorted(numbers[token] for token in wanted.drop)),
        tuple(Added(text, tuple(tokens)) for text, tokens in zip(wanted.add, pieces, strict=True)),
    )
    given.write(folder, {"vocab": vocabulary, "merges": merges}, renumbered, new)
    _write(folder / RECORD, asdict(record))


def _needed(given: Opened) -> Iterator[tuple[str, str]]:
    """The tokens that cannot be spared, each with the reason."""
    yield from (
        (letter, "it is one of the 256 bytes, without which texts would lose letters") for letter in LETTERS.values()
    )
    names = {number: token for token, number in given.numbers.items()}
    yield names[given.tokenizer.end_of_text], "it ends a text"
    yield from ((names[token], "it begins a text") for token in given.tokenizer.start)
    for file, table in given.beside.items():
        for key, value in table.items():
            token = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(token, str):
                yield token, f"it is the `{key}` of `{file}`"
    chat = (given.source / TEMPLATE).read_text("utf-8") if (given.source / TEMPLATE).is_file() else ""
    chat += str(given.beside.get(CONFIG, {}).get("chat_template") or "")
    yield from (
        (token, "the chat template writes it") for token in given.numbers if token.startswith("<") and token in chat
    )


def _require_spared(drop: Sequence[str], numbers: Mapping[str, int], needed: Mapping[str, str]) -> None:
    for token in drop:
        if token not in numbers:
            hint = suggestion(token, numbers, "tokens are spelled as in `tokenizer.json`, such as")
            raise InputError(f"there is no token {shown(token)} to drop", where="vocabulary.drop", hint=hint)
        if token in needed:
            raise InputError(
                f"the token {shown(token)} cannot be dropped",
                where="vocabulary.drop",
                why=needed[token],
                hint="leave it out",
            )


def _require_new(add: Sequence[str], pieces: Sequence[Sequence[int]], known: Mapping[str, int]) -> None:
    for i, text in enumerate(add):
        if text in known or text in add[:i] or len(pieces[i]) < 2:
            raise InputError(
                f"{shown(text)} cannot become a token",
                where="vocabulary.add",
                why="it is one already" if text else "it is empty",
                hint="leave it out",
            )


def _merges(given: Opened, drop: Iterable[str]) -> list[Any]:
    """The merges without those of tokens that are no more, of which every other token has to be made still."""
    pairs, gone = given.merges, set(drop)
    kept = [
        merge
        for merge, pair in zip(given.raw["model"]["merges"], pairs, strict=True)
        if not gone & {*pair, "".join(pair)}
    ]
    still = {"".join(pair) for pair in pairs if not gone & {*pair, "".join(pair)}}
    lost = dict.fromkeys(token for token in map("".join, pairs) if token not in still and token not in gone)
    if lost:
        named = some(map(shown, lost))
        raise InputError(
            f"{named} would never be made again",
            where="vocabulary.drop",
            why="they are made of tokens that are dropped",
            hint="drop them too, or leave their parts",
        )
    return kept


def entry(number: int, text: str, special: bool) -> dict[str, Any]:
    """A token that is added, as ``tokenizer.json`` lists them."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": text, **plain, "special": special}


def _renumbered(entry: Mapping[str, Any], renumbered: Mapping[str, int]) -> dict[str, Any]:
    return {**entry, "id": renumbered[entry["content"]]}


def _processor(part: Any, renumbered: Mapping[str, int]) -> Any:
    """A post-processor with the new numbers of the tokens that it names."""
    if isinstance(part, list):
        return [_processor(one, renumbered) for one in part]
    if not isinstance(part, dict):
        return part
    found = {key: _processor(value, renumbered) for key, value in part.items()}
    if isinstance(part.get("tokens"), list) and isinstance(part.get("ids"), list):
        found["ids"] = [renumbered[token] for token in part["tokens"]]
    for key in ("sep", "cls"):
        if key in part:
            found[key] = [part[key][0], renumbered[part[key][0]]]
    return found


def _beside(
    table: Mapping[str, Any], renumbered: Mapping[str, int], new: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The settings beside a tokenizer, with the new numbers."""
    found = dict(table)
    if isinstance(known := found.get("added_tokens_decoder"), dict):
        entries = [{**one, "id": renumbered[one["content"]]} for one in known.values() if one["content"] in renumbered]
        found["added_tokens_decoder"] = {
            str(one["id"]): {key: value for key, value in one.items() if key != "id"} for one in (*entries, *new)
        }
    for key in _LISTS:
        if isinstance(listing := found.get(key), list):
            found[key] = [one for one in listing if (one["content"] if isinstance(one, dict) else one) in renumbered]
    return found


def _require_meant(folder: Path, numbers: Mapping[str, int]) -> None:
    """What others will read has the numbers that are meant: the library gives some of its own accord."""
    written = Tokenizer.open(folder)
    if wrong := [token for token, number in numbers.items() if written.id(token) != number]:
        raise InputError(
            f"the tokenizer would call {shown(wrong[0])} {written.id(wrong[0])}, and not {numbers[wrong[0]]}",
            where=FILE,
            why="its tokens are numbered in a way that is not known here",
            hint="take a base whose tokens are counted from 0, those that were added behind the others",
        )


def _table(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text("utf-8"))
    return found if isinstance(found, dict) else {}


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8", newline="\n")
