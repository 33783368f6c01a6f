"""The report of a release, which is made anew only if something that it shows is.

Making the page takes longer than finding out that all stages are there already. So beside the store it is remembered of
what the page of a release was made, and what came out. As long as nothing of that changed, the program included as far
as the disk tells, and the page is still as it was written, it is the page.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from regrow import version
from regrow.errors import StageError
from regrow.release import Release
from regrow.release.layout import BUILDINFO, REPORT, SUMS
from regrow.store import Beside, default_root, sha256_bytes, sha256_file, write_atomic
from regrow.store.digest import entries


def report(release: Path, old: Path) -> bytes:
    """The page about a release that has all but this.

    Args:
        release: the folder in which it is made.
        old: where it is going to lie, with the release that is there now, if there is one.

    Raises:
        RecipeError: if a part of the release is damaged.
    """
    memory = default_root() / Beside.LOOKED / sha256_bytes(os.fsencode(old.resolve() / REPORT))
    made_of = _ingredients(release)
    with suppress(OSError):
        page = (old / REPORT).read_bytes()
        if memory.read_bytes() == _note(made_of, page):
            return page
    from regrow.report import contents, render

    page = render(contents(Release.at(release))).encode()
    with suppress(OSError):  # where nothing can be remembered, it is made each time
        write_atomic(memory, _note(made_of, page))
    return page


def _note(made_of: str, page: bytes) -> bytes:
    return f"regrow/reported/1\n{made_of} {sha256_bytes(page)}\n".encode()


def _ingredients(release: Path) -> str:
    """A sha256 of all that a page shows: what the digest of the release covers is in its list of checksums."""
    rows = [_program()]
    for path, entry in entries(release):
        read = path == SUMS or path.startswith(f"{BUILDINFO}/")
        rows.append(f"{path} {sha256_file(Path(entry)) if read else entry.stat().st_size}")
    return sha256_bytes("\n".join(rows).encode())


def _program() -> str:
    """How the files of this program look, which may be worked on; nothing if they are none, but in an archive."""
    try:
        written = [one for one in entries(Path(version.__file__).parent) if "__pycache__/" not in one[0]]
        found = [(path, entry.stat()) for path, entry in written]
    except (OSError, StageError):
        return version.__version__
    looks = (f"{path} {it.st_size} {it.st_mtime_ns}" for path, it in found)
    return sha256_bytes("\n".join(looks).encode())
