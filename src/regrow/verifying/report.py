"""What a verification found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from regrow.errors import DifferentError, InputError, NotDeterministicError, StageError
from regrow.printable import one_line
from regrow.words import counted

SCHEMA = "regrow/verify/1"
_NAMED = 8


class Verdict(Enum):
    """The answer, in the words of the JSON."""

    SAME = "same"
    DAMAGED = "damaged"
    """The files are not the ones that SHA256SUMS lists. Nothing was rebuilt."""
    INCONSISTENT = "inconsistent"
    """The lock was not made from the recipe beside it. Nothing was rebuilt."""
    DIFFERENT = "different"
    NOT_DETERMINISTIC = "not deterministic"
    """A stage gave two different outputs on this machine, so nothing is said about the release."""
    FAILED = "a stage failed"
    """A stage failed here, which says nothing about the release. What does not need it is the same."""
    NOT_HERE = "cannot be rebuilt here"
    """Texts that may not be shared are missing. What can be built without them is the same."""

    @property
    def exit_code(self) -> int:
        """Of ``regrow verify``."""
        others = {
            Verdict.NOT_DETERMINISTIC: NotDeterministicError.exit_code,
            Verdict.NOT_HERE: InputError.exit_code,
            Verdict.FAILED: StageError.exit_code,
        }
        return 0 if self is Verdict.SAME else others.get(self, DifferentError.exit_code)


@dataclass(frozen=True)
class StageCheck:
    """One stage: the digest its lock promises, and the one it has here.

    Attributes:
        name: of the stage.
        promised: by the lock.
        found: here; None if it was not run.
        fed_other: the stages which it takes something from that gave something else than promised.
        failed: why it gave nothing, if it was run and failed.
    """

    name: str
    promised: str
    found: str | None
    fed_other: tuple[str, ...] = ()
    failed: str = ""

    @property
    def same(self) -> bool | None:
        """None if it was not run."""
        return None if self.found is None else self.found == self.promised


@dataclass(frozen=True)
class VerifyReport:
    """The whole answer.

    Attributes:
        release: the directory, as the user named it.
        digest: of the release as it is.
        verdict: the answer.
        rebuilt: the digest of what was rebuilt, if it came to that.
        stages: in the order of the graph.
        first: the first stage that differs.
        files: what differs: of the release if its own files do, else of the first stage's output.
        reasons: why recipe and lock do not belong together, what is wrong with single files, or why nothing can be said
            about them.
        given: files that are the makers' own words, which the rebuild began with or took over.
        unchecked: files that nothing was compared with, as they tell of the machine that built the release.
        machines: what is different about this machine, as far as the release tells about the author's.
        missing: sources whose texts may not be shared, and are not here.
        taken: stages whose artifacts were taken from the release, for what is made from them.
        asked: what the model answered and reached when it was asked again, which is the same.
        seconds: how long it took.
    """

    release: str
    digest: str
    verdict: Verdict
    rebuilt: str | None = None
    stages: tuple[StageCheck, ...] = ()
    first: str | None = None
    files: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """Of ``regrow verify``."""
        return self.verdict.exit_code

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "schema": SCHEMA,
            "release": self.release,
            "digest": self.digest,
            "verdict": self.verdict.value,
            "rebuilt": self.rebuilt,
            "stages": [
                {
                    "name": stage.name,
                    "promised": stage.promised,
                    "found": stage.found,
                    "same": stage.same,
                    "fed_other": list(stage.fed_other),
                    "failed": stage.failed,
                }
                for stage in self.stages
            ],
            "first_difference": self.first,
            "files": list(self.files),
            "reasons": list(self.reasons),
            "given": list(self.given),
            "unchecked": list(self.unchecked),
            "machines": list(self.machines),
            "missing_sources": list(self.missing),
            "taken_stages": list(self.taken),
            "asked_again": list(self.asked),
            "seconds": round(self.seconds, 3),
        }

    def lines(self) -> list[str]:
        """For people."""
        found, here = list(_WORDS[self.verdict](self)), (f"  this machine: {one_line(line)}" for line in self.machines)
        place = len(found) - (found[-1] == self.digest)  # which is always last
        return [*found[:place], *here, *found[place:]]


def _same(report: VerifyReport) -> Iterator[str]:
    yield f"Same: built again here, all {len(report.stages)} stages and the release are bit for bit what was released."
    yield from taken("asked again, the same", report.asked)
    yield from taken("taken as given", report.given)
    yield from taken("not checked", report.unchecked)
    yield report.digest


def taken(how: str, files: Sequence[str]) -> Iterator[str]:
    """A line about some files, of which the first are named; none if there are none."""
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    if files:
        yield f"  {how}: {', '.join(map(one_line, files[:_NAMED]))}{more}"


def _damaged(report: VerifyReport) -> Iterator[str]:
    yield "Different: the files are not the ones SHA256SUMS lists, so nothing was rebuilt."
    yield from (f"  {one_line(line)}" for line in report.files)
    yield from (f"  {line}" for line in report.reasons)


def _inconsistent(report: VerifyReport) -> Iterator[str]:
    yield "Different: the lock was not made from this recipe, so nothing was rebuilt."
    yield from (f"  {line}" for line in report.reasons)


def _not_here(report: VerifyReport) -> Iterator[str]:
    names = ", ".join(f"`{name}`" for name in report.missing)
    built = [stage.name for stage in report.stages if stage.same]
    rest = [stage.name for stage in report.stages if stage.found is None and stage.name not in report.taken]
    yield f"Cannot be rebuilt here: {counted(len(report.missing), 'source')} missing, of texts that may not be shared."
    yield f"  missing: {names}; who holds the texts can build all of it: `regrow verify RELEASE --source DIR`"
    yield f"  built again here, the same: {', '.join(built) or 'nothing'}"
    yield from taken("from what the release holds of", report.taken)
    yield f"  fits together: the list of documents, the commitment to those of {names}, the lock and the statements"
    yield from taken("not checked, since it is made from what is missing", rest)
    yield from (f"  {line}" for line in report.reasons)
    yield report.digest


def _different(report: VerifyReport) -> Iterator[str]:
    if report.first is None and report.reasons and not report.files:
        yield "Different: what the release says of itself does not fit together."
    elif report.first is None:
        yield "Different: every stage gives what the lock has, but these files of the release are others."
    else:
        stage = next(stage for stage in report.stages if stage.name == report.first)
        equal = [stage.name for stage in report.stages if stage.same]
        yield f"Different: stage `{stage.name}` is the first to give something else, twice the same here."
        yield f"  released {stage.promised}"
        yield f"  here     {stage.found}"
        so_far = "" if _all_ran(report) or _failures(report) else " so far"
        yield f"  the same{so_far}: {', '.join(equal) or 'nothing'}"
        for other in (one for one in report.stages if one.same is False and one is not stage):
            why = f"made from {', '.join(other.fed_other)}" if other.fed_other else "made from the same"
            yield f"  other, too: {other.name}, {why}"
        yield from _lost(report)
    yield from (f"  differs: {one_line(name)}" for name in report.files)
    yield from (f"  {line}" for line in report.reasons)


def _failed(report: VerifyReport) -> Iterator[str]:
    yield "Not all could be built: a stage failed here, which says nothing about the release. The others are the same."
    yield f"  the same: {', '.join(stage.name for stage in report.stages if stage.same) or 'nothing'}"
    yield from _lost(report)
    yield report.digest


def _failures(report: VerifyReport) -> list[StageCheck]:
    return [stage for stage in report.stages if stage.failed]


def _lost(report: VerifyReport) -> Iterator[str]:
    """What failed, and what was not built because of that."""
    yield from (f"  failed: {stage.name}: {one_line(stage.failed)}" for stage in _failures(report))
    if left := [stage.name for stage in report.stages if stage.found is None and not stage.failed]:
        yield f"  not built: {', '.join(left)}"


def _all_ran(report: VerifyReport) -> bool:
    return all(stage.found is not None for stage in report.stages)


def not_deterministic(stage: str) -> Iterator[str]:
    """What is said where a machine does not agree with itself."""
    yield f"Not deterministic: stage `{stage}` gave two different outputs on this machine."
    yield "  This says nothing about the release. `regrow selftest` looks for the cause."


def _not_deterministic(report: VerifyReport) -> Iterator[str]:
    yield from not_deterministic(report.first or "")
    yield from (f"  differs: {one_line(name)}" for name in report.files)


_WORDS = {
    Verdict.SAME: _same,
    Verdict.DAMAGED: _damaged,
    Verdict.INCONSISTENT: _inconsistent,
    Verdict.DIFFERENT: _different,
    Verdict.NOT_DETERMINISTIC: _not_deterministic,
    Verdict.NOT_HERE: _not_here,
    Verdict.FAILED: _failed,
}
