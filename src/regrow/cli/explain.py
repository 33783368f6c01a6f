"""``regrow explain``: where and why two builds part."""

from __future__ import annotations

from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console


@click.command(epilog=example("  regrow explain build/bard their/bard\n  regrow explain a.safetensors b.safetensors"))
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@json_option
@pass_console
def command(console: Console, first: Path, second: Path) -> int:
    """Show where two builds part, and guess why.

    FIRST and SECOND are releases, folders or files of weights, or logs of builds. It names the first input, stage,
    step, tensor and number that differ, with the bits, and what is different about the machines. Nothing is run.

    Exits with 0 if nothing differs, and with 3 if something does.
    """
    from regrow.verifying.explain import explain

    found = explain(first, second)
    if console.json:
        console.document("explain/1", found.to_json())
    else:
        console.result("\n".join(found.lines()))
    return found.exit_code
