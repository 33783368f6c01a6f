"""Scores: the numbers, and that nothing but model and items changes them. python -m pytest tests/evaluating"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from regrow.cli.root import cli
from regrow.compression.rounding import Grid, nearest
from regrow.errors import RegrowError
from regrow.evaluating import tasks
from regrow.evaluating.alone import Alone
from regrow.evaluating.asking import GREEDY, Likely, Span, Writing, before_stop
from regrow.evaluating.hub import eval_results
from regrow.evaluating.items import Choice, Continuation
from regrow.evaluating.scores import Measure, Score, Scores, judge, measures, ratio
from regrow.evaluating.tasks import Hub, Task
from regrow.model import weights
from regrow.model.sampling import Sampling
from regrow.testing.evaluation import Options, evaluate
from regrow.testing.subject import subject
from tests.cli.conftest import Shell
from tests.models import CONFIG, model

from .conftest import seal


def test_the_error_of_a_mean_is_the_usual_one_and_that_of_a_rate_counts_both_sums() -> None:
    assert ratio([(1.0, 1.0), (0.0, 1.0), (1.0, 1.0), (1.0, 1.0)]) == (0.75, pytest.approx(math.sqrt(0.1875 / 3)))
    assert ratio([(1.0, 1.0)]) == (1.0, None)
    value, error = ratio([(8.0, 4.0), (2.0, 1.0), (6.0, 2.0)])
    assert (value, error) == (
        16 / 7,
        pytest.approx(math.sqrt(3 / 2 * sum(r * r for r in (-8 / 7, -2 / 7, 10 / 7))) / 7),
    )


def test_a_choice_is_the_likeliest_and_of_equals_the_first() -> None:
    item = Choice("", "q", ("aaaa", "b", "cc"), 1)
    judged = item.judged([Likely((-2.0, -2.0), False), Likely((-3.0,), False), Likely((-3.0,), True)])
    assert judged.measures == {"accuracy": (1.0, 1.0), "accuracy_per_byte": (0.0, 1.0)}
    assert judged.said["chosen"] == 1


def test_bits_are_per_byte_of_what_follows() -> None:
    judged = Continuation("", "q", "\u00e9x").judged([Likely((-math.log(2.0), -math.log(4.0)), True)])
    (total,) = measures([{"bits_per_byte": judged.measures["bits_per_byte"]}])
    assert total.value == pytest.approx(1.0)


def test_a_text_ends_before_the_stop_that_ends_first() -> None:
    assert before_stop("one, two. three", (". t", ",")) == "one"
    assert before_stop("abcd", ("bcd", "bc", "abc")) == ""
    assert before_stop("abcd", ("x",)) is None


def scores_of(folder: Path, names: tuple[str, ...], batch: int, again: bool = False) -> list[Score]:
    with subject(folder, batch) as who:
        form = who.form(cuts=True)
        found = [judge(tasks.find(name).first(12), form, who.answering) for name in names]
        if again:  # with whatever the engine has kept
            assert [judge(tasks.find(name).first(12), form, who.answering) for name in names] == found
        return found


NAMES = ("arithmetic", "sequences", "agreement")


def test_scores_do_not_depend_on_how_many_texts_are_read_at_a_time(plain: Path) -> None:
    """One after the other as a build does it, 1, 4 and 32 at a time, cold and warm."""
    with subject(plain) as who:
        generator = who.generator
        alone = Alone(generator.decoder, generator.parameters, generator.tokenizer, generator.stops)
        expected = [judge(tasks.find(name).first(12), who.form(cuts=True), alone) for name in NAMES]
    for batch in (1, 4, 32):
        assert scores_of(plain, NAMES, batch, again=batch == 4) == expected
    assert len({one.digest for one in expected}) == 3


def test_a_build_asks_a_model_of_few_bits_as_it_runs(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", replace(CONFIG, width=32, hidden=32))
    config, parameters = weights.load(folder)
    codes = {name: nearest(x, Grid(8, 32)) for name, x in parameters.items() if name.endswith((".qkv", ".down"))}
    weights.save(folder, config, {n: x for n, x in parameters.items() if n not in codes}, weights.Ends.both(0), codes)
    with subject(seal(folder)) as who:
        alone = Alone.load(folder, who.generator.tokenizer)
        task, form = tasks.find("agreement").first(3), who.form(cuts=True)
        assert judge(task, form, alone) == judge(task, form, who.answering)


def test_texts_come_in_their_order_whatever_they_take(plain: Path) -> None:
    with subject(plain, 5) as who:
        prompt = tuple(who.generator.tokenizer.prompt("one two"))
        writings = [Writing(prompt, 1 + (7 * i) % 11, ("e",), Sampling(2.0, 0, i)) for i in range(14)]
        generator = who.generator
        alone = Alone(generator.decoder, generator.parameters, generator.tokenizer, generator.stops)
        assert list(who.answering.written(writings)) == list(alone.written(writings))
        assert len({one.text for one in alone.written(writings)}) > 3
        first = next(who.answering.written([replace(writings[0], most=40, sampling=GREEDY)] * 3))
        assert first.tokens  # and the others were given up


def test_a_digest_covers_what_was_said_and_not_only_what_was_reached() -> None:
    one = Score("t", "a" * 64, (Measure("accuracy", 0.5, 0.1),), ({"logprobs": [-1.0]},))
    other = replace(one, said=({"logprobs": [-1.0000000000000002]},))
    assert one.digest != other.digest
    assert Scores("w", (one,)).digest != Scores("w", (other,)).digest != Scores("v", (other,)).digest


def run(shell: Shell, *words: str) -> Any:
    done = shell.run("eval", *words)
    assert done.returncode == 0, done.stderr
    return done


def test_threads_change_nothing_and_the_table_shows_what_guessing_gives(kept: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path, tmp_path / "store")
    words = (str(kept), "--tasks", "agreement", "--tasks", "sequences")
    one = run(shell, *words, "--threads", "1", "--batch", "1", "--output", "out.json")
    two = run(shell, *words, "--threads", "2", "--batch", "32")
    assert one.stdout == two.stdout
    kept_scores = json.loads((kept / "scores" / "small.json").read_text())
    assert one.stdout.splitlines()[-1] == kept_scores["digest"]
    assert one.stdout.splitlines()[1].split()[:3] == ["agreement", "40", "accuracy"]
    assert one.stdout.splitlines()[1].split()[-1] == "0.5000"
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["scores"] == kept_scores["scores"]
    assert len(told["release"]["digest"]) == 64


@pytest.mark.parametrize(
    ("names", "options", "what"),
    [
        (("coping",), Options(), "there is no task `coping`"),
        (("agreement",), Options(chat=True), "the model has no chat template"),
        (("knowledge", "knowledge"), Options(limit=1), "there are two tasks called `knowledge`"),
        (("nowhere.yaml",), Options(), "there is no such file"),
    ],
)
def test_what_cannot_be_judged_is_told(kept: Path, names: tuple[str, ...], options: Options, what: str) -> None:
    with pytest.raises(RegrowError, match=what):
        evaluate(kept, names, options)


def test_a_release_without_a_tokenizer_is_judged_in_nothing(kept: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kept, tmp_path / "release"))
    (folder / "tokenizer.json").unlink()
    done = CliRunner().invoke(cli, ["eval", str(seal(folder)), "--output", str(tmp_path / "out.json")])
    assert done.exit_code == 6
    assert f"error: `{folder}` has no tokenizer" in done.output
    assert not (tmp_path / "out.json").exists()


def test_only_data_sets_of_the_hub_stand_in_eval_results() -> None:
    measured = (Measure("accuracy", 0.25, 0.1), Measure("accuracy_per_byte", 0.5, 0.1))
    one = Score("mine", "a" * 64, measured, ({"x": 1},) * 4, hub=Hub("me/mine", "default", "abc"))
    assert eval_results(Scores("w", (replace(one, hub=None),)), "r") == ""
    (entry,) = yaml.safe_load(eval_results(Scores("w", (one, replace(one, hub=None))), "r" * 64))
    assert entry["dataset"] == {"id": "me/mine", "task_id": "default", "revision": "abc"}
    assert entry["value"] == 0.25
    assert one.digest in entry["notes"] and "r" * 64 in entry["notes"]
    hub = pytest.importorskip("huggingface_hub")
    (parsed,) = hub.parse_eval_result_entries([entry])
    assert hub.eval_result_entries_to_yaml([parsed]) == [entry]


def test_an_engine_that_tells_nothing_of_the_prompt_is_no_model_that_guesses(plain: Path) -> None:
    from regrow.errors import StageError
    from regrow.testing import together

    with pytest.raises(StageError, match="the engine told of 0 tokens in place of 2"):
        together._likely(Span((1, 2, 3), 1), together._Heard())


def test_an_empty_task_cannot_be() -> None:
    assert Task("x", "text", ()).chance is None
