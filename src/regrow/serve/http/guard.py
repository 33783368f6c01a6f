"""Who may ask: nobody whose browser was led here by somebody else's page, and with a key only those who have it."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from collections.abc import Collection
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regrow.serve.http.errors import RefusedError
from regrow.serve.http.meters import Meters
from regrow.system import is_wished
from regrow.words import shown

_LOG = logging.getLogger("regrow.serve")
_HERE = frozenset(("localhost", "127.0.0.1", "[::1]"))


@dataclass(frozen=True)
class Doors:
    """Who is let in.

    Attributes:
        host: the address that is listened at.
        key: that has to be shown; empty asks for none.
        origins: of pages elsewhere that may ask; `*` means all.
        open: paths that ask for no key.
    """

    host: str = "127.0.0.1"
    key: str = ""
    origins: tuple[str, ...] = ()
    open: Collection[str] = ("/", "/health")

    @property
    def local(self) -> bool:
        """Whether only this machine can ask."""
        return is_loopback(self.host)

    @property
    def named(self) -> str:
        """The host as addresses of the web have it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def hosts(self) -> frozenset[str]:
        """The names that the server may be called by; none means all.

        A page may give its own name the address of this machine, and is then asked by its name.
        """
        return frozenset((*_HERE, self.named.lower())) if self.local else frozenset()

    def require(self, request: Request) -> None:
        """Let a request in.

        Raises:
            RefusedError: or not.
        """
        name = request.headers.get("host", "").lower()
        if self.hosts and name.rpartition(":")[0] not in self.hosts and name not in self.hosts:
            raise RefusedError(
                f"{shown(name)} is not what this server is called; use localhost", 403, code="unknown_host"
            )
        origin = request.headers.get("origin")
        if not (origin is None or self._is_known(origin.lower(), name)):
            why = f"pages of {shown(origin)} may not ask here; the server's option --cors-origin names those that may"
            raise RefusedError(why, 403, code="unknown_origin")
        if self.key and request.url.path not in self.open:
            self._require_key(request.headers.get("authorization", ""))

    def _is_known(self, origin: str, name: str) -> bool:
        """Whether a page is of this server, which may have TLS before it, or of a place that may ask."""
        return "*" in self.origins or origin in (f"http://{name}", f"https://{name}", *self.origins)

    def _require_key(self, shown: str) -> None:
        sort, _, key = shown.partition(" ")
        if sort.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self.key.encode()):
            why = "there is no such key" if shown else "a key is needed"
            hint = "send the header `Authorization: Bearer KEY`"
            raise RefusedError(f"{why}; {hint}", 401, code="invalid_api_key", headers={"www-authenticate": "Bearer"})


class Guard:
    """Stands before an application: who is let in, what is counted, and what is said when something fails."""

    def __init__(self, app: ASGIApp, doors: Doors, meters: Meters, paths: Collection[str]) -> None:
        self._app, self._doors, self._meters, self._paths = app, doors, meters, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._guarded(Request(scope), receive, counted)
        except ClientDisconnect:
            status = status or 499  # as other servers write down that nobody waited for an answer
        except RefusedError as error:
            if not status:
                await error.response(scope, receive, counted)
        except asyncio.CancelledError:
            if not status:
                await RefusedError("the server stops", 503, code="stopping").response(scope, receive, counted)
            raise
        except Exception as error:
            _LOG.error("%s failed: %r", scope["path"], error, exc_info=is_wished("REGROW_DEBUG"))
            if not status:
                await RefusedError(f"the server failed: {type(error).__name__}", 500).response(scope, receive, counted)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._meters.requests.labels(path, str(status)).inc()

    async def _guarded(self, request: Request, receive: Receive, send: Send) -> None:
        self._doors.require(request)
        await self._app(request.scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
