"""Downloads that resume, try again politely, and are kept by what they hold."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from regrow.errors import InputError
from regrow.recipe.pin import Pin, is_sha256
from regrow.sources.faults import unexpected
from regrow.store import caches, folder_in
from regrow.store.atomic import sync, write_atomic
from regrow.store.digest import sha256_bytes, sha256_file
from regrow.store.faults import plain_words
from regrow.store.locks import locked

if TYPE_CHECKING:
    from pypi_simple import ProjectPage
    from requests import Response, Session

_ATTEMPTS = 5  # without a single new byte
_LONGEST_WAIT = 60.0
_TIMEOUT = (15.0, 60.0)  # to connect; between two bytes
_CHUNK = 1 << 16  # what a slow line brings in a few seconds: nobody can stop a download within one
_TRY_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
_SLACK = 1 << 20  # how much more than was promised is read, to be able to say what came
_AGENT = "regrow"


def default_folder() -> Path:
    """``$REGROW_DOWNLOADS``, or else ``regrow/downloads`` in the user's cache directory."""
    return folder_in("REGROW_DOWNLOADS") or caches() / "downloads"


@dataclass(frozen=True)
class Downloads:
    """A folder of downloaded files, each named by its sha256, and of the beginnings of others.

    Attributes:
        folder: where.
        sleep: waits some seconds; tests put another in its place.
    """

    folder: Path = field(default_factory=default_folder)
    sleep: Callable[[float], None] = time.sleep

    def find(self, sha256: str) -> Path | None:
        """The file with this hash, if it is there whole. A damaged one is removed."""
        if not is_sha256(sha256):  # it becomes part of a path, and what lies there may be removed
            raise ValueError(f"{sha256!r} is not a sha256 in hex")
        path = self.folder / "files" / sha256
        if not path.is_file():
            return None
        if sha256_file(path) == sha256:
            return path
        path.unlink(missing_ok=True)
        return None

    def get(
        self, url: str, pin: Pin | None = None, *, emit: Callable[..., None], offline: bool, poll: Callable[[], None]
    ) -> Path:
        """A file from the web.

        Args:
            url: where it is.
            pin: what it must be, if that is known: then a file downloaded before will do, from wherever it came.
            emit: is told how many bytes have arrived.
            offline: True to do without the web.
            poll: called now and then; may raise to give up.

        Raises:
            InputError: if it cannot be had, or is not what was pinned.
        """
        if pin is not None and (path := self.find(pin.sha256)) is not None:
            return path
        if offline:
            raise _offline(pin.file if pin else url)
        part = self.folder / "parts" / sha256_bytes(url.encode())
        with plain_words(self.folder, "REGROW_DOWNLOADS"):
            for folder in ("files", "parts"):
                (self.folder / folder).mkdir(parents=True, exist_ok=True)
            # The lock lets a second build wait for the first one's download, and then find it.
            with locked(part.with_suffix(".lock"), poll):
                if pin is not None and (path := self.find(pin.sha256)) is not None:
                    return path
                with _session(url) as session:
                    _Transfer(session, url, part, pin, _Caller(emit, poll, self.sleep)).run()
                return self._keep(part, url, pin)

    def index_page(
        self, index: str, name: str, *, emit: Callable[..., None], offline: bool, poll: Callable[[], None]
    ) -> ProjectPage:
        """What a package index says about a project; arguments and errors as for :meth:`get`."""
        from pypi_simple import NoSuchProjectError, PyPISimple, UnsupportedContentTypeError
        from requests import RequestException

        if offline:
            raise _offline(f"the package index's page of `{name}`")
        caller = _Caller(emit, poll, self.sleep)
        for attempt in itertools.count(1):
            with _session(index) as session, PyPISimple(index, session=session) as client:
                try:
                    return client.get_project_page(name, timeout=_TIMEOUT)
                except NoSuchProjectError as error:
                    raise InputError(f"the package index knows no `{name}`", where=_shown(index)) from error
                except (RequestException, UnsupportedContentTypeError, ValueError) as error:
                    trouble, response = _words(error), getattr(error, "response", None)
            if attempt >= _ATTEMPTS or (response is not None and response.status_code not in _TRY_AGAIN):
                break
            caller.wait(_pause(attempt, response), index, trouble)
        raise _unreachable(index, trouble)

    def _keep(self, part: Path, url: str, pin: Pin | None) -> Path:
        """Move a finished download to where it is found by its hash, if it is what it must be."""
        sha256 = sha256_file(part)
        if pin is not None and sha256 != pin.sha256:
            try:
                raise unexpected(pin, _shown(url), f"{part.stat().st_size} bytes with sha256 {sha256}", part)
            finally:
                _forget(part)
        sync(part)
        path = self.folder / "files" / sha256
        part.replace(path)
        _forget(part)
        return path


@dataclass(frozen=True)
class _Caller:
    """Who asked: is told what happens, and may give up meanwhile."""

    emit: Callable[..., None]
    poll: Callable[[], None]
    sleep: Callable[[float], None]

    def wait(self, seconds: float, url: str, trouble: str) -> None:
        """Say why, and sleep with an open ear for those who want to stop."""
        self.emit("note", text=f"{_shown(url)}: {trouble}; trying again in {seconds:.0f} s")
        while seconds > 0:
            self.poll()
            self.sleep(min(0.5, seconds))
            seconds -= 0.5


@dataclass
class _Transfer:
    """One download: what has arrived lies in ``part``, and survives whatever happens."""

    session: Session
    url: str
    part: Path
    pin: Pin | None
    caller: _Caller
    total: int | None = None
    told: float = 0.0

    def run(self) -> None:
        """Try until all has arrived."""
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        attempt, best = 0, self._size()
        while True:
            response, trouble = None, ""
            try:
                with self.session.get(self.url, headers=self._headers(), stream=True, timeout=_TIMEOUT) as response:
                    trouble = self._take(response)
            except (RequestException, HTTPError) as error:
                trouble = _words(error)
            if not trouble:
                return
            attempt = 0 if self._size() > best else attempt + 1
            best = max(best, self._size())
            if attempt >= _ATTEMPTS:
                raise _unreachable(self.url, trouble)
            self.caller.wait(_pause(attempt, response), self.url, trouble)

    def _headers(self) -> dict[str, str]:
        """Ask for the rest of what is there, if it can be known to be the beginning of the same file."""
        headers = {"Accept-Encoding": "identity"}
        validator = self.part.with_suffix(".validator")
        tag = validator.read_text("utf-8") if validator.is_file() else ""
        if self._size() and (tag or self.pin is not None):
            headers["Range"] = f"bytes={self._size()}-"
            if tag:
                headers["If-Range"] = tag
        return headers

    def _take(self, response: Response) -> str:
        """Add what the server sends to what is there; what is wrong, if something is, in words."""
        status, size = response.status_code, self._size()
        if status in _TRY_AGAIN:
            return f"the server says {status} {response.reason}"
        if status == 416 and size:
            if response.headers.get("Content-Range") == f"bytes */{size}":
                return ""
            _forget(self.part)
            return "the server's file is another"
        if status not in (200, 206):
            raise _unreachable(self.url, f"the server says {status} {response.reason}")
        begin, self.total = _range(response)
        if status == 206 and begin != size:
            _forget(self.part)
            return "the server sent another part than was asked for"
        if status == 200:
            _forget(self.part)
        self._remember(response)
        self._append(response)
        if self.total is not None and self._size() < self.total:
            return f"the connection ended after {self._size()} of {self.total} bytes"
        return ""

    def _append(self, response: Response) -> None:
        most = None if self.pin is None or self.pin.size < 0 else self.pin.size + _SLACK
        with self.part.open("ab") as file:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                file.write(chunk)
                self._tell(file.tell())
                self.caller.poll()
                if most is not None and file.tell() > most:
                    break
        if most is not None and self.pin is not None and self._size() > most:
            _forget(self.part)
            raise unexpected(self.pin, _shown(self.url), f"more than {most} bytes")
        self._tell(self._size(), last=True)

    def _remember(self, response: Response) -> None:
        """Keep what identifies this version of the file, so that only its own rest is ever added to it."""
        tag = response.headers.get("ETag", "")
        tag = response.headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
        if tag:
            write_atomic(self.part.with_suffix(".validator"), tag)

    def _tell(self, done: int, *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self.told > 0.1:
            self.told = now
            total = self.total or (self.pin.size if self.pin and self.pin.size >= 0 else None)
            self.caller.emit("progress", done=done, total=total, unit="bytes")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0


def _forget(part: Path) -> None:
    for path in (part, part.with_suffix(".validator")):
        path.unlink(missing_ok=True)


def _range(response: Response) -> tuple[int, int | None]:
    """Where the sent bytes begin, and how long the file is."""
    length = response.headers.get("Content-Length", "")
    if response.status_code == 200:
        return 0, int(length) if length.isdecimal() else None
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    begin = span.partition("-")[0]
    known = unit == "bytes" and begin.isdecimal()
    return (int(begin) if known else -1), int(total) if total.isdecimal() else None


def _pause(attempt: int, response: Response | None) -> float:
    """Seconds to wait: what the server asks for, or twice as long each time."""
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    if asked.isdecimal():
        return min(float(asked), _LONGEST_WAIT)
    try:
        return min(max(0.0, parsedate_to_datetime(asked).timestamp() - time.time()), _LONGEST_WAIT)
    except ValueError:
        return min(2.0**attempt, _LONGEST_WAIT)


@contextmanager
def _session(url: str) -> Iterator[Session]:
    """A session that speaks TLS, or plain http with this machine only, wherever it is sent on to."""
    import requests

    _require_safe(url, plain=True)
    plain = urlsplit(url).scheme == "http"

    def watch(response: Response, **_: Any) -> None:
        if response.is_redirect:
            _require_safe(urljoin(response.url, response.headers["Location"]), plain=plain)

    with requests.Session() as session:
        session.hooks["response"].append(watch)
        session.headers["User-Agent"] = _AGENT
        yield session


def _require_safe(url: str, *, plain: bool) -> None:
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (plain and local and parts.scheme == "http"):
        raise InputError(
            f"`{_shown(url)}` is not safe to fetch",
            why="only https keeps others from reading and changing what is sent",
            hint="use an https address",
        )


def _shown(url: str) -> str:
    """An address without the password it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _words(error: Exception) -> str:
    """An error of the HTTP libraries, without the addresses and objects they like to print."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server says {response.status_code} {response.reason}"
    text = f"{type(error).__name__} {error}"
    for sign, said in _SIGNS.items():
        if sign in text:
            return said
    return type(error).__name__


_SIGNS = {
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not trusted here",
    "NameResolution": "the host's name is not known here",
    "Name or service not known": "the host's name is not known here",
    "Timeout": "the server does not answer in time",
    "timed out": "the server does not answer in time",
    "refused": "the connection was refused",
    "unreachable": "the network is unreachable",
    "SSLError": "no secure connection could be made",
    "IncompleteRead": "the connection broke off",
    "Connection": "the connection broke off",
}


def _offline(what: str) -> InputError:
    return InputError(
        f"`{_shown(what)}` is not on this machine",
        why="regrow was told to stay offline",
        hint="build once without --offline",
    )


def _unreachable(url: str, trouble: str) -> InputError:
    return InputError(
        f"`{_shown(url)}` cannot be fetched", why=trouble, hint="look at the address and the network, then build again"
    )
