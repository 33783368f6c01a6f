"""The documents of an optimizer step of a release, found from its lock and its data manifest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from regrow.errors import InputError, RecipeError
from regrow.release import Release
from regrow.release.files import DamagedError
from regrow.release.layout import MANIFEST, TOKENIZER, TOKENS
from regrow.release.lineage import lineage
from regrow.words import listed, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from regrow.corpus.order import Unit
    from regrow.recipe.lock import Lock
    from regrow.stages.training import Schedule

T = TypeVar("T")

DAMAGED = "`regrow verify` names the files that are damaged or missing"


@dataclass(frozen=True)
class Piece:
    """Tokens ``[start, end)`` of a document, as part of a sequence (from 0) of the step."""

    sequence: int
    document: str
    source: str
    licence: str
    locator: str
    start: int
    end: int
    text: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data, without a text that nobody asked for."""
        fields = {name: value for name, value in vars(self).items() if name not in ("start", "end")}
        told = {name: value for name, value in fields.items() if value is not None}
        return {**told, "tokens": [self.start, self.end]}


def pieces(
    release: Release, step: int, *, stage: str | None = None, text: bool = False, store: Path | None = None
) -> list[Piece]:
    """What training saw at ``step`` (from 1), sequence by sequence.

    Args:
        release: a release.
        step: the optimizer step.
        stage: of which training run; by default of the last.
        text: read the texts too, from the token shards.
        store: the root of the store that may have them; by default the user's.

    Raises:
        RecipeError: if there is no such run or step.
        InputError: if the release does not say which tokens are whose, or the store does not have the texts.
    """
    from regrow.corpus.order import step_windows

    lock = release.lock
    name, run = training(release, lock, stage)
    context = run.context
    if step > run.steps:
        raise RecipeError(f"there is no step {step}", where=str(release.path), why=f"training took {run.steps} steps")
    row = Row.of(release)
    sequences = Sequences.of(row, run)
    if sequences.count < 1:
        raise _unsaid(release, TOKENS, f"it has fewer tokens than the {context} of one sequence")
    numbers = step_windows(run.seed, step, run.sequences, sequences.count).tolist()
    seen = [(sequence, unit) for sequence, number in enumerate(numbers) for unit in sequences.units(number)]
    ids = row.ids(release, {unit.document for _, unit in seen})
    known = _known(release, ids.values())
    say = _reader(release, lock, name, store) if text else None
    found = []
    for sequence, unit in seen:
        words = say(unit.start, unit.end) if say else None
        document, begin = ids[unit.document], int(row.ends[unit.document - 1]) if unit.document else 0
        found.append(Piece(sequence, document, *known[document], unit.start - begin, unit.end - begin, words))
    return found


@dataclass(frozen=True, eq=False)
class Row:
    """Which tokens of the training row are whose, over all parts of it.

    Attributes:
        lists: that say so.
        documents: how many there are in each of them.
        ends: where the tokens of each document end.
        kept: where those end that a model learns to say.
        conversations: which documents are some.
    """

    lists: tuple[str, ...]
    documents: tuple[int, ...]
    ends: NDArray[np.int64]
    kept: NDArray[np.int64]
    conversations: NDArray[np.bool_]

    @staticmethod
    def of(release: Release) -> Row:
        """That of a release."""
        import numpy as np
        import pyarrow.compute as pc

        found: list[tuple[NDArray[Any], ...]] = []
        begin = 0
        lists = said(release, TOKENS, lambda: release.parts(TOKENS)) or (TOKENS,)
        for path in lists:
            read = partial(release.token_rows, [], ["end"], ["learnt", "rejected"], path)
            rows = said(release, path, read)
            ends = np.array(rows["end"], np.int64) + begin
            kept = np.array(pc.coalesce(rows["rejected"], rows["end"]), np.int64) + begin
            found.append((ends, kept, np.array(rows["learnt"].is_valid(), np.bool_)))
            begin = int(ends[-1]) if len(ends) else begin
        counts = tuple(len(ends) for ends, _, _ in found)
        return Row(lists, counts, *map(np.concatenate, zip(*found, strict=True)))

    @property
    def tokens(self) -> int:
        """How many there are."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def all_ids(self, release: Release) -> pyarrow.ChunkedArray:
        """All documents, in the order of their tokens."""
        import pyarrow as pa

        columns = [said(release, path, partial(release.token_rows, ["id"], [], (), path))["id"] for path in self.lists]
        return pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())

    def ids(self, release: Release, documents: Collection[int]) -> dict[int, str]:
        """Documents by their places."""
        found: dict[int, str] = {}
        begin = 0
        for path, count in zip(self.lists, self.documents, strict=True):
            if here := sorted(one for one in documents if begin <= one < begin + count):
                rows = said(release, path, partial(release.token_rows, ["id"], [], (), path))
                found |= zip(here, rows["id"].take([one - begin for one in here]).to_pylist(), strict=True)
            begin += count
        return found


@dataclass(frozen=True)
class Sequences:
    """The sequences that training takes the row of tokens in.

    Attributes:
        count: how many.
        units: what is in each.
        having: which of them have any token of a range of the row.
    """

    count: int
    units: Callable[[int], Sequence[Unit]]
    having: Callable[[int, int], Iterable[int]]

    @staticmethod
    def of(row: Row, run: Schedule) -> Sequences:
        """Windows of the row, or, where there are conversations, documents packed whole."""
        from regrow.corpus.order import units, windows
        from regrow.corpus.packing import Packing

        context = run.context
        if row.conversations.any():
            packed = Packing.of(row.ends, row.conversations, context, row.ends if run.pairs else row.kept)
            return Sequences(len(packed), packed.units, packed.having)
        count = windows(row.tokens, context)
        return Sequences(
            count,
            lambda number: units(number, context, row.ends),
            # The first token of a window is also the last that the one before predicts.
            lambda begin, end: range(max(0, begin - 1) // context, min(count, (end - 1) // context + 1)),
        )


def training(release: Release, lock: Lock, wanted: str | None) -> tuple[str, Schedule]:
    """The stage that trains, by default the last one, and what its steps take."""
    from regrow.stages import KINDS
    from regrow.stages.training import Scheduled

    stages = lock.graph(KINDS).stages
    runs = {stage.name: stage.parameters.schedule for stage in stages if isinstance(stage.parameters, Scheduled)}
    if wanted is not None and wanted not in runs:
        what = f"`{wanted}` is no training run of this release"
        raise RecipeError(what, where=str(release.path), hint=suggestion(wanted, runs, "its runs are"))
    if not runs:
        raise RecipeError("no stage of this release is a training run", hint=_elsewhere(release))
    name = wanted or [*runs][-1]
    (seen,) = (stage.inputs.get("tokens", ()) for stage in stages if stage.name == name)
    if seen != tuple(stage.name for stage in stages if stage.kind.output == "tokens")[-1:]:
        why = f"it saw those of {listed(seen)}, and a release lists those of the last stage that gives any"
        raise InputError(f"the release does not say which tokens `{name}` saw", where=str(release.path), why=why)
    return name, runs[name]


def _elsewhere(release: Release) -> str:
    """Where a training run may be that is not one of this release: in that of a parent."""
    trained = [one for one in lineage(release).all() if one.fetch and len(one.steps) > 0]
    if not trained:
        return "`regrow inspect` lists its stages"
    return f"it was made from {listed(f'{one.name} ({one.digest[:12]})' for one in trained)}: ask the release of that"


def _known(release: Release, ids: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """What the manifest says of documents: source, licence and locator."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from regrow.corpus.documents import locator

    wanted = pa.array({*ids}, pa.string())
    texts, numbers = ["id", "source", "licence", "file"], ["start", "end"]

    def found() -> list[dict[str, Any]]:
        groups = release.groups(MANIFEST, texts, numbers)
        return [row for table in groups for row in table.filter(pc.is_in(table["id"], wanted)).to_pylist()]

    if not said(release, MANIFEST, lambda: release.parts(MANIFEST)):
        raise _unsaid(release, MANIFEST, "there is no such file")
    rows = {row["id"]: row for row in said(release, MANIFEST, found)}
    if strangers := [one for one in wanted.to_pylist() if one not in rows]:
        what = f"document {min(strangers)} is not in the manifest"
        raise InputError(what, where=str(release.path / MANIFEST), hint=DAMAGED)
    return {
        document: (row["source"], row["licence"], locator(row["file"], row["start"], row["end"]))
        for document, row in rows.items()
    }


def _reader(release: Release, lock: Lock, training: str, store: Path | None) -> Callable[[int, int], str]:
    """A function from a range of the row of tokens to its text."""
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.corpus.tokens import TokenShards
    from regrow.store import StoreReader, default_root

    (stage,) = (stage for stage in lock.stages if stage.name == training)
    digest = lock.outputs.get(stage.inputs["tokens"][0], "")
    root = store or default_root()
    with StoreReader(root) as opened:
        if not digest or opened.condition(digest, read=False) != "whole":
            raise InputError(
                "the store does not have the tokens of this release",
                where=str(root),
                hint="`regrow build` makes them again; without --text they are not needed",
            )
        tokens = TokenShards.open(opened.path(digest))
    release.require(TOKENIZER)
    tokenizer = Tokenizer.open(release.path)
    return lambda start, end: tokenizer.decode(tokens.read("train", start, end).tolist())


def said(release: Release, path: str, read: Callable[[], T | None]) -> T:
    """What has to be there and whole."""
    try:
        found = read()
    except DamagedError as error:
        raise _unsaid(release, error.path, error.cause) from error
    if found is None:
        raise _unsaid(release, path, "there is no such file")
    return found


def _unsaid(release: Release, path: str, why: str) -> InputError:
    return InputError(
        "the release does not say which tokens are whose",
        where=str(release.path / path),
        why=why,
        hint=DAMAGED,
    )
