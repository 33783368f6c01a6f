"""Authors whose own regrow lies for them: everything that they release agrees with itself, and the lie is named."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import regrow
from regrow.building import locking
from regrow.errors import StageError
from regrow.recipe.kind import Call
from regrow.stages import KINDS
from regrow.train import loop
from regrow.train import state as states
from regrow.train.checkpoints import state_file
from regrow.train.records import line
from regrow.train.state import State
from regrow.verifying.draw import drawn
from regrow.verifying.seen import SpotReport
from regrow.verifying.spot import Wanted, spot_check

Patch = pytest.MonkeyPatch
SEGMENTS = 10
FORGED = 24
"""The step after which a state is invented: the end of segment 4, and one that is kept."""


def lie_in(patch: Patch, kind: str, run: Callable[[Call[Any]], None]) -> None:
    patch.setattr(locking, "KINDS", {**KINDS, kind: replace(KINDS[kind], run=run)})


def honest(kind: str, call: Call[Any]) -> None:
    run = KINDS[kind].run
    assert run is not None
    run(call)


@pytest.fixture(scope="module")
def ground(made: Path) -> Path:
    """A store with all that comes before training."""

    def fail(_: Call[Any]) -> None:
        raise StageError("later")

    folder = Path(shutil.copytree(made / "part", made / "ground" / "part", ignore=shutil.ignore_patterns("*.lock")))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StageError, match="later"):
        lie_in(patch, "pretrain", fail)
        regrow.build(folder, made / "ground" / "release", store=made / "ground" / "store")
    return made / "ground"


def lied(ground: Path, room: Path, lie: Callable[[Patch, Path], None]) -> Path:
    """The release of an author who builds with a regrow that was changed."""
    store, folder = (Path(shutil.copytree(ground / name, room / name)) for name in ("store", "part"))
    with pytest.MonkeyPatch.context() as patch:
        lie(patch, room)
        regrow.build(folder, room / "release", store=store)
    return room / "release"


def check(release: Path, made: Path, segments: int = SEGMENTS, nonce: str = "a word") -> SpotReport:
    wanted = Wanted(segments, nonce, sources=made / "part")
    return spot_check(release, wanted, store=made / "store", listener=lambda _: None, stop=threading.Event())


def trained_with(**other: object) -> Callable[[Patch, Path], None]:
    """Trains otherwise than the recipe says."""

    def lie(patch: Patch, room: Path) -> None:
        def run(call: Call[Any]) -> None:
            train = call.parameters.train.model_copy(update=other)
            honest("pretrain", replace(call, parameters=call.parameters.model_copy(update={"train": train})))

        lie_in(patch, "pretrain", run)

    return lie


def documents(tamper: Callable[[list[Path]], object]) -> Callable[[Patch, Path], None]:
    """Trains on other texts than the source has."""

    def lie(patch: Patch, room: Path) -> None:
        shutil.rmtree(room / "store")

        def run(call: Call[Any]) -> None:
            honest("fetch", call)
            tamper(sorted(call.output.rglob("*.txt")))

        lie_in(patch, "fetch", run)

    return lie


def tuned_afterwards(patch: Patch, room: Path) -> None:
    """Releases other weights than the run ended with."""

    def run(call: Call[Any]) -> None:
        honest("pretrain", call)
        file = call.output / "model.safetensors"
        tensors = load_file(file)
        name = next(iter(tensors))
        save_file({**tensors, name: tensors[name] * 1.01}, file, metadata={"format": "pt"})

    lie_in(patch, "pretrain", run)


def spliced(patch: Patch, room: Path) -> None:
    """The first half of one run and the second of another, with every hash made again."""

    def run(call: Call[Any]) -> None:
        first = replace(call, output=room / "first", scratch=room / "first.scratch")
        for folder in (first.output, first.scratch):
            folder.mkdir()
        honest("pretrain", first)
        train = call.parameters.train.model_copy(update={"seed": 7})
        honest("pretrain", replace(call, parameters=call.parameters.model_copy(update={"train": train})))
        losses, links = (
            [
                json.loads(line)
                for folder, rows in ((first.output, slice(None, many)), (call.output, slice(many, None)))
                for line in (folder / f"{name}.jsonl").read_text().splitlines()[rows]
            ]
            for name, many in (("losses", FORGED), ("chain", FORGED // 6 + 1))
        )
        state = State(0, {}, {}, {}, losses)
        for link in links:
            digest = link["state"]
            patch.setattr(State, "digest", lambda self, workers, digest=digest: digest)
            state.step = link["step"]
            state.losses = losses[: state.step]
            state.link()
        for one in (one for one in first.output.glob("step-*.f32") if int(one.stem[5:]) <= FORGED):
            shutil.copy(one, call.output / one.name)
        for name, rows in (("losses", losses), ("chain", state.chain)):
            (call.output / f"{name}.jsonl").write_text("".join(map(line, rows)))

    lie_in(patch, "pretrain", run)


def invented_record(patch: Patch, room: Path) -> None:
    """Commits to another loss than a step had."""
    honest = loop._record

    def record(state: State, *more: Any) -> None:
        if state.step == FORGED:
            state.losses[-3]["loss"] = 1.0
        honest(state, *more)

    patch.setattr(loop, "_record", record)


def other_order(patch: Patch, room: Path) -> None:
    honest = loop.train

    def train(task: Any, settings: Any, batch: Any, *more: Any, **named: Any) -> State:
        return honest(task, settings, lambda step: batch(settings.steps + 1 - step), *more, **named)

    patch.setattr(loop, "train", train)


def other_beginning(patch: Patch, room: Path) -> None:
    """Begins with weights of another run, and releases them as the state of step 0."""
    honest = states.begin

    def begin(*given: Any) -> State:
        state = honest(*given)
        next(iter(state.parameters.values())).mul_(1.5)
        states.keep(state, room)
        return state

    patch.setattr(states, "begin", begin)


def invented(tamper: Callable[[torch.Tensor], object]) -> Callable[[Patch, Path], None]:
    """Commits in the middle to a state that the run never had, and goes on from the true one."""

    def lie(patch: Patch, room: Path) -> None:
        honest = loop._record

        def record(state: State, *more: Any) -> None:
            if state.step == FORGED:
                name, values = next(iter(state.parameters.items()))
                other = values.clone()
                tamper(other)
                state = replace(state, parameters={**state.parameters, name: other})
            honest(state, *more)

        patch.setattr(loop, "_record", record)

    return lie


def lies() -> Iterator[tuple[str, Callable[[Patch, Path], None], str]]:
    yield "seed", trained_with(seed=7), "the state at step 0"
    yield "learning rate", trained_with(learning_rate=5e-3), "step 1 is the first that differs: its learning rate"
    yield "schedule", trained_with(final_learning_rate=0.9), "is the first that differs: its learning rate"
    yield "document changed", documents(lambda texts: texts[0].write_text("Nobody was told of this.\n")), "it gives"
    yield "document removed", documents(lambda texts: texts[0].unlink()), "it gives"
    yield "document added", documents(lambda texts: texts[0].with_name("x.txt").write_text("More.\n")), "it gives"
    yield "weights", tuned_afterwards, "model.safetensors is not what the last segment gives"
    yield "spliced", spliced, f"step {FORGED + 1} is the first that differs: its batch"
    yield "record", invented_record, f"step {FORGED - 2} is the first that differs: its loss"
    yield "order", other_order, "step 1 is the first that differs: its batch"
    yield "beginning", other_beginning, "the state at step 0"
    yield "invented state", invented(lambda values: values.mul_(1.5)), f"the state at step {FORGED}"


@pytest.mark.parametrize(("lie", "said"), [pytest.param(lie, said, id=name) for name, lie, said in lies()])
def test_the_lie_is_named(made: Path, ground: Path, tmp_path: Path, lie: Any, said: str) -> None:
    release = lied(ground, tmp_path, lie)
    kept = tmp_path / state_file(0)
    if kept.exists():
        shutil.copy(kept, release / "states" / "pretrain" / kept.name)
    report = check(release, made)
    assert (report.exit_code, said in report.lie) == (3, True), report.lie


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda values: values.mul_(1.5), f"step {FORGED + 1} is the first that differs: its loss"),
        (lambda values: values.fill_(torch.nan), "training diverged"),
    ],
)
def test_what_follows_from_an_invented_state_is_enough(
    made: Path, ground: Path, tmp_path: Path, tamper: Any, said: str
) -> None:
    """The segment that ends in it is not drawn, the one that begins with it is."""
    release = lied(ground, tmp_path, invented(tamper))
    root = json.loads((release / "training" / "chain.jsonl").read_text().splitlines()[-1])["chain"]
    after = FORGED // 6
    report = check(release, made, 3, next(word for word in map(str, range(99)) if after in drawn(root, word, 10, 3)))
    assert (report.exit_code, said in report.lie) == (3, True), report.lie


def test_a_nonce_of_the_author_is_worth_nothing_and_the_report_says_so(
    made: Path, ground: Path, tmp_path: Path
) -> None:
    """Whoever may choose it tries words until nobody looks at what was invented; a word made up afterwards finds it."""
    release = lied(ground, tmp_path, invented(lambda values: values.mul_(1.5)))
    root = json.loads((release / "training" / "chain.jsonl").read_text().splitlines()[-1])["chain"]
    around = {FORGED // 6 - 1, FORGED // 6}
    chosen = next(word for word in map(str, range(999)) if around.isdisjoint(drawn(root, word, SEGMENTS, 3)))
    report = check(release, made, 3, chosen)
    assert (report.lie, report.drawn_here) == ("", False)
    (run,) = report.looked
    assert around.isdisjoint(segment.number for segment in run.checked)
    said = "\n".join(report.lines())
    assert "other segment changed would have passed with probability" in said
    assert "then the figures mean nothing" in said
    found = sum(not around.isdisjoint(drawn(root, f"fresh {word}", SEGMENTS, 3)) for word in range(400))
    assert found / 400 == pytest.approx(2 / 8, abs=0.07)  # of eight that may be drawn, two find it
