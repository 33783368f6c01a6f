"""The reference of the commands, made from their help: ``python -m regrow.cli.reference > docs/commands.md``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from regrow.cli.root import cli

_HEAD = """\
# Commands

<!-- Made by `python -m regrow.cli.reference`. Do not edit. -->

Results go to stdout, words for people and progress to stderr. `--json` puts one JSON document with a `schema` field on
stdout instead; a command that fails then puts one with the schema `regrow/error/1` there. `NO_COLOR` turns colours off,
`REGROW_NO_PROGRESS` whatever moves, `REGROW_STORE` says where the store is, `REGROW_DEBUG=1` shows tracebacks. Exit
codes are explained in [exit-codes.md](exit-codes.md).

`REGROW_DOWNLOADS` says where downloads are kept, by default in the user cache, and `TMPDIR` where `regrow verify`
builds.
"""
_WIDTH = 100


def reference() -> str:
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


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
