"""Known answers of the decoder and of training: ``python -m regrow.train.vectors > docs/arithmetic/training.json``."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow.exact.layers import rotary_tables
from regrow.exact.polynomials import exp64
from regrow.exact.selection import placed
from regrow.exact.vectors import SEED, Input, Vector, document, literal, normal, vector
from regrow.formats.safetensors import safetensors_bytes
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.model.sampling import Chances, Sampling, choose, generate
from regrow.model.weights import to_hugging_face
from regrow.train.loop import Watch, train
from regrow.train.settings import Settings
from regrow.train.task import Batch
from regrow.train.tasks.pretraining import Pretraining

TIED: dict[str, Any] = {
    "vocabulary": 50, "layers": 2, "width": 24, "heads": 4, "kv_heads": 2, "hidden": 40, "context": 12,
    "tied_embeddings": True, "rope_theta": 10000.0, "norm_epsilon": 1e-5,
}  # fmt: skip
SHAPES = {"tied": TIED, "untied": TIED | {"layers": 1, "kv_heads": 4, "tied_embeddings": False}}
WRITING: dict[str, dict[str, Any]] = {
    "": {"temperature": 0.8, "top": 40},
    ", of few tokens, and others than before": {
        "temperature": 0.8, "top": 0, "top_p": 0.7, "presence_penalty": 0.4, "frequency_penalty": 0.3,
    },
}  # fmt: skip
BIAS = [[33, -1.5], [3, 2.5], [22, 1.0]]
PENALTIES: tuple[dict[str, Any], ...] = (
    {"logit_bias": BIAS}, {"presence_penalty": 1.7}, {"frequency_penalty": 0.9},
    {"presence_penalty": -0.3, "frequency_penalty": 2.0},
)  # fmt: skip
RUN = Settings(
    steps=5, micro_batch=2, micro_batches_per_step=3, learning_rate=3e-3, warmup=2, decay="cosine",
    final_learning_rate=3e-4, weight_decay=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8, clip=1.0, seed=SEED,
    checkpoint_every=1,
)  # fmt: skip


def vectors() -> Iterator[Vector]:
    """All known answers of this room."""
    yield from _rates()
    for name, shape in SHAPES.items():
        yield from _decoder(name, shape)
    yield _weights_file("seven spaces behind the header", TIED | {"layers": 1})
    yield from _runs()
    yield from _choices()
    yield from _chances()


def _rates() -> Iterator[Vector]:
    runs = (
        dataclasses.replace(RUN, steps=78, warmup=3),
        dataclasses.replace(RUN, steps=10, decay="linear"),
        dataclasses.replace(RUN, steps=4, decay="constant"),
    )
    for run in runs:
        rates = np.array([run.rate(step) for step in range(1, run.steps + 1)])
        yield vector("rate", run.decay, {"run": _told(run)}, {"rates": rates})


def _told(run: Settings) -> dict[str, Any]:
    """What a training run is given, without what changes nothing of it."""
    untold = ("validate_every", "states", "until", "keep")
    return {name: value for name, value in dataclasses.asdict(run).items() if name not in untold}


def _decoder(name: str, shape: Mapping[str, Any]) -> Iterator[Vector]:
    config = DecoderConfig(**shape)
    parameters = initialise(config, SEED)
    yield vector("initial", name, {"shape": shape, "seed": SEED}, dict(sorted(parameters.items())))
    cosine, sine = rotary_tables(config.context, config.head_width, config.rope_theta)
    yield vector("rotary_tables", name, {"shape": shape}, {"cosine": cosine, "sine": sine})

    tokens = _tokens(1)[: RUN.micro_batch]
    leaves = {n: p.requires_grad_() for n, p in placed(parameters).items()}
    decoder = Decoder(config)
    loss = decoder(leaves, tokens)
    gradients = dict(sorted(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True)))
    given = {"shape": shape, "seed": SEED, "tokens": tokens.tolist()}
    yield vector("loss_and_gradients", name, given, {"loss": loss, **gradients})

    with torch.no_grad():
        yield vector("logits", name, given, {"logits": decoder.logits(placed(parameters), tokens[:, :-1])})
        for kind, settings in WRITING.items():
            sampling = Sampling(seed=SEED, **settings)
            written = list(generate(decoder, placed(parameters), [7, 3], 16, sampling))
            given = {"shape": shape, "prompt": [7, 3], "count": 16, **settings, "seed": SEED}
            yield vector("generate", f"{name}{kind}", given, {"tokens": written})
    yield _weights_file(name, shape)


def _weights_file(name: str, shape: Mapping[str, Any]) -> Vector:
    config = DecoderConfig(**shape)
    file = hashlib.sha256(safetensors_bytes(to_hugging_face(config, initialise(config, SEED)))).hexdigest()
    return vector("weights_file", name, {"shape": shape, "seed": SEED}, {"sha256": file})


def _tokens(step: int) -> Tensor:
    """The sequences of a step: tokens that depend on it alone."""
    count, length = RUN.micro_batch * RUN.micro_batches_per_step, int(TIED["context"]) + 1
    index = torch.arange(count * length) + 61 * step
    return ((7 * index * index + index) % int(TIED["vocabulary"])).view(count, length)


def _runs() -> Iterator[Vector]:
    for name, shape in SHAPES.items():
        watch = Watch(progress=lambda **_: None, stopping=lambda: False, stop=lambda: None)
        with tempfile.TemporaryDirectory() as scratch:
            task = Pretraining(DecoderConfig(**shape), RUN.seed)
            state = train(task, RUN, lambda step: Batch(_tokens(step)), Path(scratch), watch)
        given = {
            "shape": shape,
            "run": _told(RUN),
            "batches": [_tokens(step).tolist() for step in range(1, RUN.steps + 1)],
        }
        yield vector("train", name, given, {"losses": state.losses, "chain": state.chain})


def _choices() -> Iterator[Vector]:
    some, equal = normal("choose", 50, factor=3.0), literal(np.array([1.0, 2.0, 2.0, 1.0], np.float32))
    draws = [0.0, 0.1, 0.5, 0.9, 1 - 2.0**-53]
    for logits, temperature, top in ((some, 0.0, 0), (some, 0.8, 40), (some, 1.3, 0), (equal, 1.0, 2), (equal, 0.0, 0)):
        yield _chosen(f"temperature {temperature}", logits, draws, Sampling(temperature, top))
    for temperature in (0.7, 1.3):
        yield _chosen("borders", some, _borders(some.array, temperature), Sampling(temperature, 0))
    draws = [number / 32 for number in range(32)]
    for top, top_p in ((0, 0.5), (3, 0.9), (0, 1e-9), (2, 0.5)):
        yield _chosen(f"top_p {top_p}", some if top != 2 else equal, draws, Sampling(1.1, top), top_p=top_p)
    written = [39, 39, 18, 3, 39]
    for temperature in (0.0, 0.9):
        for told in PENALTIES:
            name = f"{' and '.join(told)}, temperature {temperature}"
            yield _chosen(name, some, draws, Sampling(temperature, 0), **told, written=written)
    last: dict[str, Any] = {**PENALTIES[-1], "written": written, "logit_bias": BIAS, "top_p": 0.8}
    yield _chosen("all", some, draws, Sampling(1.0, 20), **last)


def _chosen(name: str, logits: Input, draws: list[float], sampling: Sampling, **more: Any) -> Vector:
    given = {"logits": logits, "draws": draws, "temperature": sampling.temperature, "top": sampling.top, **more}
    written = Counter[int](more.pop("written", ()))
    sampling = dataclasses.replace(sampling, **{**more, "logit_bias": dict(more.get("logit_bias", ()))})
    return vector("choose", name, given, {"tokens": [choose(logits.array, draw, sampling, written) for draw in draws]})


def _chances() -> Iterator[Vector]:
    for name, logits in {
        **{f"many, times {factor}": normal("logprobs", 1003, factor=factor) for factor in (0.1, 1.0, 2.0, 5.0)},
        "far apart": literal(np.array([3e38, -3e38, 80.0, -np.inf, 3e38], np.float32)),
        "fewer than lanes": literal(np.array([1.0, 2.0, 2.0], np.float32)),
        "infinite": literal(np.array([1.0, np.inf], np.float32)),
    }.items():
        [chances] = Chances.of(logits.array[None])
        found = np.array([chances.logprob(token) for token in range(len(logits.array))])
        yield vector("logprobs", name, {"logits": logits}, {"y": found})


def _borders(logits: np.ndarray, temperature: float) -> list[float]:
    """Draws between two of the likeliest tokens, as near as float64 can say."""
    ordered = np.sort(logits)[::-1]
    weights = np.cumsum(exp64(np.maximum((ordered - ordered[0]).astype(np.float64) / temperature, -700.0)))
    return [float(draw) for draw in weights[:6] / weights[-1]]


if __name__ == "__main__":
    import sys

    sys.stdout.write(document(vectors()))
