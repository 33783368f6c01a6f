"""The files of the repository."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OURS = ("src", "tests", "docs", "benchmarks", "examples", ".ci")


def files() -> list[Path]:
    """What belongs to the repository: as git says, or everything in our folders where there is no git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [path for folder in _OURS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
        paths += list(ROOT.glob("*.*"))
    return sorted(path for path in paths if path.is_file())


def texts() -> dict[Path, str]:
    """Those that are texts."""
    found = {}
    for path in files():
        try:
            found[path.relative_to(ROOT)] = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
    return found
