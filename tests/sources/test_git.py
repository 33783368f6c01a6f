from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from regrow.errors import InputError, RecipeError
from regrow.sources import check, package_url, resolve, retrieve
from regrow.sources import git as git_source
from regrow.sources.downloads import Downloads
from regrow.sources.scheme import Site

from .conftest import Handler, Log, Server

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no Git")

SPEC = "https://example.org/texts.git"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"


def git(folder: Path, *arguments: str) -> str:
    names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    found = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, check=True, text=True)
    return found.stdout.strip()


def commit(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, newline="")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")
    return git(folder, "rev-parse", "HEAD")


def answer(handler: Handler, root: Path) -> None:
    """Let Git's own program answer a request."""
    path, _, query = handler.path.partition("?")
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": handler.command,
        "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
    }
    made = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
    head, _, data = made.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    status = int(headers.pop("Status", "200").split()[0])
    handler.send_plain(status, data, **{name.replace("-", "_"): value for name, value in headers.items()})


class Repository:
    """A repository that a server gives to everybody: two commits, the later one on `main`."""

    def __init__(self, server: Server, root: Path) -> None:
        self.server, self.folder, self.url = server, root / "texts.git", f"{server.url}/texts.git"
        self.folder.mkdir(parents=True)
        git(self.folder, "init", "--quiet", "--initial-branch=main")
        self.old = commit(self.folder, {"one.txt": "roses are red\n", ".gitattributes": "* text eol=crlf\n"})
        self.new = commit(self.folder, {"one.txt": "violets", "more/two.txt": "x"})
        git(self.folder, "config", "uploadpack.allowReachableSHA1InWant", "true")
        (root / "texts.git" / ".git" / "hooks").mkdir(exist_ok=True)
        for path in ("info/refs?service=git-upload-pack", "git-upload-pack"):
            server.answers[f"/texts.git/{path}"] = lambda handler, turn: answer(handler, root)

    def spec(self, commit: str = "") -> str:
        return f"git:{self.url}@{commit or self.old}"


@pytest.fixture
def repository(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "cache"))
    monkeypatch.setattr(Handler, "do_POST", Handler.do_GET, raising=False)
    return Repository(server, tmp_path / "served")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_commit_is_pinned_and_got_again(repository: Repository, tmp_path: Path) -> None:
    log = Log()
    pins = resolve(repository.spec(), tmp_path, emit=log.emit)
    assert [(pin.file, pin.sha256) for pin in pins] == [("one.txt", sha256("roses are red\n"))]  # as committed
    assert ("selected", {"selected": 1, "of": 1, "not_selected": {}, "left_out": {"hidden": 1}}) in log.events
    asked = len(repository.server.requests)
    retrieve(repository.spec(), pins, tmp_path, tmp_path / "out", offline=True)
    assert (tmp_path / "out" / "one.txt").read_bytes() == b"roses are red\n"
    assert len(repository.server.requests) == asked
    assert {dict(request.headers)["User-Agent"] for request in repository.server.requests} == {"regrow"}


def test_on_another_machine(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = resolve(repository.spec(repository.new), tmp_path, ("**/*.txt",))
    assert [pin.file for pin in pins] == ["more/two.txt", "one.txt"]
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "another"))
    with pytest.raises(InputError, match="not on this machine"):
        retrieve(repository.spec(repository.new), pins, tmp_path, tmp_path / "out", offline=True)
    retrieve(repository.spec(repository.new), pins, tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "more" / "two.txt").read_bytes() == b"x"
    assert package_url(repository.spec()) == f"git+{repository.url}@{repository.old}"


@pytest.mark.parametrize("named", ["", "@main", "@v1.0", f"@{'a' * 39}", f"@{'A' * 40}"])
def test_what_moves_is_no_commit(named: str) -> None:
    with pytest.raises(RecipeError, match="does not name one commit of a repository") as caught:
        check(f"git:{SPEC}{named}")
    assert "git ls-remote https://example.org/texts.git" in caught.value.hint


def test_a_password_is_refused_unseen() -> None:
    with pytest.raises(RecipeError, match="holds a user name or a password") as caught:
        check(f"git:https://me:hunter2@example.org/x@{'a' * 40}")
    assert "hunter2" not in str(caught.value)


def test_a_commit_that_is_not_there(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"gives no commit {'a' * 40}"):
        resolve(repository.spec("a" * 40), tmp_path)
    assert [*(tmp_path / "cache" / "folders").iterdir()] == []


def test_a_repository_that_is_not_there(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be fetched"):
        resolve(f"git:{repository.server.url}/none.git@{'a' * 40}", tmp_path)


def test_what_is_no_commit(repository: Repository, tmp_path: Path) -> None:
    blob = git(repository.folder, "rev-parse", f"{repository.new}:one.txt")
    git(repository.folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    with pytest.raises(InputError):
        resolve(repository.spec(blob), tmp_path)


def test_links_and_submodules_are_left_out(repository: Repository, tmp_path: Path, log: Log) -> None:
    (repository.folder / "link.txt").symlink_to("/etc/passwd")
    git(repository.folder, "update-index", "--add", "--cacheinfo", f"160000,{'b' * 40},other")
    git(repository.folder, "add", "link.txt")
    git(repository.folder, "commit", "--quiet", "--message", "x")
    spec = repository.spec(git(repository.folder, "rev-parse", "HEAD"))
    assert {pin.file for pin in resolve(spec, tmp_path, emit=log.emit)} == {"more/two.txt", "one.txt"}
    told = next(fields for event, fields in log.events if event == "selected")
    assert told["left_out"] == {"hidden": 1, "links": 1, "submodules": 1}


def test_nothing_that_git_is_configured_with_is_run(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = repository.spec(commit(repository.folder, {".gitattributes": "* filter=x\n", "a.txt": "a"}))
    (home := tmp_path / "home").mkdir()
    touch = f"touch {tmp_path}/executed"
    (home / ".gitconfig").write_text(
        f'[filter "x"]\n\tsmudge = {touch}\n\tclean = {touch}\n[core]\n\tfsmonitor = {touch}\n\tsshCommand = {touch}\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    pins = resolve(spec, tmp_path, ("a.txt",))
    retrieve(spec, pins, tmp_path, tmp_path / "out")
    assert not (tmp_path / "executed").exists()


def test_a_pointer_of_lfs_is_no_text(repository: Repository, tmp_path: Path) -> None:
    spec = repository.spec(commit(repository.folder, {"large.txt": POINTER}))
    with pytest.raises(InputError, match=r"`large\.txt` is a pointer of Git LFS"):
        resolve(spec, tmp_path)
    assert resolve(spec, tmp_path, exclude=("large.txt",))


def test_a_server_that_is_busy_is_asked_again(repository: Repository, downloads: Downloads, log: Log) -> None:
    path = "/texts.git/info/refs?service=git-upload-pack"
    usual = repository.server.answers[path]
    busy = lambda handler, turn: handler.send_plain(503) if turn == 1 else usual(handler, turn)  # noqa: E731
    repository.server.answers[path] = busy
    assert git_source.resolve(repository.spec().removeprefix("git:"), Site(emit=log.emit, downloads=downloads))
    assert "trying again" in log.notes()
    assert sum(log.slept) >= 1


def test_giving_up_ends_git(repository: Repository, tmp_path: Path) -> None:
    begun = time.monotonic()

    def poll() -> None:
        raise KeyboardInterrupt

    repository.server.answers["/texts.git/git-upload-pack"] = lambda handler, turn: time.sleep(5)
    with pytest.raises(KeyboardInterrupt):
        resolve(repository.spec(), tmp_path, poll=poll)
    assert time.monotonic() - begun < 4
    assert [*(tmp_path / "cache" / "folders").iterdir()] == []


def test_too_much_is_refused(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too large"):
        locator = repository.spec().removeprefix("git:")
        git_source.resolve(locator, Site(downloads=Downloads(tmp_path / "cache", largest=10)))
    assert [*(tmp_path / "cache" / "folders").iterdir()] == []
