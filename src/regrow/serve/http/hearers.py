"""Whoever asked: gone, or there and reading."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from regrow.serve.http.errors import RefusedError

_T = TypeVar("_T")
_HEAD = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, _T]) -> _T:
    """What work gives, which is broken off if the client hangs up.

    Raises:
        ClientDisconnect: if it did.
    """
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Stream(Response):
    """Objects as server-sent events. One that fails before its first event is an error like any other."""

    def __init__(self, events: AsyncGenerator[Mapping[str, Any]]) -> None:
        super().__init__()
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them as they come, until the client hangs up."""
        await unless_gone(receive, self._sent(send))

    async def _sent(self, send: Send) -> None:
        begun = False
        try:
            async with aclosing(self._events):
                async for event in self._events:
                    if not begun:
                        await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
                        begun = True
                    await _send(send, json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
            await _send(send, "[DONE]")
        except RefusedError as error:
            if not begun:
                raise
            await _send(send, json.dumps(error.body, ensure_ascii=False))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, data: str) -> None:
    await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})
