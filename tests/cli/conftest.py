"""A small recipe, built once for all tests of the command line."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import regrow
from regrow.building.template import start
from tests.warm import Warm

_HERE = Path(regrow.__file__).parents[1]
"""Of the regrow under test, however it was found."""

_READ_WHEN_ASKED = ("REGROW", "SOURCE_DATE_EPOCH", "RANK", "WORLD_SIZE", "MASTER_", "TORCHELASTIC_RUN_ID")
"""Variables that nothing reads while it loads."""

HEX = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass
class Shell:
    """Runs `regrow` as a user does: another process, a folder of its own, a store of its own."""

    folder: Path
    store: Path

    def environment(self, **env: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGROW", "NO_COLOR"))}
        return {**kept, "PYTHONPATH": str(_HERE), "REGROW_STORE": str(self.store), **env}

    def run(
        self, *args: str, given: bytes = b"", stdout: int | None = None, stderr: int | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end: one that has loaded already, unless variables are given which loading may read."""
        loaded = all(name.startswith(_READ_WHEN_ASKED) for name in env)
        if loaded and sys.platform == "linux":  # elsewhere what libraries begin as they load may not live on in a fork
            return _warm().run(args, self.folder, self.environment(**env), given, stdout, stderr)
        out, err = (subprocess.PIPE if file is None else file for file in (stdout, stderr))
        process = self.start(*args, stdin=subprocess.PIPE, stdout=out, stderr=err, env=env, errors="surrogateescape")
        said = process.communicate(given.decode(errors="surrogateescape"))
        return subprocess.CompletedProcess(process.args, process.returncode, *said)

    def start(self, *args: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "regrow.cli", *args]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment(**(env or {})), text=True, **options)

    def wait_for_training(self, name: str) -> None:
        """Wait until a build has made a step."""
        events, deadline = self.folder / "build" / f"{name}.events.jsonl", time.monotonic() + 120
        while time.monotonic() < deadline:
            lines = events.read_text("utf-8").splitlines() if events.is_file() else []
            if any('"progress"' in line and '"pretrain"' in line for line in lines):
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} was not trained in two minutes")

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "--json").stdout)


@cache
def _warm() -> Warm:
    return Warm({**os.environ, "PYTHONPATH": str(_HERE)})


def write_recipe(folder: Path, tokens: int = 7_680) -> None:
    """The recipe that `regrow new` writes, trained for less."""
    start(folder)
    recipe = folder / "regrow.toml"
    smaller = re.sub("^tokens = .*$", f"tokens = {tokens}", recipe.read_text("utf-8"), flags=re.MULTILINE)
    recipe.write_text(smaller, "utf-8")


@pytest.fixture(scope="session")
def _built(common: Path) -> tuple[Shell, subprocess.CompletedProcess[str]]:
    root = common / "cli"
    shell, told = Shell(root / "work", root / "store"), root / "result.pickle"
    with FileLock(f"{root}.lock"):
        if not told.exists():
            write_recipe(shell.folder / "small")
            told.write_bytes(pickle.dumps(shell.run("build", "small")))
    return shell, pickle.loads(told.read_bytes())


@pytest.fixture
def built(_built: tuple[Shell, subprocess.CompletedProcess[str]]) -> Shell:
    """A shell in whose folder `small` is a recipe and `build/small` its release. Not to be changed."""
    shell, result = _built
    assert result.returncode == 0, result.stderr
    return shell


@pytest.fixture
def first_build(_built: tuple[Shell, subprocess.CompletedProcess[str]]) -> subprocess.CompletedProcess[str]:
    return _built[1]


@pytest.fixture
def copy(built: Shell, tmp_path: Path) -> Iterator[Shell]:
    """The same, to be changed; the store is shared."""
    shutil.copytree(built.folder, tmp_path / "copy", symlinks=True)
    yield Shell(tmp_path / "copy", built.store)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in an empty folder with an empty store."""
    (tmp_path / "work").mkdir()
    return Shell(tmp_path / "work", tmp_path / "store")
