"""How the checkpoints of a run are called, for those who only want to know how far it is."""

from __future__ import annotations

from pathlib import Path

_BEGINNING = "checkpoint-"


def folder_of(step: int) -> str:
    """What the folder of a checkpoint is called."""
    return f"{_BEGINNING}{step:09}"


def state_file(step: int) -> str:
    """What the file of a complete state is called that is kept for whoever checks a part of the run."""
    return f"step-{step:09}.f32"


def checkpoints(scratch: Path) -> list[Path]:
    """The checkpoints that there are, the newest first."""
    return sorted(scratch.glob(f"{_BEGINNING}*"), reverse=True)


def newest(scratch: Path) -> int:
    """The step of the newest one, 0 if there is none. Whether it is whole shows when a run goes on from it."""
    steps = (path.name.removeprefix(_BEGINNING) for path in checkpoints(scratch))
    return next((int(step) for step in steps if step.isdecimal()), 0)
