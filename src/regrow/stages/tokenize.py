"""Turn the documents into rows of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.by_words import Words
from regrow.corpus.conversations import in_common, read
from regrow.corpus.documents import Document
from regrow.corpus.encoded import ROW, Encoded, write
from regrow.corpus.split import PARTS, Split
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import RegrowError, StageError
from regrow.formats import parts
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Phase, Released, Slot, Task
from regrow.sections import Parameters
from regrow.stages.costs import all_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.corpus import answers
    from regrow.corpus.chat import ChatTemplate

# Characters that are worked on at once: the library needs a hundred bytes and more for each that it is given.
_BATCH = 2**20
_TOLD = 256  # documents, after which it tells how far it is


class TokenizeParameters(Parameters):
    """There is nothing to choose."""


def _parts(call: Call[TokenizeParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    return len(parts.folders(call.input("split")))


def encode(task: Task[TokenizeParameters]) -> None:
    """Encode both parts of the split, as far as they lie in one part of the artifact.

    Texts are followed by the end-of-text token, and conversations are as the chat template of the model has them.
    """
    folder = task.files.path(task.call.input("tokenizer"))
    split = Split(task.files.path(parts.folder(task.call.input("split"), task.index, task.count)))
    encoder = _Encoder(Tokenizer.open(folder), folder)
    write(
        parts.made(task.output, task.index, task.count),
        {part: _encoded(split.documents(part), split.count(part), encoder, task.call) for part in PARTS},
        vocabulary=encoder.tokenizer.vocabulary,
        end_of_text=encoder.tokenizer.end_of_text,
    )


def _encoded(
    documents: Iterable[Document], total: int, encoder: _Encoder, call: Call[TokenizeParameters]
) -> Iterator[Encoded]:
    kinds = groupby(documents, key=attrgetter("conversation"))
    found = (map(encoder.conversation, some) if talks else encoder.texts(some) for talks, some in kinds)
    for done, one in enumerate(chain.from_iterable(found), 1):
        yield one
        if done % _TOLD == 0 or done == total:
            call.context.emit("progress", done=done, total=total, unit="documents")
            if call.context.stopping():
                call.context.stop()


@dataclass(frozen=True)
class _Encoder:
    """Turns documents into tokens.

    Attributes:
        tokenizer: of the model.
        folder: where it lies, and its chat template if it has one.
    """

    tokenizer: Tokenizer
    folder: Path

    def texts(self, documents: Iterable[Document]) -> Iterator[Encoded]:
        """Texts, all of which is learnt."""
        import numpy as np

        rows: list[NDArray[np.uint32]] = []
        size, words = 0, Words(self.tokenizer)
        for batch in _pieces(documents, self.tokenizer):
            found = words.tokens([piece for _, piece, _ in batch])
            for (document, piece, is_last), row in zip(batch, found, strict=True):
                rows.append(row)
                size += self._size(document, piece, row)
                if is_last:
                    yield Encoded(document.id, rows[0] if len(rows) == 1 else np.concatenate(rows), size=size)
                    rows, size = [], 0

    def conversation(self, document: Document) -> Encoded:
        """A conversation, of which the answers are learnt; or a pair, one after the other."""
        import numpy as np

        found = self._parts(document)
        tokens, learnt = zip(*(self._tokens(document, one) for one in found), strict=True)
        rejected = len(tokens[0]) if len(tokens) > 1 else None
        said = b"".join(self._said(part.tokens[: part.learnt]) for part in found[0])
        return Encoded(document.id, np.concatenate(tokens), np.concatenate(learnt), rejected, len(said))

    def _tokens(
        self, document: Document, found: Sequence[answers.Part]
    ) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """The tokens of a conversation, and which of them are learnt."""
        import numpy as np

        tokens = np.array([token for part in found for token in part.tokens], np.uint32)
        learnt = np.array([place < part.learnt for part in found for place in range(len(part.tokens))], np.bool_)
        if not learnt[1:].any():
            raise StageError("the chat template leaves nothing of the answers", where=document.locator)
        self._size(document, "".join(part.text for part in found), tokens)
        return tokens, learnt

    def _size(self, document: Document, text: str, tokens: NDArray[np.uint32]) -> int:
        """The UTF-8 bytes of some text of a document, once the tokens are seen to say it."""
        data = text.encode()
        if not self.tokenizer.say(tokens, data):
            raise StageError(
                f"the tokens of document {document.id} do not say what it says",
                where=document.locator,
                why="decoding them gives another text",
            )
        return len(data)

    def _said(self, tokens: Sequence[int]) -> bytes:
        """What an answer says, without the special tokens that end it."""
        special = {*self.tokenizer.special.values()}
        return b"".join(self.tokenizer.bytes[token] for token in tokens if token not in special)

    def _parts(self, document: Document) -> list[list[answers.Part]]:
        """What a conversation, or each of a pair, is to the model.

        Raises:
            RegrowError: if the model has no chat template, or its template does not take this conversation; names it.
        """
        from regrow.corpus.answers import parts

        if self._template is None:
            raise StageError(
                "the model has no chat template",
                where=document.locator,
                why="this is a conversation, and a template says how a model takes one",
                hint="begin with a model that has one, as its `chat_template.jinja`, or leave conversations out",
            )
        try:
            found = read(document.text)
            return [parts(messages, self._template, self.tokenizer, in_common(found)) for messages in found]
        except RegrowError as error:
            error.why = "; ".join(filter(None, (error.why, f"this is so for the conversation {document.locator}")))
            raise

    @cached_property
    def _template(self) -> ChatTemplate | None:
        from regrow.corpus.chat import ChatTemplate

        return ChatTemplate.open(self.folder)


def _pieces(documents: Iterable[Document], tokenizer: Tokenizer) -> Iterator[list[tuple[Document, str, bool]]]:
    """The texts in pieces, and whether each is the last of its document; about ``_BATCH`` characters at a time."""
    batch: list[tuple[Document, str, bool]] = []
    size = 0
    for document in documents:
        left = len(document.text)
        for piece in tokenizer.pieces(document.text):
            left -= len(piece)
            batch.append((document, piece, not left))
            size += len(piece)
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def cost(parameters: TokenizeParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: all text is read, and about as many bytes of tokens are written."""
    split, vocabulary = all_of(inputs, "split"), all_of(inputs, "tokenizer").vocabulary
    gives = replace(split, size=split.text, vocabulary=vocabulary)
    return Cost(gives, seconds=split.text / 15e6, memory_bytes=PROGRAM)


KIND = Kind(
    name="tokenize",
    version=2,
    parameters=TokenizeParameters,
    inputs={"split": Slot("split"), "tokenizer": Slot("tokenizer")},
    output="tokens",
    phases=(Phase("encode", encode, _parts, kept=True),),
    libraries=("pyarrow", "tokenizers"),
    summary="turn the documents into tokens",
    usual=True,
    cost=cost,
    released=(Released(ROW, "data", "tokens.parquet"),),
)
