"""The text of a recipe, ``regrow.toml``: what every recipe has, and the tables of the kinds of stages there are.

The language itself knows no kind. It has the name and terms of the model, ``[[stage]]``, and rules for reading; each
kind brings its own table (:class:`regrow.recipe.kind.Table`), whose keys, defaults and bounds are its parameters. The
descriptions are what the reference of the recipe is made of, so they are written for its readers.
"""

from __future__ import annotations

import hashlib
import json
import operator
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, create_model, field_validator
from pydantic.fields import FieldInfo

from regrow.errors import RecipeError
from regrow.recipe.inherit import SYNTAX, Spoken, spoken
from regrow.recipe.kind import Kind, Kinds, Table
from regrow.recipe.pin import Pinned
from regrow.recipe.problems import Origin, explain, fields, note, together
from regrow.recipe.roles import TRAINING
from regrow.recipe.text import parsed
from regrow.recipe.values import UNSHAREABLE, Licence, Name, Texts
from regrow.sections import Place, Section, fault
from regrow.words import listed, shown, suggestion

FILE = "regrow.toml"
_DEEPEST = 100  # tables and lists in one another; no key of ours is nearly as deep
_MODEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


M = TypeVar("M", bound=BaseModel)


class Model(Section):
    """What the release is called, and its terms."""

    name: str = Field(description="The name of the model.", examples=["bard-3m"], max_length=96)
    licence: Licence = Field(
        description="SPDX expression: the licence of the weights.",
        examples=["Apache-2.0"],
        json_schema_extra={"why": "whoever gets the weights must know on which terms"},
    )
    description: str = Field(default="", description="A sentence for the model card.", examples=["Writes Shakespeare."])
    kept_at: str = Field(
        default="",
        description="Where others find what they need to check parts: the complete states of the training runs "
        "(`states`), and what the stages of the corpus gave. An address as `fetch` has them, of a folder into which "
        "`regrow keep` puts it all. By default the states lie in the release.",
        examples=["s3://bucket/bard"],
        exclude_if=operator.not_,
    )

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _MODEL_NAME.fullmatch(value) or "--" in value or ".." in value:
            raise fault(
                f"{shown(value)} cannot be the name of a model",
                why="it names directories and model repositories: letters, digits, and single `.`, `_`, `-` between",
                hint='write a name such as "bard-3m"',
            )
        return value


class StageEntry(Section):
    """A stage spelled out: one more, or changes to one of the usual stages, called by its name."""

    name: Name = Field(
        description="A new name, or that of a usual stage: that of its kind, and `KIND-S` where there is one for each "
        "source S, as in `documents-S`.",
        examples=["deduplicate"],
    )
    kind: str = Field(
        default="", description="What sort of stage it is. A usual stage keeps its kind.", examples=["clean"]
    )
    inputs: dict[str, Texts] = Field(
        default={},
        description="For each slot of the kind, the stage or stages it is fed from. Those of a usual stage that are "
        "not mentioned stay.",
        examples=[{"documents": "clean"}],
        json_schema_extra={"type": "table of texts or lists of texts"},
    )
    parameters: dict[str, Any] = Field(
        default={},
        description="The parameters of the kind. Those of a usual stage that are not mentioned stay; what is said of a "
        "source is changed in its `[[source]]`.",
        examples=[{"min_characters": 500}],
        json_schema_extra={"type": "table"},
    )


@dataclass(frozen=True)
class Source:
    """An input from outside, as a recipe's table tells of it.

    Attributes:
        name: of the table's entry.
        stage: the stage that brings it in.
        fetch: where from.
        select: patterns of the wanted files.
        exclude: patterns of files to leave out again.
        licence: as declared; empty where the table has no such key.
        attribution: whom to name.
        role: what it is for.
        withheld: whether its texts may not be shared.
    """

    name: str
    stage: str
    fetch: str
    select: tuple[str, ...]
    exclude: tuple[str, ...]
    licence: str
    attribution: str
    role: str
    withheld: bool = False


@dataclass(frozen=True)
class Said:
    """What a recipe says to one kind: the parameters of one stage.

    Attributes:
        kind: the kind.
        entry: the name of the ``[[table]]`` entry; empty where there is only one stage of the kind.
        parameters: plain values by the names of the kind's parameters.
        places: parameter -> where the file says it.
        aloud: True if the recipe has the table; False if the kind is there because it is usual.
        values: the table, checked.
    """

    kind: Kind[Any]
    entry: str
    parameters: Mapping[str, Any]
    places: Mapping[str, Place]
    aloud: bool
    values: BaseModel

    @property
    def table(self) -> str | None:
        """The name of the table that says it."""
        return self.kind.table.name if self.kind.table else None

    @property
    def stage(self) -> str:
        """The name of the stage."""
        return f"{self.kind.name}-{self.entry}" if self.entry else self.kind.name


@dataclass(frozen=True)
class LeftOut:
    """An entry of a table of which nothing is learnt, as another table says.

    Attributes:
        name: of the entry.
        kind: the kind of the stages that its table makes.
        place: where the file says that it is left out.
    """

    name: str
    kind: Kind[Any]
    place: Place


class Recipe(Section):
    """A recipe: everything an author decides."""

    recipe: int = Field(description="The version of this format.", examples=[1])
    extends: str = Field(
        default="",
        description="Another recipe, or its folder: this one says only what is different. Tables are joined key by "
        "key, entries of `[[...]]` by their names, and the model needs a name of its own. Paths after `file:` begin at "
        "the folder of the recipe that extends none.",
        examples=["../bard"],
    )
    model: Model = Field(description="What the release is called, and its terms.")
    stages: tuple[StageEntry, ...] = Field(
        default=(), alias="stage", description="More stages, and changes to the usual ones."
    )

    _said: Spoken = PrivateAttr(default_factory=lambda: Spoken("", Origin(), Path()))
    _kinds: Kinds = PrivateAttr(default_factory=dict)

    @property
    def origin(self) -> Origin:
        """Where it was read from."""
        return self._said.origin

    @property
    def kinds(self) -> Kinds:
        """The kinds of stages it may ask for."""
        return self._kinds

    @property
    def digest(self) -> str:
        """The sha256 of the text, comments and layout included: a release holds it byte for byte."""
        return hashlib.sha256(self._said.text.encode()).hexdigest()

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it brings in from outside, in the order of the file."""
        bringing = (kind for kind in self._kinds.values() if issubclass(kind.parameters, Pinned))
        return tuple(_source(said) for kind in bringing for said in self.said(kind))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The entries of tables of which nothing is learnt though they are there."""
        kinds = self._kinds.values()
        noted = ((kind, key, note(info, "leaves_out")) for kind in kinds for key, info in _fields(kind).items())
        return tuple(
            LeftOut(name, self._kinds[of], said.places[key])
            for kind, key, of in noted
            for said in (self.said(kind) if of else ())
            for name in said.parameters[key]
        )

    def said(self, kind: Kind[Any]) -> Iterator[Said]:
        """What it says to a kind; several times for a ``[[table]]``, and not at all if it does not ask for one."""
        table = kind.table
        if table is None:
            if kind.usual:
                yield Said(kind, "", {}, {}, False, kind.parameters())
        elif not table.name:
            if all(getattr(self, name) is not None for name in kind.parameters.model_fields):
                places: dict[str, Place] = {name: (name,) for name in kind.parameters.model_fields}
                yield Said(kind, "", _plain(self, kind), places, True, self)
        elif table.many:
            for i, entry in enumerate(getattr(self, table.name)):
                if _asks_for(entry, kind):
                    places = _places(kind, (table.name, i))
                    yield Said(kind, entry_name(entry), _plain(entry, kind), places, True, entry)
        elif (value := getattr(self, table.name)) is not None and _asks_for(value, kind):
            aloud = table.name in self.origin.data
            yield Said(kind, "", _plain(value, kind), _places(kind, (table.name,)), aloud, value)

    def at(self, said: Spoken, kinds: Kinds) -> Self:
        """The same recipe, with a note of where and from which text it was read, and what it may ask for."""
        copy = self.model_copy()
        copy._said, copy._kinds = said, kinds
        return copy

    @field_validator("recipe")
    @classmethod
    def _is_known(cls, value: int) -> int:
        if value != 1:
            raise fault(
                f"version {value} of the recipe format is not known here", hint="write `recipe = 1`, or upgrade regrow"
            )
        return value

    @field_validator("stages")
    @classmethod
    def _are_distinct(cls, value: tuple[StageEntry, ...]) -> tuple[StageEntry, ...]:
        return distinct(value)


def tables(kinds: Kinds) -> dict[str, tuple[Table, type[BaseModel]]]:
    """The tables that the kinds bring, by name, each with the model of its keys."""
    found: dict[str, list[Kind[Any]]] = {}
    for kind in kinds.values():
        if kind.table is not None and kind.table.name:
            found.setdefault(kind.table.name, []).append(kind)
    return {name: (members[0].table or Table(), _keys(name, members)) for name, members in found.items()}


def shared_keys(kinds: Kinds) -> dict[str, list[str]]:
    """Table -> keys that more than one of the kinds that share it bring, each as its own; there should be none."""
    found: dict[str, dict[str, set[type]]] = {}
    for kind in kinds.values():
        if kind.table is not None:
            keys = found.setdefault(kind.table.name, {})
            for name, info in kind.parameters.model_fields.items():
                keys.setdefault(info.alias or name, set()).add(_declaring(kind.parameters, name))
    return {
        table: twice for table, keys in found.items() if (twice := [key for key, all in keys.items() if len(all) > 1])
    }


def _declaring(parameters: type[BaseModel], name: str) -> type:
    """The class that declares a parameter, which several kinds may have in common."""
    return next(one for one in parameters.__mro__ if name in vars(one).get("__annotations__", {}))


def keys_in_order(kinds: Kinds) -> list[str]:
    """The keys at the top of a recipe, in the order of the work."""
    found: dict[str, None] = {}
    for table, parameters in ((kind.table, kind.parameters) for kind in kinds.values()):
        if table is not None:
            found |= dict.fromkeys([table.name] if table.name else parameters.model_fields)
    return ["recipe", "extends", "model", *found, "stage"]


def recipe_type(kinds: Kinds, asked: Mapping[str, Any] | None = None) -> type[Recipe]:
    """The model of a recipe under some kinds.

    Args:
        kinds: what there can be.
        asked: what a recipe says, by table: whatever it does not ask for may be missing. By default it asks for all.
    """
    top = [kind for kind in kinds.values() if kind.table is not None and not kind.table.name]
    definitions: dict[str, Any] = {}
    for name, (table, model) in tables(kinds).items():
        usual = any(kind.usual for kind in kinds.values() if kind.table is not None and kind.table.name == name)
        definitions[name] = _table_field(table, model, usual, asked is None or name in asked)
    for kind in top:
        if asked is not None and asked.keys().isdisjoint(kind.parameters.model_fields):
            definitions |= {name: _absent(info) for name, info in kind.parameters.model_fields.items()}
    several = [name for name, (table, _) in tables(kinds).items() if table.many]
    bases: Any = (Recipe, *(kind.parameters for kind in top))
    made: type[Recipe] = create_model(
        "Recipe",
        __base__=bases,
        __validators__={"_tables_are_distinct": field_validator(*several)(distinct)} if several else {},
        **definitions,
    )
    made.__doc__ = Recipe.__doc__
    return made


def _keys(name: str, members: list[Kind[Any]]) -> type[BaseModel]:
    """The model of a table that one kind has, or several share."""
    about = next((kind.table.about for kind in members if kind.table and kind.table.about), "")
    return _joined(name, about, tuple(dict.fromkeys(kind.parameters for kind in members)))


@cache
def _joined(name: str, about: str, known: tuple[type[BaseModel], ...]) -> type[BaseModel]:
    """One model with the keys of some; it is asked for often, and takes long to make."""
    first, *others = (one for one in known if not any(one is not other and issubclass(other, one) for other in known))
    if not others:
        return first
    # Pydantic takes the fields of the last base first.
    made: type[BaseModel] = create_model(name.capitalize(), __base__=(*reversed(others), first))
    made.__doc__ = about
    return made


def _table_field(table: Table, model: type[BaseModel], usual: bool, asked: bool) -> tuple[Any, FieldInfo]:
    told: dict[str, Any] = {"description": table.about or (model.__doc__ or "").strip(), "json_schema_extra": None}
    if table.why:
        told["json_schema_extra"] = {"why": table.why}
    if table.many:
        return tuple[model, ...], Field(**told, **({"min_length": 1} if asked else {"default": ()}))  # type: ignore[valid-type]
    if usual:
        return model, Field(**told, default_factory=model)
    return (model, Field(**told)) if asked else (model | None, Field(**told, default=None))


def _absent(info: FieldInfo) -> tuple[Any, Any]:
    annotation: Any = info.annotation
    return annotation | None, Field(default=None, description=info.description)


def _fields(kind: Kind[Any]) -> Mapping[str, FieldInfo]:
    """The parameters of a kind."""
    fields: Mapping[str, FieldInfo] = kind.parameters.model_fields
    return fields


def _asks_for(values: BaseModel, kind: Kind[Any]) -> bool:
    """Whether what a table says asks for a stage of one of the kinds that share it."""
    return kind.asked is None or kind.asked(values)


def _plain(values: BaseModel, kind: Kind[Any]) -> dict[str, Any]:
    """The parameters of a kind among the values of a table."""
    return values.model_dump(include=set(kind.parameters.model_fields))


def _places(kind: Kind[Any], table: Place) -> dict[str, Place]:
    return {name: (*table, info.alias or name) for name, info in kind.parameters.model_fields.items()}


def _source(said: Said) -> Source:
    values = said.values
    return Source(
        name=said.entry or said.stage,
        stage=said.stage,
        fetch=said.parameters["fetch"],
        select=getattr(values, "select", ("**/*",)),
        exclude=getattr(values, "exclude", ()),
        licence=getattr(values, "licence", ""),
        attribution=getattr(values, "attribution", ""),
        role=getattr(values, "role", TRAINING),
        withheld=getattr(values, "availability", "") == UNSHAREABLE,
    )


def distinct(value: tuple[M, ...]) -> tuple[M, ...]:
    """The value, if no two elements have the same name."""
    first: dict[str, int] = {}
    for i, entry in enumerate(value):
        name = entry_name(entry)
        if first.setdefault(name, i) != i:
            raise fault(f"the name `{name}` is taken", hint="give every one its own name", at=(i, "name"))
    return value


def entry_name(entry: BaseModel) -> str:
    """What an element of a list of tables calls itself."""
    known = type(entry).model_fields.items()
    return next(str(getattr(entry, name)) for name, info in known if "name" in (name, info.alias))


def load(path: Path, kinds: Kinds) -> Recipe:
    """Read a recipe.

    Args:
        path: the file, or the folder with a ``regrow.toml``.
        kinds: what stages there can be.

    Raises:
        RecipeError: if it is not there or not a valid recipe; several faults are reported together.
    """
    return understood(spoken(path / FILE if path.is_dir() else path), kinds)


def parse(text: str, kinds: Kinds, file: str = FILE) -> Recipe:
    """The recipe that a text holds.

    Args:
        text: TOML.
        kinds: what stages there can be.
        file: what to call it in errors.

    Raises:
        RecipeError: if it is not valid.
    """
    return understood(Spoken(text, parsed(text, file, SYNTAX), Path()), kinds)


def understood(said: Spoken, kinds: Kinds) -> Recipe:
    """The recipe in what was read.

    Raises:
        RecipeError: if it is not valid; several faults are reported together.
    """
    origin = said.origin
    if errors := list(_hidden(origin.data, kinds, origin)):
        raise together(origin.file, errors)
    recipe = check(recipe_type(kinds, origin.data), origin.data, origin).at(said, kinds)
    if errors := [*_empty(recipe, kinds), *_idle(recipe, kinds)]:
        raise together(origin.file, errors)
    return recipe


def _hidden(data: Mapping[str, Any], kinds: Kinds, origin: Origin) -> Iterator[RecipeError]:
    """Keys of tables that are parameters of a kind, but not for a recipe to say."""
    for name, (_, model) in tables(kinds).items():
        hidden = {key for key, info in model.model_fields.items() if note(info, "hidden")}
        value = data.get(name)
        for i, entry in enumerate(value) if isinstance(value, list) else [(None, value)]:
            place: Place = (name,) if i is None else (name, i)
            for key in hidden & entry.keys() if isinstance(entry, dict) else ():
                hint = suggestion(key, fields(model), "known here:")
                yield origin.error((*place, key), "unknown key", hint=hint)


def _empty(recipe: Recipe, kinds: Kinds) -> Iterator[RecipeError]:
    """Tables that ask for no stage at all: whoever wrote one believes that it does something."""
    for name in (name for name, (table, _) in tables(kinds).items() if not table.many and name in recipe.origin.data):
        sharing = [kind for kind in kinds.values() if name in kind.tables]
        if not any(_asks_for(getattr(recipe, name), kind) for kind in sharing):
            hint = f"say what is wanted, of {listed(sorted(_said_by(sharing)))}; or leave the table out"
            yield recipe.origin.error((name,), "asks for nothing", why="with what it says, nothing changes", hint=hint)


def _idle(recipe: Recipe, kinds: Kinds) -> Iterator[RecipeError]:
    """Keys of an entry of a ``[[table]]`` that only kinds know which it does not ask for: nobody would read them."""
    for name in (name for name, (table, _) in tables(kinds).items() if table.many):
        sharing = [kind for kind in kinds.values() if name in kind.tables]
        for i, entry in enumerate(recipe.origin.data.get(name, ())):
            asked = [kind for kind in sharing if _asks_for(getattr(recipe, name)[i], kind)]
            for key in entry.keys() - _said_by(asked):
                others = [kind for kind in sharing if key in _said_by([kind])]
                asking = " or ".join(f"`{kind.asking}`" for kind in others if kind.asking)
                why = f"it is for {' or '.join(f'`{kind.name}`' for kind in others)}, which this entry does not ask for"
                hint = f"leave it out, or say {asking}" if asking else "leave it out"
                yield recipe.origin.error((name, i, key), "means nothing here", why=why, hint=hint)


def _said_by(kinds: Iterable[Kind[Any]]) -> set[str]:
    """What a recipe may say to some kinds, in its own words."""
    return {info.alias or name for kind in kinds for name, info in kind.parameters.model_fields.items()}


def check(model: type[M], data: Any, origin: Origin, prefix: Place = ()) -> M:
    """Plain data as a model. Nothing is converted, but a whole number will do where any number does.

    Args:
        model: the class.
        data: as it comes from TOML.
        origin: of the data, for errors.
        prefix: where in the file the data stand.

    Raises:
        RecipeError: if they do not fit; several faults are reported together.
    """
    if unfit := [origin.error((*prefix, *path), what, hint=hint) for path, what, hint in _unfit(data)]:
        raise together(origin.file, unfit)
    try:
        # From JSON, since strict validation of Python objects does not take a list for a tuple.
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise together(origin.file, explain(error, model, origin, lambda path: (*prefix, *path))) from None


def _unfit(value: Any, path: Place = ()) -> Iterator[tuple[Place, str, str]]:
    """Where plain data hold what no JSON can, and, to spare the parsers, no recipe needs: what is wrong, and a hint."""
    if isinstance(value, date | time):
        yield path, "must not be a date or time", f'put it in quotes: "{value}"'
    elif isinstance(value, int) and value.bit_length() > 64:
        yield path, "must be a number of at most 64 bits", "write a smaller one"
    elif isinstance(value, dict | list) and len(path) > _DEEPEST:
        yield path[:1], f"must not be nested more than {_DEEPEST} deep", "write fewer brackets"
    elif isinstance(value, dict | list):
        for part, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unfit(item, (*path, part))
