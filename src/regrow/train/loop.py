"""The training loop: from initial parameters and a data order to the final state, the same bits everywhere.

The loop knows a task and settings, and nothing of models, recipes or files but its scratch directory. Batches are
asked for by step, so nothing about the data has to be saved to go on after a kill.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from regrow.errors import StageError
from regrow.exact import operations as ops
from regrow.exact import optimizer
from regrow.exact.pieces import recomputing
from regrow.exact.selection import placed
from regrow.exact.workers import ALONE, Workers
from regrow.train import state as states
from regrow.train.batches import Batches, Given, Rows, Told
from regrow.train.pace import Pace
from regrow.train.reading import Reading, Saves
from regrow.train.settings import Settings
from regrow.train.shares import Shares, turns
from regrow.train.state import State
from regrow.train.task import Batch, Task


@dataclass(frozen=True)
class Watch:
    """What the loop tells and asks of whoever runs it; none of it influences what is learned.

    Attributes:
        progress: called after each step with facts for people: how many are done, the record of the step, the tokens
            seen, tokens a second, seconds left.
        stopping: whether to stop after this step.
        stop: does not return.
        keep: takes the intermediate parameters that the settings ask for. After a kill it may be given those of a
            step again, with the same bits.
        measure: gives what to note in the record of a step after which the settings ask for validation: JSON, a pure
            function of the state.
        resumed: called with the state from which a run goes on that was stopped or killed.
        note: called with what a person should know.
    """

    progress: Callable[..., None]
    stopping: Callable[[], bool]
    stop: Callable[[], Any]
    keep: Callable[[State], None] = lambda state: None
    measure: Callable[[State], Mapping[str, Any]] = lambda state: {}
    resumed: Callable[[State], None] = lambda state: None
    note: Callable[[str], None] = lambda text: None


class DivergedError(StageError):
    """A loss, a gradient or a parameter is not finite any more."""


class WorkerGroup(Protocol):
    """Who shares training runs: a handle that whoever started the workers lends to what trains."""

    @property
    def hosts(self) -> int:
        """On how many machines they are."""

    def train(
        self,
        task: Task,
        settings: Settings,
        batch: Callable[[int], Batch],
        scratch: Path,
        watch: Watch,
        *,
        recompute: bool = False,
        rows: Told | None = None,
    ) -> State:
        """As :func:`train`, with all workers; the state is complete.

        Args:
            rows: where others may read what ``batch`` gives; None if they are to be sent it.
        """


def train(
    task: Task,
    settings: Settings,
    batch: Callable[[int], Batch],
    scratch: Path,
    watch: Watch,
    workers: Workers = ALONE,
    *,
    recompute: bool = False,
    rows: Rows | None = None,
) -> State:
    """Train from the start, or from where a run in ``scratch`` was stopped or killed.

    Args:
        task: what is trained.
        settings: the run.
        batch: step (from 1) to ``micro_batches_per_step * micro_batch`` sequences of the task's context.
        scratch: holds checkpoints.
        watch: progress and stop requests.
        workers: who share the steps; every one of them calls this function. Only the first one's ``batch``,
            ``scratch`` and ``watch`` are used, but for the way to stop.
        recompute: whether to keep of a layer only what it is given, and compute it once more for its gradient.
        rows: where this worker reads its micro-batches; None, for all, if the first one is to send them.

    Returns:
        The state after the last step, its chain closed by a link for it. Complete on the first worker only.

    Raises:
        DivergedError: if a loss or gradient is NaN or infinite; names the tensor and the step.
    """
    state = states.begin(scratch, task, workers)
    for tensors in (state.parameters, state.first, state.second):
        tensors.update(placed(tensors))
    if workers.rank == 0 and state.step:
        watch.resumed(state)
    if not state.chain and not state.step:  # what a run begins with is as much part of it as what it comes to
        state.link(workers)
    pace, saves = Pace(settings, task.context), Saves()
    batches = Batches(settings, task.context, batch, workers, rows, watch.note)
    with Reading() as reading:
        while state.step < settings.end:
            with pace.step(), recomputing(recompute):
                step(task, settings, state, batches.of(state.step + 1), workers, reading.end)
            whole = state
            if state.step in (*settings.validation_steps, *settings.snapshot_steps):
                whole = state.complete(workers)
            if workers.rank == 0:
                if state.step in settings.validation_steps:
                    with pace.validation():
                        state.losses[-1].update(watch.measure(whole))
                watch.progress(**_progress(task, settings, state), **pace.report(state.step))
            stopping, saving = _wishes(watch, saves, workers)
            stopping = stopping and state.step < settings.end
            linking = state.step % settings.checkpoint_every == 0 or state.step == settings.end
            keeping = state.step in settings.state_steps
            saving = saving or stopping or (settings.keep and state.step == settings.end)
            if linking:
                _require_finite_parameters(state, workers)
            if workers.rank == 0 and state.step in settings.snapshot_steps:
                watch.keep(whole)
            del whole
            if linking or saving:
                reading.begin(partial(_record, state, scratch, workers.aside(), saves, linking, keeping, saving))
            if stopping:
                reading.end()
                watch.stop()
        reading.end()
    return state.complete(workers)


def _record(
    state: State, scratch: Path, workers: Workers, saves: Saves, linking: bool, keeping: bool, saving: bool
) -> None:
    """What is done with a state after its step; it changes nothing but the chain."""
    if linking:
        state.link(workers)
    if keeping:
        states.keep(state, scratch, workers)
    if saving:
        with saves.saving():
            states.save(state, scratch, workers)


def _progress(task: Task, settings: Settings, state: State) -> dict[str, Any]:
    """How far a run is, with the record of its last step."""
    record = {name: value for name, value in state.losses[-1].items() if name not in ("step", "batch")}
    tokens = state.step * settings.sequences_per_step * task.context
    return {"done": state.step, "total": settings.end, "unit": "steps", "tokens": tokens, **record}


def _wishes(watch: Watch, saves: Saves, workers: Workers) -> tuple[bool, bool]:
    """Whether the first worker wants to stop and to save."""
    asked = (watch.stopping(), saves.due()) if workers.rank == 0 else (False, False)
    wishes = torch.tensor(asked, dtype=torch.int32)
    workers.give(wishes)
    return bool(wishes[0]), bool(wishes[1])


def step(
    task: Task,
    settings: Settings,
    state: State,
    given: Given,
    workers: Workers = ALONE,
    before: Callable[[], None] = lambda: None,
) -> None:
    """One optimizer step, in place.

    The loss of a step is the mean of its micro-batches' losses, each of which is a mean over the tokens that count
    there: every micro-batch has the same weight, however many these are.

    Args:
        task: computes the loss.
        settings: the run.
        state: what is changed: this worker's rows of the moments, and the trained parameters that it holds.
        given: the micro-batches.
        workers: who share the step.
        before: called when the gradients are there, before anything is changed.

    Raises:
        StageError: if a loss or gradient is not finite.
    """
    number = state.step + 1
    losses, gradients = _gradients(task, settings, state, given.micro_batches, workers)
    loss = float(ops.mean(losses))
    norm = optimizer.gradient_norm(gradients, workers)
    _require_finite(number, loss, norm, gradients, workers)
    before()
    rate, clip = settings.rate(number), optimizer.clip_factor(norm, settings.clip)
    adamw = optimizer.AdamW(settings.beta1, settings.beta2, settings.epsilon, settings.weight_decay)
    held = {name: optimizer.rows(p) for name, p in state.trained().items()}
    for name, matrix in held.items():
        mine = matrix[workers.peers.rows(len(matrix))]
        constants = adamw.constants(number, rate, clip, decays=len(state.shapes[name]) > 1)
        optimizer.adamw_step(mine, gradients.pop(name), state.first[name], state.second[name], constants)
    workers.peers.share(list(held.values()))
    state.step = number
    record = {"step": number, "batch": given.digest, "loss": loss, "learning_rate": rate, "gradient_norm": norm}
    state.losses.append(record)


def _gradients(
    task: Task, settings: Settings, state: State, micro_batches: Mapping[int, Batch], workers: Workers
) -> tuple[Tensor, dict[str, Tensor]]:
    """The losses of all micro-batches, and this worker's rows of the mean of their gradients, by name."""
    count, along = settings.micro_batches_per_step, max(micro_batches, default=0)
    parts = turns(count, workers)
    shares = Shares(state.parameters, state.shapes, state.first.keys(), {*task.layered()}, workers, parts)
    losses = torch.zeros(count, device=next(iter(state.parameters.values())).device)
    for turn in shares.each():
        number, loss = turn.number(workers), None
        if not shares.idle:
            loss = task.loss(shares.parameters, micro_batches[along if number is None else number])
        if loss is not None and number is not None:
            losses[number] = loss.detach()
        shares.differentiate(loss)
    # Every entry is +0 but on one worker, so the sum of the bit patterns is the losses.
    workers.total(losses.view(torch.int32))
    return losses, shares.means


def _require_finite(step: int, loss: float, norm: float, gradients: dict[str, Tensor], workers: Workers) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    names = sorted(gradients)
    flags = torch.tensor([not bool(gradients[name].isfinite().all()) for name in names], dtype=torch.int32)
    workers.largest(flags)  # the rows in question may be another's
    broken = [name for name, flag in zip(names, flags.tolist(), strict=True) if flag]
    tensor = (
        f"the gradient of `{broken[0]}`" if broken else "the loss" if not math.isfinite(loss) else "the gradient norm"
    )
    raise DivergedError(
        f"training diverged: {tensor} is not finite at step {step}",
        why=f"the loss is {loss} and the gradient norm {norm}",
        hint="lower `learning_rate` or `clip`, of which 0 is no limit, or lengthen `warmup`; "
        "nothing built so far is lost",
    )


def _require_finite_parameters(state: State, workers: Workers) -> None:
    """What the next loss would tell, if there is one. All workers say the same: that of the first name."""
    flags = torch.tensor([not bool(values.isfinite().all()) for values in state.parameters.values()], dtype=torch.int32)
    if workers.holders.count > 1:
        workers.largest(flags)
    for name, flag in zip(state.parameters, flags.tolist(), strict=True):
        if flag:
            raise DivergedError(
                f"training diverged: `{name}` is not finite after step {state.step}",
                why="the update was too large for float32, or divided nothing by nothing",
                hint="lower `learning_rate` or raise `epsilon`; nothing built so far is lost",
            )
