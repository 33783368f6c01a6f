"""What a check of parts looked at, what it found, and what it says of the rest: for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from regrow.printable import one_line
from regrow.verifying.chain import Segment
from regrow.verifying.draw import missed, told
from regrow.verifying.report import Verdict, not_deterministic, taken
from regrow.words import counted

_SHARE = 0.1
"""The share that is changed where a figure says how likely that is passed over."""


@dataclass(frozen=True)
class Drawn:
    """How many of some things that were committed to were drawn, and how many looked at.

    Attributes:
        whole: how many there are.
        drawn: how many were drawn; the first and the last are among them.
        checked: how many were run, as drawn or on the way to one that was.
    """

    whole: int
    drawn: int
    checked: int

    @property
    def changed(self) -> int:
        """How many changed ones the figure is about: a tenth, as far as so many were not run."""
        return min(max(1, round(_SHARE * self.whole)), self.whole - self.checked)

    @property
    def passed_over(self) -> float:
        """How likely, at most, this passes over so many that are changed.

        What is run on the way does not count: it is known which states are kept, and so where nobody comes by.
        """
        return missed(self.whole, self.drawn, self.changed) if self.changed else 0.0

    def to_json(self) -> dict[str, Any]:
        """The figure."""
        return {"drawn": self.drawn, "changed": self.changed, "passed_over": self.passed_over}


@dataclass(frozen=True)
class Looked:
    """What was run of one training stage.

    Attributes:
        stage: its name.
        segments: how many there are.
        drawn: how many were drawn; the first and the last are among them.
        checked: which ones were run, as drawn or on the way from a kept state to them.
        root: the hash that binds the run.
        steps: how many optimizer steps were run, of how many.
    """

    stage: str
    segments: int
    drawn: int
    checked: tuple[Segment, ...]
    root: str
    steps: tuple[int, int]

    @property
    def figure(self) -> Drawn:
        """How likely a lie is passed over."""
        return Drawn(self.segments, self.drawn, len(self.checked))

    def __str__(self) -> str:
        """In a sentence, which claims no more than was seen."""
        figure = self.figure
        if not figure.changed:
            return f"{self.stage}: all {self.segments} segments were run, and each ends where the chain says"
        return (
            f"{self.stage}: {figure.checked} of {self.segments} segments were run ({self.steps[0]:,} of "
            f"{self.steps[1]:,} steps), and each ends where the chain says; a run with "
            f"{counted(figure.changed, 'other segment')} changed would have passed with probability "
            f"{told(figure.passed_over)}"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data; segments are counted from 1."""
        return {
            "stage": self.stage,
            "segments": self.segments,
            "checked": [segment.number + 1 for segment in self.checked],
            "root": self.root,
            "steps_run": self.steps[0],
            "steps": self.steps[1],
            **self.figure.to_json(),
        }


@dataclass(frozen=True)
class LookedParts:
    """What was made again of a stage that gives its output in parts.

    Attributes:
        stage: its name.
        parts: how many there are.
        checked: which ones were made again, from 0.
        root: the digest of all of them, by which they were drawn.
    """

    stage: str
    parts: int
    checked: tuple[int, ...]
    root: str

    @property
    def figure(self) -> Drawn:
        """How likely a lie is passed over."""
        return Drawn(self.parts, len(self.checked), len(self.checked))

    def __str__(self) -> str:
        """In a sentence, which claims no more than was seen."""
        figure = self.figure
        if not figure.changed:
            return f"{self.stage}: all {self.parts} parts were made again, and each is the one that the lock names"
        return (
            f"{self.stage}: {figure.checked} of {self.parts} parts were made again, and each is the one that the lock "
            f"names; {counted(figure.changed, 'other part')} changed would have passed with probability "
            f"{told(figure.passed_over)}"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data; parts are counted from 1."""
        return {
            "stage": self.stage,
            "parts": self.parts,
            "checked": [index + 1 for index in self.checked],
            "root": self.root,
            **self.figure.to_json(),
        }


@dataclass(frozen=True)
class SpotReport:
    """What a check of parts established.

    Attributes:
        release: the folder, as the user named it.
        digest: of the release as it is.
        nonce: by which the parts were drawn.
        drawn_here: whether the nonce was made up for this check, so that nobody could know it before.
        lie: what is not as the release says; empty if nothing was found.
        moody: whether what differs gave something else again when it was run once more, so that nothing is said about
            the release.
        where: the stage in which it was found.
        same: stages that were built again as a whole, and are the same.
        looked: what was run of the stages that train.
        parts: what was made again of stages that give their output in parts.
        asked: what the model answered and reached when it was asked again, which is the same.
        unkept: stages that have parts or states to begin with, of which none that is right was found anywhere, so that
            they were made from their beginning.
        given: files that are the makers' own words, which the check began with.
        unchecked: files that nothing was compared with.
        machines: what is different about this machine, as far as the release tells about the author's.
        seconds: how long it took.
    """

    release: str
    digest: str
    nonce: str
    drawn_here: bool = True
    lie: str = ""
    moody: bool = False
    where: str = ""
    same: tuple[str, ...] = ()
    looked: tuple[Looked, ...] = ()
    parts: tuple[LookedParts, ...] = ()
    asked: tuple[str, ...] = ()
    unkept: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """Of ``regrow verify``."""
        return self._verdict.exit_code

    @property
    def _verdict(self) -> Verdict:
        if self.moody:
            return Verdict.NOT_DETERMINISTIC
        return Verdict.DIFFERENT if self.lie else Verdict.SAME

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.moody:
            yield from not_deterministic(self.where)
        elif self.lie:
            yield one_line(f"Different: {self.where + ': ' if self.where else ''}{self.lie}")
        else:
            yield "Nothing differs in what was looked at, which is not all: only a full rebuild is a proof."
        yield from (f"  {one}" for one in (*self.parts, *self.looked))
        if self.same:
            yield f"  built again as a whole, and the same: {', '.join(self.same)}"
        yield from taken("asked again, the same", self.asked)
        if self.unkept:
            why = "since nothing to begin with is kept, or not what was committed to"
            yield f"  from the beginning, {why}: {', '.join(self.unkept)}"
        if not self.exit_code:
            yield from taken("taken as given", self.given)
            yield from taken("not looked at", self.unchecked)
        yield from (f"  this machine: {one_line(line)}" for line in self.machines)
        yield from self._nonce()
        yield self.digest

    def _nonce(self) -> Iterator[str]:
        yield f"  nonce {self.nonce} (the same one draws the same segments; `--nonce` takes one)"
        if not self.drawn_here:
            yield (
                "  The nonce was given: whoever knew it before the release was finished could leave just these "
                "segments right, and then the figures mean nothing."
            )

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "release": self.release,
            "digest": self.digest,
            "nonce": self.nonce,
            "nonce_drawn_here": self.drawn_here,
            "verdict": self._verdict.value if self.exit_code else "same in part",
            "lie": self.lie,
            "stage": self.where,
            "same": list(self.same),
            "runs": _plain(self.looked),
            "parts": _plain(self.parts),
            "asked_again": list(self.asked),
            "unkept": list(self.unkept),
            "given": list(self.given),
            "unchecked": list(self.unchecked),
            "machines": list(self.machines),
            "seconds": round(self.seconds, 3),
        }


def _plain(looked: Sequence[Looked | LookedParts]) -> list[dict[str, Any]]:
    return [one.to_json() for one in looked]
