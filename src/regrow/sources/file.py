"""``file:PATH``: a file, or a folder whose selected files are the source. Relative paths begin at the recipe."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from regrow.errors import InputError, RecipeError
from regrow.formats.pointer import pointer, remedy
from regrow.recipe import lock, schema
from regrow.recipe.beside import beside
from regrow.recipe.pin import FOLDER, WITHHELD, Pin, Pins
from regrow.sources import kept
from regrow.sources.archives import is_archive
from regrow.sources.looked import Looked
from regrow.sources.packing import unknown_packing
from regrow.sources.scheme import Site
from regrow.sources.select import EXCLUDED, aside, matches
from regrow.sources.survey import Survey
from regrow.store.digest import sha256_file
from regrow.system import uncollected
from regrow.words import shown

_T = TypeVar("_T")
_OWN = (schema.FILE, lock.FILE)
_RELEASE = ("SHA256SUMS", lock.FILE)  # as regrow.release.layout, a room above, calls them
_CACHE = b"Signature: 8a477f597d28d172789f06886806bc55"  # by the Cache Directory Tagging Specification
_BUILD = "build"  # where releases go by default
_DECLARATION = re.compile(rb"SPDX-License-Identifier:[ \t]*([\w.+() -]{1,100}\w\+?\)?)")
_GROUP = re.compile(r"[({]([^(){}]*)[)}]")
_WILD = re.compile(r"[*?\[]")
_HEAD = 8192


EXAMPLE = "`file:texts`, a file or a folder beside the recipe"
LOCAL = True


def check(locator: str) -> None:
    """Require a path below the recipe."""
    if not locator or locator.startswith("/") or ".." in locator.split("/") or "\\" in locator or "\0" in locator:
        raise RecipeError(
            f"{shown('file:' + locator)} does not lie beside the recipe",
            why="a recipe has to mean the same on another machine, so its files are in its own folder or below",
            hint='put the files there and write, for example, "file:texts"',
        )
    if WITHHELD in locator.split("/"):
        why = "they are what hides texts that may not be shared"
        raise RecipeError(f"{shown('file:' + locator)} is where secrets lie", why=why, hint="name a folder with texts")
    if "*" in locator:
        folder = locator.partition("*")[0].rpartition("/")[0]
        raise RecipeError(
            f"{shown('file:' + locator)} is a pattern",
            why="`fetch` names a file or a folder; `select` chooses among the files of the folder",
            hint=f'write fetch = "file:{folder or "texts"}" and select = "{locator.removeprefix(folder).lstrip("/")}"',
        )


def package_url(locator: str) -> str:
    """Nothing: files of one's own have no name in the world."""
    return ""


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The file, or the selected files of the folder, as they are now. Emits ``selected``: see :class:`Survey`."""
    path = _existing(site, locator)
    if path.is_dir():
        with uncollected():
            return _pins(path, _selected(path, site), site)
    if _is_recipes(path, site):
        raise RecipeError(f"`{locator}` is the recipe's own", hint="name a file or a folder with texts")
    survey = Survey()
    survey.add(_printable(path.name), "")
    site.emit("selected", **survey.event())
    return _pins(path.parent, [path.name], site)


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The file where it lies."""
    path = _existing(site, locator)
    return _existing(site, f"{locator}/{pin.file}") if path.is_dir() else path


def _printable(name: str) -> str:
    """A name as text; bytes in it that are none are spelled out."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def _existing(site: Site, name: str) -> Path:
    path = beside(site.base, name)
    if path is None:
        raise InputError(
            f"there is no `{site.base / name}`",
            hint="paths after `file:` begin at the folder of the recipe; of a variant, at that of what it extends; of "
            "a release, at the one that --source names",
        )
    return path


def _selected(folder: Path, site: Site) -> list[str]:
    """The selected files of a folder, in their canonical order."""
    found, names, survey = [], [], Survey()
    for name, why in _files(folder, site):
        if not why:
            names.append(name)
        if not (why := why or _reason(name, site)):
            found.append(name)
        survey.add(_printable(name) if why else name, why)
    if not found:
        raise _nothing(folder, names, survey, site)
    if strange := sorted(shown for name in found if not name.isascii() and (shown := _printable(name)) != name):
        raise InputError(
            f"the name of `{strange[0]}` is not UTF-8",
            where=str(folder),
            why="other machines would call it something else",
            hint="rename it, or change `select` so that it is left out",
        )
    site.emit("selected", **survey.event())
    for name in _folders(folder, (*site.choice.select, *site.choice.exclude)):
        site.emit("note", text=f"the pattern `{name}` fits no file in the folder of that name; `{name}/**` fits all")
    for pattern in _missing(folder, names, (*site.choice.select, *site.choice.exclude)):
        site.emit("note", text=f"the pattern `{pattern}` fits no file; patterns begin in the folder `{folder.name}`")
    return sorted(found)  # code points have the order of their bytes in UTF-8


def _reason(name: str, site: Site) -> str:
    """Why a file is left out by its name. An archive is taken if something in it may be wanted."""
    why = site.choice.reason(name)
    return "" if why and is_archive(name) and site.choice.enters(name) else why


def _files(folder: Path, site: Site) -> Iterator[tuple[str, str]]:
    """The relative paths of the files in a folder, and of what else there is with the reason why it is left out.

    Links are not followed: the folder is what others will have. What builds make is never what they are made from.
    """
    whole = _is_release(folder)
    pending = [""]
    while pending:
        place = pending.pop()
        above = f"{place}/" if place else ""
        try:
            with os.scandir(folder / place) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:  # a folder that cannot be read would be left out without a word
            what = f"`{error.filename}` cannot be read"
            raise InputError(what, why=error.strerror or str(error)) from error
        kept, files = [], []
        for entry in entries:
            if _is_plain(entry) or not _is_folder(entry):
                files.append(entry)
            elif why := _closed(Path(entry), site, whole):
                yield f"{above}{entry.name}/", why
            else:
                kept.append(f"{above}{entry.name}")
        pending += reversed(kept)
        for entry in files:
            yield above + entry.name, "" if _is_plain(entry) else _unusable(entry, site)


def _is_plain(entry: os.DirEntry[str]) -> bool:
    """Whether nothing but its name has to be looked at: nearly always, and there may be many."""
    return entry.is_file(follow_symlinks=False) and entry.name not in _OWN


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether this is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _closed(folder: Path, site: Site, whole: bool) -> str:
    """Why a folder is not looked into, if it is not. A release that is named itself is ``whole``, records of its
    parents included.
    """
    if folder.is_symlink():
        return "links"
    if not site.choice.walks(folder.name):
        return aside(folder.name)
    if folder.name == WITHHELD or any(_same(folder, site.base / name) for name in (FOLDER, kept.FOLDER)):
        return "of the recipe"
    made = (not whole and _is_release(folder)) or _is_cache(folder)
    return "made by regrow" if made or _same(folder, site.base / _BUILD) else ""


def _is_release(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _RELEASE)


def _unusable(entry: os.DirEntry[str], site: Site) -> str:
    """Why a file is left out, whatever is selected."""
    if entry.is_symlink():
        return "links"
    if not entry.is_file():
        return "pipes or devices"
    return "of the recipe" if entry.name in _OWN and _is_recipes(Path(entry), site) else ""


def _is_recipes(path: Path, site: Site) -> bool:
    """Whether a file is the recipe or its lock. They would change what they pin."""
    return path.name in _OWN and _same(path.parent, site.base)


def _is_cache(folder: Path) -> bool:
    """Whether a folder says that it holds nothing but what can be made again, as stores do."""
    tag = folder / "CACHEDIR.TAG"
    if tag.is_symlink() or not tag.is_file():
        return False
    with tag.open("rb") as file:
        return file.read(len(_CACHE)) == _CACHE


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _folders(folder: Path, patterns: Sequence[str]) -> list[str]:
    """The patterns that are the path of a folder, and so fit nothing in it."""
    return [pattern for pattern in patterns if (folder / pattern).is_dir()]


def _missing(folder: Path, names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The patterns that are the path of a file that is not there, or one that begins beside the folder."""
    spelled = [pattern for pattern in patterns if not _WILD.search(pattern) or _begins_beside(folder, pattern)]
    looked_for = [pattern for pattern in spelled if not any(map(aside, pattern.split("/")))]
    if not looked_for or any(map(is_archive, names)):  # in which it may be
        return []
    return [
        pattern
        for pattern in looked_for
        if not ((folder / pattern).is_dir() or any(matches(name, [pattern]) for name in names))
    ]


def _begins_beside(folder: Path, pattern: str) -> bool:
    return pattern.startswith(f"{folder.name}/") and not (folder / folder.name).exists()


def _nothing(folder: Path, names: list[str], survey: Survey, site: Site) -> InputError:
    """No file is selected; something that is nearly a file of the source may be the cause."""
    nothing = f"nothing but {', '.join(survey.reasons)}" if survey.reasons else "nothing"
    some = ", ".join(map(_printable, names[:5])) or nothing
    if excluded := survey.reasons[EXCLUDED]:
        some += f", and `exclude` leaves out {excluded} of {len(names)} files"
    packed = next((f"{name} is packed with {how}" for name in names if (how := unknown_packing(name, None))), "")
    hint = "look whether this is the folder that you mean"
    if shallow := [one for one in site.choice.select if any(matches(name, [f"**/{one}"]) for name in names)]:
        hint = f"patterns begin in the folder: `**/{shallow[0]}` fits in all folders below, too"
    if within := _folders(folder, site.choice.select):
        hint = f"`{within[0]}/**` fits every file in that folder"
    elif beside_it := [pattern for pattern in site.choice.select if _begins_beside(folder, pattern)]:
        hint = f"patterns begin in the folder: write `{beside_it[0].removeprefix(f'{folder.name}/')}`"
    elif meant := _as_elsewhere(names, site.choice.select):
        hint = meant
    elif packed:
        hint = f"{packed}, which is not unpacked here: unpack it yourself"
    elif passed := next((name for name in names if any(map(aside, name.split("/")))), ""):
        hint = f"wildcards pass over `{_printable(passed)}`; a pattern takes it if it spells it out"
    what = " or ".join(f"`{pattern}`" for pattern in site.choice.select)
    return InputError(f"no file fits {what}", where=str(folder), why=f"the folder holds {some}", hint=hint)


def _as_elsewhere(names: Sequence[str], patterns: Sequence[str]) -> str:
    """A hint if a pattern would fit a file by the rules of others: in any capitals, or with alternatives in it."""
    for pattern in patterns:
        folded = pattern.casefold()
        if name := next((name for name in names if matches(name.casefold(), [folded])), ""):
            return f"capitals count: `{pattern}` does not fit `{_printable(name)}`"
        spelled = _alternatives(pattern)
        if any(matches(name, spelled) for name in names):
            return f"a pattern has no alternatives: write {json.dumps(spelled, ensure_ascii=False)}"
    return ""


def _alternatives(pattern: str) -> list[str]:
    """What a pattern with one group, as in ``*.(txt|md)`` or ``*.{txt}``, or with strokes stands for elsewhere."""
    group = _GROUP.search(pattern)
    if group is None:
        return [part.strip() for part in pattern.split("|")]
    return [f"{pattern[: group.start()]}{part.strip()}{pattern[group.end() :]}" for part in re.split(r"[|,]", group[1])]


def _pins(folder: Path, names: list[str], site: Site) -> tuple[Pin, ...]:
    """The files as they are now, none of which may be a pointer to one elsewhere."""
    pointers, looked = dict[str, str](), Looked(folder)

    def read(name: str) -> Pin:
        pin, head = _pin(folder / name, name)
        if kind := pointer(head):
            pointers[name] = kind
        return pin

    def each(do: Callable[[str], _T]) -> Iterator[_T]:
        for name in names:
            site.poll()
            try:
                yield do(name)
            except OSError as error:
                raise InputError(f"`{folder / name}` cannot be read", why=error.strerror or str(error)) from error

    looks = [*each(looked.looks)]
    if looked.are_same(names, looks, site.known):
        return site.known
    seen = dict(zip(names, looks, strict=True))
    pins = Pins(each(lambda name: looked.pin(name, seen[name], partial(read, name))))
    if pointers:
        (name, kind), *others = pointers.items()
        more = f", and so are {len(others)} more" if others else ""
        raise InputError(
            f"`{name}` is a pointer of {kind}{more}",
            where=str(folder),
            why="the text itself is kept elsewhere, and was not fetched with the repository",
            hint=f"`{remedy(kind)}` fetches it; or leave it out with `exclude`",
        )
    looked.keep(names, looks, pins)
    return pins


def _pin(path: Path, name: str) -> tuple[Pin, bytes]:
    """The pin of a file, and how the file begins."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    said = tuple(sorted({word.decode() for word in _DECLARATION.findall(head)}))
    return Pin(name, sha256_file(path), path.stat().st_size, said), head
