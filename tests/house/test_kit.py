"""What surrounds the code: the site, the lock, forms and workflow, hooks. python -m pytest tests/house/test_kit.py"""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from regrow import exact

from . import test_docs
from .tree import ROOT, files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
LOCK = ROOT / "requirements-dev.lock"
PYTHONS = ("3.11", "3.12", "3.13")


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


# YAML


@pytest.mark.parametrize(
    "path", [path for path in files() if path.suffix in (".yml", ".yaml", ".cff")], ids=lambda path: path.name
)
def test_yaml_can_be_read_and_no_key_is_there_twice(path: Path) -> None:
    def visit(node: yaml.Node) -> None:
        keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        assert len(keys) == len(set(keys)), keys
        for child in node.value if isinstance(node, yaml.CollectionNode) else []:
            for one in child if isinstance(child, tuple) else [child]:
                visit(one)

    visit(yaml.compose(path.read_text("utf-8"), yaml.SafeLoader))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_are_complete(path: Path) -> None:
    form = load(str(path))
    assert set(form) == {"name", "description", "title", "labels", "body"}
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in asked} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in asked)
    assert len({field["id"] for field in asked}) == len(asked)
    assert any(field.get("validations", {}).get("required") for field in asked)
    assert all(field["attributes"]["options"] for field in asked if field["type"] == "dropdown")


def test_the_forms_ask_for_what_a_digest_depends_on() -> None:
    asked = {field.get("id") for field in load(".github/ISSUE_TEMPLATE/another-digest.yml")["body"]}
    assert {"command", "recipe", "digests", "version", "buildinfo", "selftest"} <= asked


def test_the_workflow_runs_what_a_stranger_runs_and_may_do_nothing_else() -> None:
    workflow = load(".github/workflows/tests.yml")
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"] == {"python": list(PYTHONS)}
    assert job["timeout-minutes"] == 90
    assert "permissions" not in job
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    for step in job["steps"]:
        assert "run" in step or re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


def test_hooks_need_nothing_but_this_environment() -> None:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = []
    for repository in load(".pre-commit-config.yaml")["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            assert shutil.which(shlex.split(hook["entry"])[0], path=places), hook["entry"]
            found.append(hook["entry"])
    for tool in ("ruff check", "ruff format --check", "mypy --strict", "lint-imports", "python -m pytest"):
        assert any(entry.startswith(tool) for entry in found), tool


def test_the_hook_for_pages_selects_a_test() -> None:
    (entry,) = re.findall(r"entry: python -m pytest (.*)", (ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    path, _, words = shlex.split(entry)
    assert (ROOT / path).samefile(test_docs.__file__)
    for word in words.split(" or "):
        assert any(word in name for name in vars(test_docs) if name.startswith("test_")), word


def test_the_citation_says_what_the_project_says() -> None:
    citation = load("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["authors"] == PROJECT["authors"]
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert "version" not in citation, "it stands in one place"


# The lock of the development environment


def direct(extra: str) -> Iterator[Requirement]:
    """What the project asks for with an extra, those that it takes from other extras among them."""
    for one in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if one.name == PROJECT["name"]:
            for other in one.extras:
                yield from direct(other)
        else:
            yield one


def locked(**environment: str) -> dict[str, str]:
    """Name -> version on a system."""
    found: dict[str, str] = {}
    for line in LOCK.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate(environment):
                (pin,) = one.specifier
                assert pin.operator == "==" and one.name not in found, line
                found[canonicalize_name(one.name)] = pin.version
    return found


@pytest.mark.parametrize(("python", "system"), list(product(PYTHONS, ("linux", "darwin"))))
def test_the_lock_has_all_that_the_project_asks_for(python: str, system: str) -> None:
    versions = locked(python_version=python, python_full_version=f"{python}.9", sys_platform=system)
    for one in [*map(Requirement, PROJECT["dependencies"]), *direct("test")]:
        assert one.specifier.contains(versions[canonicalize_name(one.name)]), f"{one}: run .ci/lock"


def test_the_lock_names_no_place_and_no_hash() -> None:
    lines = [line for line in LOCK.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert not [line for line in lines if "://" in line or "--" in line or " @ " in line]


# The site


class Requests(HTMLParser):
    """The addresses that a browser asks for by itself when it shows a page."""

    TAGS = ("audio", "embed", "iframe", "img", "link", "object", "script", "source", "video")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.TAGS:
            self.found += [value for name, value in attrs if value and name in ("src", "href", "data", "srcset")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made where neither torch nor regrow can be imported."""
    place = tmp_path_factory.mktemp("site")
    for name in ("torch", "regrow"):
        (place / f"{name}.py").write_text(f"raise ImportError('the site is made without {name}')\n", "utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place / "made")]
    environment = os.environ | {"PYTHONPATH": str(place), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "made"


def test_the_site_asks_nobody_for_anything(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        asked = Requests(page.read_text("utf-8")).found
        assert asked
        assert not [address for address in asked if re.match(r"(https?:)?//", address)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"""(url\(|@import)\s*["']?(https?:)?//""", sheet.read_text("utf-8")), sheet


def test_the_site_has_every_name_that_can_be_imported(site: Path) -> None:
    page = (site / "python" / "index.html").read_text("utf-8")
    for name in exact.__all__:
        assert re.search(rf'id="regrow\.exact\.(\w+\.)?{name}"', page), name


def test_links_between_the_folders_hold_in_the_site(site: Path) -> None:
    assert 'href="../examples/gpt2/"' in (site / "library" / "index.html").read_text("utf-8")
    assert 'href="../../gpu/"' in (site / "project" / "changelog" / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("page", "written", "made"),
    [
        ("library.md", "[a](../CHANGELOG.md#top)", "[a](project/changelog.md#top)"),
        ("decisions/001.md", "[a](../log.md)", "[a](../log.md)"),
        ("project/changelog.md", "[a](docs/log.md), [b](README.md)", "[a](../log.md), [b](../index.md)"),
        ("library.md", "see [the source](../src/regrow/errors.py)", "see the source"),
        ("library.md", "a [mistake](nowhere.md), which MkDocs finds", "a [mistake](nowhere.md), which MkDocs finds"),
        ("library.md", "[a](https://example.org/), ![b](b.png)", "[a](https://example.org/), ![b](b.png)"),
    ],
)
def test_links_are_pointed_at_the_pages(page: str, written: str, made: str) -> None:
    there = {"log.md", "index.md", "project/changelog.md"}
    site = SimpleNamespace(get_file_from_path=lambda path: path if path in there else None)
    hooks = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
    assert (
        hooks["on_page_markdown"](written, page=SimpleNamespace(file=SimpleNamespace(src_uri=page)), files=site) == made
    )
