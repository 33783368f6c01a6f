"""``regrow trace``: which parts of a text stand in the training data, and in which documents."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console, readable, release_argument, store_option
from regrow.errors import InputError
from regrow.words import shown

if TYPE_CHECKING:
    from regrow.tracing.spans import Finding, Found, Span, Trace

_CLAIM = "What is marked stands in the training data word for word. That does not say that the text was made from it."


@click.command(
    epilog=example(
        '  regrow trace build/bard "To be, or not to be"\n  regrow chat build/bard "O" | regrow trace build/bard -'
    )
)
@release_argument
@click.argument("text")
@click.option(
    "--rank", type=click.Choice(["rarity", "length"]), default="rarity", show_default=True, help="Which spans."
)
@click.option("--spans", type=click.IntRange(min=1), metavar="N", help="At most; by default one for each 20 tokens.")
@click.option(
    "--words", type=click.IntRange(min=1), default=3, show_default=True, metavar="N", help="In a span, at least."
)
@click.option(
    "--documents", type=click.IntRange(min=0), default=3, show_default=True, metavar="N", help="Of a span, at most."
)
@click.option("--find", is_flag=True, help="Look for TEXT as one string, wherever it begins and ends.")
@click.option("--fold", is_flag=True, help="With --find: in capitals or small letters, and with any blanks.")
@store_option
@json_option
@pass_console
def command(
    console: Console,
    release: Path,
    text: str,
    rank: str,
    spans: int | None,
    words: int,
    documents: int,
    find: bool,
    fold: bool,
    store: Path | None,
) -> None:
    """Show which parts of TEXT stand in the training data.

    TEXT is an answer of the model, or any other; `-` reads it from standard input. Whole words are looked for, within a
    line and a sentence. For each span: how often it stands there, and in which documents, with their sources, licences
    and the steps of the training that saw it. The first time an index of the training text is made, which the store
    keeps.
    """
    from regrow.cli.progress import progress
    from regrow.tracing import spans as room
    from regrow.tracing.corpus import corpus

    if fold and not find:
        raise click.UsageError("--fold is for --find: spans are looked for as they are written")
    given = _given(text)
    with progress(console) as listener:
        there = corpus(readable(release), store, listener)
    if find:
        place = room.find(given, there, fold=fold, most=documents)
        if console.json:
            console.document("find/1", {"release": str(release), **asdict(place)})
            return
        console.result(f"{shown(given)} stands {_times(place.count)} in the training data")
        for line in (*(line for one in place.documents for line in _document(one)), *_untold(place)):
            console.result(line)
        return
    wanted = room.Wanted("length" if rank == "length" else "rarity", spans, words, documents)
    found = room.trace(given, there, wanted)
    if console.json:
        console.document("trace/1", {"release": str(release), **found.to_json()})
    else:
        for line in _lines(found):
            console.result(line)


def _given(text: str) -> str:
    given = _read() if text == "-" else text
    if not given.strip():
        raise InputError("there is no text to look for", where="standard input" if text == "-" else "TEXT")
    return given


def _read() -> str:
    from regrow.tracing.spans import LARGEST

    data = sys.stdin.buffer.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InputError("the text is too long", where="standard input", why=f"up to {LARGEST:,} bytes are looked up")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InputError("the text is not UTF-8", where=f"standard input, byte {error.start:,}") from error


def _lines(found: Trace) -> Iterator[str]:
    if not found.spans:
        yield "nothing of this stands in the training data, as far as whole words in a row are looked for"
        return
    yield from _marked(found).splitlines()
    for span in sorted(found.spans, key=lambda span: span.rank):
        yield ""
        yield from _span(span)
    yield ""
    yield _CLAIM
    yield from _untold(found)


def _untold(found: Trace | Finding) -> Iterator[str]:
    """Why no steps are named, if that is so."""
    if found.untold:
        yield f"Which steps of the training saw it is not known here: {found.untold}."


def _marked(found: Trace) -> str:
    """The text with its spans in brackets, each with its number."""
    cuts = sorted(
        [(span.end, 0, f"]{span.rank}") for span in found.spans] + [(span.start, 1, "[") for span in found.spans]
    )
    said, at = "", 0
    for place, _, mark in cuts:
        said, at = said + found.text[at:place] + mark, place
    return said + found.text[at:]


def _span(span: Span) -> Iterator[str]:
    yield f"{span.rank}  {_short(span.text, 70)}: {_times(span.count)}"
    for one in span.documents:
        yield from _document(one)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times" if count else "nowhere"


def _document(one: Found) -> Iterator[str]:
    yield f"   {one.source}  {one.locator}  {one.licence}{_seen(one)}"
    text = one.text.lstrip()
    before = _short(one.before + " " * (text != one.text), 40, left=True)
    yield f"   {before}[{_short(text, 70)}]{_short(one.after, 40)}"


def _seen(one: Found) -> str:
    if one.seen is None:
        return ""
    steps = ", ".join(f"{step:,}" for step in one.steps)
    more = f" and {one.seen - len(one.steps):,} more" if one.seen > len(one.steps) else ""
    return f"  seen at step {steps}{more}" if one.steps else "  seen at no step"


def _short(text: str, most: int, *, left: bool = False) -> str:
    """A text in one line, cut in the middle, or at one end if it is the context of another."""
    line = " ".join(text.split()) if not text[:1].isspace() else " " + " ".join(text.split())
    line += " " if text[-1:].isspace() and line.strip() else ""
    if len(line) <= most:
        return line
    return "\u2026" + line[-most:] if left else line[:most] + "\u2026"
