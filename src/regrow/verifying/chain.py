"""The chain of one training run as a release has it: whole, and what its commitments say, or a lie that has a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from regrow.recipe.pin import is_sha256
from regrow.release import Release
from regrow.release.files import DamagedError, read_bytes
from regrow.release.layout import CHAIN, LOSSES
from regrow.release.statements import Statement
from regrow.stages.training import Schedule
from regrow.train.records import STEP, line


class BrokenChainError(ValueError):
    """A chain is not one that a run of these parameters can have; says why."""


@dataclass(frozen=True)
class Segment:
    """The steps between two links.

    Attributes:
        number: of the segment, from 0.
        start: the step of the link before it.
        end: the last step.
    """

    number: int
    start: int
    end: int

    def __str__(self) -> str:
        """In words, with the steps counted from 1."""
        return f"segment {self.number + 1} (steps {self.start + 1:,} to {self.end:,})"


@dataclass(frozen=True)
class Run:
    """What a release says of a training run.

    Attributes:
        losses: a record for each step.
        links: of the chain.
    """

    losses: Sequence[Mapping[str, Any]]
    links: Sequence[Mapping[str, Any]]

    @property
    def root(self) -> str:
        """The hash that binds all of it."""
        return str(self.links[-1]["chain"])

    @property
    def segments(self) -> tuple[Segment, ...]:
        """In their order."""
        return tuple(Segment(number, a["step"], b["step"]) for number, (a, b) in enumerate(pairwise(self.links)))

    @staticmethod
    def read(folder: Path) -> Run:
        """That of a stage that was run here."""
        losses, links = (
            [json.loads(row) for row in (folder / Path(name).name).read_text("utf-8").splitlines()]
            for name in (LOSSES, CHAIN)
        )
        return Run(losses, links)

    def before(self, step: int) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
        """The records and the links up to a step, the one of it included."""
        return self.losses[:step], [link for link in self.links if link["step"] <= step]


def run_of(release: Release, said: Statement, schedule: Schedule) -> Run:
    """The run of a stage, with every hash of its chain followed.

    Args:
        release: the release.
        said: the statement about the stage, which names the files by their sha256.
        schedule: what the stage's parameters say of the run.

    Raises:
        BrokenChainError: if the chain is not whole, was edited, or is that of another run.
    """
    found = records_of(release, said)
    _require_steps(found, schedule)
    _require_links(found)
    return found


def records_of(release: Release, said: Statement) -> Run:
    """The same, of which nothing is followed but that the statement names the files.

    Raises:
        BrokenChainError: if the release does not have them.
    """
    return Run(_lines(release, said, LOSSES), _lines(release, said, CHAIN))


def _lines(release: Release, said: Statement, path: str) -> Sequence[Mapping[str, Any]]:
    """The records in a file of a stage, which lies in a folder of its own where a later stage has the name."""
    folder, _, name = path.rpartition("/")
    promised = dict(said.files).get(name)
    for place in (path, f"{folder}/{said.stage}/{name}"):
        data = read_bytes(release.files, place)
        if hashlib.sha256(data).hexdigest() == promised:
            try:
                return [dict(json.loads(row)) for row in data.decode().splitlines()]
            except (ValueError, TypeError, RecursionError) as error:
                raise DamagedError(release.path, place, f"a line is no record: {error}") from error
    raise BrokenChainError(f"the release does not have the {name} that the statement about `{said.stage}` names")


def _require_steps(run: Run, schedule: Schedule) -> None:
    """Records for every step and links where they belong: none is missing, twice or in another place."""
    steps = _numbers(run.losses)
    if steps != list(range(1, schedule.steps + 1)):
        said = f"{len(steps):,} of {schedule.steps:,}" if len(steps) != schedule.steps else "not in their order"
        raise BrokenChainError(f"the records of steps are {said}")
    wanted = sorted({*range(0, schedule.steps + 1, schedule.links), schedule.steps})
    links = _numbers(run.links)
    if links != wanted:
        what = "truncated" if links == wanted[: len(links)] else "not in its order, or has links of another run"
        raise BrokenChainError(f"the chain is {what}: {len(links):,} links, and {len(wanted):,} belong to this run")


def _numbers(rows: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """The steps that records are of. To JSON ``6.0`` and ``true`` are numbers, too, and no record of ours has them."""
    return [step if type(step := row.get("step")) is int else None for row in rows]


def _require_links(run: Run) -> None:
    before = ""
    for place, link in enumerate(run.links):
        since = run.links[place - 1]["step"] if place else 0
        records = run.losses[since : link["step"]]
        try:
            text = "".join(line({name: record[name] for name in STEP}) for record in records)
        except KeyError as error:
            raise BrokenChainError(f"a record after step {since:,} has no {error}") from error
        state = str(link.get("state"))
        if not is_sha256(state):
            raise BrokenChainError(f"the link of step {link['step']:,} names no state")
        if link.get("records") != hashlib.sha256(text.encode()).hexdigest():
            raise BrokenChainError(
                f"the records of steps {since + 1:,} to {link['step']:,} are not those it was made with"
            )
        if link.get("chain") != hashlib.sha256(f"{before}{state}{link['records']}".encode()).hexdigest():
            raise BrokenChainError(f"the link of step {link['step']:,} does not follow from the one before it")
        before = str(link["chain"])
