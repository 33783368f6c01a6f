"""Evaluation: validation loss in bits per byte beside a unigram model, and what the model writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from regrow.corpus import evaluation
from regrow.corpus.split import PARTS
from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.sections import LARGEST
from regrow.stages.asking import Asking
from regrow.stages.costs import BYTES_PER_TOKEN, WRITING, all_of
from regrow.stages.validation import nats
from regrow.words import counted

if TYPE_CHECKING:
    import numpy as np

    from regrow.corpus.tokens import TokenShards
    from regrow.model.decoder import Decoder

_FLOPS_PER_SECOND = 1.3e11  # of measuring the three million parameters of an example on two cores
LN2 = float.fromhex("0x1.62e42fefa39efp-1")  # not math.log(2.0), which is the platform's


class EvaluateParameters(Asking):
    """What to ask of the finished model."""

    sample_tokens: int = Field(
        default=80, description="Tokens to write for each prompt.", examples=[80], ge=1, le=2**24
    )
    temperature: float = Field(
        default=0.8, description="Divides the logits; 0 takes the likeliest token.", examples=[0.0], ge=0, le=100
    )
    seed: int = Field(
        default=1, description="Of the random numbers that choose tokens.", examples=[42], ge=0, le=LARGEST
    )


def run(call: Call[EvaluateParameters]) -> None:
    """Measure the model on the validation documents and let it continue the prompts."""
    from regrow.corpus.tokens import TokenShards
    from regrow.exact.selection import placed
    from regrow.model.decoder import Decoder
    from regrow.model.weights import load

    shards = TokenShards.open(call.input("tokens"))
    if not shards.validation_bytes:
        raise StageError(
            "there is no text to measure the model on",
            why="`split` has held out no document that says anything",
            hint="let `corpus.validation` be more than 0",
        )
    config, parameters = load(call.input("weights"))
    measured = shards.validation_bytes - _too_long(shards, config.context, call)
    if not measured:
        raise StageError(
            "there is no text to measure the model on",
            why=f"`split` has held out only conversations longer than the model's {config.context} tokens",
            hint="let `corpus.validation` be more, or use shorter conversations",
        )
    decoder = Decoder(config)
    summed, tokens = _validation(decoder, placed(parameters), shards, call)
    bits = summed / LN2
    unigram = unigram_bits(shards)
    result = {
        "validation": {
            "bytes": measured,
            "tokens": tokens,
            "loss": summed / tokens,
            "bits_per_byte": bits / measured,
        },
        "unigram": {"bits_per_byte": unigram / measured},
    }
    evaluation.write(call.output, result, _samples(decoder, parameters, shards.end_of_text, call))


def _too_long(shards: TokenShards, context: int, call: Call[EvaluateParameters]) -> int:
    """UTF-8 bytes of what would be learnt in held-out conversations that the model has no room for; told, if any."""
    from regrow.corpus.tokenizer import Tokenizer

    if not shards.is_packed("validation") or not (found := shards.packing("validation", context).left_out):
        return 0
    what = counted(len(found), "held-out conversation")
    told = f"{what} not measured: longer than the model's {context:,} tokens"
    call.context.emit("tally", text=told, left_out=True)
    tokenizer = Tokenizer.open(call.input("tokenizer"))
    learnt = (shards.learnt_of("validation", document) for document in found)
    return sum(len(tokenizer.decode(tokens.tolist()).encode()) for tokens in learnt)


def _validation(
    decoder: Decoder, parameters: dict[str, Any], shards: TokenShards, call: Call[EvaluateParameters]
) -> tuple[float, int]:
    """The summed loss in nats over all validation tokens but the first, or all that are learnt, and their number."""
    import torch

    context = decoder.config.context
    whole = shards.windows("validation", context)

    def told(done: int) -> None:
        call.context.emit("progress", done=done, total=whole, unit="sequences")

    summed, count = nats(decoder, parameters, shards, range(whole), context, told)
    if shards.is_packed("validation"):
        return summed, count
    rest = torch.from_numpy(shards.read("validation")[whole * context :].astype("int64"))
    if len(rest) > 1:
        with torch.no_grad():
            summed += float(decoder(parameters, rest[None])) * (len(rest) - 1)
    return summed, count + max(0, len(rest) - 1)


def unigram_bits(shards: TokenShards) -> float:
    """Bits for the validation tokens but the first under the training frequencies, each count plus one.

    Of conversations only what is learnt counts, in both.
    """
    import numpy as np

    from regrow.exact.polynomials import log64

    trained, held_out = (shards.read(part)[shards.learnt(part)] for part in PARTS)
    counts = np.bincount(trained, minlength=shards.vocabulary).astype(np.float64) + 1.0
    costs: np.ndarray = log64(np.array([counts.sum()])) - log64(counts)
    first = 0 if shards.is_packed("validation") else 1
    seen = np.bincount(held_out[first:], minlength=shards.vocabulary)
    return math.fsum(float(n) * float(cost) for n, cost in zip(seen, costs, strict=True)) / LN2


def _samples(
    decoder: Decoder, parameters: dict[str, Any], stop: int, call: Call[EvaluateParameters]
) -> list[dict[str, Any]]:
    from regrow.corpus.chat import ChatTemplate, opening
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.model.sampling import Sampling, generate
    from regrow.model.weights import ends

    settings, folder = call.parameters, call.input("tokenizer")
    tokenizer, template = Tokenizer.open(folder), None if settings.continues else ChatTemplate.open(folder)
    stops = {stop, *ends(call.input("weights"), stop).stops}
    sampling = Sampling(temperature=settings.temperature, seed=settings.seed)
    samples = []
    for prompt in settings.prompts:
        ids = opening(tokenizer, template, prompt)
        found = list(generate(decoder, parameters, ids, settings.sample_tokens, sampling, stops))
        said = {"prompt": prompt, "text": tokenizer.decode(found), "tokens": len(found)}
        samples.append(said if template is None else {**said, "answers": True})
        call.context.emit("progress", done=len(samples), total=len(settings.prompts), unit="samples")
    return samples


def cost(parameters: EvaluateParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: one pass over the validation texts, and what is written."""
    weights, tokens = all_of(inputs, "weights"), all_of(inputs, "tokens")
    sequences = tokens.text * tokens.validation / BYTES_PER_TOKEN / max(1, weights.context)
    flops = weights.sequence_flops * sequences
    written = len(parameters.prompts) * parameters.sample_tokens
    return Cost(flops=flops, seconds=flops / _FLOPS_PER_SECOND + WRITING * written)


KIND = Kind(
    name="evaluate",
    version=2,
    parameters=EvaluateParameters,
    inputs={
        "weights": Slot("weights"),
        "tokens": Slot("tokens"),
        "tokenizer": Slot("tokenizer"),
    },
    output="evaluation",
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="measure the model on held-out documents and let it write",
    table=Table("evaluate", about="What to ask of the finished model."),
    usual=True,
    cost=cost,
    released=(Released(evaluation.MEASURED), Released(evaluation.SAMPLES)),
)
