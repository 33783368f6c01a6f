from __future__ import annotations

import gzip
import hashlib
import os
import threading
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
from requests.certs import where

from regrow.errors import InputError, Interrupted, RecipeError
from regrow.sources.downloads import Downloads, default_folder
from regrow.sources.faults import Promise
from regrow.sources.scheme import idle, silent

from .conftest import Log, Server

DATA = bytes(range(256)) * 4000  # more than one chunk


def pin_of(data: bytes, name: str = "file.bin") -> Promise:
    return Promise(name, hashlib.sha256(data).hexdigest(), len(data))


def get(
    downloads: Downloads, url: str, pin: Promise | None = None, log: Log | None = None, offline: bool = False
) -> Path:
    return downloads.get(url, pin, emit=log.emit if log else silent, offline=offline, poll=idle)


def test_the_home_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_DOWNLOADS", "~nosuchuser/downloads")
    with pytest.raises(RecipeError, match="no home directory for `~nosuchuser/downloads`") as caught:
        default_folder()
    assert caught.value.where == "REGROW_DOWNLOADS"


def test_a_file_arrives_and_progress_is_told(server: Server, downloads: Downloads, log: Log) -> None:
    path = get(downloads, server.file("/file.bin", DATA), log=log)
    assert path.read_bytes() == DATA
    assert log.events[-1] == ("progress", {"done": len(DATA), "total": len(DATA), "unit": "bytes"})
    assert list((downloads.folder / "parts").glob("*[!k]")) == []  # nothing but the lock is left


def test_a_broken_connection_is_continued_where_it_broke(server: Server, downloads: Downloads, log: Log) -> None:
    server.answers["/file.bin"] = lambda handler, turn: handler.send_file(DATA, cut=300_000 if turn < 4 else None)
    assert get(downloads, server.url + "/file.bin", pin_of(DATA), log).read_bytes() == DATA
    assert [request.range for request in server.requests] == [None, *(f"bytes={n * 300_000}-" for n in (1, 2, 3))]
    assert "trying again" in log.notes()


def test_another_run_continues_what_one_began(server: Server, downloads: Downloads) -> None:
    server.answers["/file.bin"] = lambda handler, turn: handler.send_file(DATA, cut=100_000)

    def give_up(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(Downloads(downloads.folder, give_up), server.url + "/file.bin", pin_of(DATA))
    server.file("/file.bin", DATA)
    assert get(downloads, server.url + "/file.bin", pin_of(DATA)).read_bytes() == DATA
    assert server.requests[-1].range == "bytes=100000-"


def test_a_server_without_ranges_is_asked_from_the_start(server: Server, downloads: Downloads) -> None:
    server.answers["/file.bin"] = lambda handler, turn: handler.send_file(
        DATA, ranges=False, cut=1000 if turn == 1 else None
    )
    assert get(downloads, server.url + "/file.bin", pin_of(DATA)).read_bytes() == DATA


def test_parts_of_two_versions_are_never_joined(server: Server, downloads: Downloads) -> None:
    other = DATA[::-1]
    server.answers["/file.bin"] = lambda handler, turn: (
        handler.send_file(DATA, cut=1000, tag='"old"') if turn == 1 else handler.send_file(other, tag='"new"')
    )
    assert get(downloads, server.url + "/file.bin").read_bytes() == other


def test_without_a_validator_or_a_hash_a_part_is_not_continued(server: Server, downloads: Downloads) -> None:
    server.answers["/file.bin"] = lambda handler, turn: handler.send_file(DATA, cut=99 if turn == 1 else None, tag="")
    assert get(downloads, server.url + "/file.bin").read_bytes() == DATA
    assert [request.range for request in server.requests] == [None, None]


def test_a_part_that_is_whole_already_is_taken(server: Server, downloads: Downloads) -> None:
    url = server.file("/file.bin", DATA)
    part = downloads.folder / "parts" / hashlib.sha256(url.encode()).hexdigest()
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA)
    assert get(downloads, url, pin_of(DATA)).read_bytes() == DATA
    assert server.requests[-1].range == f"bytes={len(DATA)}-"


def test_a_wrong_range_starts_again(server: Server, downloads: Downloads) -> None:
    def answer(handler, turn):  # type: ignore[no-untyped-def]
        if turn == 2:
            handler.send_plain(206, b"abc", Content_Range="bytes 5-7/8")
        else:
            handler.send_file(DATA, cut=1000 if turn == 1 else None)

    server.answers["/file.bin"] = answer
    assert get(downloads, server.url + "/file.bin", pin_of(DATA)).read_bytes() == DATA


def test_wrong_bytes_are_refused_and_forgotten(server: Server, downloads: Downloads) -> None:
    url = server.file("/file.bin", b"x" * 100)
    with pytest.raises(InputError) as caught:
        get(downloads, url, pin_of(DATA))
    assert caught.value.exit_code == 6
    assert hashlib.sha256(b"x" * 100).hexdigest() in str(caught.value)
    assert pin_of(DATA).sha256 in str(caught.value)
    assert "100 bytes" in str(caught.value)
    server.file("/file.bin", DATA)
    assert get(downloads, url, pin_of(DATA)).read_bytes() == DATA


def test_a_web_page_instead_is_called_one(server: Server, downloads: Downloads) -> None:
    url = server.file("/file.bin", b"\n <!DOCTYPE html><title>Please log in</title>")
    with pytest.raises(InputError, match="a web page came instead"):
        get(downloads, url, pin_of(DATA))


def test_a_flood_is_cut_off(server: Server, downloads: Downloads) -> None:
    url = server.file("/file.bin", b"x" * (4 << 20))
    with pytest.raises(InputError, match="more than"):
        get(downloads, url, pin_of(b"small"))
    assert not (downloads.folder / "parts" / hashlib.sha256(url.encode()).hexdigest()).exists()


@pytest.mark.parametrize("later", ["3", "date", "soon", None])
def test_a_busy_server_is_asked_again_when_it_says(
    server: Server, downloads: Downloads, log: Log, later: str | None
) -> None:
    value = formatdate(time() + 4, usegmt=True) if later == "date" else later
    headers = {} if value is None else {"Retry_After": value}
    server.answers["/file.bin"] = lambda handler, turn: (
        handler.send_plain(503, **headers) if turn == 1 else handler.send_file(DATA)
    )
    assert get(downloads, server.url + "/file.bin", log=log).read_bytes() == DATA
    expected = {"3": 3.0, "date": 3.5}.get(str(later), 2.0)
    assert sum(log.slept) == pytest.approx(expected, abs=1)


def test_a_server_that_asks_for_a_day_gets_a_minute(server: Server, downloads: Downloads, log: Log) -> None:
    server.answers["/file.bin"] = lambda handler, turn: (
        handler.send_plain(429, Retry_After="86400") if turn == 1 else handler.send_file(DATA)
    )
    get(downloads, server.url + "/file.bin", log=log)
    assert sum(log.slept) == 60


def test_trying_ends(server: Server, downloads: Downloads, log: Log) -> None:
    server.answers["/file.bin"] = lambda handler, turn: handler.send_plain(500)
    with pytest.raises(InputError, match="the server says 500"):
        get(downloads, server.url + "/file.bin", log=log)
    assert len(server.requests) == 5


def test_what_is_not_there_is_not_asked_for_twice(server: Server, downloads: Downloads) -> None:
    with pytest.raises(InputError, match="the server says 404"):
        get(downloads, server.url + "/missing.bin")
    assert len(server.requests) == 1


def test_what_is_pinned_is_downloaded_once(server: Server, downloads: Downloads) -> None:
    url = server.file("/file.bin", DATA)
    assert get(downloads, url, pin_of(DATA)) == get(downloads, url, pin_of(DATA), offline=True)
    assert len(server.requests) == 1


def test_a_damaged_cache_is_noticed(server: Server, downloads: Downloads) -> None:
    url = server.file("/file.bin", DATA)
    path = get(downloads, url, pin_of(DATA))
    path.write_bytes(b"!" + DATA[1:])
    assert get(downloads, url, pin_of(DATA)).read_bytes() == DATA
    assert len(server.requests) == 2


def test_a_file_of_unknown_size_has_a_limit(server: Server, downloads: Downloads) -> None:
    small = replace(downloads, largest=200_000)

    def endless(handler, turn):  # type: ignore[no-untyped-def]
        handler.send_raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", *[b"x" * 65536] * 1000)

    server.answers["/endless"] = endless
    server.answers["/announced"] = lambda handler, turn: handler.send_raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\n"
    )
    for path in ("/endless", "/announced"):
        with pytest.raises(InputError, match="is too large") as caught:
            get(small, server.url + path)
        assert "`file:`" in caught.value.hint
        assert list((small.folder / "parts").glob("*[!k]")) == []  # it does not stay on the disk
    assert len(server.requests) == 2
    assert len(get(small, server.file("/a.bin", b"x" * 300_000), pin_of(b"x" * 300_000)).read_bytes()) == 300_000


def test_a_validator_that_is_damaged_is_not_sent(server: Server, downloads: Downloads) -> None:
    url = server.file("/file.bin", DATA)
    part = downloads.folder / "parts" / hashlib.sha256(url.encode()).hexdigest()
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA[:1000])
    part.with_suffix(".validator").write_bytes(b'"1\r\n\xff')
    assert get(downloads, url).read_bytes() == DATA
    assert server.requests[0].range is None


def test_a_file_in_the_place_of_the_folder(server: Server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("thesis")
    with pytest.raises(RecipeError, match="there is a file where downloads should be kept") as caught:
        get(Downloads(tmp_path / "taken"), server.file("/file.bin", DATA))
    assert caught.value.where == "REGROW_DOWNLOADS"


def test_offline_says_so(server: Server, downloads: Downloads) -> None:
    with pytest.raises(InputError, match="stay offline") as caught:
        get(downloads, server.file("/file.bin", DATA), pin_of(DATA), offline=True)
    assert caught.value.hint
    assert server.requests == []


def test_two_at_once_download_once(server: Server, downloads: Downloads) -> None:
    url = server.file("/file.bin", DATA)
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(get(downloads, url, pin_of(DATA)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() == DATA for path in paths] == [True] * 4
    assert len(server.requests) == 1


def test_a_stop_keeps_what_has_arrived(server: Server, downloads: Downloads) -> None:
    url = server.file("/file.bin", DATA)

    def stop() -> None:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        downloads.get(url, pin_of(DATA), emit=silent, offline=False, poll=stop)
    part = downloads.folder / "parts" / hashlib.sha256(url.encode()).hexdigest()
    kept = part.stat().st_size
    assert 0 < kept <= 1 << 16  # on a slow line it must not take long to be heard
    assert get(downloads, url, pin_of(DATA)).read_bytes() == DATA
    assert server.requests[-1].range == f"bytes={kept}-"


def test_an_untrusted_certificate_is_refused_at_once(
    untrusted: Server, downloads: Downloads, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", where())
    with pytest.raises(InputError, match=r"certificate is not trusted here \(self-signed") as caught:
        get(downloads, untrusted.file("/file.bin", DATA), log=log)
    assert "REQUESTS_CA_BUNDLE" in caught.value.hint
    assert log.slept == []


def test_plain_http_is_for_this_machine_only(plain_server: Server, downloads: Downloads) -> None:
    assert get(downloads, plain_server.file("/file.bin", DATA)).read_bytes() == DATA
    for url in ("http://example.org/file.bin", "ftp://localhost/file.bin", "http://localhost.example.org/file.bin"):
        with pytest.raises(InputError, match="not safe to fetch"):
            get(downloads, url)


@pytest.mark.parametrize("target", ["http://example.org/x", "ftp://example.org/x", "plain"])
def test_a_redirect_cannot_leave_tls(server: Server, plain_server: Server, downloads: Downloads, target: str) -> None:
    place = plain_server.file("/file.bin", DATA) if target == "plain" else target
    server.answers["/moved"] = lambda handler, turn: handler.send_plain(302, Location=place)
    with pytest.raises(InputError, match="not safe to fetch") as caught:
        get(downloads, server.url + "/moved")
    assert caught.value.hint == f"`{server.url}/moved` sent us on to it: look for another address"
    assert plain_server.requests == []


def test_a_redirect_within_tls_is_followed(server: Server, downloads: Downloads) -> None:
    server.file("/file.bin", DATA)
    server.answers["/moved"] = lambda handler, turn: handler.send_plain(302, Location="/file.bin")
    assert get(downloads, server.url + "/moved").read_bytes() == DATA


def test_a_file_that_is_packed_itself_stays_as_it_is(server: Server, downloads: Downloads) -> None:
    server.answers["/a.gz"] = lambda handler, turn: handler.send_plain(200, b"\x1f\x8bnot", Content_Encoding="gzip")
    assert get(downloads, server.url + "/a.gz").read_bytes() == b"\x1f\x8bnot"


@pytest.mark.parametrize("header", ["Content_Encoding", "Transfer_Encoding"])
@pytest.mark.parametrize("coding", ["gzip", "br", "identity, X-Gzip", "deflate", "no such thing"])
def test_a_packed_transfer_is_refused(server: Server, downloads: Downloads, header: str, coding: str) -> None:
    packed = {header: coding}
    server.answers["/a.txt?a.gz"] = lambda handler, turn: handler.send_plain(200, gzip.compress(b"a"), **packed)
    for promise in (None, pin_of(b"a")):
        with pytest.raises(InputError, match=r"/a\.txt` came packed") as caught:
            get(downloads, server.url + "/a.txt?a.gz", promise)
        assert coding.rpartition(" ")[2].lower() in caught.value.why
    assert len(server.requests) == 2


@pytest.mark.parametrize("coding", ["Identity", "", "aws-chunked", "UTF-8"])
def test_a_transfer_that_is_not_packed_is_taken(server: Server, downloads: Downloads, coding: str) -> None:
    server.answers["/a.txt"] = lambda handler, turn: handler.send_plain(200, b"a", Content_Encoding=coding)
    assert get(downloads, server.url + "/a.txt").read_bytes() == b"a"


def test_passwords_are_not_shown(downloads: Downloads, log: Log) -> None:
    with pytest.raises(InputError) as caught:
        get(downloads, "https://me:secret@localhost:1/file.bin?token=hidden", log=log)
    assert "refused" in str(caught.value)
    assert "secret" not in str(caught.value) + log.notes()
    assert "hidden" not in str(caught.value) + log.notes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Exception, match="no permission"):
        get(Downloads(tmp_path / "downloads"), server.file("/file.bin", DATA))


def test_what_is_no_sha256_is_neither_looked_for_nor_removed(downloads: Downloads, tmp_path: Path) -> None:
    (downloads.folder / "files").mkdir(parents=True)
    (victim := tmp_path / "thesis.txt").write_text("years")
    for name in (str(victim), "../../thesis.txt", ""):
        with pytest.raises(ValueError, match="is not a sha256"):
            downloads.find(name)
    assert victim.read_text() == "years"
