"""What was built again on this machine and came out as promised: the best evidence there is that a release is open.

Records lie beside the store, one file for each release digest. They say something to whoever trusts this machine.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from regrow.building.environment import environment
from regrow.store import default_root, write_atomic
from regrow.version import __version__

SCHEMA = "regrow/rebuilt/2"


def place(digest: str) -> Path:
    """Where the record of a release is, if there is one."""
    return default_root() / "rebuilt" / f"{digest}.json"


def note(digest: str, how: str, seconds: float = 0.0, libraries: Iterable[str] = ()) -> None:
    """Record that every stage of a release was run here and gave what its lock promised.

    Args:
        digest: of the release.
        how: the command that did it.
        seconds: it took.
        libraries: distributions whose versions matter.
    """
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()
    record = {
        "schema": SCHEMA,
        "release": digest,
        "how": how,
        "when": now,
        "seconds": round(seconds),
        "regrow": __version__,
        "environment": environment(libraries),
    }
    with suppress(OSError):  # a place that cannot be written to must not spoil a result
        write_atomic(place(digest), json.dumps(record, indent=1) + "\n")


def read(digest: str) -> dict[str, Any] | None:
    """The record of a release, if there is one."""
    try:
        record = json.loads(place(digest).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and _is_of(record, digest) else None


def is_noted(path: Path, digest: str) -> bool:
    """Whether a file is the record of a release."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and _is_of(record, digest)


def _is_of(record: Mapping[str, Any], digest: str) -> bool:
    return record.get("schema") == SCHEMA and record.get("release") == digest
