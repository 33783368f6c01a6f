"""Whether an address answers. python -m pytest tests/audit/test_links.py"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from regrow.auditing.links import resolver

ASKED: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ASKED.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/200")
        else:
            self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    ASKED.clear()
    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "there"),
    [("200", True), ("moved", True), ("404", False), ("410", False), ("401", None), ("403", None), ("500", None)],
)
def test_only_not_found_says_that_nothing_is_there(server: str, path: str, there: bool | None) -> None:
    assert resolver()(f"{server}/{path}") is there


def test_each_address_is_asked_once(server: str) -> None:
    answers = resolver()
    assert [answers(f"{server}/200") for _ in range(3)] == [True] * 3
    assert ASKED == ["/200"]


@pytest.mark.parametrize("link", ["data/README.md", "ftp://a.example/x", "http://127.0.0.1:1/", "https://[", ""])
def test_what_cannot_be_asked_is_not_known(link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert resolver()(link) is None
