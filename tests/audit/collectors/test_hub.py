"""Models of the hub: from a cache, and from a server here. python -m pytest tests/audit/collectors/test_hub.py"""

import json
import re
import threading
from collections.abc import Iterator
from errno import ENETUNREACH
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import gaierror
from typing import ClassVar

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NameResolutionError

from regrow.auditing.collectors import collect
from regrow.auditing.facts import AccessFact, ArchitectureFact, Component, ComponentFact, LicenceFact, State
from regrow.errors import InputError, RecipeError

from .making import TODAY, findings, of, sound, write

COMMIT = "a" * 40
CARD = "---\nlicense: mit\n---\n# Kitten\n\nA model that purrs, and does so in several keys.\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def fill(cache: Path) -> Path:
    top = cache / "models--cats--kitten"
    blob = "b" * 40
    write(top, {"refs/main": COMMIT, f"blobs/{blob}": CARD, "outside": "x"})
    place = top / "snapshots" / COMMIT
    place.mkdir(parents=True)
    (place / "README.md").symlink_to(f"../../blobs/{blob}")
    (place / "config.json").symlink_to("../../outside")
    return place


@pytest.mark.parametrize("target", ["hf:cats/kitten", f"hf:cats/kitten@{COMMIT}", "hf:cats/kitten@main", "path"])
def test_the_cache_is_read(cache: Path, target: str) -> None:
    place = fill(cache)
    found = collect(str(place) if target == "path" else target, today=TODAY, network=False)
    assert (found.id, found.kind, found.version) == (f"hf:cats/kitten@{COMMIT}", "huggingface", COMMIT)
    assert [fact.raw for fact in of(found, LicenceFact)] == ["mit"]
    assert findings(found) == {"cache-partial", "link-outside"}
    assert not [fact for fact in of(found, ComponentFact) if fact.state is State.ABSENT]


@pytest.mark.parametrize("target", ["hf:dogs/puppy", "hf:cats/kitten@v2"])
def test_without_the_network_there_is_only_the_cache(cache: Path, target: str) -> None:
    fill(cache)
    with pytest.raises(InputError, match="not in the local cache"):
        collect(target, today=TODAY, network=False)


@pytest.mark.parametrize("target", ["hf:../../etc", "hf:a/b/c", "hf:a b/c", "hf:/etc/passwd"])
def test_odd_names_are_refused(cache: Path, target: str) -> None:
    with pytest.raises(RecipeError, match="is not a model"):
        collect(target, today=TODAY, network=True)


@pytest.mark.parametrize("target", ["hf:a/b@../../x", "hf:a/b@", "hf:a/b@v 1", "hf:a/b@v1@v2"])
def test_odd_revisions_are_refused(cache: Path, target: str) -> None:
    with pytest.raises(RecipeError, match="is not a revision"):
        collect(target, today=TODAY, network=True)


def test_an_address_is_the_model_in_the_cache(cache: Path) -> None:
    fill(cache)
    found = collect("https://huggingface.co/cats/kitten/tree/main", today=TODAY, network=False)
    assert found.id == f"hf:cats/kitten@{COMMIT}"


class _Hub(BaseHTTPRequestHandler):
    files: ClassVar = {
        "README.md": CARD.encode(),
        "model.safetensors": sound(64),
        "config.json": b'{"model_type": "llama"}',
    }
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if match := re.match("/api/models/says/([0-9]+)-?(.*?)(/.*)?$", path):
            codes = {"X-Error-Code": match[2]} if match[2] else {}
            self._answer(int(match[1]), b"<html>", {"Retry-After": "90", **codes})
        elif path.startswith("/api/models/cats/locked"):
            self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif path.startswith("/api/models/cats/kitten"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
            siblings += [{"rfilename": "../evil", "size": 1}, {"rfilename": "pytorch_model.bin", "size": 10**12}]
            self._answer(200, json.dumps({"sha": COMMIT, "gated": False, "siblings": siblings}).encode(), {})
        elif (name := path.rpartition("/")[2]) in self.files:
            begin, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            self._answer(206, self.files[name][begin : end + 1], {})
        else:
            self._answer(404, b"", {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "*")
    _Hub.asked = []
    yield _Hub.asked
    server.shutdown()
    server.server_close()


def test_weights_without_a_suffix_are_known_by_their_beginning(hub: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Hub, "files", {"README.md": CARD.encode(), "kitten.weights": sound(9 << 20)})
    found = collect("hf:cats/kitten", today=TODAY, network=True)
    [shape] = of(found, ArchitectureFact)
    assert (shape.parameters, shape.dtypes) == (None, ("U8",))
    assert {fact.state for fact in of(found, ComponentFact) if fact.component is Component.PARAMETERS} == {
        State.PRESENT
    }


def test_texts_and_headers_are_fetched_and_weights_are_not(hub: list[str]) -> None:
    found = collect("hf:cats/kitten", today=TODAY, network=True)
    assert (found.id, found.version) == (f"hf:cats/kitten@{COMMIT}", COMMIT)
    assert [fact.access for fact in of(found, AccessFact)] == ["open"]
    assert [(fact.dtypes, fact.family) for fact in of(found, ArchitectureFact)] == [((), "llama"), (("U8",), "")]
    assert Component.PARAMETERS in {fact.component for fact in of(found, ComponentFact)}
    assert {"unsafe-file", "file-unreadable"} <= findings(found)
    assert not any("pytorch_model.bin" in path or "evil" in path for path in hub)


def test_with_the_network_a_cache_is_completed(hub: list[str], cache: Path) -> None:
    """Loading a model leaves neither card nor licence in the cache, so that what it lacks is not absent."""
    top, blob = cache / "models--cats--kitten", "c" * 64
    place = top / "snapshots" / COMMIT
    write(top, {"refs/main": COMMIT, f"blobs/{blob}": sound(64)})
    place.mkdir(parents=True)
    (place / "model.safetensors").symlink_to(f"../../blobs/{blob}")
    alone = collect("hf:cats/kitten", today=TODAY, network=False)
    assert (of(alone, LicenceFact), alone.complete) == ([], False)
    found = collect("hf:cats/kitten", today=TODAY, network=True)
    assert (found.id, findings(found) & {"cache-partial"}) == (alone.id, set())
    assert [fact.raw for fact in of(found, LicenceFact)] == ["mit"]
    assert hub[0] == f"/api/models/cats/kitten/revision/{COMMIT}?blobs=true"
    assert not any("model.safetensors" in path for path in hub)


def test_a_cache_is_read_where_the_hub_does_not_give_the_model(
    hub: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache).parents[1].rename(cache / "models--cats--locked")
    found = collect("hf:cats/locked", today=TODAY, network=True)
    assert [fact.raw for fact in of(found, LicenceFact)] == ["mit"]
    assert [fact.access for fact in of(found, AccessFact)] == ["gated"]
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert [fact.raw for fact in of(collect("hf:cats/locked", today=TODAY, network=True), LicenceFact)] == ["mit"]


def test_a_closed_model_is_said_to_be_closed(hub: list[str]) -> None:
    found = collect("hf:cats/locked", today=TODAY, network=True)
    assert [fact.access for fact in of(found, AccessFact)] == ["gated"]
    assert not found.complete


def test_what_nobody_can_see_is_an_error(hub: list[str]) -> None:
    with pytest.raises(InputError, match="everyone can see"):
        collect("hf:cats/none", today=TODAY, network=True)


def test_a_hub_that_does_not_answer_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be reached"):
        collect("hf:cats/kitten", today=TODAY, network=True)


@pytest.mark.parametrize(
    ("asked", "said", "todo"),
    [
        ("401-RepoNotFound", "there is no hf:says/401-RepoNotFound that everyone can see", "look at the spelling"),
        ("401", "that everyone can see", "what only its owner can see cannot be audited"),
        ("404", "there is no hf:says/404 that everyone can see", "look at the spelling"),
        ("404@v9", "`v9` is no branch, tag or commit", "leave it out: hf:says/404"),
        ("404-RevisionNotFound@v9", "`v9` is no branch, tag or commit", "leave it out"),
        ("404-RepoNotFound@v9", "that everyone can see", "look at the spelling"),
        ("403", "forbids it (status 403)", "see whether a browser without an account"),
        ("403-DisabledRepo", "its owner or the hub has closed it", "see whether a browser"),
        ("429", "too many questions from this network (status 429)", "wait 90 seconds"),
        ("500", "the hub itself is in trouble (status 500)", "try again later"),
        ("503", "the hub itself is in trouble (status 503)", "try again later"),
        ("418", "answers with status 418", "try again later"),
        ("200", "is not what a hub answers", "a log-in page"),
    ],
)
def test_each_refusal_has_its_cause_and_what_to_do(hub: list[str], asked: str, said: str, todo: str) -> None:
    with pytest.raises(InputError) as caught:
        collect(f"hf:says/{asked}", today=TODAY, network=True)
    assert said in str(caught.value) and todo in caught.value.hint
    assert "because" in str(caught.value) or "there is no" in str(caught.value)


def unresolved() -> Exception:
    """What comes of a name that no server of names knows."""
    reason = NameResolutionError("h", None, gaierror())  # type: ignore[arg-type]
    reason.__cause__ = gaierror()
    return requests.ConnectionError(MaxRetryError(None, "/x", reason))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (unresolved(), "host's name"),
        (requests.ConnectionError(OSError(ENETUNREACH, "HTTPSConnectionPool")), "network is unreachable"),
        (requests.ConnectTimeout("HTTPSConnectionPool(host='h', port=443)"), "does not answer in time"),
        (requests.exceptions.ProxyError("HTTPSConnectionPool"), "the proxy"),
        (requests.exceptions.SSLError("HTTPSConnectionPool"), "no secure connection"),
        (requests.exceptions.InvalidURL("HTTPSConnectionPool"), "makes no sense"),
    ],
)
def test_no_trouble_of_the_network_is_told_in_a_librarys_words(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def get(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(InputError, match="cannot be reached") as caught:
        collect("hf:cats/kitten", today=TODAY, network=True)
    assert said in caught.value.why and caught.value.hint
    assert not re.search("HTTPSConnectionPool|urllib3|requests|Errno|0x", str(caught.value))


def test_an_endpoint_that_is_no_address_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(RecipeError, match="is no address") as caught:
        collect("hf:cats/kitten", today=TODAY, network=True)
    assert caught.value.where == "HF_ENDPOINT"
