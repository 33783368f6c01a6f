"""lm-eval on our engine: beside transformers, and over HTTP. python -m pytest tests/evaluating/test_harness.py"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regrow.errors import InputError
from regrow.testing.evaluation import Options, evaluate
from regrow.testing.subject import Subject, subject

lm_eval = pytest.importorskip("lm_eval", reason="needs the extra `eval`")

os.environ.setdefault("HF_HUB_OFFLINE", "1")

HEAD = "dataset_path: json\ndataset_kwargs: {data_files: {test: items.jsonl}}\ntest_split: test\n"
CHOICE = f"""task: mine
{HEAD}output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: "{{{{c}}}}"
doc_to_target: a
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
WRITING = f"""task: written
{HEAD}output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{c[a]}}}}"
generation_kwargs: {{until: ["e"], max_gen_toks: 6}}
metric_list: [{{metric: exact_match}}]
"""
ROLLING = f"""task: rolling
{HEAD}output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{q}}}}"
metric_list: [{{metric: bits_per_byte}}]
"""
CONTEXTS = ("one two", "one two ", "", "text 3:", "three four five six seven one two three")
CONTINUATIONS = (" three", "three", "\n", " one two three four")


@pytest.fixture(scope="module")
def asked(plain: Path) -> Iterator[Subject]:
    with subject(plain, 4) as who:
        yield who


def requests(*arguments: tuple[Any, ...]) -> list[Any]:
    return [SimpleNamespace(args=one) for one in arguments]


PAIRS = [(context, continuation) for context in CONTEXTS for continuation in CONTINUATIONS]
LONG = "one two three four five six seven " * 12


def ours(who: Subject) -> Any:
    from regrow.testing.harness import ReleaseLM

    return ReleaseLM(who.answering, who.form())


def test_log_likelihoods_are_those_of_lm_eval_with_transformers(asked: Subject) -> None:
    pytest.importorskip("accelerate", reason="lm-eval loads models of transformers with it")
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(pretrained=str(asked.folder), device="cpu", dtype="float32", max_length=63, batch_size=2)
    found = ours(asked).loglikelihood(requests(*PAIRS))
    expected = theirs.loglikelihood(_instances(PAIRS), disable_tqdm=True)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert [total for total, _ in found] == pytest.approx([total for total, _ in expected], abs=1e-4)
    texts = [("one two three",), (LONG,)]
    rolled = ours(asked).loglikelihood_rolling(requests(*texts))
    assert rolled == pytest.approx(theirs.loglikelihood_rolling(_instances(texts), disable_tqdm=True), rel=1e-5)


def _instances(arguments: list[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    kind = "loglikelihood" if len(arguments[0]) == 2 else "loglikelihood_rolling"
    return [Instance(kind, {}, one, i) for i, one in enumerate(arguments)]


def task(folder: Path, text: str, name: str = "task.yaml") -> str:
    rows = [{"q": f"one two {word}", "c": ["three", "seven", "one"], "a": i % 3} for i, word in enumerate("abcde")]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    ("text", "measures"),
    [(CHOICE, ["acc", "acc_norm"]), (WRITING, ["exact_match"]), (ROLLING, ["bits_per_byte"])],
    ids=["choice", "writing", "rolling"],
)
def test_a_task_of_lm_eval_gives_the_same_for_any_batch(
    plain: Path, tmp_path: Path, text: str, measures: list[str]
) -> None:
    path = task(tmp_path, text)
    one, other = (evaluate(plain, [path], Options(batch=batch)) for batch in (1, 16))
    assert one == other
    (score,) = one.scores
    assert [measure.name for measure in score.measures] == measures
    assert score.by.startswith("lm-eval ") and len(score.said) == 5
    assert (score.measures[0].error is None) is (text == ROLLING)  # lm-eval weighs the items of that


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("[]", "this is no task|cannot run this task", ""),
        ("task: x\ndataset_path: super_glue\n", "where its data lie", 'it is "super_glue", and nothing is fetched'),
        (CHOICE.replace("items.jsonl", "none.jsonl"), "the data cannot be read", "no such file"),
        (CHOICE.replace("{{q}}", "{{missing}}"), "lm-eval cannot run this task", "missing"),
        (CHOICE + "process_docs: !function mine.prepare\n", "the task brings Python", "`!function`"),
        ("include: other.yaml\n" + CHOICE, "the task cannot be read", "other.yaml"),
        (WRITING.replace("max_gen_toks: 6", "max_gen_toks: 600"), "no room for an item", "600 tokens more"),
        (WRITING.replace("max_gen_toks: 6", "typical_p: 0.5"), "knows no `typical_p`", ""),
        ("a: [", "the task cannot be read", ""),
    ],
)
def test_a_task_that_cannot_be_run_is_told(plain: Path, tmp_path: Path, text: str, what: str, why: str) -> None:
    path = task(tmp_path, text)
    with pytest.raises(InputError, match=what) as caught:
        evaluate(plain, [path], Options())
    assert why in f"{caught.value.why} {caught.value.where}"
    assert str(tmp_path) in caught.value.where


def test_python_beside_a_task_runs_if_it_is_allowed(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def prepare(rows):\n    return rows.select(range(2))\n")
    path = task(tmp_path, CHOICE + "process_docs: !function mine.prepare\n")
    (score,) = evaluate(plain, [path], Options(code=True)).scores
    assert len(score.said) == 2


@pytest.fixture(scope="module")
def served(plain: Path) -> Iterator[str]:
    for name in ("aiohttp", "tenacity", "uvicorn", "prometheus_client"):
        pytest.importorskip(name)
    from tests.serve import servers

    with servers.command(plain) as server:
        yield server.url


@pytest.mark.parametrize(("batch", "concurrent"), [(1, 1), (5, 1), (1, 3)])
def test_scores_over_http_are_the_same_to_the_last_digit(
    asked: Subject, served: str, batch: int, concurrent: int
) -> None:
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    pairs = [(context, each) for context in ("one two ", "three four ", "what? ") for each in CONTINUATIONS]
    theirs = LocalCompletionsAPI(
        base_url=f"{served}/v1/completions",
        model=asked.folder.name,
        tokenizer_backend="huggingface",  # with that of a server, lm-eval leaves out the token that begins a text
        tokenizer=str(asked.folder),
        max_length=64,
        add_bos_token=True,
        batch_size=batch,
        num_concurrent=concurrent,
    )
    found = theirs.loglikelihood(_instances(pairs), disable_tqdm=True)
    assert found == ours(asked).loglikelihood(requests(*pairs))
    assert len({total for total, _ in found}) == len(pairs)  # without an echo they would all be nothing
    said = {"until": ["e"], "max_gen_toks": 7, "do_sample": False}
    writings = [(context, said) for context in ("one", "two three", "four five six")]
    assert _generated(theirs, writings) == ours(asked).generate_until(requests(*writings))


def _generated(model: Any, arguments: list[tuple[str, dict[str, Any]]]) -> list[str]:
    from lm_eval.api.instance import Instance

    found: list[str] = model.generate_until(
        [Instance("generate_until", {}, one, 0) for one in arguments], disable_tqdm=True
    )
    return found
