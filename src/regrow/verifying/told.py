"""Whether what somebody signs of a check of parts can be so: of each run of this release, and of what was drawn.

Nobody sees from a statement what was done. But the nonce and the release tell which parts it draws, so that whoever
names others, leaves a run out, or speaks of another run than this release has, is found without running anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from regrow.recipe.pin import MOST_NAMED
from regrow.release import Release
from regrow.release.files import DamagedError
from regrow.release.layout import CHAIN
from regrow.release.looked import LookedAt
from regrow.release.statements import Statement
from regrow.verifying.chain import BrokenChainError, records_of
from regrow.verifying.draw import drawn


def misfit(release: Release, nonce: str, looked: Sequence[LookedAt]) -> str:
    """Why a check of parts cannot have been one of this release; empty if it can.

    Args:
        release: the release.
        nonce: that is said to have drawn the parts.
        looked: what is said of each stage.
    """
    try:
        return next(_faults(release, nonce, looked), "")
    except (BrokenChainError, DamagedError) as error:
        return f"the release cannot be compared with that: {error}"


def _faults(release: Release, nonce: str, looked: Sequence[LookedAt]) -> Iterator[str]:
    said = {one.stage: one for one in release.statements}
    told = [one.stage for one in looked]
    chain = PurePosixPath(CHAIN).name
    yield from (f"with nothing of `{one}`" for one in said if chain in dict(said[one].files) and one not in told)
    yield from (f"which says two things of `{one}`" for one in dict.fromkeys(told) if told.count(one) > 1)
    for one in looked:
        if one.stage not in said or one.trains is not (chain in dict(said[one.stage].files)):
            yield f"of `{one.stage}`, which this release does not have in that way"
        else:
            yield from _unlike(one, nonce, *_committed(release, said[one.stage], one))


def _committed(release: Release, said: Statement, one: LookedAt) -> tuple[str, int]:
    """The hash that binds a stage, and how many segments or parts it has."""
    if one.trains:
        run = records_of(release, said)
        return (run.root, len(run.segments)) if run.links else ("", 0)
    folders = {name.partition("/")[0] for name, _ in said.files}
    return said.digest, one.whole if len(said.files) >= MOST_NAMED else len(folders)


def _unlike(one: LookedAt, nonce: str, root: str, whole: int) -> Iterator[str]:
    # What goes on with a run of others has its first segments from there, and draws among its own.
    if one.root != root or one.whole > whole or (one.whole < whole and not one.trains):
        yield f"of another run or other parts of `{one.stage}` than this release has"
        return
    wanted = {whole - one.whole + number + 1 for number in drawn(root, nonce, one.whole, one.drawn)}
    if not wanted <= {*one.checked} or len(wanted) != one.drawn:
        yield f"in which others of `{one.stage}` were run than that nonce draws"
