"""Are the files of a release the ones its list of checksums names?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regrow.errors import DifferentError
from regrow.release import Release
from regrow.release.files import HUBS_OWN, Directory
from regrow.release.layout import SUMS, is_covered
from regrow.store import sha256_file


@dataclass(frozen=True)
class FileCheck:
    """What became of the files that are listed.

    Attributes:
        digest: the release digest, that is, the sha256 of the list as it is.
        damaged: files with other bytes than listed, and what is no file, such as a pipe or a link to nothing. If it
            is the list itself, nothing is said about the others.
        missing: files that are listed but not there.
        extra: files that are there but not listed.
        listed: path -> sha256, as listed.
    """

    digest: str
    damaged: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    listed: Mapping[str, str]

    @property
    def whole(self) -> bool:
        """True if every file is as listed and there is no other."""
        return not (self.damaged or self.missing or self.extra)


def check_files(release: Release) -> FileCheck:
    """Compare a release with its own list of checksums.

    A link counts as the file it leads to, if that is in the release or in a model hub's cache. What the hub itself puts
    into its cache is no file of the release.
    """
    if not release.sums.canonical:
        return FileCheck(release.digest, damaged=(SUMS,), missing=(), extra=(), listed={})
    listed = release.listed
    cached = isinstance(release.files, Directory) and release.files.is_cache
    there = {path for path in release.files.paths() if is_covered(path)}
    if cached and HUBS_OWN not in listed:
        there.discard(HUBS_OWN)
    return FileCheck(
        digest=release.digest,
        damaged=tuple(sorted(name for name in there & set(listed) if not _is(release, name, listed[name]))),
        missing=tuple(sorted(set(listed) - there)),
        extra=tuple(sorted(there - set(listed))),
        listed=listed,
    )


def require_whole(release: Release) -> FileCheck:
    """Compare a release with its own list of checksums.

    Raises:
        DifferentError: naming the first file that is not as listed.
    """
    files = check_files(release)
    if not files.whole:
        named = (*files.damaged, *files.missing, *files.extra)
        raise DifferentError(
            "the files are not the ones that anybody signed",
            where=str(release.path),
            why=f"{named[0]} is not as its list of checksums says"
            + (f", and {len(named) - 1} more" * (len(named) > 1)),
            hint="get the release again from where it came",
        )
    return files


def there(release: Release, places: Sequence[str]) -> tuple[str, ...]:
    """The files of a release that are, or lie in, some places."""
    return tuple(sorted(path for path in release.files.paths() if path.partition("/")[0] in places))


def _is(release: Release, path: str, sha256: str) -> bool:
    """Whether there is a file with this hash. A pipe or a device is not read: it might never end."""
    return release.files.has(path) and sha256_file(release.path / path) == sha256
