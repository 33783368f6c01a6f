"""Evaluation: validation loss in bits per byte beside a unigram model, and what the model writes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from regrow.corpus import evaluation
from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.sections import LARGEST
from regrow.stages.asking import Asking
from regrow.stages.costs import BYTES_PER_TOKEN, WRITING, all_of, asking
from regrow.stages.validation import nats, predicted, spread
from regrow.words import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    validation_tokens: int = Field(
        default=10_000_000,
        description="Held-out tokens to measure the model on, at most: if there are more, whole sequences evenly "
        "spread over them, and the release says of how many.",
        examples=[100_000_000],
        ge=1,
        le=LARGEST,
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
    decoder, text = Decoder(config), _HeldOut.of(shards, config.context, call.parameters.validation_tokens)
    left_out = _too_long(text, call)
    if not text.count:
        raise StageError(
            "there is no text to measure the model on",
            why=f"`split` has held out only conversations longer than the model's {config.context} tokens",
            hint="let `corpus.validation` be more, or use shorter conversations",
        )
    summed, tokens = _validation(decoder, placed(parameters), text, call)
    seen = counts(text.tokens(), shards.vocabulary)
    measured = _bytes(seen, call) if text.cut else shards.validation_bytes - left_out
    result = {
        "validation": {
            "bytes": measured,
            "tokens": tokens,
            "loss": summed / tokens,
            "bits_per_byte": summed / LN2 / measured,
            **({"sequences": {"measured": len(text.rows), "held_out": text.whole}} if text.cut else {}),
        },
        "unigram": {"bits_per_byte": unigram_bits(shards, seen) / measured},
    }
    evaluation.write(call.output, result, _samples(decoder, parameters, shards.end_of_text, call))


@dataclass(frozen=True)
class _HeldOut:
    """The held-out text that a model is measured on.

    Attributes:
        shards: the tokens.
        context: of the model.
        rows: the sequences, by their numbers.
        whole: how many sequences there are.
    """

    shards: TokenShards
    context: int
    rows: Sequence[int]
    whole: int

    @staticmethod
    def of(shards: TokenShards, context: int, most: int) -> _HeldOut:
        """All sequences, or as many as have at most so many tokens."""
        whole = shards.windows("validation", context)
        return _HeldOut(shards, context, spread(whole, max(1, most // context)), whole)

    @property
    def cut(self) -> bool:
        """Whether some of it is not looked at."""
        return len(self.rows) < self.whole

    @property
    def rest(self) -> tuple[int, int]:
        """Tokens behind the last whole sequence, with the one before that they are predicted from."""
        end = self.shards.tokens("validation")
        return (end, end) if self.cut or self.shards.is_packed("validation") else (self.whole * self.context, end)

    @property
    def count(self) -> int:
        """Of sequences, one that is not whole included."""
        start, end = self.rest
        return len(self.rows) + (end - start > 1)

    def tokens(self) -> Iterator[NDArray[np.integer]]:
        """The tokens that are predicted, some at a time."""
        yield from predicted(self.shards, self.rows, self.context)
        yield self.shards.read("validation", *self.rest)[1:]


def _too_long(text: _HeldOut, call: Call[EvaluateParameters]) -> int:
    """UTF-8 bytes of what would be learnt in held-out conversations that the model has no room for; told, if any."""
    from regrow.corpus.tokenizer import Tokenizer

    if text.cut:
        told = f"{len(text.rows):,} of {text.whole:,} held-out sequences measured: `evaluate.validation_tokens`"
        call.context.emit("tally", text=told, left_out=True)
    shards = text.shards
    if not shards.is_packed("validation"):
        return 0
    found = shards.packing("validation", text.context).left_out.tolist()
    if not found:
        return 0
    what = counted(len(found), "held-out conversation")
    told = f"{what} not measured: longer than the model's {text.context:,} tokens"
    call.context.emit("tally", text=told, left_out=True)
    tokenizer = Tokenizer.open(call.input("tokenizer"))
    learnt = (shards.learnt_of("validation", document) for document in found)
    return sum(len(tokenizer.decode(tokens.tolist()).encode()) for tokens in learnt)


def _validation(
    decoder: Decoder, parameters: dict[str, Any], text: _HeldOut, call: Call[EvaluateParameters]
) -> tuple[float, int]:
    """The summed loss in nats over the tokens that are predicted, and their number."""
    import torch

    def told(done: int) -> None:
        call.context.emit("progress", done=done, total=len(text.rows), unit="sequences")

    summed, count = nats(decoder, parameters, text.shards, text.rows, text.context, told)
    rest = torch.from_numpy(text.shards.read("validation", *text.rest).astype("int64"))
    if len(rest) > 1:
        with torch.no_grad():
            summed += float(decoder(parameters, rest[None])) * (len(rest) - 1)
    return summed, count + max(0, len(rest) - 1)


def counts(rows: Iterable[NDArray[np.integer]], vocabulary: int) -> NDArray[np.int64]:
    """How often each token occurs."""
    import numpy as np

    found = np.zeros(vocabulary, np.int64)
    for tokens in rows:
        found += np.bincount(tokens, minlength=vocabulary)
    return found


def _bytes(seen: NDArray[np.int64], call: Call[EvaluateParameters]) -> int:
    """The UTF-8 bytes that tokens say, of which special ones say none."""
    from regrow.corpus.tokenizer import Tokenizer

    tokenizer = Tokenizer.open(call.input("tokenizer"))
    sizes = [*map(len, tokenizer.bytes)]
    for token in tokenizer.special.values():
        sizes[token] = 0
    return sum(size * int(count) for size, count in zip(sizes, seen, strict=True))


def unigram_bits(shards: TokenShards, seen: NDArray[np.int64]) -> float:
    """Bits for tokens that occur so often, under the training frequencies, each count plus one.

    Of conversations only what is learnt counts, in both.
    """
    import numpy as np

    from regrow.exact.polynomials import log64

    trained = counts(shards.spoken("train"), shards.vocabulary).astype(np.float64) + 1.0
    costs: np.ndarray = log64(np.array([trained.sum()])) - log64(trained)
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
    held_out = min(tokens.text * tokens.validation / BYTES_PER_TOKEN, parameters.validation_tokens)
    sequences = held_out / max(1, weights.context)
    flops = weights.sequence_flops * sequences
    written = len(parameters.prompts) * parameters.sample_tokens
    seconds = flops / _FLOPS_PER_SECOND + WRITING * written
    return Cost(flops=flops, seconds=seconds, memory_bytes=asking(inputs))


KIND = Kind(
    name="evaluate",
    version=3,
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
