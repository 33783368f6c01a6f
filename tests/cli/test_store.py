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


def test_gc_keeps_what_is_young_and_removes_the_rest(tmp_path: Path, digest: str) -> None:
    path = tmp_path / "artifacts" / digest[:2] / digest
    assert run(tmp_path, "gc").stdout == "removed 0 things, 0 B\n"
    assert run(tmp_path, "gc", "--keep-days", "0", "--dry-run").stdout == "would remove 1 things, 4 kB\n"
    assert path.exists()
    assert run(tmp_path, "gc", "--keep-days", "0").stdout == "removed 1 things, 4 kB\n"
    assert not path.exists()
