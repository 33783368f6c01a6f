"""The artifact ``evaluation``: what was measured of a model, and what it wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MEASURED = "evaluation.json"
SAMPLES = "samples.json"
EFFECT = "effect.json"
EFFECTS = "effects"
"""The folder of a release in which lie the effects of its stages, each called after the stage."""


def write(folder: Path, measured: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
    """Write the artifact.

    Args:
        folder: where.
        measured: text -> what was measured on it, such as ``bits_per_byte``.
        samples: prompt, text and number of tokens of each.
    """
    for name, value in ((MEASURED, measured), (SAMPLES, list(samples))):
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")
