"""Style, types and layers. python -m pytest tests/house/test_checks.py"""

import subprocess
import sys
from pathlib import Path

import pytest

from .tree import ROOT

SCRIPTS = Path(sys.executable).parent

CHECKS = {
    "lint": [sys.executable, "-m", "ruff", "check", "--quiet", "."],
    "format": [sys.executable, "-m", "ruff", "format", "--check", "--quiet", "."],
    "types": [sys.executable, "-m", "mypy", "--strict"],
    "layers": [str(SCRIPTS / "lint-imports")],
}


@pytest.mark.parametrize("name", CHECKS)
def test_check(name: str) -> None:
    done = subprocess.run(CHECKS[name], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
