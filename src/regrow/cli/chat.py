"""``regrow chat``: let a release continue a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import (
    Finite,
    example,
    json_option,
    pass_console,
    readable,
    release_argument,
    threads_option,
)

if TYPE_CHECKING:
    from regrow.serve.generate import Generator

_LARGEST_SEED = 2**64 - 1
_HOTTEST = 100
"""The highest temperature, as in a recipe."""
_MOST_TOKENS = 1_000_000
_NOTE = "This is a base model: it continues your text, it does not answer. An empty line or Ctrl-D ends."


@click.command(epilog=example('  regrow chat build/bard "To be, or not to be"\n  regrow chat build/bard'))
@release_argument
@click.argument("prompt", required=False)
@click.option("--max-tokens", type=click.IntRange(min=1, max=_MOST_TOKENS), default=200, show_default=True, metavar="N")
@click.option(
    "--temperature",
    type=Finite(min=0, max=_HOTTEST),
    default=0.8,
    show_default=True,
    help="0: the likeliest token.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=_LARGEST_SEED),
    default=1,
    show_default=True,
    help="Another seed, another text.",
)
@threads_option
@json_option
@pass_console
def command(
    console: Console, release: Path, prompt: str | None, max_tokens: int, temperature: float, seed: int
) -> None:
    """Let a release write.

    With PROMPT, or a text on stdin, it continues that and is done; on a terminal it asks for one text after another.
    The same release, prompt, options and seed give the same text on every machine.
    """
    from regrow.serve.generate import Generator

    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().rstrip("\n")
    if prompt is None and console.json:
        raise click.UsageError("--json needs a prompt")
    generator = Generator.load(readable(release).path)
    writer = _Writer(console, generator, max_tokens, temperature)
    if prompt is not None:
        text = writer.write(prompt, seed)
        if console.json:
            console.document("chat/1", {"prompt": prompt, "text": text, "seed": seed, "temperature": temperature})
    else:
        _converse(console, writer, seed)


def _converse(console: Console, writer: _Writer, seed: int) -> None:
    console.say(_NOTE)
    while not console.unread and (prompt := _ask(console)):
        writer.write(prompt, seed)
        seed = (seed + 1) % (_LARGEST_SEED + 1)


def _ask(console: Console) -> str:
    console.say(head=console.paint("> ", "cyan", bold=True), end="")
    try:
        return input()
    except EOFError:
        console.say()
        return ""


class _Writer:
    """Writes on stdout as the text comes, or collects it for JSON."""

    def __init__(self, console: Console, generator: Generator, max_tokens: int, temperature: float) -> None:
        self._console, self._generator = console, generator
        self._max_tokens, self._temperature = max_tokens, temperature

    def write(self, prompt: str, seed: int) -> str:
        """Continue a prompt, as long as somebody reads."""
        pieces: list[str] = []
        generated = self._generator.generate(
            prompt, max_tokens=self._max_tokens, temperature=self._temperature, seed=seed
        )
        if not self._console.json:
            self._console.written(prompt)
        for piece in generated:
            pieces.append(piece)
            if not self._console.json:
                self._console.written(piece)
            if self._console.unread:
                break
        if not self._console.json:
            self._console.written("\n")
        return "".join(pieces)
