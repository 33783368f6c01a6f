"""The complete state of a run, its digest, and checkpoints from which a killed run goes on to the same end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load as load_safetensors
from torch import Tensor

from regrow.exact.optimizer import rows
from regrow.exact.workers import ALONE, Workers
from regrow.model.files import canonical_bytes, safetensors_bytes
from regrow.store.atomic import new_directory, remove_tree
from regrow.store.digest import sha256_bytes

_KEPT = 2


@dataclass
class State:
    """Everything that the rest of a run depends on, besides its settings and data.

    Attributes:
        step: steps done.
        parameters: float32, by name.
        first: AdamW's first moments.
        second: AdamW's second moments.
        losses: a record for each step done.
        chain: the links of the checkpoint chain so far.
    """

    step: int
    parameters: dict[str, Tensor]
    first: dict[str, Tensor]
    second: dict[str, Tensor]
    losses: list[dict[str, float]] = field(default_factory=list)
    chain: list[dict[str, object]] = field(default_factory=list)

    @staticmethod
    def initial(parameters: Mapping[str, Tensor]) -> State:
        """The state before the first step."""
        first, second = ({name: torch.zeros_like(parameters[name]) for name in sorted(parameters)} for _ in range(2))
        return State(0, dict(sorted(parameters.items())), first, second)

    def gather(self, workers: Workers) -> None:
        """Make the moments whole again where every worker has kept only its own rows."""
        for moments in (self.first, self.second):
            workers.share([rows(moments[name]) for name in sorted(moments)])

    def digest(self) -> str:
        """sha256 over the step and every tensor: name, shape and canonical bytes, in the order of the names."""
        found = hashlib.sha256(f"step {self.step}\n".encode())
        for part, tensors in (("parameter", self.parameters), ("first", self.first), ("second", self.second)):
            for name in sorted(tensors):
                found.update(f"{part} {name} {tuple(tensors[name].shape)}\n".encode())
                found.update(canonical_bytes(tensors[name]))
        return found.hexdigest()

    def link(self) -> None:
        """Add a link to the chain: the state's digest, and a hash that binds it to every link before."""
        state = self.digest()
        previous = str(self.chain[-1]["chain"]) if self.chain else ""
        self.chain.append({"step": self.step, "state": state, "chain": sha256_bytes(f"{previous}{state}".encode())})


def begin(scratch: Path, initial: Callable[[], Mapping[str, Tensor]], workers: Workers = ALONE) -> State:
    """The state to go on from, the same on every worker: the first one's newest checkpoint, or the beginning."""
    state = (restore(scratch) if workers.rank == 0 else None) or State.initial(initial())
    if workers.count > 1:
        facts: list[Any] = [(state.step, state.losses, state.chain)]
        torch.distributed.broadcast_object_list(facts, 0)
        state.step, state.losses, state.chain = facts[0]
        for tensors in (state.parameters, state.first, state.second):
            for name in sorted(tensors):
                torch.distributed.broadcast(tensors[name], 0)
    return state


def save(state: State, scratch: Path) -> None:
    """Write a checkpoint, whole or not at all, and drop all but the newest ones."""
    with new_directory(scratch / f"checkpoint-{state.step:09}") as directory:
        groups = (("parameter", state.parameters), ("first", state.first), ("second", state.second))
        data = safetensors_bytes({f"{part} {name}": t for part, ts in groups for name, t in ts.items()})
        record = {"step": state.step, "sha256": sha256_bytes(data), "losses": state.losses, "chain": state.chain}
        (directory / "state.safetensors").write_bytes(data)
        (directory / "state.json").write_text(json.dumps(record), encoding="utf-8")
    for old in _checkpoints(scratch)[_KEPT:]:
        remove_tree(old)


def restore(scratch: Path) -> State | None:
    """The newest checkpoint that is whole; a damaged one is passed over."""
    for directory in _checkpoints(scratch):
        try:
            record = json.loads((directory / "state.json").read_text(encoding="utf-8"))
            data = (directory / "state.safetensors").read_bytes()
        except (OSError, ValueError):
            continue
        if sha256_bytes(data) == record["sha256"]:
            return _state(record, data)
    return None


def _checkpoints(scratch: Path) -> list[Path]:
    """Newest first."""
    return sorted(scratch.glob("checkpoint-*"), reverse=True)


def _state(record: dict[str, object], data: bytes) -> State:
    groups: dict[str, dict[str, Tensor]] = {"parameter": {}, "first": {}, "second": {}}
    # In the order of the names, which workers rely on to make the same calls in the same order.
    for key, array in sorted(load_safetensors(data).items()):
        part, name = key.split(" ", 1)
        groups[part][name] = torch.from_numpy(array.copy())
    return State(
        step=record["step"],  # type: ignore[arg-type]
        parameters=groups["parameter"],
        first=groups["first"],
        second=groups["second"],
        losses=record["losses"],  # type: ignore[arg-type]
        chain=record["chain"],  # type: ignore[arg-type]
    )
