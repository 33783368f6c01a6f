"""Models of a hub: ``hf:org/name@revision``, from the local cache, and the small files it lacks from the network.

The cache is only read. From the network come the listing, the texts, and of safetensors the headers: never the weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from regrow.auditing import names
from regrow.auditing.collectors import kinds
from regrow.auditing.collectors.folder import Folder, Statement, printable
from regrow.auditing.collectors.hub_cache import COMMIT, Fetched, cached, place_of
from regrow.auditing.collectors.structured import mapping, read_json, strings
from regrow.auditing.facts import AccessFact, Basis, Evidence, Finding, Severity
from regrow.errors import InputError, RecipeError
from regrow.formats.header import HEADER_LIMIT
from regrow.release.layout import SUMS
from regrow.sources import hf

if TYPE_CHECKING:
    from requests import Response

NAME = "hub"
_REVISION = re.compile(r"[\w][\w./-]{0,200}", re.ASCII)
_SMALL = 4 << 20
_MOST_FILES = 300  # that are fetched
_MOST_LISTED = 20_000
_LARGEST = 1 << 42  # bytes of one file
_LONGEST_ANSWER = 64 << 20
_SECONDS = 30.0
_PATH = re.compile(r"[\w .+=,()@-][\w .+=,()@/-]{0,300}")
_WANTED = re.compile(rf"(?!tokenizer\.json$).*\.(md|json|ya?ml|txt|toml|lock|py|sh)|[^.]*|{SUMS}", re.IGNORECASE)


def parse(target: str) -> tuple[str, str]:
    """The repository and the revision of ``hf:org/name@revision``.

    Raises:
        RecipeError: if it is not one.
    """
    repository, at, revision = target.removeprefix("hf:").partition("@")
    if not names.is_id(repository):
        raise RecipeError(
            f"`{printable(target)}` is not a model", hint="write hf:ORGANISATION/NAME or hf:ORGANISATION/NAME@REVISION"
        )
    if at and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise RecipeError(
            f"`{printable(revision)}` is not a revision",
            where=f"hf:{repository}",
            hint="write a branch, a tag or a commit after the @, or leave both out",
        )
    return repository, revision


@contextmanager
def open_model(target: str, date: str, network: bool) -> Iterator[Fetched]:
    """A model of the hub, for as long as it is read: as it is in the cache, completed where the network may be used.

    Raises:
        InputError: if it is not in the cache, and not on the network or that may not be used.
    """
    repository, revision = parse(target)
    place = place_of(repository, revision)
    if place is None and not network:
        raise InputError(
            f"hf:{repository}{'@' + revision if revision else ''} is not in the local cache",
            why="the audit may not use the network",
            hint="leave --offline out, or download the model",
        )
    with TemporaryDirectory(prefix="regrow-audit-") as scratch:
        if place is None:
            yield _download(repository, revision, Path(scratch), date)
        else:
            yield _completed(place, repository, Path(scratch), date) if network else cached(place, date)


def _completed(place: Path, repository: str, scratch: Path, date: str) -> Fetched:
    """A snapshot of the cache with the files that it lacks, or as it is if the hub does not give them."""
    kept = cached(place, date)
    try:
        found = _download(repository, place.name, scratch, date, place)
    except InputError:
        return kept
    return found if found.folder.entries else replace(kept, statements=(*kept.statements, *found.statements))


def _download(repository: str, revision: str, scratch: Path, date: str, kept: Path | None = None) -> Fetched:
    endpoint = hf.endpoint()
    asked = f"/revision/{quote(revision, safe='')}" if revision else ""
    with _get(f"{endpoint}/api/models/{repository}{asked}?blobs=true", repository) as response:
        if response.headers.get("X-Error-Code") == "GatedRepo":
            return _closed(repository, revision, scratch, date)
        if response.status_code != 200:
            raise _refused(response, repository, revision)
        info = read_json(response.content[:_LONGEST_ANSWER].decode("utf-8", "replace"))
    if info.fault or "siblings" not in info.value:
        why = f"what came from {urlsplit(endpoint).netloc} is not what a hub answers"
        raise _unreachable(repository, why, "a log-in page or a notice of the network may be in the way")
    return _fetch(endpoint, info.value, repository, scratch, date, kept)


def _get(url: str, repository: str, **headers: str) -> Response:
    """An answer, as a stranger without an account gets it: openness is what everyone can see."""
    import requests

    from regrow.sources.web import cause

    try:
        return requests.get(url, headers=headers, timeout=_SECONDS)
    except (OSError, ValueError) as error:  # all that it raises is one of these
        found = cause(error)
        raise _unreachable(repository, found.words, found.hint or _OFFLINE) from error


_OFFLINE = "look at the network, and at HF_ENDPOINT if it is set; or download the model and audit its folder"
_GONE = (
    "look at the spelling; what only its owner can see cannot be audited, and one word alone is the name of an "
    "organisation or of a very old model"
)
_LATER = "try again later, or download the model and audit its folder"


def _refused(response: Response, repository: str, revision: str) -> InputError:
    """The error for an answer of the hub that brings no model: its cause, as far as the hub tells, and what to do."""
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    if revision and status == 404 and code in ("", "RevisionNotFound", "EntryNotFound"):
        what = f"there is no hf:{repository}@{revision} that everyone can see"
        hint = f"look at the spelling of the revision, or leave it out: hf:{repository}"
        return InputError(what, why=f"`{revision}` is no branch, tag or commit, or there is no such model", hint=hint)
    if status in (401, 404) or code == "RepoNotFound":
        return InputError(
            f"there is no hf:{repository}{'@' + revision if revision else ''} that everyone can see", hint=_GONE
        )
    if status == 403:
        why = "its owner or the hub has closed it" if code else "the hub, or something on the way to it, forbids it"
        return _unreachable(
            repository, f"{why} (status 403)", "see whether a browser without an account shows its page"
        )
    if status == 429:
        after = response.headers.get("Retry-After", "")
        wait = f"wait {after} seconds" if after.isascii() and after.isdigit() else "wait some minutes"
        why = "the hub has had too many questions from this network (status 429)"
        return _unreachable(repository, why, f"{wait} and try again, or download the model and audit its folder")
    if status >= 500:
        return _unreachable(repository, f"the hub itself is in trouble (status {status})")
    return _unreachable(repository, f"the hub, or something on the way to it, answers with status {status}")


def _unreachable(repository: str, why: str, hint: str = "") -> InputError:
    return InputError(f"hf:{repository} cannot be reached", why=printable(why), hint=hint or _LATER)


def _address(repository: str, commit: str, path: str = "") -> str:
    return f"hf:{repository}@{commit}{'/' + path if path else ''}"


def _closed(repository: str, revision: str, scratch: Path, date: str) -> Fetched:
    folder = Folder(scratch, name=repository, date=date, complete=False)
    at = Evidence(_address(repository, revision), "", "", NAME, date)
    fact = AccessFact(Basis.FOUND, at, "gated", "the hub asks for an account and consent before it shows anything")
    return Fetched(folder, f"hf:{repository}{'@' + revision if revision else ''}", revision, (fact,))


def _fetch(
    endpoint: str, info: Mapping[str, Any], repository: str, scratch: Path, date: str, kept: Path | None
) -> Fetched:
    commit = next((sha for sha in strings(info.get("sha")) if COMMIT.fullmatch(sha)), "")
    at = Evidence(_address(repository, commit), "", "", NAME, date)
    gate = info.get("gated")
    said = f"the hub asks for consent before it gives the files ({printable(str(gate), 20)})"
    access = ("gated", said) if gate else ("open", "the hub gives the files to everyone")
    statements: list[Statement] = [AccessFact(Basis.FOUND, at, *access)]
    site = f"{endpoint}/{repository}/resolve/{commit or 'main'}"
    if missed := list(_obtain(site, info, repository, scratch, kept)):
        said = f"{printable(missed[0])} and {len(missed) - 1} more could not be fetched"
        statements.append(Finding("file-unreadable", Severity.WARNING, said, (at,)))
    blobs = kept.parent.parent / "blobs" if kept is not None else None
    folder = Folder(scratch, name=repository, date=date, complete=not missed, blobs=blobs)
    return Fetched(folder, f"hf:{repository}@{commit}" if commit else f"hf:{repository}", commit, tuple(statements))


def _obtain(site: str, info: Mapping[str, Any], repository: str, scratch: Path, kept: Path | None) -> Iterator[str]:
    """Get small files and headers that are not kept in a cache; gives the paths of those that could not be had."""
    for count, (path, size) in enumerate(_listed(info)):
        place = scratch / path
        if not _PATH.fullmatch(path) or ".." in path.split("/") or count >= _MOST_LISTED:
            yield path
            continue
        url = f"{site}/{quote(path)}"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if kept is not None and (kept / path).is_symlink() and (kept / path).is_file():
                place.symlink_to((kept / path).resolve())
                continue
            if count >= _MOST_FILES and _WANTED.fullmatch(place.name):
                yield path
                continue
            if path.endswith(".safetensors"):
                place.write_bytes(_header(url, repository))
            elif count < _MOST_FILES and size <= _SMALL and _WANTED.fullmatch(place.name):
                place.write_bytes(_bytes(url, repository, 0, max(size, 1)))
            elif count < _MOST_FILES and size and kinds.kind(path) == "other":
                place.write_bytes(_beginning(path, url, repository))
            # A file that is only listed is as long as it is there, and empty: sparse, it takes no room.
            with place.open("ab") as file:
                file.truncate(max(size, file.tell()))
        except (InputError, OSError):
            yield path


def _listed(info: Mapping[str, Any]) -> list[tuple[str, int]]:
    siblings = info.get("siblings")
    found = [mapping(one) for one in siblings] if isinstance(siblings, list) else []
    sizes = ((str(one.get("rfilename", "")), one.get("size")) for one in found)
    return sorted((path, size if type(size) is int and 0 <= size <= _LARGEST else 0) for path, size in sizes)


def _beginning(path: str, url: str, repository: str) -> bytes:
    """What tells a file of weights whose name does not say what it is."""
    head = _bytes(url, repository, 0, kinds.HEAD)
    return _header(url, repository) if kinds.ending(path, head) == ".safetensors" else head


def _header(url: str, repository: str) -> bytes:
    head = _bytes(url, repository, 0, 8)
    length = min(int.from_bytes(head, "little"), HEADER_LIMIT)
    return head + _bytes(url, repository, 8, length)


def _bytes(url: str, repository: str, begin: int, length: int) -> bytes:
    """A range of a file's bytes."""
    if not length:
        return b""
    span = f"bytes={begin}-{begin + length - 1}"
    with _get(url, repository, **{"Range": span, "Accept-Encoding": "identity"}) as response:
        if response.status_code not in (200, 206):
            raise _unreachable(repository, f"the hub answers {response.status_code}")
        content = bytes(response.content)
    return content[begin : begin + length] if response.status_code == 200 else content[:length]
