"""How much may be asked of a server: beyond that it refuses, and says so, rather than fall over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of what a server takes.

    Attributes:
        body: bytes of a request.
        answer: tokens of one answer.
        texts: that are written or wait for it, of all requests together.
        stops: texts that one request may stop at.
        stop: characters of each of these.
        likeliest: tokens told of one place, beside the one that stands there.
        chances: of tokens that an answer tells which is kept until it is whole, and not streamed.
        seconds: in which a request is answered.
        patience: seconds in which a client sends its request, or takes what was sent to it.
        unread: events kept for a client that reads more slowly than the model writes.
        connections: at a time.
        memory: bytes of keys and values; a quarter of the machine's memory if nothing is said.
    """

    body: int = 2 << 20
    answer: int = 4096
    texts: int = 256
    stops: int = 64
    stop: int = 1024
    likeliest: int = 20
    chances: int = 2 << 20
    seconds: float = 600.0
    patience: float = 30.0
    unread: int = 1024
    connections: int = 1024
    memory: int | None = None
