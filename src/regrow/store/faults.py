"""Trouble with the disk, in words a person can act on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regrow.errors import StageError

STORE = "REGROW_STORE"

_ROOM = "free some space{how} or set {setting} to a larger disk"
_HOW = {STORE: " (`regrow store gc` removes what no recipe needs)"}
_ELSEWHERE = "make the place writable, or set {setting} to one that is"
_WORDS = {
    errno.ENOSPC: ("disk full", _ROOM),
    errno.EDQUOT: ("disk quota used up", _ROOM),
    errno.EFBIG: ("file too large for the disk or for a limit on file sizes", "see `ulimit -f`, or " + _ROOM),
    errno.EROFS: ("the disk is read-only", _ELSEWHERE),
    errno.EACCES: ("no permission", _ELSEWHERE),
    errno.EPERM: ("not permitted", _ELSEWHERE),
    errno.EIO: ("the disk reports a fault", "check the disk, then run the same command again"),
    errno.EMFILE: ("too many open files", "raise the limit with `ulimit -n`"),
}


def disk_error(error: OSError, near: Path | str = "", where: str = "", setting: str = STORE) -> StageError | None:
    """``error`` in plain words, or None if it is not one of the usual troubles with disks.

    Args:
        error: what the system said.
        near: a path to name when the system named none, as it does for a failed write.
        where: see :class:`regrow.errors.RegrowError`.
        setting: the environment variable that says where the place is.
    """
    if error.errno not in _WORDS:
        return None
    what, hint = _WORDS[error.errno]
    hint = hint.format(setting=setting, how=_HOW.get(setting, ""))
    path = error.filename if error.filename is not None else near
    return StageError(f"{what}: {path}" if path else what, where=where, why=error.strerror or "", hint=hint)


@contextmanager
def plain_words(near: Path | str = "", setting: str = STORE) -> Iterator[None]:
    """Turn the usual troubles with disks into :class:`regrow.errors.StageError`."""
    try:
        yield
    except OSError as error:
        if (plain := disk_error(error, near, setting=setting)) is not None:
            raise plain from error
        raise
