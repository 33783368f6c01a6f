"""Whether this machine built the release itself and got the same."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.auditing.facts import Basis, Evidence, Rebuild, RebuildFact
from regrow.building import rebuilds
from regrow.store import sha256_file

NAME = "rebuild"


def collect(digest: str, date: str) -> Iterator[RebuildFact]:
    """A fact if there is a record of a rebuild here.

    Args:
        digest: of the release.
        date: the day of the audit.
    """
    path = rebuilds.place(digest)
    if rebuilds.is_noted(path, digest):
        at = Evidence(str(path), "", sha256_file(path), NAME, date)
        yield RebuildFact(Basis.FOUND, at, Rebuild.REBUILT_HERE, "this machine", digest)
