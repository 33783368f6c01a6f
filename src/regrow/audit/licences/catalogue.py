"""The table of licences: what each permits, requires and forbids, and along which edges of the lineage that travels.

The entries are in ``data/*.toml``. They are facts about licences in our own short words; no licence's text is here.

    >>> licence = find("Llama3.1")
    >>> [clause.name for clause in licence.requires]
    ['copy-of-terms', 'notice', 'badge-text', 'name-prefix']
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from regrow.audit.facts import Relation
from regrow.errors import RegrowError

_FOLDER = files("regrow.audit.licences") / "data"
_CLAUSES = "clauses.toml"
OUTPUTS = "outputs"
_BY_PARAMETERS = (Relation.FINETUNE, Relation.ADAPTER, Relation.MERGE, Relation.QUANTISED, Relation.CONVERTED)
_REACH: dict[str, tuple[str, ...]] = {
    "derivatives": _BY_PARAMETERS,
    **{relation: (relation,) for relation in (*_BY_PARAMETERS, Relation.DISTILLED, Relation.SYNTHETIC_DATA)},
    OUTPUTS: (OUTPUTS,),
}


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


@dataclass(frozen=True)
class Clause:
    """One duty, prohibition or limit of a licence.

    Attributes:
        name: of the sort of clause, e.g. ``name-prefix``; the keys of ``data/clauses.toml``.
        does: whether it requires, forbids, or sets a threshold.
        text: what it says, in one line.
        when: whom it meets: ``use``, ``share``, ``modify``, ``output`` or ``scale``.
        reach: the relations, and ``outputs``, along which it travels from a model to what is made from it.
        limits: the rights that are less than full while it holds.
        open: whether a licence with this clause can still be open.
        value: the prefix, the badge or the regions it names, or empty.
        limit: the number of users or dollars of a threshold, or None.
        as_of: the day on which the users are counted, or empty.
        checked: whether it was found in the licence's text; otherwise it is from a secondary source.
    """

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
        links: parts of addresses that lead to its text.
        members: ids of the licences of a family.
        compatible: ids of other licences under which it lets one share what is made from the work.
        mutable_terms: part of the terms is at an address and can change later.
        termination: what ends it, or empty.
        source: where these facts are from.
        checked: whether they were found in the licence's text; otherwise they are from secondary sources.
    """

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
    def reach(self) -> Mapping[str, frozenset[str]]:
        """Along which kinds of edge each clause travels, by its name."""
        return {clause.name: clause.reach for clause in self.clauses}

    @property
    def open(self) -> bool:
        """Whether it lets everyone use, change and share the work for any purpose."""
        return self.osi or self.open_definition


def every() -> tuple[Licence, ...]:
    """All licences of the table, in the order of the files."""
    return tuple(_table().values())


def get(id: str) -> Licence:
    """The licence with this id; KeyError if there is none."""
    return _table()[id]


def find(tag: str) -> Licence | None:
    """The licence that a tag names; None where it names none, or more than one.

    A tag is an id of the Hugging Face hub or of SPDX, or another name of a licence, in any case. Nothing is guessed:
    ``other``, ``unknown`` and ``cc`` name no licence.
    """
    id = _names().get(_plain(tag))
    return None if id is None else get(id)


def linked(address: str) -> Licence | None:
    """The licence whose text is known to be at an address, or None."""
    plain = address.casefold()
    found = {licence.id for licence in every() for link in licence.links if link in plain}
    return get(found.pop()) if len(found) == 1 else None


def _plain(tag: str) -> str:
    return re.sub(r"[\s_-]+", "-", tag.strip().casefold())


@cache
def _names() -> dict[str, str]:
    """Every name of every licence; loading fails if a name stands for two."""
    names: dict[str, str] = {}
    for licence in every():
        for name in (licence.id, licence.spdx, *licence.hf, *licence.aliases):
            if name and names.setdefault(_plain(name), licence.id) != licence.id:
                raise RegrowError(f"`{name}` names both `{names[_plain(name)]}` and `{licence.id}`")
    return names


@cache
def _table() -> dict[str, Licence]:
    return load(_FOLDER)


def load(folder: Traversable) -> dict[str, Licence]:
    """Read a table of licences.

    Raises:
        RegrowError: naming the file and the key that is wrong.
    """
    clauses = _read(folder / _CLAUSES)
    table: dict[str, Licence] = {}
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".toml")), key=lambda path: path.name)
    for path in paths:
        for number, entry in enumerate(_read(path).get("licence", ()), 1):
            where = f"{path.name}: licence {entry.get('id', number)}"
            licence = _licence(_Entry(entry, where), clauses)
            if licence.id in table:
                raise RegrowError(f"`{licence.id}` is there twice", where=where)
            table[licence.id] = licence
    for licence in table.values():
        for other in (*licence.members, *licence.compatible):
            if other not in table:
                raise RegrowError(f"`{licence.id}` speaks of `{other}`, which is not in the table", where=str(folder))
    return table


def _read(path: Traversable) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RegrowError("a table of licences cannot be read", where=path.name, why=str(error)) from error


class _Entry:
    """A TOML table of which every key must be asked for, with its type."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = dict(values)
        self.where = where

    def _take(self, key: str, kind: type, default: Any) -> Any:
        value = self._values.pop(key, default)
        if value is None:
            raise RegrowError(f"`{key}` is missing", where=self.where)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise RegrowError(f"`{key}` must be of type {kind.__name__}", where=f"{self.where}: {key}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._take(key, str, default))

    def truth(self, key: str, default: bool | None = None) -> bool:
        return bool(self._take(key, bool, default))

    def maybe_truth(self, key: str) -> bool | None:
        return self.truth(key) if key in self._values else None

    def maybe_number(self, key: str) -> int | None:
        return int(self._take(key, int, None)) if key in self._values else None

    def items(self, key: str) -> list[Any]:
        return list(self._take(key, list, []))

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self.choice(key, item, None) for item in self.items(key))

    def choices(self, key: str, allowed: type[StrEnum]) -> Iterator[Any]:
        return (allowed(self.choice(key, item, allowed)) for item in self.items(key))

    def choice(self, key: str, value: Any, allowed: type[StrEnum] | Mapping[str, Any] | None) -> str:
        known = allowed is None or value in list(allowed)
        if not isinstance(value, str) or not known:
            raise RegrowError(f"`{key}` cannot hold {value!r}", where=f"{self.where}: {key}")
        return value

    def done(self) -> None:
        if self._values:
            raise RegrowError(f"unknown key `{next(iter(self._values))}`", where=self.where)


def _licence(entry: _Entry, clauses: Mapping[str, Any]) -> Licence:
    licence = Licence(
        id=entry.text("id"),
        title=entry.text("title"),
        kind=Kind(entry.choice("kind", entry.text("kind"), Kind)),
        osi=entry.truth("osi"),
        open_definition=entry.truth("open_definition"),
        permits=frozenset(entry.choices("permits", Right)),
        source=entry.text("source"),
        checked=entry.truth("checked"),
        fsf=entry.maybe_truth("fsf"),
        requires=_clauses(entry, "requires", Does.REQUIRES, clauses),
        forbids=_clauses(entry, "forbids", Does.FORBIDS, clauses),
        thresholds=_clauses(entry, "thresholds", Does.THRESHOLD, clauses),
        spdx=entry.text("spdx", ""),
        hf=entry.texts("hf"),
        aliases=entry.texts("aliases"),
        links=entry.texts("links"),
        members=entry.texts("members"),
        compatible=entry.texts("compatible"),
        mutable_terms=entry.truth("mutable_terms", False),
        termination=entry.text("termination", ""),
    )
    entry.done()
    return licence


def _clauses(entry: _Entry, key: str, does: Does, known: Mapping[str, Any]) -> tuple[Clause, ...]:
    return tuple(_clause(item, does, known, f"{entry.where}: {key}") for item in entry.items(key))


def _clause(item: Any, does: Does, known: Mapping[str, Any], where: str) -> Clause:
    """A clause by its name alone, or with some of its values changed."""
    own = {"clause": item} if isinstance(item, str) else item
    name = own.get("clause") if isinstance(own, dict) else None
    if not isinstance(name, str) or name not in known:
        raise RegrowError(f"there is no clause {name!r} in {_CLAUSES}", where=where)
    values = _Entry({**known[name], **{key: value for key, value in own.items() if key != "clause"}}, f"{where} {name}")
    if values.text("does") != does:
        raise RegrowError(f"`{name}` does not belong under `{where.rsplit(': ')[-1]}`", where=where)
    reach = [values.choice("reach", kind, _REACH) for kind in values.items("reach")]
    clause = Clause(
        name=name,
        does=does,
        text=values.text("text"),
        when=values.text("when"),
        reach=frozenset(str(edge) for kind in reach for edge in _REACH[kind]),
        limits=frozenset(values.choices("limits", Right)),
        open=values.truth("open", False),
        value=values.text("value", ""),
        limit=values.maybe_number("limit"),
        as_of=values.text("as_of", ""),
        checked=values.truth("checked", True),
    )
    values.done()
    return clause
