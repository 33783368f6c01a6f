"""The server process: listening, patience with clients, and an end when one is asked for.

with bound("127.0.0.1", 8000) as listener:
    listen(listener)
    run(application(served), listener, served.limits)
"""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from regrow.errors import RecipeError
from regrow.serve.http.errors import RefusedError
from regrow.serve.http.limits import Limits

_GRACE = 5
"""Seconds in which answers may come to their end once the server is to stop."""
_KEPT = 256 << 10
"""Bytes that the system keeps of what a client has not read yet."""
_HEAD = 64 << 10
"""Bytes of the head of a request."""
_BACKLOG = 1024


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that has an address, closed behind the block.

    Args:
        host: a name or an address of this machine.
        port: 0 takes one that is free.

    Raises:
        RecipeError: if the address cannot be had.
    """
    with ExitStack() as stack, _said(f"{host}:{port}"):
        family, sort, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = stack.enter_context(socket.socket(family, sort, protocol))
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KEPT)
        found.bind(address)
        kept = stack.pop_all()
    with kept:
        yield found


def listen(found: socket.socket) -> None:
    """Let clients connect.

    Raises:
        RecipeError: if another program was faster.
    """
    with _said(":".join(map(str, found.getsockname()[:2]))):
        found.listen(_BACKLOG)


@contextmanager
def _said(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        if error.errno == errno.EADDRINUSE:
            hint = "end the other program, or take another port with --port; --port 0 takes one that is free"
            raise RecipeError("another program listens here already", where=where, hint=hint) from error
        if error.errno == errno.EACCES:
            raise RecipeError(
                "this port is not for everybody", where=where, why=why, hint="take one from 1024 on"
            ) from error
        hint = "--host 127.0.0.1 is for this machine alone, --host 0.0.0.0 for all that reach it"
        raise RecipeError("nobody can listen here", where=where, why=why, hint=hint) from error


def run(app: ASGIApp, listener: socket.socket, limits: Limits) -> None:
    """Serve until Ctrl-C or SIGTERM: answers that are being written may end, unless there is a second one."""
    server(app, limits).run(sockets=[listener])


def server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """What serves, in whichever thread runs it; signals are for the main thread."""

    class Protocol(Patient):
        patience, most = limits.patience, limits.connections

    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=_HEAD,
        timeout_graceful_shutdown=_GRACE,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop at a signal, which is how a server is meant to end, and nothing that failed."""
        ours = threading.current_thread() is threading.main_thread()
        loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM) if ours else ()
        for one in signals:
            loop.add_signal_handler(one, self.handle_exit, one, None)
        try:
            yield
        finally:
            for one in signals:
                loop.remove_signal_handler(one)


class Patient(H11Protocol):
    """A connection that is hung up on if its client is slower than it may be, in sending or in reading.

    Attributes:
        patience: seconds for a whole request, and for taking some of what was sent.
        most: connections at a time.
    """

    patience = 30.0
    most = 1024
    _waiting: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many already."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(RefusedError(f"there are {self.most:,} connections already", 503, code="busy"))
        else:
            self._expect()

    def data_received(self, data: bytes) -> None:
        """Take some of a request."""
        super().data_received(data)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        for timer in (self._waiting, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on, as it did."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def send_400_response(self, msg: str) -> None:
        """Say in the shape of all errors what is no HTTP."""
        self._refuse(RefusedError(f"this is no request of HTTP that can be read: {msg.rstrip('.').lower()}"))

    def _expect(self) -> None:
        """Have a time by which the request is there that has begun."""
        due = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if due and self._waiting is None:
            self._waiting = self.loop.call_later(self.patience, self.transport.abort)
        elif not due and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _refuse(self, error: RefusedError) -> None:
        body = json.dumps(error.body).encode()
        head = f"HTTP/1.1 {error.status} Refused\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()
