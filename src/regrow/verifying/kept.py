"""What an author keeps for those who check parts: complete states of runs, and what the stages of the corpus gave.

It lies in the release, or elsewhere, a folder for each stage. None of it is believed: a state is compared with the
chain before anything begins with it, and what a stage gave with the digest that the lock has. What is not there is made
again, so that a place which is gone costs time, and no certainty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from regrow.errors import InputError
from regrow.release.files import MOST_BYTES
from regrow.release.layout import SUMS
from regrow.release.sums import parse
from regrow.sources import Site
from regrow.store.copying import copy_hashed
from regrow.train.checkpoints import state_file
from regrow.verifying.fetched import place_of

_FILE = "file://"


class _Place(Protocol):
    def get(self, path: str) -> Path:
        """A file, wherever it then is.

        Raises:
            InputError: if it cannot be had.
        """


@dataclass(frozen=True)
class _Folder:
    folder: Path

    def get(self, path: str) -> Path:
        found = self.folder / path
        if not found.is_file() or found.is_symlink():
            raise InputError("there is no such file", where=str(found))
        return found


@dataclass(frozen=True)
class Kept:
    """Places where what an author keeps may be, in the order in which they are asked.

    Attributes:
        places: the places.
        room: a folder for what comes from elsewhere.
    """

    places: tuple[_Place, ...]
    room: Path

    @staticmethod
    def at(places: Iterator[str | Path], room: Path, site: Site) -> Kept:
        """Those of folders and addresses.

        Raises:
            RecipeError: if one is no address.
        """
        return Kept(tuple(_place(str(place), site) for place in places), room)

    def state(self, stage: str, step: int) -> Path | None:
        """The complete state of a run after a step, or what is given for it; None if there is none."""
        return next(self._files(f"{stage}/{state_file(step)}"), None)

    def artifact(self, stage: str, digest: str) -> Path | None:
        """A folder with what a stage gave, every file of which is as its digest says; None if it is not there so.

        A list of checksums lies beside the files, and the digest is that of the list.
        """
        folder = self.room / "kept" / stage
        if (listed := self._listed(f"{stage}/{SUMS}", digest)) is None:
            return None
        with suppress(OSError):  # a list by a stranger may name what no file here can be called
            if all(self._copied(f"{stage}/{path}", folder / path, sha256) for path, sha256 in listed.items()):
                return folder
        return None

    def _listed(self, path: str, digest: str) -> Mapping[str, str] | None:
        for found in self._files(path):
            if found.stat().st_size <= MOST_BYTES and (sums := parse(found.read_bytes())).digest == digest:
                return sums.listed if sums.canonical else None
        return None

    def _copied(self, path: str, target: Path, sha256: str) -> bool:
        """Whether a file with some bytes is anywhere, of which there is a copy then."""
        target.parent.mkdir(parents=True, exist_ok=True)
        for found in self._files(path):
            if copy_hashed(found, target) == sha256:
                return True
            target.unlink()
        return False

    def _files(self, path: str) -> Iterator[Path]:
        """What is given for a file, place by place."""
        for place in self.places:
            with suppress(InputError):
                yield place.get(path)


def _place(said: str, site: Site) -> _Place:
    if said.startswith(_FILE):
        return _Folder(Path(said.removeprefix(_FILE)))
    return _Folder(Path(said)) if "://" not in said and not said.startswith("hf:") else place_of(said, site)
