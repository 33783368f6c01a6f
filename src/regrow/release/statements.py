"""What the statements about its stages say of a release: in-toto, with SLSA's provenance as predicate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from regrow.release.layout import PROVENANCE, STATEMENT


@dataclass(frozen=True)
class Statement:
    """What went into a stage, and what came out.

    Attributes:
        stage: its name.
        kind: of stage.
        version: of the kind.
        digest: of the artifact it gave.
        artifact: the type of that artifact, such as ``weights``; empty if it is not told.
        parameters: all of them.
        inputs: slot and name of the stage that fills it.
        files: path and sha256 of the files it gave.
        origin: where weights come from: ``random``, or how they were made of others; None where it is not told.
        documents: what was done about documents: ``filter`` or ``label``; None where nothing was.
        arithmetic: the version of the exact arithmetic; None where it was not used.
    """

    stage: str
    kind: str
    version: int
    digest: str
    artifact: str
    parameters: Mapping[str, Any]
    inputs: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]
    origin: str | None
    documents: str | None
    arithmetic: int | None = None

    @property
    def entry(self) -> str:
        """What the recipe calls what it is about, where its kind may have several stages."""
        return self.stage.removeprefix(f"{self.kind}-")

    @property
    def fetch(self) -> str:
        """Where it got what it gave; empty if it made it."""
        return _word(self.parameters.get("fetch")) or ""

    @property
    def pinned(self) -> int:
        """How many files of what it got are pinned; which, :meth:`regrow.release.release.Release.pins` says."""
        found = self.parameters.get("pins")
        if isinstance(found, dict):
            return count if type(count := found.get("files")) is int else 0
        return len(found) if isinstance(found, list) else 0


def is_statement(path: str) -> bool:
    """Whether a file of a release is a statement about a stage, by its path."""
    return path.startswith(f"{PROVENANCE}/") and path.endswith(STATEMENT)


def parse(value: Any) -> Statement:
    """A statement as it was written, or by a stranger.

    Raises:
        ValueError: if it is not one of ours.
    """
    try:
        return _parse(value)
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError("it is no statement about a stage, as regrow writes them") from error


def _parse(value: Any) -> Statement:
    definition = value["predicate"]["buildDefinition"]
    internal = definition["internalParameters"]
    artifact, *files = value["subject"]
    name = str(artifact["name"])
    notes = [entry.get("annotations", {}) for entry in definition.get("resolvedDependencies", [])]
    return Statement(
        stage=name,
        kind=str(internal["kind"]),
        version=int(internal["version"]),
        digest=str(artifact["digest"]["sha256"]),
        artifact=str(artifact.get("annotations", {}).get("artifact", "")),
        parameters=dict(definition.get("externalParameters", {})),
        inputs=tuple((str(note["slot"]), str(note["stage"])) for note in notes if "stage" in note),
        files=tuple((str(file["name"]).removeprefix(f"{name}/"), str(file["digest"]["sha256"])) for file in files),
        origin=_word(internal.get("origin")),
        documents=_word(internal.get("documents")),
        arithmetic=version if type(version := internal.get("arithmetic")) is int else None,
    )


def ordered(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """In the order of the graph: each after those whose outputs it takes. In a circle, there is none."""
    known = {one.stage: one for one in statements}
    try:
        order = TopologicalSorter({name: [stage for _, stage in one.inputs] for name, one in known.items()})
        return tuple(known[name] for name in order.static_order() if name in known)
    except CycleError:
        return tuple(known.values())


def line_of_weights(made: Sequence[Statement]) -> tuple[Statement, ...]:
    """The stages whose weights went into the last ones, and last the stage that gave these.

    Args:
        made: statements, in the order of the graph.
    """
    makers = [one for one in made if one.artifact == "weights" or one.origin is not None]
    if not makers:
        return ()
    needed, found = {makers[-1].stage}, []
    for one in reversed(makers):
        if one.stage in needed:
            found.append(one)
            needed.update(name for _, name in one.inputs)
    return tuple(reversed(found))


def brought_in(made: Sequence[Statement]) -> tuple[Statement, ...]:
    """The stages that brought a model in from outside: that fetched weights, or what others made weights of.

    Args:
        made: statements, in the order of the graph.
    """
    makers = [one for one in made if one.origin is not None]
    used = {name for one in makers for _, name in one.inputs} | {one.stage for one in makers[-1:]}
    return tuple(one for one in made if one.fetch and one.stage in used)


def behind(one: Statement, made: Sequence[Statement]) -> tuple[Statement, ...]:
    """The stages into which the output of one went, directly or not, in the order of the graph."""
    met, found = {one.stage}, []
    for other in made:
        if met.intersection(name for _, name in other.inputs):
            met.add(other.stage)
            found.append(other)
    return tuple(found)


def done_to(one: Statement, made: Sequence[Statement]) -> tuple[str, ...]:
    """How the stages behind a model from outside made weights of it, in the order of the graph: their origins.

    From its teachers a model is distilled; as a student, which is in the slot of the weights, it is trained further.
    """
    later = behind(one, made)
    own = {one.stage, *(other.stage for other in later)}
    makers = {other.stage for other in made if other.origin is not None}
    found = []
    for other in (other for other in later if other.origin not in (None, "imported")):
        taught = any(slot != "weights" for slot, name in other.inputs if name in makers)
        student = taught and {slot for slot, name in other.inputs if name in own & makers} == {"weights"}
        found.append("fine-tuned" if student and other.origin == "distilled" else str(other.origin))
    return tuple(found)


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
