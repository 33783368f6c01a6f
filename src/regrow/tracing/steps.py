"""The documents of an optimizer step of a release, found from its lock and its data manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError, RecipeError
from regrow.release import Release
from regrow.release.files import DamagedError
from regrow.release.layout import MANIFEST, TOKENIZER, TOKENS
from regrow.release.lineage import lineage
from regrow.words import listed, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from regrow.corpus.order import Unit
    from regrow.recipe.lock import Lock
    from regrow.stages.training import Schedule

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
    import numpy as np
    import pyarrow.compute as pc

    from regrow.corpus.order import step_windows

    lock = release.lock
    name, run = training(release, lock, stage)
    context = run.context
    if step > run.steps:
        raise RecipeError(f"there is no step {step}", where=str(release.path), why=f"training took {run.steps} steps")
    row = said(release, TOKENS, lambda: release.token_rows(texts=["id"], numbers=["end"], gaps=["learnt", "rejected"]))
    ids, ends = row["id"].to_pylist(), np.array(row["end"], np.int64)
    starts = np.concatenate(([0], ends[:-1]))
    kept = ends if run.pairs else np.array(pc.coalesce(row["rejected"], row["end"]), np.int64)
    sequences = _sequences(ends, kept, np.array(row["learnt"].is_valid(), np.bool_), context)
    if sequences.count < 1:
        raise _unsaid(release, TOKENS, f"it has fewer tokens than the {context} of one sequence")
    known = _known(release, ids)
    say = _reader(release, lock, name, store) if text else None
    found = []
    for sequence, number in enumerate(step_windows(run.seed, step, run.sequences, sequences.count).tolist()):
        for unit in sequences.units(number):
            words = say(unit.start, unit.end) if say else None
            start, end = (int(place - starts[unit.document]) for place in (unit.start, unit.end))
            found.append(Piece(sequence, ids[unit.document], *known(ids[unit.document]), start, end, words))
    return found


@dataclass(frozen=True)
class _Sequences:
    """The sequences that training takes the row of tokens in: how many, and what is in each."""

    count: int
    units: Callable[[int], Sequence[Unit]]


def _sequences(
    ends: NDArray[np.int64], kept: NDArray[np.int64], conversations: NDArray[np.bool_], context: int
) -> _Sequences:
    """Windows of the row, or, where there are conversations, documents packed whole."""
    from regrow.corpus.order import units, windows
    from regrow.corpus.packing import Packing

    if conversations.any():
        packed = Packing.of(ends, conversations, context, kept).sequences
        return _Sequences(len(packed), packed.__getitem__)
    count = windows(int(ends[-1]) if len(ends) else 0, context)
    return _Sequences(count, lambda number: units(number, context, ends))


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


def _known(release: Release, ids: list[str]) -> Callable[[str], tuple[str, str, str]]:
    """What the manifest says of a document: source, licence and locator."""
    from regrow.corpus.documents import locator

    texts, numbers = ["id", "source", "licence", "file"], ["start", "end"]
    table = said(release, MANIFEST, lambda: release.manifest(texts, numbers))
    rows = {row.pop("id"): row for row in table.to_pylist()}
    if strangers := [one for one in ids if one not in rows]:
        what = f"document {strangers[0]} is not in the manifest"
        raise InputError(what, where=str(release.path / MANIFEST), hint=DAMAGED)

    def find(document: str) -> tuple[str, str, str]:
        row = rows[document]
        return row["source"], row["licence"], locator(row["file"], row["start"], row["end"])

    return find


def _reader(release: Release, lock: Lock, training: str, store: Path | None) -> Callable[[int, int], str]:
    """A function from a range of the row of tokens to its text."""
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.corpus.tokens import TokenShards
    from regrow.store import StoreReader, default_root

    (stage,) = (stage for stage in lock.stages if stage.name == training)
    digest = lock.outputs.get(stage.inputs["tokens"][0], "")
    root = store or default_root()
    with StoreReader(root) as opened:
        if not digest or not opened.check(digest):
            raise InputError(
                "the store does not have the tokens of this release",
                where=str(root),
                hint="`regrow build` makes them again; without --text they are not needed",
            )
        tokens = TokenShards.open(opened.path(digest)).read("train")
    release.require(TOKENIZER)
    tokenizer = Tokenizer.open(release.path)
    return lambda start, end: tokenizer.decode(tokens[start:end].tolist())


def said(release: Release, path: str, read: Callable[[], pyarrow.Table | None]) -> pyarrow.Table:
    """A table that has to be there and whole."""
    try:
        table = read()
    except DamagedError as error:
        raise _unsaid(release, error.path, error.cause) from error
    if table is None:
        raise _unsaid(release, path, "there is no such file")
    return table


def _unsaid(release: Release, path: str, why: str) -> InputError:
    return InputError(
        "the release does not say which tokens are whose",
        where=str(release.path / path),
        why=why,
        hint=DAMAGED,
    )
