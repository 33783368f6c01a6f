"""The recipe that leaves some sources or documents out: a variant of another one, as if its author had written it.

So nothing but the recipe has to say it: the release holds it, its lock pins it, and it is verified as any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.errors import InputError, RecipeError
from regrow.recipe.expand import expand
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.inherit import Spoken, varied
from regrow.recipe.schema import Recipe, understood
from regrow.release import Release, is_release
from regrow.stages import KINDS
from regrow.stages.removal import ID, MANY, MOST_NAMED, RemovalParameters, is_id
from regrow.words import listed, shown, suggestion

_TABLE = "without"
_READING = KINDS["documents"]
_NEAR = RemovalParameters.model_fields["near_duplicates"].default
_LONGEST_NAME = 96  # of a model
_LONGEST = 64  # of a stage
_MOST_BYTES = 1 << 28  # of a list of ids
_OF_NAMES = 8  # digits that stand for names which are too long together


@dataclass(frozen=True)
class Without:
    """What is to be left out.

    Attributes:
        sources: their names.
        documents: ids of documents.
    """

    sources: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is."""
        return bool(self.sources or self.documents)

    @property
    def name(self) -> str:
        """What is left out, as a part of a name."""
        ids = f"{len(self.documents)}-document{'' if len(self.documents) == 1 else 's'}" if self.documents else ""
        return "-and-".join([*self.sources, *([ids] if ids else [])])

    @property
    def digest(self) -> str:
        """Tells it from all else that could be left out."""
        return hashlib.sha256("\n".join([*self.sources, *self.documents]).encode()).hexdigest()

    def called(self, name: str, longest: int = _LONGEST_NAME) -> str:
        """The name of a variant of something that is called so."""
        named = f"{name}-without-{self.name}"
        # A number of documents does not say which they are: another choice must not take the place of this one.
        more = f"-{self.digest[:_OF_NAMES]}" if self.documents or len(named) > longest else ""
        return f"{named[: longest - len(more)].rstrip('-._')}{more}"


NOTHING = Without()


def asked(values: Sequence[str], said: Spoken) -> Without:
    """What somebody asks to be left out: names of sources, ids of documents, and files with such ids.

    Args:
        values: each one of these; the name of a source comes before a file of that name.
        said: the recipe.

    Raises:
        RecipeError: if there is no such source, or nothing would be left.
        InputError: if a file cannot be read, or has something else than ids.
    """
    recipe = understood(said, KINDS)
    known = [one.entry for one in recipe.said(_READING)]
    sources, documents = dict[str, None](), set[str]()
    for value in values:
        if value in known:
            sources[value] = None
        elif is_id(value):
            documents.add(value)
        elif Path(value).is_file():
            documents |= ids(Path(value))
        else:
            raise _no_such(value, known, recipe, said)
    if known and not set(known) - sources.keys():
        what = f"`{known[0]}` is the only source" if len(known) == 1 else f"{listed(known)} are all sources there are"
        raise RecipeError(
            f"{what}, and cannot be left out",
            where=recipe.origin.file,
            why="nothing would be left to learn from",
            hint="leave out single documents, or add another source",
        )
    if len(documents) > MOST_NAMED:
        what = f"{len(documents):,} documents cannot be named one by one"
        raise RecipeError(what, why=f"a recipe, which holds them, names at most {MOST_NAMED:,}", hint=MANY)
    return Without(tuple(sorted(sources)), tuple(sorted(documents)))


def ids(file: Path) -> set[str]:
    """The ids in a file: one on a line; what stands behind ``#`` is for people.

    Raises:
        InputError: if it cannot be read, or has something else, naming the line.
    """
    found = set[str]()
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise InputError("is too large for a list of ids", where=str(file), why=f"up to {_MOST_BYTES:,} bytes are")
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                word = line.partition("#")[0].strip()
                if word and not is_id(word):
                    hint = "write one id on a line, as the list of documents of a release has them"
                    raise InputError(
                        f"{shown(word)} is no id of a document", where=f"{file}:{number}", why=ID, hint=hint
                    )
                if word:
                    found.add(word)
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not text" if isinstance(error, UnicodeDecodeError) else (error.strerror or str(error)).lower()
        raise InputError("the list of documents cannot be read", where=str(file), why=why) from error
    if not found:
        raise InputError("names no document", where=str(file), hint="write one id on a line")
    return found


def _no_such(value: str, known: Collection[str], recipe: Recipe, said: Spoken) -> RecipeError:
    others = [one.name for one in recipe.sources if one.name == value]
    models = [f"`{fetch}`" for fetch in _bases_with(value, said, recipe)]
    if others:
        return RecipeError(
            f"{shown(value)} is no source of texts to learn from",
            where=recipe.origin.file,
            why="it is another model, or texts that are only looked for in others",
            hint=suggestion(value, known, "the sources are"),
        )
    if models:
        return RecipeError(
            f"{shown(value)} is no source of this recipe",
            where=recipe.origin.file,
            why=f"it is one of {', '.join(models)}, which this recipe begins with and cannot change",
            hint=f"build that model `--without {value}`, and begin with what comes out",
        )
    return RecipeError(
        f"there is no source {shown(value)}, and no file of that name",
        where=recipe.origin.file,
        hint=suggestion(value, known, "the sources are"),
    )


def _bases_with(source: str, said: Spoken, recipe: Recipe) -> Iterator[str]:
    """The models beside the recipe that it begins with and that are releases with such a source."""
    for one in recipe.sources:
        scheme, _, place = one.fetch.partition(":")
        folder = said.root / place
        released = scheme == "file" and folder.is_dir() and is_release(folder)
        if released and source in {str(told.get("name")) for told in Release.at(folder).sources}:
            yield one.fetch


def variant(said: Spoken, left_out: Without) -> Spoken:
    """A recipe with ``[without]``, and a name of its own: what a variant would be that says these two things.

    Args:
        said: the recipe.
        left_out: from it.
    """
    data = said.origin.data
    before = data.get(_TABLE, {})
    table: dict[str, Any] = {}
    for key, value in (("sources", left_out.sources), ("documents", left_out.documents)):
        named = before.get(key, [])
        if every := sorted({*([named] if isinstance(named, str) else named), *value}):
            table[key] = every
    near = data.get("corpus", {}).get("near_duplicates") or _NEAR
    if near != _NEAR and "near_duplicates" not in before:
        table["near_duplicates"] = near
    name = left_out.called(str(data["model"]["name"]))
    told: dict[str, Any] = {"model": {"name": name}, _TABLE: table}
    graph = expand(understood(varied(said, told), KINDS), {})
    entries = list(_entries(graph))
    return varied(said, {**told, **({"stage": entries} if entries else {})})


def _entries(graph: Graph) -> Iterator[dict[str, Any]]:
    """What a variant has to spell out of a recipe that spells out stages, so that no text gets past.

    Where a recipe trains several times on texts of their own, each of these corpora gets a stage that leaves documents
    out, and all are searched together for what says the same.
    """
    ways = list(_ways_past(graph))
    if not ways:
        return
    usual = graph[_TABLE].inputs["documents"]
    givers = [name for name in dict.fromkeys(giver for giver, _, _ in ways) if name not in usual]
    yield {"name": "removal", "inputs": {"documents": [*graph["removal"].inputs["documents"], *givers]}}
    instead = {name: f"{_TABLE}-{name}"[:_LONGEST].rstrip("-") for name in givers} | dict.fromkeys(usual, _TABLE)
    for name in givers:
        inputs = {"documents": name, "removal": "removal"}
        yield {"name": instead[name], "kind": _TABLE, "inputs": inputs}
    for taker in dict.fromkeys(taker for _, taker, _ in ways):
        slots = dict.fromkeys(slot for _, one, slot in ways if one == taker)
        fed = {slot: [instead.get(name, name) for name in graph[taker].inputs[slot]] for slot in slots}
        yield {"name": taker, "inputs": fed}


def _ways_past(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Where texts that are to be left out become something else than documents, from which weights are made.

    Yields:
        the stage that gives them, the one that takes them, and its slot.
    """
    reached = {stage.name for removal in _removals(graph) for stage in _left_out(removal, graph)}
    made_from = {one.name for last in graph.stages if last.kind.output == "weights" for one in graph.ancestors(last)}
    for stage in graph.stages:
        if stage.kind.name in (_TABLE, "removal") or not stage.needs & reached:
            continue
        if stage.kind.output == "documents":
            reached.add(stage.name)
        elif stage.name in made_from:
            for slot, names in stage.inputs.items():
                yield from ((name, stage.name, slot) for name in names if name in reached)


def _removals(graph: Graph) -> list[Stage]:
    return [stage for stage in graph.stages if stage.kind.name == "removal"]


def _left_out(removal: Stage, graph: Graph) -> Iterator[Stage]:
    """The stages that read the sources of which something is to be left out."""
    wanted = removal.parameters.model_dump()
    for stage in (one for one in graph.stages if one.kind is _READING):
        if wanted["documents"] or stage.parameters.model_dump()["source"] in wanted["sources"]:
            yield stage


def require_left_out(graph: Graph) -> None:
    """Raise if what is to be left out reaches the weights by a way past the stage that leaves it out.

    Raises:
        RecipeError: naming the first stage on such a way.
    """
    for giver, taker, _ in _ways_past(graph):
        raise RecipeError(
            f"texts that are to be left out reach stage `{taker}` from `{giver}`",
            why="that stage is spelled out, and takes documents from before they are left out",
            hint=f"feed `{taker}` from `without`, or from a stage of the kind `without` that takes `{giver}`, and let "
            "`removal` take that, too",
        )
