"""The local cache of the hub: snapshots of models as its own library lays them out. It is only read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from regrow.auditing.collectors.folder import Folder, Statement
from regrow.auditing.facts import Finding, Severity
from regrow.store.places import folder_in, home

COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Fetched:
    """What could be had of a model.

    Attributes:
        folder: its files.
        id: with the commit, if that is known.
        commit: or empty.
        statements: what the hub itself says.
    """

    folder: Folder
    id: str
    commit: str
    statements: tuple[Statement, ...] = ()


def snapshot(path: Path) -> tuple[str, str] | None:
    """Repository and commit of a folder that is a snapshot in a hub's cache; None if it is not."""
    place = path.resolve()
    top = place.parent.parent
    named = top.name.startswith("models--") and place.parent.name == "snapshots" and COMMIT.fullmatch(place.name)
    if named and (top / "blobs").is_dir():
        return top.name.removeprefix("models--").replace("--", "/"), place.name
    return None


def cached(path: Path, date: str) -> Fetched:
    """The snapshot of a cache at a path; it may lack files that nobody asked for."""
    found = snapshot(path)
    repository, commit = found if found is not None else ("", "")
    blobs = path.resolve().parent.parent / "blobs"
    folder = Folder(path.resolve(), name=repository, date=date, complete=False, blobs=blobs)
    note = Finding("cache-partial", Severity.NOTE, "read from the local cache, which may not hold all files")
    return Fetched(folder, f"hf:{repository}@{commit}", commit, (note,))


def _cache() -> Path:
    if chosen := folder_in("HF_HUB_CACHE"):
        return chosen
    caches = folder_in("XDG_CACHE_HOME") or home() / ".cache"
    return (folder_in("HF_HOME") or caches / "huggingface") / "hub"


def place_of(repository: str, revision: str) -> Path | None:
    """Where the snapshot of a model lies, or None."""
    top = _cache() / f"models--{repository.replace('/', '--')}"
    commit = revision
    if not COMMIT.fullmatch(revision):
        reference = top / "refs" / (revision or "main")
        try:
            commit = reference.read_text("utf-8")[:100].strip()
        except (OSError, ValueError):
            return None
    place = top / "snapshots" / commit
    return place if COMMIT.fullmatch(commit) and place.is_dir() else None
