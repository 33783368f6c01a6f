"""The records of a run, as their files have them: for those who read them and do not train."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

STEP = ("step", "batch", "learning_rate", "loss", "gradient_norm")
"""What a link binds of a record, in the order in which a step comes by it: what was noted on the way besides depends on
the state, and nothing on it.
"""


def first_other(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The first field in which two records of a step differ, in the order in which a step comes by them; empty if none
    does that depends on the step, or that it depends on.
    """
    return next((name for name in STEP if one.get(name) != other.get(name)), "")


def line(record: Mapping[str, Any]) -> str:
    """A record of a step, or a link."""
    return json.dumps(record, sort_keys=True) + "\n"
