"""The application: which path leads where.

app = application(Served.load(release))
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from regrow.serve.http.errors import RefusedError, failed, not_there, refused
from regrow.serve.http.served import Served

OPEN = ("/", "/health")
"""Paths that ask for no key: they show nothing but that there is a server, and the page that asks for the key."""


def application(served: Served) -> Starlette:
    """Everything that a release answers over HTTP."""
    app = Starlette(
        routes=_routes(),
        exception_handlers={RefusedError: refused, HTTPException: not_there, Exception: failed},
    )
    app.state.served = served
    return app


def _routes() -> list[BaseRoute]:
    return [
        Route("/health", _health),
    ]


async def _health(request: Request) -> Response:
    served: Served = request.app.state.served
    return JSONResponse({"status": "ok", "model": served.name, "system_fingerprint": served.fingerprint})
