"""Building a release again from its own recipe and lock, in a store of its own, and comparing every stage."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from regrow.building import rebuilds
from regrow.building.assemble import assemble
from regrow.building.contents import contents_of
from regrow.building.locking import Locked, as_locked
from regrow.engine import Choice, Evaluation, Listener, Stop, evaluate, rerun
from regrow.errors import Interrupted, RegrowError, StageError
from regrow.recipe.graph import Graph
from regrow.recipe.kind import Workers
from regrow.recipe.pin import MOST_NAMED, WITHHELD
from regrow.release import Release
from regrow.release.asked import said
from regrow.release.files import DamagedError, read_bytes
from regrow.release.layout import ATTESTATIONS, BUILDINFO, GIVEN, REPORT, STATES, SUMS, statement_path
from regrow.release.sums import changed
from regrow.report import contents, render
from regrow.store import Store, remove_tree
from regrow.store.digest import files, sha256_file
from regrow.verifying.cost import require_wanted
from regrow.verifying.files import FileCheck, check_files, there
from regrow.verifying.machines import machines
from regrow.verifying.partial import Part, contradictions, part_of
from regrow.verifying.report import StageCheck, Verdict, VerifyReport

_TEMPORARY = "free some space there, or set TMPDIR to a folder on a disk with room that you may write to"


def rebuild(
    folder: Path,
    *,
    listener: Listener,
    stop: Stop,
    store: Path | None = None,
    sources: Path | None = None,
    offline: bool = False,
    who: Choice | None = None,
    confirmed: bool = False,
    keep_going: bool = False,
    workers: Workers | None = None,
    recompute: bool = False,
) -> VerifyReport:
    """Verify a release by building it again.

    The files are compared with the list of checksums first; if they are not whole, or the lock does not belong to the
    recipe, the answer is known without a rebuild. Building stops at the first stage that gives something else; that
    stage is run once more, to tell a difference from a machine that does not agree with itself. If every stage gives
    the same, so do card, statements and tables that follow from them, and the report; the rest is named. Where texts
    are missing that may not be shared, what can be built without them is, and the answer says so.

    Args:
        folder: of the release.
        listener: gets the events of the rebuild.
        stop: when it is set, :class:`regrow.errors.Interrupted` is raised.
        store: the root of a store to build in; what is in it already is believed. By default an empty one that goes.
        sources: the folder in which ``file:`` sources are found.
        offline: never use the network.
        who: who does the work, and how much at the same time; by default this process does all.
        confirmed: whether to build however long it takes.
        keep_going: build all stages, and report each that differs; one that fails only ends what needs it.
        workers: who share the training; by default nobody does.
        recompute: whether training keeps less between forwards and backwards, and computes it once more.

    Raises:
        InputError: if there is no release, or a source cannot be had (exit code 6).
        RecipeError: if it would take very long or more than this machine has, and nobody confirmed it.
    """
    started = time.monotonic()
    release = Release.open(folder)
    check = check_files(release)
    report = VerifyReport(str(folder), check.digest, Verdict.DAMAGED, files=_damage(check), reasons=_doubt(check))
    if check.whole:
        locked, reasons = as_locked(folder, sources=sources, offline=offline)
        locked = locked.lent(workers, recompute=recompute)
        if reasons:
            report = replace(report, verdict=Verdict.INCONSISTENT, reasons=reasons)
        else:
            with room_of(store) as room:
                work = _Rebuild(release, check, locked, room, listener, stop, who, keep_going)
                require_wanted(replace(locked, graph=work.graph), room, confirmed)
                report = work.report()
            report = replace(report, reasons=(*report.reasons, *_other_secrets(locked, sources)))
            if report.verdict is Verdict.SAME:
                report = replace(report, asked=tuple(said(release, {stage.name for stage in report.stages})))
            if report.verdict is Verdict.SAME and store is None:
                libraries = {name for stage in locked.graph.stages for name in stage.kind.libraries}
                rebuilds.note(check.digest, "regrow verify", time.monotonic() - started, libraries)
    return replace(report, seconds=time.monotonic() - started)


@contextmanager
def room_of(root: Path | None) -> Iterator[Store]:
    """The store to build in: the given one, or an empty one that goes afterwards."""
    folder = root or Path(tempfile.mkdtemp(prefix="regrow-verify-"))
    try:
        with Store(folder) as store:
            yield store
    except StageError as error:
        if root is None and str(folder) in error.what and "REGROW_STORE" in error.hint:
            error.hint = _TEMPORARY  # the user's store is elsewhere, and has nothing to do with it
        raise
    finally:
        if root is None:
            remove_tree(folder)


@dataclass
class _Rebuild:
    """One rebuild. It listens to its own events, so that it can stop at the first difference."""

    release: Release
    check: FileCheck
    locked: Locked
    store: Store
    listener: Listener
    stop: Stop
    who: Choice | None
    keep_going: bool = False
    found: dict[str, str] = field(default_factory=dict)
    failed: dict[str, RegrowError] = field(default_factory=dict)

    @cached_property
    def part(self) -> Part | None:
        """What can be built, if that is not all."""
        return part_of(self.release, self.locked) if self.locked.missing else None

    @property
    def graph(self) -> Graph:
        """What is built."""
        return self.part.graph if self.part else self.locked.graph

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Note what the stages give, and pass the event on."""
        taken = self.part.given if self.part else ()
        if event.get("event") in ("stage-done", "stage-cached") and event["stage"] not in taken:
            self.found[event["stage"]] = event["digest"]
        self.listener(event)

    def is_set(self) -> bool:
        """True once the user asked to stop, or there is nothing more to find out."""
        return self.stop.is_set() or (self.different() and not self.keep_going)

    def different(self) -> bool:
        """True once a stage gave something else than the lock promises."""
        return any(digest != self.locked.promised.get(name) for name, digest in list(self.found.items()))

    def report(self) -> VerifyReport:
        """Build, compare, and say what was found."""
        made = self._evaluate()
        report = VerifyReport(str(self.release.path), self.check.digest, Verdict.SAME, stages=self._stages())
        first = next((stage.name for stage in report.stages if stage.same is False), None)
        if first is not None:
            return self._stage_differs(replace(report, first=first))
        if self.failed:
            return replace(report, verdict=Verdict.FAILED)
        assert made is not None  # it stops early for a difference only
        return self._part_differs(report, made, self.part) if self.part else self._release_differs(report, made)

    def _evaluate(self) -> Evaluation | None:
        """Build up to the end, or up to the first difference and then give None."""
        try:
            return evaluate(
                self.graph,
                self.store,
                scope="verify",
                listener=self,
                stop=self,
                who=self.who,
                surroundings=self.locked.surroundings,
                failed=(lambda stage, error: self.failed.update({stage.name: error})) if self.keep_going else None,
            )
        except Interrupted:
            if self.stop.is_set():
                raise
            return None

    def _stages(self) -> tuple[StageCheck, ...]:
        graph, promised = self.locked.graph, self.locked.promised
        other = {name for name, digest in self.found.items() if digest != promised.get(name)}
        return tuple(
            StageCheck(
                stage.name,
                promised.get(stage.name, ""),
                self.found.get(stage.name),
                tuple(sorted(other & stage.needs)),
                str(self.failed.get(stage.name, "")),
            )
            for stage in graph.stages
        )

    def _stage_differs(self, report: VerifyReport) -> VerifyReport:
        """Run what differs, from the same inputs, once more: does this machine agree with itself?"""
        causes = [stage.name for stage in report.stages if stage.same is False and not stage.fed_other]
        first, *others = [self._again(replace(report, first=name)) for name in causes]
        moody = [one.first for one in others if one.verdict is Verdict.NOT_DETERMINISTIC]
        told = (f"`{name}` gives two different outputs on this machine, so nothing is said about it" for name in moody)
        return replace(first, reasons=(*first.reasons, *told))

    def _again(self, report: VerifyReport) -> VerifyReport:
        name = report.first or ""
        made = evaluate(
            self.graph,
            self.store,
            scope="verify",
            listener=self.listener,
            stop=self.stop,
            only=[name],
            surroundings=self.locked.surroundings,
        )
        again = self.store.fresh()
        digest = rerun(
            self.graph[name],
            made,
            self.store,
            listener=self.listener,
            stop=self.stop,
            output=again,
            surroundings=self.locked.surroundings,
        )
        here = _sums(made.results[name].path)
        if digest != made.results[name].digest:
            return replace(report, verdict=Verdict.NOT_DETERMINISTIC, files=changed(here, _sums(again)))
        released, doubt = self._released(name)
        if len(released) >= MOST_NAMED:  # a statement names the first of very many
            here = {path: sha256 for path, sha256 in here.items() if path in released}
        return replace(
            report,
            verdict=Verdict.DIFFERENT,
            files=changed(here, released) if released else (),
            reasons=doubt,
            machines=machines(self.release, self.locked),
        )

    def _released(self, name: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """The files of a stage as its statement in the release has them, unless statement and lock disagree."""
        with suppress(DamagedError):
            said = self.release.statement(name)
            if said is not None and said.digest == self.locked.promised.get(name):
                return dict(said.files), ()
        path = statement_path(name)
        return {}, (f"the lock and the statement in {path} do not agree on what `{name}` gave",)

    def _part_differs(self, report: VerifyReport, made: Evaluation, part: Part) -> VerifyReport:
        """What can be built is as promised: does the rest fit together, as far as that is seen without building it?"""
        report = replace(report, missing=part.missing, taken=tuple(sorted(part.given)))
        artifacts = {name: result.path for name, result in made.results.items()}
        try:
            wrong = tuple(contradictions(self.release, self.locked, part, artifacts))
        except DamagedError as error:
            wrong = (f"{error.path}: {error.cause}",)
        if wrong:
            return replace(report, verdict=Verdict.DIFFERENT, reasons=wrong)
        return replace(report, verdict=Verdict.NOT_HERE)

    def _release_differs(self, report: VerifyReport, made: Evaluation) -> VerifyReport:
        """Every stage is as promised: are the files of the release what the stages gave?"""
        new = self.store.fresh() / "release"
        digest = assemble(contents_of(self.locked, made), new, whole=False)
        report = replace(report, rebuilt=digest, given=there(self.release, GIVEN))
        if digest == self.check.digest:
            return self._page_differs(report)
        return replace(
            report,
            verdict=Verdict.DIFFERENT,
            files=changed(self.check.listed, Release.at(new).listed),
            machines=machines(self.release, self.locked),
        )

    def _page_differs(self, report: VerifyReport) -> VerifyReport:
        """Everything covered is as promised: does the page beside it show that, and what is nobody's to check?"""
        unchecked = there(self.release, (BUILDINFO, STATES, ATTESTATIONS))
        report = replace(report, unchecked=unchecked, machines=machines(self.release, self.locked))
        try:
            page = render(contents(self.release)).encode()
            if not self.release.files.has(REPORT) or read_bytes(self.release.files, REPORT) == page:
                return report
            damaged, why = REPORT, "it is not the page that shows this release; `regrow report` writes that one"
        except DamagedError as error:
            damaged, why = error.path, error.cause
        return replace(report, verdict=Verdict.DIFFERENT, files=(damaged,), reasons=(f"{damaged}: {why}",))


def _other_secrets(locked: Locked, sources: Path | None) -> Iterator[str]:
    """That there are secrets beside the texts, but not those of the release."""
    for stage in locked.missing if sources is not None else ():
        name = stage.removeprefix(f"{locked.graph[stage].kind.name}-")
        if any((sources or Path()).glob(f"{WITHHELD}/{name}-*.sha256")):
            yield f"{sources}/{WITHHELD} has a list of `{name}`, but of other files or with another secret"


def _doubt(check: FileCheck) -> tuple[str, ...]:
    """Why nothing is said about other files, where that is so."""
    if SUMS not in check.damaged:
        return ()
    return (f"{SUMS} is not a list as regrow writes it; get the release again from where it came",)


def _damage(check: FileCheck) -> tuple[str, ...]:
    return (
        *(f"damaged: {name}" for name in check.damaged),
        *(f"missing: {name}" for name in check.missing),
        *(f"not listed: {name}" for name in check.extra),
    )


def _sums(directory: Path) -> dict[str, str]:
    return {path: sha256_file(directory / path) for path in files(directory)}
