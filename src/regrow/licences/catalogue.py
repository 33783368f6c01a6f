"""The catalogue of licences: what each permits, requires and forbids, and along which relations that travels.

The entries are in ``data/*.toml``. They are facts about licences in our own short words; no licence's text is here.
Licences that share all but their names stand in one ``group``.

    >>> licence = find("Llama3.1")
    >>> [clause.name for clause in licence.requires]
    ['copy-of-terms', 'notice', 'badge-text', 'name-prefix']
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from regrow.errors import RegrowError
from regrow.licences.spelling import key, words
from regrow.sections import first_fault

_FOLDER = files("regrow.licences") / "data"
_CLAUSES = "clauses.toml"
DERIVATIVES = "derivatives"
"""The reach of a clause that travels wherever parameters are taken over."""

_REACHES = (DERIVATIVES, "distilled", "synthetic-data", "outputs")


class Kind(StrEnum):
    """What sort of licence it is."""

    PERMISSIVE = "permissive"
    WEAK_COPYLEFT = "weak-copyleft"
    COPYLEFT = "copyleft"
    DATA_PERMISSIVE = "data-permissive"
    DATA_COPYLEFT = "data-copyleft"
    RAIL = "rail"
    COMMUNITY = "community"
    RESEARCH = "research"
    NON_COMMERCIAL = "non-commercial"
    NO_DERIVATIVES = "no-derivatives"
    SOURCE_AVAILABLE = "source-available"


class Right(StrEnum):
    """What one may do. A clause that limits ``use`` leaves it permitted, but not for every purpose or everywhere."""

    USE = "use"
    MODIFY = "modify"
    SHARE = "share"
    COMMERCIAL = "commercial"


class Does(StrEnum):
    """What a clause does."""

    REQUIRES = "requires"
    FORBIDS = "forbids"
    THRESHOLD = "threshold"


_LISTS = {"requires": Does.REQUIRES, "forbids": Does.FORBIDS, "thresholds": Does.THRESHOLD}
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Clause:
    """One duty, prohibition or limit of a licence.

    Attributes:
        name: of the sort of clause, e.g. ``name-prefix``; the keys of ``data/clauses.toml``.
        does: whether it requires, forbids, or sets a threshold.
        text: what it says, in one line.
        when: whom it meets: ``use``, ``share``, ``modify``, ``output`` or ``scale``.
        reach: along what it travels from a model to what is made from it: ``derivatives`` for all that takes over its
            parameters, ``distilled``, ``synthetic-data``, and ``outputs``.
        limits: the rights that are less than full while it holds.
        open: whether a licence with this clause can still be open.
        value: the prefix, the badge or the regions it names, or empty.
        limit: the number of users or dollars of a threshold, or None.
        as_of: the day on which the users are counted, or empty.
        checked: whether it was found in the licence's text; otherwise it is from a secondary source.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    does: Does
    text: str
    when: str
    reach: frozenset[str] = frozenset()
    limits: frozenset[Right] = frozenset()
    open: bool = False
    value: str = ""
    limit: int | None = None
    as_of: str = ""
    checked: bool = True


@dataclass(frozen=True)
class Licence:
    """A licence, or a family of licences of which the version is not said.

    Attributes:
        id: ours; the Hugging Face tag where there is one.
        title: for people.
        kind: what sort of licence it is.
        osi: approved by the Open Source Initiative.
        fsf: called free by the Free Software Foundation; None if it says nothing.
        open_definition: fits the Open Definition in substance.
        permits: what one may do, duties and limits aside.
        requires, forbids, thresholds: the clauses.
        spdx: identifier on the SPDX list, or empty.
        hf: tags on the Hugging Face hub.
        aliases: other names it goes by.
        exact: its identifiers are also names of other things, so they name it only as SPDX writes them.
        links: parts of addresses that lead to its text.
        members: ids of the licences of a family.
        compatible: ids of other licences under which it lets one share what is made from the work.
        mutable_terms: part of the terms is at an address and can change later.
        termination: what ends it, or empty.
        source: where these facts are from.
        checked: whether they were found in the licence's text; otherwise they are from secondary sources.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    id: str
    title: str
    kind: Kind
    osi: bool
    open_definition: bool
    permits: frozenset[Right]
    source: str
    checked: bool
    fsf: bool | None = None
    requires: tuple[Clause, ...] = ()
    forbids: tuple[Clause, ...] = ()
    thresholds: tuple[Clause, ...] = ()
    spdx: str = ""
    hf: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    exact: bool = False
    links: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    compatible: tuple[str, ...] = ()
    mutable_terms: bool = False
    termination: str = ""

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """All clauses."""
        return self.requires + self.forbids + self.thresholds

    @property
    def open(self) -> bool:
        """Whether it lets everyone use, change and share the work for any purpose."""
        return self.osi or self.open_definition


def every() -> tuple[Licence, ...]:
    """All licences, in the order of the files."""
    return tuple(_catalogue().values())


def get(id: str) -> Licence:
    """The licence with this id; KeyError if there is none."""
    return _catalogue()[id]


@cache
def clause_names() -> tuple[str, ...]:
    """The sorts of clauses that licences have."""
    return tuple(_read(_FOLDER / _CLAUSES))


def find(tag: str) -> Licence | None:
    """The licence that a tag names; None where it names none, or more than one.

    A tag is an id of the Hugging Face hub or of SPDX, or a title or another name of a licence, in any case and with or
    without ``the``, ``version`` and ``license``. Nothing is guessed: ``other``, ``unknown`` and ``cc`` name no licence.
    """
    if (id := _names().get(key(tag))) is None:
        return None
    licence = get(id)
    as_listed = not licence.exact or tag.strip() == licence.spdx
    return licence if as_listed or {*words(licence.title)} <= {*words(tag)} else None


def linked(address: str) -> Licence | None:
    """The licence whose text is known to be at an address, or None."""
    plain = address.casefold()
    found = {licence.id for licence in every() for link in licence.links if link in plain}
    return get(found.pop()) if len(found) == 1 else None


@cache
def _names() -> dict[tuple[str, ...], str]:
    """Every name of every licence; loading fails if a name stands for two."""
    names: dict[tuple[str, ...], str] = {}
    for licence in every():
        for name in (licence.id, licence.title, licence.spdx, *licence.hf, *licence.aliases):
            if name and names.setdefault(key(name), licence.id) != licence.id:
                raise RegrowError(f"`{name}` names both `{names[key(name)]}` and `{licence.id}`")
    return names


@cache
def _catalogue() -> dict[str, Licence]:
    return load(_FOLDER)


def load(folder: Traversable) -> dict[str, Licence]:
    """Read a catalogue of licences.

    Raises:
        RegrowError: naming the file and the key that is wrong.
    """
    clauses = _read(folder / _CLAUSES)
    catalogue: dict[str, Licence] = {}
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".toml")), key=lambda path: path.name)
    for path in paths:
        for number, entry in enumerate(_entries(_read(path)), 1):
            where = f"{path.name}: licence {entry.get('id', number)}"
            licence = _licence(entry, clauses, where)
            if licence.id in catalogue:
                raise RegrowError(f"`{licence.id}` is there twice", where=where)
            catalogue[licence.id] = licence
    for licence in catalogue.values():
        for other in (*licence.members, *licence.compatible):
            if other not in catalogue:
                raise RegrowError(
                    f"`{licence.id}` speaks of `{other}`, which is not in the catalogue", where=str(folder)
                )
    return catalogue


def _entries(file: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The licences of a file: the single ones, and those of groups with what each group says of all."""
    yield from file.get("licence", ())
    for group in file.get("group", ()):
        common = {key: value for key, value in group.items() if key != "licences"}
        yield from ({**common, "id": one.get("spdx", "").lower(), **one} for one in group["licences"])


def _read(path: Traversable) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RegrowError("a file of licences cannot be read", where=path.name, why=str(error)) from error


def _licence(entry: Mapping[str, Any], clauses: Mapping[str, Any], where: str) -> Licence:
    told = {key: [_clause(item, does, clauses, where) for item in entry.get(key, ())] for key, does in _LISTS.items()}
    try:
        return _reader().validate_json(json.dumps({**entry, **told}))
    except ValidationError as error:
        raise RegrowError("a licence cannot be read", where=where, why=first_fault(error)) from error


@cache
def _reader() -> TypeAdapter[Licence]:
    return TypeAdapter(Licence)


def _clause(item: Any, does: Does, known: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Write out a clause that is given by its name alone, or with some of its values changed."""
    own = {"clause": item} if isinstance(item, str) else item
    name = own.get("clause") if isinstance(own, dict) else None
    if not isinstance(name, str) or name not in known:
        raise RegrowError(f"there is no clause {name!r} in {_CLAUSES}", where=where)
    values = {"name": name, **known[name], **{key: value for key, value in own.items() if key != "clause"}}
    if values["does"] != does:
        raise RegrowError(f"`{name}` does not belong under `{does}`", where=where)
    if strange := [kind for kind in values.get("reach", ()) if kind not in _REACHES]:
        raise RegrowError(f"the reach of `{name}` cannot be {strange[0]!r}", where=where)
    return values
