"""One download, from the first byte to the last, over as many connections as it takes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from requests import Response

from regrow.sources.addresses import shown
from regrow.sources.faults import Promise, unexpected
from regrow.sources.web import (
    Caller,
    PassingError,
    Patience,
    Session,
    pieces,
    refused,
    require_uncoded,
    span,
    too_large,
    unreachable,
)
from regrow.store.atomic import write_atomic

_YOURSELF = "download it yourself and use `file:` if you trust it"
_TAG = re.compile(r"[\x20-\x7e\xa0-\xff]{1,1000}")


@dataclass
class Transfer:
    """One download: what has arrived lies in ``part``, and survives whatever happens."""

    session: Session
    url: str
    part: Path
    promise: Promise | None
    most: int
    caller: Caller
    total: int | None = None
    told: float = 0.0

    def run(self) -> None:
        """Try until all has arrived."""
        patience = Patience(self.url, self.caller, self._size())
        while True:
            try:
                with self.session.answer(self.url, self._headers()) as response:
                    self._take(response)
                return
            except PassingError as trouble:
                patience.wait(trouble, self._size())

    def _headers(self) -> dict[str, str]:
        """Ask for the rest of what is there, if it can be known to be the beginning of the same file."""
        headers = {"Accept-Encoding": "identity"}
        validator = self.part.with_suffix(".validator")
        tag = validator.read_text("utf-8", "replace") if validator.is_file() else ""
        tag = tag if _TAG.fullmatch(tag) else ""
        if self._size() and (tag or self.promise is not None):
            headers["Range"] = f"bytes={self._size()}-"
            if tag:
                headers["If-Range"] = tag
        return headers

    def _take(self, response: Response) -> None:
        """Add what the server sends to what is there."""
        size = self._size()
        if response.status_code == 416 and size:
            if response.headers.get("Content-Range") == f"bytes */{size}":
                return
            forget(self.part)
            raise PassingError("the server's file is another")
        if response.status_code not in (200, 206):
            raise refused(self.url, response)
        require_uncoded(self.url, response)
        begin, self.total = span(self.url, response)
        if response.status_code == 200:
            forget(self.part)
        elif begin != size:
            forget(self.part)
            if not size:
                raise unreachable(self.url, "the server sent a part, though it was asked for the whole file")
            raise PassingError("the server sent another part than was asked for")
        self._remember(response)
        self._append(response)
        if self.total is not None and (size := self._size()) != self.total:
            if size > self.total:
                forget(self.part)
            raise PassingError(f"the connection ended after {size} of {self.total} bytes")

    def _append(self, response: Response) -> None:
        if self.promise is None and (self.total or 0) > self.most:
            raise too_large(self.url, self.most, _YOURSELF)
        with self.part.open("ab") as file:
            for piece in pieces(response, self.caller):
                file.write(piece)
                self._tell(file.tell())
                if file.tell() > self.most:
                    break
        if self._size() > self.most:
            forget(self.part)
            if self.promise is None or self.promise.size is None:
                raise too_large(self.url, self.most, _YOURSELF)
            raise unexpected(self.promise, shown(self.url), f"more than {self.most} bytes")
        self._tell(self._size(), last=True)

    def _remember(self, response: Response) -> None:
        """Keep what identifies this version of the file, so that only its own rest is ever added to it."""
        tag = response.headers.get("ETag", "")
        tag = response.headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
        if _TAG.fullmatch(tag):
            write_atomic(self.part.with_suffix(".validator"), tag)

    def _tell(self, done: int, *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self.told > 0.1:
            self.told = now
            total = self.total or (self.promise.size if self.promise else None)
            self.caller.emit("progress", done=done, total=total, unit="bytes")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0


def forget(part: Path) -> None:
    """Remove what has arrived."""
    for path in (part, part.with_suffix(".validator")):
        path.unlink(missing_ok=True)
