"""What is different about the machine of whoever checks: exact bits come out on another one too, or it is to blame."""

from __future__ import annotations

from regrow.building.environment import environment
from regrow.building.locking import Locked
from regrow.recipe.differences import differences
from regrow.release import Release
from regrow.release.files import DamagedError


def machines(release: Release, locked: Locked) -> tuple[str, ...]:
    """What the release tells about the author's machine, where this one is otherwise.

    Args:
        release: the release.
        locked: its stages, whose libraries are compared.
    """
    try:  # what lies beside the release is not covered by its digest, so it may be anything
        there = release.environment
    except DamagedError:
        return ()
    here = environment(name for stage in locked.graph.stages for name in stage.kind.libraries)
    told = [one for one in differences(there, here) if _is_plain(one.old) and _is_plain(one.new)]
    return tuple(f"{one.path[-1]} {one.new}, the release was made with {one.old}" for one in told)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int)
