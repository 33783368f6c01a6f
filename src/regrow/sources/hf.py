"""``hf:OWNER/NAME@COMMIT``: files of a model on the hub, or of a data set: ``hf:datasets/OWNER/NAME@COMMIT``.

The hub lists the sha256 of large files, so that these are pinned without being downloaded; small ones are. Where the
hub is says ``HF_ENDPOINT``, as for its own library. Of a branch or a tag, which move, it is told which commit they are.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from regrow.errors import InputError, RecipeError
from regrow.formats.header import printable
from regrow.recipe.pin import Pin, is_sha256
from regrow.sources.addresses import shown as shown_address
from regrow.sources.archives import is_archive
from regrow.sources.faults import Promise
from regrow.sources.scheme import Site
from regrow.sources.survey import Survey
from regrow.store.digest import sha256_file
from regrow.words import shown

EXAMPLE = "`hf:owner/name@COMMIT` and `hf:datasets/owner/name@COMMIT`, files of a model or data set on the hub"
LOCAL = False

_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?"
_LOCATOR = re.compile(rf"(?P<kind>datasets/)?(?P<id>{_PART}/{_PART})@(?P<revision>[\w./-]{{1,200}})", re.ASCII)
_LARGEST_PAGE = 1 << 24
_MOST_FILES = 100_000
_COMMIT = re.compile("[0-9a-f]{40}")


def check(locator: str) -> None:
    """Require an owner, a name and a revision."""
    match = _LOCATOR.fullmatch(locator)
    if match is None or ".." in locator or "--" in match["id"]:
        raise RecipeError(
            f"{shown('hf:' + locator)} does not name one state of a model or data set",
            why="what lies behind a name alone changes",
            hint='write owner, name and commit: "hf:owner/name@0123..." or "hf:datasets/owner/name@0123..."; with '
            "`@main` in its place it is told which commit that is",
        )


def package_url(locator: str) -> str:
    """The package URL (purl specification, type ``huggingface``) of a model; of a data set there is none."""
    match = _parts(locator)
    return "" if match["kind"] else f"pkg:huggingface/{match['id']}@{match['revision'].lower()}"


def endpoint() -> str:
    """Where the hub is: as its own library knows it, unless the user says otherwise.

    Raises:
        InputError: if nobody says.
        RecipeError: if the user names no address.
    """
    if chosen := os.environ.get("HF_ENDPOINT", "").strip():
        if not re.match(r"https?://[^/\s]", chosen):
            hint = "write it in full, such as https://hub.example.org, or unset it"
            raise RecipeError(f"`{printable(chosen)}` is no address", where="HF_ENDPOINT", hint=hint)
        return chosen.rstrip("/")
    try:
        from huggingface_hub.constants import ENDPOINT
    except ImportError:
        raise InputError("models of the hub cannot be fetched", hint="pip install huggingface_hub") from None
    return str(ENDPOINT).rstrip("/")


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The selected files as they are now. Emits ``selected``: see :class:`regrow.sources.survey.Survey`."""
    _require_commit(locator, site)
    pins, survey = list[Pin](), Survey()
    for name, sha256, size in _listed(locator, site):
        enters = is_archive(name) and site.choice.enters(name)
        reason = "" if enters else site.choice.reason(name)
        survey.add(printable(name), reason)
        if reason:
            continue
        if not sha256:
            path = site.download(_address(locator, name))
            sha256, size = sha256_file(path), path.stat().st_size
        pins.append(Pin(name, sha256, size))
    if not pins:
        raise InputError(f"none of the files of `hf:{locator}` is selected", hint="look at `select` and `exclude`")
    site.emit("selected", **survey.event())
    return tuple(sorted(pins, key=lambda pin: pin.file.encode()))


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The pinned file, from the download cache or the hub."""
    if (path := site.downloads.find(pin.sha256)) is not None:
        return path
    return site.download(_address(locator, pin.file), Promise.of(pin))


def served(locator: str, site: Site) -> tuple[tuple[str, str, int], ...]:
    """Name, sha256 and size of all files, as the hub says; of small ones no sha256."""
    _require_commit(locator, site)
    return tuple(_listed(locator, site))


def fetched(locator: str, name: str, site: Site) -> Path:
    """A file as it is served now, of which nothing is promised."""
    _require_commit(locator, site)
    return site.download(_address(locator, name))


def _require_commit(locator: str, site: Site) -> None:
    """Refuse a branch or a tag, and say which commit it is now."""
    match = _parts(locator)
    if _COMMIT.fullmatch(match["revision"]):
        return
    told = _told(f"{_interface(locator)}/revision/{quote(match['revision'], safe='')}", locator, site)[0]
    commit = told.get("sha") if isinstance(told, dict) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise _senseless(_interface(locator))
    raise InputError(
        f"`{match['revision']}` of `hf:{match['kind'] or ''}{match['id']}` is no commit",
        why="a branch or a tag may be another one tomorrow, and then nobody could build this again",
        hint=f'write the commit that it is now: "hf:{match["kind"] or ""}{match["id"]}@{commit}"',
    )


def _listed(locator: str, site: Site) -> Iterator[tuple[str, str, int]]:
    """Name, sha256 and size of each file; of small ones no sha256."""
    url, count = f"{_interface(locator)}/tree/{quote(_parts(locator)['revision'], safe='')}?recursive=true", 0
    while url:
        entries, following = _told(url, locator, site)
        try:
            if not isinstance(entries, list):
                raise TypeError("no list of files")
            found = [_entry(entry) for entry in entries if entry["type"] == "file"]
        except (ValueError, KeyError, TypeError) as error:
            raise _senseless(url) from error
        count += len(entries)
        if count > _MOST_FILES or (following and not entries):
            what = f"`hf:{locator}` has more than {_MOST_FILES:,} files"
            raise InputError(what, hint="download those you need, and name their folder")
        yield from found
        url = following


def _told(url: str, locator: str, site: Site) -> tuple[Any, str]:
    """What the hub says, and the address of what follows."""
    page = site.page(url, accept="application/json", most=_LARGEST_PAGE)
    if page is None:
        raise InputError(
            f"there is no `hf:{locator}` that everyone can see",
            where=shown_address(url),
            hint="look at the spelling of owner, name and revision; of what asks for an account, download the files "
            "and name their folder",
        )
    try:
        return json.loads(page.body), page.following
    except (ValueError, RecursionError) as error:
        raise _senseless(url) from error


def _senseless(url: str) -> InputError:
    return InputError(
        "what came is not what a hub answers",
        where=shown_address(url),
        hint="a log-in page or a notice of the network may be in the way; look at HF_ENDPOINT if it is set",
    )


def _interface(locator: str) -> str:
    """The address at which the hub tells of a model or data set."""
    match = _parts(locator)
    return f"{endpoint()}/api/{match['kind'] or 'models/'}{match['id']}"


def _entry(entry: dict[str, Any]) -> tuple[str, str, int]:
    name, size = entry["path"], entry["size"]
    sha256 = entry["lfs"]["oid"] if entry.get("lfs") else ""
    bad = ".." in str(name).split("/") or str(name).startswith("/") or "\\" in str(name)
    if bad or type(name) is not str or type(size) is not int or size < 0 or (sha256 and not is_sha256(sha256)):
        raise ValueError("no file of a hub is like this")
    return name, sha256, size


def _address(locator: str, name: str) -> str:
    match = _parts(locator)
    place = f"{match['kind'] or ''}{match['id']}/resolve/{quote(match['revision'], safe='')}"
    return f"{endpoint()}/{place}/{quote(name)}"


def _parts(locator: str) -> re.Match[str]:
    match = _LOCATOR.fullmatch(locator)
    assert match is not None, locator
    return match
