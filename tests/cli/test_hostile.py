"""Whatever stands in the folder of a release, a command says what is wrong with it. Nothing hangs, nothing apologises.

python -m pytest tests/cli/test_hostile.py
"""

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from regrow.cli import failures
from regrow.cli.root import cli
from regrow.store import sums

from .conftest import Shell

_SECONDS = 60  # more than any command takes here, on a busy machine too
_UNCOVERED = ("SHA256SUMS", "report.html", "buildinfo")


def _written(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flipped(path: Path) -> None:
    data, chosen = bytearray(path.read_bytes()), random.Random(path.name)
    if data:
        data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
        path.write_bytes(data)


def _other(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


FAULTS: dict[str, Callable[[Path], object]] = {
    "nothing": _written(b""),
    "brackets": _written(b"[" * 100_000),
    "tables": _written(b'{"a":' * 100_000),
    "brackets in TOML": _written(b"x = " + b"[" * 100_000),
    "noise": _written(random.Random(1).randbytes(5_000)),
    "a number of its bytes": _written((2**62).to_bytes(8, "little") + b"{}"),
    "null": _written(b"null"),
    "a list": _written(b'[1, null, "x", {}]'),
    "odd types": _written(b'{"model": 7, "stages": [3], "added_tokens": {}, "model_type": [], "vocab_size": null}'),
    "many keys": _written(json.dumps(dict.fromkeys(map(str, range(100_000)))).encode()),
    "half": _half,
    "a flipped bit": _flipped,
    "a pipe": _other(os.mkfifo),
    "a folder": _other(Path.mkdir),
    "a link to itself": _other(lambda path: path.symlink_to(path.name)),
    "a link out of it": _other(lambda path: path.symlink_to("/etc/hostname")),
    "no file": Path.unlink,
}


def files(release: Path) -> list[str]:
    return sorted(path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file())


@pytest.fixture
def bench(built: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Bench"]:
    def hangs(_: int, frame: FrameType | None) -> None:
        raise AssertionError(f"a command takes more than {_SECONDS} s, in {frame}")

    def apologise(_: object, error: Exception) -> None:
        raise AssertionError("regrow itself failed") from error

    monkeypatch.setattr(failures, "_apology", apologise)
    old = signal.signal(signal.SIGALRM, hangs)
    yield Bench(built.folder / "build" / "small", tmp_path / "small")
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


class Bench:
    """A release, and a copy of it in which something is wrong."""

    def __init__(self, release: Path, copy: Path) -> None:
        self.release, self.copy = release, copy

    def spoil(self, path: str, fault: str, *, listed: bool) -> None:
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.release, self.copy)
        FAULTS[fault](self.copy / path)
        if listed and path != "SHA256SUMS" and (self.copy / path).is_file():
            for link in (one for one in self.copy.rglob("*") if one.is_symlink()):
                link.unlink()
            (self.copy / "SHA256SUMS").write_text(sums(self.copy, _UNCOVERED))

    def commands(self) -> Iterator[list[str]]:
        here, page = str(self.copy), str(self.copy.with_name("x.html"))
        yield ["inspect", here]
        yield ["audit", here]
        yield ["data", here, "--step", "1"]
        yield ["report", here, "-o", page]
        yield ["chat", here, "A model", "--max-tokens", "2"]
        if not (self.copy / "SHA256SUMS").is_file() or not self._is_listed():
            yield ["verify", here, "--offline"]  # of what is whole, it builds everything again

    def _is_listed(self) -> bool:
        try:
            return (self.copy / "SHA256SUMS").read_text() == sums(self.copy, _UNCOVERED)
        except Exception:  # a folder that has no list of checksums
            return False

    def run(self, args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        signal.alarm(_SECONDS)
        with pytest.raises(SystemExit) as left:
            cli.main(args)
        signal.alarm(0)
        told = capsys.readouterr().err
        assert left.value.code in (0, 1, 2, 3, 5, 6), (args, told)
        assert "Traceback" not in told and "NoneType" not in told and "`None`" not in told, (args, told)
        assert left.value.code in (0, 3) or told.startswith("error: "), (args, told)


def test_a_file_of_each_sort_spoiled_in_one_way(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    sorts = {(path.count("/") and path.partition("/")[0], Path(path).suffix): path for path in files(bench.release)}
    paths = {*sorts.values(), "config.json", "tokenizer.json", "evaluation.json", "regrow.lock", "regrow.toml"}
    names = list(FAULTS)
    for number, path in enumerate(sorted(paths)):
        bench.spoil(path, names[number % len(names)], listed=True)
        for args in bench.commands():
            bench.run(args, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_each_file_spoiled_in_each_way(bench: Bench, capsys: pytest.CaptureFixture[str], fault: str) -> None:
    for path in files(bench.release):
        for listed in (False, True):
            bench.spoil(path, fault, listed=listed)
            for args in bench.commands():
                bench.run(args, capsys)


def test_a_list_of_checksums_with_more_lines_than_a_person_reads(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "".join(f"{number:064x}  f{number:05}\n" for number in range(60_000))
    shutil.copytree(bench.release, bench.copy)
    (bench.copy / "SHA256SUMS").write_text(lines)
    bench.run(["verify", str(bench.copy)], capsys)
    with pytest.raises(SystemExit):
        cli.main(["audit", str(bench.copy), "--full"])
    assert "f00000 (and 59999 more) is listed and not there" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["plan", "build", "lock"])
def test_a_recipe_that_is_a_pipe_is_refused(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    os.mkfifo(tmp_path / "regrow.toml")
    bench.run([command, str(tmp_path)], capsys)


def test_a_recipe_without_end_is_refused(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "regrow.toml").open("wb") as file:
        file.truncate(300_000_000)
    with pytest.raises(SystemExit) as left:
        cli.main(["plan", str(tmp_path)])
    assert left.value.code == 2
    assert "is too large" in capsys.readouterr().err
