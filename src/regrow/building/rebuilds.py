"""What was built again on this machine and came out as promised: the best evidence there is that a release is open.

Records lie beside the store, one file for each release digest, and another one for a check of parts, which is never
taken for a rebuild. They say something to whoever trusts this machine.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from regrow.building.environment import environment
from regrow.store import Beside, default_root, write_atomic
from regrow.version import __version__

SCHEMA = "regrow/rebuilt/2"
IN_PART = "regrow/checked/1"


def place(digest: str, schema: str = SCHEMA) -> Path:
    """Where the record of a release is, if there is one."""
    return default_root() / Beside.REBUILT / f"{digest}{'.parts' if schema == IN_PART else ''}.json"


def note(
    digest: str,
    how: str,
    seconds: float = 0.0,
    libraries: Iterable[str] = (),
    looked: Mapping[str, Any] | None = None,
) -> None:
    """Record that every stage of a release was run here and gave what its lock promised; or a part of that.

    Args:
        digest: of the release.
        how: the command that did it.
        seconds: it took.
        libraries: distributions whose versions matter.
        looked: what of it was run; by default all.
    """
    schema = SCHEMA if looked is None else IN_PART
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()
    record = {
        "schema": schema,
        "release": digest,
        "how": how,
        "when": now,
        "seconds": round(seconds),
        "regrow": __version__,
        "environment": environment(libraries),
        **({} if looked is None else {"looked": looked}),
    }
    with suppress(OSError):  # a place that cannot be written to must not spoil a result
        write_atomic(place(digest, schema), json.dumps(record, indent=1) + "\n")


def read(digest: str, schema: str = SCHEMA) -> dict[str, Any] | None:
    """The record of a release, if there is one."""
    try:
        record = json.loads(place(digest, schema).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and _is_of(record, digest, schema) else None


def is_noted(path: Path, digest: str) -> bool:
    """Whether a file is the record of a release."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and _is_of(record, digest)


def _is_of(record: Mapping[str, Any], digest: str, schema: str = SCHEMA) -> bool:
    return record.get("schema") == schema and record.get("release") == digest
