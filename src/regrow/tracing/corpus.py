"""The training data of a release: its tokens, whose they are, and an index of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from regrow.corpus.alphabet import LETTERS
from regrow.corpus.lookup import Lookup, pieces
from regrow.errors import InputError, RecipeError
from regrow.recipe.values import UNSHAREABLE
from regrow.tracing.steps import DAMAGED, Row, Sequences, said, training
from regrow.words import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from regrow.corpus.suffixes import Index
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.engine import Listener
    from regrow.exporting.infini_gram import Text
    from regrow.recipe.graph import Stage
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
class Sources:
    """Where the documents of the training are from.

    Attributes:
        manifest: of each document ``id``, ``source``, ``licence``, ``file``, ``start``, ``end``.
        rows: for each document of the training, in the order of its tokens, the row of the manifest: int64.
    """

    manifest: pyarrow.Table
    rows: NDArray[np.int64]

    @staticmethod
    def of(release: Release, row: Row) -> Sources:
        """Those of a release.

        Raises:
            InputError: if the manifest is damaged, or does not know a document.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from regrow.release.layout import MANIFEST

        numbers, texts = ["start", "end"], ["id", "source", "licence", "file"]

        def read() -> list[pyarrow.Table]:
            groups = release.groups(MANIFEST, texts, numbers)
            return [_short(table, ("source", "licence")) for table in groups]

        if not (tables := said(release, MANIFEST, read)):
            what = "the release has no list of its documents"
            raise InputError(what, where=str(release.path / MANIFEST), hint=DAMAGED)
        manifest = pa.concat_tables(tables).unify_dictionaries()
        ids = row.all_ids(release)
        rows = pc.index_in(ids, manifest["id"])
        if rows.null_count:
            missing = ids.filter(pc.is_null(rows))[0]
            raise InputError(
                f"document {missing} is not in the manifest", where=str(release.path / MANIFEST), hint=DAMAGED
            )
        return Sources(manifest, np.array(rows, np.int64))

    def __getitem__(self, document: int) -> Source:
        """Where a document of the training is from."""
        from regrow.corpus.documents import locator

        row = self.row(document)
        return Source(row["id"], row["source"], row["licence"], locator(row["file"], row["start"], row["end"]))

    def row(self, document: int) -> dict[str, Any]:
        """What the manifest says of a document of the training."""
        found: list[dict[str, Any]] = self.manifest.slice(int(self.rows[document]), 1).to_pylist()
        return found[0]


def _short(table: pyarrow.Table, columns: tuple[str, ...]) -> pyarrow.Table:
    """A table in which some columns have each of their values once."""
    for name in columns:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].dictionary_encode())
    return table


@dataclass(frozen=True)
class Corpus:
    """Training data, to look things up in.

    Attributes:
        index: where any run of its tokens stands.
        tokenizer: of the model.
        row: whose the tokens are.
        sources: where the documents are from.
        schedule: what training took at each step; None if nobody here can say.
        untold: why nobody can.
    """

    index: Index
    tokenizer: Tokenizer
    row: Row
    sources: Sources
    schedule: Schedule | None
    untold: str = ""

    def document(self, place: int) -> int:
        """The document that has a token of the row."""
        import numpy as np

        return int(np.searchsorted(self.row.ends, place, side="right"))

    def bounds(self, document: int) -> tuple[int, int]:
        """Where a document begins and ends in the row; the token that ends a text is left out."""
        end = int(self.row.ends[document]) - (not self.row.conversations[document])
        return int(self.row.ends[document - 1]) if document else 0, end

    def text(self, begin: int, end: int) -> str:
        """What a range of the row, in one document, says."""
        return self.tokenizer.decode(self.index.read(begin, end).tolist())

    def steps(self, ranges: Sequence[tuple[int, int]]) -> list[list[int]] | None:
        """Of each of some ranges of the row the optimizer steps (from 1) that saw any of it; None if nobody can say."""
        from regrow.corpus.order import steps_of

        run, taken = self.schedule, self._sequences
        if run is None or taken is None:
            return None
        having = [list(taken.having(*one)) for one in ranges]
        asked = sorted({one for some in having for one in some})
        seen = dict(zip(asked, steps_of(run.seed, asked, run.sequences, taken.count, run.steps), strict=True))
        return [sorted({step for one in some for step in seen[one]}) for some in having]

    def lookup(self, fold: bool) -> Lookup:
        """What finds strings; with ``fold``, whatever their case and their blanks."""
        return self._folded if fold else self._exact

    def heads(self, token: int) -> tuple[int, ...]:
        """The tokens that say the same word as one does: with a blank before it, and without."""
        name = self._names[token]
        other = self._numbers.get(name.removeprefix(_BLANK) if name.startswith(_BLANK) else _BLANK + name)
        return (token,) if other is None else (token, other)

    def shards(self) -> Iterator[Iterator[Text]]:
        """The documents, shard after shard, as they are exported."""
        import numpy as np

        for shard in self.index.shards:
            first, last = np.searchsorted(self.row.ends, (shard.begin, shard.end), side="right").tolist()
            yield map(self._text, range(first, last))

    def beginnings(self) -> list[int]:
        """The tokens that begin a word."""
        return [number for number, name in enumerate(self._names) if name.startswith(_BLANK)]

    def _text(self, document: int) -> Text:
        from regrow.exporting.infini_gram import Text

        row = self.sources.row(document)
        return Text(self.index.read(*self.bounds(document)), row.pop("file"), document, row)

    @cached_property
    def surprise(self) -> NDArray[np.float64]:
        """Minus the logarithm of each token's share; of one that never stands there, as if it stood once."""
        import numpy as np

        unigrams = self.index.unigrams
        return np.asarray(-np.log(np.maximum(unigrams, 1) / max(1, int(unigrams.sum()))))

    @cached_property
    def _sequences(self) -> Sequences | None:
        return Sequences.of(self.row, self.schedule) if self.schedule else None

    @cached_property
    def _exact(self) -> Lookup:
        return Lookup(self.index, self._pieces)

    @cached_property
    def _folded(self) -> Lookup:
        return Lookup(self.index, self._pieces, case=True, blanks=True)

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


def corpus(release: Release, store: Path | None, listener: Listener, stop: Event | None = None) -> Corpus:
    """The training data of a release, indexed, for any number of texts and threads.

    The store has the tokens, where the release was built, or gets them from the index in the release, if it has one. An
    index that is not there is made, and kept in the store.

    Args:
        release: a release, of this version of regrow or another.
        store: the root of the store; by default the user's.
        listener: gets the events of making the index.
        stop: ends that when it is set.

    Raises:
        InputError: if the release does not say which tokens are whose, or nothing here has them.
    """
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.release.layout import TOKENIZER

    release.require(TOKENIZER)
    tokenizer, row = Tokenizer.open(release.path), Row.of(release)
    index = _index(release, store, listener, stop or Event())
    if index.tokens != row.tokens:
        why = f"it has {index.tokens:,} tokens, and those that the release lists are {row.tokens:,}"
        raise InputError(
            "the index is of another text than the release", where=str(release.path), why=why, hint=DAMAGED
        )
    if index.shards and index.vocabulary != tokenizer.vocabulary:
        why = f"it tells {index.vocabulary:,} tokens apart, and the tokenizer of the release {tokenizer.vocabulary:,}"
        hint = "ask the release in which the text was tokenized; `regrow lineage` names what this one was made from"
        raise InputError("the index is of another tokenizer", where=str(release.path / TOKENIZER), why=why, hint=hint)
    return Corpus(index, tokenizer, row, Sources.of(release, row), *_schedule(release))


def _index(release: Release, store: Path | None, listener: Listener, stop: Event) -> Index:
    """The index of the text of a release, which is made if it has to be."""
    from regrow.corpus.suffixes import Index, restored_rows
    from regrow.corpus.tokens import TokenShards
    from regrow.recipe.graph import Stage
    from regrow.stages import index as stage
    from regrow.store import StoreReader, default_root
    from regrow.tracing import restored

    name, digest = tokens_stage(release)
    root = store or default_root()
    with StoreReader(root) as reader:
        condition = reader.condition(digest, read=False) if digest else "missing"
    if condition == "whole":
        made = Stage(stage.KIND.name, stage.KIND, stage.IndexParameters(), {"tokens": (name,)})
        index, tokens = _evaluated(made, digest, None, root, listener, stop)
        return Index.open(index, stage.rows(TokenShards.open(tokens)))
    if released := restored.released(release, name):
        made = restored.stage(release, released)
        index, _ = _evaluated(made, released.digest, released.folder, root, listener, stop)
        return Index.open(index, restored_rows(index))
    has = "has a damaged copy of" if condition == "damaged" else "does not have"
    raise InputError(
        f"the store {has} the training text of this release",
        where=str(root),
        why="a release says where its texts are from, and does not hold them unless its recipe asks for an `[index]`",
        hint=remedy(release),
    )


def remedy(release: Release) -> str:
    """What to do where the store does not have the texts of a release."""
    if kept := [str(one.get("name")) for one in release.sources if one.get("availability") == UNSHAREABLE]:
        return f"the texts of {listed(kept)} may not be shared: ask who holds them; --store names another store"
    return "`regrow build` gets and makes them again from the release's recipe; --store names another store"


def tokens_stage(release: Release) -> tuple[str, str]:
    """The last stage of a release that gives tokens, and the digest of what it gave; empty if the lock does not say.

    Whatever version its kind is of: what it gave is asked for by its digest.

    Raises:
        InputError: if there is none.
    """
    from regrow.stages import KINDS

    lock = release.lock
    names = [one.name for one in lock.stages if (kind := KINDS.get(one.kind)) and kind.output == "tokens"]
    if not names:
        raise InputError(
            "no text was used for this release",
            where=str(release.path),
            why="none of its stages makes tokens",
            hint="ask the release of the model that it was made from; `regrow lineage` names it",
        )
    return names[-1], lock.outputs.get(names[-1], "")


def _evaluated(
    stage: Stage, digest: str, folder: Path | None, root: Path, listener: Listener, stop: Event
) -> tuple[Path, Path]:
    """What a stage gives, from the store if it is there; and where its one input lies.

    Args:
        stage: the stage.
        digest: of its input.
        folder: where that lies; by default in the store.
        root: of the store.
        listener: gets the events.
        stop: ends it when it is set.
    """
    from regrow.engine import evaluate
    from regrow.engine.evaluation import StageResult
    from regrow.recipe.graph import Graph
    from regrow.store import opened

    ((name,),) = stage.inputs.values()
    with opened(root) as there:
        given = StageResult(name, "", {}, digest, folder or there.path(digest), cached=True, seconds=0.0)
        found = evaluate(
            Graph((stage,)), there, scope=f"{TRACE}{digest}", listener=listener, stop=stop, given={name: given}
        )
        return found.results[stage.name].path, given.path


def _schedule(release: Release) -> tuple[Schedule | None, str]:
    """What the last training run of a release took at its steps; if nobody here can say, why."""
    try:
        return training(release, release.lock, None)[1], ""
    except (RecipeError, InputError) as error:
        return None, f"{error.what}, because {error.why}" if error.why else error.what
