"""Where things lie in a release."""

from __future__ import annotations

from pathlib import Path

SUMS = "SHA256SUMS"
RECIPE = "regrow.toml"
LOCK = "regrow.lock"
PAPER = "paper.md"
REPORT = "report.html"
BUILDINFO = "buildinfo"

UNCOVERED = (SUMS, REPORT, BUILDINFO)
"""What the release digest does not cover: itself, a rendering of what it covers, and what differs between machines."""


def is_release(folder: Path) -> bool:
    """True if the lock in a folder is part of a release, so that nobody may write to it."""
    sums = folder / SUMS
    return sums.is_file() and f"  {LOCK}\n" in sums.read_text("utf-8", "replace")
