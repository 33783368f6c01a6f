"""TOML: the text of a file, its data, where each key stands, and where it is wrong; and how a text is written in it."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from regrow.errors import RecipeError
from regrow.recipe.beside import beside
from regrow.recipe.lines import lines
from regrow.recipe.problems import Origin

MOST_BYTES = 64 << 20
"""Of a file; a lock has 200 for each file that it pins."""

_PART = r"""(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_DOTTED = re.compile(rf"(?:{_PART}\.[ \t]*+){{3,}}+")
_PARTS = 100  # of a key; Python's parser takes the square of them
_LONGEST = 120  # characters of a line that an error repeats


def quoted(value: str) -> str:
    """A text as TOML has it."""
    import tomli_w

    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


def read(file: Path, missing: str, most: int = MOST_BYTES) -> str:
    """The text of a recipe or a lock, which must lie where it seems to: see :func:`regrow.recipe.beside.beside`.

    Raises:
        RecipeError: if it cannot be had; ``missing`` is the hint if there is no such file.
    """
    beside(file.parent, file.name)
    return _text(file, missing, most)


def _text(file: Path, missing: str, most: int = MOST_BYTES) -> str:
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise RecipeError("is no file", where=str(file), why="it is a folder, a pipe or a device")
            data = opened.read(most + 1)
    except FileNotFoundError:
        raise RecipeError("there is no such file", where=str(file), hint=missing) from None
    except OSError as error:
        raise RecipeError("cannot be read", where=str(file), why=(error.strerror or str(error)).lower()) from None
    if len(data) > most:
        raise RecipeError("is too large", where=str(file), why=f"up to {most:,} bytes are read")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")  # the mark with which some editors begin a file
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError("is not UTF-8", where=f"{file}:{line}", hint="save it as UTF-8") from None


def opened(file: Path, missing: str, hint: str) -> Origin:
    """The data in a TOML file, with the line of every key.

    Raises:
        RecipeError: if it cannot be had, with the hint ``missing`` if there is none, and as :func:`toml`.
    """
    return parsed(_text(file, missing), str(file), hint)


def parsed(text: str, file: str, hint: str) -> Origin:
    """The data in a TOML text, with the line of every key.

    Raises:
        RecipeError: as :func:`toml`.
    """
    data = toml(text, file, hint)
    return Origin(file, data, lines(text.replace("\r\n", "\n")))


def toml(text: str, file: str, hint: str) -> dict[str, Any]:
    """The data in a TOML text.

    Raises:
        RecipeError: if it is not TOML, with line and column where the parser tells.
    """
    if long := next((key for key in _DOTTED.finditer(text) if len(re.findall(_PART, key[0])) > _PARTS), None):
        where = f"{file}:{text.count(chr(10), 0, long.start()) + 1}"
        raise RecipeError("not TOML: a key has too many parts", where=where, hint=hint)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        if re.search("overwrite|twice|more than once|mutate|redefine", what):
            hint = "a key, and a table in single brackets, may stand only once"
        if found := re.match(r"line (\d+), column (\d+)", place):
            line = _cut(text.splitlines()[int(found[1]) - 1].strip())
            where, why = f"{file}:{found[1]}:{found[2]}", f"the line is `{line}`"
        else:
            where, why = f"{file}:{text.count(chr(10)) + 1}", "the file ends there"
        raise RecipeError(f"not TOML: {what[:1].lower()}{what[1:]}", where=where, why=why, hint=hint) from None
    except (RecursionError, ValueError) as error:
        what = "brackets are nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
        raise RecipeError(f"not TOML: {what}", where=file, hint=hint) from None


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
