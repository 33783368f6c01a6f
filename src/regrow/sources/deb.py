"""``deb:PACKAGE=VERSION``: a binary package of Debian, as the archive it is. No script in it is ever run.

A package that is the same for all processors is taken, or the one for amd64; ``#ARCHITECTURE`` at the end says which.
The archives are those that ``REGROW_DEB_ARCHIVE`` names, as ``ADDRESS SUITE COMPONENT...``, several apart by ``;``; or
those that apt is configured for; or else the usual one. What an index says comes by https.

Archives keep old versions for a while only. So a pin has the place of its file in the archive: any mirror or snapshot
that still has it will do, whatever suites it knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from urllib.parse import quote

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import Pin, is_sha256
from regrow.sources.addresses import shown as shown_address
from regrow.sources.archives import Member, members
from regrow.sources.faults import Promise
from regrow.sources.packing import unpacked
from regrow.sources.registries import usual_registry
from regrow.sources.scheme import Site
from regrow.words import shown

EXAMPLE = "`deb:package=1.2-3`, a binary package of Debian"
LOCAL = False

_LOCATOR = re.compile(r"([a-z0-9][a-z0-9.+-]+)=((?:\d+:)?[0-9][\w.+~-]*)(?:#([a-z0-9-]+))?", re.ASCII)
_ARCHITECTURE = "amd64"
"""Its index has what is the same for all, too."""
_APT = Path("/etc/apt")
_VARIABLE = "REGROW_DEB_ARCHIVE"
_WHICH = f"see which archives are asked: {_VARIABLE}, or what apt is configured for"
_SNAPSHOT = (
    f"archives keep old versions for a while only: let {_VARIABLE} name a snapshot of one that is old enough, or a "
    "mirror that still has it"
)
_LARGEST_RELEASE = 1 << 25
_LARGEST_INDEX = 1 << 30
_SUM = re.compile(r"^ ([0-9a-f]{64}) +(\d{1,15}) +(\S+)$", re.MULTILINE)
_PLACE = re.compile(r"[A-Za-z0-9][\w.+~-]*(?:/[A-Za-z0-9][\w.+~-]*)+\.u?deb", re.ASCII)
_COPYRIGHT = re.compile(r"usr/share/doc/[^/]+/copyright")
_FOR_MACHINES = re.compile(r"\s*Format(?:-Specification)?:", re.IGNORECASE)
_LICENCE = re.compile(r"^License:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Archive:
    """Where packages are.

    Attributes:
        address: below which there are ``dists`` and ``pool``.
        suites: of it that are looked into.
        components: of the suites.
    """

    address: str
    suites: tuple[str, ...] = ("stable",)
    components: tuple[str, ...] = ("main",)


def check(locator: str) -> None:
    """Require a package and an exact version."""
    if not _LOCATOR.fullmatch(locator):
        raise RecipeError(
            f"{shown('deb:' + locator)} does not name one version of a package",
            why="what is called by a name alone, or by a suite, changes",
            hint='write package and version: "deb:sqlite3-doc=3.40.1-2"; `apt-cache policy` tells which there are',
        )


def package_url(locator: str) -> str:
    """The package URL (purl specification, type ``deb``)."""
    name, version, architecture = _parts(locator)
    behind = f"?arch={architecture}" if architecture else ""
    return f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='')}{behind}"


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The package, as the index lists it; it is downloaded, since only it says what its packers know of licences."""
    archive, told = _listed(locator, site)
    place, sha256, size = str(told["Filename"]), str(told["SHA256"]), str(told["Size"])
    if not _PLACE.fullmatch(place) or not is_sha256(sha256) or not size.isdigit():
        what = f"the index of packages lists no proper place, sha256 and size for `deb:{locator}`"
        raise InputError(what, where=shown_address(archive.address), hint=_WHICH)
    path = site.download(_address(archive, place), Promise(place, sha256, int(size), _VARIABLE))
    return (Pin(place, sha256, path.stat().st_size, _licences(path, place)),)


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The pinned file, from the download cache or the first archive that has it in the same place."""
    if (path := site.downloads.find(pin.sha256)) is not None:
        return path
    troubles = list[InputError]()
    for address in dict.fromkeys([*(archive.address for archive in archives()), _usual().address]):
        try:
            return site.download(_address(Archive(address), pin.file), Promise.of(pin))
        except InputError as error:
            troubles.append(error)
    if site.offline:
        raise troubles[0]
    raise InputError(
        f"no archive has `{pin.file}` as it was pinned",
        where=f"deb:{locator}",
        why="; ".join(f"{error.what}: {error.why}" for error in troubles),
        hint=_SNAPSHOT,
    )


def archives() -> Sequence[Archive]:
    """The archives to look into, in order."""
    if chosen := os.environ.get(_VARIABLE, "").strip():
        return [_named(line) for line in re.split("[;\n]", chosen) if line.strip()]
    return [*configured()] or [_usual()]


def configured(folder: Path = _APT) -> Iterator[Archive]:
    """The archives that apt is configured for, see sources.list(5). They are asked by https, whatever it says there."""
    try:
        parts = sorted((folder / "sources.list.d").glob("*")) if (folder / "sources.list.d").is_dir() else []
        files = [path for path in (folder / "sources.list", *parts) if path.is_file()]
        for path in files:
            if path.suffix == ".sources":
                yield from _stanzas(path.read_text("utf-8"))
            elif path.suffix == ".list":
                yield from _lines(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        hint = f"mend it, or set {_VARIABLE} to the address of an archive and a suite"
        why = f"{type(error).__name__}"
        raise InputError("what configures apt cannot be read", where=str(folder), why=why, hint=hint) from error


def _stanzas(text: str) -> Iterator[Archive]:
    for told in _paragraphs(re.sub("^#.*\n", "", text, flags=re.MULTILINE)):
        if "deb" in told.get("Types", "").split() and told.get("Enabled", "yes").lower() not in ("no", "false", "0"):
            suites, components = (tuple(told.get(key, "").split()) for key in ("Suites", "Components"))
            yield from _safe(told.get("URIs", "").split(), suites, components)


def _lines(text: str) -> Iterator[Archive]:
    for line in re.findall(r"^[ \t]*deb[ \t]+(?:\[[^\]]*\][ \t]*)?([^#\n]+)", text, re.MULTILINE):
        address, *rest = line.split()
        yield from _safe([address], tuple(rest[:1]), tuple(rest[1:]))


def _safe(addresses: Sequence[str], suites: tuple[str, ...], components: tuple[str, ...]) -> Iterator[Archive]:
    """Archives on the web that have suites with components."""
    if suites and components:
        for address in addresses:
            if match := re.fullmatch(r"https?://(\S+)", address):
                yield Archive(f"https://{match[1].rstrip('/')}", suites, components)


def _named(line: str) -> Archive:
    address, *rest = line.split()
    suites = tuple(rest[:1]) or Archive.suites
    return Archive(address.rstrip("/"), suites, tuple(rest[1:]) or Archive.components)


def _usual() -> Archive:
    return Archive(usual_registry("pkg:deb/debian/x@1", "/pool/main/x/x/x_1.dsc"))


def _listed(locator: str, site: Site) -> tuple[Archive, Message]:
    """What an index says of the package in the version, and in which archive."""
    name, version, _ = _parts(locator)
    others, troubles = dict[str, None](), list[InputError]()
    for archive in archives():
        for suite in archive.suites:
            try:
                for told in _told(archive, suite, locator, site):
                    if told["Version"] == version:
                        return archive, told
                    others[str(told["Version"])] = None
            except InputError as error:
                troubles.append(error)
    if troubles and not others:
        raise troubles[0]
    has = f"they have {', '.join(others)}" if others else "they have none of that name"
    raise InputError(
        f"no archive has version {version} of `{name}`",
        where=f"deb:{locator}",
        why=has + "".join(f"; {error.what}" for error in troubles),
        hint=_SNAPSHOT if others else _WHICH,
    )


def _told(archive: Archive, suite: str, locator: str, site: Site) -> Iterator[Message]:
    """What the indexes of a suite say of the package, in each version."""
    name, _, architecture = _parts(locator)
    top = f"{archive.address}/dists/{suite}"
    page = site.page(f"{top}/InRelease", accept="*/*", most=_LARGEST_RELEASE)
    if page is None:
        what = f"there is no archive of Debian with a suite `{suite}`"
        raise InputError(what, where=shown_address(archive.address), hint=_WHICH)
    release = page.body.decode("utf-8", "replace")
    sums = {found[3]: (found[1], int(found[2])) for found in _SUM.finditer(release)}
    by_hash = "\nAcquire-By-Hash: yes" in release
    for component in archive.components:
        index = f"{component}/binary-{architecture or _ARCHITECTURE}/Packages"
        if packed := next((index + end for end in (".xz", ".gz", "") if index + end in sums), ""):
            sha256, size = sums[packed]
            at = f"{packed.rpartition('/')[0]}/by-hash/SHA256/{sha256}" if by_hash else packed
            path = site.download(f"{top}/{at}", Promise(packed, sha256, size, _VARIABLE))
            yield from _of_package(path, name)


def _of_package(path: Path, name: str) -> Iterator[Message]:
    """The paragraphs of an index that are about a package."""
    with path.open("rb") as file, unpacked(file) as stream:
        text = stream.read(_LARGEST_INDEX)
    for found in re.finditer(rb"^Package: %s\n(?:.+\n)*" % re.escape(name.encode()), text, re.MULTILINE):
        told = HeaderParser().parsestr(found[0].decode("utf-8", "replace"))
        if all(told[key] for key in ("Version", "Filename", "SHA256", "Size")):
            yield told


def _paragraphs(text: str) -> Iterator[Message]:
    return (HeaderParser().parsestr(part.lstrip("\n")) for part in re.split(r"\n(?:[ \t]*\n)+", text) if part.strip())


def _address(archive: Archive, place: str) -> str:
    return f"{archive.address}/{quote(place, safe='/~+')}"


def _parts(locator: str) -> tuple[str, str, str]:
    match = _LOCATOR.fullmatch(locator)
    assert match is not None, locator
    return match[1], match[2], match[3] or ""


def _licences(path: Path, name: str) -> tuple[str, ...]:
    """The licences that the packers found in it, each for some of its files."""
    for member in members(path, name, lambda entry: _COPYRIGHT.fullmatch(entry) is not None):
        if isinstance(member, Member):
            text = member.data.decode("utf-8", "replace")
            found = _LICENCE.findall(text) if _FOR_MACHINES.match(text) else []
            return tuple(sorted({words[:100] for words in found}))
    return ()
