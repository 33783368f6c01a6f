"""Fine-tuning: all parameters of a model, or those that some patterns name, trained further on text."""

from __future__ import annotations

from pydantic import Field

from regrow.recipe.kind import Call, Kind, Table
from regrow.recipe.values import Texts
from regrow.stages.training import RECORDS
from regrow.stages.tuning import SLOTS, Tuning, cost, done, run_of
from regrow.stages.weights import WEIGHTS


class FinetuneParameters(Tuning):
    """Training a model further on text."""

    parameters: Texts = Field(
        default=("*",),
        description="What is trained, by the beginnings of our names: `layers.20-29` for some layers, `*.attention` "
        "for a part of each, `*` for everything. A head that is the embedding is trained with it.",
        examples=[["layers.20-29", "norm"]],
        min_length=1,
    )


def run(call: Call[FinetuneParameters]) -> None:
    """Train from the parameters of the model on the tokens, in the order that the seed and the epoch fix."""
    from regrow.model.patterns import chosen
    from regrow.stages.training import train
    from regrow.train.tasks.finetuning import Finetuning

    run = run_of(call)
    names = chosen(call.parameters.parameters, tuple(run.config.shapes()))
    train(call, Finetuning(run.config, call.parameters.context, names, call.input("weights")), run)


KIND = Kind(
    name="finetune",
    version=4,
    parameters=FinetuneParameters,
    inputs=SLOTS,
    output="weights",
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="train a model further",
    table=Table("finetune", about="Training a model further on text: all of it, or chosen parameters."),
    cost=cost,
    done=done,
    released=(*WEIGHTS, *RECORDS),
    origin="fine-tuned",
    after=("vocabulary",),  # whose tokenizer makes the tokens
)
