"""The reference of the recipe, made from the kinds of stages: ``python -m regrow.cli.pages recipe``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from regrow.recipe.kind import Kinds
from regrow.recipe.problems import fields, header, nested, note
from regrow.recipe.schema import keys_in_order, recipe_type

_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "array": "list",
    "object": "table",
}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "maxLength": "at most {} characters",
}
_HEAD = """\
# The recipe

<!-- Made by `python -m regrow.cli.pages recipe`. Do not edit. -->

A recipe is a file `regrow.toml`. It is declarative: it says what a model is made from and how, and contains no code.
Unknown keys are errors, nothing is converted from one type to another, and a key without a default has to be there.
`regrow new NAME` writes one to start from.

Each kind of stage brings its own table, whose keys are the parameters of the stage.
"""


def manual(kinds: Kinds) -> str:
    """All keys of a recipe under some kinds of stages, as Markdown."""
    recipe = recipe_type(kinds)
    keys = {key: fields(recipe)[key] for key in keys_in_order(kinds)}
    return "\n".join([_HEAD, *_section("", recipe, keys), *_tables(keys)])


def _tables(keys: Mapping[str, FieldInfo]) -> Iterator[str]:
    for key, info in keys.items():
        if table := nested(info):
            yield from _section(header(key, info), table, fields(table))


def _section(header: str, table: type[BaseModel], keys: Mapping[str, FieldInfo]) -> Iterator[str]:
    yield f"## `{header}`" if header else "## At the top"
    yield from ("", (table.__doc__ or "").strip(), "")
    yield from ("| key | type | default | meaning |", "|---|---|---|---|")
    schema = table.model_json_schema()["properties"]
    for key, info in keys.items():
        if nested(info) is None:
            cells = f"`{key}`", _type(schema[key]), _default(info), _meaning(info, schema[key])
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        elif info.is_required():
            yield f"| `{key}` | {_nested(info)} | required | {info.description} |"
        else:
            yield f"| `{key}` | {_nested(info)} | as below | {info.description} |"
    yield ""


def _nested(info: FieldInfo) -> str:
    return "list of tables" if header("", info).startswith("[[") else "table"


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{_toml(option)}`" for option in schema["enum"])
    kind = str(schema["type"])
    return _TYPES.get(kind, kind)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    return note(info, "fallback") or f"`{_toml(info.default)}`"


def _meaning(info: FieldInfo, schema: dict[str, Any]) -> str:
    bounds = [words.format(_number(schema[name])) for name, words in _BOUNDS.items() if _telling(name, schema)]
    example = f"Example: `{_toml(info.examples[0])}`." if info.examples else ""
    limits = f"{', '.join(bounds).capitalize()}." if bounds else ""
    return " ".join(part for part in (info.description, limits, example) if part)


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}"


def _telling(name: str, schema: dict[str, Any]) -> bool:
    """Whether a bound says anything: not the largest number TOML has."""
    return name in schema and schema[name] != 2**63 - 1


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1_000_000:
        return f"{value:_}"
    return json.dumps(value, ensure_ascii=False)
