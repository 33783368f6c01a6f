"""What stages have in common that take other models beside the weights: which they are, and whose tokens they know."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError, StageError
from regrow.recipe.kind import Call
from regrow.words import shown


def named(call: Call[Any], slot: str, names: Sequence[str]) -> dict[str, Path]:
    """The models in a slot by the names that the recipe has for them.

    Raises:
        StageError: if they are not as many as names.
    """
    folders = call.inputs.get(slot, ())
    if len(folders) != len(names):
        raise StageError(
            f"{len(names)} models are named, and {len(folders)} are given",
            where=call.name,
            why=f"the slot `{slot}` takes one for each name, in their order",
            hint=f"name as many models as feed `{slot}`",
        )
    return dict(zip(names, folders, strict=True))


def require_same_tokens(ours: Path, theirs: Path, name: str, or_else: str = "") -> None:
    """Refuse a model that calls tokens by other numbers: what it says of number 17 is about something else.

    Args:
        ours: the folder of the tokenizer of the weights.
        theirs: that of the other model.
        name: what the recipe calls the other one.
        or_else: what else to do than to take another model.

    Raises:
        InputError: naming the first token that differs.
    """
    pairs = zip_longest(*(Tokenizer.open(folder).tokens() for folder in (ours, theirs)))
    for number, (mine, other) in enumerate(pairs):
        if mine != other:
            said = [shown(one) if one is not None else "no token" for one in (mine, other)]
            raise InputError(
                f"the model `{name}` has another tokenizer: token {number:,} is {said[1]} there, and here {said[0]}",
                why="numbers of tokens stand for different texts in the two",
                hint=f"take a model with the same tokenizer{or_else}",
            )
