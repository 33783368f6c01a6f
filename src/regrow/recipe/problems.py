"""From what the validator found to errors a person can act on: file, line, key, what is wrong, and a remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from regrow.errors import RecipeError
from regrow.recipe.lines import innermost
from regrow.sections import Place
from regrow.words import closest, listed, shown, suggestion

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dataclass_type": "a table",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


class CombinedRecipeError(RecipeError):
    """Several errors, reported together.

    Attributes:
        problems: the errors one by one.
    """

    def __init__(self, where: str, problems: tuple[RecipeError, ...]) -> None:
        self.problems = problems
        super().__init__("\n\n".join([f"{len(problems)} errors", *map(str, problems)]), where=where)


def together(where: str, problems: Iterable[RecipeError]) -> RecipeError:
    """One error for all of them, in the order of the file."""
    found = tuple(sorted(problems, key=lambda problem: [int(n) for n in re.findall(r":(\d+): ", problem.where)]))
    return found[0] if len(found) == 1 else CombinedRecipeError(where, found)


@dataclass(frozen=True)
class Origin:
    """Where a recipe was read from, so that whatever is wrong with it can be located. All origins are equal.

    Attributes:
        file: its path, as the user gave it.
        data: what the file says, not validated.
        lines: the line of every key.
        files: the file of every key that stands in another one than the rest.
        is_json: whether it is JSON, so that hints write keys and values as JSON does, and not as TOML.
    """

    file: str = field(default="regrow.toml", compare=False)
    data: Mapping[str, Any] = field(default_factory=dict, compare=False)
    lines: Mapping[Place, int] = field(default_factory=dict, compare=False)
    files: Mapping[Place, str] = field(default_factory=dict, compare=False)
    is_json: bool = field(default=False, compare=False)

    def error(self, path: Place, what: str, *, why: str = "", hint: str = "") -> RecipeError:
        """An error about the value at ``path``."""
        known = innermost(path, self.lines)
        place = self.file if known is None else f"{self.files.get(known, self.file)}:{self.lines[known]}"
        key = self._key(path)
        return RecipeError(what, where=f"{place}: {key}" if key else place, why=why, hint=hint)

    def pair(self, key: str, value: str) -> str:
        """How a key with a value is written there."""
        return f'"{key}": {value}' if self.is_json else f"{key} = {value}"

    def _key(self, path: Place) -> str:
        """A path in words: ``source.bible.licence``; an element without a name is called by its index."""
        words: list[str] = []
        here: Any = self.data
        for part in path:
            here = _inside(here, part)
            name = here.get("name") if isinstance(part, int) and isinstance(here, dict) else None
            if not isinstance(part, int) or isinstance(name, str):
                words.append(name if isinstance(name, str) and isinstance(part, int) else str(part))
            else:
                words[-1:] = [f"{words[-1] if words else ''}[{part}]"]
        return ".".join(words)


def explain(
    error: ValidationError, model: type[BaseModel], origin: Origin, place: Callable[[Place], Place]
) -> Iterator[RecipeError]:
    """The faults pydantic found, one by one.

    Args:
        error: from the validation of a ``model``.
        model: the class.
        origin: of the values.
        place: from a path inside the model to where the value stands in the file.
    """
    details = [detail for detail in error.errors(include_url=False) if not _follows(detail)]
    meant = {(*detail["loc"][:-1], _meant(detail, model)) for detail in details if detail["type"] == "extra_forbidden"}
    for detail in details:
        if detail["type"] == "missing" and detail["loc"] in meant:
            continue  # it is there, misspelt
        path = place(detail["loc"])
        context = detail.get("ctx", {})
        if detail["type"] == "regrow":
            yield origin.error((*path, *context["at"]), context["what"], why=context["why"], hint=context["hint"])
        else:
            what, why, hint = _words(detail, model, origin)
            yield origin.error(path, what, why=why, hint=hint)


def _follows(detail: ErrorDetails) -> bool:
    """True for what is only a consequence of another fault: a default, or a list that lacks its faulty elements."""
    return detail["type"] == "default_factory_not_called" or (detail["type"] == "too_short" and bool(detail["input"]))


def _meant(detail: ErrorDetails, model: type[BaseModel]) -> str | None:
    return closest(str(detail["loc"][-1]), fields(owner(model, detail["loc"][:-1])))


def _words(detail: ErrorDetails, model: type[BaseModel], origin: Origin) -> tuple[str, str, str]:
    """What, why and hint of a fault that pydantic found."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    key = str(next((part for part in reversed(detail["loc"]) if isinstance(part, str)), ""))
    known = fields(owner(model, detail["loc"][:-1]))
    info = known.get(key)
    if kind == "missing":
        return _missing(key, info, origin)
    if kind == "extra_forbidden":
        return "unknown key", "", suggestion(key, known, "known here:")
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'|\b(\d+)\b", context["expected"])
        names = [text or number for text, number in options]
        return f"must be one of {listed(names)}, not {shown(value)}", "", _only(suggestion(str(value), names, ""))
    example = f"write, for example, `{origin.pair(key, shown(info.examples[0]))}`" if info and info.examples else ""
    if kind in _TYPES:
        element = isinstance(detail["loc"][-1], int) if detail["loc"] else False
        return (
            f"must be {_TYPES[kind]}, not {shown(value)}",
            "",
            _quoting(kind, "" if element else key, value, origin) or example,
        )
    why = note(info, "why") if info else ""
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"must be {words} {_number(context[name])}, not {shown(value)}", why, example
    if kind == "finite_number":
        return "must be a finite number", why, example
    if kind in ("too_short", "string_too_short"):
        return "must not be empty", why, example
    if kind == "value_error":
        return str(context["error"]), why, example
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters", why, example
    return detail["msg"][:1].lower() + detail["msg"][1:], why, example


def _missing(key: str, info: FieldInfo | None, origin: Origin) -> tuple[str, str, str]:
    if info is None:
        return "missing", "", ""
    if (table := nested(info)) is None:
        hint = f"add `{origin.pair(key, shown(info.examples[0]))}`" if info.examples else f"add `{key}`"
        return "missing", note(info, "why"), hint
    return "missing", note(info, "why"), adding(header(key, info), table)


def adding(header: str, table: type[BaseModel]) -> str:
    """The hint to add a table, with the keys that it needs."""
    needed = [name for name, field in fields(table).items() if field.is_required()]
    return f"add a table `{header}` with {listed(needed)}"


def header(key: str, info: FieldInfo) -> str:
    """How a recipe begins a table, or one of several."""
    return f"[[{key}]]" if get_origin(info.annotation) is tuple else f"[{key}]"


def _quoting(kind: str, key: str, value: Any, origin: Origin) -> str:
    """How to write a value of the right type, where it is plain what was meant; elements of a list have no key."""

    def pair(meant: str) -> str:
        return f"`{origin.pair(key, meant) if key else meant}`"

    if kind in ("int_type", "int_from_float", "float_type"):
        if isinstance(value, str) and re.fullmatch(r"-?[0-9_]+(\.[0-9]+)?(e-?[0-9]+)?", value):
            return f"write it without quotes: {pair(value)}"
        return f"write {pair(str(int(value)))}" if isinstance(value, float) and value.is_integer() else ""
    if kind == "bool_type" and str(value).lower() in ("true", "false"):
        return f"write it without quotes: {pair(str(value).lower())}"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f"put it in quotes: {pair(shown(shown(value)))}"
    if kind == "tuple_type":
        tables = isinstance(value, dict) and not origin.is_json
        return f"write it with two brackets: `[[{key}]]`" if tables else "put it in brackets: `[...]`"
    if kind in ("model_type", "model_attributes_type") and key and not origin.is_json:
        return (
            f"write it with single brackets: `[{key}]`"
            if isinstance(value, list)
            else f"write a line `[{key}]`, and its keys below it"
        )
    return ""


def _only(text: str) -> str:
    return text if text.startswith("did you mean") else ""


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def note(info: FieldInfo, name: str) -> str:
    """What a field's definition says beside its description."""
    extra = info.json_schema_extra
    return str(extra.get(name, "")) if isinstance(extra, dict) else ""


def fields(model: type[BaseModel] | None) -> dict[str, FieldInfo]:
    """The fields of a model by the keys that recipes use, its name first."""
    shown = (item for item in model.model_fields.items() if not note(item[1], "hidden")) if model else ()
    found = {info.alias or name: info for name, info in shown}
    return {key: found[key] for key in sorted(found, key=lambda key: key != "name")}


def nested(info: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a table or a list of tables."""
    for candidate in (info.annotation, *get_args(info.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def owner(model: type[BaseModel], path: Iterable[str | int]) -> type[BaseModel] | None:
    """The model of the table at ``path`` inside a ``model``."""
    here: type[BaseModel] | None = model
    for key in (part for part in path if isinstance(part, str)):
        info = fields(here).get(key)
        here = nested(info) if info else None
    return here


def _inside(value: Any, part: str | int) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None
