"""Trouble with the disk, in words a person can act on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regrow.errors import StageError

STORE = "REGROW_STORE"

_ROOM = "free some space{how} or set {setting} to a larger disk"
_HOW = {STORE: " (`regrow store gc` removes what no recipe needs)"}
_ELSEWHERE = "make the place writable, or set {setting} to one that is"
_LOCAL = "set {setting} to a local disk"
_AGAIN = "check the disk, then run the same command again"
_WORDS = {
    errno.ENOSPC: ("disk full", _ROOM),
    errno.EDQUOT: ("disk quota used up", _ROOM),
    errno.EFBIG: ("file too large for the disk or for a limit on file sizes", "see `ulimit -f`, or " + _ROOM),
    errno.EROFS: ("the disk is read-only", _ELSEWHERE),
    errno.EACCES: ("no permission", _ELSEWHERE),
    errno.EPERM: ("not permitted", _ELSEWHERE),
    errno.EIO: ("the disk reports a fault", _AGAIN),
    errno.ESTALE: ("the disk has lost a file that was open", "see whether the disk is still there, or " + _LOCAL),
    errno.ENOLCK: ("no locks on this disk", _LOCAL),
    errno.ENAMETOOLONG: ("a name is too long for the disk", "choose shorter names, or set {setting} to another disk"),
    errno.ELOOP: ("links lead in a circle", "remove one of them, or set {setting} to another place"),
    errno.EMFILE: ("too many open files", "raise the limit with `ulimit -n`"),
    errno.ENFILE: ("too many open files on this machine", "end other programs, or raise `fs.file-max`"),
}
WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What only writing meets. Of the two files of a copy, the system names the one that was read first."""


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
    path = place(error) or near
    return StageError(f"{what}: {path}" if path else what, where=where, why=error.strerror or "", hint=hint)


def place(error: OSError) -> str:
    """The path that an error is about, as far as the system says."""
    path = (error.filename2 if error.errno in WRITING else None) or error.filename
    return "" if path is None or isinstance(path, int) else os.fsdecode(path)


@contextmanager
def plain_words(near: Path | str = "", setting: str = STORE) -> Iterator[None]:
    """Turn the usual troubles with disks into :class:`regrow.errors.StageError`."""
    try:
        yield
    except OSError as error:
        if (plain := disk_error(error, near, setting=setting)) is not None:
            raise plain from error
        raise
