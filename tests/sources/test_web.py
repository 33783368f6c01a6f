"""Servers that lie, loiter and talk nonsense: there is always an end, with the right words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regrow.errors import InputError, Interrupted, RecipeError
from regrow.sources import web
from regrow.sources.downloads import Downloads
from regrow.sources.scheme import idle, silent

from .conftest import Log, Server

MANY = "9" * 6000
OK = "HTTP/1.1 200 OK\r\n"


def get(downloads: Downloads, url: str, log: Log | None = None) -> Path:
    return downloads.get(url, emit=log.emit if log else silent, offline=False, poll=idle)


def failure(server: Server, downloads: Downloads, log: Log, head: str, *body: bytes) -> InputError:
    """What is said of a server that answers so."""
    server.answers["/a.txt"] = lambda handler, turn: handler.send_raw(f"{head}\r\n\r\n", *body)
    with pytest.raises(InputError, match=r"/a\.txt` cannot be fetched") as caught:
        get(downloads, server.url + "/a.txt", log)
    return caught.value


@pytest.mark.parametrize(
    ("head", "body", "why"),
    [
        (f"{OK}Content-Length: {MANY}", b"abc", "it is `99999999999999999999...` bytes long"),
        (f"{OK}Content-Length: -5", b"abc", "it is `-5` bytes long"),
        (f"{OK}Content-Length: abc", b"abc", "it is `abc` bytes long"),
        (f"{OK}Content-Length: 3\r\nContent-Length: 5", b"abcde", "contradicts itself"),
        (f"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-{MANY}/{MANY}", b"abc", "asked for the whole file"),
        ("HTTP/1.1 206 Part", b"abc", "asked for the whole file"),
        ("HTTP/1.1 204 No Content", b"", "the server says 204 No Content"),
        (f"HTTP/1.1 404 {'N' * 6000}", b"", "404 NNNNN"),
        ("HTTP/1.1 302 Found", b"", "the server says 302 Found"),
        ("HTTP/1.1 302 Found\r\nLocation: /a.txt", b"", "sent us on 20 times, perhaps in a circle"),
        ("HTTP/1.1 302 Found\r\nLocation: https://[bad", b"", "makes no sense"),
        (f"HTTP/1.1 302 Found\r\nLocation: https://{'a' * 70}.example/x", b"", "makes no sense"),
        ("HTTP/1.1 302 Found\r\nLocation: https://ho st/\x01", b"", "makes no sense"),
        ("HTTP/1.1 302 Found\r\nLocation: https://\xff\xfe.example/x", b"", "is not UTF-8"),
        (OK + "\r\n".join(f"X-{i}: 1" for i in range(200)), b"", "not HTTP"),
        (f"{OK}X: {'y' * 70000}", b"", "not HTTP"),
        ("SSH-2.0-OpenSSH", b"", "not HTTP"),
    ],
)
def test_what_cannot_get_better_is_asked_for_once(
    server: Server, downloads: Downloads, log: Log, head: str, body: bytes, why: str
) -> None:
    error = failure(server, downloads, log, head, body)
    assert why in error.why
    assert len(error.why) < 200
    assert log.slept == []


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("file:///etc/passwd", "`file:///etc/passwd` is not safe to fetch"),
        ("https://localhost:999999/x", "`https://localhost:999999/x` is no address"),
        ("https://user:secret@/x", "`https:///x` is no address"),
    ],
)
def test_where_a_server_may_not_send_us(server: Server, downloads: Downloads, location: str, says: str) -> None:
    server.answers["/a.txt"] = lambda handler, turn: handler.send_plain(302, Location=location)
    with pytest.raises(InputError) as caught:
        get(downloads, server.url + "/a.txt")
    assert caught.value.what == says


@pytest.mark.parametrize("body", [b"400\r\nonly this\r\n", b"zz\r\n", b"F" * 5000 + b"\r\nabc", b""])
def test_chunks_that_break_off(server: Server, downloads: Downloads, log: Log, body: bytes) -> None:
    error = failure(server, downloads, log, f"{OK}Transfer-Encoding: chunked", body)
    assert error.why == "the connection broke off, 5 times in a row"
    assert sum(log.slept) == 2 + 4 + 8 + 16


def test_chunks_that_arrive_are_joined(server: Server, downloads: Downloads) -> None:
    chunks = [b"3\r\nabc\r\n", b"10;name=value\r\n" + b"d" * 16 + b"\r\n", b"0\r\nX-Trailer: 1\r\n\r\n"]
    server.answers["/a"] = lambda handler, turn: handler.send_raw(f"{OK}Transfer-Encoding: chunked\r\n\r\n", *chunks)
    assert get(downloads, server.url + "/a").read_bytes() == b"abc" + b"d" * 16


def test_a_redirect_is_followed_without_what_comes_with_it(server: Server, downloads: Downloads) -> None:
    server.file("/b.txt", b"here")
    told = "HTTP/1.1 302 Found\r\nLocation: /b.txt\r\n\r\n"
    server.answers["/a.txt"] = lambda handler, turn: handler.send_raw(told, *[b"x" * 65536] * 10_000)
    began = time.monotonic()
    assert get(downloads, server.url + "/a.txt").read_bytes() == b"here"
    assert time.monotonic() - began < 5


def test_one_byte_in_each_connection_is_no_progress(server: Server, downloads: Downloads, log: Log) -> None:
    server.answers["/a.txt"] = lambda handler, turn: handler.send_file(b"x" * 1000, cut=1)
    with pytest.raises(InputError, match="5 times in a row"):
        get(downloads, server.url + "/a.txt", log)
    assert len(server.requests) == 5


def test_a_server_that_drips_is_left(
    server: Server, downloads: Downloads, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_SLOWEST", 0.05)

    def drip(handler, turn):  # type: ignore[no-untyped-def]
        handler.send_raw(f"{OK}Content-Length: 1000\r\n\r\n")
        for _ in range(20):
            time.sleep(0.01)
            handler.send_raw("x")

    server.answers["/a.txt"] = drip
    with pytest.raises(InputError) as caught:
        get(downloads, server.url + "/a.txt", log)
    assert "the server sends less than 64 kB in 0 s, 5 times in a row" in caught.value.why


def test_who_wants_to_stop_is_heard_while_a_server_drips(server: Server, downloads: Downloads) -> None:
    def drip(handler, turn):  # type: ignore[no-untyped-def]
        handler.send_raw(f"{OK}Content-Length: 100000\r\n\r\n", b"x")
        time.sleep(5)

    def stop() -> None:
        raise Interrupted("stopped")

    server.answers["/a.txt"] = drip
    began = time.monotonic()
    with pytest.raises(Interrupted):
        downloads.get(server.url + "/a.txt", emit=silent, offline=False, poll=stop)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_are_where_the_environment_says(
    untrusted: Server,
    downloads: Downloads,
    certificate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    url = untrusted.file("/a.txt", b"here")
    (tmp_path / "empty.pem").touch()
    for chosen, why in (
        (tmp_path / "gone.pem", "no such file or directory"),
        (tmp_path / "empty.pem", "it holds none"),
    ):
        monkeypatch.setenv(variable, str(chosen))
        with pytest.raises(RecipeError, match="is no file of certificates") as caught:
            get(downloads, url)
        assert (caught.value.where, caught.value.why) == (variable, why)
    monkeypatch.setenv(variable, str(certificate))
    assert get(downloads, url).read_bytes() == b"here"


@pytest.mark.parametrize("proxy", ["http://[bad", "nonsense://me:secret@localhost:1", "socks5://me:secret@localhost:1"])
def test_a_proxy_that_cannot_be(downloads: Downloads, log: Log, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(InputError, match="proxy") as caught:
        get(downloads, "https://example.org/a.txt", log)
    assert "secret" not in str(caught.value)
    assert log.slept == []


def test_a_netrc_that_is_not_text(
    server: Server, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_bytes(b"machine localhost login me password caf\xe9")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(InputError, match="cannot be fetched") as caught:
        get(downloads, server.file("/a.txt", b"here"))
    assert "~/.netrc" in caught.value.why


def test_netrc_is_read_and_asked_for(
    server: Server, downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guarded(handler, turn):  # type: ignore[no-untyped-def]
        known = "Authorization" in handler.headers
        handler.send_file(b"here") if known else handler.send_plain(401, WWW_Authenticate="Basic")

    server.answers["/a.txt"] = guarded
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(InputError, match="says 401") as caught:
        get(downloads, server.url + "/a.txt")
    assert caught.value.hint == "put name and password for `localhost` into ~/.netrc"
    (tmp_path / "netrc").write_text("machine localhost login me password secret")
    assert get(downloads, server.url + "/a.txt").read_bytes() == b"here"


@given(st.text() | st.sampled_from([MANY, f"Mon, 01 Jan {MANY} 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 -0000"]))
@example("Mon, 31 Dec 9999 23:59:59 -2359")
def test_whatever_a_server_says_the_pause_is_at_most_a_minute(later: str) -> None:
    assert 0 <= web._pause(3, later) <= 60
