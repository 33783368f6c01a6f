"""What a release is made of, by its locked recipe and what the stages gave: for who builds it, once or again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from regrow.building.assemble import Contents, licence_text, paper_text
from regrow.building.locking import Locked
from regrow.engine import Evaluation

NOTHING: Mapping[str, str] = MappingProxyType({})


def contents_of(locked: Locked, made: Evaluation, buildinfo: Mapping[str, str] = NOTHING) -> Contents:
    """All but ``buildinfo`` follows from the other two."""
    outputs = {name: result.digest for name, result in made.results.items()}
    return Contents(
        graph=locked.graph,
        evaluation=made,
        recipe=locked.recipe,
        lock=locked.text(outputs, None),
        lists=locked.lists,
        licence=licence_text(locked.folder, locked.licence),
        paper=paper_text(locked.folder),
        buildinfo=buildinfo,
        kept_at=locked.kept_at,
    )
