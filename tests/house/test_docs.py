"""Documents that are made from the code, and those that speak of it. python -m pytest tests/house/test_docs.py"""

import re
import subprocess
import sys
import tomllib

import pytest

from regrow.auditing.rules import manual as rules
from regrow.cli.pages import PAGES as MADE
from regrow.recipe.lock import load

from .tree import ROOT, texts

TEST_COMMAND = "python -m pip install '.[test]' && python -m pytest"
BUILD_COMMAND = "python -m pip install . && regrow build examples/bard"


@pytest.mark.parametrize("name", MADE)
def test_pages_that_are_made_are_up_to_date(name: str) -> None:
    page = f"docs/{name}.md"
    assert (ROOT / page).read_text("utf-8") == MADE[name](), f"run: python -m regrow.cli.pages {name} > {page}"


def test_the_architecture_is_drawn_from_the_contracts() -> None:
    command = "python -m tools.architecture"
    made = subprocess.run([sys.executable, *command.split()[1:]], cwd=ROOT, capture_output=True, check=True).stdout
    assert (ROOT / "docs" / "architecture.md").read_bytes() == made, f"run: {command} > docs/architecture.md"


def test_what_the_architecture_points_at_is_there() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## Rooms")[0]
    for path in re.findall(r"`([a-z]+/[a-z_/]*(?:\.py)?)`", table):
        assert (ROOT / "src" / "regrow" / path).exists(), path


def test_the_rules_of_audits_are_up_to_date() -> None:
    assert (ROOT / "docs" / "audit-rules.md").read_text("utf-8") == rules.reference()


def blocks(text: str) -> list[str]:
    """The code blocks of a Markdown text."""
    return [block.strip() for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def test_the_readme_has_the_two_commands() -> None:
    found = blocks((ROOT / "README.md").read_text("utf-8"))
    assert TEST_COMMAND in found
    assert BUILD_COMMAND in found


def test_what_runs_in_ci_is_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    lines = script.read_text("utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[-1] == TEST_COMMAND
    assert "set -euo pipefail" in lines
    assert script.stat().st_mode & 0o111


def test_commands_in_the_readme_exist() -> None:
    from regrow.cli.root import COMMANDS

    for name in re.findall(r"\bregrow (\w+)", "\n".join(blocks((ROOT / "README.md").read_text("utf-8")))):
        assert name in COMMANDS


def test_links_lead_somewhere() -> None:
    for path, text in texts().items():
        if path.suffix == ".md":
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
                if "://" not in target:
                    assert (ROOT / path.parent / target).exists(), f"{path}: {target}"


def test_every_exit_code_is_explained() -> None:
    from regrow import errors

    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.RegrowError)]
    table = (ROOT / "docs" / "exit-codes.md").read_text("utf-8")
    for kind in kinds:
        assert f"| {kind.exit_code} |" in table, kind.__name__


def test_the_changelog_knows_the_version() -> None:
    import regrow

    assert f"## {regrow.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_licence_is_the_one_that_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_readme_has_the_digest_of_the_example() -> None:
    assert load(ROOT / "examples" / "bard").release in (ROOT / "README.md").read_text("utf-8")
