"""The rows of a model for a tokenizer that was changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Slot, Table
from regrow.sections import Parameters
from regrow.stages.costs import all_of, rewriting
from regrow.stages.weights import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.corpus.vocabulary import Changed


class VocabularyParameters(Parameters):
    """Other tokens than those of the base: of its tokenizer and of its weights."""

    multiple: int = Field(
        default=0,
        description="The rows are made a multiple of this, at least one for each token: rows that no token has are the "
        "mean of all, or are cut off.",
        examples=[64],
        ge=0,
        le=2**20,
        json_schema_extra={"fallback": "rows that no token had before stay"},
    )


def run(call: Call[VocabularyParameters]) -> None:
    """Keep the rows of the tokens that are still there, and make those of the new ones."""
    from dataclasses import replace

    from regrow.corpus.answers import ending
    from regrow.corpus.vocabulary import Changed
    from regrow.model.weights import ends, load, save

    folder, changed = call.input("weights"), Changed.open(call.input("tokenizer"))
    config, parameters = load(folder)
    if config.vocabulary < changed.before:
        raise StageError(
            f"the model knows {config.vocabulary:,} tokens, and the tokenizer had {changed.before:,}",
            where=call.name,
            why="the two were not made for each other",
        )
    rows = _rows(config.vocabulary, changed, call.parameters.multiple)
    for name in [name for name in ("embed", "head") if name in parameters]:
        parameters[name] = _changed(parameters[name], changed, rows)
    numbers = {old: new for new, old in enumerate(changed.kept)}
    before = ends(folder)
    if lost := [token for token in (before.begin, before.end) if token in changed.dropped]:
        raise StageError(
            f"the token {lost[0]} is dropped, which begins or ends a text",
            where=call.name,
            hint="leave it out of `vocabulary.drop`",
        )
    others = tuple(numbers.get(token, token) for token in before.others if token not in changed.dropped)
    kept = replace(
        before,
        begin=numbers.get(before.begin, before.begin),
        end=numbers.get(before.end, before.end),
        others=others,
        pad=None if before.pad is None or before.pad in changed.dropped else numbers.get(before.pad, before.pad),
    )
    save(call.output, replace(config, vocabulary=rows), parameters, kept.also(ending(call.input("tokenizer"))))


def _rows(before: int, changed: Changed, multiple: int) -> int:
    """How many rows there will be."""
    tokens = changed.before - len(changed.dropped) + len(changed.added)
    if multiple:
        return -(-tokens // multiple) * multiple
    return max(tokens, before - len(changed.dropped))


def _changed(table: Tensor, changed: Changed, rows: int) -> Tensor:
    """Rows of tokens that are still there, of new ones, and then those that no token has."""
    import numpy as np
    import torch

    old = table.numpy()
    new = [_mean(old[list(one.pieces)]) for one in changed.added]
    made = [old[changed.kept], *(row[None] for row in new)]
    spare = rows - sum(map(len, made))
    made.append(old[changed.before + len(changed.added) :][:spare])  # new tokens took the places of the first of them
    if more := spare - len(made[-1]):
        made.append(np.repeat(_mean(old[: changed.before])[None], more, axis=0))
    return torch.from_numpy(np.concatenate(made))


def _mean(rows: Any) -> Any:
    """The mean of float32 rows, added one by one in float64, so that everybody gets the same."""
    import numpy as np

    total = np.zeros(rows.shape[1])
    for row in rows:
        total += row
    return (total / len(rows)).astype(np.float32)


def cost(parameters: VocabularyParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Reading and writing."""
    given = all_of(inputs, "weights")
    return rewriting(given, given)


KIND = Kind(
    name="vocabulary",
    version=2,
    parameters=VocabularyParameters,
    inputs={"weights": Slot("weights"), "tokenizer": Slot("tokenizer")},
    output="weights",
    run=run,
    summary="give the model rows for a changed tokenizer",
    table=Table("vocabulary"),
    after=("import-weights",),
    cost=cost,
    released=WEIGHTS,
    origin="edited",
)
