"""The paths of the page: itself, what it is made of, and what it asks for. ::

routes(Page(served, Places(served.release)))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.resources import files
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from regrow.attesting.trust import NOBODY, Believed
from regrow.errors import RegrowError
from regrow.report.render import licence_link, quoted
from regrow.serve.http.asked import Passage
from regrow.serve.http.bodies import asked_of
from regrow.serve.http.errors import plain
from regrow.serve.http.served import Served
from regrow.serve.page.places import Places
from regrow.serve.page.shown import Shown

if TYPE_CHECKING:
    import os

    from jinja2 import Template
    from starlette.staticfiles import PathLike
    from starlette.types import Scope

T = TypeVar("T")
_PACKAGE = "regrow.serve.page"
_AT_ONCE = 2
"""Texts that are looked up at a time: each keeps a core busy."""
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""Of all that a browser shows: nothing comes from elsewhere or goes there, and no text becomes a script."""
OPEN = tuple(f"/page/{one.name}" for one in files(_PACKAGE).joinpath("static").iterdir())
"""Paths of what the page is made of, before anybody can show a key."""


@dataclass(frozen=True)
class Page:
    """What the page is about.

    Attributes:
        served: the release that answers.
        places: where words stand in its training data.
        trust: whose signatures count.
    """

    served: Served
    places: Places
    trust: Believed = NOBODY

    @property
    def shown(self) -> Shown:
        """The release as it stands now: somebody may have rebuilt or attested it in the meantime."""
        return Shown.of(self.served, self.trust)

    @cached_property
    def limiter(self) -> CapacityLimiter:
        """Keeps those who look texts up from taking every core."""
        return CapacityLimiter(_AT_ONCE)


def routes(page: Page) -> list[BaseRoute]:
    """Where the page is, with everything that it needs."""
    return [
        Route("/", partial(_page, page, _template())),
        Mount("/page", _Static(packages=[(_PACKAGE, "static")])),
        Route("/regrow/release", partial(_release, page)),
        Route("/regrow/trace", partial(_trace, page), methods=["POST"]),
    ]


class _Static(StaticFiles):
    """Scripts, styles and pictures, with our headers."""

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response


def _template() -> Template:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(quoted=quoted, licence_link=licence_link)
    return environment.from_string(files(_PACKAGE).joinpath("page.html.j2").read_text("utf-8"))


async def _page(page: Page, template: Template, _: Request) -> Response:
    return HTMLResponse(template.render(release=await run_sync(lambda: page.shown)), headers=HEADERS)


async def _release(page: Page, _: Request) -> Response:
    return JSONResponse((await run_sync(lambda: page.shown)).to_json(), headers={"Cache-Control": "no-store"})


async def _trace(page: Page, request: Request) -> Response:
    asked = Passage.read(await asked_of(request, page.served.limits))
    await _done(page, 404, lambda: page.places.corpus)
    return JSONResponse(await _done(page, 400, lambda: page.places.of(asked.text)))


async def _done(page: Page, status: int, work: Callable[[], T]) -> T:
    """What some work with texts gives, a few at a time; a status says whose fault it is if it fails."""
    try:
        return await run_sync(work, abandon_on_cancel=True, limiter=page.limiter)  # or nobody could stop the server
    except RegrowError as error:
        raise plain(error, status) from error
