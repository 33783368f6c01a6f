"""Files that are dangerous to open, that only stand for others, and parameters in formats that are not opened here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from regrow.auditing.collectors.folder import Folder, Statement, printable
from regrow.auditing.collectors.kinds import PICKLED, kind
from regrow.auditing.collectors.weights import whole
from regrow.auditing.facts import Basis, Component, ComponentFact, FileEntry, Finding, Severity, State

NAME = "inventory"
_POINTER = re.compile(rb"version [^\n]{1,200}\n(?:ext-[^\n]{1,200}\n)*oid sha256:[0-9a-f]{64}\nsize \d{1,20}\n")
_POINTER_LIMIT = 1024
CHECKPOINT = re.compile(r"(^|/)(checkpoint|step|iter|ckpt|revision)[-_]?\d+[\w-]*/[^/]+$", re.IGNORECASE)
_MOST_NAMED = 20
_NOT_PARAMETERS = ("optimizer", "training_args")


def collect(folder: Folder) -> Iterator[Statement]:
    """What must not be opened, what is not really there, and what is there but was not opened."""
    pickled: list[str] = []
    pointers: list[str] = []
    for entry in folder.find("weights", "pickled", "data", "other"):
        if is_pointer(folder, entry):
            pointers.append(entry.path)
        elif folder.ending(entry.path) in PICKLED or _holds_objects(folder, entry.path):
            pickled.append(entry.path)
    yield from _unsafe(folder, pickled)
    yield from _standing_in(folder, pointers)
    yield from _parameters(folder, pickled, pointers)


def is_pointer(folder: Folder, entry: FileEntry) -> bool:
    """Whether a file only points to one that was not fetched."""
    small = entry.size <= _POINTER_LIMIT
    return small and bool(_POINTER.fullmatch(folder.head(entry.path, NAME, _POINTER_LIMIT)))


def _holds_objects(folder: Folder, path: str) -> bool:
    """Whether a NumPy file's header says its elements are Python objects, which are stored as a pickle."""
    head = folder.head(path, NAME, 512) if path.endswith(".npy") else b""
    return head.startswith(b"\x93NUMPY") and bool(re.search(rb"'descr':\s*(?:'\|?O|\[.*'\|?O)", head))


def _unsafe(folder: Folder, paths: list[str]) -> Iterator[Finding]:
    for path in paths[:_MOST_NAMED]:
        said = f"{printable(path)} is of a kind that may run code when it is loaded; it was not opened"
        yield Finding("unsafe-file", Severity.WARNING, said, (folder.evidence(path, NAME),))
    if len(paths) > _MOST_NAMED:
        said = f"{len(paths) - _MOST_NAMED:,} more files are of a kind that may run code when they are loaded"
        yield Finding("unsafe-file", Severity.WARNING, said, (folder.inventory(NAME),))


def _standing_in(folder: Folder, paths: list[str]) -> Iterator[Statement]:
    if not paths:
        return
    at = folder.evidence(paths[0], NAME)
    said = f"{printable(paths[0])} only points to a file that was not fetched"
    more = f", like {len(paths) - 1} more" if len(paths) > 1 else ""
    yield Finding("pointer-file", Severity.WARNING, f"{said}{more}: `git lfs pull` fetches it", (at,))
    if any(kind(path) == "weights" or PurePosixPath(path).suffix in PICKLED for path in paths):
        yield ComponentFact(Basis.FOUND, at, Component.PARAMETERS, State.PROMISED, paths[0])


def _parameters(folder: Folder, pickled: list[str], pointers: list[str]) -> Iterator[Statement]:
    """Parameters in formats that no other collector opens. They are lacking only if nothing here could hold them."""
    weights = [entry.path for entry in folder.find("weights")]
    safe = [path for path in weights if folder.ending(path) in (".safetensors", ".gguf")]
    parts = [entry.path for entry in folder.find("part")]
    parameters = [path for path in (*weights, *pickled) if not any(word in path for word in _NOT_PARAMETERS)]
    there = [path for path in weights if path in parameters and path not in pointers and folder.size(path)]
    main = [path for path in there if "/" not in path or path.endswith(".onnx")]
    if main and not safe:
        at = folder.evidence(main[0], NAME)
        state = State.PRESENT if all(whole(path, there) for path in main) else State.PROMISED
        yield ComponentFact(Basis.FOUND, at, Component.PARAMETERS, state, main[0])
    if parts:
        at = folder.evidence(parts[0], NAME)
        said = f"{printable(parts[0])} is a part of a file that is not here as a whole; get all of it"
        yield Finding("part-of-file", Severity.WARNING, said, (at,))
        yield ComponentFact(Basis.FOUND, at, Component.PARAMETERS, State.PROMISED, parts[0])
    if not weights and not parameters and not parts and folder.complete:
        at = folder.inventory(NAME)
        yield ComponentFact(Basis.FOUND, at, Component.PARAMETERS, State.ABSENT, "")
    if between := [path for path in weights if CHECKPOINT.search(path)]:
        at = folder.evidence(between[0], NAME)
        yield ComponentFact(Basis.FOUND, at, Component.INTERMEDIATE_PARAMETERS, State.PRESENT, between[0])
