"""Where the weights of a release of our own come from, as the statements about its stages say, and nothing else.

A stage that gives weights says how: ``random`` initial values, or how it made them of others. The line of the final
weights is their stage and all those before it whose weights went into it. Only if every stage of that line tells its
origin is anything shown; a card or a recipe is no evidence of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from regrow.auditing import names
from regrow.auditing.collectors.folder import Folder, Statement, printable
from regrow.auditing.facts import Basis, Evidence, OriginFact, ParentFact, Relation
from regrow.auditing.lineage import MECHANICAL
from regrow.data import toml
from regrow.release import Release
from regrow.release.layout import statement_path
from regrow.release.statements import Statement as Made
from regrow.release.statements import brought_in, done_to, line_of_weights

NAME = "release"
RANDOM = "random"


def collect(folder: Folder, made: tuple[Made, ...], followed: Mapping[str, Release]) -> Iterator[Statement]:
    """That the final weights come from random values, or the models outside the release that they were made from.

    Args:
        folder: the release, for evidence.
        made: its statements, in the order of the graph.
        followed: stage that took a model from outside -> the release that this is, as far as there are records of it.
    """
    line = line_of_weights(made)
    if not line or any(one.origin is None for one in line):
        return
    starts = [one for one in line if not _before(one, line)]
    given = {taken.stage: taken for taken in (_given(one, made) for one in starts if one.origin != RANDOM)}
    for one in given.values():
        licence = printable(str(one.parameters.get("licence", "")))
        name, sha256, relation = _name(one), one.digest, _relation(one, made)
        if one.stage in followed:
            name, sha256 = named(followed[one.stage]), followed[one.stage].digest
        yield ParentFact(Basis.FOUND, _at(folder, one), name, relation, sha256=sha256, licence=licence)
    if not given:
        changed = tuple(printable(str(one.origin), 40) for one in line if one.origin != RANDOM)
        yield OriginFact(Basis.FOUND, _at(folder, line[-1]), _said(line), changed)


def named(release: Release) -> str:
    """What a parent is called that is a release: two of the same name are two models."""
    return printable(f"{release.name or release.path.name}-{release.digest[:12]}")


def _before(one: Made, line: tuple[Made, ...]) -> list[Made]:
    given = {name for _, name in one.inputs}
    return [other for other in line if other.stage in given]


def _said(line: tuple[Made, ...]) -> str:
    """How the final weights came about, stage by stage."""
    first = [f"stage {printable(one.stage)} trains from random initial values" for one in line if one.origin == RANDOM]
    later = [
        f"stage {printable(one.stage)} gives weights that are {printable(str(one.origin))}, from "
        f"{' and '.join(printable(before.stage) for before in _before(one, line))}"
        for one in line
        if one.origin != RANDOM
    ]
    return "; ".join((*first, *later, "no stage takes other weights"))


def _relation(given: Made, made: tuple[Made, ...]) -> Relation:
    """How the final weights were made of a model: by training, if anything behind it trains."""
    later = done_to(given, made)[::-1] or ("imported",)
    found = [Relation(toml("auditing.collectors", "origins").get(origin, Relation.UNKNOWN)) for origin in later]
    trained = [one for one in found if one not in (*MECHANICAL, Relation.UNKNOWN)]
    return next(iter(trained), Relation.UNKNOWN if Relation.UNKNOWN in found else found[0])


def _given(one: Made, made: tuple[Made, ...]) -> Made:
    """The stage that took from outside what a stage made its weights of: itself, or one before that did."""
    before = {one.stage, *(name for _, name in one.inputs)}
    return next((other for other in brought_in(made) if other.stage in before), one)


def _name(one: Made) -> str:
    """What the weights are that a stage takes from outside."""
    fetch = one.parameters.get("fetch")
    said = fetch if isinstance(fetch, str) and fetch else f"what stage {one.stage} took"
    return names.model(said) or printable(said)


def _at(folder: Folder, one: Made) -> Evidence:
    return folder.evidence(statement_path(one.stage), NAME)
