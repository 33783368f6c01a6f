"""The root command: knows the names of the commands, and what happens when one of them fails."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise, takewhile
from typing import Any

import click

from regrow.cli.console import Console, compiling_shown, notes_shown
from regrow.cli.failures import guarded
from regrow.cli.interrupts import leave_when_stuck
from regrow.system import require_known_system
from regrow.version import __version__

COMMANDS = (
    "new",
    "plan",
    "lock",
    "build",
    "task",
    "verify",
    "key",
    "attest",
    "explain",
    "keep",
    "fork",
    "report",
    "inspect",
    "audit",
    "lineage",
    "data",
    "trace",
    "scan",
    "commitment",
    "chat",
    "serve",
    "eval",
    "test",
    "export",
    "fingerprint",
    "store",
    "selftest",
    "completion",
)
"""In the order of the help: each is a module of this package whose ``command`` is the click command."""


class Root(click.Group):
    """Imports a command when it is asked for, and turns whatever goes wrong into a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"regrow.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown name gets a guess at what was meant."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            guess = f"did you mean `{near[0]}`?" if near else "`regrow --help` lists the commands"
            raise click.UsageError(f"there is no command `{args[0]}`\nhint: {guess}")
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run, and leave with the exit code."""
        console = Console()
        extra |= {"standalone_mode": False, "obj": console}
        arguments = sys.argv[1:] if args is None else list(args)

        def run() -> Any:
            require_known_system()
            try:
                return super(Root, self).main(args, *rest, **extra)
            except click.UsageError:  # raised before the options were looked at, as a rule
                console.json |= _asks_for_json(arguments)
                raise

        with leave_when_stuck(), notes_shown(console), compiling_shown(console):
            code = guarded(console, run)
        sys.exit(code)


def _asks_for_json(arguments: Sequence[str]) -> bool:
    options = list(takewhile(lambda one: one != "--", arguments))
    return not {"--json", "--format=json"}.isdisjoint(options) or ("--format", "json") in pairwise(options)


@click.group("regrow", cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="regrow %(version)s")
def cli() -> None:
    """Build open-source language models: a recipe goes in, a release comes out, the same bits for everyone.

    \b
    Begin with
      regrow build examples/bard        build the example
      regrow chat build/bard "To be"    let it continue a text
      regrow verify build/bard          build it again and compare

    \b
    Exit codes: 0 fine, 1 a stage failed, 2 usage or recipe, 3 different, 4 not deterministic,
    5 a policy is not met, 6 an input is missing, 130 interrupted.
    """
