"""The command line: one thin module per command, imported when it is needed.

``regrow --help`` must be there at once, so nothing in this package imports more than click at module level; what a
command needs, it imports inside its function.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; the entry point ``regrow``."""
    from regrow.cli.root import cli

    cli(prog_name="regrow")
