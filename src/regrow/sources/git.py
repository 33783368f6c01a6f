"""``git:https://HOST/PATH@COMMIT``: the files of one commit of a repository, byte for byte as they were committed.

Only that commit is fetched, and none before it. Nothing is checked out: there are no hooks, filters, submodules or
line ends to change, and nothing in the user's or the machine's configuration of Git counts, except ``~/.netrc``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from regrow.errors import InputError, RecipeError
from regrow.formats.header import printable
from regrow.formats.pointer import pointer
from regrow.recipe.pin import Pin
from regrow.sources.addresses import has_password
from regrow.sources.addresses import shown as shown_address
from regrow.sources.archives import is_archive
from regrow.sources.scheme import Site
from regrow.sources.survey import Survey
from regrow.words import shown

EXAMPLE = "`git:https://example.org/texts.git@COMMIT`, a commit of a Git repository"
LOCAL = False

_LOCATOR = re.compile(r"(https://[^\s@?#\\]+)@([0-9a-f]{40}|[0-9a-f]{64})")
_REPOSITORY = re.compile(r"(https://[^\s@?#\\]+)(?:@(.*))?")
_KINDS = {"120000": "links", "160000": "submodules"}
"""The modes of entries that are no files."""
_ATTEMPTS = re.compile(
    r"could not resolve host|timed out|connection (?:reset|refused)|failed to connect|early eof|hung up"
    r"|unexpected disconnect|error: [45](?:08|25|29|0[0234])\b",
    re.IGNORECASE,
)
"""What Git says of troubles that may be over when one asks again."""
_NO_COMMIT = re.compile(r"not our ref|unadvertised object|no such remote ref|couldn't find remote ref", re.IGNORECASE)
_NO_REPOSITORY = re.compile(r"not found|authentication failed|could not read username|403|401", re.IGNORECASE)
_CHUNK = 1 << 20
_HEAD = 1 << 12
_PAUSE = 0.2
_LONGEST_WORDS = 200


def check(locator: str) -> None:
    """Require an address and a whole commit, and refuse a password, which would be published with the recipe."""
    if has_password(locator.rpartition("@")[0]):
        raise RecipeError(
            "the address of the repository holds a user name or a password",
            why="a recipe is published with the model",
            hint="take it out, and put it into ~/.netrc on the machines that fetch",
        )
    if _LOCATOR.fullmatch(locator):
        return
    match = _REPOSITORY.fullmatch(locator)
    address, named = (match[1], match[2] or "HEAD") if match else ("https://example.org/texts.git", "HEAD")
    raise RecipeError(
        f"{shown('git:' + locator)} does not name one commit of a repository",
        why="branches and tags move, and the beginning of a commit's name may come to mean several" if match else "",
        hint=f"write its https address and the commit in full, which `git ls-remote {address} {named}` prints: "
        '"git:https://example.org/texts.git@0123456789abcdef0123456789abcdef01234567"',
    )


def package_url(locator: str) -> str:
    """What SPDX calls the place of a commit."""
    return f"git+{locator}"


def resolve(locator: str, site: Site) -> tuple[Pin, ...]:
    """The selected files of the commit. Emits ``selected``: see :class:`regrow.sources.survey.Survey`."""
    repository = _fetched(locator, site)
    survey, wanted = Survey(), list[_Entry]()
    for entry in _entries(repository, locator):
        enters = is_archive(entry.path) and site.choice.enters(entry.path)
        reason = entry.trouble or ("" if enters else site.choice.reason(entry.path))
        survey.add(printable(entry.path), reason)
        if not reason:
            wanted.append(entry)
    if not wanted:
        raise InputError(f"none of the files of `git:{locator}` is selected", hint="look at `select` and `exclude`")
    site.emit("selected", **survey.event())
    return tuple(_pins(repository, wanted, site))


def obtain(locator: str, pin: Pin, site: Site) -> Path:
    """The pinned file, from the download cache or the repository."""
    if (path := site.downloads.find(pin.sha256)) is not None:
        return path
    repository = _fetched(locator, site)
    with site.downloads.part(f"{locator}\0{pin.file}", site.poll) as part:
        command = _command(repository, "cat-file", "blob", f"{_parts(locator)[1]}:{pin.file}")
        with part.open("wb") as file:
            found = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, env=_environment(), check=False)
        if found.returncode:
            part.unlink()
            hint = "the lock does not fit the recipe: remove it and lock again"
            raise InputError(f"there is no `{pin.file}` in that commit", where=f"git:{locator}", hint=hint)
        return site.downloads.take(part)


@dataclass(frozen=True)
class _Entry:
    """A file of a commit.

    Attributes:
        path: in the repository.
        object: the name of its content.
        trouble: why it is no file that can be used.
    """

    path: str
    object: str
    trouble: str


def _fetched(locator: str, site: Site) -> Path:
    """A repository on this machine that has the commit."""
    if shutil.which("git") is None:
        raise InputError("there is no `git` on this machine", where=f"git:{locator}", hint="install Git")
    make = _Fetch(locator, site).into
    return site.downloads.once(f"git:{locator}", make, offline=site.offline, poll=site.poll)


@dataclass(frozen=True)
class _Fetch:
    """Fetching one commit."""

    locator: str
    site: Site

    def into(self, folder: Path) -> None:
        """Fetch it into an empty folder, trying again where that may help."""
        from regrow.sources.web import PassingError, Patience

        address, commit = _parts(self.locator)
        made = subprocess.run(
            ["git", "init", "--quiet", "--bare", "--template=", *_format(commit), str(folder)],
            env=_environment(), capture_output=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise InputError("Git cannot make a repository", where=str(folder), why=_words(made.stderr))
        patience = Patience(address, self.site.caller)
        while True:
            try:
                self._once(folder, address, commit)
                return
            except PassingError as trouble:
                patience.wait(trouble)

    def _once(self, folder: Path, address: str, commit: str) -> None:
        from regrow.sources.web import PassingError, unreachable

        options = ("--quiet", "--no-tags", "--depth=1", "--no-recurse-submodules", "--no-auto-maintenance")
        code, said = self._run(_command(folder, "fetch", *options, "--", address, commit), folder)
        if not code:
            return
        if _NO_COMMIT.search(said):
            raise InputError(
                f"the repository gives no commit {commit}",
                where=shown_address(address),
                why=_words(said),
                hint="look whether it was pushed there; some servers give only what a branch or a tag names",
            )
        if _ATTEMPTS.search(said):
            raise PassingError(_words(said))
        private = _NO_REPOSITORY.search(said)
        hint = "look at the address; what asks for an account takes name and password from ~/.netrc" if private else ""
        raise unreachable(address, _words(said), hint)

    def _run(self, command: Sequence[str], folder: Path) -> tuple[int, str]:
        """Run Git with an open ear for those who want to stop, and an eye on what arrives."""
        with tempfile.TemporaryFile() as errors:
            git = subprocess.Popen(
                command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
            try:
                ended = False
                while not ended:
                    with suppress(subprocess.TimeoutExpired):
                        git.wait(_PAUSE)
                        ended = True
                    self.site.poll()
                    self._look(folder)
            finally:
                if git.poll() is None:
                    os.killpg(git.pid, signal.SIGKILL)
                    git.wait()
            errors.seek(0)
            return git.returncode, errors.read(1 << 16).decode("utf-8", "replace")

    def _look(self, folder: Path) -> None:
        size = sum(path.stat().st_size for path in (folder / "objects").rglob("*") if path.is_file())
        self.site.emit("progress", done=size, total=None, unit="bytes")
        if size > self.site.downloads.largest:
            from regrow.sources.web import too_large

            hint = "clone it yourself and use `file:` if you trust it"
            raise too_large(_parts(self.locator)[0], self.site.downloads.largest, hint)


def _entries(repository: Path, locator: str) -> Iterator[_Entry]:
    """What is in the commit, in the order of its paths."""
    command = _command(repository, "ls-tree", "-r", "-z", "--full-tree", _parts(locator)[1])
    found = subprocess.run(command, capture_output=True, env=_environment(), check=False)
    if found.returncode:
        raise InputError("what came is no commit", where=f"git:{locator}", why=_words(found.stderr))
    for line in found.stdout.split(b"\0")[:-1]:
        told, _, path = line.partition(b"\t")
        mode, _, name = told.decode().split(" ")
        yield _Entry(path.decode("utf-8", "replace"), name, _KINDS.get(mode, "") or _unusable(path))


def _unusable(path: bytes) -> str:
    """Why a name cannot be that of a file here."""
    try:
        parts = path.decode().split("/")
    except UnicodeDecodeError:
        return "names that are not UTF-8"
    return "unusable names" if {"", ".", ".."}.intersection(parts) or b"\\" in path or path != path.strip() else ""


def _pins(repository: Path, entries: Sequence[_Entry], site: Site) -> Iterator[Pin]:
    """The pins of some files, none of which may be a pointer to one elsewhere."""
    command = _command(repository, "cat-file", "--batch")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()) as git:
        assert git.stdin is not None, "it was asked for"
        assert git.stdout is not None, "it was asked for"
        for entry in entries:
            site.poll()
            git.stdin.write(f"{entry.object}\n".encode())
            git.stdin.flush()
            _, kind, size = git.stdout.readline().decode().split()
            assert kind == "blob", entry.path
            head, sha256 = _hashed(git.stdout, int(size))
            if kind := pointer(head):
                raise InputError(
                    f"`{entry.path}` is a pointer of {kind}",
                    where="the repository",
                    why="the text itself is kept elsewhere, and is no part of the commit",
                    hint="clone the repository with it and use `file:`, or leave it out with `exclude`",
                )
            yield Pin(entry.path, sha256, int(size))


def _hashed(stream: IO[bytes], size: int) -> tuple[bytes, str]:
    """How the next bytes of a stream begin, and their sha256. A newline follows them."""
    found, head = hashlib.sha256(), b""
    while size:
        data = stream.read(min(_CHUNK, size))
        if not data:
            raise EOFError("git ended")
        head = head or data[:_HEAD]
        found.update(data)
        size -= len(data)
    stream.read(1)
    return head, found.hexdigest()


def _command(repository: Path, *arguments: str) -> list[str]:
    settings = ("core.hooksPath=/dev/null", "protocol.version=2", "gc.auto=0", "credential.helper=")
    return ["git", f"--git-dir={repository}", *(part for one in settings for part in ("-c", one)), *arguments]


def _format(commit: str) -> Sequence[str]:
    return ("--object-format=sha256",) if len(commit) == 64 else ()


def _environment() -> Mapping[str, str]:
    """That of this process, but nothing that anybody configured Git with; and it asks nobody anything."""
    from regrow.sources.web import trusted

    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    if isinstance(certificates := trusted(), str):
        kept["GIT_SSL_CAPATH" if Path(certificates).is_dir() else "GIT_SSL_CAINFO"] = certificates
    return {
        **kept,
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "https",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_HTTP_USER_AGENT": "regrow",
    }


def _words(said: bytes | str) -> str:
    """What Git says, in a line without what stands before each of its own."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    lines = [re.sub(r"^(?:fatal|error|remote|warning): *", "", line).strip() for line in text.splitlines()]
    found = "; ".join(re.sub(r"https?://\S+", lambda url: shown_address(url[0]), line) for line in lines if line)
    return found[:_LONGEST_WORDS] or "it does not say why"


def _parts(locator: str) -> tuple[str, str]:
    match = _LOCATOR.fullmatch(locator)
    assert match is not None, locator
    return match[1], match[2]
