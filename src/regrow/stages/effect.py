"""What a change did to a model, measured: to its function, its text, its weights and its size.

A stage of this kind stands beside every stage that takes and gives weights, whoever wrote its kind. All of it is
counted, or summed in a fixed order, so it is the same on every machine and part of the release.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from regrow.corpus.evaluation import EFFECT, EFFECTS
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.stages.asking import Asking
from regrow.stages.costs import all_of
from regrow.stages.evaluate import LN2
from regrow.stages.validation import spread

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from regrow.corpus.tokenizer import Tokenizer
    from regrow.model.config import DecoderConfig
    from regrow.model.decoder import Decoder

SCHEMA = "regrow/effect/1"

PROBES = (
    "The river had risen in the night, and by morning the lower meadows were a single sheet of grey water.",
    "def area(width, height):\n    return width * height\n",
    "In 1969 the two crews met, 384,400 km from home, and counted: 1, 2, 3, 5, 8, 13, 21.",
    "\u00bfD\u00f3nde est\u00e1 la biblioteca? Hinter dem Bahnhof, sagte sie, und lachte.",
    "Q: What is the opposite of cold?\nA: Hot.\n\nQ: What do bees make?\nA: Honey.\n",
    "<p>Boil the rice, drain it, and let it stand for ten minutes; then add salt, butter and lemon.</p>",
)
"""What both models read: their logits for it are compared."""

DEFAULT_PROMPT = "Once upon a time"

_ROWS, _ROW = 2, 128  # sequences and tokens; what stands at a place was read by its beginning alone
_WINDOWS, _WINDOW = 8, 128
_ANSWER = 40
_ROUNDING = 2.0**-10
"""Logits that differ by no more than this share of the largest say the same but for rounding: that of float32 leaves a
hundredth of it on real models."""

_FLOPS_PER_SECOND = 1e11


@dataclass(frozen=True)
class _Side:
    """A model, with the tokenizer that belongs to it."""

    folder: Path
    tokens: Path

    @cached_property
    def _loaded(self) -> tuple[DecoderConfig, dict[str, Tensor]]:
        from regrow.model.weights import load

        return load(self.folder)

    @property
    def config(self) -> DecoderConfig:
        return self._loaded[0]

    @property
    def parameters(self) -> dict[str, Tensor]:
        return self._loaded[1]

    @cached_property
    def decoder(self) -> Decoder:
        from regrow.model.decoder import Decoder

        return Decoder(self.config)

    @cached_property
    def placed(self) -> dict[str, Any]:
        from regrow.exact.selection import placed

        return placed(self.parameters)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from regrow.corpus.tokenizer import Tokenizer

        return Tokenizer.open(self.tokens)

    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))


def run(call: Call[Asking]) -> None:
    """Measure the model before and after, and write down what is different."""
    from regrow.model.comparison import compared

    before = _Side(call.input("before"), call.input("before_tokenizer"))
    after = _Side(call.input("after"), call.input("tokenizer"))
    shared = _shared(before, after)
    told = _Told(call, steps=4)
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "function": _function(before, after, shared),
        "context": {"before": before.config.context, "after": after.config.context},
    }
    told("compared logits")
    found["weights"] = {
        **compared(before.parameters, after.parameters),
        "bytes": {"before": before.bytes(), "after": after.bytes()},
    }
    told("compared weights")
    found["held_out"] = _held_out(before, after, call.inputs.get("tokens", ()))
    told("measured text")
    found["answer"] = _answers(before, after, call.parameters)
    told("asked")
    text = json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (call.output / EFFECT).write_text(text + "\n", encoding="utf-8")


class _Told:
    """Tells how far it is."""

    def __init__(self, call: Call[Asking], steps: int) -> None:
        self._call, self._steps, self._done = call, steps, 0

    def __call__(self, what: str) -> None:
        self._done += 1
        self._call.context.emit("progress", done=self._done, total=self._steps, unit="measurements")
        if self._call.context.stopping():
            self._call.context.stop()


def _shared(before: _Side, after: _Side) -> dict[int, int]:
    """The tokens that both models know, by their text: what each was called, and is now."""
    if before.tokens == after.tokens:
        rows = min(before.config.vocabulary, after.config.vocabulary)
        return {token: token for token in range(rows)}
    new = {text: token for token, text in enumerate(after.tokenizer.tokens())}
    return {token: new[text] for token, text in enumerate(before.tokenizer.tokens()) if text in new}


def _function(before: _Side, after: _Side, shared: Mapping[int, int]) -> dict[str, Any]:
    """How far the logits of tokens that both know are the same, for what both can read."""
    import numpy as np
    import torch

    ours, theirs = (np.array(list(one), np.int64) for one in (shared.keys(), shared.values()))
    largest = difference = 0.0
    rows = _probes(before.tokenizer, shared, min(before.config.context, after.config.context))
    exact = bool(rows)
    if rows:
        mapped = [[shared[token] for token in row] for row in rows]
        with torch.no_grad():
            old = before.decoder.logits(before.placed, torch.tensor(rows)).cpu().numpy()[..., ours]
            new = after.decoder.logits(after.placed, torch.tensor(mapped)).cpu().numpy()[..., theirs]
        exact = bool((old.view(np.int32) == new.view(np.int32)).all())
        difference = float(np.abs(old.astype(np.float64) - new).max(initial=0.0))
        largest = float(np.abs(old).max(initial=0.0))
    bound = largest * _ROUNDING
    rounding = bool(rows) and difference <= bound  # which a number that is none is not
    return {
        "kept": "exact" if exact else "rounding" if rounding else "no",
        "largest_difference": _number(difference),
        "largest_logit": _number(largest),
        "bound": _number(bound),
        "tokens": {"compared": len(shared), "before": before.config.vocabulary, "after": after.config.vocabulary},
        "probes": {
            "sha256": hashlib.sha256("\0".join(PROBES).encode()).hexdigest(),
            "rows": len(rows),
            "tokens": max(map(len, rows), default=0),
        },
    }


def _probes(tokenizer: Tokenizer, shared: Mapping[int, int], longest: int) -> list[list[int]]:
    """Rows of tokens that both know, of equal length."""
    stream = [token for row in tokenizer.documents(PROBES) for token in row if token in shared]
    size = min(_ROW, longest, len(stream))
    rows = [stream[start : start + size] for start in range(0, len(stream) - size + 1, max(1, size))] if size else []
    return [rows[i] for i in spread(len(rows), _ROWS)]


def _number(value: float) -> float | None:
    """For JSON, which has no infinity."""
    return value if math.isfinite(value) else None


def _held_out(before: _Side, after: _Side, shards: Iterable[Path]) -> dict[str, Any] | None:
    """Bits per byte of the same held-out text, which each reads with its own tokenizer; None if there is none."""
    from regrow.corpus.tokens import TokenShards

    found = [TokenShards.open(path) for path in shards]
    made_by = [side for side in (after, before) if found and side.tokenizer.vocabulary == found[0].vocabulary]
    if not made_by:
        return None
    count = found[0].tokens("validation")
    size = min(_WINDOW, count, before.config.context - 1, after.config.context - 1)
    rows = spread(count // size if size else 0, _WINDOWS)
    windows = (found[0].read("validation", row * size, (row + 1) * size) for row in rows)
    texts = [made_by[0].tokenizer.decode(window.tolist()) for window in windows]
    texts = [text for text in texts if text]
    total = sum(len(text.encode()) for text in texts)
    if not total:
        return None
    return {
        "windows": len(texts),
        "bytes": total,
        "before": _number(_bits(before, texts) / total),
        "after": _number(_bits(after, texts) / total),
    }


def _bits(side: _Side, texts: Sequence[str]) -> float:
    """Bits for texts, each behind the token that ends one; what is longer than the context is read in pieces."""
    import torch

    tokens, losses = side.tokenizer, []
    for row in tokens.documents(texts):
        whole = [tokens.end_of_text, *row]
        for start in range(0, len(whole) - 1, side.config.context):
            piece = whole[start : start + side.config.context + 1]
            with torch.no_grad():
                losses.append(float(side.decoder(side.placed, torch.tensor([piece]))) * (len(piece) - 1))
    return math.fsum(losses) / LN2


def _answers(before: _Side, after: _Side, asking: Asking) -> dict[str, Any]:
    prompt, asked = next(iter(asking.prompts), DEFAULT_PROMPT), not asking.continues
    return {"prompt": prompt, "before": _answer(before, prompt, asked), "after": _answer(after, prompt, asked)}


def _answer(side: _Side, prompt: str, asked: bool) -> str:
    """What a model writes if it always takes the likeliest token."""
    from regrow.corpus.chat import ChatTemplate, opening
    from regrow.model.sampling import Sampling, generate
    from regrow.model.weights import ends

    stops = (side.tokenizer.end_of_text, *ends(side.folder, side.tokenizer.end_of_text).stops)
    ids = opening(side.tokenizer, ChatTemplate.open(side.tokens) if asked else None, prompt)
    return side.tokenizer.decode(
        list(generate(side.decoder, side.parameters, ids, _ANSWER, Sampling(temperature=0.0), stops))
    )


def cost(parameters: Asking, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: both models read some hundreds of tokens, and every weight is looked at."""
    sides = [all_of(inputs, slot) for slot in ("before", "after")]
    learned = sum(side.parameters or int(side.size / 4) for side in sides)
    flops = 2.0 * learned * (_ROWS * _ROW + _WINDOWS * _WINDOW + _ANSWER)
    return Cost(flops=flops, seconds=flops / _FLOPS_PER_SECOND + learned / 1e8, memory_bytes=int(PROGRAM + 8 * learned))


KIND = Kind(
    name="effect",
    version=1,
    parameters=Asking,
    inputs={
        "before": Slot("weights"),
        "after": Slot("weights"),
        "before_tokenizer": Slot("tokenizer"),
        "tokenizer": Slot("tokenizer"),
        "tokens": Slot("tokens", optional=True),
    },
    output="effect",
    run=run,
    exact=True,
    infers=True,
    libraries=("tokenizers",),
    summary="measure what a change did",
    table=Table("evaluate"),
    usual=True,
    watches="weights",
    cost=cost,
    released=(Released(EFFECT, EFFECTS, "{entry}.json", always=True),),
)
