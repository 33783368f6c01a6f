"""`regrow test`: a release's own prompts and scores, once more. python -m pytest tests/evaluating/test_again.py"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from regrow.errors import InputError
from regrow.evaluating.names import known
from regrow.recipe.kind import Kind
from regrow.release.files import DamagedError
from regrow.stages import prompt, score
from regrow.testing.again import Case, Outcome, ask_again, diff
from regrow.testing.junit import junit
from tests.cli.conftest import Shell
from tests.models import CONFIG, TEXTS, model
from tests.serve.servers import release

from .conftest import asked, keep, seal


def copied(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "release"))


def changed(folder: Path, place: str, **parts: Any) -> Path:
    """The release with another part of one of its documents."""
    said = json.loads((folder / place).read_text("utf-8"))
    keep(folder, place, {**said, **parts})
    return seal(folder)


def verdicts(outcome: Outcome) -> dict[str, str]:
    return {f"{case.kind} {case.name}": case.verdict for case in outcome.cases}


ALL = {
    "prompt greeting": "passed",
    "prompt warm": "passed",
    "score small/agreement": "passed",
    "score small/sequences": "passed",
}


def test_what_a_build_kept_comes_out_again(kept: Path) -> None:
    outcome = ask_again(kept)
    assert verdicts(outcome) == ALL
    assert not outcome.failed and outcome.digest == outcome.kept


def test_an_answer_that_changed_is_shown(kept: Path, tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    said = json.loads((folder / "prompts" / "greeting.json").read_text())["answer"]
    changed(folder, "prompts/greeting.json", answer={**said, "text": "first\n" + said["text"]})
    (case,) = ask_again(folder).failed
    assert (case.kind, case.name, case.why, case.diff[0]) == ("prompt", "greeting", "the answer is another", "-first")


def test_an_answer_that_is_not_the_expected_one_fails_and_says_how_it_is_accepted(kept: Path, tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    said = json.loads((folder / "prompts" / "warm.json").read_text())["answer"]["text"].strip()
    assert not ask_again(changed(folder, "prompts/warm.json", expect=["no", f" {said}\n"])).failed
    (case,) = ask_again(changed(folder, "prompts/warm.json", expect=["no"])).failed
    assert 'expected is "no"' in case.why and not case.diff
    assert json.dumps(said, ensure_ascii=False) in case.hint
    (case,) = ask_again(changed(folder, "prompts/warm.json", expect=[], contains=["zebra"])).failed
    assert 'there is no "zebra"' in case.why


def test_a_score_that_changed_is_shown_with_both_numbers(kept: Path, tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    said = json.loads((folder / "scores" / "small.json").read_text())
    for part, why in (({"digest": "0" * 64}, "the scores are the same, and what was said"), ({}, "")):
        said["scores"][0] |= part
        said["scores"][0]["measures"]["accuracy"]["value"] += 0.5 * (not why)
        keep(folder, "scores/small.json", said)
        (case,) = ask_again(seal(folder)).failed
        assert case.name == "small/agreement" and (why or "the scores are others") in case.why
    assert [line[:9] for line in case.diff] == ["-accuracy", "+accuracy"]
    said["scores"][0]["asked"] = "1" * 64
    keep(folder, "scores/small.json", said)
    (case,) = ask_again(seal(folder)).failed
    assert "its items are put otherwise" in case.why
    said["arithmetic"]["inference"] = 1
    keep(folder, "scores/small.json", said)
    assert all("version 1 of the arithmetic" in case.why for case in ask_again(seal(folder)).failed)


def test_another_release_is_asked_what_this_one_keeps(kept: Path, tmp_path: Path) -> None:
    other = seal(model(tmp_path / "other", CONFIG, 4, TEXTS))
    outcome = ask_again(other, kept)
    assert outcome.digest != outcome.kept
    assert verdicts(outcome)["prompt warm"] == "failed"
    shell = Shell(tmp_path, tmp_path / "store")
    done = shell.run("test", str(other), "--against", str(kept), "--junit", "out.xml")
    assert done.returncode == 3
    assert f"answers of {outcome.kept}, which is another release" in done.stdout
    assert "FAILED  prompt warm: the answer is another" in done.stdout
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", str(len(outcome.failed)))


def test_the_command_says_that_all_is_as_it_was(kept: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path, tmp_path / "store")
    done = shell.run("test", str(kept), "--batch", "1")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "4 tests, all as they were")


def test_a_release_that_keeps_nothing_is_told_what_to_do(plain: Path) -> None:
    with pytest.raises(InputError, match="keeps nothing that could be asked again") as caught:
        ask_again(plain)
    assert "[[prompt]]" in caught.value.hint


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("prompts/greeting.json", []),
        ("prompts/greeting.json", {"prompt": {}, "answer": {}, "expect": [], "contains": []}),
        ("prompts/greeting.json", {"prompt": 1, "answer": 2}),
        ("scores/small.json", {"scores": [{}]}),
        ("scores/small.json", 7),
    ],
)
def test_documents_that_are_none_are_damage(kept: Path, tmp_path: Path, place: str, value: Any) -> None:
    folder = copied(kept, tmp_path)
    keep(folder, place, value)
    with pytest.raises(DamagedError, match="cannot be read") as caught:
        ask_again(seal(folder))
    assert place in caught.value.why


def test_a_damaged_model_answers_nothing(kept: Path, tmp_path: Path) -> None:
    folder = copied(kept, tmp_path)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(InputError, match="not the file that was released"):
        ask_again(folder)


def test_a_conversation_needs_a_template(plain: Path) -> None:
    with pytest.raises(InputError, match="no chat template") as caught:
        asked(plain, prompt.KIND, name="talk", text="So?", messages=[{"role": "user", "content": "Why?"}])
    assert "the prompt has `messages`" in caught.value.why
    with pytest.raises(InputError, match="no chat template"):
        asked(plain, prompt.KIND, name="talk-two", text="Why?", system="Be brief.")
    with pytest.raises(InputError, match="no room for prompt and answer"):
        asked(plain, prompt.KIND, name="long", text="one", max_tokens=99)


@pytest.mark.parametrize(
    ("kind", "parameters", "what"),
    [
        (prompt.KIND, {"name": "x"}, "asks nothing"),
        (prompt.KIND, {"name": "x", "text": ""}, "asks nothing"),
        (prompt.KIND, {"name": "x", "text": "a", "messages": [{"role": "king", "content": "a"}]}, "is no message"),
        (prompt.KIND, {"name": "x", "text": "a", "messages": [{"role": "user"}]}, "a message has `role`"),
        (score.KIND, {"name": "x", "tasks": ["agrement"]}, "there is no task `agrement`"),
        (score.KIND, {"name": "x", "tasks": [known()[0]] * 2}, "named twice"),
        (score.KIND, {"name": "x", "tasks": []}, "asks nothing"),
    ],
)
def test_a_recipe_that_asks_wrongly_is_refused(kind: Kind[Any], parameters: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        kind.parameters.model_validate(parameters)


def test_what_differs_is_shown_and_what_does_not_is_not() -> None:
    assert diff("a\nb\nc", "a\nb\nc") == ()
    assert [line for line in diff("a\nb\nc", "a\nx\nc") if line[0] in "+-"] == ["-b", "+x"]
    assert diff("a", "a\n") == ("-'a'", "+'a\\n'")


def test_what_a_model_writes_cannot_break_the_xml() -> None:
    case = Case("prompt", "a", "failed", "it is \x00\x1b[31m]]>", ("-\ufffe",), "")
    text = junit(Outcome("<model>", "d", "k", (case,)))
    suite = ElementTree.fromstring(text)
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "it is \\x00\\x1b[31m]]>"
    assert suite.get("name") == "<model>"


def test_a_conversation_is_asked_through_the_template_of_the_model(tmp_path: Path) -> None:
    folder = release(tmp_path / "babble")
    said = asked(folder, prompt.KIND, name="a", text="Say it", max_tokens=4)
    more = asked(
        folder,
        prompt.KIND,
        name="b",
        text="Say it",
        max_tokens=4,
        system="Be brief.",
        messages=[{"role": "user", "content": "say"}, {"role": "assistant", "content": "No."}],
    )
    plain = asked(folder, prompt.KIND, name="c", text="Say it", max_tokens=4, continues=True)
    assert len({one["answer"]["rendered"] for one in (said, more, plain)}) == 3
    for name, one in (("a", said), ("b", more), ("c", plain)):
        keep(folder, f"prompts/{name}.json", one)
    assert not ask_again(seal(folder)).failed
