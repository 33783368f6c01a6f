"""Patterns that choose files: ``*``, ``?`` and ``[...]`` within a folder's name, ``**`` for any number of folders.

Wildcards of ``select`` pass over what was never meant as text: hidden files and folders, and what editors and systems
leave behind. A pattern takes such a name if its own part for it is one, as in ``.github/**`` or ``*.bak``.

A file in an archive is called ``ARCHIVE!/PATH``. A pattern with ``!/`` is about that whole name. Any other fits what a
file is called inside, as if the archive were a folder or lay unpacked in its place, and an archive by its own name,
which stands for all that is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from regrow.sources.archives import is_archive

INSIDE = "!/"
"""Stands between an archive and the path of a file in it."""

EXCLUDED = "excluded"
OTHERS = "not in `select`"

_ASIDE = re.compile(
    r"""(?P<hidden>\..+)
    | (?P<backups>.*~ | ~\$.+ | \#.+\# | .+\.(?:bak|orig|rej|sw[op]))
    | (?P<programs>__macosx | __pycache__ | thumbs\.db | desktop\.ini
        | .+\.events\.jsonl | .+\.metrics\.csv | events\.out\.tfevents\..+)  # what a build writes beside its release
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_WORDS = {"hidden": "hidden", "backups": "backups", "programs": "left by programs"}


@dataclass(frozen=True)
class Choice:
    """Which files of a source are wanted.

    Attributes:
        select: patterns of the files to use.
        exclude: patterns of files to leave out again.
    """

    select: tuple[str, ...] = ("**",)
    exclude: tuple[str, ...] = ()

    def reason(self, name: str) -> str:
        """Why a file is left out, in a word or two; nothing if it is wanted."""
        chain = name.split(INSIDE)
        if self.exclude and self._excludes(chain):
            return EXCLUDED
        for pattern in self.select:
            if _named(chain, pattern):
                return ""
        return next((why for path in chain for part in path.split("/") if (why := aside(part))), OTHERS)

    def wants(self, name: str) -> bool:
        """Whether a file is to be used."""
        return not self.reason(name)

    def enters(self, archive: str) -> bool:
        """Whether an archive is to be looked into: something in it may be wanted."""
        chain = archive.split(INSIDE)
        return not self._excludes(chain) and any(_reaches(chain, pattern) for pattern in self.select)

    def names(self, archive: str) -> bool:
        """Whether a pattern speaks of an archive itself, so that it is missed if it cannot be read."""
        chain = archive.split(INSIDE)
        return any(_reaches(chain, pattern) if INSIDE in pattern else _named(chain, pattern) for pattern in self.select)

    def walks(self, folder: str) -> bool:
        """Whether a folder of this name is to be looked into; one that is set aside only if a pattern spells it."""
        parts = [part for pattern in self.select for part in re.split("!?/", pattern)]
        return not aside(folder) or any(aside(part) and _part(part).fullmatch(folder) for part in parts)

    def _excludes(self, chain: Sequence[str]) -> bool:
        return any(_named(chain, pattern, wild=True) for pattern in self.exclude)


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a relative POSIX path fits one of the patterns, capitals and all."""
    return any(_fits(path, pattern) for pattern in patterns)


def aside(name: str) -> str:
    """What the name of a file or folder says it is, if that is nothing that wildcards take; in a word or two."""
    found = _ASIDE.fullmatch(name)
    return _WORDS[found.lastgroup or ""] if found and name != ".." else ""


def _named(chain: Sequence[str], pattern: str, wild: bool = False) -> bool:
    """Whether a pattern fits a file or the archives that it is in, outermost first.

    Args:
        chain: the path of the outermost archive, that of what is in it, and so on; or the file's alone.
        pattern: the pattern.
        wild: True to let wildcards take everything.
    """
    wanted = _segments(pattern)
    if len(chain) == len(wanted) == 1 and not _has_archive(wanted[0]):  # nearly always, and there may be many
        return _fits(chain[0], wanted[0], wild)
    if len(wanted) > 1:
        fit = all(_fits(path, segment, wild) for path, segment in zip(chain, wanted, strict=False))
        return fit and len(wanted) <= len(chain) and (wild or _plain(chain[len(wanted) :]))
    return any(
        any(_fits(name, wanted[0], wild) for name in _names(chain, i, wanted[0]))
        and (wild or len(chain) == 1 or _plain([*chain[:i], *chain[i + 1 :]]))
        for i in range(len(chain))
    )


def _reaches(chain: Sequence[str], pattern: str) -> bool:
    """Whether a pattern may fit something in an archive."""
    wanted = _segments(pattern)
    if len(wanted) == 1:
        return _plain(chain) or _named(chain, pattern)
    fit = all(_fits(path, segment) for path, segment in zip(chain, wanted, strict=False))
    return fit and _plain(chain[len(wanted) :])


@cache
def _segments(pattern: str) -> tuple[str, ...]:
    """The parts of a pattern for an archive and what is in it; all that is in it goes without saying."""
    segments = pattern.split(INSIDE)
    while len(segments) > 1 and segments[-1] in ("", "**", "**/*"):
        segments.pop()
    return tuple(segments)


def _names(chain: Sequence[str], i: int, pattern: str) -> Iterator[str]:
    """What a pattern may call a file or an archive: by its path, as if it lay beside the archive that it is in, or, if
    the pattern has a folder that is called as archives are, as if that were one.
    """
    yield chain[i]
    if i and (folder := chain[i - 1].rpartition("/")[0]):
        yield f"{folder}/{chain[i]}"
    if _has_archive(pattern):
        yield "/".join(chain[: i + 1])
        if pattern.endswith("/**") and is_archive(chain[i]):
            yield f"{chain[i]}/"  # all that is in it


@cache
def _has_archive(pattern: str) -> bool:
    return any(map(is_archive, pattern.split("/")[:-1]))


def _plain(paths: Sequence[str]) -> bool:
    return not any(special for path in paths for _, special in _folders(path))


def _fits(path: str, pattern: str, wild: bool = False) -> bool:
    """Whether a pattern fits a path."""
    folder, slash, name = path.rpartition("/")
    wanted, spelled = _last(folder if slash else None, pattern, wild)
    return wanted is not None and wanted.fullmatch(name) is not None and (spelled or not aside(name))


@lru_cache(maxsize=1024)
def _last(folder: str | None, pattern: str, wild: bool) -> tuple[re.Pattern[str] | None, bool]:
    """What a file in a folder, in which many may lie, has to fit, and whether it may be one that wildcards pass over:
    the last part of a pattern; nothing if the folder does not fit those before it.
    """
    parts = _parts(pattern)
    if len(parts) - 1 not in _places(folder, pattern, wild):
        return None, False
    part, spelled = parts[-1]
    return part, spelled or wild


def _places(folder: str | None, pattern: str, wild: bool) -> tuple[int, ...]:
    """The parts of a pattern that may come next behind a folder; None for the first."""
    places = _skipping([0], _parts(pattern))
    for name in [] if folder is None else folder.split("/"):
        places = _behind(places, name, pattern, wild)
    return places


def _behind(places: Sequence[int], name: str, pattern: str, wild: bool) -> tuple[int, ...]:
    """The parts of a pattern that may come next behind a name, of which some others fit what is before it."""
    parts, special, following = _parts(pattern), bool(aside(name)), list[int]()
    for i in places:
        if i == len(parts):
            continue
        part, spelled = parts[i]
        if special and not wild and not spelled:
            continue
        if part is None:
            following.append(i)
        elif part.fullmatch(name):
            following.append(i + 1)
    return _skipping(following, parts)


def _skipping(places: Sequence[int], parts: Sequence[tuple[re.Pattern[str] | None, bool]]) -> tuple[int, ...]:
    """The places, and those behind a ``**``, which may stand for nothing; each once."""
    found: dict[int, None] = {}
    for i in places:
        found[i] = None
        while i < len(parts) and parts[i][0] is None:
            i += 1
            found[i] = None
    return tuple(found)


@lru_cache(maxsize=1024)
def _folders(path: str) -> tuple[tuple[str, bool], ...]:
    """The parts of a path, and of each whether wildcards pass over it."""
    return tuple((name, bool(aside(name))) for name in path.split("/"))


@cache
def _parts(pattern: str) -> tuple[tuple[re.Pattern[str] | None, bool], ...]:
    """The parts of a pattern between slashes, none for ``**``, and of each whether it spells out what wildcards pass
    over. ``**`` at the end stands for a file at least.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if parts[-1:] == ["**"]:
        parts.append("*")
    return tuple((None if part == "**" else _part(part), bool(aside(part))) for part in parts)


@cache
def _part(part: str) -> re.Pattern[str]:
    """The regular expression of one folder or file name. A bracket that is not closed stands for itself.

    What stands between two wildcards is looked for once, where it comes first, so that no name takes long.
    """
    fixed = [""]
    for token in re.findall(r"\*+|\?|\[!?+.[^\]]*\]|.", part, re.DOTALL):
        if token[0] == "*":
            fixed.append("")
        elif token == "?":
            fixed[-1] += "[^/]"
        elif len(token) > 1:
            fixed[-1] += _bracket(token[1:-1])
        else:
            fixed[-1] += re.escape(token)
    first, *others = fixed
    middle = "".join(f"(?>[^/]*?{text})" for text in others[:-1])
    return re.compile(first + middle + "".join(f"[^/]*{text}" for text in others[-1:]), re.DOTALL)


def _bracket(inside: str) -> str:
    """The regular expression of one character out of a bracket. A range that runs backwards holds none."""
    others = inside.startswith("!")
    found = ""
    for first, last in re.findall("(.)(?:-(.))?", inside.removeprefix("!"), re.DOTALL):
        if not last:
            found += re.escape(first)
        elif first <= last:
            found += f"{re.escape(first)}-{re.escape(last)}"
    if not found:
        return "[^/]" if others else "(?!)"
    return f"(?!/)[{'^' if others else ''}{found}]"
