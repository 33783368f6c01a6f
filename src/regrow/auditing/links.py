"""Whether an address answers, asked once for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

_SECONDS = 10.0
_THERE, _GONE = range(200, 400), (404, 410)


def resolver() -> Callable[[str], bool | None]:
    """A function from an ``https://`` address to whether something is there; None where that cannot be told.

    Only "not found" and "gone" mean that nothing is there: a server that refuses, fails or does not answer in time
    says nothing about the thing that was promised.
    """
    return cache(_answers)


def _answers(link: str) -> bool | None:
    import requests

    if not link.startswith(("https://", "http://")):
        return None
    try:
        with requests.get(link, timeout=_SECONDS, stream=True, allow_redirects=True) as response:
            status = response.status_code
    except requests.RequestException:
        return None
    return True if status in _THERE else False if status in _GONE else None
