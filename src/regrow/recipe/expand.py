"""From a recipe to the graph of stages it means.

The usual stages follow from the kinds alone. A kind that takes a type of artifact comes after the kinds that give it;
where two both take and give a type, as ``clean`` and ``deduplicate`` do with documents, :attr:`Kind.after` says which
comes first, and where nobody does, it goes by the order in which the recipe names their tables. Each slot is fed from
the last stage before that gives its type; a slot for several from all whose output nobody has worked on yet, or from
the entries that a parameter names; and where a ``[[table]]`` makes several stages, those of one entry feed each other.
A kind that watches others comes last, with a stage beside each that takes and gives its type, whether usual or spelled
out; nothing is fed from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import Any

from pydantic import ValidationError

from regrow.errors import RecipeError
from regrow.recipe.facts import TOLD, Brought, Declaring, Facts, Telling
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import BEFORE, MODELS, Kind, Kinds, Slot
from regrow.recipe.pin import Pin, Pinned, Pins
from regrow.recipe.problems import Origin, adding, explain, header, nested, note, together
from regrow.recipe.roles import TRAINING
from regrow.recipe.schema import Recipe, Said, StageEntry, recipe_type
from regrow.sections import Place
from regrow.words import listed, shown, suggestion


@dataclass(frozen=True)
class Lack:
    """A table, or an entry of one, that would make a stage that is needed.

    Attributes:
        table: its name.
        asking: what it has to say.
        gives: what would come of it.
    """

    table: str
    asking: str
    gives: str


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
        missing: slot that nothing feeds -> the tables that would make a stage that does.
    """

    name: str
    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    place: Place = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    missing: Mapping[str, tuple[Lack, ...]] = field(default_factory=dict)

    def where(self, parameter: Place) -> Place:
        """Where to look for a parameter in the file."""
        if parameter and (place := self.places.get(str(parameter[0]))):
            return (*place, *parameter[1:])
        return (*_place(self), "parameters", *parameter)


def expand(recipe: Recipe, pins: Mapping[str, Sequence[Pin]]) -> Graph:
    """The stages of a recipe: the usual ones of its tables, and those it spells out.

    Args:
        recipe: the recipe.
        pins: source -> its files; a source without pins makes a graph that can be planned but not built.

    Raises:
        RecipeError: if the stages do not fit together, naming file, line and key; several faults are reported together.
    """
    drafts = {draft.name: draft for draft in _usual(recipe, pins)}
    faults = []
    for i, entry in enumerate(recipe.stages):
        try:
            drafts[entry.name] = _spelled_out(entry, ("stage", i), _watched(drafts, recipe), recipe)
        except RecipeError as error:
            faults.append(error)
    if faults:
        raise together(recipe.origin.file, faults)
    facts = _facts(recipe, pins)
    told = {Telling: facts.model_dump(mode="json"), Declaring: {one.name: one.licence for one in facts.texts}}
    for name, draft in drafts.items():
        if (kind := recipe.kinds.get(draft.kind)) and (asks := _told(kind)):
            drafts[name] = replace(draft, parameters={**draft.parameters, TOLD[asks]: told[asks]})
    graph = assemble(_watched(drafts, recipe), recipe.kinds, recipe.origin)
    if faults := [*_unused(graph, recipe), *_strangers(recipe)]:
        raise together(recipe.origin.file, faults)
    return graph


def _told(kind: Kind[Any]) -> type[Telling | Declaring] | None:
    """Which of :data:`regrow.recipe.facts.TOLD` the parameters of a kind are, if they are one."""
    return next((one for one in TOLD if issubclass(kind.parameters, one)), None)


def _unused(graph: Graph, recipe: Recipe) -> Iterator[RecipeError]:
    """Entries of tables that would be fetched and of which nothing is made."""
    taken = {name for stage in graph.stages for name in stage.needs}
    for kind in recipe.kinds.values():
        for said in recipe.said(kind) if issubclass(kind.parameters, Pinned) else ():
            if said.entry and said.stage not in taken:
                naming = (
                    f"{other.table.name}.{slot.named}"
                    for other in recipe.kinds.values()
                    for slot in other.inputs.values()
                    if other.table and slot.named and slot.type == kind.output
                )
                yield recipe.origin.error(
                    next(iter(said.places.values()))[:2],
                    f"nothing takes `{said.entry}`",
                    why="its files would be fetched for nothing",
                    hint=f"name it in {' or '.join(f'`{one}`' for one in dict.fromkeys(naming))}, or leave it out",
                )


def _strangers(recipe: Recipe) -> Iterator[RecipeError]:
    """What is to be left out and is not there."""
    for one in recipe.left_out:
        known = [said.entry for said in recipe.said(one.kind)]
        if one.name not in known and one.kind.table:
            yield recipe.origin.error(
                one.place,
                f"there is no {one.kind.table.name} {shown(one.name)} to leave out",
                hint=suggestion(one.name, known, f"each {one.kind.table.name} has a name; there are"),
            )


def _facts(recipe: Recipe, pins: Mapping[str, Sequence[Pin]]) -> Facts:
    """What the recipe says of the model as a whole."""
    bringing = (kind for kind in recipe.kinds.values() if issubclass(kind.parameters, Pinned))
    models = {said.stage for kind in bringing if kind.output in MODELS for said in recipe.said(kind)}
    left_out = {one.name for one in recipe.left_out}
    brought = {
        one.stage: Brought.of(one.name, one.fetch, one.licence, pins.get(one.name, ()))
        for one in recipe.sources
        if one.role == TRAINING and one.name not in left_out
    }
    return Facts.of(
        recipe.model.model_dump(),
        (one for stage, one in brought.items() if stage in models),
        (one for stage, one in brought.items() if stage not in models),
    )


def assemble(drafts: Mapping[str, Draft], kinds: Kinds, origin: Origin) -> Graph:
    """Check drafts against their kinds and against each other, and put them in order.

    Raises:
        RecipeError: if they do not fit together.
    """
    faults = [fault for draft in drafts.values() for fault in _faults(draft, drafts, kinds, origin)]
    if faults:
        raise together(origin.file, {str(fault): fault for fault in faults}.values())
    names = _ordered(drafts, origin)
    return Graph(tuple(_stage(drafts[name], kinds) for name in names))


def _usual(recipe: Recipe, pins: Mapping[str, Sequence[Pin]]) -> Iterator[Draft]:
    """The stages of the tables and those that are always there, in the order of the work."""
    known = {source.stage: pins.get(source.name, ()) for source in recipe.sources}
    wiring = _Wiring(recipe.kinds)
    lacking: set[str] = set()
    for kind in in_order(recipe.kinds, tuple(recipe.origin.data)):
        for said in [] if kind.watches else list(recipe.said(kind)):
            if unknown := wiring.unknown(said):
                raise _no_such_entry(*unknown, said, recipe.origin)
            draft = Draft(said.stage, kind.name, said.parameters, wiring.inputs(said), places=said.places)
            missing = {slot: wiring.missing(kind.inputs[slot]) for slot in wiring.unfed(kind, draft.inputs)}
            if missing and not said.aloud:
                continue  # a usual stage has nothing to do here
            if (other := wiring.rival(said)) and other.stage not in lacking:  # or what it lacks is the fault
                raise _two_beginnings(other, said, recipe.origin)
            if issubclass(kind.parameters, Pinned):
                draft = replace(draft, parameters={**draft.parameters, "pins": Pins.of(known[said.stage]).bare})
            wiring.add(said, draft.inputs)
            if missing:
                lacking.add(said.stage)
            yield replace(draft, missing=missing)


def _watched(drafts: Mapping[str, Draft], recipe: Recipe) -> dict[str, Draft]:
    """The drafts and, behind them, those that watch some of them and are not among them yet."""
    found = dict(drafts)
    for said in (said for kind in recipe.kinds.values() if kind.watches for said in recipe.said(kind)):
        for draft in drafts.values():
            name = f"{said.kind.name}-{draft.name}"
            inputs = _watching(said.kind, draft, drafts, recipe.kinds)
            if name not in drafts and all(slot in inputs or it.optional for slot, it in said.kind.inputs.items()):
                found[name] = Draft(name, said.kind.name, said.parameters, inputs, places=said.places)
    return found


def _watching(kind: Kind[Any], draft: Draft, drafts: Mapping[str, Draft], kinds: Kinds) -> dict[str, tuple[str, ...]]:
    """What feeds the slots of a stage that watches another, as :attr:`Kind.watches` says; empty if it is not to."""
    watched = kinds.get(draft.kind)
    if watched is None or watched.output != kind.watches:
        return {}
    given = [name for slot, names in draft.inputs.items() for name in names if _type(watched, slot) == kind.watches]
    if not given:
        return {}
    found = {}
    for slot, wanted in kind.inputs.items():
        side = given[0] if slot == BEFORE or slot.startswith(f"{BEFORE}_") else draft.name
        nearest = (*_nearest_first(side, drafts), *reversed(list(drafts)))
        found[slot] = tuple(name for name in nearest if _gives(drafts[name], wanted.type, kinds))[:1]
    return {slot: names for slot, names in found.items() if names}


def _nearest_first(name: str, drafts: Mapping[str, Draft]) -> list[str]:
    """A stage, and those that it was made from."""
    found = {name} if name in drafts else set[str]()
    queue = list(found)
    for one in queue:  # grows while it is read
        needed = dict.fromkeys(other for names in drafts[one].inputs.values() for other in names)
        queue += (new := [other for other in needed if other in drafts and other not in found])
        found.update(new)
    return queue


def _gives(draft: Draft, type: str, kinds: Kinds) -> bool:
    kind = kinds.get(draft.kind)
    return kind is not None and kind.output == type


def _type(kind: Kind[Any], slot: str) -> str:
    """Of a slot; empty if there is none, which is somebody else's to say."""
    return kind.inputs[slot].type if slot in kind.inputs else ""


def in_order(kinds: Kinds, tables: Sequence[str] = ()) -> list[Kind[Any]]:
    """The kinds, each after those that give what it takes.

    Args:
        kinds: what there can be.
        tables: the tables of a recipe in its order, which is that of kinds that both take and give the same.
    """
    place = {name: i for i, name in enumerate(kinds)}
    said = {table: i for i, table in enumerate(tables)}
    sorter = TopologicalSorter(
        {name: [one for one in kinds if _precedes(kinds[one], kinds[name], kinds, said)] for name in kinds}
    )
    names = list[str]()
    sorter.prepare()
    while ready := sorted(sorter.get_ready(), key=place.__getitem__):
        names += ready
        sorter.done(*ready)
    return [kinds[name] for name in names]


def _precedes(one: Kind[Any], other: Kind[Any], kinds: Kinds, said: Mapping[str, int]) -> bool:
    if one.name in other.after:
        return True
    if one is other or other.name in one.after or not _takes(other, one.output):
        return False
    if not (_takes(one, one.output) and _changes(other, one.output, kinds)):
        return True
    first, second = (_place_of(kind, kinds, said) for kind in (one, other))
    return first is not None and second is not None and first < second


def _changes(kind: Kind[Any], type: str, kinds: Kinds) -> bool:
    """Whether a kind takes a type of artifact and gives it again, or what another makes of it and the same."""
    return kind.output == type or any(
        one.output == type and _takes(one, type) and _takes(one, kind.output) for one in kinds.values()
    )


def _place_of(kind: Kind[Any], kinds: Kinds, said: Mapping[str, int]) -> int | None:
    """Where a recipe names the table of a kind; of one without, the last of those that it comes after."""
    if kind.table is not None:
        return said.get(kind.table.name)
    before = (_place_of(kinds[name], kinds, said) for name in kind.after if name in kinds)
    return max((place for place in before if place is not None), default=None)


def _takes(kind: Kind[Any], type: str) -> bool:
    return any(slot.type == type for slot in kind.inputs.values())


class _Wiring:
    """Which stages there are so far, and what they give."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._stages: dict[str, list[Said]] = {}  # by what they give
        self._of_entries: dict[tuple[str, str | None, str], Said] = {}  # the last one, by that, table and entry
        self._worked_on: set[str] = set()

    def inputs(self, said: Said) -> dict[str, tuple[str, ...]]:
        """What feeds the slots of a stage; a slot that nothing feeds is left out."""
        found = {name: self._feeding(slot, said) for name, slot in said.kind.inputs.items()}
        return {name: stages for name, stages in found.items() if stages}

    def unfed(self, kind: Kind[Any], inputs: Mapping[str, tuple[str, ...]]) -> list[str]:
        """The slots that need something and have nothing."""
        return [name for name, slot in kind.inputs.items() if name not in inputs and not slot.optional]

    def unknown(self, said: Said) -> tuple[str, str, str, list[str]] | None:
        """A parameter that names something of which there is no entry, the name, the table in which it would be one,
        and the entries that there are.
        """
        for slot in said.kind.inputs.values():
            if named := _named(slot, said):
                entries = [one.entry for one in self._given(slot.type) if one.entry]
                if unknown := next((name for name in named if name not in entries), ""):
                    giving = (kind for kind in self._kinds.values() if kind.output == slot.type)
                    table = next(kind.table.name for kind in giving if kind.table and kind.table.many)
                    return slot.named, unknown, table, entries
        return None

    def rival(self, said: Said) -> Said | None:
        """The one stage that makes already, from something else, what this one would make anew.

        Of what no kind takes, as of evidence, there may be any number.
        """
        is_taken = any(_takes(kind, said.kind.output) for kind in self._kinds.values())
        if said.entry or not is_taken or _takes(said.kind, said.kind.output):
            return None
        return next((one for one in self._given(said.kind.output) if not one.entry), None)

    def add(self, said: Said, inputs: Mapping[str, tuple[str, ...]]) -> None:
        """Take note of one more stage."""
        self._stages.setdefault(said.kind.output, []).append(said)
        self._of_entries[said.kind.output, said.table, said.entry] = said
        for name, slot in said.kind.inputs.items():
            if slot.type == said.kind.output:
                self._worked_on.update(inputs.get(name, ()))

    def missing(self, slot: Slot) -> tuple[Lack, ...]:
        """The fewest tables with which something would give what a slot takes, found type by type."""
        found: dict[str, tuple[Lack, ...]] = dict.fromkeys(self._stages, ())
        better = True
        while better:
            better = False
            for kind in self._kinds.values():
                tables = self._lacking(kind, found)
                if tables and (kind.output not in found or len(tables) < len(found[kind.output])):
                    found[kind.output], better = tables, True
        return found.get(slot.type, ())

    def _lacking(self, kind: Kind[Any], known: Mapping[str, tuple[Lack, ...]]) -> tuple[Lack, ...]:
        """The tables that a stage of a kind would need, and those before it; none if that is not known yet."""
        needs = [slot.type for slot in kind.inputs.values() if not slot.optional]
        if any(type not in known for type in needs):
            return ()
        there = kind.usual or any(one.kind is kind for one in self._given(kind.output))
        own = () if there else (Lack(table, kind.asking, kind.output) for table in kind.tables)
        by_table: dict[str, Lack] = {}
        for one in (*own, *chain(*(known[type] for type in needs))):
            by_table.setdefault(one.table, one)
        return tuple(by_table.values())

    def _given(self, type: str) -> Sequence[Said]:
        return self._stages.get(type, ())

    def _feeding(self, slot: Slot, said: Said) -> tuple[str, ...]:
        given = self._given(slot.type)
        if said.entry and (own := self._of_entries.get((slot.type, said.table, said.entry))):
            return (own.stage,)
        if slot.named:
            return tuple(one.stage for name in _named(slot, said) for one in given if one.entry == name)
        if slot.many:
            return tuple(one.stage for one in given if one.stage not in self._worked_on)
        return (given[-1].stage,) if given else ()


def _named(slot: Slot, said: Said) -> tuple[str, ...]:
    """The entries that are to feed a slot, as a parameter says."""
    value = said.parameters.get(slot.named) if slot.named else None
    return (value,) if value and isinstance(value, str) else tuple(value or ())


def _no_such_entry(key: str, name: str, table: str, entries: Sequence[str], said: Said, origin: Origin) -> RecipeError:
    return origin.error(
        said.places.get(key, (said.kind.name, key)),
        f"no `[[{table}]]` is called `{name}`",
        hint=suggestion(name, entries, "there are") if entries else f'add a `[[{table}]]` with name = "{name}"',
    )


def _two_beginnings(one: Said, other: Said, origin: Origin) -> RecipeError:
    """Of two tables each of which makes the whole of something: what one makes would go unused, and nobody be told."""
    tables = other.kind.tables if other.aloud else one.kind.tables
    return origin.error(
        (tables[0],),
        f"the stages `{one.stage}` and `{other.stage}` both make: {other.kind.output}",
        why="a model has one, and what the other makes would be left out",
        hint=f"leave out {listed([f'[{table}]' for table in tables])}",
    )


def _spelled_out(entry: StageEntry, place: Place, drafts: Mapping[str, Draft], recipe: Recipe) -> Draft:
    """A new stage, or a usual one with changes."""
    usual, origin = drafts.get(entry.name), recipe.origin
    if usual is None and not entry.kind:
        why = "this is not one of the usual stages, so its kind cannot be known"
        hint = suggestion(entry.name, drafts, "say which kind it is, or use one of")
        raise origin.error((*place, "kind"), "missing", why=why, hint=hint)
    kind = recipe.kinds.get(entry.kind or (usual.kind if usual else ""))
    said = {_own_name(key, kind): (value, (*place, "parameters", key)) for key, value in entry.parameters.items()}
    if len(said) < len(entry.parameters):
        twice = next(key for key in entry.parameters if _own_name(key, kind) != key)
        what = f"`{twice}` and `{_own_name(twice, kind)}` are the same key"
        raise origin.error((*place, "parameters", twice), what, hint=f"keep `{twice}`")
    values = {key: value for key, (value, _) in said.items()}
    places = {key: where for key, (_, where) in said.items()}
    if usual is None or (entry.kind and entry.kind != usual.kind):
        if kind is not None and issubclass(kind.parameters, Pinned) and "pins" not in said:
            raise origin.error(
                (*place, "parameters", "pins"),
                "missing",
                why="the lock pins what tables such as `[[source]]` fetch, and not what a stage does by itself",
                hint="add a `[[source]]` for it",
            )
        if kind is not None and (asks := _told(kind)) and TOLD[asks] in said:
            where = (*place, "parameters", TOLD[asks])
            raise origin.error(where, "unknown key", hint="leave it out: the recipe says it")
        return Draft(entry.name, entry.kind, values, entry.inputs, place, places)
    if kind is not None:
        for key, (_, where) in said.items():
            _require_changeable(key, kind, where, origin)
    parameters = {**usual.parameters, **{key: _changed(usual, key, value) for key, value in values.items()}}
    missing = {slot: names for slot, names in usual.missing.items() if slot not in entry.inputs}
    inputs = {**usual.inputs, **entry.inputs}
    return Draft(usual.name, usual.kind, parameters, inputs, place, {**usual.places, **places}, missing)


def _own_name(key: str, kind: Kind[Any] | None) -> str:
    """The name of a parameter that a recipe may call by its alias."""
    fields = kind.parameters.model_fields if kind is not None else {}
    return next((name for name, info in fields.items() if info.alias == key), key)


def _require_changeable(key: str, kind: Kind[Any], place: Place, origin: Origin) -> None:
    info = kind.parameters.model_fields.get(key)
    if info is not None and note(info, "settled") and kind.table is not None:
        table = f"[[{kind.table.name}]]" if kind.table.many else f"[{kind.table.name}]"
        raise origin.error(
            place,
            f"`{key}` of a {kind.table.name}'s stage cannot be changed here",
            why=f"what is said of a {kind.table.name} goes by its `{table}`",
            hint="change it there",
        )


def _changed(usual: Draft, key: str, value: Any) -> Any:
    """A parameter as an entry has it; of a table, what is not mentioned stays."""
    known = usual.parameters.get(key)
    return {**known, **value} if isinstance(known, Mapping) and isinstance(value, Mapping) else value


def _faults(draft: Draft, drafts: Mapping[str, Draft], kinds: Kinds, origin: Origin) -> Iterator[RecipeError]:
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
    if not kind.watches:
        yield from _early(draft, drafts, kinds, origin)


def _early(draft: Draft, drafts: Mapping[str, Draft], kinds: Kinds, origin: Origin) -> Iterator[RecipeError]:
    """Where a table changes tokens and weights, each by a stage of its own: a stage that takes the one changed and the
    other as it was.
    """
    needed: dict[str, set[str]] = {"weights": set(), "tokenizer": set(), "tokens": set()}
    for slot, names in draft.inputs.items():
        if (those := needed.get(_type(kinds[draft.kind], slot))) is not None:
            those.update(other for name in names for other in _nearest_first(name, drafts))
    for name in needed["tokenizer"] | needed["tokens"] if needed["weights"] else ():
        for other in _making_rows(name, drafts, kinds) - needed["weights"] - {draft.name}:
            yield origin.error(
                draft.place or next(iter(draft.places.values()), _place(draft))[:1],
                f"`{draft.name}` would take the tokens of `{name}`, and weights without rows for them",
                why=f"`{other}` makes the rows, and does so afterwards",
                hint=f"let it come behind `{other}`",
            )


def _making_rows(name: str, drafts: Mapping[str, Draft], kinds: Kinds) -> set[str]:
    """The stages that change weights by the table by which a stage changes a tokenizer."""
    kind = kinds.get(drafts[name].kind)
    table = kind.table.name if kind and kind.table and kind.output == "tokenizer" else ""
    if not table:
        return set()
    by = {one for one, other in kinds.items() if table in other.tables and other.output == "weights"}
    return {one for one, draft in drafts.items() if draft.kind in by}


def _slot_faults(
    draft: Draft, slot: str, drafts: Mapping[str, Draft], kinds: Kinds, origin: Origin
) -> Iterator[RecipeError]:
    """What is wrong with the stages that feed a slot."""
    wanted, names = kinds[draft.kind].inputs[slot], draft.inputs.get(slot, ())
    place = (*_place(draft), "inputs", slot)
    if not names and draft.missing.get(slot):
        yield from (_missing_table(draft.name, lack, kinds, origin) for lack in draft.missing[slot])
    elif not names and not wanted.optional:
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


def _missing_table(asks: str, lack: Lack, kinds: Kinds, origin: Origin) -> RecipeError:
    """The error about a table, or an entry of one, that a recipe has to have for a stage that it asks for."""
    name = lack.table
    info = recipe_type(kinds).model_fields[name]
    if lack.asking and name in origin.data:
        entry = header(name, info)
        why = f"the stage `{asks}` takes {lack.gives}, which comes from such a one"
        hint = f"add a `{entry}` with `{lack.asking}`, or leave out what asks for `{asks}`"
        return origin.error((name,), f"no `{entry}` has `{lack.asking}`", why=why, hint=hint)
    model = nested(info)
    hint = adding(header(name, info), model) if model else ""
    return origin.error((name,), "missing", why=note(info, "why"), hint=hint)


def _giving(wanted: str, drafts: Mapping[str, Draft], kinds: Kinds, but: str) -> list[str]:
    """The stages whose output is of a type."""
    known = ((name, kinds.get(draft.kind)) for name, draft in drafts.items())
    return [name for name, kind in known if kind and kind.output == wanted and name != but]


def _place(draft: Draft) -> Place:
    """Where to look: in the file, or, for a usual stage, at its name."""
    return draft.place or (f"stage {draft.name}",)


def _stage(draft: Draft, kinds: Kinds) -> Stage:
    kind = kinds[draft.kind]
    pins = {name: value for name, value in draft.parameters.items() if isinstance(value, Pins)}  # as they are
    said = {name: value for name, value in draft.parameters.items() if name not in pins}
    parameters = kind.parameters.model_validate_json(json.dumps(said), strict=True).model_copy(update=pins)
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
