"""What somebody says to have looked at of one stage, who checked parts of a release."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LookedAt:
    """Segments of a training run, or parts of what another stage gave.

    Attributes:
        stage: its name.
        trains: whether it is a training run.
        whole: how many segments or parts there are.
        drawn: how many were drawn.
        checked: which ones were run, as drawn or on the way to one that was; from 1.
        root: the hash that binds all of them, by which they were drawn.
    """

    stage: str
    trains: bool
    whole: int
    drawn: int
    checked: tuple[int, ...]
    root: str
