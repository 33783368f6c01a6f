"""Parts of runs that begin with a model of others, or go on with one: each is checked, and another parent is found."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import regrow
from regrow.building import locking
from regrow.corpus import tokenizer
from regrow.errors import RegrowError
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, save
from regrow.recipe.kind import Call
from regrow.stages import KINDS
from regrow.verifying.seen import SpotReport
from regrow.verifying.spot import Wanted, spot_check

CONFIG = DecoderConfig(
    vocabulary=300, layers=2, width=16, heads=2, kv_heads=1, hidden=24, context=32, tied_embeddings=True
)
RECIPE = """
recipe = 1

[model]
name = "tuned"
licence = "MIT"

[base]
fetch = "file:base"
licence = "Apache-2.0"

[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
near_duplicates = 0

[evaluate]
prompts = ["one"]
sample_tokens = 4
"""
RUN = """
tokens = 704
context = 16
micro_batch = 4
micro_batches_per_step = 1
learning_rate = 1e-2
checkpoint_every = 4
states = 99
snapshots = 2
"""
"""Eleven steps, which four does not divide; and more states than there are links."""
TASKS = {
    "finetune": f"[finetune]{RUN}",
    "lora": f"[lora]{RUN}rank = 2\n",
    "distil": f'[[parent]]\nname = "wise"\nfetch = "file:teacher"\nlicence = "MIT"\n[distil]{RUN}teacher = "wise"\n',
}


def model(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True)
    tokenizer.write(tokenizer.learn(said(), 300), folder)
    save(folder, CONFIG, initialise(CONFIG, seed), Ends(0, 0))


def said() -> list[str]:
    return [f"text {number}: " + "one two three four five six seven " * 9 for number in range(12)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("derived")
    (root / "texts").mkdir()
    for number, text in enumerate(said()):
        (root / "texts" / f"{number}.txt").write_text(text)
    for seed, name in enumerate(("base", "teacher", "other")):
        model(root / name, seed)
    return root


def built(root: Path, name: str, table: str) -> Path:
    folder = root / name
    folder.mkdir()
    for part in ("texts", "base", "teacher"):
        shutil.copytree(root / part, folder / part)
    (folder / "regrow.toml").write_text(RECIPE + table)
    return regrow.build(folder, root / f"{name}.release", store=root / "store").release


def check(root: Path, release: Path, sources: Path, store: str = "store") -> SpotReport:
    wanted = Wanted(2, "a word", sources=sources)
    return spot_check(release, wanted, store=root / store, listener=lambda _: None, stop=threading.Event())


@pytest.mark.parametrize("task", TASKS)
def test_parts_of_every_kind_of_run(root: Path, task: str) -> None:
    release = built(root, task, TASKS[task])
    report = check(root, release, root / task)
    assert not report.lie
    (run,) = report.looked
    assert (run.segments, run.drawn, [one.number for one in run.checked]) == (3, 2, [0, 2])
    assert [(one.start, one.end) for one in run.checked] == [(0, 4), (8, 11)]
    assert any(path.startswith("checkpoints/") for path in report.unchecked)
    shutil.rmtree(root / task / "base")
    shutil.copytree(root / "other", root / task / "base")
    with pytest.raises(RegrowError) as caught:
        check(root, release, root / task, store="empty")
    assert caught.value.exit_code == 6


def test_a_run_that_goes_on_with_one_of_others(root: Path) -> None:
    """Its own part is checked, and begins with what the parent gave, whatever lies among its states."""
    first = built(root, "half", f"[finetune]{RUN}stop_after = 6\nkeep_optimizer = true\n")
    folder = root / "whole"
    folder.mkdir()
    shutil.copytree(root / "texts", folder / "texts")
    shutil.copytree(first, folder / "base", ignore=shutil.ignore_patterns("states"))
    recipe = RECIPE.replace('licence = "Apache-2.0"', 'licence = "MIT"')
    (folder / "regrow.toml").write_text(f'{recipe}[finetune]{RUN}optimizer = "continue"\n')
    release = regrow.build(folder, root / "whole.release", store=root / "store").release
    report = check(root, release, folder)
    assert not report.lie
    (run,) = report.looked
    assert run.steps[1] == 5
    assert run.checked[-1].end == 11


def test_a_parent_that_is_not_the_one_that_is_named(root: Path) -> None:
    """An author pins one model and trains another: all hashes agree, and no run that begins with the first ends so."""

    def run(call: Call[Any]) -> None:
        inputs = {**call.inputs, "weights": (root / "other",)}
        honest = KINDS["finetune"].run
        assert honest is not None
        honest(replace(call, inputs=inputs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locking, "KINDS", {**KINDS, "finetune": replace(KINDS["finetune"], run=run)})
        release = built(root, "lied", TASKS["finetune"].replace("tokens = 704", "tokens = 640"))
    report = check(root, release, root / "lied")
    assert (report.exit_code, report.where) == (3, "finetune")
    assert "the state at step 0 is not what it begins with" in report.lie
