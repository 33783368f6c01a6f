"""The complete state of a run, its digest, and checkpoints from which a killed run goes on to the same end."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from regrow.errors import StageError
from regrow.exact.optimizer import matrix, rows
from regrow.exact.selection import placed
from regrow.exact.shorter import SHORTER
from regrow.exact.workers import ALONE, Workers
from regrow.formats.safetensors import STRETCH, canonical
from regrow.store.atomic import new_directory, new_file, remove_tree
from regrow.store.digest import sha256_bytes
from regrow.train.checkpoints import checkpoints, folder_of, state_file
from regrow.train.records import STEP, line
from regrow.train.task import Shape, Task

CHAIN = 3
"""The version of the links of the chain: what a digest of a state is made of, and what a link binds."""

_VALUES, _RECORD = "values.f32", "state.json"
_HASH = hashlib.sha256().digest_size
Part = Literal["parameter", "first", "second"]
_MOMENTS: tuple[Part, ...] = ("first", "second")


@dataclass(frozen=True)
class Chunk:
    """Rows of a tensor whose bytes are hashed, and written, together: up to a mebibyte of them, or a single one.

    So small, since of all that a worker owns nobody else has to see more than the chunks that it begins or ends in.

    Attributes:
        part: which tensors of the state.
        name: of the parameter.
        rows: of the tensor as a matrix.
    """

    part: Part
    name: str
    rows: slice


@dataclass
class State:
    """Everything that the rest of a run depends on, besides its settings and data.

    Attributes:
        step: steps done.
        parameters: by name: those that are trained, float32, and those that are frozen, float32 or the same numbers in
            a shorter type. Whole, or of each, as a matrix, the rows that this worker holds, if several hold a copy
            together.
        first: AdamW's first moments of the trained ones, as matrices; of each only the rows that this worker owns.
        second: AdamW's second moments, likewise.
        losses: a record for each step done: its number, the sha256 of its tokens, the loss, the gradient's norm.
        chain: the links of the checkpoint chain so far; the first worker's.
        seals: the hashes of the frozen parameters' chunks, by name, once they are known.
        shapes: of the whole parameters, by name.
    """

    step: int
    parameters: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]
    losses: list[dict[str, Any]] = field(default_factory=list)
    chain: list[dict[str, object]] = field(default_factory=list)
    seals: dict[str, list[str]] = field(default_factory=dict)
    shapes: Mapping[str, Shape] = field(default_factory=dict)

    @staticmethod
    def initial(trained: Mapping[str, Tensor], frozen: Mapping[str, Tensor] = MappingProxyType({})) -> State:
        """The state of a single worker before the first step."""
        parameters = {**trained, **frozen}
        return State.held(parameters, {name: tuple(p.shape) for name, p in parameters.items()}, trained)

    @staticmethod
    def held(
        parameters: Mapping[str, Tensor],
        shapes: Mapping[str, Shape],
        trained: Iterable[str],
        workers: Workers = ALONE,
    ) -> State:
        """The state before the first step, of a worker that holds this much of the parameters."""
        first, second = (
            {name: _zeros(parameters[name], shapes[name], workers) for name in sorted(trained)} for _ in range(2)
        )
        return State(0, dict(sorted(parameters.items())), first, second, shapes=shapes)  # all workers have one order

    def trained(self) -> dict[str, Tensor]:
        """The parameters that training changes."""
        return {name: p for name, p in self.parameters.items() if name in self.first}

    def frozen(self) -> dict[str, Tensor]:
        """The parameters that stay as they are: those without moments."""
        return {name: p for name, p in self.parameters.items() if name not in self.first}

    def changing(self) -> list[Chunk]:
        """The chunks of all that training changes, in the order in which they are hashed and written."""
        parts: tuple[Part, ...] = ("parameter", *_MOMENTS)
        return [chunk for part in parts for name in self.first for chunk in self._chunks(part, name)]

    def _chunks(self, part: Part, name: str) -> Iterator[Chunk]:
        return (Chunk(part, name, found) for found in _cut(*matrix(self.shapes[name])))

    def values(self, chunk: Chunk, to: int | None, workers: Workers) -> Tensor | None:
        """What a chunk holds, for one worker, by default the one that owns its first row; None for the others."""
        count, _ = matrix(self.shapes[chunk.name])
        to = workers.owner(chunk.rows.start, count) if to is None else to
        if chunk.part == "parameter" and workers.holders.count == 1:
            return rows(self.parameters[chunk.name])[chunk.rows] if workers.rank == to else None
        return workers.gather(self._owned(chunk.part, chunk.name, workers), count, chunk.rows, to)

    def _owned(self, part: Part, name: str, workers: Workers) -> Tensor:
        """The rows of a tensor that this worker owns, of which no other says what they are."""
        if part == "parameter":
            held = rows(self.parameters[name])
            return held[workers.peers.rows(len(held))]
        return (self.first if part == "first" else self.second)[name]

    def complete(self, workers: Workers) -> State:
        """The same with whole parameters, for the first worker; for others as it is. All workers call it."""
        if workers.holders.count == 1:
            return self
        wholes: dict[str, Tensor] = {}
        for name, shape in self.shapes.items():
            count, _ = matrix(shape)
            found = workers.gather(self._owned("parameter", name, workers), count, slice(0, count), 0)
            if found is not None:
                wholes[name] = found.view(shape)
        return replace(self, parameters=placed(dict(sorted(wholes.items())))) if wholes else self

    def _hashes(self, chunks: list[Chunk], workers: Workers) -> list[str]:
        """The sha256 of each chunk's canonical bytes as float32, each found by one worker and told to all."""
        found = torch.zeros((len(chunks), _HASH), dtype=torch.uint8)
        for place, chunk in enumerate(chunks):
            values = self.values(chunk, None, workers)
            if values is not None:
                data = canonical(values.to(torch.float32))
                found[place] = torch.frombuffer(bytearray(hashlib.sha256(data).digest()), dtype=torch.uint8)
        workers.total(found)
        return [bytes(row).hex() for row in found.numpy()]

    def sealed(self, workers: Workers = ALONE) -> Mapping[str, list[str]]:
        """The hashes of the frozen parameters' chunks, which are found only once."""
        unknown = [
            chunk for name in self.frozen() if name not in self.seals for chunk in self._chunks("parameter", name)
        ]
        if unknown:
            for chunk, found in zip(unknown, self._hashes(unknown, workers), strict=True):
                self.seals.setdefault(chunk.name, []).append(found)
        return self.seals

    def digest(self, workers: Workers = ALONE) -> str:
        """sha256 over the step and every tensor: name, shape and the hashes of its chunks, in the order of the names.

        Frozen parameters count: what was learned means something together with them alone. Every worker hashes what
        it owns.
        """
        chunks = self.changing()
        hashes: dict[tuple[Part, str], list[str]] = {("parameter", name): x for name, x in self.sealed(workers).items()}
        for chunk, found in zip(chunks, self._hashes(chunks, workers), strict=True):
            hashes.setdefault((chunk.part, chunk.name), []).append(found)
        tensors: list[tuple[Part, str]] = [("parameter", name) for name in self.parameters]
        tensors += [(part, name) for part in _MOMENTS for name in self.first]
        text = [f"step {self.step}\n"]
        for part, name in tensors:
            text += [f"{part} {name} {tuple(self.shapes[name])}\n", *_lines(hashes[part, name])]
        return sha256_bytes("".join(text).encode())

    def link(self, workers: Workers = ALONE) -> None:
        """Add a link to the chain: the digests of the state and of the records of all steps since the link before, and
        a hash that binds them to every link before.
        """
        state = self.digest(workers)
        last = self.chain[-1] if self.chain else {"step": -1, "chain": ""}
        since = (record for record in self.losses if record["step"] > int(str(last["step"])))
        records = sha256_bytes("".join(line({name: one[name] for name in STEP}) for one in since).encode())
        chain = sha256_bytes(f"{last['chain']}{state}{records}".encode())
        self.chain.append({"step": self.step, "state": state, "records": records, "chain": chain})


def begin(scratch: Path, task: Task, workers: Workers = ALONE) -> State:
    """The state to go on from: the first worker's newest checkpoint, or the beginning.

    Args:
        scratch: holds checkpoints.
        task: knows the parameters.
        workers: every one of them calls this function.
    """
    checkpoint, given = None, dict[str, Tensor]()
    if workers.rank == 0:
        given = {**task.given()}
        checkpoint = restore(scratch, given)
        given |= checkpoint.parameters(task.trained()) if checkpoint else task.initial()
    shapes = {**task.trained(), **task.frozen()}
    state = State.held(_spread(shapes, given, workers), shapes, task.trained(), workers)
    state.step = workers.tell(checkpoint.step if checkpoint else 0)
    if state.step:
        _restore_moments(state, checkpoint, workers)
    if checkpoint:
        state.losses, state.chain = checkpoint.losses, checkpoint.chain
    return state


def save(state: State, scratch: Path, workers: Workers = ALONE) -> None:
    """Write a checkpoint, whole or not at all, and drop all others. The first worker writes.

    It has twelve bytes for each parameter that is trained, and two are there only while one takes the other's place.
    Frozen parameters are not in it, since they can be large and are given again; but it is sealed with them, so that a
    run with others does not go on from it.
    """
    seal = _seal(state.sealed(workers))
    if (values := _values(state, workers)) is None:
        return
    with new_directory(scratch / folder_of(state.step)) as directory:
        with (directory / _VALUES).open("wb") as file:
            for data in values:
                seal.update(data)
                file.write(data)
        record = {"step": state.step, "losses": state.losses, "chain": state.chain}
        lines = _sealed(json.dumps(record), seal)
        (directory / _RECORD).write_text(lines, encoding="utf-8")
    # Those of later steps are damaged, or the run would have gone on from there.
    for directory in checkpoints(scratch):
        if directory.name != folder_of(state.step):
            remove_tree(directory)


def lay(scratch: Path, task: Task, values: Path | None, losses: Sequence[Any], chain: Sequence[Any]) -> None:
    """Lay a checkpoint for a run that is to go on from a state that somebody else says it had.

    Args:
        scratch: of the run.
        task: what is trained.
        values: the file of the state, as :func:`keep` writes it; None for that before the first step.
        losses: the records of the steps before.
        chain: the links up to that of the state.

    Raises:
        StateError: if the values are not those of a state of this task, or not the ones that the last link names.
    """
    frozen = task.given()
    state = State.initial(task.initial(), frozen)
    state.step = int(chain[-1]["step"])
    if values is not None:
        _read_into(state, values, task.trained())
    if (found := state.digest()) != chain[-1]["state"]:
        raise StateError(f"the state at step {state.step} has the digest {found}, and the chain {chain[-1]['state']}")
    state.losses, state.chain = list(losses), list(chain)
    save(state, scratch)


class StateError(StageError):
    """A state is not the one that it is said to be."""


def _read_into(state: State, values: Path, shapes: Mapping[str, Shape]) -> None:
    size = 4 * 3 * sum(map(math.prod, shapes.values()))
    if values.stat().st_size != size:
        raise StateError(f"it has {values.stat().st_size:,} bytes, and a state of this model has {size:,}")
    for part, name, tensor in Checkpoint(values, state.step, [], []).read(shapes):
        own = {"parameter": state.parameters, "first": state.first, "second": state.second}[part][name]
        own.copy_(tensor.reshape(own.shape))


def keep(state: State, scratch: Path, workers: Workers = ALONE) -> None:
    """Write a complete state as :meth:`State.read` reads it, whole or not at all. The first worker writes."""
    if (values := _values(state, workers)) is None:
        return
    with new_file(scratch / state_file(state.step)) as file:
        file.writelines(values)


def _values(state: State, workers: Workers) -> Iterator[memoryview] | None:
    """The bytes of what training changes, chunk by chunk, for the first worker; the others give theirs and get None."""
    given = (state.values(chunk, 0, workers) for chunk in state.changing())
    if workers.rank == 0:
        return (canonical(values) for values in given if values is not None)
    for _ in given:
        pass
    return None


def _cut(count: int, size: int) -> Iterator[slice]:
    """The rows of a matrix of so many and so long ones, as many at a time as make a chunk."""
    step = max(1, STRETCH // max(1, 4 * size))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _lines(hashes: Iterable[str]) -> Iterator[str]:
    return (f"{one}\n" for one in hashes)


def _seal(hashes: Mapping[str, list[str]]) -> Any:
    """A sha256 to go on with: of the frozen parameters, in the order of their names."""
    found = hashlib.sha256()
    for name, values in sorted(hashes.items()):
        found.update("".join((f"frozen {name}\n", *_lines(values))).encode())
    return found


def _sealed(record: str, values: Any) -> str:
    """A record and, on a second line, the sha256 of the values' bytes with the record's behind them.

    ``values`` is what :func:`_seal` began.
    """
    values.update(record.encode())
    return f"{record}\n{values.hexdigest()}\n"


@dataclass(frozen=True)
class Checkpoint:
    """A state on disk: a record, and beside it the bytes of what training changes, in the order of
    :meth:`State.changing`.

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

    def moments(self, shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
        """The moments as ``first.NAME`` and ``second.NAME``: views of the file, which nothing holds in memory."""
        mapped = np.memmap(self.values, dtype="<f4", mode="c")
        found, place = dict[str, Tensor](), sum(map(math.prod, shapes.values()))
        for part in _MOMENTS:
            for name, shape in sorted(shapes.items()):
                count = math.prod(shape)
                found[f"{part}.{name}"] = torch.from_numpy(mapped[place : place + count].reshape(shape))
                place += count
        return found

    def read(self, shapes: Mapping[str, Shape]) -> Iterator[tuple[Part, str, Tensor]]:
        """Part, name and values of everything, one after the other."""
        parts: tuple[Part, ...] = ("parameter", *_MOMENTS)
        with self.values.open("rb") as file:
            for part in parts:
                for name, shape in sorted(shapes.items()):
                    values = np.fromfile(file, dtype="<f4", count=math.prod(shape))
                    yield part, name, torch.from_numpy(values.astype(np.float32, copy=False).reshape(shape))


def restore(scratch: Path, frozen: Mapping[str, Tensor] = MappingProxyType({})) -> Checkpoint | None:
    """The newest checkpoint that is whole and was made with these frozen parameters; others are passed over."""
    if not (found := checkpoints(scratch)):
        return None
    seal = _seal(State.initial({}, frozen).sealed())
    for directory in found:
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
    shapes = {name: state.shapes[name] for name in state.first}
    found = (values for part, _, values in checkpoint.read(shapes) if part != "parameter") if checkpoint else None
    for moments in (state.first, state.second):
        for mine in moments.values():
            workers.scatter(rows(next(found)) if found else None, mine)


def _spread(shapes: Mapping[str, Shape], given: dict[str, Tensor], workers: Workers) -> dict[str, Tensor]:
    """What each worker holds of the parameters that the first one is given, and lets go of."""
    shorter = workers.tell({name: SHORTER.index(x.dtype) for name, x in given.items() if x.dtype in SHORTER})
    found = {}
    for name, shape in sorted(shapes.items()):
        whole, kind = given.pop(name, None), SHORTER[shorter[name]] if name in shorter else torch.float32
        if workers.holders.count == 1:
            found[name] = torch.zeros(shape, dtype=kind) if whole is None else whole
            workers.give(found[name])
            continue
        held = _rows_of(shape, workers.holders, torch.zeros(0, dtype=kind))
        workers.scatter(None if whole is None else rows(whole), held[workers.peers.rows(len(held))])
        workers.peers.share([held])
        found[name] = held
    return found


def _zeros(parameter: Tensor, shape: Shape, workers: Workers) -> Tensor:
    """A moment of a parameter before the first step: the rows that this worker owns."""
    return _rows_of(shape, workers, parameter)


def _rows_of(shape: Shape, workers: Workers, like: Tensor) -> Tensor:
    """Zeros for the rows that are this worker's among others."""
    count, columns = matrix(shape)
    mine = workers.rows(count)
    return torch.zeros((mine.stop - mine.start, columns), dtype=like.dtype, device=like.device)
