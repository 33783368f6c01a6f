"""The application: which path leads where.

app = application(Served.load(Path("build/bard")))
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route

from regrow.serve.http.api import Api
from regrow.serve.http.errors import RefusedError, not_there, refused
from regrow.serve.http.guard import Doors, Guard
from regrow.serve.http.meters import Meters
from regrow.serve.http.served import Served


def application(served: Served, doors: Doors | None = None, beside: Sequence[BaseRoute] = ()) -> Starlette:
    """Everything that a release answers over HTTP.

    Args:
        served: the release.
        doors: who may ask; by default whoever is on this machine.
        beside: other paths than those of OpenAI's interface, such as those of the page.
    """
    doors, meters = doors or Doors(), Meters(served.engine)
    routes: list[BaseRoute] = [*Api(served, meters).routes, *beside]
    paths = {route.path for route in routes if isinstance(route, Route)}
    middleware = [Middleware(Guard, doors=doors, meters=meters, paths=paths)]
    if doors.origins:
        headers = ["authorization", "content-type"]
        middleware.insert(0, Middleware(CORSMiddleware, doors.origins, ["GET", "POST"], headers))
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={RefusedError: refused, HTTPException: not_there},
    )
    app.state.served = served
    return app
