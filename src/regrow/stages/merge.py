"""Merging: the weights of several models of one shape made into those of one, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from regrow.errors import InputError
from regrow.recipe.kind import MODEL, PROGRAM, Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.recipe.values import Name
from regrow.sections import LARGEST, Parameters, fault
from regrow.stages.costs import all_of
from regrow.stages.models import named, require_same_tokens
from regrow.stages.weights import WEIGHTS
from regrow.words import shown

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.model.config import DecoderConfig
    from regrow.model.merging import Merge
    from regrow.model.token_rows import Rows

_ROWS = "vocabulary.jsonl"
_WITHOUT_MEANING = ("context", "vocabulary")
_MATTERS: Mapping[str, tuple[str, ...]] = {
    "t": ("slerp",),
    "weight": ("linear",),
    "weights": ("linear", "task-arithmetic", "ties", "dare-linear", "dare-ties"),
    "normalise": ("linear", "task-arithmetic", "ties", "dare-linear", "dare-ties"),
    "density": ("ties", "dare-linear", "dare-ties"),
    "scale": ("task-arithmetic", "ties", "dare-linear", "dare-ties"),
    "seed": ("dare-linear", "dare-ties"),
}
"""Which methods ask for a parameter."""
_NORMALISED = ("linear", "ties")
"""Methods whose weights are divided by their sum, unless it is said otherwise."""


class Merging(Parameters):
    """Which models are merged, and what becomes of tokens that not all of them have."""

    models: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="The `[[parent]]`s to merge with the weights so far, in their order.", examples=[["poems", "plays"]]
    )
    vocabulary: Literal["same", "base", "union"] = Field(
        default="same",
        description="`same`: models with other tokens are refused. `base`: the tokens stay those of the weights so "
        "far; a model's rows are found by the text of the token, and where it has none the row so far stands for it. "
        "`union`: the tokens of the others come behind them; where the weights so far have no row, that of the only "
        "model which has one stands for it, or the mean of theirs.",
        examples=["union"],
    )


class MergeParameters(Merging):
    """Models of one shape, made into one."""

    method: Literal["linear", "slerp", "task-arithmetic", "ties", "dare-linear", "dare-ties"] = Field(
        description="`linear`: a mean. `slerp`: between two, along the arc. The others add to the weights so far what "
        "is different in each model: all of it, TIES its largest changes where most agree on the sign, DARE changes of "
        "chance.",
        examples=["ties"],
    )
    weights: tuple[float, ...] = Field(
        default=(), description="One for each of `models`; 1 each.", examples=[[0.5, 0.3]]
    )
    weight: float = Field(default=1.0, description="Of the weights so far, for `linear`.", examples=[0.2])
    normalise: Literal["usual", "yes", "no"] = Field(
        default="usual",
        description="Whether to divide by the sum of the weights, for TIES of those that agree on an entry; usual for "
        "`linear` and `ties`.",
        examples=["no"],
    )
    density: float = Field(
        default=1.0, description="The share of each model's changes that is kept.", examples=[0.5], gt=0, le=1
    )
    scale: float = Field(default=1.0, alias="lambda", description="What all changes are multiplied by.", examples=[0.7])
    t: float = Field(
        default=0.5,
        description="How far from the weights so far to the model, for `slerp`.",
        examples=[0.3],
        ge=0,
        le=1,
    )
    seed: int = Field(default=1, description="Of what DARE keeps.", examples=[7], ge=0, le=LARGEST)

    @model_validator(mode="after")
    def _fits_its_method(self) -> Self:
        usual = {name: info.default for name, info in type(self).model_fields.items()}
        for name, methods in _MATTERS.items():
            if getattr(self, name) != usual[name] and self.method not in methods:
                raise fault(
                    f"`{self.method}` has no use for it",
                    hint=f"leave it out, or choose {' or '.join(methods)}",
                    at=(name,),
                )
        if self.method == "slerp" and len(self.models) > 1:
            raise fault("`slerp` goes from the weights so far to one model", hint="name a single one", at=("models",))
        if len(set(self.models)) < len(self.models):
            raise fault("a model is named twice", hint="give it a larger weight", at=("models",))
        if self.weights and len(self.weights) != len(self.models):
            raise fault(
                f"there are {len(self.models)} models and {len(self.weights)} weights",
                hint="write one weight for each model",
                at=("weights",),
            )
        if self.method == "linear" and self.normalises and not sum(self.all_weights):
            raise fault("the weights add up to 0", hint='change one, or write `normalise = "no"`', at=("weights",))
        return self

    @property
    def all_weights(self) -> tuple[float, ...]:
        """Of the models, and for ``linear`` first that of the weights so far."""
        own = self.weights or (1.0,) * len(self.models)
        return (self.weight, *own) if self.method == "linear" else own

    @property
    def normalises(self) -> bool:
        """Whether weights are divided by their sum."""
        return self.normalise == "yes" or (self.normalise == "usual" and self.method in _NORMALISED)


def run(call: Call[MergeParameters]) -> None:
    """Merge tensor by tensor, as they are in the files of the family."""
    from regrow.model import weights
    from regrow.model.merging import Merge

    said, source = call.parameters, call.input("weights")
    folders = named(call, "models", said.models)
    rows = _rows_of(call, folders)
    config, base = weights.load(source)
    given = {name: weights.load_config(folder) for name, folder in folders.items()}
    for name in folders:
        _require_alike(config, given[name], name, said.vocabulary == "same")
    others = {name: weights.load(folder)[1] for name, folder in folders.items()}
    ends = weights.ends(source)
    if rows and said.vocabulary == "union":
        config = replace(config, vocabulary=max(config.vocabulary, rows.tokens))
        base = rows.grown(base, others)
        ends = rows.ends(ends, {name: weights.ends(folder) for name, folder in folders.items()})
    models = {"": weights.to_hugging_face(config, base)}
    for name, parameters in others.items():
        models[name] = weights.to_hugging_face(config, rows.mapped(parameters, base, name) if rows else parameters)
    merge = Merge(said.method, said.all_weights, said.normalises, said.density, said.scale, said.t, said.seed)
    merged = dict[str, Any]()
    for done, tensor in enumerate(models[""]):
        merged[tensor] = _merged(merge, tensor, models)
        call.context.emit("progress", done=done + 1, total=len(models[""]), unit="tensors")
        if call.context.stopping():
            call.context.stop()
    weights.save(call.output, config, weights.from_hugging_face(config, merged), ends)
    if rows:
        (call.output / _ROWS).write_text("".join(rows.records()), encoding="utf-8")


def _merged(merge: Merge, tensor: str, models: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
    import torch

    found = merge(tensor, [(name, tensors[tensor].contiguous().numpy()) for name, tensors in models.items()])
    return torch.from_numpy(found)


def _rows_of(call: Call[MergeParameters], folders: Mapping[str, Path]) -> Rows | None:
    """Which rows of the models are one token's; None where they have the same tokens.

    Raises:
        InputError: if a model has none of ours, or others although they are to be the same.
    """
    from regrow.corpus import union
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.model.token_rows import Rows

    ours, said = call.input("tokenizer"), call.parameters
    if said.vocabulary == "same":
        for name, folder in folders.items():
            require_same_tokens(ours, folder, name, ', or write `vocabulary = "union"` or `"base"`')
        return None
    tokens = Tokenizer.open(ours).tokens()
    own = union.before(ours) if said.vocabulary == "union" else len(tokens)
    found = Rows.of(tokens, own, {name: Tokenizer.open(folder).tokens() for name, folder in folders.items()})
    for name, table in found.others.items():
        if all(row is None for row in table[:own]):
            raise InputError(
                f"the model `{name}` has none of the tokens",
                why="its tokenizer is of quite another kind",
                hint="leave it out",
            )
    return found


def _require_alike(ours: DecoderConfig, theirs: DecoderConfig, name: str, rows: bool) -> None:
    """Refuse a model of another shape, and one in which numbers mean something else.

    Args:
        ours: the weights so far.
        theirs: the model.
        name: what the recipe calls it.
        rows: whether it has to have as many rows for tokens, too.
    """
    from regrow.model.token_rows import TABLES

    what = f"the model `{name}` cannot be merged"
    shapes, others = ours.shapes(), theirs.shapes()
    for tensor in {**shapes, **others}:
        free = tensor in TABLES and not rows
        mine, other = (one.get(tensor, ())[free:] for one in (shapes, others))
        if mine != other:
            raise InputError(
                f"{what}: its `{tensor}` is {_shape(other)}, and here it is {_shape(mine)}",
                why="entries are merged one by one",
                hint='write `vocabulary = "union"` or `"base"`'
                if tensor in TABLES and mine[1:] == other[1:]
                else "merge models of one shape",
            )
    for option in fields(ours):
        said = getattr(ours, option.name), getattr(theirs, option.name)
        if said[0] != said[1] and option.name not in _WITHOUT_MEANING:
            raise InputError(
                f"{what}: its `{option.name}` is {shown(said[1])}, and here it is {shown(said[0])}",
                why="numbers in one place do not mean the same in both",
                hint="merge models that were made from one",
            )


def _shape(shape: tuple[int, ...]) -> str:
    return " by ".join(map(str, shape)) or "not there"


def cost(parameters: MergeParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: every number of every model is read, and most are looked at a few times in float64."""
    given, others = all_of(inputs, "weights"), all_of(inputs, "models").size
    size = given.size + others
    return Cost(given, seconds=size / 4e7, memory_bytes=int(PROGRAM + 2 * size))


KIND = Kind(
    name="merge",
    version=1,
    parameters=MergeParameters,
    inputs={
        "weights": Slot("weights"),
        "tokenizer": Slot("tokenizer"),
        "models": Slot(MODEL, many=True, named="models"),
    },
    output="weights",
    run=run,
    exact=True,
    libraries=("tokenizers",),
    summary="merge the weights of several models",
    table=Table("merge", about="Other models merged into the weights so far, without training."),
    after=("vocabulary",),  # whose tokens it is given
    cost=cost,
    released=(*WEIGHTS, Released("vocabulary.*", "merge", always=True)),
    origin="merged",
)
