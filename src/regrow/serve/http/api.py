"""OpenAI's interface, and what evaluation programs ask beside it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from regrow.model.usual import stops as usual_stops
from regrow.serve.http.answers import Answer, CompletionAnswer, ConversationAnswer, Shape
from regrow.serve.http.asked import Asked, Completion, Conversation
from regrow.serve.http.asked import Texts as AskedTexts
from regrow.serve.http.asked import Tokens as AskedTokens
from regrow.serve.http.bodies import asked_of
from regrow.serve.http.chosen import Chosen
from regrow.serve.http.errors import RefusedError
from regrow.serve.http.hearers import Stream, unless_gone
from regrow.serve.http.meters import CONTENT_TYPE, Meters
from regrow.serve.http.prompts import Prompt, Prompts
from regrow.serve.http.served import Served, Writer
from regrow.serve.http.texts import Room, Texts
from regrow.words import shown, some

_USUAL_LENGTH = 16
"""Tokens that OpenAI adds to a text where nobody says how many."""


class Api:
    """Answers for one release."""

    def __init__(self, served: Served, meters: Meters) -> None:
        self._served, self._meters, self._limits = served, meters, served.limits
        self._prompts, self._room = Prompts(served), Room(served.limits.texts)

    @property
    def routes(self) -> list[BaseRoute]:
        """Which path leads where."""
        return [
            Route("/health", self.health),
            Route("/metrics", self.metrics),
            Route("/v1/models", self.models),
            Route("/v1/models/{id:path}", self.model),
            Route("/v1/completions", self.completions, methods=["POST"]),
            Route("/v1/chat/completions", self.conversations, methods=["POST"]),
            Route("/v1/embeddings", self.embeddings, methods=["POST"]),
            Route("/tokenize", self.tokenize, methods=["POST"]),
            Route("/detokenize", self.detokenize, methods=["POST"]),
            Route("/tokenizer_info", self.tokenizer_info),
        ]

    async def health(self, request: Request) -> Response:
        """That the server works."""
        return JSONResponse(
            {"status": "ok", "model": self._served.name, "system_fingerprint": self._served.fingerprint}
        )

    async def metrics(self, request: Request) -> Response:
        """What was counted, for Prometheus."""
        return Response(self._meters.told(), media_type=CONTENT_TYPE)

    async def models(self, request: Request) -> Response:
        """The model, alone and with its adapters."""
        return JSONResponse({"object": "list", "data": [self._model(one) for one in self._served.writers]})

    async def model(self, request: Request) -> Response:
        """One of them, by its name."""
        return JSONResponse(self._model(self._writer(request.path_params["id"])))

    async def completions(self, request: Request) -> Response:
        """Texts that go on."""
        asked = Completion.read(await asked_of(request, self._limits))
        if asked.best_of not in (None, asked.n or 1):
            raise RefusedError("`best_of` is not supported: all `n` answers are given", param="best_of")
        self._require(asked, asked.logprobs, "logprobs")
        chosen = Chosen.of(asked, self._served.usual)
        prompts = await self._prompts.of_texts(asked)
        most = self._most(asked.max_tokens, "max_tokens", _USUAL_LENGTH)
        shape = Shape(most, self._stops(asked), asked.logprobs, bool(asked.echo))
        return await self._answered(request, asked, CompletionAnswer, chosen, prompts, shape)

    async def conversations(self, request: Request) -> Response:
        """Answers."""
        asked = Conversation.read(await asked_of(request, self._limits))
        self._require(asked, asked.top_logprobs, "top_logprobs")
        if asked.top_logprobs is not None and not asked.logprobs:
            raise RefusedError("`top_logprobs` needs `logprobs` to be true", param="top_logprobs")
        chosen = Chosen.of(asked, self._served.usual)
        prompt = await self._prompts.of_conversation(asked)
        both = ("max_completion_tokens", asked.max_completion_tokens), ("max_tokens", asked.max_tokens)
        name, most = next((one for one in both if one[1] is not None), both[0])
        likeliest = (asked.top_logprobs or 0) if asked.logprobs else None
        shape = Shape(self._most(most, name, self._limits.answer), self._stops(asked), likeliest)
        return await self._answered(request, asked, ConversationAnswer, chosen, [prompt], shape)

    async def embeddings(self, request: Request) -> Response:
        """What a model that writes has none of."""
        raise RefusedError("this model writes text and has no embeddings; ask one that was made for them", 404)

    async def tokenize(self, request: Request) -> Response:
        """The tokens of a text."""
        asked = AskedTexts.read(await asked_of(request, self._limits))
        self._writer(asked.model)
        tokens = await self._prompts.told(asked)
        return JSONResponse({"tokens": tokens, "count": len(tokens), "max_model_len": self._served.context})

    async def detokenize(self, request: Request) -> Response:
        """The text of tokens, special ones included."""
        asked = AskedTokens.read(await asked_of(request, self._limits))
        self._writer(asked.model)
        return JSONResponse({"prompt": self._prompts.text(asked.tokens)})

    async def tokenizer_info(self, request: Request) -> Response:
        """What stands beside the tokenizer, and the template for conversations."""
        template = self._served.generator.template
        told = {name: value for name, value in self._served.generator.described.items() if name != "chat_template"}
        return JSONResponse({**told, "chat_template": None if template is None else template.source})

    def _model(self, writer: Writer) -> dict[str, Any]:
        served = self._served
        return {
            "id": writer.name,
            "object": "model",
            "created": served.origin.made,
            "owned_by": "regrow",
            "parent": served.name if writer.adapter else None,
            "max_model_len": served.context,
            "regrow": {
                **dict([served.origin.named]),
                "pinned": writer.pinned,
                "system_fingerprint": writer.fingerprint,
                "converses": served.generator.template is not None,
                "sampling": dict(Chosen.of(Asked(), served.usual).values),
            },
        }

    def _writer(self, name: str | None) -> Writer:
        writer = self._served.writer(name)
        if writer is None:
            known = some(one.name for one in self._served.writers)
            what = f"there is no model {shown(name)} here; there is {known}, with the digest {self._served.digest}"
            raise RefusedError(what, 404, "model", "model_not_found")
        return writer

    def _require(self, asked: Asked, likeliest: int | None, name: str) -> None:
        if (likeliest or 0) > self._limits.likeliest:
            raise RefusedError(
                f"`{name}` may be {self._limits.likeliest} at the most", param=name, code="invalid_value"
            )
        if asked.stream_options is not None and not asked.stream:
            raise RefusedError("`stream_options` needs `stream` to be true", param="stream_options")

    def _stops(self, asked: Asked) -> tuple[str, ...]:
        stops, limits = asked.stops, self._limits
        if asked.stop is None:
            return usual_stops(self._served.usual)
        if len(stops) > limits.stops:
            raise RefusedError(f"there are {len(stops):,} texts to stop at, and {limits.stops} may be", param="stop")
        if not all(0 < len(stop) <= limits.stop for stop in stops):
            raise RefusedError(f"a text to stop at has from 1 to {limits.stop:,} characters", param="stop")
        return stops

    def _most(self, asked: int | None, name: str, usual: int) -> int:
        if asked is not None and asked > self._limits.answer:
            why = f"`{name}` may be {self._limits.answer:,} here, by the option --max-tokens of the server"
            raise RefusedError(why, param=name, code="invalid_value")
        return min(usual, self._limits.answer) if asked is None else asked

    async def _answered(
        self,
        request: Request,
        asked: Asked,
        sort: type[Answer],
        chosen: Chosen,
        prompts: list[Prompt],
        shape: Shape,
    ) -> Response:
        writer = self._writer(asked.model)
        answer = sort(self._served, writer, chosen, prompts, asked.n or 1, shape, asked.counts_usage)
        texts = len(prompts) * answer.each
        if asked.stream:
            return Stream(self._parts(answer, texts))
        if answer.chances > (most := self._limits.chances):
            why = f"up to {answer.chances:,} chances of tokens would be told at once, and {most:,} may be"
            raise RefusedError(f"{why}; ask for fewer, or for a stream", param="logprobs", code="invalid_value")
        return JSONResponse(await unless_gone(request.receive, self._told(answer, texts)))

    async def _told(self, answer: Answer, texts: int) -> dict[str, Any]:
        with self._room.taken(texts):
            async with Texts(self._served, self._meters, answer.wanted) as written:
                return await answer.told(written)

    async def _parts(self, answer: Answer, texts: int) -> AsyncGenerator[dict[str, Any]]:
        with self._room.taken(texts):
            async with (
                Texts(self._served, self._meters, answer.wanted) as written,
                aclosing(answer.parts(written)) as parts,
            ):
                async for part in parts:
                    yield part
