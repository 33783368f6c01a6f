"""How texts become tokens when a model is judged: plain, or as questions through the model's own template.

Context and continuation are cut into tokens together, and spaces at the end of a context belong to what follows it, as
lm-eval does it: tokens begin with spaces, and a model that has read one at the end has read what its training had not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regrow.corpus.chat import ChatTemplate
from regrow.corpus.conversations import USER, Message
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError
from regrow.evaluating.asking import GREEDY, Span, Writing
from regrow.model.sampling import Sampling
from regrow.words import counted


@dataclass(frozen=True)
class Form:
    """How one model is asked.

    Attributes:
        tokenizer: of the model.
        room: tokens that a text may have.
        template: how it takes questions, if they are to be put as such.
        cuts: whether the beginning of a text is left out where there is no room for it; else it is an error.
        stops: texts before which it ends what it writes, where a task names none.
    """

    tokenizer: Tokenizer
    room: int
    template: ChatTemplate | None = None
    cuts: bool = False
    stops: tuple[str, ...] = ()

    def context(self, question: str) -> str:
        """The text that stands for a question: itself, or what the template makes of it."""
        if self.template is None:
            return question
        return self.template.render([Message(USER, question)], prompt=True)

    def span(self, context: str, continuation: str, where: str) -> Span:
        """The tokens of a text whose end is asked about.

        Raises:
            InputError: if there is no room for it, or none of its characters has a token.
        """
        bare = context.rstrip() if self.template is None else context
        first = len(self._begun(bare))
        tokens = self._begun(bare, context[len(bare) :] + continuation)
        if len(tokens) < 2:
            raise InputError("there is nothing to judge", where=where, why="the text that is asked about is empty")
        # Where the last letters of the context and the first of what follows are one token, that one is asked about.
        return self._cut(Span(tuple(tokens), min(first, len(tokens) - 1)), where)

    def windows(self, text: str, where: str) -> Iterator[Span]:
        """A text whole, each token asked about once: in stretches that do not overlap, the last one as long as others.

        Raises:
            InputError: if the text is empty.
        """
        tokens = self.tokenizer.meant(text)
        if not tokens:
            raise InputError("there is nothing to judge", where=where, why="the text is empty")
        ids, length = [self._prefix[-1], *tokens], self.room - 1
        for start in range(1, len(ids), length):
            end = min(start + length, len(ids))
            begin = max(0, end - length - 1)
            yield Span(tuple(ids[begin:end]), start - begin)

    def writing(
        self, context: str, most: int, stops: tuple[str, ...], where: str, sampling: Sampling = GREEDY
    ) -> Writing:
        """The tokens of a text that is to be continued.

        Raises:
            InputError: if there is no room for it and what may follow.
        """
        tokens, room = self._begun(context), self.room - most
        cut = max(0, len(tokens) - room)
        if cut and (not self.cuts or room < 1):
            raise self._too_long(len(tokens), where, f" and {counted(most, 'token')} more that may be written")
        return Writing(tuple(tokens[cut:]), most, stops or self.stops, sampling, cut)

    @property
    def _prefix(self) -> tuple[int, ...]:
        """What stands before a text that begins with nothing: something has to foretell its first token."""
        return self.tokenizer.start or (self.tokenizer.end_of_text,)

    def _begun(self, context: str, continuation: str = "") -> list[int]:
        found, prefix = self.tokenizer.meant(context + continuation), self.tokenizer.start if context else self._prefix
        begins = self.template is not None or (prefix and tuple(found[: len(prefix)]) == prefix)
        return found if begins else [*prefix, *found]

    def _cut(self, span: Span, where: str) -> Span:
        cut = max(0, len(span.tokens) - self.room)
        if not cut:
            return span
        if not self.cuts or cut >= span.first:
            raise self._too_long(len(span.tokens), where, "")
        return Span(span.tokens[cut:], span.first - cut, cut)

    def _too_long(self, count: int, where: str, more: str) -> InputError:
        may_cut = "" if self.cuts else "leave it out, or let `--truncate` cut the beginnings of texts"
        return InputError(
            "the model has no room for an item",
            where=where,
            why=f"it is {counted(count, 'token')} long{more}, and the context has {self.room:,}",
            hint=may_cut or "leave it out",
        )
