"""Prompts as programs: what a model is asked, how tokens are chosen, and what it answered, to be asked again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from regrow.corpus.chat import ChatTemplate
from regrow.corpus.conversations import SYSTEM, USER, Message
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError
from regrow.evaluating.asking import Writing, Written
from regrow.model.sampling import Sampling
from regrow.store.digest import canonical_json
from regrow.words import shown


@dataclass(frozen=True)
class Prompt:
    """What is asked, and how.

    Attributes:
        text: to continue or, where the model has a chat template, a question.
        messages: what was said before, if it is the last question of a conversation.
        system: what the system says before.
        continues: whether the text is continued even if the model has a chat template.
        max_tokens: that it may write.
        stop: texts at which it ends.
        temperature: divides the logits; 0 takes the likeliest token.
        top: how many of the likeliest tokens may be chosen; 0 means all.
        seed: of the random numbers.
    """

    text: str
    messages: tuple[Message, ...]
    system: str
    continues: bool
    max_tokens: int
    stop: tuple[str, ...]
    temperature: float
    top: int
    seed: int

    def writing(self, tokenizer: Tokenizer, template: ChatTemplate | None, room: int, where: str) -> Writing:
        """What the model is to continue.

        Raises:
            InputError: if it needs a template and there is none, or there is no room for prompt and answer.
        """
        said = self._conversation(template is not None)
        if said and template is None:
            raise InputError(
                "the model has no chat template",
                where=where,
                why="the prompt has " + ("`messages`" if self.messages else "a `system`"),
                hint="leave them out, and let it continue a text",
            )
        tokens = tokenizer.meant(template.render(said, prompt=True)) if said and template else self._begun(tokenizer)
        if len(tokens) + self.max_tokens > room:
            why = f"it is {len(tokens):,} tokens, {self.max_tokens:,} may follow, and the context has {room:,}"
            raise InputError("the model has no room for prompt and answer", where=where, why=why)
        return Writing(tuple(tokens), self.max_tokens, self.stop, Sampling(self.temperature, self.top, self.seed))

    def _conversation(self, converses: bool) -> list[Message]:
        before = [Message(SYSTEM, self.system)] if self.system else []
        before += self.messages
        return [*before, Message(USER, self.text)] if before or (converses and not self.continues) else []

    def _begun(self, tokenizer: Tokenizer) -> list[int]:
        return tokenizer.prompt(self.text) or [tokenizer.end_of_text]

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "messages": [asdict(one) for one in self.messages], "stop": list(self.stop)}

    @staticmethod
    def parse(said: Mapping[str, Any]) -> Prompt:
        """From plain data.

        Raises:
            ValueError: if it is none.
        """
        try:
            messages = tuple(Message(one["role"], one["content"]) for one in said["messages"])
            found = Prompt(**{**said, "messages": messages, "stop": tuple(said["stop"])})
        except (TypeError, LookupError) as error:
            raise ValueError(f"it says {shown(dict(said))}, which is no prompt") from error
        if type(found.max_tokens) is not int or not isinstance(found.temperature, int | float):
            raise ValueError("it does not say how much is to be written, and how")
        return found


@dataclass(frozen=True)
class Answered:
    """A prompt with what the model answered.

    Attributes:
        prompt: what was asked.
        text: the answer.
        tokens: of it.
        ended: why it ended.
        rendered: the sha256 of the tokens that were asked.
        expect: any of which the answer should be; none says nothing.
        contains: all of which should be in it.
    """

    prompt: Prompt
    text: str
    tokens: int
    ended: str
    rendered: str
    expect: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()

    @staticmethod
    def of(
        prompt: Prompt, writing: Writing, written: Written, expect: Sequence[str], contains: Sequence[str]
    ) -> Answered:
        """The record of an answer."""
        rendered = hashlib.sha256(canonical_json(list(writing.tokens))).hexdigest()
        return Answered(
            prompt, written.text, len(written.tokens), written.ended, rendered, tuple(expect), tuple(contains)
        )

    @property
    def unmet(self) -> str:
        """What it should say and does not, in words; empty if it says all."""
        found = self.text.strip()
        if self.expect and found not in {one.strip() for one in self.expect}:
            return f"it is {shown(found)}, and expected is {' or '.join(map(shown, self.expect))}"
        missing = [one for one in self.contains if one not in self.text]
        return f"it is {shown(found)}, in which there is no {shown(missing[0])}" if missing else ""

    def document(self) -> dict[str, Any]:
        """As plain data."""
        said = {name: getattr(self, name) for name in ("text", "tokens", "ended", "rendered")}
        wanted = {"expect": list(self.expect), "contains": list(self.contains)}
        return {"prompt": self.prompt.document(), "answer": said, **wanted}

    @staticmethod
    def parse(said: Any) -> Answered:
        """From plain data.

        Raises:
            ValueError: if it is none.
        """
        try:
            expect, contains = (tuple(map(str, said[key])) for key in ("expect", "contains"))
            return Answered(Prompt.parse(said["prompt"]), expect=expect, contains=contains, **said["answer"])
        except (TypeError, LookupError, AttributeError) as error:
            raise ValueError("it is no prompt with an answer") from error
