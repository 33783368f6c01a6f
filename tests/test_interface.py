"""The five names that other programs import. The example of docs/python.md is run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import regrow
from regrow.errors import InputError, Interrupted, RecipeError

ROOT = Path(__file__).parents[1]


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "python.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    recipe = shutil.copytree(
        ROOT / "examples" / "tiny", tmp_path / "examples" / "tiny", ignore=shutil.ignore_patterns("*.lock")
    )
    shorter = (recipe / "regrow.toml").read_text("utf-8").replace("tokens = 160_000", "tokens = 20_480")
    (recipe / "regrow.toml").write_text(shorter, "utf-8")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() and not done.stderr


def test_names_and_nothing_else_are_there() -> None:
    code = "import regrow, sys; print(dir(regrow), sorted(set(sys.modules) & {'torch', 'numpy', 'pydantic', 'click'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['Generator', '__version__', 'audit', 'build', 'scan', 'trace', 'verify'] []\n"
    with pytest.raises(AttributeError, match="has no `bild`"):
        _ = regrow.bild  # type: ignore[attr-defined]


def test_rooms_do_not_stand_in_for_functions() -> None:
    rooms = ("auditing.audit", "building.build", "tracing.spans", "verifying.rebuild")
    code = f"import regrow, {', '.join(f'regrow.{room}' for room in rooms)}\n"
    code += "assert all(map(callable, (regrow.build, regrow.verify, regrow.audit, regrow.trace)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_errors_are_those_of_the_commands(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no such file"):
        regrow.build(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="there is no such folder"):
        regrow.verify(tmp_path / "nowhere")
    with pytest.raises(InputError):
        regrow.audit(tmp_path / "nowhere")


def test_a_build_can_be_stopped_and_says_what_happens(tmp_path: Path) -> None:
    stop, heard = threading.Event(), []
    stop.set()
    with pytest.raises(Interrupted):
        regrow.build(
            ROOT / "examples" / "tiny", tmp_path / "tiny", store=tmp_path / "store", listener=heard.append, stop=stop
        )
    assert [event["event"] for event in heard] == ["selected"]  # it was stopped while it looked at the texts
