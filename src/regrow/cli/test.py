"""``regrow test``: a release's own prompts and scores, once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, pass_console, readable, release_argument, threads_option
from regrow.words import counted

if TYPE_CHECKING:
    from regrow.testing.again import Case, Outcome

_DIFFERENT = 3
_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


@click.command(
    epilog=example("  regrow test build/bard\n  regrow test build/new --against build/old --junit tests.xml")
)
@release_argument
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="RELEASE",
    help="Ask what this other release keeps answers to, and compare with these.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1, max=1024),
    default=8,
    show_default=True,
    metavar="N",
    help="Texts at a time. The answers are the same for any number.",
)
@click.option("--junit", type=Place(file=True), metavar="FILE", help="Write the outcome as JUnit's XML.")
@threads_option
@json_option
@pass_console
def command(console: Console, release: Path, against: Path | None, batch: int, junit: Path | None) -> None:
    """Ask a release again what it keeps answers to.

    Its prompts (`[[prompt]]`), the samples of `[evaluate]` and its scores (`[[score]]`) come out again to the last
    digit, or it is told what changed, and the exit code is 3. With `--against`, the prompts, samples and scores of
    another release are asked: what does the new one do otherwise?
    """
    from regrow.store import write_atomic
    from regrow.testing.again import ask_again
    from regrow.testing.junit import junit as written

    there, other = readable(release), readable(against) if against else None
    outcome = ask_again(there.path, other.path if other else None, batch)
    if junit:
        write_atomic(junit, written(outcome))
    if console.json:
        told = {**asdict(outcome), "passed": not outcome.failed}
        console.document("test/1", told)
    else:
        console.result("\n".join(_lines(outcome)))
    if outcome.failed:
        raise click.exceptions.Exit(_DIFFERENT)


def _lines(outcome: Outcome) -> Iterator[str]:
    for case in outcome.cases:
        yield from _case(case)
    if outcome.digest != outcome.kept:
        yield f"asked was {outcome.digest}"
        yield f"answers of {outcome.kept}, which is another release"
    verdicts = Counter(case.verdict for case in outcome.cases)
    failed, total = verdicts["failed"], counted(len(outcome.cases), "test")
    told = f"{failed} of {total} failed" if failed else f"{total}, all as they were"
    if skipped := verdicts["skipped"]:
        told = f"{failed} of {total} failed, {skipped} skipped" if failed else f"{skipped} of {total} skipped"
    yield told


def _case(case: Case) -> Iterator[str]:
    yield f"{_MARKS[case.verdict]:>7}  {case.kind} {case.name}" + (f": {case.why}" if case.why else "")
    yield from (f"           {line}" for line in case.diff)
    if case.hint:
        yield f"         hint: {case.hint}"
