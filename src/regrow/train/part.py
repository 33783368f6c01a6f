"""A part of a run by itself, from a state that somebody says it had: for whoever checks a run without repeating it.

What it begins with is laid into the scratch folder of the run, where the loop looks for a checkpoint, so that nothing
that trains has to know of it; and there lies, if it is asked for, the complete state that it ends with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regrow.formats.safetensors import write_safetensors
from regrow.train import state as states
from regrow.train.checkpoints import checkpoints
from regrow.train.state import State
from regrow.train.task import Task

STATE = "state.safetensors"
"""In the scratch folder: the state at the end, by ``parameter.NAME``, ``first.NAME`` and ``second.NAME``."""

_START, _ASKED = "start.json", "state.asked"


def prepare(
    scratch: Path, values: Path | None, losses: Sequence[Mapping[str, Any]], chain: Sequence[Mapping[str, Any]]
) -> None:
    """Say what a run shall go on from.

    Args:
        scratch: of the run.
        values: the file of the state, as :func:`regrow.train.state.keep` writes it; None for that of the beginning.
        losses: the records of the steps before.
        chain: the links up to that of the state.
    """
    told = {"values": None if values is None else str(values), "losses": [*losses], "chain": [*chain]}
    (scratch / _START).write_text(json.dumps(told), encoding="utf-8")


def begin(scratch: Path, task: Task) -> None:
    """Lay the checkpoint that :func:`prepare` asks for, if it does, and there is none yet.

    Raises:
        StateError: if the state is not the one that the chain names.
    """
    if not (scratch / _START).is_file() or checkpoints(scratch):
        return
    told = json.loads((scratch / _START).read_text(encoding="utf-8"))
    values = None if told["values"] is None else Path(told["values"])
    states.lay(scratch, task, values, told["losses"], told["chain"])


def ask(scratch: Path) -> None:
    """Ask a run for its complete state at the end."""
    (scratch / _ASKED).touch()


def give(scratch: Path, state: State) -> None:
    """Write the state of a run that has ended, if it was asked for."""
    if (scratch / _ASKED).is_file():
        parts = {"parameter": state.trained(), "first": state.first, "second": state.second}
        tensors = {f"{part}.{name}": values for part, named in parts.items() for name, values in named.items()}
        write_safetensors(
            scratch / STATE,
            {name: values.reshape(state.parameters[name.partition(".")[2]].shape) for name, values in tensors.items()},
        )
