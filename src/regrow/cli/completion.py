"""``regrow completion``: completion for shells."""

from __future__ import annotations

import click

from regrow.cli.console import Console
from regrow.cli.options import example, pass_console


@click.command(
    epilog=example(
        '  eval "$(regrow completion bash)"    # in ~/.bashrc\n'
        "  regrow completion fish > ~/.config/fish/completions/regrow.fish"
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_console
def command(console: Console, shell: str) -> None:
    """Print a completion script for a shell."""
    from click.shell_completion import get_completion_class

    from regrow.cli.root import cli

    kind = get_completion_class(shell)
    assert kind is not None  # click knows these three
    console.result(kind(cli, {}, "regrow", "_REGROW_COMPLETE").source())
