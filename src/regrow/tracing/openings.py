"""Opening commitments: showing that texts which may not be shared are part of a release, and checking who shows it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import DifferentError, InputError, RecipeError
from regrow.evidence.commitment import Commitment, Opened, Opening, leaf, path, root_from
from regrow.release import Release
from regrow.release.commitments import commitments, rows
from regrow.release.layout import MANIFEST

if TYPE_CHECKING:
    from regrow.corpus.documents import Document

_SHORTEST = 8
_LARGEST = 1 << 30
_HELD_OUT = "held out to measure the model"


@dataclass(frozen=True)
class Shown:
    """A document that was shown to be in a release.

    Attributes:
        document: its id.
        source: its name in the recipe.
        bytes: of its text, as UTF-8.
        training: whether the model was trained on it; otherwise it was held out to measure the model.
    """

    document: str
    source: str
    bytes: int
    training: bool

    def __str__(self) -> str:
        """In words."""
        used = "trained on" if self.training else _HELD_OUT
        return f"{self.document}  {self.source}  {self.bytes:,} bytes, {used}"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dict(vars(self))


def opening(release: Release, documents: Sequence[str], *, text: bool = True, store: Path | None = None) -> Opening:
    """A proof that some documents are in a release, made by who holds their texts.

    Args:
        release: a release.
        documents: their ids, or as much of the beginning of each as tells it from others.
        text: whether the proof holds the texts; without them only who has them can check it.
        store: the root of the store that has the texts with their salts; by default the user's.

    Raises:
        InputError: if there is no such document, or the store does not have the texts.
        RecipeError: if the documents are of several sources: each has a commitment of its own.
    """
    known = {name: [*rows(release, name)] for name in commitments(release)}
    ids = {row.id: (name, index) for name, found in known.items() for index, row in enumerate(found)}
    wanted = [_one(said, ids) for said in documents]
    sources = {ids[one][0] for one in wanted}
    if len(sources) > 1:
        why = f"each source has a commitment of its own, and these are of {', '.join(sorted(sources))}"
        raise RecipeError(
            "the documents are of several sources", why=why, hint="open those of each source by themselves"
        )
    (source,) = sources
    leaves = [row.leaf for row in known[source]]
    there = {document.id: document for document in _held(release, {*wanted}, store)}
    opened = []
    for one in wanted:
        index, document = ids[one][1], there.get(one)
        if document is None or leaf(document.salt, one, document.text.encode()) != leaves[index]:
            raise InputError(f"the store has another text for {one}", hint="`regrow store verify` reads all of it")
        said = document.text if text else None
        opened.append(Opened(one, document.salt, index, path(leaves, index), said))
    made = commitments(release)[source]
    return Opening(source, made.root, made.documents, tuple(opened))


def _one(said: str, ids: Collection[str]) -> str:
    """The document that is meant by its id or the beginning of it."""
    found = [one for one in ids if one.startswith(said)] if len(said) >= _SHORTEST else []
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{said} is the beginning of {len(found)} ids", hint="give more of it")
    hint = f"`{MANIFEST}` lists them, and `regrow data RELEASE --step N` those that a step saw"
    why = "no document of a text that may not be shared has such an id"
    raise InputError(f"there is no commitment to a document {said}", why=why, hint=hint)


def _held(release: Release, ids: Collection[str], store: Path | None) -> Iterator[Document]:
    """Documents, from where the store has all of the release."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from regrow.corpus.documents import documents_of
    from regrow.corpus.split import PARTS, Split
    from regrow.formats import parts
    from regrow.store import StoreReader, default_root

    lock, root = release.lock, store or default_root()
    names = [name for stage in lock.stages if stage.kind == "commit" for name in stage.inputs.get("split", ())]
    digest = lock.outputs.get(names[0], "") if names else ""
    with StoreReader(root) as reader:
        if not digest or reader.condition(digest, read=False) != "whole":
            raise InputError(
                "the store does not have the texts of this release",
                where=str(root),
                why="only who holds them can open a commitment to them",
                hint="`regrow build` of the recipe beside the texts makes what is needed; --store names another store",
            )
        wanted = pa.array(sorted(ids), pa.string())
        for folder in parts.folders(reader.path(digest)):
            for part in PARTS:
                for batch in Split(folder).batches(part):
                    yield from documents_of(batch.filter(pc.is_in(batch.column("id"), wanted)))


def read(file: Path) -> Opening:
    """The proof that a file holds.

    Raises:
        InputError: if it is none.
    """
    hint = "`regrow commitment open` writes such files"
    try:
        if file.stat().st_size > _LARGEST:
            raise InputError("the file is too large", where=str(file), why=f"up to {_LARGEST:,} bytes are read")
        return Opening.read(file.read_bytes())
    except OSError as error:
        raise InputError("the proof cannot be read", where=str(file), why=(error.strerror or str(error))) from error
    except UnicodeDecodeError:
        raise InputError("this is no proof", where=str(file), why="it is not in UTF-8", hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise InputError("this is no proof", where=str(file), why=str(error), hint=hint) from error


def check(release: Release, shown: Opening, texts: Sequence[str] = ()) -> list[Shown]:
    """The documents that a proof shows to be in a release; it needs nothing but the release.

    Args:
        release: a release.
        shown: the proof.
        texts: those of the documents that the proof does not hold, as they were learnt from or before they were
            cleaned, in any order.

    Raises:
        DifferentError: if the proof does not hold: of whatever is wrong with it, nothing is believed.
        InputError: if a text is needed that nobody gave.
    """
    made = commitments(release).get(shown.source)
    if made is None:
        raise DifferentError(f"the release commits to no texts of `{shown.source}`", where=str(release.path))
    if (shown.root, shown.documents) != (made.root, made.documents):
        raise DifferentError(
            "the proof is not about this release",
            where=str(release.path),
            why=f"it leads to the root {shown.root}, and the release commits to {made.root}",
            hint="a release that is built from other texts, or with another secret, has another root",
        )
    listed = [*rows(release, shown.source)]
    found = []
    for one in shown.opened:
        said = _text(one, made, texts)
        row = listed[one.index] if one.index < len(listed) else None
        if row is None or (row.id, row.leaf) != (one.document, one.leaf(said)):
            what = f"{MANIFEST} has another document in its place"
            raise DifferentError(f"the proof of {one.document} does not hold", where=str(release.path), why=what)
        found.append(Shown(one.document, shown.source, len(said.encode()), row.split == "train"))
    return found


def _text(one: Opened, made: Commitment, texts: Sequence[str]) -> str:
    """What a document says, if that leads to the root."""
    from regrow.corpus.normalise import normalise

    given = [one.text] if one.text is not None else [said for text in texts for said in (text, normalise(text))]
    if not given:
        raise InputError(
            f"the proof does not hold the text of {one.document}", hint="give the text with --text, as a file in UTF-8"
        )
    for said in given:
        if root_from(one.leaf(said), one.index, made.documents, one.path) == made.root:
            return said
    why = "neither its text, nor its id and salt with it, lead to the root of the commitment"
    raise DifferentError(f"the proof of {one.document} does not hold", why=why)
