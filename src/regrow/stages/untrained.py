"""Look for tokens that the model has hardly ever read."""

from __future__ import annotations

from collections.abc import Mapping

from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot
from regrow.sections import Parameters
from regrow.stages.costs import all_of, asking

_LEAST = 2


class UntrainedParameters(Parameters):
    """There is nothing to choose."""


def run(call: Call[UntrainedParameters]) -> None:
    """Count the tokens of the training data, and look at the rows of those that are not in it."""
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.corpus.tokens import TokenShards
    from regrow.evidence.untrained import Table, counted, evidence
    from regrow.model.weights import load

    config, parameters = load(call.input("weights"))
    shards = TokenShards.open(call.input("tokens"))
    if shards.vocabulary > config.vocabulary:
        raise StageError(
            f"the data has {shards.vocabulary:,} tokens, and the model knows {config.vocabulary:,}",
            where=call.name,
            why="the two were not made for each other",
        )
    counts = counted(shards, config.vocabulary)
    unused = counts == 0
    names = {"embed": "the embedding", "head": "the head"}
    tables = [
        Table.of(name, said, parameters[name].float().numpy(), unused)
        for name, said in names.items()
        if name in parameters and unused.sum() >= _LEAST
    ]
    evidence(counts, tables, Tokenizer.open(call.input("tokenizer"))).write(call.output)


def _cost(parameters: UntrainedParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """That of reading the tokens and the weights once."""
    weights, tokens = all_of(inputs, "weights"), all_of(inputs, "tokens")
    seconds = tokens.size / 1e9 + weights.size / 1e8
    return Cost(Expected(), seconds=seconds, memory_bytes=asking(inputs))


KIND = Kind(
    name="untrained",
    version=1,
    parameters=UntrainedParameters,
    inputs={"weights": Slot("weights"), "tokenizer": Slot("tokenizer"), "tokens": Slot("tokens")},
    output="evidence",
    run=run,
    exact=True,
    libraries=("tokenizers",),
    summary="look for tokens that the model has hardly ever read",
    usual=True,
    cost=_cost,
    released=(Released("*", "evidence/{stage}", always=True),),
)
