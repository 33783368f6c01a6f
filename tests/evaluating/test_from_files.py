"""Prompts and tasks in files beside the recipe. python -m pytest tests/evaluating/test_from_files.py"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import regrow
from regrow.building.preparing import prepare
from regrow.errors import InputError, RecipeError
from regrow.evaluating.names import HUB_FOLDER
from regrow.recipe.kind import Expected, Given, Kind
from regrow.release.files import DamagedError
from regrow.stages import evaluate, prompt, prompts, score
from regrow.testing.again import ask_again
from tests.cli.conftest import Shell
from tests.models import model, recipe

from .conftest import asked, seal

PROMPTS: list[dict[str, Any]] = [
    {"name": "count", "text": "one two", "max_tokens": 3},
    {"text": "text\u2028 5:", "seed": 2, "temperature": 1.5},
]
TASK: list[dict[str, Any]] = [
    {"task": "counting", "dataset": "me/counting", "dataset_task": "default"},
    {"question": "one two", "choices": [" three", " five"], "answer": 0},
    {"question": "four", "choices": [" one", " five"], "answer": " five"},
]
ASKING = """
[[prompt]]
name = "file"
sources = ["prompts"]
max_tokens = 5

[[score]]
name = "own"
tasks = ["sequences"]
sources = ["items"]
"""
SOURCE = """
[[source]]
name = "{name}"
fetch = "file:{name}.jsonl"
role = "evaluation"
licence = "CC0-1.0"
availability = "{availability}"
"""


def asking(folder: Path, availability: str = "open") -> Path:
    """A recipe that asks what stands in files beside it."""
    model(folder / "base")
    sources = [SOURCE.format(name=name, availability=availability) for name in ("prompts", "items")]
    recipe(folder, *sources, ASKING, texts=False)
    for name, rows in (("prompts", PROMPTS), ("items", TASK)):
        write(folder / f"{name}.jsonl", rows)
    return folder


def write(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its release, and the store in which it was built. Not to be changed."""
    root = tmp_path_factory.mktemp("files")
    regrow.build(asking(root / "recipe"), root / "release", store=root / "store")
    return root


def test_a_release_keeps_what_files_ask_and_is_asked_it_again(built: Path) -> None:
    release = built / "release"
    told = [json.loads(line) for line in (release / "prompts" / "file.jsonl").read_text("ascii").splitlines()]
    assert [one["name"] for one in told] == ["count", "line-2"]
    assert [one["prompt"]["max_tokens"] for one in told] == [3, 5]  # the entry says what a line does not
    assert (release / "scores" / "own" / "1-items.jsonl").read_bytes() == (built / "recipe/items.jsonl").read_bytes()
    outcome = ask_again(release)
    names = ["prompt file/count", "prompt file/line-2", "score own/sequences", "score own/counting"]
    assert [f"{case.kind} {case.name}" for case in outcome.cases] == names and not outcome.failed
    (entry,) = yaml.safe_load((release / HUB_FOLDER / "own.yaml").read_text())
    assert entry["dataset"] == {"id": "me/counting", "task_id": "default"}
    listed = (release / "SHA256SUMS").read_text()
    assert f"  {HUB_FOLDER}/own.yaml\n" in listed and "  prompts/file.jsonl\n" in listed


def test_a_rebuild_says_what_was_asked_again(built: Path) -> None:
    found = regrow.verify(built / "release", sources=built / "recipe", store=built / "store")
    assert [one.partition(" (")[0] for one in found.asked][:2] == ["prompt file/count", "prompt file/line-2"]
    assert found.asked[3].startswith("score own/counting (accuracy ") and found.asked == tuple(
        found.to_json()["asked_again"]
    )
    assert any(line.startswith("  asked again, the same: prompt file/count, ") for line in found.lines())


def test_what_may_not_be_shared_is_asked_and_not_released(tmp_path: Path) -> None:
    folder = asking(tmp_path / "recipe", "unshareable")
    regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    held = b"".join(path.read_bytes() for path in (tmp_path / "release").rglob("*") if path.is_file())
    assert b"one two" not in held.replace(b"one two three four", b"") and b"text\\u2028 5:" not in held
    outcome = ask_again(tmp_path / "release")
    assert {case.name: case.verdict for case in outcome.cases} == {
        "own/sequences": "passed", "own/counting": "skipped",
    }  # fmt: skip


def test_another_file_is_another_release(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built / "recipe", tmp_path / "recipe"))
    write(folder / "prompts.jsonl", PROMPTS[:1])
    with pytest.raises(RecipeError, match="prompts"):
        regrow.build(folder, tmp_path / "release", store=built / "store", locked=True)
    write(folder / "prompts.jsonl", PROMPTS)
    again = regrow.build(folder, tmp_path / "release", store=built / "store", locked=True)
    assert again.digest == regrow.build(built / "recipe", tmp_path / "same", store=built / "store").digest


def test_items_that_are_not_there_are_not_asked(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built / "release", tmp_path / "release"))
    shutil.rmtree(folder / "scores" / "own")
    done = Shell(tmp_path, tmp_path / "store").run("test", str(seal(folder)))
    assert done.returncode == 0 and "skipped  score own/counting: its items " in done.stdout
    assert done.stdout.splitlines()[-1] == "1 of 4 tests skipped"
    (folder / "prompts" / "file.jsonl").write_text("[]\n")
    with pytest.raises(DamagedError, match="cannot be read"):
        ask_again(seal(folder))


@pytest.mark.parametrize(
    ("rows", "where", "what"),
    [
        ([{"text": "a"}, {"txt": "b"}], "mine.jsonl: line 2: txt", "unknown key"),
        ([{"text": ""}], "line 1: text", "asks nothing"),
        ([{"text": "a", "seed": "1"}], "line 1: seed", "a whole number"),
        ([{"text": "a", "messages": [{"role": "king", "content": "b"}]}], "line 1: messages", "is no message"),
        ([{"text": "a", "contains": ["b", ""]}], "line 1: contains", "one of the texts is empty"),
        ([{"text": "a", "stop": [""]}], "line 1: stop", "one of the texts is empty"),
        ([{"text": "a", "name": "x"}] * 2, "line 2", "`x` is taken"),
        ([{"text": "a", "sources": ["a"]}], "line 1: sources", "names no other files"),
        ([{"text": "\ud800"}], "line 1", "half of a character"),
        (["a"], "line 1", "no JSON object"),
        ([], "mine.jsonl", "no prompt in the files"),
    ],
)
def test_a_line_that_is_no_prompt_is_told_with_its_place(
    tmp_path: Path, rows: list[Any], where: str, what: str
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "mine.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(InputError, match=what) as caught:
        asked(model(tmp_path / "model"), prompts.KIND, tmp_path / "files", name="x", sources=["mine"])
    assert where in caught.value.where


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ('{"text": "a", "seed": "1"}', 'write it without quotes: `"seed": 1`'),
        ('{"text": 5}', 'put it in quotes: `"text": "5"`'),
        ('{"text": "a", "messages": {"role": "user"}}', "put it in brackets: `[...]`"),
        ('{"text": "a", "top": -1}', 'write, for example, `"top": 0`'),
        ('{"text": ""}', "write a `text`"),
        ('text = "a"', "it is not TOML"),
        ('[{"text": "a"},', "without a list around them"),
    ],
)
def test_hints_for_lines_are_written_as_lines_are(tmp_path: Path, line: str, hint: str) -> None:
    (tmp_path / "mine.jsonl").write_text('{"text": "right"}\n' + line)
    settings = prompts.KIND.parameters(name="x", sources=["mine"])
    with pytest.raises(InputError) as caught:
        prompts.check(Given("prompts-x", settings, {"files": (tmp_path,)}))
    assert hint in caught.value.hint and caught.value.where.startswith("mine.jsonl: line 2")


@pytest.mark.parametrize(
    ("name", "line", "what", "where"),
    [
        ("prompts", '{"txt": "a"}', "unknown key", "prompts.jsonl: line 3: txt"),
        ("items", '{"question": "a", "choices": ["b", "b"], "answer": 0}', "no item of a task", "items.jsonl: line 4"),
    ],
)
def test_a_wrong_line_is_told_before_anything_is_made_of_texts(
    tmp_path: Path, name: str, line: str, what: str, where: str
) -> None:
    folder = asking(tmp_path / "recipe")
    with (folder / f"{name}.jsonl").open("a") as file:
        file.write(line)
    for _ in range(2):  # files that are fetched already are looked at all the same
        with pytest.raises(InputError, match=what) as caught:
            regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
        assert caught.value.where == where
    plan = prepare(folder, offline=True, store=tmp_path / "store", listener=lambda event: None).plan
    assert {one.name for one in plan.stages if one.cached} <= {"fetch-prompts", "fetch-items"}


def test_files_of_tasks_are_told_with_their_places(tmp_path: Path) -> None:
    folder, files = model(tmp_path / "model"), tmp_path / "files"
    (files / "deep").mkdir(parents=True)
    write(files / "deep" / "mine.jsonl", [*TASK, {"question": "a"}])
    with pytest.raises(InputError, match="no item") as caught:
        asked(folder, score.KIND, files, name="a", sources=["mine"])
    assert caught.value.where == "deep/mine.jsonl: line 4"
    write(files / "deep" / "mine.jsonl", [{"task": "sequences"}, *TASK[1:]])
    with pytest.raises(RecipeError, match="two tasks called `sequences`"):
        asked(folder, score.KIND, files, name="b", tasks=["sequences"], sources=["mine"])
    (files / "README.md").write_text("Mine.")
    with pytest.raises(InputError, match="does not say what is asked") as caught:
        asked(folder, score.KIND, files, name="c", sources=["mine"])
    assert caught.value.where == "README.md" and "`select`" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('sources = ["prompts"]', 'sources = ["promts"]', r"no `\[\[source\]\]` is called `promts`"),
        ('sources = ["prompts"]', "", "asks nothing"),
        ('sources = ["prompts"]', 'text = "a"\nsources = ["prompts"]', "asks twice"),
        ('tasks = ["sequences"]\nsources = ["items"]', "", "asks nothing"),
    ],
)
def test_an_entry_asks_one_thing(tmp_path: Path, old: str, new: str, said: str) -> None:
    folder = asking(tmp_path / "recipe")
    text = (folder / "regrow.toml").read_text()
    assert old in text
    (folder / "regrow.toml").write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=said):
        regrow.build(folder, tmp_path / "release", store=tmp_path / "store")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (prompt.KIND, {"name": "a", "text": "b"}),
        (prompts.KIND, {"name": "a", "sources": ["b"]}),
        (score.KIND, {"name": "a", "tasks": ["agreement"]}),
        (evaluate.KIND, {}),
    ],
)
def test_a_plan_reckons_with_the_model_that_is_asked(kind: Kind[Any], said: dict[str, Any]) -> None:
    assert kind.cost is not None
    small, large = (
        kind.cost(kind.parameters(**said), {"weights": (Expected(parameters=count),)}).memory_bytes
        for count in (0, 10**9)
    )
    assert large - small == 8 * 10**9
