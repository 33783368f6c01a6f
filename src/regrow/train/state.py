"""The complete state of a run, its digest, and checkpoints from which a killed run goes on to the same end."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow.exact.optimizer import rows
from regrow.exact.workers import ALONE, Workers
from regrow.formats.safetensors import canonical_bytes
from regrow.store.atomic import new_directory, remove_tree
from regrow.store.digest import sha256_bytes
from regrow.train.checkpoints import checkpoints, folder_of
from regrow.train.task import Shape, Task

_KEPT = 2
_VALUES, _RECORD = "values.f32", "state.json"


@dataclass
class State:
    """Everything that the rest of a run depends on, besides its settings and data.

    Attributes:
        step: steps done.
        parameters: float32, by name: those that are trained and those that are frozen.
        first: AdamW's first moments of the trained ones, as matrices; of each only the rows that this worker owns.
        second: AdamW's second moments, likewise.
        losses: a record for each step done.
        chain: the links of the checkpoint chain so far; the first worker's.
    """

    step: int
    parameters: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]
    losses: list[dict[str, Any]] = field(default_factory=list)
    chain: list[dict[str, object]] = field(default_factory=list)

    @staticmethod
    def initial(
        trained: Mapping[str, Tensor], frozen: Mapping[str, Tensor] = MappingProxyType({}), workers: Workers = ALONE
    ) -> State:
        """The state before the first step."""
        ordered = dict(sorted(trained.items()))  # workers rely on it to make the same calls in the same order
        first, second = ({name: _zeros(p, workers) for name, p in ordered.items()} for _ in range(2))
        return State(0, dict(sorted({**ordered, **frozen}.items())), first, second)

    def trained(self) -> dict[str, Tensor]:
        """The parameters that training changes."""
        return {name: p for name, p in self.parameters.items() if name in self.first}

    def frozen(self) -> dict[str, Tensor]:
        """The parameters that stay as they are: those without moments."""
        return {name: p for name, p in self.parameters.items() if name not in self.first}

    def tensors(self, workers: Workers = ALONE) -> Iterator[tuple[str, str, Tensor]]:
        """Part, name and values of everything, whole, one after the other; on the first worker, and only there.

        So nobody ever holds more of the others' moments than one matrix.
        """
        yield from (("parameter", name, p) for name, p in self.parameters.items())
        for part, moments in (("first", self.first), ("second", self.second)):
            for name, mine in moments.items():
                whole = workers.gather(mine, rows(self.parameters[name]).shape[0])
                yield part, name, whole.view_as(self.parameters[name]) if workers.rank == 0 else whole

    def digest(self, workers: Workers = ALONE) -> str:
        """sha256 over the step and every tensor: name, shape and canonical bytes, in the order of the names.

        Frozen parameters count: what was learned means something together with them alone.
        """
        found = hashlib.sha256(f"step {self.step}\n".encode())
        for part, name, values in self.tensors(workers):
            if workers.rank == 0:
                found.update(f"{part} {name} {tuple(values.shape)}\n".encode())
                found.update(canonical_bytes(values))
        return found.hexdigest()

    def link(self, workers: Workers = ALONE) -> None:
        """Add a link to the chain: the state's digest, and a hash that binds it to every link before."""
        state = self.digest(workers)
        previous = str(self.chain[-1]["chain"]) if self.chain else ""
        self.chain.append({"step": self.step, "state": state, "chain": sha256_bytes(f"{previous}{state}".encode())})


def begin(scratch: Path, task: Task, workers: Workers = ALONE) -> State:
    """The state to go on from: the first worker's newest checkpoint, or the beginning.

    Args:
        scratch: holds checkpoints.
        task: knows the parameters.
        workers: every one of them calls this function.
    """
    checkpoint = None
    if workers.rank > 0:
        trained, frozen = _zeros_of(task.trained()), _zeros_of(task.frozen())
    else:
        frozen = task.given()
        checkpoint = restore(scratch, frozen)
        trained = checkpoint.parameters(task.trained()) if checkpoint else task.initial()
    state = State.initial(trained, frozen, workers)
    for values in state.parameters.values():
        workers.give(values)
    state.step = workers.tell(checkpoint.step if checkpoint else 0)
    if state.step:
        _restore_moments(state, checkpoint, workers)
    if checkpoint:
        state.losses, state.chain = checkpoint.losses, checkpoint.chain
    return state


def save(state: State, scratch: Path, workers: Workers = ALONE) -> None:
    """Write a checkpoint, whole or not at all, and drop all but the newest ones. The first worker writes.

    Frozen parameters are not in it, since they can be large and are given again; but it is sealed with them, so that a
    run with others does not go on from it.
    """
    if workers.rank > 0:
        for _ in state.tensors(workers):
            pass
        return
    with new_directory(scratch / folder_of(state.step)) as directory:
        digest = _seal(state.frozen())
        with (directory / _VALUES).open("wb") as file:
            for _, name, values in state.tensors(workers):
                if name in state.first:
                    data = canonical_bytes(values)
                    digest.update(data)
                    file.write(data)
        record = {"step": state.step, "losses": state.losses, "chain": state.chain}
        lines = _sealed(json.dumps(record), digest)
        (directory / _RECORD).write_text(lines, encoding="utf-8")
    # Those of later steps are damaged, or the run would have gone on from there.
    kept = [directory for directory in checkpoints(scratch) if directory.name <= folder_of(state.step)][:_KEPT]
    for directory in checkpoints(scratch):
        if directory not in kept:
            remove_tree(directory)


def _seal(frozen: Mapping[str, Tensor]) -> Any:
    """A sha256 to go on with: of the frozen parameters, in the order of their names."""
    found = hashlib.sha256()
    for name, values in sorted(frozen.items()):
        found.update(f"frozen {name} {tuple(values.shape)}\n".encode())
        found.update(canonical_bytes(values))
    return found


def _sealed(record: str, values: Any) -> str:
    """A record and, on a second line, the sha256 of the values' bytes with the record's behind them.

    ``values`` is what :func:`_seal` began.
    """
    values.update(record.encode())
    return f"{record}\n{values.hexdigest()}\n"


@dataclass(frozen=True)
class Checkpoint:
    """A state on disk: a record, and beside it the bytes of what training changes in the order of
    :meth:`State.tensors`.

    Attributes:
        values: the file with the bytes.
        step: steps done.
        losses: a record for each.
        chain: the links so far.
    """

    values: Path
    step: int
    losses: list[dict[str, Any]]
    chain: list[dict[str, object]]

    def parameters(self, shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
        """The trained parameters, given their shapes."""
        return {name: values for part, name, values in self.read(shapes) if part == "parameter"}

    def read(self, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, str, Tensor]]:
        """Part, name and values of everything, one after the other."""
        with self.values.open("rb") as file:
            for part in ("parameter", "first", "second"):
                for name, shape in sorted(shapes.items()):
                    values = np.fromfile(file, dtype="<f4", count=math.prod(shape))
                    yield part, name, torch.from_numpy(values.astype(np.float32, copy=False).reshape(shape))


def restore(scratch: Path, frozen: Mapping[str, Tensor] = MappingProxyType({})) -> Checkpoint | None:
    """The newest checkpoint that is whole and was made with these frozen parameters; others are passed over."""
    seal = _seal(frozen)
    for directory in checkpoints(scratch):
        try:
            text = (directory / _RECORD).read_text(encoding="utf-8")
            with (directory / _VALUES).open("rb") as file:
                digest = hashlib.file_digest(file, seal.copy)
        except (OSError, ValueError):
            continue
        line = text.partition("\n")[0]
        if text == _sealed(line, digest):
            record = json.loads(line)
            return Checkpoint(directory / _VALUES, record["step"], record["losses"], record["chain"])
    return None


def _restore_moments(state: State, checkpoint: Checkpoint | None, workers: Workers) -> None:
    """Give every worker its rows of the moments that the first one reads."""
    shapes = {name: tuple(p.shape) for name, p in state.trained().items()}
    found = (values for part, _, values in checkpoint.read(shapes) if part != "parameter") if checkpoint else None
    for moments in (state.first, state.second):
        for mine in moments.values():
            workers.scatter(rows(next(found)) if found else None, mine)


def _zeros_of(shapes: Mapping[str, Shape]) -> Mapping[str, Tensor]:
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def _zeros(parameter: Tensor, workers: Workers) -> Tensor:
    """A moment of a parameter before the first step: the rows that this worker owns."""
    matrix = rows(parameter)
    return torch.zeros_like(matrix[workers.rows(matrix.shape[0])])
