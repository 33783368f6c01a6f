"""``regrow store``: look after what was built."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import Finite, example, json_option, pass_console, store_option

if TYPE_CHECKING:
    from regrow.store import Store, StoreReader


@click.group(epilog=example("  regrow store list\n  regrow store gc --dry-run"))
def command() -> None:
    """Look after what was built.

    The store keeps the outputs of stages, each under the digest of its content.
    """


def _seen(store: Path | None) -> StoreReader:
    """The store that is there, to look at: whoever looks for one wants none made, and may not be its owner."""
    from regrow.store import StoreReader, default_root

    return StoreReader(store or default_root(), must_exist=True)


def _tended(store: Path | None) -> Store:
    """The store that is there, to change."""
    from regrow.store import Store, default_root

    return Store(store or default_root(), make=False)


@command.command("list", epilog=example("  regrow store list"))
@store_option
@json_option
@pass_console
def list_(console: Console, store: Path | None) -> None:
    """List the artifacts, the one used last first."""
    from regrow.cli.table import table
    from regrow.report.render import size

    with _seen(store) as opened:
        entries = opened.entries()
    if console.json:
        console.document("store-list/1", {"root": str(opened.root), "artifacts": [asdict(entry) for entry in entries]})
        return
    rows = [
        (entry.digest, size(entry.size), _day(entry.used), entry.stage, ", ".join(entry.scopes) or "nobody")
        for entry in entries
    ]
    console.result("\n".join(table(("digest", "size", "used", "stage", "used by"), rows, right="size")))


def _day(seconds: float) -> str:
    """A date, unless a disk or a clock has one that no calendar knows."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "unknown"


@command.command("size", epilog=example("  regrow store size"))
@store_option
@json_option
@pass_console
def size_(console: Console, store: Path | None) -> None:
    """Print where the store is and how much it holds."""
    from regrow.report.render import size

    with _seen(store) as opened:
        total, count = opened.size(), len(opened.entries())
    if console.json:
        console.document("store-size/1", {"root": str(opened.root), "bytes": total, "artifacts": count})
    else:
        console.result(f"{size(total)} in {count} artifacts, {opened.root}")


@command.command("verify", epilog=example("  regrow store verify"))
@store_option
@json_option
@pass_console
def verify(console: Console, store: Path | None) -> int:
    """Read every artifact again; exits with 1 if one is damaged.

    What is damaged is moved to the store's `quarantine`, if that can be written to, and built again when it is needed.
    """
    from regrow.store import opened

    checked = 0
    damaged = []
    with _seen(store) as seen, opened(seen.root) as tended:
        for entry, whole in tended.verify():
            checked += 1
            if not whole:
                damaged.append(entry)
                console.verb("Damaged", f"{entry.stage or 'artifact'} {entry.digest}", "red")
    if console.json:
        console.document("store-verify/1", {"checked": checked, "damaged": [asdict(entry) for entry in damaged]})
    else:
        console.result(f"{checked} artifacts checked, {len(damaged)} damaged")
    return 1 if damaged else 0


@command.command("gc", epilog=example("  regrow store gc --keep-days 7"))
@click.option("--keep-days", type=Finite(min=0), default=30.0, show_default=True, help="Keep what was used since.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@store_option
@json_option
@pass_console
def gc(console: Console, keep_days: float, dry_run: bool, store: Path | None) -> None:
    """Remove what no recipe's last build used, and what interrupted work left behind."""
    from regrow.report.render import size

    with _tended(store) as opened:
        garbage = opened.gc(keep_days=keep_days, dry_run=dry_run)
    total = sum(one.size for one in garbage)
    if console.json:
        removed = [{"what": one.what, "path": str(one.path), "size": one.size} for one in garbage]
        console.document("store-gc/1", {"dry_run": dry_run, "bytes": total, "removed": removed})
        return
    for one in garbage:
        console.say(f"  {one.what:<9} {size(one.size):>8}  {one.path}")
    console.result(f"{'would remove' if dry_run else 'removed'} {len(garbage)} things, {size(total)}")
