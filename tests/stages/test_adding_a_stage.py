"""The kind of docs/adding-a-stage.md, in a package of its own and with no other file changed, from plan to audit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.warm import Warm

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-stage.md"
RECIPE = """\
recipe = 1

[model]
name = "scaled"
licence = "Apache-2.0"

[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
min_characters = 10
near_duplicates = 0

[tokenizer]
vocabulary = 260

[architecture]
layers = 1
width = 16
heads = 2
context = 16

[train]
tokens = 512
micro_batch = 4
micro_batches_per_step = 1
checkpoint_every = 2

[scale]
factor = 0.5

[evaluate]
prompts = ["one"]
sample_tokens = 2
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


class Shop:
    """A folder with the package, the recipe and what is built; runs commands in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        package = root / "packages"
        (package / "regrow_scale-1.0.dist-info").mkdir(parents=True)
        (package / "regrow_scale.py").write_text(blocks("python")[0])
        (package / "regrow_scale-1.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: regrow-scale\nVersion: 1.0\n"
        )
        (package / "regrow_scale-1.0.dist-info" / "entry_points.txt").write_text(
            "[regrow.kinds]\nscale = regrow_scale:KIND\n"
        )
        recipe = root / "scaled"
        (recipe / "texts").mkdir(parents=True)
        (recipe / "regrow.toml").write_text(RECIPE)
        for number in range(12):
            (recipe / "texts" / f"{number}.txt").write_text(f"text {number}: " + "one two three four five six " * 6)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "REGROW_STORE": str(root / "store"),
            "REGROW_NO_PROGRESS": "1",
        }
        self.warm = Warm(self.environment) if sys.platform == "linux" else None

    def run(self, *words: str, plugin: bool = True) -> subprocess.CompletedProcess[str]:
        if plugin and self.warm:
            return self.warm.run(words, self.root, self.environment)
        environment = dict(self.environment)
        if not plugin:
            environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
        command = [sys.executable, "-m", "regrow", *words]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=300)

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def audit(self, form: str) -> Any:
        done = self.run("audit", "build/scaled", "--format", form, "--offline")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def release(self) -> Path:
        return self.root / "build" / "scaled"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("shop"))
    made.plan = made.json("plan", "scaled")  # type: ignore[attr-defined]
    done = made.run("build", "scaled")
    assert done.returncode == 0, done.stderr
    return made


def test_the_plan_knows_its_bytes_and_what_comes_after(shop: Shop) -> None:
    stages = {stage["name"]: stage for stage in shop.plan["stages"]}  # type: ignore[attr-defined]
    assert [*stages][-5:] == ["pretrain", "scale", "evaluate", "untrained", "effect-scale"]
    scale, pretrain = stages["scale"]["cost"], stages["pretrain"]["cost"]
    assert scale["disk_bytes"] == pretrain["disk_bytes"] > 0
    assert scale["memory_bytes"] > scale["disk_bytes"]
    assert 0 < scale["seconds"] < 1
    assert stages["evaluate"]["cost"]["flops"] > 0  # it knows the shape of the weights that come through


def test_the_weights_are_scaled_and_gains_are_not(shop: Shop) -> None:
    import torch
    from safetensors.torch import load_file

    lock = (shop.release / "regrow.lock").read_text()
    digest = re.search(r'^pretrain = "([0-9a-f]{64})"', lock, re.MULTILINE)
    assert digest is not None
    (before,) = (path for path in (shop.root / "store").rglob(f"{digest[1]}*/model.safetensors"))
    old, new = load_file(before), load_file(shop.release / "model.safetensors")
    assert old.keys() == new.keys()
    for name, value in old.items():
        assert torch.equal(new[name], value * 0.5 if value.dim() > 1 else value), name


def test_the_chain_and_the_losses_of_the_training_before_are_kept(shop: Shop) -> None:
    chain = [json.loads(line) for line in (shop.release / "training" / "chain.jsonl").read_text().splitlines()]
    assert [link["step"] for link in chain] == [0, 2, 4, 6, 8]
    assert len((shop.release / "training" / "losses.jsonl").read_text().splitlines()) == 8


def test_provenance_says_how_the_weights_came_about(shop: Shop) -> None:
    said = {}
    for path in (shop.release / "provenance").glob("*.json"):
        definition = json.loads(path.read_text())["predicate"]["buildDefinition"]
        said[path.name.partition(".")[0]] = definition["internalParameters"]
        if path.name.startswith("scale"):
            (weights,) = definition["resolvedDependencies"]
            assert weights["annotations"] == {"slot": "weights", "stage": "pretrain"}
    assert (said["pretrain"]["origin"], said["scale"]["origin"]) == ("random", "edited")
    assert (said["clean"]["documents"], said["deduplicate"]["documents"]) == ("filter", "filter")
    assert "origin" not in said["evaluate"]


def test_the_card_and_the_report_say_it(shop: Shop) -> None:
    card = (shop.release / "README.md").read_text()
    assert "trained from scratch (stage `pretrain`), then edited (stage `scale`)" in card
    assert "was trained from scratch by regrow" not in card
    report = (shop.release / "report.html").read_text()
    assert 'id="stage-scale"' in report


def test_a_stranger_with_the_package_gets_the_same_and_one_without_is_told(shop: Shop) -> None:
    done = shop.run("verify", "build/scaled", "--source", "scaled", "--offline")
    assert done.returncode == 0, done.stdout + done.stderr
    alone = shop.run("verify", "build/scaled", "--source", "scaled", "--offline", plugin=False)
    assert alone.returncode == 2
    assert "stage `scale` is of the kind `scale`, which is not known here" in alone.stderr
    assert "install the package that brings it" in alone.stderr


def test_what_it_did_is_measured_without_asking(shop: Shop) -> None:
    found = json.loads((shop.release / "effects" / "scale.json").read_text())
    assert found["function"]["kept"] == "no"
    assert set(found["weights"]["ranks"].values()) == {16}
    assert 0 < found["weights"]["changed"] < found["weights"]["compared"]  # gains stay as they are
    assert found["held_out"]["before"] != found["held_out"]["after"]
    assert "| `scale` | changed, logits by up to" in (shop.release / "README.md").read_text()


def test_the_audit_takes_it_from_provenance(shop: Shop) -> None:
    audit = shop.audit("json")
    text = json.dumps(audit)
    assert "stage scale gives weights that are edited, from pretrain" in text
    card = shop.release / "README.md"
    card.write_text(card.read_text().replace("then edited", "then nothing else"))
    try:
        assert "stage scale gives weights that are edited, from pretrain" in json.dumps(shop.audit("json"))
    finally:
        card.write_text(card.read_text().replace("then nothing else", "then edited"))


def test_the_bills_hold_both_weights_as_models(shop: Shop) -> None:
    text = json.dumps(shop.audit("cyclonedx"))
    assert text.count('"machine-learning-model"') >= 3  # the model itself, and what two stages gave
    assert '"name": "scale"' in text
    spdx = [one for one in shop.audit("spdx")["@graph"] if one.get("name") in ("scale", "pretrain")]
    assert {one["software_primaryPurpose"] for one in spdx if "software_primaryPurpose" in one} == {"model"}


def test_the_table_is_checked_like_any_other(shop: Shop) -> None:
    folder = shop.root / "wrong"
    folder.mkdir(exist_ok=True)
    (folder / "regrow.toml").write_text(RECIPE.replace("factor = 0.5", "factor = 3"))
    done = shop.run("plan", "wrong")
    assert done.returncode == 2
    assert "must be at most 2, not 3" in done.stderr
    assert "regrow.toml:33: scale.factor" in done.stderr
    without = shop.run("plan", "scaled", plugin=False)
    assert without.returncode == 2
    assert "unknown key" in without.stderr
    assert "regrow.toml:32: scale" in without.stderr


def test_two_kinds_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other_clean.py").write_text(
        "from regrow.stages.clean import *\nfrom dataclasses import replace\nKIND = replace(KIND, version=9)\n"
    )
    folder = tmp_path / "other_clean-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: other-clean\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[regrow.kinds]\nclean = other_clean:KIND\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "regrow", "new", str(tmp_path / "mine")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "there are two kinds called `clean`" in done.stderr


def test_no_module_of_stages_loads_what_only_a_stage_that_runs_needs() -> None:
    program = "import regrow.stages, sys; print(*sorted({'torch', 'numba', 'tokenizers'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
