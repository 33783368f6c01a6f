"""What must not stand in the tree. python -m pytest tests/house/test_words.py"""

import re

import pytest

from .tree import texts

HOSTS = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js", "crates" + ".io", "conda.anaconda" + ".org")
PATHS = ("/work/" + "main", "/work/" + "shared", "/tmp/" + "w/")
NOTES = ("TO" + "DO", "FIX" + "ME", "X" + "XX")
WHAT = {"registry hosts": HOSTS, "somebody's machine": PATHS, "notes to self": NOTES}


@pytest.mark.parametrize("kind", WHAT)
def test_words(kind: str) -> None:
    for path, text in texts().items():
        for word in WHAT[kind]:
            assert word not in text, f"{path}: {word}"


def test_no_issue_numbers() -> None:
    for path, text in texts().items():
        if path.suffix in (".py", ".md", ".toml"):
            assert not re.search(r"\b(issue|ticket|PR) #?\d+", text, re.IGNORECASE), path


def test_no_emojis() -> None:
    pictures = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
    for path, text in texts().items():
        if path.parts[0] != "tests" and path.suffix in (".py", ".md", ".toml", ".j2"):
            assert not pictures.search(text), path
