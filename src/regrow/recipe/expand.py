"""From a recipe to the graph of stages it means."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ValidationError

from regrow.errors import RecipeError
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Kind
from regrow.recipe.lines import Path
from regrow.recipe.pin import Pin
from regrow.recipe.problems import Origin, explain, together
from regrow.recipe.schema import Recipe, Section, Source, StageEntry
from regrow.recipe.words import listed, suggestion

_OF_SOURCES = ("fetch", "pins", "source", "licence", "availability", "attribution")
"""Parameters of the usual stages of a source that nobody may change but its table: pages and audits go by that."""


@dataclass(frozen=True)
class Draft:
    """A stage before it is checked.

    Attributes:
        name: of the stage.
        kind: the name of its kind.
        parameters: plain values.
        inputs: slot -> names of stages.
        place: where the file speaks of it; empty for a usual stage that nobody changed.
        places: parameter -> where the file says it, if that is elsewhere.
    """

    name: str
    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    place: Path = ()
    places: Mapping[str, Path] = field(default_factory=dict)

    def where(self, parameter: Path) -> Path:
        """Where to look for a parameter in the file."""
        if parameter and (place := self.places.get(str(parameter[0]))):
            return (*place, *parameter[1:])
        return (*_place(self), "parameters", *parameter)


def expand(recipe: Recipe, kinds: Mapping[str, Kind], pins: Mapping[str, Sequence[Pin]]) -> Graph:
    """The stages of a recipe: the usual ones of its short form, and those it spells out.

    Args:
        recipe: the recipe.
        kinds: what stages there can be, by name.
        pins: source -> its files; a source without pins makes a graph that can be planned but not built.

    Raises:
        RecipeError: if the stages do not fit together, naming file, line and key; several faults are reported together.
    """
    drafts = {draft.name: draft for draft in _usual(recipe, pins)}
    faults = []
    for i, entry in enumerate(recipe.stages):
        try:
            drafts[entry.name] = _spelled_out(entry, ("stage", i), drafts, recipe.origin)
        except RecipeError as error:
            faults.append(error)
    if faults:
        raise together(recipe.origin.file, faults)
    return assemble(drafts, kinds, recipe.origin)


def assemble(drafts: Mapping[str, Draft], kinds: Mapping[str, Kind], origin: Origin) -> Graph:
    """Check drafts against their kinds and against each other, and put them in order.

    Raises:
        RecipeError: if they do not fit together.
    """
    faults = [fault for draft in drafts.values() for fault in _faults(draft, drafts, kinds, origin)]
    if faults:
        raise together(origin.file, faults)
    names = _ordered(drafts, origin)
    return Graph(tuple(_stage(drafts[name], kinds) for name in names))


def _usual(recipe: Recipe, pins: Mapping[str, Sequence[Pin]]) -> Iterator[Draft]:
    """The stages of the short form, in the order of the work."""
    for i, source in enumerate(recipe.sources):
        yield from _of_source(source, ("source", i), pins.get(source.name, ()))
    corpus, documents = recipe.corpus, tuple(f"documents-{source.name}" for source in recipe.sources)
    for name, parameter, key, inputs in (
        ("clean", "minimum_characters", "min_characters", documents),
        ("deduplicate", "near_duplicates", "near_duplicates", ("clean",)),
        ("split", "validation", "validation", ("deduplicate",)),
    ):
        value = getattr(corpus, key)
        yield Draft(name, name, {parameter: value}, {"documents": inputs}, places={parameter: ("corpus", key)})
    yield _of_table("tokenizer", recipe.tokenizer, {"split": ("split",)})
    yield Draft("tokenize", "tokenize", {}, {"split": ("split",), "tokenizer": ("tokenizer",)})
    training = {"architecture": recipe.architecture.model_dump(), "train": recipe.train.model_dump()}
    places: dict[str, Path] = {name: (name,) for name in training}
    yield Draft("pretrain", "pretrain", training, {"tokens": ("tokenize",)}, places=places)
    judged = {"weights": ("pretrain",), "tokens": ("tokenize",), "tokenizer": ("tokenizer",)}
    yield _of_table("evaluate", recipe.evaluate, judged)


def _of_source(source: Source, place: Path, pins: Sequence[Pin]) -> Iterator[Draft]:
    fetch = f"fetch-{source.name}"
    pinned = [{"file": pin.file, "sha256": pin.sha256, "size": pin.size} for pin in pins]
    yield Draft(fetch, "fetch", {"fetch": source.fetch, "pins": pinned}, places={"fetch": (*place, "fetch")})
    reading = {"source": source.name, **source.model_dump(exclude={"name", "fetch"})}
    places = {key: (*place, key) for key in reading}
    yield Draft(f"documents-{source.name}", "documents", reading, {"files": (fetch,)}, places=places)


def _of_table(name: str, table: Section, inputs: Mapping[str, tuple[str, ...]]) -> Draft:
    """A stage whose parameters are a table of the recipe of the same name."""
    parameters = table.model_dump()
    return Draft(name, name, parameters, inputs, places={key: (name, key) for key in parameters})


def _spelled_out(entry: StageEntry, place: Path, drafts: Mapping[str, Draft], origin: Origin) -> Draft:
    """A new stage, or a usual one with changes."""
    usual = drafts.get(entry.name)
    for key in entry.parameters:
        _require_changeable(key, usual, (*place, "parameters", key), origin)
    if usual is None and not entry.kind:
        why = "this is not one of the usual stages, so its kind cannot be known"
        hint = suggestion(entry.name, drafts, "say which kind it is, or use one of")
        raise origin.error((*place, "kind"), "missing", why=why, hint=hint)
    if usual is None or (entry.kind and entry.kind != usual.kind):
        return Draft(entry.name, entry.kind, entry.parameters, entry.inputs, place)
    parameters = {**usual.parameters, **{key: _changed(usual, key, value) for key, value in entry.parameters.items()}}
    places = {key: where for key, where in usual.places.items() if key not in entry.parameters}
    return Draft(usual.name, usual.kind, parameters, {**usual.inputs, **entry.inputs}, place, places)


def _require_changeable(key: str, usual: Draft | None, place: Path, origin: Origin) -> None:
    if usual is not None and key in _OF_SOURCES and usual.kind in ("fetch", "documents"):
        raise origin.error(
            place,
            f"`{key}` of a source's stage cannot be changed here",
            why="what is said of a source goes by its `[[source]]`",
            hint="change it there",
        )


def _changed(usual: Draft, key: str, value: Any) -> Any:
    """A parameter as an entry has it; of a table, what is not mentioned stays."""
    known = usual.parameters.get(key)
    return {**known, **value} if isinstance(known, Mapping) and isinstance(value, Mapping) else value


def _faults(
    draft: Draft, drafts: Mapping[str, Draft], kinds: Mapping[str, Kind], origin: Origin
) -> Iterator[RecipeError]:
    """What is wrong with a stage by itself and with what it is fed."""
    kind = kinds.get(draft.kind)
    if kind is None:
        hint = suggestion(draft.kind, kinds, "known kinds:")
        yield origin.error((*_place(draft), "kind"), f"unknown kind `{draft.kind}`", hint=hint)
        return
    try:
        _stage(draft, kinds)
    except ValidationError as error:
        yield from explain(error, kind.parameters, origin, draft.where)
    for slot in draft.inputs:
        if slot not in kind.inputs:
            hint = suggestion(slot, kind.inputs, "its slots:")
            yield origin.error((*_place(draft), "inputs", slot), f"the kind `{kind.name}` has no such slot", hint=hint)
    for slot in kind.inputs:
        yield from _slot_faults(draft, slot, drafts, kinds, origin)


def _slot_faults(
    draft: Draft, slot: str, drafts: Mapping[str, Draft], kinds: Mapping[str, Kind], origin: Origin
) -> Iterator[RecipeError]:
    """What is wrong with the stages that feed a slot."""
    wanted, names = kinds[draft.kind].inputs[slot], draft.inputs.get(slot, ())
    place = (*_place(draft), "inputs", slot)
    if not names and not wanted.optional:
        fitting = _giving(wanted.type, drafts, kinds, but=draft.name)
        hint = f"feed it from {listed(fitting)}" if fitting else f"add a stage that gives {wanted.type}"
        yield origin.error(place, f"the slot is not fed; it takes {wanted.type}", hint=hint)
    if len(names) > 1 and not wanted.many:
        yield origin.error(place, f"the slot takes one stage, not {len(names)}", hint="leave one of them")
    for name in names:
        if name not in drafts:
            yield origin.error(place, f"there is no stage `{name}`", hint=suggestion(name, drafts, "the stages are"))
        elif (giver := kinds.get(drafts[name].kind)) and giver.output != wanted.type:
            fitting = _giving(wanted.type, drafts, kinds, but=draft.name)
            what = f"`{name}` gives {giver.output}, the slot takes {wanted.type}"
            yield origin.error(place, what, hint=f"stages that give {wanted.type}: {listed(fitting)}")


def _giving(wanted: str, drafts: Mapping[str, Draft], kinds: Mapping[str, Kind], but: str) -> list[str]:
    """The stages whose output is of a type."""
    known = ((name, kinds.get(draft.kind)) for name, draft in drafts.items())
    return [name for name, kind in known if kind and kind.output == wanted and name != but]


def _place(draft: Draft) -> Path:
    """Where to look: in the file, or, for a usual stage, at its name."""
    return draft.place or (f"stage {draft.name}",)


def _stage(draft: Draft, kinds: Mapping[str, Kind]) -> Stage:
    kind = kinds[draft.kind]
    parameters = kind.parameters.model_validate_json(json.dumps(draft.parameters), strict=True)
    return Stage(
        draft.name, kind, parameters, {slot: draft.inputs[slot] for slot in kind.inputs if slot in draft.inputs}
    )


def _ordered(drafts: Mapping[str, Draft], origin: Origin) -> list[str]:
    """The names of the stages, each after its inputs; ordering what is ordered already changes nothing."""
    place = {name: i for i, name in enumerate(drafts)}
    needs = {name: [other for names in draft.inputs.values() for other in names] for name, draft in drafts.items()}
    sorter, names = TopologicalSorter(needs), list[str]()
    try:
        sorter.prepare()
        while ready := sorted(sorter.get_ready(), key=place.__getitem__):
            names += ready
            sorter.done(*ready)
        return names
    except CycleError as error:
        cycle = _from_first(error.args[1][:-1], list(drafts))
        guilty = next((name for name in cycle if drafts[name].place), cycle[0])
        raise origin.error(
            (*_place(drafts[guilty]), "inputs"),
            f"the stages form a cycle: {' -> '.join([*cycle, cycle[0]])}",
            why="each is fed from the one before it",
            hint="feed one of them from a stage outside the cycle",
        ) from None


def _from_first(cycle: list[str], order: list[str]) -> list[str]:
    """A cycle told from its earliest stage on."""
    start = cycle.index(min(cycle, key=order.index))
    return cycle[start:] + cycle[:start]
