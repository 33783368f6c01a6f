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
    config: DecoderConfig, settings: Settings, batch: Callable[[int], Tensor], scratch: Path, watch: Watch
) -> State:
    """Train from the start, or from where a run in ``scratch`` was stopped or killed.

    Args:
        config: the shape of the decoder.
        settings: the run.
        batch: step (from 1) to int64 tokens ``(micro_batches_per_step * micro_batch, context + 1)``.
        scratch: holds checkpoints.
        watch: progress and stop requests.

    Returns:
        The state after the last step, its chain closed by a link for it.

    Raises:
        StageError: if a loss or gradient is NaN or infinite; names the tensor and the step.
    """
    state = states.restore(scratch) or State.initial(initialise(config, settings.seed))
    decoder = Decoder(config)
    clock = _Clock(settings, config, state.step)
    while state.step < settings.steps:
        tokens = batch(state.step + 1)
        _step(decoder, settings, state, tokens)
        if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
            state.link()
        watch.progress(**clock.report(state))
        if watch.stopping() and state.step < settings.steps:
            states.save(state, scratch)
            watch.stop()
        if clock.save_due():
            states.save(state, scratch)
    return state


def _step(decoder: Decoder, settings: Settings, state: State, tokens: Tensor) -> None:
    step = state.step + 1
    losses, gradients = _gradients(decoder, settings, state.parameters, tokens)
    loss = float(ops.mean(torch.stack(losses)))
    norm = optimizer.gradient_norm(gradients)
    _require_finite(step, loss, norm, gradients)
    rate, clip = settings.rate(step), optimizer.clip_factor(norm, settings.clip)
    adamw = optimizer.AdamW(settings.beta1, settings.beta2, settings.epsilon, settings.weight_decay)
    for name, gradient in gradients.items():
        constants = adamw.constants(step, rate, clip, decays=gradient.dim() > 1)
        optimizer.adamw_step(state.parameters[name], gradient, state.first[name], state.second[name], constants)
    state.step = step
    state.losses.append({"step": step, "loss": loss, "learning_rate": rate, "gradient_norm": norm})


def _gradients(
    decoder: Decoder, settings: Settings, parameters: dict[str, Tensor], tokens: Tensor
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The micro-batches' losses, and the mean of their gradients by name."""
    names = list(parameters)
    leaves = {name: parameters[name].detach().requires_grad_() for name in names}
    losses, parts = [], []
    for micro_batch in tokens.split(settings.micro_batch):
        loss = decoder(leaves, micro_batch)
        parts.append(torch.autograd.grad(loss, [leaves[name] for name in names]))
        losses.append(loss.detach())
    return losses, {name: optimizer.mean_gradients(each) for name, each in zip(names, zip(*parts, strict=True), strict=True)}


def _require_finite(step: int, loss: float, norm: float, gradients: dict[str, Tensor]) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    broken = [name for name in sorted(gradients) if not bool(gradients[name].isfinite().all())]
    tensor = f"the gradient of `{broken[0]}`" if broken else "the loss" if not math.isfinite(loss) else "the gradient norm"
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
