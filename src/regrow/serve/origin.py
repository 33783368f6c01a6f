"""Which model it is that is asked: a release, or files that say no more than what they hold. ::

origin = Origin.of(Path("model.gguf"))
origin.name, origin.digest, origin.release
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from regrow.errors import InputError
from regrow.model.foreign import find
from regrow.nearby import meant
from regrow.release import Release
from regrow.release.layout import (
    CONFIG,
    GENERATION,
    RECIPE,
    SPECIAL_TOKENS,
    SUMS,
    TEMPLATE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    WEIGHTS_INDEX,
)

READ = (
    CONFIG,
    GENERATION,
    SPECIAL_TOKENS,
    TEMPLATE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    WEIGHTS_INDEX,
)  # fmt: skip
"""The files of a folder on which an answer depends, beside those of weights that an index lists."""
_GGUF = ".gguf"
_MAGIC = b"GGUF"


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    Attributes:
        place: its folder, or the GGUF file that it is.
        release: None if it is no release, and nothing is known of what it was made from.
    """

    place: Path
    release: Release | None = None

    @staticmethod
    def of(place: Path) -> Origin:
        """The model in a folder, or in a GGUF file.

        Raises:
            InputError: if there is none, or something in its folder is neither a file nor a folder.
        """
        if is_bare(place):
            file = model_file(place)
            if file is None:
                Release.at(place).require_plain()
            return Origin(file or place)
        if place.suffix == _GGUF and not place.exists():
            near = meant(place, Path.is_file)
            hint = f"did you mean `{near}`?" if near else "look at the spelling"
            raise InputError("there is no such file", where=str(place), hint=hint)
        release = Release.open(place)
        release.require_plain()
        return Origin(place, release)

    @property
    def name(self) -> str:
        """What people call it."""
        return (self.release and self.release.name) or (self.place.stem if self._is_file else self.place.resolve().name)

    @cached_property
    def digest(self) -> str:
        """That of the release. Of a model that is none, the sha256 of its file, or of what ``sha256sum`` prints for the
        files of its folder that are read.
        """
        if self.release:
            return self.release.digest
        return _sha256(self.place) if self._is_file else digest(self.place, read_in(self.place))

    @cached_property
    def made(self) -> int:
        """When it was put together, as far as the files tell, in seconds since 1970."""
        first = self.place / (SUMS if self.release else CONFIG)
        return int((self.place if self._is_file else first).stat().st_mtime)

    @property
    def named(self) -> tuple[str, str]:
        """What the digest is of, and the digest, as answers have them."""
        return "release" if self.release else "files", f"sha256:{self.digest}"

    @property
    def _is_file(self) -> bool:
        return self.place.is_file()


def is_bare(place: Path) -> bool:
    """Whether there is a model that is no release: one without a list of checksums."""
    if place.is_file():
        return place.suffix == _GGUF or _begins_as_gguf(place)
    if not place.is_dir() or os.path.lexists(place / SUMS) or (place / RECIPE).exists():
        return False
    return (place / CONFIG).is_file() or any(place.glob(f"*{_GGUF}"))


def model_file(place: Path) -> Path | None:
    """The GGUF file that is the model: this one, or that in a folder without other weights; None if it is none.

    Raises:
        InputError: if there are several.
    """
    if place.is_file():
        return place
    if not place.is_dir() or (place / CONFIG).exists() or not any(place.glob(f"*{_GGUF}")):
        return None
    return find(place).gguf


def read_in(folder: Path) -> Iterator[str]:
    """The names of all files in a folder that are read, whether they are there or not."""
    yield from sorted({*READ, *Release.at(folder).weights})


def digest(folder: Path, names: Iterable[str]) -> str:
    """Of some files in a folder: the sha256 of what ``sha256sum`` prints for those of them that are there."""
    there = sorted(name for name in names if (folder / name).is_file())
    printed = "".join(f"{_sha256(folder / name)}  {name}\n" for name in there)
    return hashlib.sha256(printed.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _begins_as_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC
