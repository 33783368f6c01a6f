"""Asking web servers: what they answer and, where they do not, why, and whether it may help to ask again.

Nothing that a server says is believed: not that its numbers are numbers, that it will end, or where it sends us.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions

from regrow.errors import InputError, RecipeError
from regrow.sources.addresses import require_safe, shown

_ATTEMPTS = 5
"""In a row that did not get on."""
_LEAST = 1 << 16
"""Bytes that count as having got on: whoever sends one in every connection could go on for years."""
_SLOWEST = 60.0
"""Seconds in which that many bytes have to come, unless it is the end."""
_LONGEST_WAIT = 60.0
_TIMEOUT = (15.0, 60.0)  # to connect; between two bytes
_CHUNK = 1 << 16
_REDIRECTS = 20
_TRY_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
_NUMBER = re.compile("[0-9]{1,18}")
_SPAN = re.compile("bytes ([0-9]{1,18})-[0-9]{1,18}/(?:([0-9]{1,18})|[*])")
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_CODINGS = {
    "gzip": (".gz", ".tgz"),
    "x-gzip": (".gz", ".tgz"),
    "bzip2": (".bz2", ".tbz", ".tbz2"),
    "x-bzip2": (".bz2", ".tbz", ".tbz2"),
    "xz": (".xz", ".txz"),
    "x-xz": (".xz", ".txz"),
    "zstd": (".zst",),
}
"""Coding of a transfer -> names of files that are packed so themselves: many servers tell the one for the other."""
_NO_CODINGS = frozenset(("", "identity", "chunked", "aws-chunked", "none", "binary", "utf-8"))
"""What stands there and packs nothing: some of it should not stand there, but does."""


class PassingError(Exception):
    """A trouble that may be over when one asks again.

    Args:
        words: what it is.
        later: what the server says of when to ask again.
    """

    def __init__(self, words: str, later: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.later = later


@dataclass(frozen=True)
class Caller:
    """Who asked: is told what happens, and may give up meanwhile.

    Attributes:
        emit: gets events.
        poll: called now and then; may raise to give up.
        sleep: waits some seconds.
    """

    emit: Callable[..., None]
    poll: Callable[[], None]
    sleep: Callable[[float], None]

    def wait(self, seconds: float, url: str, trouble: str) -> None:
        """Say why, and sleep with an open ear for those who want to stop."""
        self.emit("note", text=f"{shown(url)}: {trouble}; trying again in {seconds:.0f} s")
        while seconds > 0:
            self.poll()
            self.sleep(min(0.5, seconds))
            seconds -= 0.5


@dataclass
class Patience:
    """Asks again, but not for ever.

    Attributes:
        url: the address.
        caller: who waits.
        best: bytes that had come when it last got on.
        attempts: in a row, since then.
    """

    url: str
    caller: Caller
    best: int = 0
    attempts: int = 0

    def wait(self, trouble: PassingError, have: int = 0) -> None:
        """Wait until it is time to ask again.

        Args:
            trouble: what came of the last attempt.
            have: bytes that have come, in all attempts together.

        Raises:
            InputError: if it has been asked often enough.
        """
        if have - self.best >= _LEAST:
            self.best, self.attempts = have, 0
        else:
            self.attempts += 1
        if self.attempts >= _ATTEMPTS:
            raise unreachable(self.url, f"{trouble.words}, {_ATTEMPTS} times in a row")
        self.caller.wait(_pause(self.attempts, trouble.later), self.url, trouble.words)


@dataclass(frozen=True)
class Page:
    """Something small from the web.

    Attributes:
        url: where it came from in the end.
        type: what the server says it is.
        body: all of it.
        following: the address of the page that follows it, if it says so; empty otherwise.
    """

    url: str
    type: str
    body: bytes
    following: str = ""


class Session(requests.Session):
    """A session that follows no redirect by itself: it would read what comes with one to the end, if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.trusted = trusted()
        self.headers["User-Agent"] = "regrow"

    def resolve_redirects(self, *_: Any, **__: Any) -> Iterator[Any]:
        """Nowhere to go."""
        return iter(())

    @contextmanager
    def answer(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """What a server answers, wherever it redirects to; the body is still to be read, in :func:`pieces`.

        Args:
            url: the address, https, or http on this machine.
            headers: to send.

        Raises:
            InputError: if it cannot be had, and to ask again would not help.
            PassingError: if it might, in the block too.
        """
        try:
            response = self._followed(url, headers)
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            raise _plain(error, url) from error
        with response:
            if response.status_code in _TRY_AGAIN:
                raise PassingError(status(response), response.headers.get("Retry-After", ""))
            try:
                yield response
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                raise _plain(error, url) from error

    def _followed(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        plain, here = urlsplit(url).scheme == "http", url
        for _ in range(_REDIRECTS):
            try:
                require_safe(here, plain=plain)
            except InputError as error:
                error.hint = error.hint if here == url else f"`{shown(url)}` sent us on to it: look for another address"
                raise
            response = self.get(here, headers=dict(headers), stream=True, timeout=_TIMEOUT, verify=self.trusted)
            if (target := self.get_redirect_target(response)) is None:
                return response
            response.close()
            here = urljoin(here, target)
        raise unreachable(url, f"the server sent us on {_REDIRECTS} times, perhaps in a circle")


def pieces(response: requests.Response, caller: Caller) -> Iterator[bytes]:
    """The body of an answer as it arrives.

    Raises:
        PassingError: if it arrives too slowly.
    """
    since, count = time.monotonic(), 0
    while piece := response.raw.read1(_CHUNK, decode_content=False):
        yield piece
        caller.poll()
        count += len(piece)
        now = time.monotonic()
        if count >= _LEAST:
            since, count = now, 0
        elif now - since > _SLOWEST:
            raise PassingError(f"the server sends less than {_LEAST >> 10} kB in {_SLOWEST:.0f} s")


def page(url: str, accept: str, most: int, caller: Caller) -> Page | None:
    """Something small, whole; None if the server has no such thing.

    Args:
        url: where it is.
        accept: the types that are wanted, as HTTP says them.
        most: bytes it may have.
        caller: who asks.

    Raises:
        InputError: if it cannot be had.
    """
    patience = Patience(url, caller)
    headers = {"Accept": accept, "Accept-Encoding": "identity", "Cache-Control": "max-age=0"}
    with Session() as session:
        while True:
            try:
                with session.answer(url, headers) as response:
                    if response.status_code == 404:
                        return None
                    if response.status_code != 200:
                        raise refused(url, response)
                    require_uncoded(url, response)
                    body = bytearray()
                    for piece in pieces(response, caller):
                        body += piece
                        if len(body) > most:
                            raise too_large(url, most, "see whether it is the address that you meant")
                    here, kind = str(response.url), response.headers.get("Content-Type", "")
                    return Page(here, kind, bytes(body), _following(response))
            except PassingError as trouble:
                patience.wait(trouble)


def _following(response: requests.Response) -> str:
    """The address of the next page, as RFC 8288 has it."""
    said = response.links.get("next", {}).get("url", "")
    return urljoin(str(response.url), said) if said else ""


def require_uncoded(url: str, response: requests.Response) -> None:
    """Make sure that the body is the file itself.

    Raises:
        InputError: if the server packed it, which nobody asked for: the bytes depend on its zlib and its mood.
    """
    said = ",".join(response.headers.get(name, "") for name in ("Content-Encoding", "Transfer-Encoding")).lower()
    codings = {coding.strip() for coding in said.split(",")} - _NO_CODINGS
    path = re.split("[?#]", url, maxsplit=1)[0].lower()
    if foreign := sorted(coding for coding in codings if not path.endswith(_CODINGS.get(coding, ()))):
        raise InputError(
            f"`{shown(url)}` came packed",
            why=f"the server sent it as `{foreign[0][:60]}`, though it was asked for the file itself",
            hint="find an address that gives the file itself, or download it, unpack it and use `file:`",
        )


def span(url: str, response: requests.Response) -> tuple[int, int | None]:
    """Where in the file the sent bytes begin, -1 if that is not told, and how long the file is, if that is.

    Raises:
        InputError: if what the server says is not a number that a file could have.
    """
    if response.status_code == 206:
        match = _SPAN.fullmatch(response.headers.get("Content-Range", "").strip())
        return (int(match[1]), int(match[2]) if match[2] else None) if match else (-1, None)
    if "Content-Length" not in response.headers or "Transfer-Encoding" in response.headers:
        return 0, None
    told = {part.strip() for part in response.headers["Content-Length"].split(",")}
    length = told.pop()
    if told or not _NUMBER.fullmatch(length):
        raise unreachable(url, f"the server says that it is `{length[:20]}{'...' * (len(length) > 20)}` bytes long")
    return 0, int(length)


def status(response: requests.Response) -> str:
    """What a server says first, in words."""
    return f"the server says {response.status_code} {(response.reason or '')[:60]}".rstrip()


def refused(url: str, response: requests.Response) -> InputError:
    """The error for an answer that brings no file."""
    hint = {
        401: f"put name and password for `{urlsplit(str(response.url)).hostname}` into ~/.netrc",
        403: "if it takes a name and a password, put them into ~/.netrc",
        407: "put name and password of the proxy into HTTPS_PROXY",
    }.get(response.status_code, "")
    return unreachable(url, status(response), hint)


def unreachable(url: str, trouble: str, hint: str = "") -> InputError:
    """The error for what cannot be had."""
    hint = hint or "look at the address and the network, then build again"
    return InputError(f"`{shown(url)}` cannot be fetched", why=trouble, hint=hint)


def too_large(url: str, most: int, hint: str) -> InputError:
    """The error for more bytes than anybody needs."""
    return InputError(f"`{shown(url)}` is too large", why=f"it has more than {most} bytes", hint=hint)


def trusted() -> str | bool:
    """The file or folder of certificates that the environment names; True for the usual ones.

    Raises:
        RecipeError: if it names something else.
    """
    for variable in _CERTIFICATES:
        if chosen := os.environ.get(variable):
            try:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                is_folder = os.path.isdir(chosen)  # noqa: PTH112 (as requests decides)
                context.load_verify_locations(**{"capath" if is_folder else "cafile": chosen})
            except OSError as error:
                why = "it holds none" if isinstance(error, ssl.SSLError) else (error.strerror or str(error)).lower()
                hint = "let it name a file of certificates in PEM form, or unset it"
                raise RecipeError(
                    f"`{chosen}` is no file of certificates", where=variable, why=why, hint=hint
                ) from error
            return chosen
    return True


def _pause(attempt: int, later: str) -> float:
    """Seconds to wait: what the server asks for, or twice as long each time."""
    if later.isascii() and later.isdigit():
        return min(float(later), _LONGEST_WAIT)
    try:
        return min(max(0.0, parsedate_to_datetime(later).timestamp() - time.time()), _LONGEST_WAIT)
    except (ValueError, OverflowError, OSError, TypeError):
        return min(2.0**attempt, _LONGEST_WAIT)


@dataclass(frozen=True)
class Cause:
    """Why a server could not be asked, without the addresses and objects that libraries like to print.

    Attributes:
        words: what the trouble is.
        passes: whether it may help to ask again.
        hint: what to do; empty if there is nothing special.
    """

    words: str
    passes: bool
    hint: str = ""


def cause(error: Exception) -> Cause:
    """An error of the libraries that speak HTTP, in words of ours."""
    chain = list(_chain(error))
    for kinds, words, passes in _TROUBLES:
        if (found := next((one for one in chain if isinstance(one, kinds)), None)) is None:
            continue
        if isinstance(found, ssl.SSLCertVerificationError):
            return Cause(f"{words} ({found.verify_message.rstrip('.')})", False, _UNTRUSTED)
        if isinstance(found, socket.gaierror):
            passes = found.errno == socket.EAI_AGAIN
        elif any(isinstance(one, OSError) and one.errno in _NO_WAY for one in chain):
            words = "the network is unreachable"
        elif any("Tunnel connection failed: 4" in str(one) for one in chain):
            passes = False
        return Cause(words, passes)
    return Cause(type(error).__name__, False)


def _plain(error: Exception, url: str) -> Exception:
    """An error of the libraries as one of ours."""
    found = cause(error)
    return PassingError(found.words) if found.passes else unreachable(url, found.words, found.hint)


_PROXY = "the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names"
_NONSENSE = "the address, that of a proxy in the environment, or one that the server sent us on to makes no sense"
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH)
_UNTRUSTED = (
    "see whether this machine's clock is right; if the network puts a certificate of its own in the way, let "
    "REQUESTS_CA_BUNDLE name its file"
)
_TROUBLES: tuple[tuple[tuple[type[BaseException], ...], str, bool], ...] = (
    ((ssl.SSLCertVerificationError,), "the server's certificate is not trusted here", False),
    (
        (requests.exceptions.InvalidProxyURL, requests.exceptions.InvalidSchema, urllib3.exceptions.ProxySchemeUnknown),
        f"{_PROXY} cannot be used",
        False,
    ),
    ((UnicodeDecodeError,), "~/.netrc, or what the server says of where to go, is not UTF-8", False),
    ((requests.exceptions.InvalidHeader, urllib3.exceptions.InvalidHeader), "the server contradicts itself", False),
    ((requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError), _NONSENSE, False),
    ((socket.gaierror,), "the host's name is not known here", False),
    (
        (requests.exceptions.ProxyError, urllib3.exceptions.ProxyError),
        f"{_PROXY} does not let it through",
        True,
    ),
    ((ConnectionRefusedError,), "the connection was refused", True),
    ((ConnectionError, ssl.SSLEOFError, http.client.IncompleteRead), "the connection broke off", True),
    ((TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError), "the server does not answer in time", True),
    ((requests.exceptions.SSLError,), "no secure connection could be made", False),
    ((http.client.HTTPException,), "the server's answer is not HTTP", False),
    ((requests.ConnectionError, urllib3.exceptions.HTTPError), "the connection broke off", True),
    ((ValueError,), _NONSENSE, False),
)
"""Kinds of errors, what they mean, and whether it may help to ask again. The first that is among the causes counts."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised for, from the outside in."""
    pending, seen = [error], set[int]()
    while pending:
        one = pending.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inside = (getattr(one, "reason", None), one.__cause__, one.__context__, *one.args)
            pending += [other for other in inside if isinstance(other, BaseException)]
