"""Learning from a teacher: who the student is, what it begins with, what is refused, and that it is built again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import regrow
from regrow.errors import RegrowError
from regrow.model.decoder import Decoder, initialise
from regrow.model.shrinking import evenly, shrinks, shrunk
from regrow.model.weights import load, load_config
from regrow.store.digest import tree_digest
from regrow.train.task import Batch
from regrow.train.tasks import tasks
from regrow.train.tasks.distilling import Distilling
from tests.models import CONFIG, TEXTS, model, recipe, tokens

from .conftest import Bench

RUN = {"tokens": 128, "context": 16, "micro_batches_per_step": 1, "learning_rate": 1e-2, "validate_every": 0}
LARGE = replace(CONFIG, layers=3, width=32, heads=4, vocabulary=304)
GOLDEN_TAUGHT = "cc521e57168a21148a98670c4e9bddc3d686524c64447ec5ec013c776e0e0c02"
GOLDEN_SHRUNK = "5ccb596a9acb7733f5d1085e71972b291580cfdfe6584e55137bcb98e1e50c55"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("distil")
    found = {"weights": model(root / "base"), "tokens": tokens(root / "tokens")}
    return {**found, "tokenizer": found["weights"], "teacher": model(root / "wise", LARGE, 5)}


def learn(root: Path, given: dict[str, Path], **said: Any) -> Path:
    root.mkdir(exist_ok=True)
    fed = {name: path for name, path in given.items() if name != "teacher" or "teacher" in said}
    return Bench(root).run("distil", {**RUN, **said}, **fed)


def test_the_weights_are_the_student_of_a_teacher(tmp_path: Path, given: dict[str, Path]) -> None:
    found = learn(tmp_path, given, teacher="wise")
    config, parameters = load(found)
    assert config == CONFIG
    before = load(given["weights"])[1]
    assert all(not torch.equal(before[name], parameters[name]) for name in before)


def test_it_comes_nearer_to_the_teacher(tmp_path: Path, given: dict[str, Path]) -> None:
    found = learn(tmp_path, given, teacher="wise", share=1.0, tokens=1024)
    seen = torch.arange(32).view(2, 16)

    def away(folder: Path) -> float:
        said = [Decoder(load_config(one)).logits(load(one)[1], seen)[..., :300] for one in (given["teacher"], folder)]
        wise, own = (x.log_softmax(-1) for x in said)
        return float((wise.exp() * (wise - own)).sum(-1).mean())

    assert away(found) < 0.9 * away(given["weights"])


def test_the_output_is_what_it_was(tmp_path: Path, given: dict[str, Path]) -> None:
    """If one fails, bump the version of the kind."""
    assert tree_digest(learn(tmp_path / "a", given, teacher="wise", top=9)) == GOLDEN_TAUGHT
    assert tree_digest(learn(tmp_path / "b", given, layers=1)) == GOLDEN_SHRUNK


def test_a_smaller_student_begins_with_layers_and_units_of_its_teacher() -> None:
    config = replace(CONFIG, layers=5, hidden=8, mlp_bias=True, family="llama")
    small = replace(config, layers=3, hidden=3)
    large = initialise(config, 1)
    found = shrunk(config, large, small)
    assert {name: tuple(x.shape) for name, x in found.items()} == small.shapes()
    assert torch.equal(found["layers.001.attention.qkv"], large["layers.002.attention.qkv"])
    assert torch.equal(found["layers.002.mlp.down"], large["layers.004.mlp.down"][:, [0, 3, 7]])
    assert torch.equal(found["layers.000.mlp.gate_up"], large["layers.000.mlp.gate_up"][[0, 3, 7, 8, 11, 15]])
    assert shrinks(config, small)
    assert not shrinks(config, replace(small, width=32))
    assert not shrinks(config, replace(config, layers=6))
    assert [evenly(n, 4) for n in (1, 2, 3, 4)] == [(0,), (0, 3), (0, 1, 3), (0, 1, 2, 3)]


def test_a_student_of_another_width_begins_with_random_numbers(tmp_path: Path, given: dict[str, Path]) -> None:
    config = load_config(learn(tmp_path, given, width=12, heads=3, kv_heads=3))
    assert (config.width, config.heads, config.head_width, config.layers) == (12, 3, 4, 2)


def test_other_workers_make_the_same_task() -> None:
    known, own = initialise(LARGE, 1), initialise(replace(LARGE, layers=1), 2)
    task = Distilling(replace(LARGE, layers=1), LARGE, 8, 2.0, 0.5, 3, lambda: own, lambda: known)
    other = tasks()["distilling"](task.description())
    assert other == task
    parameters, batch = {**task.initial(), **task.given()}, Batch(torch.arange(18).view(2, 9))
    assert torch.equal(other.loss(parameters, batch), task.loss(parameters, batch))


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, "nobody is to learn from anybody"),
        ({"teacher": "wise", "layers": 1}, "`layers` is the shape of a student"),
        ({"heads": 5}, "there is no such student: 5 heads do not divide the width 16"),
        ({"teacher": "wise", "temperature": 0.0}, "temperature"),
        ({"layers": 1, "context": 65, "tokens": 1024}, "longer than the model's 64"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, given: dict[str, Path], said: dict[str, Any], fault: str) -> None:
    with pytest.raises((RegrowError, ValueError), match=fault):
        learn(tmp_path, given, **said)


def test_a_teacher_with_other_tokens_is_refused(tmp_path: Path, given: dict[str, Path]) -> None:
    other = model(tmp_path / "other", CONFIG, 5, (*TEXTS, "nine ten eleven zebra zebra " * 50))
    with pytest.raises(RegrowError, match=r"the model `wise` has another tokenizer: token \d+ is .* there, and here"):
        learn(tmp_path, {**given, "teacher": other}, teacher="wise")
    short = model(tmp_path / "short", replace(LARGE, context=8), 5)
    with pytest.raises(RegrowError, match="longer than the 8 of the teacher"):
        learn(tmp_path / "b", {**given, "teacher": short}, teacher="wise")


PARENT = '[[parent]]\nname = "{0}"\nfetch = "file:{0}"\nlicence = "MIT"\n'
TABLES = (
    PARENT.format("wise"),
    '[distil]\nteacher = "wise"\ntokens = 128\ncontext = 16\nmicro_batches_per_step = 1\n',
)


def test_a_recipe_with_a_teacher_is_built_and_built_again(tmp_path: Path) -> None:
    folder = recipe(tmp_path / "child", *TABLES)
    model(folder / "base")
    model(folder / "wise", LARGE, 5)
    regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    report = regrow.verify(tmp_path / "release", sources=folder, store=tmp_path / "other")
    assert report.verdict.value == "same", report


def test_a_teacher_that_no_table_brings_is_refused(tmp_path: Path) -> None:
    folder = recipe(tmp_path / "child", PARENT.format("idle"), *TABLES[1:])
    model(folder / "base")
    with pytest.raises(RegrowError, match=r"no `\[\[parent\]\]` is called `wise`") as error:
        regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    assert "distil.teacher" in str(error.value)


def test_a_model_that_nothing_takes_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    folder = recipe(tmp_path / "child", PARENT.format("idle"), *TABLES)  # none of the models is there
    with pytest.raises(RegrowError, match="nothing takes `idle`") as error:
        regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    assert "regrow.toml:" in str(error.value)
    assert "name it in `merge.models` or `distil.teacher`, or leave it out" in str(error.value)


def test_a_recipe_without_a_teacher_is_built(tmp_path: Path) -> None:
    said = "[distil]\nlayers = 1\ntokens = 128\ncontext = 16\nmicro_batches_per_step = 1\n"
    folder = recipe(tmp_path / "child", said)
    model(folder / "base")
    regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    assert load_config(tmp_path / "release").layers == 1
