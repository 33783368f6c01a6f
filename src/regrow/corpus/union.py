"""The tokens of several tokenizers in one: that of the first, and what the others have besides.

Tokens are found by their text. The first keeps its numbers, its cuts and its merges; behind them come the tokens that
it lacks, in the order of the others and of their numbers. Theirs that are made of letters are made here, too, by their
merges, which are tried after all of the first's; theirs that stand for a whole text, as special ones do, stay so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.corpus.tokenizer import FILE
from regrow.corpus.vocabulary import Opened
from regrow.errors import InputError
from regrow.words import shown

RECORD = "union.json"
"""How many tokens the first tokenizer had."""


def unite(source: Path, folder: Path, others: Mapping[str, Path]) -> None:
    """Write a tokenizer with the tokens of all, with the files that lie beside the first and :data:`RECORD`.

    Args:
        source: the folder of the first.
        folder: where to.
        others: what each is called, and its folder.

    Raises:
        InputError: if texts end differently for them.
    """
    given = Opened.at(source)
    more = {name: Opened.at(place) for name, place in others.items()}
    for name, other in more.items():
        _require_one_end(given, other, name)
    found = _found(given, more.values())
    known = {token: number for token, number in found.numbers.items() if token not in found.added}
    model = dict[str, Any]()
    if len(known) > len(given.numbers):  # behind tokens that were added, which readers now have to find in one table
        model = {"vocab": known, "merges": [*given.raw["model"]["merges"], *map(_like(given), found.merges)]}
    given.write(folder, model, known, list(found.added.values()))
    record = {"before": given.tokenizer.vocabulary}
    (folder / RECORD).write_text(json.dumps(record) + "\n", "utf-8", newline="\n")


def before(folder: Path) -> int:
    """How many tokens the first tokenizer had of which :func:`unite` made one.

    Raises:
        InputError: if it did not make this one.
    """
    try:
        return int(json.loads((folder / RECORD).read_text("utf-8"))["before"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        why = "it is none of several in one"
        raise InputError("the tokenizer has not the tokens of all", where=str(folder / FILE), why=why) from error


@dataclass
class _Found:
    """The tokens so far.

    Attributes:
        numbers: of all of them.
        added: the new ones that stand for a whole text, as entries of ``tokenizer.json``.
        merges: those that make the others.
    """

    numbers: dict[str, int]
    added: dict[str, dict[str, Any]]
    merges: list[tuple[str, ...]]


def _found(given: Opened, others: Iterable[Opened]) -> _Found:
    found = _Found(given.numbers, {}, [])
    for other in others:
        whole = {one["content"]: one for one in other.raw["added_tokens"]}
        new = [
            token for token, _ in sorted(other.numbers.items(), key=lambda one: one[1]) if token not in found.numbers
        ]
        for token in new:
            found.numbers[token] = len(found.numbers)
            if token in whole:
                found.added[token] = {**whole[token], "id": found.numbers[token]}
        made = {*new} - whole.keys()
        found.merges += [pair for pair in other.merges if "".join(pair) in made]
    return found


def _like(given: Opened) -> Any:
    """How the first's file writes a merge."""
    written = given.raw["model"]["merges"]
    return " ".join if written and isinstance(written[0], str) else list


def _require_one_end(given: Opened, other: Opened, name: str) -> None:
    ends = [shown(one.tokenizer.letters([[one.tokenizer.end_of_text]])[0]) for one in (given, other)]
    if ends[0] != ends[1]:
        raise InputError(
            f"the model `{name}` ends a text with {ends[1]}, and here it is {ends[0]}",
            why="what is made of both would have learnt two ends, and could miss the one",
            hint='take models that end texts alike, or leave theirs out with `vocabulary = "base"`',
        )
