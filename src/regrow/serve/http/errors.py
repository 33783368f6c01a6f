"""Errors in OpenAI's shape: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from regrow.errors import RegrowError
from regrow.words import shown

_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


@dataclass
class RefusedError(Exception):
    """Why a request is not answered.

    Attributes:
        message: what is wrong, and what to do about it.
        status: of HTTP.
        param: the field of the request that is meant, if it is one.
        code: a word for programs.
        headers: beside it.
    """

    message: str
    status: int = 400
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """As OpenAI's clients read it."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        said = self.message.encode("utf-8", "backslashreplace").decode()  # it may quote half a character
        return {"error": {"message": said, "type": kind, "param": self.param, "code": self.code}}

    @property
    def response(self) -> Response:
        """The whole answer."""
        return JSONResponse(self.body, self.status, self.headers)


def plain(error: RegrowError, status: int = 400, param: str | None = None) -> RefusedError:
    """One of our own errors, without the places of files, which are nobody's business."""
    what = f"{error.what}: {error.why}" if error.why else error.what
    return RefusedError("; ".join(filter(None, (what, error.hint))), status, param)


async def refused(_: Request, error: Exception) -> Response:
    """What a refusal looks like."""
    assert isinstance(error, RefusedError)
    return error.response


async def not_there(request: Request, error: Exception) -> Response:
    """Paths and methods that there are not."""
    status = getattr(error, "status_code", 500)
    what = f"{shown(request.method)} {shown(request.url.path)}: {HTTPStatus(status).phrase.lower()}"
    return RefusedError(what, status, headers=getattr(error, "headers", None) or {}).response
