"""Requests and clients that are wrong, slow or hostile: all are told so, and the server lives on.

python -m pytest tests/serve/test_http_bad_input.py
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from click.testing import CliRunner
from starlette.testclient import TestClient

from regrow.cli import serve as cli
from regrow.cli.root import cli as root
from regrow.errors import InputError, RecipeError
from regrow.serve.http.app import application
from regrow.serve.http.guard import Doors
from regrow.serve.http.limits import Limits
from regrow.serve.http.served import Served
from regrow.serve.http.server import bound, listen
from tests.serve import servers

LIMITS = Limits(body=20_000, answer=50, texts=20, chances=900)
HERE = "http://localhost:8000"
NAMES = ("", "a b", "<|im_end|>", "x" * 65, 5)
HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.release(tmp_path_factory.mktemp("serve") / "babble")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    serves = Served.load(folder, LIMITS)
    yield serves
    serves.close()


@pytest.fixture
def client(served: Served) -> TestClient:
    return TestClient(application(served), HERE, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    limits = Limits(patience=1.5, unread=50, connections=40, answer=90, body=1 << 20)
    serves = Served.load(folder, limits)
    with servers.within(serves) as url:
        yield url
    serves.close()


def refused(answer: Any, status: int = 400) -> dict[str, Any]:
    """The error of an answer, in the shape that clients expect."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error


def asked(client: TestClient, **fields: Any) -> Any:
    """The answer to a completion whose fields may be no JSON."""
    body = json.dumps({"prompt": "Say", "max_tokens": 2, **fields})
    return client.post("/v1/completions", content=body, headers={"content-type": "application/json"})


def chatted(client: TestClient, **fields: Any) -> Any:
    return client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}], **fields})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[1]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"prompt": "\xff"}', "not UTF-8: byte 12 is 0xff"),
        (b'{"prompt": "a", "temperature": NaN}', "NaN is no number"),
        (b'{"prompt": "a", "temperature": -Infinity}', "-Infinity is no number"),
        (b'{"prompt": ' + b"[" * 9_000, "nested too deeply"),
        (b'{"prompt": "a", "seed": ' + b"9" * 9_000 + b"}", "no JSON: a number has thousands of digits"),
        (b'{"prompt": "\\ud800"}', "half a character"),
        (b'{"prompt": ["a", "\\udfff"]}', "half a character"),
        (b'{"prompt": "a", "\\ud83d": "\\ud83d\\ude00"}', "half a character"),
        (b'{"prompt": "a", "prompt": "b"}', 'has "prompt" twice'),
        (b'{"prompt": "a", "logit_bias": {"\\ud800": 1, "\\ud800": 2}}', "twice"),
        (b"{}", "`prompt` is missing"),
    ],
)
def test_a_body_that_is_none_is_refused(client: TestClient, body: bytes, said: str) -> None:
    answer = client.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert re.search(said, refused(answer)["message"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        *(({name: value}, name) for name in ("temperature", "top_p") for value in (-1, 1e9, "1", [], True, 10**400)),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"logit_bias": {"0": 1000}}, "logit_bias.0"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"290": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 1, "01": 2}}, "logit_bias"),
        ({"logit_bias": {"9" * 5000: 1}}, "logit_bias"),
        ({"n": 0}, "n"),
        ({"n": 10**12}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 51}, "max_tokens"),
        ({"stop": 5}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a", ""]}, "stop"),
        ({"stop": ["x" * 2000]}, "stop"),
        ({"stop": ["x"] * 3000}, "stop"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"usage": True}}, "stream_options.usage"),
        ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [290]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**30]}, "prompt"),
        ({"prompt": "", "add_special_tokens": False}, "prompt"),
        ({"prompt": ["a"] * 21}, "prompt"),
        ({"prompt": ["a"] * 5, "n": 5}, "n"),
        ({"prompt": "x" * 15_000}, "prompt"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": 97}, "truncate_prompt_tokens"),
        ({"model": 5}, "model"),
        ({"x" * 15_000: 5}, "x" * 60),
        ({"best_of": 2}, "best_of"),
        ({"suffix": "."}, "suffix"),
        ({"tools": [{}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"min_p": 0.1}, "min_p"),
        ({"repetition_penalty": 1.1}, "repetition_penalty"),
        ({"tempreature": 1}, "tempreature"),
    ],
)
def test_a_field_that_is_wrong_is_refused_by_its_name(client: TestClient, fields: Any, param: str) -> None:
    error = refused(asked(client, **fields))
    assert error["param"] == param and param in error["message"] and len(error["message"]) < 600


@pytest.mark.parametrize(
    "fields",
    [
        {"best_of": 1, "suffix": None, "tools": [], "response_format": {"type": "text"}, "user": "me", "metadata": {}},
        {"temperature": None, "n": None, "stop": None, "logit_bias": None, "stream": None, "repetition_penalty": 1},
        {"temperature": 0, "presence_penalty": 0, "logit_bias": {}, "top_k": -1, "stop": [], "min_p": 0},
        {"temperature": 1e-300, "seed": 2**64 - 1, "n": 2},
    ],
)
def test_fields_that_ask_for_nothing_else_are_taken(client: TestClient, fields: Any) -> None:
    assert asked(client, **fields).status_code == 200


def test_an_unknown_field_is_answered_with_the_one_that_was_meant(client: TestClient) -> None:
    assert "did you mean `max_tokens`?" in refused(asked(client, max_token=1))["message"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"messages": []}, "`messages` is empty"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\]: `content` is missing"),
        ({"messages": [{"role": "tool", "content": "x"}]}, r"messages\[0\]: `role`"),
        ({"messages": [{"role": "user", "content": 5}]}, r"messages\[0\]: `content`"),
        ({"messages": [{"role": "user", "content": "\\"}, {"role": "x"}]}, r"messages\[1\]"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "you go first"),
        *(({"messages": [{"role": "user", "content": "x", "name": one}]}, r"messages\[0\]: `name`") for one in NAMES),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]}, "tool_calls"),
        ({"top_logprobs": 3}, "needs `logprobs`"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"max_completion_tokens": 51}, "max_completion_tokens"),
        ({"messages": [{"role": "user", "content": "say it " * 96}]}, "reads 96 tokens at once"),
    ],
)
def test_a_conversation_that_is_wrong_is_refused(client: TestClient, fields: Any, said: str) -> None:
    assert re.search(said, refused(chatted(client, **fields))["message"])


_NO_PART = 'this is no part as `{"type": "text", "text": "..."}`'


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "image_url", "image_url": {"url": "file:///etc/x"}}, "this is an image"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "this is sound"),
        ({"type": "file", "file": {"file_id": "x"}}, "this is a file"),
        ({"type": "text"}, _NO_PART),
        ({"type": "text", "text": None}, _NO_PART),
        ({"text": "x"}, _NO_PART),
        (1, _NO_PART),
        ({"type": "hologram\n", "hologram": 1}, 'this is of type "hologram\\n"'),
    ],
)
def test_a_part_that_is_no_text_is_told_to_be_unread(client: TestClient, part: Any, said: str) -> None:
    messages = [{"role": "system", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": "x"}, part]}]
    for answer in (chatted(client, messages=messages), client.post("/tokenize", json={"messages": messages})):
        told = refused(answer)
        assert told["message"].startswith(f"messages[1].content[1]: {said}, and the model reads text and nothing else")
        assert (told["param"], told["code"]) == ("messages[1].content[1]", "unsupported_value")


def test_a_model_without_a_template_answers_nobody(tmp_path: Path) -> None:
    serves = Served.load(servers.release(tmp_path / "plain", template=None), LIMITS)
    error = refused(chatted(TestClient(application(serves), HERE)))
    assert error["code"] == "no_chat_template" and "/v1/completions" in error["message"]
    serves.close()


def test_a_template_that_fails_is_the_fault_of_one_request(tmp_path: Path) -> None:
    path = servers.release(tmp_path / "odd", template="{{ messages[7].content.nothing() }}")
    serves = Served.load(path, LIMITS)
    client = TestClient(application(serves), HERE)
    message = refused(chatted(client))["message"]
    assert "the chat template fails" in message and str(tmp_path) not in message
    assert asked(client).status_code == 200
    serves.close()


def test_tokens_that_are_none_have_no_text(client: TestClient) -> None:
    for tokens in ([290], [-1], [10**30], ["a"], "a"):
        refused(client.post("/detokenize", json={"tokens": tokens}))
    for fields in ({}, {"prompt": "a", "messages": []}, {"prompt": 1}):
        refused(client.post("/tokenize", json=fields))


def test_what_is_no_json_or_too_large_has_a_status_of_its_own(client: TestClient) -> None:
    for sort in ("text/plain", "application/x-www-form-urlencoded", ""):  # what a page of anybody may send unasked
        refused(client.post("/v1/completions", content=b"{}", headers={"content-type": sort}), 415)
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    refused(client.post("/v1/completions", content=b"x", headers=packed), 415)
    error = refused(asked(client, prompt="x" * 20_000), 413)
    assert "20,000 bytes" in error["message"]


def test_an_answer_that_tells_too_many_chances_has_to_be_streamed(client: TestClient) -> None:
    fields = {"prompt": ["a"] * 10, "n": 2, "max_tokens": 5}  # 100 tokens are written, and 40 are read
    assert "ask for fewer, or for a stream" in refused(asked(client, **fields, logprobs=9))["message"]
    assert asked(client, **fields, logprobs=9, stream=True).status_code == 200
    assert asked(client, **fields, logprobs=8).status_code == 200
    refused(asked(client, **fields, logprobs=8, echo=True))


def test_paths_and_methods_that_there_are_not(client: TestClient) -> None:
    refused(client.get("/v1/nothing"), 404)
    refused(client.get("/../../etc/passwd"), 404)
    refused(client.get("/v1/models/../../etc/passwd"), 404)
    refused(client.get("/v1/completions"), 405)
    assert len(refused(asked(client, model="x" * 15_000), 404)["message"]) < 300
    assert refused(client.post("/v1/embeddings", json={"input": "x"}), 404)["message"].endswith("made for them")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic secret", "secret", "Bearer sécret"])
def test_a_key_has_to_be_shown_if_there_is_one(served: Served, header: str) -> None:
    client = TestClient(application(served, Doors(key="secret")), HERE)
    headers = {"authorization": header.encode()} if header else {}
    error = refused(client.get("/v1/models", headers=headers), 401)
    assert error["code"] == "invalid_api_key" and "secret" not in error["message"]
    assert client.get("/health").status_code == 200
    assert client.get("/v1/models", headers={"authorization": "Bearer secret"}).status_code == 200
    refused(client.get("/metrics"), 401)


@pytest.mark.parametrize(
    ("host", "bound_to", "status"),
    [
        ("localhost:8000", "127.0.0.1", 200),
        ("127.0.0.1:1", "127.0.0.1", 200),
        ("[::1]:8000", "::1", 200),
        ("LOCALHOST", "127.0.0.1", 200),
        ("evil.example:8000", "127.0.0.1", 403),
        ("localhost.evil.example", "127.0.0.1", 403),
        ("evil.example@localhost", "127.0.0.1", 403),
        ("", "127.0.0.1", 403),
        ("model.example", "0.0.0.0", 200),
    ],
)
def test_a_name_that_leads_here_from_elsewhere_is_refused(
    served: Served, host: str, bound_to: str, status: int
) -> None:
    client = TestClient(application(served, Doors(bound_to)), HERE)
    assert client.get("/v1/models", headers={"host": host}).status_code == status


def test_pages_of_others_may_ask_only_if_they_are_named(served: Served) -> None:
    theirs, ours = {"origin": "https://page.example"}, {"origin": HERE}
    client = TestClient(application(served), HERE)
    refused(client.get("/v1/models", headers=theirs), 403)
    assert client.get("/v1/models", headers=ours).status_code == 200
    assert "access-control-allow-origin" not in client.get("/v1/models", headers=ours).headers
    named = TestClient(application(served, Doors(origins=("https://page.example",), key="secret")), HERE)
    preflight = {**theirs, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    assert (
        named.options("/v1/completions", headers=preflight).headers["access-control-allow-origin"] == theirs["origin"]
    )
    answer = named.get("/v1/models", headers={**theirs, "authorization": "Bearer secret"})
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == theirs["origin"]
    refused(named.get("/v1/models", headers={"origin": "https://other.example"}), 403)


def test_an_answer_that_takes_too_long_is_ended(folder: Path) -> None:
    serves = Served.load(folder, Limits(seconds=0.05))
    client = TestClient(application(serves), HERE)
    fields = {"prompt": ["Say"] * 100, "max_tokens": 90}
    assert refused(client.post("/v1/completions", json=fields), 503)["code"] == "timeout"
    streamed = client.post("/v1/completions", json={**fields, "stream": True})
    told = [line for line in streamed.text.splitlines() if line]
    assert json.loads(told[-1].removeprefix("data: "))["error"]["code"] == "timeout"
    serves.close()


def address(server: str) -> tuple[str, int]:
    at = urlsplit(server)
    assert at.hostname and at.port
    return at.hostname, at.port


def raw(server: str, data: bytes, seconds: float = 60) -> bytes:
    """What comes back for some bytes, until the server hangs up."""
    with socket.create_connection(address(server), timeout=seconds) as connection:
        with suppress(ConnectionError):  # it may hang up amid what it does not want
            connection.sendall(data)
        return _rest(connection)


def _rest(connection: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(1 << 16):
            found += data
    return found


def lives(server: str) -> bool:
    return requests.post(f"{server}/v1/completions", json={"prompt": "Say", "max_tokens": 1}).status_code == 200


def counted(server: str, name: str) -> float:
    """A number of /metrics."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", requests.get(f"{server}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # as TLS begins
        b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * (1 << 20) + b"\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_so(server: str, data: bytes) -> None:
    head, _, body = raw(server, data).partition(b"\r\n\r\n")
    assert not head or (b" 400 " in head and json.loads(body)["error"]["message"])
    assert lives(server)


def test_a_body_of_ten_megabytes_is_refused_and_not_kept(server: str) -> None:
    body = json.dumps({"prompt": "x" * (10 << 20)})
    headers = {"content-type": "application/json"}
    refused(requests.post(f"{server}/v1/completions", data=body, headers=headers), 413)
    assert lives(server)


def test_who_sends_slowly_or_nothing_is_hung_up_on(server: str) -> None:
    begun = time.monotonic()
    connections = [socket.create_connection(address(server), timeout=60) for _ in range(4)]
    for connection, sent in zip(connections, (b"", b"POST", HEAD, HEAD + b"content-length: 99\r\n\r\n{"), strict=True):
        connection.sendall(sent)
    for connection in connections:
        for _ in range(3):  # a byte now and then does not help
            time.sleep(0.1)
            with suppress(ConnectionError):
                connection.sendall(b"x")
        _rest(connection)
        connection.close()
    assert time.monotonic() - begun < 30
    assert lives(server)


def test_who_closes_his_end_or_all_is_no_harm(server: str) -> None:
    body = json.dumps({"prompt": ["Say"] * 20, "max_tokens": 90}).encode()
    whole = b"%scontent-length: %d\r\n\r\n%s" % (HEAD, len(body), body)
    for sent, half in ((whole, True), (whole[:-5], True), (whole[:40], True), (whole, False), (b"", False)):
        connection = socket.create_connection(address(server), timeout=60)
        connection.sendall(sent)
        if half:
            connection.shutdown(socket.SHUT_WR)
            _rest(connection)
        connection.close()
    until = time.monotonic() + 60
    while counted(server, "regrow_texts") and time.monotonic() < until:
        time.sleep(0.05)
    assert counted(server, "regrow_texts") == 0 and lives(server)


def test_who_never_reads_is_written_for_no_longer(server: str) -> None:
    def given_up() -> float:
        return sum(counted(server, f'regrow_cancelled_texts_total{{why="{why}"}}') for why in ("unread", "disconnect"))

    before = given_up()
    fields = {"prompt": ["Say", "it"] * 20, "n": 5, "max_tokens": 90, "logprobs": 20, "temperature": 0, "stream": True}
    body = json.dumps(fields).encode()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(address(server))
    connection.sendall(b"%scontent-length: %d\r\n\r\n%s" % (HEAD, len(body), body))
    until = time.monotonic() + 120
    while given_up() == before and time.monotonic() < until:
        time.sleep(0.1)
    assert given_up() > before and lives(server)
    connection.close()


def test_too_many_connections_are_refused_until_some_end(server: str) -> None:
    held = [socket.create_connection(address(server), timeout=60) for _ in range(40)]
    time.sleep(0.2)
    with socket.create_connection(address(server), timeout=60) as one_more:
        assert b" 503 " in _rest(one_more)
    for connection in held:
        connection.close()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            assert lives(server)
            return
        except (AssertionError, requests.ConnectionError):
            time.sleep(0.1)
    raise AssertionError("the server does not come back")


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with bound("127.0.0.1", 0) as first:
        listen(first)
        port = first.getsockname()[1]
        with pytest.raises(RecipeError, match="listens here already") as error, bound("127.0.0.1", port):
            pass
        assert error.value.where == f"127.0.0.1:{port}" and "--port 0" in error.value.hint
    with pytest.raises(RecipeError, match="nobody can listen here"), bound("192.0.2.1", 0):
        pass
    with pytest.raises(RecipeError, match="nobody can listen here"), bound("no-such-host.invalid", 0):
        pass


def test_what_is_missing_is_told_with_the_extra_that_has_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "uvicorn" else name)
    result = CliRunner().invoke(root, ["serve", str(folder)], standalone_mode=False)
    assert result.exit_code == InputError.exit_code
    assert "`uvicorn` are not there" in result.output and "pip install 'regrow[serve]'" in result.output


@pytest.mark.parametrize("key", [b"", b" \n", b"two words", b"\xff", b"x" * 5000])
def test_a_key_that_is_none_is_refused(folder: Path, tmp_path: Path, key: bytes) -> None:
    (tmp_path / "key").write_bytes(key)
    result = CliRunner().invoke(root, ["serve", str(folder), "--port", "0", "--api-key-file", str(tmp_path / "key")])
    assert result.exit_code == RecipeError.exit_code and "this is no key" in result.output


@pytest.mark.parametrize("damaged", ["tokenizer.json", "model.safetensors", "config.json"])
def test_a_release_that_is_damaged_is_not_served(tmp_path: Path, damaged: str) -> None:
    path = servers.release(tmp_path / "babble")
    with (path / damaged).open("ab") as file:
        file.write(b" ")
    result = CliRunner().invoke(root, ["serve", str(path), "--port", "0"])
    assert result.exit_code == InputError.exit_code and "not the file that was released" in result.output


def test_a_release_without_a_tokenizer_is_not_served(tmp_path: Path) -> None:
    path = servers.release(tmp_path / "babble")
    (path / "tokenizer.json").unlink()
    result = CliRunner().invoke(root, ["serve", str(path), "--port", "0"])
    assert result.exit_code == InputError.exit_code and "a file of the release is missing" in result.output
    assert "tokenizer.json" in result.output


def test_what_becomes_of_a_release_while_it_is_served_is_no_matter(tmp_path: Path) -> None:
    path = servers.release(tmp_path / "babble")
    serves = Served.load(path, LIMITS)
    client = TestClient(application(serves), HERE)

    def told() -> list[Any]:
        known = [client.get(one).json() for one in ("/health", "/v1/models", "/v1/models/babble", "/tokenizer_info")]
        answer = asked(client, echo=True, logprobs=2, max_tokens=8).json()
        return [*known, answer["choices"], answer["system_fingerprint"]]

    before = told()
    for one in path.iterdir():  # in place, as `cp` does it: whatever is mapped changes with it
        one.write_bytes(b"")
    assert told() == before
    shutil.rmtree(path)
    assert told() == before
    serves.close()


def test_what_a_release_says_of_writing_is_followed_or_told(tmp_path: Path) -> None:
    path = servers.release(tmp_path / "babble", top_k=3, top_p=0.9, temperature=0.5, repetition_penalty=1.2)
    serves = Served.load(path, LIMITS)
    told = asked(TestClient(application(serves), HERE)).json()["regrow"]["sampling"]
    assert (told["top_k"], told["top_p"], told["temperature"]) == (3, 0.9, 0.5)
    assert serves.unheeded == ["repetition_penalty"]
    serves.close()
    greedy = Served.load(servers.release(tmp_path / "greedy", do_sample=False), LIMITS)
    assert asked(TestClient(application(greedy), HERE)).json()["regrow"]["sampling"]["temperature"] == 0
    greedy.close()
