import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from regrow.cli.pages import recipe
from regrow.recipe.problems import fields, nested
from regrow.recipe.schema import recipe_type
from regrow.stages import KINDS

RECIPE = recipe_type(KINDS)


ROWS = {"format": "jsonl"}
STUDENT = {"layers": 6}
TEXT, TASKS = {"text": "To be"}, {"tasks": ["agreement"]}
BESIDE: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "source": {"field": ROWS, "group_by": ROWS},
    "merge": {
        "t": {"method": "slerp", "models": ["poems"]},
        "weight": {"method": "linear"},
        "seed": {"method": "dare-ties"},
    },
    "prompt": {name: {} if name == "sources" else TEXT for name in KINDS["prompt"].parameters.model_fields},
    "score": {name: {} if name == "sources" else TASKS for name in KINDS["score"].parameters.model_fields},
    "without": {"near_duplicates": {"sources": ["bible"]}},
    "lora": {"beta": {"preferences": True}},
    "distil": {name: {} if name == "teacher" else STUDENT for name in KINDS["distil"].parameters.model_fields},
}
"""Table -> key -> what it has a meaning with alone."""

REFUSED = {("lora", "keep_optimizer"), ("lora", "optimizer"), ("prefer", "optimizer")}
"""Keys that all trainings have and these, for a reason that they tell, have no use for."""


def example(field: FieldInfo) -> Any:
    assert field.examples
    return field.examples[0]


def test_every_key_is_there_and_explained() -> None:
    text = recipe()
    for key, info in fields(RECIPE).items():
        assert f"| `{key}` |" in text
        for inner, field in fields(nested(info)).items():
            assert f"| `{inner}` |" in text
            assert field.description, f"{key}.{inner}"
            assert field.description.endswith("."), f"{key}.{inner}"
            assert field.examples, f"{key}.{inner}"


def test_examples_are_valid() -> None:
    for key, info in fields(RECIPE).items():
        if (table := nested(info)) is None:
            continue
        required = {name: example(field) for name, field in fields(table).items() if field.is_required()}
        for name, field in fields(table).items():
            tried = {**required, **BESIDE.get(key, {}).get(name, {}), name: example(field)}
            if (key, name) in REFUSED:
                with pytest.raises(ValidationError, match=r"continued|gone on with"):
                    table.model_validate_json(json.dumps(tried), strict=True)
            else:
                table.model_validate_json(json.dumps(tried), strict=True)


def test_a_row() -> None:
    assert (
        "| `kv_heads` | whole number | as `heads` | Key and value heads, which divide the query heads. "
        "At least 1, at most 65,536. Example: `2`. |"
    ) in recipe().splitlines()


def test_rows_are_tables() -> None:
    rows = [line for line in recipe().splitlines() if line.startswith("|")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


def test_command_writes_it() -> None:
    done = subprocess.run([sys.executable, "-m", "regrow.cli.pages", "recipe"], capture_output=True, check=True)
    assert done.stdout.decode() == recipe()
