"""``regrow build``: from a recipe to a release."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import (
    example,
    json_option,
    offline_option,
    pass_console,
    recipe_argument,
    recompute_option,
    shard_option,
    store_option,
    threads_option,
    who_option,
    workers_option,
)

if TYPE_CHECKING:
    from regrow.building.build import BuildResult
    from regrow.engine import Choice

_SAMPLES = 2
_SAMPLE_LINES = 4


@click.command(
    epilog=example(
        "  regrow build examples/bard\n  regrow build my-model --locked --offline --output /tmp/mine\n"
        "  regrow build examples/bard --without bible"
    )
)
@recipe_argument
@click.option("--locked", is_flag=True, help="Fail if regrow.lock is missing or out of date.")
@click.option("--frozen", is_flag=True, help="Take regrow.lock for the truth, without looking at the recipe.")
@click.option(
    "--update-lock", is_flag=True, help="Take the digests that come out into regrow.lock, if others are there."
)
@click.option(
    "--without",
    multiple=True,
    metavar="SOURCE-OR-FILE",
    help="Leave out a source, or the documents whose ids are in a file, and all that says the same; may be given "
    "several times.",
)
@offline_option
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="DIR", help="The release; by default build/NAME."
)
@store_option
@workers_option
@shard_option
@recompute_option
@click.option(
    "--max-restarts",
    type=click.IntRange(min=0),
    metavar="N",
    help="How often to start the workers again when one is lost; by default 3.",
)
@who_option
@click.option(
    "--log-to",
    multiple=True,
    metavar="WHERE",
    help="Also show training in tensorboard:DIR, trackio:PROJECT or wandb:PROJECT; may be given several times.",
)
@threads_option
@json_option
@pass_console
def command(
    console: Console,
    recipe: Path,
    locked: bool,
    frozen: bool,
    update_lock: bool,
    without: tuple[str, ...],
    offline: bool,
    output: Path | None,
    store: Path | None,
    workers: int | None,
    shard: bool,
    recompute: bool,
    max_restarts: int | None,
    who: Choice,
    log_to: tuple[str, ...],
) -> int:
    """Build a recipe into a release.

    RECIPE is the folder with regrow.toml. What was built before is taken from the store. A build that is stopped, in
    whatever way, continues with the same command. The digest of the release is the only line on stdout.

    It is the same for any number of workers and jobs, and with --shard and --recompute, which take time and spare
    memory; `regrow plan` says how much. --threads is then for each worker; by default they share the processors.
    `regrow plan --workers N --hosts M` shows how to start workers on several machines, and `regrow plan --runner slurm`
    how to prepare text there.
    """
    if sum((locked, frozen, update_lock)) > 1:
        raise click.UsageError("choose one of --locked, --frozen and --update-lock")
    if max_restarts is not None and workers is None:
        raise click.UsageError("--max-restarts is about --workers\nhint: add --workers N, or leave it out")
    from regrow.cli.sharing import follow, join, launch, leading, named
    from regrow.release.layout import LOCK, RECIPE

    environment = named(workers, shard=shard)
    if workers is not None and workers > 1 and environment is None:
        return launch(console, workers, max_restarts)
    from regrow.train.memory import keep_freed_memory

    keep_freed_memory()
    rendezvous = join(environment, any((recipe / name).is_file() for name in (RECIPE, LOCK))) if environment else None
    if rendezvous is not None and rendezvous.rank > 0:
        return follow(rendezvous)
    from regrow.building.build import Options, build
    from regrow.building.locking import Mode
    from regrow.building.trackers import tracked
    from regrow.cli.interrupts import stop_on_interrupt
    from regrow.cli.progress import progress

    mode = Mode.LOCKED if locked else Mode.FROZEN if frozen else Mode.RENEW
    options = Options(
        output=output,
        store=store,
        mode=mode,
        offline=offline,
        update_lock=update_lock,
        who=who,
        without=without,
        recompute=recompute,
    )
    with (
        leading(rendezvous, shard=shard) as group,
        stop_on_interrupt(console) as stop,
        progress(console) as lines,
        tracked(log_to, (output or recipe).resolve().name, lines) as listener,
    ):
        if environment is not None and environment.restarts:
            listener({"event": "note", "text": "a worker was lost; all have been started again"})
        result = build(recipe, replace(options, workers=group), listener=listener, stop=stop)
    if console.json:
        console.document("build/1", _document(result, recipe))
    else:
        _tell(console, result, recipe)
        console.result(result.digest)
    return 0


def _document(result: BuildResult, recipe: Path) -> dict[str, object]:
    return {
        "recipe": str(recipe),
        "release": str(result.release),
        "report": str(result.report),
        "digest": result.digest,
        "matches_lock": result.matches_lock,
        "lock_written": result.lock_written,
        "left_out": [asdict(tally) for tally in result.left_out],
        "seconds": round(result.seconds, 3),
        "stages": [
            {
                "name": stage.name,
                "key": stage.key,
                "digest": stage.digest,
                "cached": stage.cached,
                "seconds": round(stage.seconds, 3),
            }
            for stage in result.stages
        ],
        "evaluation": result.evaluation,
        "baselines": {
            one.key: {"bits_per_byte": one.bits_per_byte, "what": f"{one.name}: {one.note}"}
            for one in result.measures
            if not one.own
        },
        "warnings": [asdict(doubt) for doubt in result.doubts],
        "samples": [asdict(sample) for sample in result.samples],
        "effects": [asdict(effect) for effect in result.effects],
        "evidence": [asdict(found) for found in result.evidence],
    }


def _tell(console: Console, result: BuildResult, recipe: Path) -> None:
    """Everything but the digest, which comes last and on stdout."""
    from regrow.report.render import seconds
    from regrow.report.said import effect

    cached = sum(stage.cached for stage in result.stages)
    console.verb(
        "Finished",
        f"{_shown(result.release)} in {seconds(result.seconds)}, {cached} of {len(result.stages)} stages cached",
    )
    for one in _changes(result):
        console.say(one)
    for sample in result.samples[:_SAMPLES]:
        console.say()
        for line in _excerpt(sample.prompt + "\n" * sample.answers, sample.text):
            console.say(f"    {line}")
    if result.samples:
        console.say()
    for change in result.effects:
        console.verb("Effect", f"{change.stage}: {effect(change)}")
    for measure in sorted(result.measures, key=lambda one: not one.own):
        if measure.own:
            console.verb("Measured", f"{measure.bits_per_byte:.4f} bits per byte {measure.note}; fewer is better")
        else:
            console.verb("", f"{measure.bits_per_byte:.4f} for {measure.name}: {measure.note}")
    for found in result.evidence:
        console.verb("Evidence", f"{found.evidence.check}: {found.evidence.answer}")
        for notice in found.evidence.notices:
            console.verb("Notice", notice, "yellow")
    for doubt in result.doubts:
        console.verb("Warning", doubt.what, "yellow")
        console.verb("", doubt.hint)
    for tally in result.left_out:
        console.verb("Left out", tally.words(), "yellow")
    console.verb("Report", _shown(result.report), "cyan")
    console.verb(*_standing(result, recipe))
    console.verb("Next", f"regrow chat {shlex.quote(_shown(result.release))}", "cyan")


def _changes(result: BuildResult) -> Iterator[str]:
    """What the model answered before the first change, and what it does after the last."""
    if result.effects:
        first, last = result.effects[0], result.effects[-1]
        yield from ("", f"    {_line(first.prompt)}")
        yield f"    before: {_line(first.answers[0])}"
        yield f"    after:  {_line(last.answers[1])}"


def _line(text: str) -> str:
    """A text in one line that is not too long."""
    import textwrap

    return textwrap.shorten(text, 200, placeholder=" ...") or "(nothing)"


def _standing(result: BuildResult, recipe: Path) -> tuple[str, str, str]:
    """How the digest stands to the one in the lock, as verb, text and colour."""
    from regrow.release.layout import LOCK

    lock = _shown(recipe / LOCK)
    if result.without:
        return "Release", f"is a model of its own; its recipe and lock are in it, and {lock} stays as it is", "cyan"
    if result.matches_lock:
        return "Release", f"equals {lock}", "green"
    if result.lock_written:
        return "Release", f"is new and now stands in {lock}", "cyan"
    return "Release", f"cannot be compared: {lock} has no release digest", "yellow"


def _shown(path: Path) -> str:
    """A path as short as it can be."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the release has taken the place of this very directory
        return str(path)
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else str(path)


def _excerpt(prompt: str, text: str) -> list[str]:
    """The first lines of a prompt and what the model made of it."""
    import textwrap

    lines = [part for line in (prompt + text).splitlines() for part in textwrap.wrap(line, 88)]
    return lines[:_SAMPLE_LINES]
