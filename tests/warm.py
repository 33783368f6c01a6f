"""Runs `regrow` in processes of their own that need not load it again: a server that has loaded it forks for each.

A command takes a tenth of a second or two of its own and several to load torch, Numba and the package; there are some
hundreds in the tests. A forked one has its own arguments, folder, environment, streams and end, as any other. What is
decided while Python or a library loads (``PYTHONUTF8``, ``PYTHONHASHSEED``, ``OMP_NUM_THREADS``) it has from the
server, so whoever tests that, or what a command imports, terminals or signals starts a process from nothing instead.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

_MOST_BYTES = 1 << 20
_HEAVY = (
    "click.testing", "license_expression", "numba", "pandas", "pyarrow.pandas_compat", "rensa", "rich.console",
    "tokenizers", "torch", "torch.distributed",
)  # fmt: skip
"""What a command may load at last, beside the modules of the package: Arrow loads pandas, where that is installed."""


class Warm:
    """The server, as whoever asks it sees it. It ends when the process that asks does."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=Path(__file__).parents[1], env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def run(
        self, args: Sequence[str], cwd: Path, env: Mapping[str, str], given: bytes = b"",
        stdout: int | None = None, stderr: int | None = None,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a command to its end, as :func:`subprocess.run` does, and keep what it says to no file that is given."""
        request = json.dumps({"args": list(args), "cwd": str(cwd), "env": dict(env)}).encode()
        with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            read.write(given)
            read.seek(0)
            told = [file.fileno() if to is None else to for file, to in ((out, stdout), (err, stderr))]
            socket.send_fds(self._ours, [request], [read.fileno(), *told])
            answer = self._ours.recv(_MOST_BYTES)
            assert answer, "the server of commands has gone"
            out.seek(0)
            err.seek(0)
            said = [io.TextIOWrapper(file).read() for file in (out, err)]
        return subprocess.CompletedProcess(["regrow", *args], int(answer), *said)


def _serve(connection: socket.socket) -> None:
    """Fork for what is asked until nobody asks any more; only such a fork returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the command that runs; who asked ends this by going away
    gc.freeze()
    while True:
        asked, files, _, _ = socket.recv_fds(connection, _MOST_BYTES, 3)
        if not asked:
            os._exit(0)
        child = os.fork()
        if not child:
            connection.close()
            return _become(json.loads(asked), files)
        for file in files:
            os.close(file)
        connection.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _become(asked: Mapping[str, Any], files: Sequence[int]) -> None:
    """Take the streams, the folder, the environment and the arguments that a command is to have."""
    for stream, (file, name) in enumerate(zip(files, ("stdin", "stdout", "stderr"), strict=True)):
        os.dup2(file, stream)
        os.close(file)
        setattr(sys, name, _opened(stream, getattr(sys, name)))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[0] = asked["cwd"]
    sys.argv = ["regrow", *asked["args"]]


def _opened(stream: int, before: io.TextIOWrapper) -> io.TextIOWrapper:
    """A stream as Python opens it as it begins: it looks once whether there is a terminal, a pipe or a file."""
    file = open(stream, "rb" if stream == 0 else "wb", closefd=False)  # noqa: SIM115 (for good)
    lines = stream == 2 or file.isatty()
    return io.TextIOWrapper(
        file, before.encoding, before.errors, line_buffering=lines, write_through=before.write_through
    )


def _end(code: object) -> NoReturn:
    """Do what Python does at its end, except to take apart all that was loaded."""
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _load() -> None:
    """Import all that a command may import and this machine has."""
    from numba.core.registry import cpu_target

    import regrow

    names = [module.name for module in pkgutil.walk_packages(regrow.__path__, "regrow.")]
    for name in (*_HEAVY, *(name for name in names if not name.endswith("__main__"))):
        with suppress(ImportError):
            importlib.import_module(name)
    cpu_target.target_context.refresh()  # what Numba brings along itself
    _audit_something()


def _audit_something() -> None:
    """Have patterns, words and licences at hand, which take an audit longer than most of what it reads."""
    from regrow.auditing.audit import Options, audit

    with tempfile.TemporaryDirectory() as folder:
        for name in ("LICENSE", "README.md"):
            shutil.copy(Path(__file__).parents[1] / name, folder)
        audit(folder, Options("2026-01-01"))


def _main(connection: socket.socket) -> NoReturn:
    _load()
    _serve(connection)
    try:
        runpy.run_module("regrow.cli", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        _end(end.code)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        _end(1)
    _end(None)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
