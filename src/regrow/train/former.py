"""A run in two parts: what the first one keeps, and how the second goes on as if there had been no pause.

What is kept is one file beside the weights, of AdamW's moments by the names of parameters, with a record in its header
of what the run was told and how it went. To go on is to lay a checkpoint of that state where the loop looks for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from regrow.errors import StageError
from regrow.exact.optimizer import rows
from regrow.exact.version import ARITHMETIC
from regrow.formats.safetensors import write_safetensors
from regrow.train import state as states
from regrow.train.settings import Settings
from regrow.train.state import State
from regrow.train.task import Task
from regrow.words import listed

FILE = "optimizer.safetensors"

_KEY = "regrow"
_MOMENTS = ("first", "second")
_FREE = (
    "steps",
    "learning_rate",
    "warmup",
    "decay",
    "final_learning_rate",
    "snapshots",
    "validate_every",
    "until",
    "states",
    "keep",
)
"""Settings that may be others: those of the learning rate, as long as it was the same, and what is noted on the way."""
_SAID_ELSEWHERE = ("seed", "names", "context")
"""Parts of a task's description that are compared by themselves, or only tell how it began."""


def keep(folder: Path, task: Task, settings: Settings, tokens: str, scratch: Path) -> None:
    """Write the state at the end of a run, of which the last checkpoint is there.

    Args:
        folder: where.
        task: what was trained.
        settings: the run.
        tokens: the digest of what it was trained on.
        scratch: holds the checkpoint.
    """
    checkpoint = states.restore(scratch, task.given())
    if checkpoint is None or checkpoint.step != settings.end:
        raise StageError("the last checkpoint is gone or damaged", where=str(scratch), hint="train again")
    record = {"step": checkpoint.step, "terms": _terms(task, settings, tokens)}
    history = {"losses": checkpoint.losses, "chain": checkpoint.chain}
    text = json.dumps({**record, **history}, sort_keys=True)
    write_safetensors(folder / FILE, checkpoint.moments(task.trained()), more={_KEY: text})


def go_on(folder: Path, task: Task, settings: Settings, tokens: str, scratch: Path) -> int:
    """Lay a checkpoint of what was kept into ``scratch``, unless a later one is there; gives the steps done before.

    Args:
        folder: has what was kept.
        task: what is trained, which begins with the weights beside it.
        settings: the run.
        tokens: the digest of what it is trained on.
        scratch: of the run.

    Raises:
        StageError: if nothing was kept, or the run would not be the same one.
    """
    record, moments = _read(folder / FILE)
    step = int(record["step"])
    _require_same(record, _terms(task, settings, tokens))
    _require_rates(record["losses"], settings)
    if step >= settings.end:
        raise StageError(
            f"the run has {step} steps already, and this part of it ends after {settings.end}",
            why="`tokens` and `stop_after` count from the beginning of the run",
            hint="raise them",
        )
    frozen = task.given()
    if states.restore(scratch, frozen) is None:
        states.save(_state(record, moments, task, frozen, settings), scratch)
    return step


def step_of(folder: Path) -> int:
    """After how many steps what was kept stands, beside the weights in a folder; 0 if nothing was.

    Raises:
        StageError: if it cannot be read.
    """
    return int(_read(folder / FILE)[0]["step"]) if (folder / FILE).is_file() else 0


def _versions() -> dict[str, Any]:
    """What is not for a recipe to say: how this version of regrow computes, and what it says of a state."""
    return {"arithmetic": ARITHMETIC, "chain of states": states.CHAIN}


def _terms(task: Task, settings: Settings, tokens: str) -> dict[str, Any]:
    """What has to be the same in all parts of a run."""
    told = {name: value for name, value in asdict(settings).items() if name not in _FREE}
    described = {name: x for name, x in task.description().items() if name not in _SAID_ELSEWHERE}
    terms = {
        **told, **described, "context": task.context, "trained parameters": sorted(task.trained()), "tokens": tokens,
        **_versions(),
    }  # fmt: skip
    return dict(json.loads(json.dumps(terms)))


def _read(path: Path) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise StageError(
            "the weights bring no state of an optimizer",
            why=f"there is no `{FILE}` with them",
            hint="build them with `keep_optimizer = true`, or leave out `optimizer`",
        )
    try:
        with safe_open(path, "pt") as file:
            record = json.loads(file.metadata()[_KEY])
            moments = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not isinstance(record["terms"], dict) or not isinstance(record["losses"], list):
            raise ValueError("its record is none")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(str(error)) from error
    return record, moments


def _require_same(record: Mapping[str, Any], terms: Mapping[str, Any]) -> None:
    before = record["terms"]
    other = [name for name in sorted({*before, *terms}) if before.get(name) != terms.get(name)]
    if made := [name for name in other if name in _versions()]:
        raise StageError(
            "the state of the optimizer was kept by another version of regrow",
            where=FILE,
            why=f"it has another {listed(made)}, and would not go on as the same run",
            hint="build the weights again with this version and `keep_optimizer`, or leave out `optimizer`",
        )
    if other:
        name = other[0]
        raise StageError(
            f"this is not the run that made the weights: that one had another {listed(other)}",
            why=f"`{name}` was {_short(before.get(name))}, and is {_short(terms.get(name))}",
            hint="say them as they were, or leave out `optimizer`",
        )


def _require_rates(losses: list[dict[str, Any]], settings: Settings) -> None:
    for done in losses:
        rate = settings.rate(done["step"])
        if rate != done["learning_rate"]:
            raise StageError(
                f"this is not the run that made the weights: its learning rate at step {done['step']} would have been "
                f"{rate:g}, and was {done['learning_rate']:g}",
                why=f"the rate goes by all {settings.steps} steps of a run",
                hint='let both parts have the same `tokens`, and the first a `stop_after`; or a `decay = "constant"` '
                "with `warmup` of as many steps",
            )


def _state(
    record: Mapping[str, Any],
    moments: Mapping[str, Tensor],
    task: Task,
    frozen: Mapping[str, Tensor],
    settings: Settings,
) -> State:
    """The state that was kept, with the weights that the task begins with."""
    state = State.initial(task.initial(), frozen)
    state.step, state.losses, state.chain = record["step"], record["losses"], list(record["chain"])
    for part, own in zip(_MOMENTS, (state.first, state.second), strict=True):
        for name, mine in own.items():
            kept = moments.get(f"{part}.{name}")
            if kept is None or rows(kept).shape != mine.shape:
                raise _damaged(f"it lacks `{part}.{name}`, or has it in another shape")
            mine.copy_(rows(kept))
    if not state.chain or state.chain[-1]["state"] != state.digest():
        raise StageError(
            "the state of the optimizer is not that of these weights",
            why="its digest says so: one of the two was changed since",
            hint="take the weights as they were released, or leave out `optimizer`",
        )
    if state.step % settings.checkpoint_every:
        state.chain.pop()  # the link that closed the first part; a run without a pause has none there
    return state


def _damaged(why: str) -> StageError:
    return StageError(f"`{FILE}` cannot be read", why=why, hint="get the weights again")


def _short(value: Any) -> str:
    """A value in a message, or as much of it as helps."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
