"""The documents of an optimizer step of a release, found from its lock and its data manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from regrow.recipe.lock import Lock
    from regrow.stages.pretrain import PretrainParameters

_ROW = "data/tokens.parquet"
_MANIFEST = "data/documents.parquet"
_DAMAGED = "`regrow verify` names the files that are damaged or missing"


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


def pieces(release: Path, step: int, *, text: bool = False, store: Path | None = None) -> list[Piece]:
    """What training saw at ``step`` (from 1), sequence by sequence.

    Args:
        release: the folder.
        step: the optimizer step.
        text: read the texts too, from the token shards.
        store: the root of the store that may have them; by default the user's.

    Raises:
        RecipeError: if there is no such step.
        InputError: if the release does not say which tokens are whose, or the store does not have the texts.
    """
    import numpy as np

    from regrow.corpus.order import spans, step_windows, windows
    from regrow.recipe.lock import load
    from regrow.stages.pretrain import training_settings

    lock = load(release)
    name, run = _training(lock)
    settings, context = training_settings(run), run.architecture.context
    if step > settings.steps:
        raise RecipeError(f"there is no step {step}", where=str(release), why=f"training took {settings.steps} steps")
    row = _table(release / _ROW, texts=["id"], numbers=["end"])
    ids, ends = row["id"].to_pylist(), np.array(row["end"], np.int64)
    count = windows(int(ends[-1]) if len(ends) else 0, context)
    if count < 1:
        raise _unsaid(release / _ROW, f"it has fewer tokens than the {context} of one sequence")
    known = _known(release, ids)
    say = _reader(release, lock, name, store) if text else None
    per_step = settings.micro_batch * settings.micro_batches_per_step
    found = []
    for sequence, window in enumerate(step_windows(settings.seed, step, per_step, count).tolist()):
        place = window * context
        for span in spans(window, context, ids, ends):
            length = span.end - span.start
            words = say(place, place + length) if say else None
            found.append(Piece(sequence, span.document, *known(span.document), span.start, span.end, words))
            place += length
    return found


def _training(lock: Lock) -> tuple[str, PretrainParameters]:
    """The last stage that trains, and its parameters."""
    from regrow.stages import KINDS
    from regrow.stages.pretrain import PretrainParameters

    for stage in reversed(lock.graph(KINDS).stages):
        if isinstance(stage.parameters, PretrainParameters):
            return stage.name, stage.parameters
    raise RecipeError("no stage of this release is a training run", hint="`regrow inspect` lists its stages")


def _known(release: Path, ids: list[str]) -> Callable[[str], tuple[str, str, str]]:
    """What the manifest says of a document: source, licence and locator."""
    from regrow.corpus.documents import locator

    table = _table(release / _MANIFEST, texts=["id", "source", "licence", "file"], numbers=["start", "end"])
    rows = {row.pop("id"): row for row in table.to_pylist()}
    if strangers := [one for one in ids if one not in rows]:
        said = f"document {strangers[0]} is not in the manifest"
        raise InputError(said, where=str(release / _MANIFEST), hint=_DAMAGED)

    def find(document: str) -> tuple[str, str, str]:
        row = rows[document]
        return row["source"], row["licence"], locator(row["file"], row["start"], row["end"])

    return find


def _reader(release: Path, lock: Lock, training: str, store: Path | None) -> Callable[[int, int], str]:
    """A function from a range of the row of tokens to its text."""
    from regrow.corpus.tokens import TokenShards
    from regrow.store import Store, default_root

    (stage,) = (stage for stage in lock.stages if stage.name == training)
    digest = lock.outputs.get(stage.inputs["tokens"][0], "")
    with Store(store or default_root()) as opened:
        if not digest or not opened.check(digest):
            raise InputError(
                "the store does not have the tokens of this release",
                where=str(opened.root),
                hint="`regrow build` makes them again; without --text they are not needed",
            )
        tokens = TokenShards.open(opened.path(digest)).read("train")
    tokenizer = _tokenizer(release / "tokenizer.json")
    return lambda start, end: str(tokenizer.decode(tokens[start:end].tolist(), skip_special_tokens=True))


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no class of its own for it
        raise InputError("the tokenizer cannot be read", where=str(path), why=str(error), hint=_DAMAGED) from error


def _table(path: Path, *, texts: list[str], numbers: list[str]) -> Any:
    """Some columns of a Parquet file of the release, none of which has an empty cell."""
    import pyarrow as pa
    import pyarrow.parquet

    fields = {**dict.fromkeys(texts, pa.string()), **dict.fromkeys(numbers, pa.int64())}
    try:
        table = pyarrow.parquet.read_table(path, columns=list(fields)).select(list(fields)).cast(pa.schema(fields))
        table.validate(full=True)  # texts are read as they come, and may be no UTF-8
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise _unsaid(path, str(error).partition("\n")[0]) from error
    if any(column.null_count for column in table.columns):
        raise _unsaid(path, "there are empty cells")
    return table


def _unsaid(path: Path, why: str) -> InputError:
    return InputError(
        "the release does not say which tokens are whose",
        where=str(path),
        why=why,
        hint=_DAMAGED,
    )
