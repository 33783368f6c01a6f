"""Pages of the documentation that are made from the code: ``python -m regrow.cli.pages commands``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import click

from regrow.cli.root import cli

_HEAD = """\
# Commands

<!-- Made by `python -m regrow.cli.pages commands`. Do not edit. -->

Results go to stdout, words for people and progress to stderr. `--json` puts one JSON document with a `schema` field on
stdout instead; a command that fails then puts one with the schema `regrow/error/1` there. `NO_COLOR` turns colours off,
`REGROW_NO_PROGRESS` whatever moves, `REGROW_STORE` says where the store is, `REGROW_DEBUG=1` shows tracebacks. Exit
codes are explained in [exit-codes.md](exit-codes.md).

`REGROW_DOWNLOADS` says where downloads are kept, by default in the user cache, and `TMPDIR` where `regrow verify`
builds.
"""
_WIDTH = 100


def recipe() -> str:
    """All keys of a recipe, as Markdown."""
    from regrow.recipe.manual import manual
    from regrow.stages import KINDS

    return manual(KINDS)


def commands() -> str:
    """The help of every command, as Markdown."""
    return "\n".join([_HEAD, *_sections(cli, click.Context(cli, info_name="regrow", **cli.context_settings))])


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    """The section of a command and those of its subcommands."""
    context.terminal_width = _WIDTH
    yield from (f"## `{context.command_path}`", "", "```", command.get_help(context), "```", "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _sections(inner, click.Context(inner, info_name=name, parent=context))


PAGES: Mapping[str, Callable[[], str]] = {"recipe": recipe, "commands": commands}
"""Name of the page in ``docs/`` -> what makes it."""

if __name__ == "__main__":
    import sys

    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(PAGES[sys.argv[1]]())
