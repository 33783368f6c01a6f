"""The whole audit as one JSON document: every fact, verdict and piece of evidence, in fields that do not change.

The names of the fields are those of the dataclasses in :mod:`regrow.auditing.facts` and :mod:`regrow.auditing.result`;
a fact also says what it is (``"fact": "licence"``). A number that JSON cannot hold is null.
"""

from __future__ import annotations

import json as json_format
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from typing import Any

from regrow.auditing.facts import Fact
from regrow.auditing.result import Audit

SCHEMA = "regrow/audit/1"


def json(audit: Audit) -> dict[str, Any]:
    """The audit as a dict of lists, dicts, strings and numbers."""
    document: dict[str, Any] = {"schema": SCHEMA}
    document.update(jsonable(audit))
    return document


def to_text(document: Mapping[str, Any]) -> str:
    """A document as text: one way to write it, in ASCII, so that no terminal can take it for anything else."""
    return json_format.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"


def digest(audit: Audit) -> str:
    """The sha256 of the whole audit as text."""
    return sha256(to_text(json(audit)).encode()).hexdigest()


def jsonable(value: Any) -> Any:
    """Anything of an audit as JSON can hold it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple | list):
        return [jsonable(one) for one in value]
    if isinstance(value, dict):
        return {key: jsonable(one) for key, one in value.items()}
    if is_dataclass(value):
        kind = {"fact": kebab(type(value).__name__)} if isinstance(value, Fact) else {}
        return {**kind, **{field.name: jsonable(getattr(value, field.name)) for field in fields(value)}}
    return value


def kebab(name: str) -> str:
    """``DataAspectFact`` is ``data-aspect``."""
    return re.sub("(?<!^)(?=[A-Z])", "-", name.removesuffix("Fact")).lower()
