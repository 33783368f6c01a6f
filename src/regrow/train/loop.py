"""The training loop: from initial parameters and a data order to the final state, the same bits everywhere.

The loop knows nothing of recipes or files but its scratch directory. Batches are asked for by step, so nothing
about the data has to be saved to go on after a kill.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regrow.errors import StageError
from regrow.exact import operations as ops
from regrow.exact import optimizer
from regrow.exact.workers import ALONE, Workers
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.train import state as states
from regrow.train.settings import Settings
from regrow.train.state import State

_SECONDS_BETWEEN_SAVES = 20.0


@dataclass(frozen=True)
class Watch:
    """What the loop tells and asks of whoever runs it; none of it influences the result.

    Attributes:
        progress: called after each step with facts for people: step, loss, tokens a second, seconds left.
        stopping: whether to stop after this step.
        stop: does not return.
    """

    progress: Callable[..., None]
    stopping: Callable[[], bool]
    stop: Callable[[], Any]


def train(
    config: DecoderConfig,
    settings: Settings,
    batch: Callable[[int], Tensor],
    scratch: Path,
    watch: Watch,
    workers: Workers = ALONE,
) -> State:
    """Train from the start, or from where a run in ``scratch`` was stopped or killed.

    Args:
        config: the shape of the decoder.
        settings: the run.
        batch: step (from 1) to int64 tokens ``(micro_batches_per_step * micro_batch, context + 1)``.
        scratch: holds checkpoints; only the first worker's is used.
        watch: progress and stop requests.
        workers: who share the steps; every one of them calls this function.

    Returns:
        The state after the last step, its chain closed by a link for it.

    Raises:
        StageError: if a loss or gradient is NaN or infinite; names the tensor and the step.
    """
    state = states.begin(scratch, lambda: initialise(config, settings.seed), workers)
    decoder = Decoder(config)
    clock = _Clock(settings, config, state.step)
    while state.step < settings.steps:
        step(decoder, settings, state, batch(state.step + 1), workers)
        watch.progress(**clock.report(state))
        due = state.step % settings.checkpoint_every == 0 or state.step == settings.steps
        stopping = agreed(watch.stopping(), workers) and state.step < settings.steps
        saving = agreed(clock.save_due(), workers) or stopping
        if due or saving:
            state.gather(workers)
        if due and workers.rank == 0:
            state.link()
        if saving and workers.rank == 0:
            states.save(state, scratch)
        if stopping:
            watch.stop()
    return state


def agreed(wish: bool, workers: Workers) -> bool:
    """What the first worker wishes, known to all."""
    answer = torch.tensor([int(wish and workers.rank == 0)])
    workers.total(answer)
    return bool(answer.item())


def step(decoder: Decoder, settings: Settings, state: State, tokens: Tensor, workers: Workers = ALONE) -> None:
    """One optimizer step, in place.

    Args:
        decoder: computes the loss.
        settings: the run.
        state: what is changed: this worker's rows of the moments, and all parameters.
        tokens: int64, of all micro-batches.
        workers: who share the step.

    Raises:
        StageError: if a loss or gradient is not finite.
    """
    number = state.step + 1
    losses, gradients = _gradients(decoder, settings, state.parameters, tokens, workers)
    loss = float(ops.mean(losses))
    norm = optimizer.gradient_norm(gradients, workers)
    _require_finite(number, loss, norm, gradients)
    rate, clip = settings.rate(number), optimizer.clip_factor(norm, settings.clip)
    adamw = optimizer.AdamW(settings.beta1, settings.beta2, settings.epsilon, settings.weight_decay)
    matrices = {name: optimizer.rows(p) for name, p in state.parameters.items()}
    for name, gradient in gradients.items():
        mine = workers.rows(matrices[name].shape[0])
        constants = adamw.constants(number, rate, clip, decays=state.parameters[name].dim() > 1)
        first, second = (optimizer.rows(m[name])[mine] for m in (state.first, state.second))
        optimizer.adamw_step(matrices[name][mine], gradient, first, second, constants)
    workers.share(list(matrices.values()))
    state.step = number
    state.losses.append({"step": number, "loss": loss, "learning_rate": rate, "gradient_norm": norm})


def _gradients(
    decoder: Decoder, settings: Settings, parameters: dict[str, Tensor], tokens: Tensor, workers: Workers
) -> tuple[Tensor, dict[str, Tensor]]:
    """The losses of all micro-batches, and this worker's rows of the mean of their gradients, by name."""
    leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    micro_batches = tokens.split(settings.micro_batch)
    losses = torch.zeros(len(micro_batches))
    parts: dict[str, list[Tensor]] = {name: [] for name in leaves}
    for i in range(workers.rank, len(micro_batches), workers.count):
        loss = decoder(leaves, micro_batches[i])
        losses[i] = loss.detach()
        for name, gradient in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
            parts[name].append(optimizer.rows(gradient.contiguous()))
    # Every entry is +0 but on one worker, so the sum of the bit patterns is the losses.
    workers.total(losses.view(torch.int32))
    found = {}
    for name in leaves:
        mine = parts.pop(name) or [torch.zeros_like(optimizer.rows(parameters[name]))]
        found[name] = optimizer.mean_gradient(mine, len(micro_batches), workers)
    return losses, found


def _require_finite(step: int, loss: float, norm: float, gradients: dict[str, Tensor]) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    # With several workers the rows that are not finite may be another's; then only the step is known here.
    broken = [name for name in sorted(gradients) if not bool(gradients[name].isfinite().all())]
    tensor = (
        f"the gradient of `{broken[0]}`" if broken else "the loss" if not math.isfinite(loss) else "the gradient norm"
    )
    raise StageError(
        f"training diverged: {tensor} is not finite at step {step}",
        why=f"the loss is {loss} and the gradient norm {norm}",
        hint="lower `train.learning_rate`, lengthen `train.warmup` or lower `train.clip`; nothing built so far is lost",
    )


class _Clock:
    """Speed and time left, for people; and when the next save is due."""

    def __init__(self, settings: Settings, config: DecoderConfig, step: int) -> None:
        self._total = settings.steps
        self._tokens = settings.micro_batch * settings.micro_batches_per_step * config.context
        self._start_step, self._start, self._saved = step, time.monotonic(), time.monotonic()

    def report(self, state: State) -> dict[str, Any]:
        seconds = (time.monotonic() - self._start) / (state.step - self._start_step)
        return {
            "done": state.step,
            "total": self._total,
            "unit": "steps",
            "loss": state.losses[-1]["loss"],
            "tokens_per_second": self._tokens / seconds,
            "seconds_left": seconds * (self._total - state.step),
        }

    def save_due(self) -> bool:
        due = time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES
        if due:
            self._saved = time.monotonic()
        return due
