"""The body of a request: JSON, of a bounded size."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from starlette.requests import Request

from regrow.formats.objects import once
from regrow.serve.http.errors import RefusedError
from regrow.serve.http.limits import Limits
from regrow.words import counted, shown

_DISCARDED = 16
"""Times the limit that is read of a body which is too large, so that its sender gets to read why."""
_CURL = '-H "Content-Type: application/json"'


async def asked_of(request: Request, limits: Limits) -> dict[str, Any]:
    """The object that a request holds.

    Raises:
        RefusedError: if it is none, of another sort, or too large.
    """
    sort = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sort != "application/json":  # what a page of somebody else may send unasked is never that
        raise RefusedError(
            f"the content type is {shown(sort)}, and has to be `application/json`; with curl: {_CURL}", 415
        )
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RefusedError("the body is packed; send it as it is", 415)
    return _object(await _read(request, limits.body))


async def _read(request: Request, most: int) -> bytes:
    read, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            read += part
        elif size > _DISCARDED * most:
            break
    if size > most:
        raise RefusedError(f"the body is larger than {counted(most, 'byte')}", 413, code="request_too_large")
    return bytes(read)


def _object(data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data.decode("utf-8"), parse_constant=_no_number, object_pairs_hook=once)
        if b"\\u" in data:
            json.dumps(said, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise RefusedError(f"the body is not UTF-8: byte {error.start:,} is 0x{data[error.start]:02x}") from error
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise RefusedError(f"the body holds a text with `{half}`, which is half a character") from error
    except RecursionError:
        raise RefusedError("the body is no JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        why = "a number has thousands of digits" if "set_int_max_str_digits" in str(error) else error
        raise RefusedError(f"the body is no JSON: {why}") from error
    if not isinstance(said, dict):
        raise RefusedError("the body is no JSON object, `{...}`")
    return said


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
