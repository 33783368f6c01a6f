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
from functools import cache

INSIDE = "!/"
"""Stands between an archive and the path of a file in it."""

EXCLUDED = "excluded"
OTHERS = "not in `select`"

_ASIDE = {
    "hidden": re.compile(r"\..+", re.DOTALL),
    "backups": re.compile(r".*~|~\$.+|#.+#|.+\.(?:bak|orig|rej|sw[op])", re.DOTALL | re.IGNORECASE),
    "left by programs": re.compile(
        r"__macosx|__pycache__|thumbs\.db|desktop\.ini|.+\.events\.jsonl", re.DOTALL | re.IGNORECASE
    ),  # the last one is the log of a build
}


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
        if self._excludes(chain):
            return EXCLUDED
        if any(_named(chain, pattern) for pattern in self.select):
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
    return next((what for what, names in _ASIDE.items() if names.fullmatch(name) and name != ".."), "")


def _named(chain: Sequence[str], pattern: str, wild: bool = False) -> bool:
    """Whether a pattern fits a file or the archives that it is in, outermost first.

    Args:
        chain: the path of the outermost archive, that of what is in it, and so on; or the file's alone.
        pattern: the pattern.
        wild: True to let wildcards take everything.
    """
    wanted = _segments(pattern)
    if len(wanted) > 1:
        fit = all(_fits(path, segment, wild) for path, segment in zip(chain, wanted, strict=False))
        return fit and len(wanted) <= len(chain) and (wild or _plain(chain[len(wanted) :]))
    return any(
        any(_fits(name, wanted[0], wild) for name in _names(chain, i))
        and (wild or _plain([*chain[:i], *chain[i + 1 :]]))
        for i in range(len(chain))
    )


def _reaches(chain: Sequence[str], pattern: str) -> bool:
    """Whether a pattern may fit something in an archive."""
    wanted = _segments(pattern)
    if len(wanted) == 1:
        return _plain(chain) or _named(chain, pattern)
    fit = all(_fits(path, segment) for path, segment in zip(chain, wanted, strict=False))
    return fit and _plain(chain[len(wanted) :])


def _segments(pattern: str) -> list[str]:
    """The parts of a pattern for an archive and what is in it; all that is in it goes without saying."""
    segments = pattern.split(INSIDE)
    while len(segments) > 1 and segments[-1] in ("", "**", "**/*"):
        segments.pop()
    return segments


def _names(chain: Sequence[str], i: int) -> Iterator[str]:
    """What a file or an archive is called: its path, as if unpacked in place, as if archives were folders."""
    yield chain[i]
    if i:
        yield f"{chain[i - 1].rpartition('/')[0]}/{chain[i]}"
        yield "/".join(chain[: i + 1])


def _plain(paths: Sequence[str]) -> bool:
    return not any(aside(part) for path in paths for part in path.split("/"))


def _fits(path: str, pattern: str, wild: bool = False) -> bool:
    """Whether a pattern fits a path: which of its parts may be next, folder by folder."""
    parts = _parts(pattern)
    places = _skipping({0}, parts)
    for name in path.split("/"):
        special = not wild and bool(aside(name))
        staying = {i for i in places if i < len(parts) and parts[i] == "**" and not special}
        moving = {i + 1 for i in places if i < len(parts) and parts[i] != "**" and _takes(parts[i], name, special)}
        places = _skipping(staying | moving, parts)
    return len(parts) in places


def _skipping(places: set[int], parts: Sequence[str]) -> set[int]:
    """The places, and those behind a ``**``, which may stand for nothing."""
    for i, part in enumerate(parts):
        if i in places and part == "**":
            places.add(i + 1)
    return places


def _takes(part: str, name: str, special: bool) -> bool:
    return not (special and not aside(part)) and _part(part).fullmatch(name) is not None


@cache
def _parts(pattern: str) -> tuple[str, ...]:
    """The parts of a pattern between slashes. ``**`` at the end stands for a file at least."""
    parts = tuple(part for part in pattern.split("/") if part not in ("", "."))
    return (*parts, "*") if parts[-1:] == ("**",) else parts


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
