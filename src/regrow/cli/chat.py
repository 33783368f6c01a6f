"""``regrow chat``: let a release continue a text."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.failures import lines
from regrow.cli.interrupts import stop_on_interrupt
from regrow.cli.options import (
    Finite,
    example,
    json_option,
    pass_console,
    release_argument,
    threads_option,
)
from regrow.errors import RecipeError
from regrow.model.usual import HOTTEST, SEED

if TYPE_CHECKING:
    from regrow.serve.generate import Generator

_LARGEST_SEED = 2**64 - 1
_MOST_TOKENS = 1_000_000
_NOTE = (
    "This is a base model: it continues your text, it does not answer. Ctrl-C ends what it writes; an empty line or "
    "Ctrl-D ends all."
)
_CONVERSES = (
    "This model answers, through its own chat template. Ctrl-C ends an answer; an empty line or Ctrl-D ends all."
)


@click.command(epilog=example('  regrow chat build/bard "To be, or not to be"\n  regrow chat build/bard'))
@release_argument
@click.argument("prompt", required=False)
@click.option("--max-tokens", type=click.IntRange(min=1, max=_MOST_TOKENS), default=200, show_default=True, metavar="N")
@click.option(
    "--temperature",
    type=Finite(min=0, max=HOTTEST),
    help="0: the likeliest token. By default as the release is usually let write.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=0),
    metavar="N",
    help="Choose from so many of the likeliest; 0 is all. By default as is usual; samples of a build have 40.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=_LARGEST_SEED),
    default=SEED,
    show_default=True,
    help="Another seed, another text.",
)
@click.option("--system", default="", metavar="TEXT", help="What the system says before a conversation.")
@click.option("--continue", "continues", is_flag=True, help="Let it continue a text even if it has a chat template.")
@click.option("--truncate", is_flag=True, help="Read the end of a prompt that is too long, which is refused otherwise.")
@threads_option
@json_option
@pass_console
def command(
    console: Console,
    release: Path,
    prompt: str | None,
    max_tokens: int,
    temperature: float | None,
    top_k: int | None,
    seed: int,
    system: str,
    continues: bool,
    truncate: bool,
) -> None:
    """Let a release write, or another model: a GGUF file, or a folder of Hugging Face's libraries.

    A model with a chat template answers, and remembers what was said; any other continues a text. With PROMPT, or a
    text on stdin, it answers or continues that and is done; on a terminal it asks for one text after another. The same
    release, prompt, options and seed give the same text on every machine.
    """
    from regrow.serve.generate import Generator
    from regrow.serve.origin import Origin

    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().rstrip("\n")
    if prompt is None and console.json:
        raise click.UsageError("--json needs a prompt")
    generator = Generator.load(Origin.of(release).place)
    converses = generator.template is not None and not continues
    if system and not converses:
        raise click.UsageError("--system needs a model with a chat template, and no --continue")
    asked = _Asked(max_tokens, temperature, top_k, truncate)
    writer = _Answerer(console, generator, asked, system) if converses else _Writer(console, generator, asked)
    if prompt is None:
        _converse(console, writer, seed)
        return
    text, whole = writer.write(prompt, seed)
    if not whole:
        raise KeyboardInterrupt
    if console.json:
        used = generator.sampling(temperature, top_k, seed)
        how = {"seed": used.seed, "temperature": used.temperature, "top_k": used.top, "top_p": used.top_p}
        console.document("chat/1", {"prompt": prompt, "text": text, **how})


def _converse(console: Console, writer: _Writer, seed: int) -> None:
    """Ask for one text after another; Ctrl-C ends what is being written, and the conversation where nothing is."""
    console.say(writer.note)
    ask = _editor(console) if sys.stdout.isatty() else _asker(console)
    while not console.unread and (prompt := ask()):
        try:
            writer.write(prompt, seed)
        except RecipeError as error:  # what was typed is no text, which is no reason to leave
            for head, line in lines(console, error):
                console.say(line, head=head)
            continue
        seed = (seed + 1) % (_LARGEST_SEED + 1)


def _asker(console: Console) -> Callable[[], str]:
    """Reads lines as they come, with the prompt beside the results."""

    def ask() -> str:
        console.say(head=_prompt(console), end="")
        try:
            return input()
        except (EOFError, KeyboardInterrupt):
            console.say()
            return ""

    return ask


def _editor(console: Console) -> Callable[[], str]:
    """Reads lines that can be edited, the ones before among them: `input` does so once the library is there."""
    try:
        import readline
    except ImportError:  # Python was built without it
        return _asker(console)
    prompt = re.sub("(\x1b[^m]*m)", "\x01\\1\x02", _prompt(console))  # what takes no room in the line

    def ask() -> str:
        try:
            return input(prompt)
        except EOFError:
            console.say()
            return ""
        except KeyboardInterrupt:
            console.say()
            return ask() if readline.get_line_buffer() else ""

    return ask


def _prompt(console: Console) -> str:
    return console.paint("> ", "cyan", bold=True)


@dataclass(frozen=True)
class _Asked:
    """How a text is to be written, by the names of :class:`Generator`'s arguments."""

    max_tokens: int
    temperature: float | None
    top: int | None
    truncate: bool


class _Writer:
    """Continues a text, on stdout as it comes, or collected for JSON."""

    note = _NOTE

    def __init__(self, console: Console, generator: Generator, asked: _Asked) -> None:
        self._console, self._generator, self._asked = console, generator, asked

    def write(self, prompt: str, seed: int) -> tuple[str, bool]:
        """Continue a prompt, as long as somebody reads and nobody presses Ctrl-C; gives the text and if that is all."""
        return self._written(self._generator.generate(prompt, seed=seed, **vars(self._asked)), prompt)

    def _written(self, generated: Iterator[str], before: str = "") -> tuple[str, bool]:
        pieces: list[str] = []
        with stop_on_interrupt(self._console, "") as stop:
            self._show(before)
            for piece in generated:
                pieces.append(piece)
                self._show(piece)
                if self._console.unread or stop.is_set():
                    break
            self._show("\n")
        return "".join(pieces), not stop.is_set()

    def _show(self, text: str) -> None:
        if not self._console.json:
            self._console.written(text)


class _Answerer(_Writer):
    """Answers, and remembers the conversation."""

    note = _CONVERSES

    def __init__(self, console: Console, generator: Generator, asked: _Asked, system: str) -> None:
        super().__init__(console, generator, asked)
        self._said: list[tuple[str, str]] = [("system", system)] if system else []

    def write(self, prompt: str, seed: int) -> tuple[str, bool]:
        """Answer a question; gives the answer and if that is all of it."""
        from regrow.corpus.conversations import Message

        asked = [Message(role, content) for role, content in (*self._said, ("user", prompt))]
        fitting = self._generator.fitting(asked, self._asked.max_tokens)
        if len(fitting) < len(asked):
            self._console.verb("Note", "the beginning of the conversation has fallen out of the context", "yellow")
        answer, whole = self._written(self._generator.reply(fitting, seed=seed, **vars(self._asked)))
        self._said = [*((one.role, one.content) for one in fitting), ("assistant", answer)]
        return answer, whole
