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


def change(source: Path, folder: Path, wanted: Change) -> None:
    """Write a changed tokenizer, with the files that lie beside it and the record of what was done.

    Raises:
        InputError: if a token to drop is not there or cannot be spared, or one to add is there already.
    """
    before = Tokenizer.open(source)
    raw = json.loads((source / FILE).read_text("utf-8"))
    beside = {name: _table(source / name) for name in (CONFIG, SPECIAL) if (source / name).is_file()}
    if (source / TEMPLATE).is_file():
        shutil.copyfile(source / TEMPLATE, folder / TEMPLATE)
    numbers = {**raw["model"]["vocab"], **{one["content"]: one["id"] for one in raw["added_tokens"]}}
    _require_spared(wanted.drop, numbers, dict(_needed(before, numbers, beside, source)))
    kept = sorted((number, token) for token, number in numbers.items() if token not in set(wanted.drop))
    renumbered = {token: i for i, (_, token) in enumerate(kept)}
    pieces = before.documents(wanted.add) if wanted.add else []
    _require_new(wanted.add, pieces, renumbered)
    merges = _merges(raw["model"]["merges"], wanted.drop, numbers)
    added = [*(_renumbered(one, renumbered) for one in raw["added_tokens"] if one["content"] in renumbered)]
    new = [_entry(len(renumbered) + i, text, wanted.special) for i, text in enumerate(wanted.add)]
    vocabulary = {token: renumbered[token] for token in raw["model"]["vocab"] if token in renumbered}
    raw |= {
        "added_tokens": [*added, *new],
        "model": {**raw["model"], "vocab": vocabulary, "merges": merges},
        "post_processor": _processor(raw.get("post_processor"), renumbered),
    }
    names = {number: token for token, number in numbers.items()}
    if raw["post_processor"] is None and before.start:
        raw["post_processor"] = template(names[before.start[0]], renumbered[names[before.start[0]]])
    _write(folder / FILE, raw)
    for name, table in beside.items():
        _write(folder / name, _beside(table, renumbered, new))
    record = Changed(
        before.vocabulary,
        tuple(sorted(numbers[token] for token in wanted.drop)),
        tuple(Added(text, tuple(tokens)) for text, tokens in zip(wanted.add, pieces, strict=True)),
    )
    _write(folder / RECORD, asdict(record))
    _require_meant(folder, {**renumbered, **{one["content"]: one["id"] for one in new}})


def _needed(
    tokenizer: Tokenizer, numbers: Mapping[str, int], beside: Mapping[str, Any], source: Path
) -> Iterator[tuple[str, str]]:
    """The tokens that cannot be spared, each with the reason."""
    yield from (
        (letter, "it is one of the 256 bytes, without which texts would lose letters") for letter in LETTERS.values()
    )
    names = {number: token for token, number in numbers.items()}
    yield names[tokenizer.end_of_text], "it ends a text"
    yield from ((names[token], "it begins a text") for token in tokenizer.start)
    for file, table in beside.items():
        for key, value in table.items():
            token = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(token, str):
                yield token, f"it is the `{key}` of `{file}`"
    chat = (source / TEMPLATE).read_text("utf-8") if (source / TEMPLATE).is_file() else ""
    chat += str(beside.get(CONFIG, {}).get("chat_template") or "")
    yield from ((token, "the chat template writes it") for token in numbers if token.startswith("<") and token in chat)


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


def _merges(merges: Sequence[Any], drop: Iterable[str], numbers: Mapping[str, int]) -> list[Any]:
    """The merges without those of tokens that are no more, of which every other token has to be made still."""
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    gone = set(drop)
    kept = [merge for merge, pair in zip(merges, pairs, strict=True) if not gone & {*pair, "".join(pair)}]
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


def _entry(number: int, text: str, special: bool) -> dict[str, Any]:
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
