"""Turn the documents into rows of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.conversations import in_common, read
from regrow.corpus.documents import Document
from regrow.corpus.split import PARTS, Split
from regrow.corpus.tokenizer import Tokenizer
from regrow.corpus.tokens import ROW, Encoded, TokenShards
from regrow.errors import RegrowError, StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot
from regrow.sections import Parameters
from regrow.stages.costs import all_of, text_memory

if TYPE_CHECKING:
    from regrow.corpus.answers import Part
    from regrow.corpus.chat import ChatTemplate

# Characters that the library works on at once: it needs a hundred bytes and more for each.
_BATCH = 2**19


class TokenizeParameters(Parameters):
    """There is nothing to choose."""


def run(call: Call[TokenizeParameters]) -> None:
    """Encode both parts of the split.

    Texts are followed by the end-of-text token, and conversations are as the chat template of the model has them.
    """
    folder, split = call.input("tokenizer"), Split(call.input("split"))
    encoder = _Encoder(Tokenizer.open(folder), folder)
    parts = {part: split.documents(part) for part in PARTS}
    TokenShards.write(
        call.output,
        {part: _encoded(documents, encoder, call) for part, documents in parts.items()},
        vocabulary=encoder.tokenizer.vocabulary,
        end_of_text=encoder.tokenizer.end_of_text,
        validation_bytes=sum(map(encoder.bytes_learnt, parts["validation"])),
    )


def _encoded(documents: list[Document], encoder: _Encoder, call: Call[TokenizeParameters]) -> Iterator[Encoded]:
    done = 0
    for batch in _batches(documents):
        yield from map(encoder.conversation, batch) if batch[0].conversation else encoder.texts(batch)
        done += len(batch)
        call.context.emit("progress", done=done, total=len(documents), unit="documents")
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

    def texts(self, documents: Sequence[Document]) -> Iterator[Encoded]:
        """Texts, all of which is learnt."""
        ids = self.tokenizer.documents([document.text for document in documents])
        for document, row, said in zip(documents, ids, self.tokenizer.letters(ids), strict=True):
            _require_the_same(document, said, document.text)
            yield Encoded(document.id, row)

    def conversation(self, document: Document) -> Encoded:
        """A conversation, of which the answers are learnt; or a pair, one after the other."""
        made = [self._tokens(document, found) for found in self._parts(document)]
        tokens, learnt = ([*chain.from_iterable(both)] for both in zip(*made, strict=True))
        return Encoded(document.id, tokens, learnt, len(made[0][0]) if len(made) > 1 else None)

    def _tokens(self, document: Document, found: Sequence[Part]) -> tuple[list[int], list[bool]]:
        """The tokens of a conversation, and which of them are learnt."""
        tokens = [token for part in found for token in part.tokens]
        learnt = [place < part.learnt for part in found for place in range(len(part.tokens))]
        if not any(learnt[1:]):
            raise StageError("the chat template leaves nothing of the answers", where=document.locator)
        said = self.tokenizer.letters([tokens])[0]
        _require_the_same(document, said, "".join(part.text for part in found))
        return tokens, learnt

    def bytes_learnt(self, document: Document) -> int:
        """UTF-8 bytes of a text, or of the answers of a conversation, without the tokens that end them; of a pair, of
        the chosen one.
        """
        if not document.conversation:
            return len(document.text.encode())
        answers = (self.tokenizer.decode(part.tokens[: part.learnt]) for part in self._parts(document)[0])
        return sum(len(answer.encode()) for answer in answers)

    def _parts(self, document: Document) -> list[list[Part]]:
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


def _require_the_same(document: Document, said: str, text: str) -> None:
    if said != text:
        raise StageError(
            f"the tokens of document {document.id} do not say what it says",
            where=document.locator,
            why="decoding them gives another text",
        )


def _batches(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """The documents in their order, as many of a kind at a time as have about ``_BATCH`` characters together."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        if batch and batch[0].conversation != document.conversation:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document.text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def cost(parameters: TokenizeParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: all text is read, and about as many bytes of tokens are written."""
    split, vocabulary = all_of(inputs, "split"), all_of(inputs, "tokenizer").vocabulary
    gives = replace(split, size=split.text, vocabulary=vocabulary)
    return Cost(gives, seconds=split.text / 5e6, memory_bytes=text_memory(split.text))


KIND = Kind(
    name="tokenize",
    version=1,
    parameters=TokenizeParameters,
    inputs={"split": Slot("split"), "tokenizer": Slot("tokenizer")},
    output="tokens",
    run=run,
    libraries=("pyarrow", "tokenizers"),
    summary="turn the documents into tokens",
    usual=True,
    cost=cost,
    released=(Released(ROW, "data", "tokens.parquet"),),
)
