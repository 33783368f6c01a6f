"""python -m pytest tests/cli/test_store.py"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from regrow.cli.root import cli
from regrow.store import Store


@pytest.fixture
def digest(tmp_path: Path) -> str:
    """One artifact that no recipe uses."""
    with Store(tmp_path) as store:
        folder = store.fresh()
        (folder / "file").write_text("text" * 1000)
        return store.put(folder)


def run(tmp_path: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, ["store", *args, "--store", str(tmp_path)])


def test_list_and_size(tmp_path: Path, digest: str) -> None:
    assert digest in run(tmp_path, "list").stdout
    assert json.loads(run(tmp_path, "list", "--json").stdout)["artifacts"][0]["size"] == 4000
    assert "in 1 artifacts" in run(tmp_path, "size").stdout


def test_verify_finds_damage(tmp_path: Path, digest: str) -> None:
    assert run(tmp_path, "verify").stdout == "1 artifacts checked, 0 damaged\n"
    file = tmp_path / "artifacts" / digest[:2] / digest / "file"
    file.chmod(0o644)
    file.write_text("other")
    result = run(tmp_path, "verify")
    assert (result.exit_code, result.stdout) == (1, "1 artifacts checked, 1 damaged\n")
    assert digest in result.stderr


def test_verify_leaves_damage_in_a_store_that_can_only_be_read(
    tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "artifacts" / digest[:2] / digest / "file"
    file.chmod(0o644)
    file.write_text("other")
    monkeypatch.setattr("regrow.store.store.writable", lambda _: False)
    for _ in range(2):
        assert (run(tmp_path, "verify").exit_code, file.exists()) == (1, True)


def test_gc_keeps_what_is_young_and_removes_the_rest(tmp_path: Path, digest: str) -> None:
    path = tmp_path / "artifacts" / digest[:2] / digest
    assert run(tmp_path, "gc").stdout == "removed 0 things, 0 B\n"
    assert run(tmp_path, "gc", "--keep-days", "0", "--dry-run").stdout == "would remove 1 things, 4 kB\n"
    assert path.exists()
    assert run(tmp_path, "gc", "--keep-days", "0").stdout == "removed 1 things, 4 kB\n"
    assert not path.exists()


@pytest.mark.parametrize("command", ["list", "size", "verify", "gc"])
def test_where_there_is_no_store_none_is_made(tmp_path: Path, command: str) -> None:
    for place in (tmp_path / "nothing", tmp_path):
        result = run(place, command)
        assert (result.exit_code, result.stdout) == (6, "")
        assert f"error: there is no store here\n  {place}\nhint: " in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["list", "size", "verify", "gc"])
def test_a_folder_that_is_no_store_is_left_alone(tmp_path: Path, command: str) -> None:
    important = tmp_path / "tmp" / "important" / "file"
    important.parent.mkdir(parents=True)
    important.write_text("mine")
    result = run(tmp_path, command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"error: there is something else where the store should be\n  {tmp_path}\n" in result.stderr
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "tmp", important.parent, important]


def test_a_home_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_STORE", "~nosuchuser/store")
    result = CliRunner().invoke(cli, ["store", "list"])
    assert result.exit_code == 2
    words = "error: there is no home directory for `~nosuchuser/store`\n  REGROW_STORE\nhint: "
    assert result.stderr.startswith(words)
