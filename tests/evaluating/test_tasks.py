"""Files of items: which are tasks, and what is said of those that are none. python -m pytest tests/evaluating"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError
from regrow.evaluating import tasks
from regrow.evaluating.forms import Form
from regrow.evaluating.names import SETS, known

CHOICE = {"question": "one two", "choices": [" three", " one"], "answer": 0}


def written(folder: Path, *rows: object, name: str = "mine.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows), "utf-8")
    return path


def test_every_kind_of_item_is_read(tmp_path: Path) -> None:
    shapes = {
        "choice": CHOICE,
        "continuation": {"question": "one", "continuation": " two"},
        "answer": {"question": "one", "answer": ["two", "three"], "id": 7},
        "text": {"text": "one two"},
    }
    for shape, row in shapes.items():
        task = tasks.read(written(tmp_path, row, "", row))
        assert (task.name, task.shape, len(task.items)) == ("mine", shape, 2)


def test_a_choice_may_be_named_by_its_text_and_the_head_names_the_task(tmp_path: Path) -> None:
    head = {"task": "other", "about": "A try.", "dataset": "me/mine", "revision": "abc"}
    by_text = tasks.read(written(tmp_path, head, {**CHOICE, "answer": " three"}))
    by_number = tasks.read(written(tmp_path, CHOICE, name="again.jsonl"))
    assert by_text.items[0].rendered.__self__.right == by_number.items[0].rendered.__self__.right == 0  # type: ignore[attr-defined]
    assert (by_text.name, by_text.about) == ("other", "A try.")
    assert by_text.hub == tasks.Hub("me/mine", "default", "abc")
    assert by_text.chance == 0.5


@pytest.mark.parametrize(
    ("rows", "what", "why"),
    [
        ([], "the task has no items", ""),
        ([{"task": "x"}], "the task has no items", ""),
        (["{"], "this line is no JSON", ""),
        (["[1]"], "this line is no JSON object", "it is [1]"),
        (['{"text": "a", "text": "b"}'], "this line is no JSON", 'an object has "text" twice'),
        ([{"question": "x"}], "this is no item", "it has `question`"),
        ([{"question": "x", "choices": ["a", "b"]}], "this is no item", "it has no `answer`"),
        ([{**CHOICE, "answer": 2}], "this is no item", "`answer` is 2, and none of the 2 choices"),
        ([{**CHOICE, "answer": True}], "this is no item", "`answer` is true"),
        ([{**CHOICE, "answer": " four"}], "this is no item", "none of the 2 choices"),
        ([{**CHOICE, "choices": [" three"]}], "this is no item", "it has 1 choices"),
        ([{**CHOICE, "choices": [" three", 4]}], "this is no item", "no list of texts"),
        ([{**CHOICE, "choises": 1}], "this is no item", 'the unknown key "choises"'),
        ([CHOICE, {"text": "x"}], "this is no item", "and the lines before for a choice"),
        ([{"question": "x", "answer": []}], "this is no item", "`answer` is an empty list"),
        ([{"text": ""}], "this is no item", '`text` is "", and no text'),
        ([{"text": "\ud800"}], "this line has half of a character", ""),
        ([CHOICE | {"choices": ["b", "c", "b"]}], "this is no item", 'the choice "b" is there twice'),
        ([{"task": "x", "max_tokens": 0}, CHOICE], "this is no item", "no whole number from 1"),
        (["[" * 100_000], "this line is no JSON", "it is nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(
    rows: list[object], what: str, why: str, tmp_path: Path
) -> None:
    path = written(tmp_path, *rows)
    with pytest.raises(InputError, match=what) as caught:
        tasks.read(path)
    assert why in caught.value.why
    assert caught.value.where.startswith(str(path))
    if why:
        assert f": line {len(rows) if rows[0] == CHOICE else 1}" in caught.value.where


def test_an_unknown_name_is_told_with_what_there_is() -> None:
    with pytest.raises(InputError, match="there is no task `agremeent`") as caught:
        tasks.find("agremeent")
    assert caught.value.hint == "did you mean `agreement`?"
    with pytest.raises(InputError) as caught:
        tasks.find("zzz")
    assert all(name in caught.value.hint for name in known())
    with pytest.raises(InputError, match="the file cannot be read"):
        tasks.find("nowhere.jsonl")


def test_the_tasks_that_come_along_are_what_they_were() -> None:
    """Scores that releases keep are about these items: others need another name."""
    found = {name: hashlib.sha256((SETS / f"{name}.jsonl").read_bytes()).hexdigest()[:16] for name in known()}
    assert found == FROZEN


FROZEN = {
    "agreement": "345ec0ac2ecd6643",
    "arithmetic": "dd384b1fcaa27e24",
    "copying": "1fefe254b9b75fbe",
    "knowledge": "078e4b6073e7d2d3",
    "sequences": "423e3ceefd7002f9",
}


def test_the_tasks_that_come_along_are_sound() -> None:
    for name in known():
        task = tasks.find(name)
        assert (task.name, len(task.items) >= 25, bool(task.about)) == (name, True, True)
        rows = [json.dumps(item.__dict__ | {"where": ""}, sort_keys=True) for item in task.items]
        assert len({*rows}) == len(rows)
        if task.shape == "choice":
            rights = [item.right for item in task.items]  # type: ignore[attr-defined]
            assert len({*rights}) == len(task.items[0].choices)  # type: ignore[attr-defined]
            assert all(len({*item.choices}) == len(item.choices) for item in task.items)  # type: ignore[attr-defined]


def test_items_that_the_model_has_no_room_for_are_an_error_unless_they_may_be_cut(plain: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.open(plain)
    (item,) = tasks.read(written(tmp_path, {"question": "one two " * 90, "continuation": " three"})).items
    with pytest.raises(InputError, match="no room for an item") as caught:
        item.asks(Form(tokenizer, 64))
    assert caught.value.where.endswith("mine.jsonl: line 1") and "the context has 64" in caught.value.why
    (span,) = item.asks(Form(tokenizer, 64, cuts=True))
    (whole,) = item.asks(Form(tokenizer, 9_999))
    assert len(span.tokens) == 64 and span.tokens == whole.tokens[-64:]
    assert (span.cut, span.first) == (len(whole.tokens) - 64, whole.first - len(whole.tokens) + 64)  # type: ignore[union-attr]
    (item,) = tasks.read(written(tmp_path, {"question": "one", "continuation": " two three" * 90})).items
    with pytest.raises(InputError, match="no room"):  # nothing of what is asked about may go
        item.asks(Form(tokenizer, 64, cuts=True))
    head = {"task": "long", "max_tokens": 64}
    (item,) = tasks.read(written(tmp_path, head, {"question": "one", "answer": "two"})).items
    with pytest.raises(InputError, match="no room") as caught:
        item.asks(Form(tokenizer, 64, cuts=True))
    assert "64 tokens more" in caught.value.why


def test_spaces_at_the_end_of_a_question_belong_to_the_answer(plain: Path) -> None:
    form = Form(Tokenizer.open(plain), 64)
    assert form.span("one two ", "three", "") == form.span("one two", " three", "")
    nothing = form.span("", "one", "")
    assert (nothing.tokens[0], nothing.first) == (form.tokenizer.end_of_text, 1)


def test_a_long_text_is_asked_about_once_token_for_token(plain: Path) -> None:
    form = Form(Tokenizer.open(plain), 16)
    text = "one two three four five six seven " * 9
    spans = list(form.windows(text, ""))
    asked = [token for span in spans for token in span.tokens[span.first :]]
    assert asked == form.tokenizer.meant(text)
    assert all(len(span.tokens) == 16 for span in spans) and len(spans) > 2


def test_a_key_without_which_a_line_would_ask_something_else_is_meant(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "Good", "choises": [" a", " b"], "answer": 0}\n', "utf-8")
    with pytest.raises(InputError, match="no item") as caught:
        tasks.read(tmp_path / "a.jsonl")
    assert caught.value.hint == "did you mean `choices`?"


@pytest.mark.parametrize(
    ("line", "what", "why"),
    [
        (b'{"text": "caf\xe9"}', "this line is not UTF-8", "its byte 14 is 0xe9"),
        (b'{"text": ' + b"9" * 5_000 + b"}", "this line is no JSON", "a number has thousands of digits"),
    ],
    ids=["cp1252", "digits"],
)
def test_of_bytes_and_digits_it_is_said_what_is_wrong(tmp_path: Path, line: bytes, what: str, why: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(line)
    with pytest.raises(InputError, match=what) as caught:
        tasks.read(tmp_path / "a.jsonl")
    assert caught.value.why == why
