"""The records of a run, as their files have them: for those who read them and do not train."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

STEP = ("step", "batch", "loss", "learning_rate", "gradient_norm")
"""What a link binds of a record: what was noted on the way besides depends on the state, and nothing on it."""


def line(record: Mapping[str, Any]) -> str:
    """A record of a step, or a link."""
    return json.dumps(record, sort_keys=True) + "\n"
