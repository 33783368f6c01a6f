"""``regrow eval``: what a release reaches in tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, pass_console, release_argument, threads_option
from regrow.cli.table import table
from regrow.errors import InputError
from regrow.words import counted

if TYPE_CHECKING:
    from regrow.cli.progress import Lines
    from regrow.evaluating.scores import Scores
    from regrow.formats.keys import PrivateKey
    from regrow.release import Release
    from regrow.testing.evaluation import Heard

_MOST_AT_A_TIME = 1024


@click.command(
    epilog=example(
        "  regrow eval build/bard --tasks agreement\n  regrow eval build/bard --tasks mine.jsonl --tasks arc.yaml"
    )
)
@release_argument
@click.option(
    "--tasks",
    "names",
    multiple=True,
    metavar="NAME-OR-FILE",
    help="A task that comes along, a file of items, or a YAML task of lm-eval with its data beside it. Can be given "
    "several times; by default all that come along.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N items of each task.")
@click.option(
    "--batch",
    type=click.IntRange(min=1, max=_MOST_AT_A_TIME),
    default=8,
    show_default=True,
    metavar="N",
    help="Texts at a time. The scores are the same for any number.",
)
@click.option("--chat", is_flag=True, help="Put questions through the model's chat template.")
@click.option("--truncate", is_flag=True, help="Leave out the beginning of a text that the model has no room for.")
@click.option("--run-code", is_flag=True, help="Let a task of lm-eval run Python of its own.")
@click.option("--items", is_flag=True, help="Tell what the model said to each item.")
@click.option("--output", "-o", type=Place(file=True), metavar="FILE", help="Write the scores as JSON.")
@click.option(
    "--hub",
    type=Place(file=True),
    metavar="FILE",
    help="Write the scores of tasks that are data sets of the hub as it reads them, such as .eval_results/mine.yaml.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your private key: sign the scores, as in-toto's statement about an evaluation, beside the release.",
)
@threads_option
@json_option
@pass_console
def command(
    console: Console,
    release: Path,
    names: tuple[str, ...],
    limit: int | None,
    batch: int,
    chat: bool,
    truncate: bool,
    run_code: bool,
    items: bool,
    output: Path | None,
    hub: Path | None,
    key: Path | None,
) -> None:
    """Score a release in tasks, or another model: a GGUF file, or a folder of Hugging Face's libraries.

    The scores are the same to the last digit on every machine, for any number of threads and of texts at a time. Their
    digest covers the weights, what was asked, and what the model said to each item, so that one line can be compared.
    Nothing is fetched.
    """
    from regrow.cli.progress import progress
    from regrow.evaluating import hub as hubs
    from regrow.evaluating.names import known
    from regrow.serve.origin import Origin
    from regrow.store import write_atomic
    from regrow.testing.evaluation import Options, evaluate

    there, signer = Origin.of(release), _signer(key)
    if signer and there.release is None:
        raise InputError("this model is not a release", where=str(release), why="`--key` signs what is said of one")
    options = Options(limit, batch, chat, truncate, run_code)
    with progress(console) as listener:
        scores = evaluate(there.place, names or known(), options, _heard(listener))
    document = {there.named[0]: {"name": there.name, "digest": there.digest}, **scores.document(items)}
    if output:
        told = json.dumps({"schema": "regrow/eval/1", **document}, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomic(output, told + "\n")
    if hub:
        _write_hub(console, hub, hubs.eval_results(scores, there.digest))
    if signer and there.release:
        _sign(console, there.release, scores, signer)
    if console.json:
        console.document("eval/1", document)
        return
    console.result("\n".join(_table(scores)))
    console.result("\n".join(_said(scores)) if items else "", end="\n" if items else "")
    console.verb("Scored", f"the weights {scores.weights[:12]}, inference arithmetic {scores.inference}")
    console.result(scores.digest)


def _heard(listener: Lines) -> Heard:
    def heard(task: str, done: int, total: int) -> None:
        listener({"event": "progress", "stage": task, "done": done, "total": total, "unit": "items"})
        if done == total:
            listener.forget(task)

    return heard


def _table(scores: Scores) -> Iterator[str]:
    """A row for each measure: what came out, how sure that is, and what guessing gives."""
    rows = []
    for score in scores.scores:
        for i, one in enumerate(score.measures):
            error = "" if one.error is None else f"\u00b1 {one.error:.4f}"
            chance = "" if score.chance is None or i else f"{score.chance:.4f}"
            items = "" if i else f"{len(score.said):,}"
            rows.append(("" if i else score.task, items, one.name, f"{one.value:.4f}", error, chance))
    yield from table(("task", "items", "measure", "value", "error", "chance"), rows, right="items value error chance")
    for score in scores.scores:
        if score.cut:
            yield f"{score.task}: of {counted(score.cut, 'item')} the beginning was left out"


def _said(scores: Scores) -> Iterator[str]:
    for score in scores.scores:
        yield from (
            f"{score.task} {number}: {json.dumps(one, ensure_ascii=False)}" for number, one in enumerate(score.said)
        )


def _write_hub(console: Console, path: Path, text: str) -> None:
    from regrow.store import write_atomic

    if text:
        write_atomic(path, text)
    else:
        console.verb(
            "Note", "none of the tasks says which data set of the hub it is, so none can stand there", "yellow"
        )


def _signer(path: Path | None) -> PrivateKey | None:
    """The key, read before anything is asked."""
    from regrow.formats import keys

    return keys.private_key(path) if path else None


def _sign(console: Console, release: Release, scores: Scores, key: PrivateKey) -> None:
    from regrow.attesting.statements import scored, signed
    from regrow.formats import dsse, keys
    from regrow.release.layout import ATTESTATIONS
    from regrow.store import write_atomic

    path = release.path / ATTESTATIONS / f"{keys.key_id(key.public_key())[:16]}.scores.dsse.json"
    write_atomic(path, dsse.write(signed(scored(release, scores), key)))
    console.verb("Signed", str(path))
