"""Where the files of a release's sources are on this machine: looked for by their hashes, whoever has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from regrow import sources
from regrow.engine import Listener
from regrow.errors import InputError, RecipeError
from regrow.recipe.beside import beside
from regrow.recipe.pin import Pin
from regrow.recipe.schema import Source
from regrow.sources.kept import find as kept
from regrow.store import StoreReader, default_root, seals, sha256_file
from regrow.store.copying import copy_hashed


@dataclass(frozen=True)
class Bytes:
    """Finds files.

    Attributes:
        store: has artifacts of the release's stages, perhaps.
        outputs: stage -> digest, as the lock of the release has them.
        folders: in which the ``file:`` sources may lie.
        offline: never use the network.
        listener: is told of what is fetched.
        scratch: an empty folder.
    """

    store: StoreReader
    outputs: Mapping[str, str]
    folders: tuple[Path, ...]
    offline: bool
    listener: Listener
    scratch: Path

    @staticmethod
    @contextmanager
    def open(
        outputs: Mapping[str, str], folders: Sequence[Path], store: Path | None, offline: bool, listener: Listener
    ) -> Iterator[Bytes]:
        """Look in a store and in some folders, as long as the block lasts."""
        with StoreReader(store or default_root()) as opened, TemporaryDirectory(prefix="regrow-") as scratch:
            yield Bytes(opened, outputs, tuple(folders), offline, listener, Path(scratch))

    def copy(self, source: Source, pins: Sequence[Pin], targets: Mapping[Pin, Path]) -> str:
        """Copy the files of a source, all or none of them.

        Args:
            source: it.
            pins: its files.
            targets: file -> where it goes.

        Returns:
            why it could not be done; empty if it was.
        """
        made: list[Path] = []
        try:
            for pin, path in self._found(source, pins):
                target = targets[pin]
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists():  # the same bytes in two files of a source, or in two sources
                    if sha256_file(target) != pin.sha256:
                        raise RecipeError(f"another source has other bytes in the place of `{pin.file}`")
                    continue
                made.append(target)
                if path is None or copy_hashed(path, target) != pin.sha256:
                    for one in made:
                        one.unlink(missing_ok=True)
                    return self._lacking(source)
        except (InputError, RecipeError) as error:
            for one in made:
                one.unlink(missing_ok=True)
            return f"it could not be had: {error.what}"
        return ""

    def _lacking(self, source: Source) -> str:
        where = "neither the store nor a folder here has its files"
        return (
            f"{where}, and they {'have no public address' if sources.is_local(source.fetch) else 'were not downloaded'}"
        )

    def _found(self, source: Source, pins: Sequence[Pin]) -> Iterator[tuple[Pin, Path | None]]:
        known = dict(self._in_store(source.stage))
        for pin in pins:
            yield pin, known.get(pin.sha256) or self._beside(source, pin) or self._fetched(source, pin)

    def _in_store(self, stage: str) -> Iterator[tuple[str, Path]]:
        """sha256 -> file, of what the stage gave that brought the source in."""
        digest = self.outputs.get(stage, "")
        if digest and self.store.condition(digest, read=False) == "whole":
            artifact = self.store.path(digest)
            for path, sha256 in seals.listed(artifact, digest).items():
                yield sha256, artifact / path

    def _beside(self, source: Source, pin: Pin) -> Path | None:
        locator = source.fetch.partition(":")[2]
        for folder in self.folders:
            if (path := kept(folder, pin)) is not None:
                return path
            if sources.is_local(source.fetch):
                with suppress(RecipeError):  # a link that leads elsewhere is not followed
                    for name in (f"{locator}/{pin.file}", locator):
                        path = beside(folder, name)
                        if path is not None and path.is_file() and path.stat().st_size == pin.size:
                            return path
        return None

    def _fetched(self, source: Source, pin: Pin) -> Path | None:
        """The file, downloaded before or now."""
        if sources.is_local(source.fetch):
            return None
        into = self.scratch / pin.sha256

        def emit(event: str, **fields: object) -> None:
            self.listener({"event": event, "stage": source.stage, **fields})

        if not into.exists():
            into.mkdir()
            sources.retrieve(source.fetch, [pin], self.scratch, into, emit=emit, offline=self.offline)
        return into / pin.file
