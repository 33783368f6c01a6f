"""A release, or another folder, that lies elsewhere: on the hub, on the web, in an archive.

Only what is needed comes, into a folder that goes afterwards. Where a place says of its files what they hold, and that
is not what is promised, nothing is fetched at all. What a place says is no evidence, and neither is what a file is
called in a cache: whatever came is hashed by the checks like any other folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from regrow import sources
from regrow.errors import DifferentError, InputError, RecipeError
from regrow.printable import escaped
from regrow.release.files import HUBS_OWN, MOST_BYTES
from regrow.release.layout import SUMS, is_covered
from regrow.release.sums import leaves, parse
from regrow.sources import Site, archives, hf, objects
from regrow.store import remove_tree
from regrow.store.copying import copy_hashed
from regrow.words import listed

_CHUNK = 1 << 20
_TIMES, _SMALL = 100, 256 << 20
"""An archive unpacks to so many times its bytes at most, or to so many: weights hardly pack, and a bomb does."""
_NAMED = 3


class _Place(Protocol):
    """Where files are fetched from."""

    def served(self) -> Mapping[str, str] | None:
        """Path -> sha256 of the files there, empty where that is not told; None where files are not listed."""

    def get(self, path: str) -> Path:
        """A file, wherever it then is."""


@dataclass(frozen=True)
class _Hub:
    locator: str
    site: Site

    def served(self) -> Mapping[str, str]:
        return {name: sha256 for name, sha256, _ in hf.served(self.locator, self.site)}

    def get(self, path: str) -> Path:
        return hf.fetched(self.locator, path, self.site)


@dataclass(frozen=True)
class _Web:
    url: str
    site: Site

    def served(self) -> None:
        return None

    def get(self, path: str) -> Path:
        return self.site.download(f"{self.url.rstrip('/')}/{quote(path)}" if path else self.url)


@dataclass(frozen=True)
class _Objects:
    url: str
    site: Site

    def served(self) -> Mapping[str, str]:
        return dict.fromkeys(objects.served(self.url, self.site), "")

    def get(self, path: str) -> Path:
        return objects.fetched(self.url, path, self.site)


def is_elsewhere(said: str) -> bool:
    """Whether something is the address of a place elsewhere, and no path."""
    return sources.is_address(said) and not Path(said).exists()


@contextmanager
def here(
    said: str,
    *,
    needed: Callable[[str], bool] = lambda _: True,
    signed: Mapping[str, str] | None = None,
    offline: bool = False,
) -> Iterator[Path]:
    """The folder of what lies at some place, as long as the block lasts.

    Args:
        said: a path, of a folder or of an archive; ``hf:owner/name@COMMIT``; or the address of a folder or an archive.
        needed: which files of a release are, besides its list.
        signed: path -> sha256 of files that somebody signed, empty where that is not known: then all files come, and
            these take the place of a release's list.
        offline: to leave the network alone.

    Raises:
        InputError: if it cannot be had, or is an archive with something in it that is no plain file.
        DifferentError: if what is served is not what is listed or signed.
        RecipeError: if there is no such address.
    """
    elsewhere = is_elsewhere(said)
    packed = archives.is_archive(urlsplit(said).path if elsewhere else said) and not said.startswith("hf:")
    if not elsewhere and not (packed and Path(said).is_file() and signed is None):
        yield Path(said)
        return
    folder = Path(tempfile.mkdtemp(prefix="regrow-verify-"))
    try:
        if not elsewhere:
            yield _unpacked(Path(said), said, folder)
        elif packed:
            yield _unpacked(place_of(said, Site(offline=offline)).get(""), said, folder)
        else:
            _fetch(said, place_of(said, Site(offline=offline)), needed, signed, folder)
            yield folder
    finally:
        remove_tree(folder)


def place_of(said: str, site: Site) -> _Place:
    """The place at an address.

    Raises:
        RecipeError: if there is no such address.
    """
    scheme, _, locator = said.partition(":")
    if scheme == "hf":
        hf.check(locator)
        return _Hub(locator, site)
    if scheme == "https":
        return _Web(said, site)
    if scheme in sources.SCHEMES:
        raise RecipeError(
            f"no release is looked for at `{escaped(said)}`",
            hint="name a folder, an archive, hf:owner/name@COMMIT, https://..., or what fsspec knows, s3://...",
        )
    objects.check(said)
    return _Objects(said, site)


def _fetch(
    said: str, place: _Place, needed: Callable[[str], bool], signed: Mapping[str, str] | None, into: Path
) -> None:
    """Put files into a folder, once the place does not contradict what they should be."""
    served = place.served()
    if signed is None and served is not None and SUMS not in served:
        raise InputError(
            "there is no release here",
            where=escaped(said),
            why=f"it has no {SUMS}, which says what its files should be",
            hint="any model can be compared with a signature: --bundle model.sig --key them.pub",
        )
    promised = _listed(said, place) if signed is None else signed
    if served is not None:
        _require_promised(said, served, promised, whole=signed is None)
    names = [path for path in promised if needed(path)]
    if signed is None:
        names.append(SUMS)
    if served is not None:
        others = [path for path in served if path != HUBS_OWN or SUMS in promised]  # a signed list may have one too
        names += [path for path in others if signed is not None or needed(path)]
    for path in dict.fromkeys(names):
        if leaves(path):
            raise InputError("this is no path in a folder", where=f"{said}: {escaped(path)}")
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        copy_hashed(place.get(path), into / path)


def _listed(said: str, place: _Place) -> Mapping[str, str]:
    """What the list of a release promises."""
    path = place.get(SUMS)
    sums = parse(path.read_bytes()) if path.stat().st_size <= MOST_BYTES else None
    if sums is None or not sums.canonical:
        raise InputError(
            "this is no release",
            where=escaped(said),
            why=f"its {SUMS} is not a list as regrow writes it",
            hint="look at the address",
        )
    return sums.listed


def _require_promised(said: str, served: Mapping[str, str], promised: Mapping[str, str], *, whole: bool) -> None:
    """Raise if a place says itself that it has something else; what it does not say is looked at later."""
    missing = [path for path in promised if path not in served]
    other = [path for path, sha256 in promised.items() if sha256 and served.get(path) not in (None, "", sha256)]
    added = [path for path in served if whole and path not in {*promised, HUBS_OWN} and is_covered(path)]
    for paths, what in ((other, "has other bytes"), (missing, "is missing"), (added, "is in no list")):
        if paths:
            more = f", and so do {len(paths) - 1} more" if len(paths) > 1 else ""
            raise DifferentError(
                "what is served there is not what it should be",
                where=escaped(said),
                why=f"{escaped(listed(paths[:_NAMED]))} {what}{more}, as the place says itself",
                hint="nothing was downloaded; ask whoever released it",
            )


def _unpacked(archive: Path, said: str, into: Path) -> Path:
    """Unpack an archive; the folder of the release in it.

    Raises:
        InputError: if there is anything in it that is no plain file in its place.
    """
    name = unquote(urlsplit(said).path.rpartition("/")[2])
    budget = archives.Budget(name, _limits(archive.stat().st_size))
    with archive.open("rb") as file:
        for entry in archives.entries(file, name, lambda _, __: True, budget):
            if isinstance(entry, archives.Refused):
                raise InputError(
                    "there is something in this archive that no release has",
                    where=f"{escaped(said)}: {escaped(entry.path)}",
                    why=f"it is {entry.reason}",
                    hint="do not unpack it by other means",
                )
            _write(entry, into, said)
    inside = list(into.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else into


def _limits(size: int) -> archives.Limits:
    limits = archives.Limits()
    return replace(limits, total=min(limits.total, max(_SMALL, _TIMES * size)))


def _write(entry: archives.Member | archives.Large, into: Path, said: str) -> None:
    target = into / entry.path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            if isinstance(entry, archives.Member):
                file.write(entry.data)
            else:
                while data := entry.read(_CHUNK):
                    file.write(data)
    except OSError as error:
        raise InputError(
            "this archive cannot be unpacked",
            where=f"{escaped(said)}: {escaped(entry.path)}",
            why=error.strerror or str(error),
        ) from error
