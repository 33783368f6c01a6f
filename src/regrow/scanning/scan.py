"""A scan: the stages that find evidence, and those that they need, evaluated for any text there is.

What a build does with a recipe's text, a scan does with a recipe that it makes up: the folder, or the file, is its only
source, every text in it is kept, however short, and what is none is told. So the store keeps what was found, many
processes can share the work, and evidence is the same whichever way one comes to it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from itertools import count as count_from
from pathlib import Path
from typing import Any

import tomli_w

from regrow.building.documents import left_out
from regrow.building.locking import stages_of
from regrow.corpus.documents import EXCLUDED, Tally, columns, count
from regrow.engine import Choice, Evaluation, Listener, Stop, evaluate
from regrow.errors import InputError
from regrow.evidence import EVIDENCE, Evidence
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.inherit import Spoken, spoken
from regrow.recipe.kind import Surroundings
from regrow.recipe.lock import Lock, load
from regrow.recipe.text import parsed
from regrow.release import is_release
from regrow.release.layout import LOCK, RECIPE
from regrow.report import Found
from regrow.store import default_root, opened

NOT_DECLARED = "LicenseRef-not-declared"
"""The licence of texts of which nobody says one."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:")


@dataclass(frozen=True)
class Dropped:
    """Texts that were not searched, for one reason.

    Attributes:
        stage: the kind of stage that left them out.
        reason: why.
        count: how many.
    """

    stage: str
    reason: str
    count: int


@dataclass(frozen=True)
class Scan:
    """What was found in some text.

    Attributes:
        target: what was scanned.
        documents: how many texts were searched.
        evidence: what each check found.
        dropped: texts that were left out before, by reason, the most frequent first.
        left_out: files and rows without a text that can be read.
        artifacts: check's stage -> the folder in the store with its files, such as ``tags.parquet``.
    """

    target: str
    documents: int
    evidence: tuple[Found, ...]
    dropped: tuple[Dropped, ...] = ()
    left_out: tuple[Tally, ...] = ()
    artifacts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What to scan with, beside what the text's own recipe says.

    Attributes:
        benchmarks: tests to look for: files or folders, or addresses of sources, ``scheme:locator``.
        references: texts, or lists of their hashes, that ought not to be there: as for benchmarks.
        licence: what somebody declares of a folder of texts, as an SPDX expression.
        only: the names of the checks that are wanted; all of them if there are none.
        sources: the folder in which the ``file:`` sources of a release's recipe are.
        offline: never use the network.
    """

    benchmarks: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    licence: str = NOT_DECLARED
    only: tuple[str, ...] = ()
    sources: Path | None = None
    offline: bool = False


def scan(
    target: Path,
    wanted: Wanted,
    *,
    store: Path | None = None,
    who: Choice | None = None,
    listener: Listener,
    stop: Stop,
) -> Scan:
    """Look through the text of a release or of a recipe, or through any folder or file of texts.

    Args:
        target: what to scan.
        wanted: with what.
        store: the root of the store; by default the user's. It keeps what was found.
        who: who does the work.
        listener: gets the events.
        stop: when it is set, :class:`regrow.errors.Interrupted` is raised.

    Raises:
        InputError: if there is nothing there, or the texts of a release cannot be had.
        RecipeError: if its recipe is wrong, or a check is asked for that there is not.
    """
    recipe = _recipe(target, wanted)
    bases = {name: place.absolute() for name, place in recipe.places.items()}
    graph, brought = stages_of(recipe.said, recipe.lock, recipe.base, bases, wanted.offline, listener, stop)
    checks = _checks(graph, wanted.only)
    needed = {one.name for check in checks for one in graph.ancestors(check)}

    def evaluated(names: Sequence[str], base: Path) -> Evaluation:
        return evaluate(
            graph,
            room,
            scope=f"scan:{target.resolve()}",
            listener=listener,
            stop=stop,
            only=names,
            who=who,
            surroundings=Surroundings(base, wanted.offline),
        )

    with opened(store or default_root()) as room:
        for name, base in bases.items():  # each lies in a place of its own; then they are in the store
            if brought[name] in needed:
                evaluated([brought[name]], base)
        return _told(target, graph, checks, evaluated([check.name for check in checks], recipe.base))


def _told(target: Path, graph: Graph, checks: Sequence[Stage], made: Evaluation) -> Scan:
    paths = {name: result.path for name, result in made.results.items()}
    found = [Found(one.name, Evidence.read((paths[one.name] / EVIDENCE).read_text("utf-8"))) for one in checks]
    stages = [stage for stage in graph.stages if stage.name in paths]
    searched = sorted({name for one in checks for name in one.needs if _gives(graph, name, "documents")})
    dropped = [one for name in searched[-1:] for one in _dropped(paths[name])]  # it has those of the stages before
    return Scan(
        str(target),
        max((count(paths[name]) for name in searched), default=0),
        tuple(found),
        tuple(sorted(dropped, key=lambda one: -one.count)),
        left_out(Graph(tuple(stages)), paths),
        {one.name: str(paths[one.name]) for one in checks},
    )


def _gives(graph: Graph, name: str, type: str) -> bool:
    return graph[name].kind.output == type


def _dropped(artifact: Path) -> Iterator[Dropped]:
    table = columns(["stage", "reason"], artifact, table=EXCLUDED)
    for row in table.group_by(["stage", "reason"]).aggregate([([], "count_all")]).to_pylist():
        yield Dropped(row["stage"], row["reason"], row["count_all"])


def _checks(graph: Graph, only: Sequence[str]) -> list[Stage]:
    """The stages that find evidence in text alone; what joins it with weights stands in a release."""
    found = [
        stage
        for stage in graph.stages
        if stage.kind.output == "evidence"
        and not any(one.kind.output in ("weights", "tokens", "tokenizer") for one in graph.ancestors(stage))
    ]
    names = {stage.kind.name for stage in found}
    if unknown := [name for name in only if name not in names]:
        raise InputError(
            f"there is no check `{unknown[0]}` here",
            hint=f"the checks of this text are {', '.join(sorted(names))}; `contamination` needs --benchmark",
        )
    return [stage for stage in found if not only or stage.kind.name in only]


@dataclass(frozen=True)
class _Said:
    """The recipe of the text that is scanned.

    Attributes:
        said: the recipe.
        lock: its lock, if it has one.
        base: the folder in which paths of its own sources begin.
        places: the same for sources that were added, by name.
    """

    said: Spoken
    lock: Lock | None
    base: Path
    places: Mapping[str, Path]


def _recipe(target: Path, wanted: Wanted) -> _Said:
    if not target.exists():
        raise InputError("there is nothing to scan", where=str(target), hint="name a release, a recipe, or texts")
    if is_release(target) or (target / RECIPE).is_file():
        said = spoken(target / RECIPE)
        lock = load(target) if (target / LOCK).is_file() else None
        data, base = said.origin.data, (wanted.sources or said.root).absolute()
    else:
        source, base = _source(str(target), wanted.licence, "texts", ())
        data = {
            "recipe": 1,
            "model": {"name": "scan", "licence": NOT_DECLARED},
            "source": [{**source, "max_unreadable": 1.0}],
            "corpus": {"min_characters": 1},
        }
        said, lock = _spoken(data, base), None
    there = [*data.get("source", ())]
    if added := [*_added(wanted, {str(one.get("name")) for one in there})]:
        said = _spoken({**data, "source": [*there, *(source for source, _ in added)]}, said.root)
    return _Said(said, lock, base, {source["name"]: place for source, place in added})


def _added(wanted: Wanted, taken: Set[str]) -> Iterator[tuple[dict[str, Any], Path]]:
    """The sources that are looked for in the text, and the folder in which each one's path begins."""
    for role, places in (("evaluation", wanted.benchmarks), ("reference", wanted.references)):
        for place in places:
            source, base = _source(place, NOT_DECLARED, role, taken)
            taken = {*taken, source["name"]}
            yield {**source, "role": role}, base


def _source(place: str, licence: str, otherwise: str, taken: Collection[str]) -> tuple[dict[str, Any], Path]:
    """What a recipe says of a file, a folder or an address, and the folder in which its path begins.

    All of them are ``open``: whoever scans has them, and what is found is shown to nobody else.

    Args:
        place: where it is.
        licence: what is declared of it.
        otherwise: what to call it if it has no name that a source could have.
        taken: what it may not be called.
    """
    path = Path(place)
    if path.exists():
        whole = path.resolve()
        base, fetch, stem = (
            (whole, "file:.", whole.name) if whole.is_dir() else (whole.parent, f"file:{whole.name}", whole.stem)
        )
    elif _ADDRESS.match(place):
        base, fetch, stem = Path(), place, place.partition(":")[2].partition("==")[0]
    else:
        raise InputError("there is no such file", where=place, hint="name a file, a folder, or scheme:locator")
    name = re.sub("[^a-z0-9]+", "-", stem.lower())[:40].strip("-") or otherwise
    numbered = (f"{name}-{number}" for number in count_from(2))
    name = next(one for one in chain([name], numbered) if one not in taken)
    return {"name": name, "fetch": fetch, "licence": licence, "availability": "open"}, base


def _spoken(data: Mapping[str, Any], root: Path) -> Spoken:
    text = tomli_w.dumps(data)
    return Spoken(text, parsed(text, "the recipe of this scan", ""), root)
