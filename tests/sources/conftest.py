"""A real HTTPS server on this machine that behaves as badly as it is told to."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from regrow.sources.downloads import Downloads


@dataclass
class Request:
    path: str
    range: str | None
    headers: dict[str, str]


@dataclass
class Server:
    """``answers`` maps a path to a function that gets the handler and its turn: 1 for the first request, and so on."""

    url: str
    answers: dict[str, Callable[[Handler, int], None]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def file(self, path: str, data: bytes, **options: object) -> str:
        """Serve a file as a good server does, with ranges and a validator."""
        self.answers[path] = lambda handler, turn: handler.send_file(data, **options)  # type: ignore[arg-type]
        return self.url + path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: Server

    def do_GET(self) -> None:
        state = self.server_state
        state.requests.append(Request(self.path, self.headers.get("Range"), dict(self.headers)))
        turn = sum(request.path == self.path for request in state.requests)
        answer = state.answers.get(self.path)
        if answer is None:
            self.send_plain(404, b"no such file")
        else:
            answer(self, turn)

    def send_plain(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, data: bytes, *, ranges: bool = True, cut: int | None = None, tag: str = '"1"') -> None:
        """Send a file, or what is left of it; ``cut`` breaks the connection off after so many bytes."""
        begin = 0
        wanted = self.headers.get("Range")
        if wanted and ranges and self.headers.get("If-Range", tag) == tag:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= len(data):
                self.send_plain(416, Content_Range=f"bytes */{len(data)}")
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - begin))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(data[begin:] if cut is None else data[begin : begin + cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def send_raw(self, head: str, *body: bytes) -> None:
        """Send just this and close, whether it is HTTP or not."""
        self.close_connection = True
        for part in (head.encode("latin-1"), *body):
            self.wfile.write(part)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def serve(scheme: str, certificate: Path | None) -> Iterator[Server]:
    state = Server("")
    handler = type("BoundHandler", (Handler,), {"server_state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.url = f"{scheme}://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def untrusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose certificate this machine does not trust."""
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    yield from serve("https", certificate)


@pytest.fixture
def server(untrusted: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    return untrusted


@pytest.fixture
def plain_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    yield from serve("http", None)


@dataclass
class Log:
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def emit(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    def notes(self) -> str:
        return "\n".join(str(fields.get("text")) for event, fields in self.events if event == "note")


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def downloads(tmp_path: Path, log: Log) -> Downloads:
    """A fresh cache that does not really wait."""
    return Downloads(tmp_path / "downloads", log.slept.append)


def index_page(server: Server, name: str, files: dict[str, bytes], **extra: dict[str, object]) -> None:
    """Serve a package index that has one project with these files."""
    rows = []
    for file, data in files.items():
        server.file(f"/files/{file}", data)
        row = {"filename": file, "url": f"{server.url}/files/{file}", "size": len(data)}
        row["hashes"] = {"sha256": hashlib.sha256(data).hexdigest()}
        rows.append({**row, **extra.get(file, {})})
    page = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "versions": [], "files": rows}).encode()
    kind = "application/vnd.pypi.simple.v1+json"
    server.answers[f"/simple/{name}/"] = lambda handler, turn: handler.send_plain(200, page, Content_Type=kind)
