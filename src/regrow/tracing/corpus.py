"""The training data of a release as it lies in the store: its tokens, whose they are, and an index of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from regrow.corpus.alphabet import LETTERS
from regrow.corpus.lookup import Lookup, pieces
from regrow.errors import InputError, RecipeError
from regrow.recipe.values import UNSHAREABLE
from regrow.tracing.steps import DAMAGED, Row, said, training
from regrow.words import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow
    from numpy.typing import NDArray

    from regrow.corpus.suffixes import Index
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.corpus.tokens import TokenShards
    from regrow.engine import Listener
    from regrow.recipe.graph import Graph
    from regrow.release import Release
    from regrow.stages.training import Schedule

_BLANK = LETTERS[ord(" ")]
"""How a blank before a word is written in byte-level tokens."""

TRACE = "trace:"
"""What the store knows an index by that no recipe asks for."""


@dataclass(frozen=True)
class Source:
    """Where a document is from."""

    document: str
    source: str
    licence: str
    locator: str


@dataclass(frozen=True)
class Corpus:
    """Training data, to look things up in.

    Attributes:
        index: where any run of its tokens stands.
        tokenizer: of the model.
        tokens: the row, of which documents are stretches.
        row: which of them are whose.
        manifest: of each document, in the same order, ``id``, ``source``, ``licence``, ``file``, ``start``, ``end``.
        schedule: what training took at each step; None if nothing was trained on these tokens here.
    """

    index: Index
    tokenizer: Tokenizer
    tokens: TokenShards
    row: Row
    manifest: pyarrow.Table
    schedule: Schedule | None

    def document(self, place: int) -> int:
        """The document that has a token of the row."""
        import numpy as np

        return int(np.searchsorted(self.row.ends, place, side="right"))

    def bounds(self, document: int) -> tuple[int, int]:
        """Where a document begins and ends in the row; the token that ends a text is left out."""
        return int(self.row.ends[document - 1]) if document else 0, int(self.row.ends[document]) - 1

    def tokens_of(self, document: int) -> NDArray[Any]:
        """The tokens of a document."""
        begin, end = self.bounds(document)
        return self.tokens.read("train", begin, end)

    def source(self, document: int) -> Source:
        """Where a document is from."""
        from regrow.corpus.documents import locator

        (row,) = self.manifest.slice(document, 1).to_pylist()
        return Source(row["id"], row["source"], row["licence"], locator(row["file"], row["start"], row["end"]))

    def text(self, begin: int, end: int) -> str:
        """What a range of the row says."""
        return self.tokenizer.decode(self.tokens.read("train", begin, end).tolist())

    def steps(self, begin: int, end: int) -> list[int]:
        """The optimizer steps (from 1) that saw any of a range of the row."""
        from regrow.corpus.order import steps_of

        run = self.schedule
        if run is None or (count := self.tokens.windows("train", run.context, pairs=run.pairs)) < 1:
            return []
        seen: Iterable[int] = range(begin // run.context, min(count, (end - 1) // run.context + 1))
        if self.tokens.is_packed("train"):
            seen = self.tokens.packing("train", run.context, pairs=run.pairs).having(begin, end)
        return sorted({step for one in seen for step in steps_of(run.seed, one, run.sequences, count, run.steps)})

    def lookup(self, fold: bool) -> Lookup:
        """What finds strings; with ``fold``, whatever their case and their blanks."""
        return Lookup(self.index, self._pieces, case=fold, blanks=fold)

    def heads(self, token: int) -> tuple[int, ...]:
        """The tokens that say the same word as one does: with a blank before it, and without."""
        name = self._names[token]
        other = self._numbers.get(name.removeprefix(_BLANK) if name.startswith(_BLANK) else _BLANK + name)
        return (token,) if other is None else (token, other)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return self.tokenizer.tokens()

    @cached_property
    def _pieces(self) -> list[bytes]:
        letters = {letter: byte for byte, letter in LETTERS.items()}
        return pieces(self._names, [*self.tokenizer.special.values()], letters)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._names)}


def corpus(release: Release, store: Path | None, listener: Listener) -> Corpus:
    """The training data of a release, indexed; the index is made, and kept in the store, if it is not there.

    Args:
        release: a release.
        store: the root of the store that has its tokens; by default the user's.
        listener: gets the events of making the index.

    Raises:
        InputError: if the release does not say which tokens are whose, or the store does not have them.
    """
    from regrow.corpus.suffixes import Index
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.corpus.tokens import TokenShards
    from regrow.release.layout import TOKENIZER
    from regrow.stages.index import rows

    release.require(TOKENIZER)
    folder, index = _artifacts(release, store, listener)
    tokens = TokenShards.open(folder)
    row = Row.of(release)
    manifest, tokenizer = _manifest(release, row), Tokenizer.open(release.path)
    return Corpus(Index.open(index, rows(tokens)), tokenizer, tokens, row, manifest, _schedule(release))


def _artifacts(release: Release, store: Path | None, listener: Listener) -> tuple[Path, Path]:
    """Where the store has the tokens of the training and their index, which is made if it has to be."""
    from regrow.engine import evaluate
    from regrow.recipe.graph import Graph, Stage
    from regrow.stages import KINDS
    from regrow.stages.index import KIND, IndexParameters
    from regrow.store import StoreReader, default_root, opened

    lock, root = release.lock, store or default_root()
    graph = lock.graph(KINDS)
    name = _last(graph, release)
    with StoreReader(root) as reader:
        digest = lock.outputs.get(name, "")
        if not digest or reader.condition(digest, read=False) != "whole":
            raise InputError(
                "the store does not have the training text of this release",
                where=str(root),
                why="a release says where its texts are from, and does not hold them",
                hint=remedy(release),
            )
    made = next((one for one in graph.stages if one.kind.output == KIND.output), None)
    if made is None:
        made = Stage(KIND.name, KIND, IndexParameters(), {"tokens": (name,)})
        graph = Graph((*graph.stages, made))

    def heard(event: Mapping[str, Any]) -> None:
        if event.get("stage") == made.name:  # what it is made from is there
            listener(event)

    with opened(root) as there:
        found = evaluate(graph, there, scope=f"{TRACE}{digest}", listener=heard, stop=Event(), only=[made.name])
        return found.results[name].path, found.results[made.name].path


def remedy(release: Release) -> str:
    """What to do where the store does not have the texts of a release."""
    if kept := [str(one.get("name")) for one in release.sources if one.get("availability") == UNSHAREABLE]:
        return f"the texts of {listed(kept)} may not be shared: ask who holds them; --store names another store"
    return "`regrow build` gets and makes them again from the release's recipe; --store names another store"


def _last(graph: Graph, release: Release) -> str:
    """The last stage that gives tokens."""
    names = [stage.name for stage in graph.stages if stage.kind.output == "tokens"]
    if not names:
        raise InputError(
            "no text was used for this release",
            where=str(release.path),
            why="none of its stages makes tokens",
            hint="ask the release of the model that it was made from; `regrow lineage` names it",
        )
    return names[-1]


def _manifest(release: Release, row: Row) -> pyarrow.Table:
    """Of the training documents in their order, where they are from."""
    import pyarrow.compute as pc

    from regrow.release.layout import MANIFEST

    ids = row.all_ids(release)
    known = said(release, MANIFEST, lambda: release.manifest(["id", "source", "licence", "file"], ["start", "end"]))
    found = pc.index_in(ids, known["id"])
    if found.null_count:
        missing = ids.filter(pc.is_null(found))[0]
        raise InputError(f"document {missing} is not in the manifest", where=str(release.path / MANIFEST), hint=DAMAGED)
    return known.take(found)


def _schedule(release: Release) -> Schedule | None:
    """What the last training run of a release took at its steps."""
    with suppress(RecipeError, InputError):
        return training(release, release.lock, None)[1]
    return None
