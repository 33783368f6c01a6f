"""Where two builds part: the first thing that differs is named, and a cause that fits it."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import regrow
from regrow.cli.root import cli
from regrow.errors import InputError, RecipeError
from regrow.store import sha256_bytes
from regrow.train.records import line
from regrow.verifying.explain import Explanation, explain
from regrow.verifying.page import explained
from regrow.verifying.replay import How, Replayed


def variant(made: Path, folder: Path, *changes: tuple[str, str]) -> Path:
    """The same recipe with other words in it, built."""
    shutil.copytree(made / "part", folder / "part", ignore=shutil.ignore_patterns("regrow.lock"))
    text = (folder / "part" / "regrow.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "part" / "regrow.toml").write_text(text)
    return regrow.build(folder / "part", folder / "release", store=made / "store").release


@pytest.mark.parametrize(
    ("change", "stage", "step", "field", "guess"),
    [
        (("micro_batch = 2", "micro_batch = 2\nseed = 2"), "pretrain", 0, "state", "train.seed"),
        (
            ("micro_batch = 2", "micro_batch = 2\nlearning_rate = 0.003"),
            "pretrain",
            1,
            "learning_rate",
            "learning_rate",
        ),
        (("micro_batch = 2", "micro_batch = 2\nbeta2 = 0.9"), "pretrain", 3, "loss", "beta2"),
        (("min_characters = 1", "min_characters = 350"), "clean", 1, "batch", "clean.parameters.minimum_characters"),
    ],
)
def test_two_recipes(
    made: Path, tmp_path: Path, change: tuple[str, str], stage: str, step: int, field: str, guess: str
) -> None:
    found = explain(made / "release", variant(made, tmp_path, change))
    assert (found.same, found.stage, found.exit_code) == (False, stage, 3)
    assert found.step is not None
    assert (found.step.stage, found.step.step, found.step.field) == ("pretrain", step, field)
    assert guess in found.guess
    assert found.element is not None
    said = "\n".join(found.lines())
    assert f"first stage that differs: {stage}" in said
    assert json.loads(json.dumps(found.to_json()))["stage"] == stage


def test_the_same_are_the_same(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made / "release", tmp_path / "copy"))
    found = explain(made / "release", copy)
    assert (found.same, found.exit_code, list(found.lines())) == (
        True,
        0,
        ["Same: nothing differs in what was compared."],
    )


@pytest.mark.parametrize(
    ("field", "guess"),
    [("batch", "data or its order"), ("loss", "the update of step 29"), ("gradient_norm", "backward pass")],
)
def test_causes_of_runs_that_were_told_the_same(made: Path, tmp_path: Path, field: str, guess: str) -> None:
    """Machines that do not agree: nothing differs in what was said, and the first step tells what it was."""
    copy = Path(shutil.copytree(made / "release", tmp_path / "copy"))
    path = copy / "training" / "losses.jsonl"
    rows = [json.loads(row) for row in path.read_text().splitlines()]
    rows[29][field] = "0" * 64 if field == "batch" else rows[29][field] + 1e-6
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = explain(made / "release", copy)
    assert found.step is not None
    assert (found.step.step, found.step.field) == (30, field)
    assert guess in found.guess


def changed(value: torch.Tensor) -> torch.Tensor:
    """The third number one unit in the last place further from 0."""
    bits = value.numpy().reshape(-1).view(np.int32).copy()
    bits[2] += 1
    return torch.from_numpy(bits.view(np.float32).reshape(value.shape))


@pytest.mark.parametrize("place", [lambda path: path, lambda path: path / "model.safetensors"])
def test_models_of_anybody(made: Path, tmp_path: Path, place: Callable[[Path], Path]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(made / "release" / "model.safetensors", tmp_path / name)
    file = tmp_path / "b" / "model.safetensors"
    tensors = load_file(file)
    name = sorted(tensors)[1]
    tensors[name] = changed(tensors[name])
    save_file(tensors, file)
    found = explain(place(tmp_path / "a"), place(tmp_path / "b"))
    assert found.element is not None
    assert (found.element.tensor, found.element.ulps, found.element.differing) == (name, 1, 1)
    assert int(found.element.bits[1], 16) - int(found.element.bits[0], 16) == 1
    assert found.tensors == (f"1 of {len(tensors)} differ",)


def test_logs_of_builds(tmp_path: Path) -> None:
    for name, loss in (("a", 2.0), ("b", 2.5)):
        events = [
            {"event": "stage-done", "stage": "tokenize", "digest": "1" * 64},
            {"event": "progress", "stage": "pretrain", "done": 1, "loss": 3.0},
            {"event": "progress", "stage": "pretrain", "done": 2, "loss": loss},
            {"event": "stage-done", "stage": "pretrain", "digest": f"{loss}"},
        ]
        (tmp_path / f"{name}.events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    found = explain(tmp_path / "a.events.jsonl", tmp_path / "b.events.jsonl")
    assert found.stage == "pretrain"
    assert found.step is not None
    assert (found.step.step, found.step.first, found.step.second) == (2, 2.0, 2.5)


def test_what_cannot_be_compared(made: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing here"):
        explain(tmp_path / "a", tmp_path)
    with pytest.raises(InputError, match="no weights"):
        explain(tmp_path, made / "release")
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(RecipeError, match="cannot be read"):
        explain(tmp_path, made / "release")


@pytest.mark.parametrize("row", ['{"step": "x"}', '{"step": 0}', "{}", "[1]", '{"step": [1], "state": {}}'])
def test_records_may_be_anything(made: Path, tmp_path: Path, row: str) -> None:
    copy = Path(shutil.copytree(made / "release", tmp_path / "copy"))
    for name in ("losses", "chain"):
        (copy / "training" / f"{name}.jsonl").write_text(f"{row}\n")
    (copy / "regrow.lock").write_text("stage = 3\n")
    found = explain(made / "release", copy)
    assert not found.same
    assert list(found.lines())


def test_logs_may_be_anything(tmp_path: Path) -> None:
    rows = [{"event": "stage-done"}, {"event": "progress", "loss": 1, "done": "x"}, {"event": "progress", "loss": 1}]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "b.jsonl").write_text('{"event": "stage-done", "stage": [1], "digest": {}}\n')
    assert list(explain(tmp_path / "a.jsonl", tmp_path / "b.jsonl").lines())


def replayed(made: Path, first: Path, second: Path, *sources: Path) -> Replayed:
    places = (sources[0], sources[-1]) if sources else (made / "part", made / "part")
    how = How(places, lambda _: None, threading.Event(), store=made / "store")
    found = explain(first, second, how)
    assert found.replayed is not None
    assert "run again here" in "\n".join(found.lines())
    return found.replayed


def test_a_step_of_two_recipes_is_run_again(made: Path, tmp_path: Path) -> None:
    """The loss differs at step 3, and the moments do so from the first step on, which only running it again shows."""
    other = variant(made, tmp_path, ("micro_batch = 2", "micro_batch = 2\nbeta2 = 0.9"))
    found = replayed(made, made / "release", other, made / "part", tmp_path / "part")
    assert (found.start, found.end, found.step, found.as_said) == (0, 3, 1, (True, True))
    assert "it is what they were told" in found.meaning
    assert found.element is not None
    assert found.element.tensor.startswith("second.")


def forged_from(made: Path, folder: Path, step: int) -> Path:
    """A release whose run went on from a step with other weights than it had; its makers' machine is to blame."""
    release = Path(shutil.copytree(made / "release", folder / "release"))
    losses = release / "training" / "losses.jsonl"
    rows = [json.loads(row) for row in losses.read_text().splitlines()]
    for row in rows[step - 1 :]:
        row["loss"] += 1e-3
    before, old = (
        losses.read_bytes(),
        {one.name: one.read_bytes() for one in (release / "states" / "pretrain").iterdir()},
    )
    losses.write_text("".join(line(row) for row in rows))
    statement = release / "provenance" / "pretrain.intoto.json"
    text = statement.read_text()
    statement.write_text(text.replace(sha256_bytes(before), sha256_bytes(losses.read_bytes())))
    for name, data in old.items():
        if int(name[5:14]) >= step:
            values = np.frombuffer(data, "<f4").copy()
            values[7] = np.nextafter(values[7], np.float32(9), dtype=np.float32)
            (release / "states" / "pretrain" / name).write_bytes(values.tobytes())
    return release


def test_who_of_two_is_right_on_this_machine(made: Path, tmp_path: Path) -> None:
    """Both were told the same: the step is run again from a state that both kept, and what one kept later is not it."""
    found = replayed(made, made / "release", forged_from(made, tmp_path, 30))
    assert (found.start, found.end, found.step, found.as_said) == (24, 30, 0, (True, False))
    assert "this machine gives what the first says" in found.meaning
    assert found.kept == 36
    assert found.element is not None
    assert (found.element.ulps, found.element.differing) == (1, 1)
    assert found.element.tensor.startswith("parameter.")


def test_a_run_that_cannot_be_gone_through_again(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made / "release", tmp_path / "copy"))
    edited = copy / "training" / "losses.jsonl"
    edited.write_text(edited.read_text().replace("4", "5"))
    with pytest.raises(RecipeError, match="no run here"):
        replayed(made, made / "release", copy)


def on_the_way(folder: Path, *values: float) -> Path:
    for step, value in enumerate(values, 1):
        place = folder / (f"checkpoint-{step * 100}" if step < len(values) else "")
        place.mkdir(parents=True, exist_ok=True)
        save_file({"w": torch.tensor([1.0, value])}, place / "model.safetensors")
    return folder


def test_models_without_records_are_halved(tmp_path: Path) -> None:
    first = on_the_way(tmp_path / "a", 1, 2, 3, 4, 5)
    found = explain(first, on_the_way(tmp_path / "b", 1, 2, 7, 8, 9))
    assert found.step is not None
    assert (found.step.step, found.step.field) == (300, "weights")
    assert "one of the steps 201 to 300" in found.guess
    assert found.element is not None
    assert (found.element.tensor, found.element.index) == ("w", (1,))
    late = explain(first, on_the_way(tmp_path / "c", 1, 2, 3, 4, 6))
    assert "what came after step 400" in late.guess
    early = explain(first, on_the_way(tmp_path / "d", 9, 9, 9, 9, 9))
    assert "one of the first 100 steps" in early.guess


def test_a_library_is_a_likely_cause(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made / "release", tmp_path / "copy"))
    path = copy / "buildinfo" / "environment.json"
    told = json.loads(path.read_text())
    told["libraries"]["tokenizers"] = "0.0.1"
    path.write_text(json.dumps(told))
    statement = copy / "provenance" / "tokenizer.intoto.json"
    said = json.loads(statement.read_text())
    said["subject"][0]["digest"]["sha256"] = "0" * 64
    statement.write_text(json.dumps(said))
    found = explain(made / "release", copy)
    assert "`tokenizer` gives something else from the same inputs, and a library is another one" in found.guess
    assert "tokenizers" in found.guess


def test_a_page(made: Path, tmp_path: Path) -> None:
    other = variant(made, tmp_path, ("micro_batch = 2", "micro_batch = 2\nseed = 2"))
    page = tmp_path / "page.html"
    told = CliRunner().invoke(cli, ["explain", str(made / "release"), str(other), "--html", str(page)])
    assert told.exit_code == 3
    text = page.read_text()
    assert "Where they part" in text and "train.seed" in text and "model.embed_tokens.weight" in text
    assert "<script" not in text and "http:" not in text.replace("http-equiv", "")
    found = Explanation("<script>a</script>", "b", False, guess="`<b>` x")
    assert "<script>a" not in explained(found) and "&lt;b&gt;" in explained(found)
