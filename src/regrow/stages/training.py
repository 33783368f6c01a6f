"""What all stages that train have in common: the run itself, what is noted on the way, and its records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

from regrow.errors import StageError
from regrow.recipe.kind import Call, Place, Released, Surroundings
from regrow.sections import fault
from regrow.stages.validation import nats, spread
from regrow.store import new_directory, sums, tree_digest
from regrow.train.checkpoints import state_file
from regrow.train.section import Train
from regrow.words import counted

if TYPE_CHECKING:
    from torch import Tensor

    from regrow.corpus.tokens import TokenShards
    from regrow.model.config import DecoderConfig
    from regrow.model.weights import Ends
    from regrow.train.settings import Settings
    from regrow.train.state import State
    from regrow.train.task import Task

T = TypeVar("T", bound=Train)

WORDS = 32
"""Tokens that the model writes on the way."""

SNAPSHOTS = "checkpoints"
LEFT_OUT = "left_out.json"
STATES = "step-*.f32"
"""The complete states of a run, as :func:`regrow.train.checkpoints.state_file` calls them."""
RECORDS = (
    Released(f"{SNAPSHOTS}/*/*", always=True),
    Released(f"{LEFT_OUT}*", "training", always=True),  # the star: only where something was
    *(Released(name, "training", always=True) for name in ("chain.jsonl", "losses.jsonl")),
    Released(STATES, "states/{stage}", always=True),
    Released("optimizer.*", "training"),
)
"""What a release holds of a run besides the weights. The state of the optimizer goes with the weights that it made."""

SUMS = "snapshot.sha256"
"""Beside a snapshot in the scratch folder: what its files were when they were written."""


@dataclass(frozen=True)
class Schedule:
    """What of the tokens each step of a run takes.

    Attributes:
        seed: of the order.
        steps: how many.
        sequences: in a step.
        context: tokens of a sequence.
        pairs: whether rejected answers are read, too.
        links: steps between links of the chain.
    """

    seed: int
    steps: int
    sequences: int
    context: int
    pairs: bool = False
    links: int = 0


@runtime_checkable
class Scheduled(Protocol):
    """Parameters of a stage that trains on tokens."""

    @property
    def schedule(self) -> Schedule:
        """What its steps take."""

    def part(self, end: int, links: int = 0) -> Self:
        """Those of the same run up to a step, of which nothing is kept on the way.

        Args:
            end: the step.
            links: steps between links of the chain, if others than those of the run are wanted.
        """


def part_of(train: T, end: int, steps: int, links: int = 0) -> T:
    """The same run up to a step: what it keeps at its end is kept only there."""
    last = end == steps
    update = {"stop_after": train.stop_after if last else end, "snapshots": 0, "states": 0}
    kept = {"keep_optimizer": train.keep_optimizer and last, "checkpoint_every": links or train.checkpoint_every}
    return train.model_copy(update={**update, **kept})


@dataclass(frozen=True)
class Run:
    """A training run.

    Attributes:
        config: the decoder.
        settings: the run.
        shards: the tokens.
        ends: the tokens that begin and end a text.
        write: how parameters are written into a folder; None for those of the decoder, as weights.
        seen: parameters of the task -> what the decoder reads.
        former: the folder of the weights, if the run is to go on that made them.
        pairs: whether rejected answers are read, too.
    """

    config: DecoderConfig
    settings: Settings
    shards: TokenShards
    ends: Ends
    write: Callable[[Path, Mapping[str, Tensor]], None] | None = None
    seen: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = lambda parameters: parameters
    former: Path | None = None
    pairs: bool = False

    def save(self, folder: Path, parameters: Mapping[str, Tensor]) -> None:
        """Write parameters into a folder."""
        import torch

        from regrow.model.weights import save

        if self.write is None:
            wide = {name: parameters[name].to(torch.float32) for name in self.config.shapes()}
            save(folder, self.config, wide, self.ends)
        else:
            self.write(folder, parameters)


def require_a_step(train: Train, context: int) -> None:
    """Refuse, as a validator does, a run of fewer tokens than one step takes of sequences of ``context``, and one that
    is to stop after more steps than it has.
    """
    step = train.sequences_per_step * context
    if train.tokens < step:
        raise fault(
            f"{train.tokens} tokens are less than one step",
            why=f"a step takes {train.micro_batch} * {train.micro_batches_per_step} sequences of {context} "
            f"tokens, {step} in all",
            hint=f"write at least `tokens = {step}`, or lower micro_batch, micro_batches_per_step or the context",
            at=("tokens",),
        )
    if train.stop_after > train.whole(context):
        raise fault(
            f"the run has {train.whole(context)} steps, and is to stop after {train.stop_after}",
            why=f"a step takes {step} tokens",
            hint="leave it out, or raise `tokens`",
            at=("stop_after",),
        )


def settings_of(train: Train, context: int) -> Settings:
    """The run of a recipe on sequences of ``context`` tokens: its fractions as steps."""
    from regrow.train.settings import Settings

    count = train.whole(context)
    return Settings(
        steps=count,
        micro_batch=train.micro_batch,
        micro_batches_per_step=train.micro_batches_per_step,
        learning_rate=train.learning_rate,
        warmup=max(1, int(count * train.warmup)),
        decay=train.decay,
        final_learning_rate=train.learning_rate * train.final_learning_rate,
        weight_decay=train.weight_decay,
        beta1=train.beta1,
        beta2=train.beta2,
        epsilon=train.epsilon,
        clip=train.clip,
        seed=train.seed,
        checkpoint_every=train.checkpoint_every,
        snapshots=train.snapshots,
        validate_every=train.validate_every,
        until=train.stop_after,
        states=train.states,
        keep=train.keep_optimizer,
    )


def train(call: Call[Any], task: Task, run: Run) -> None:
    """Train a decoder on the tokens, in the order that the seed and the epoch fix, and write weights and records."""
    from regrow.stages.rows import Rows
    from regrow.train import former, loop, part
    from regrow.train.records import line

    settings, shards = run.settings, run.shards
    left_out = _left_out(call, shards, task.context, run.pairs)
    _require_enough(call, shards.windows("train", task.context, pairs=run.pairs), settings)
    data = tree_digest(shards.directory) if run.former or settings.keep else ""
    lent = call.context.surroundings
    if (place := _place_elsewhere(lent)) is not None:
        place.lend(shards.directory)
    count, location = settings.sequences_per_step, "" if place is None else place.url
    rows = Rows(shards, settings.seed, count, settings.micro_batch, task.context, run.pairs, location)
    part.begin(call.scratch, task)
    begun = former.go_on(run.former, task, settings, data, call.scratch) if run.former else 0

    def progress(**fields: Any) -> None:
        call.context.emit("progress", **fields)

    def resumed(state: State) -> None:
        facts = {"done": state.step, "total": settings.end, "unit": "steps"}
        tokens = state.step * settings.sequences_per_step * task.context
        call.context.emit("resumed", **facts, tokens=tokens, records=state.losses)

    def note(text: str) -> None:
        call.context.emit("note", text=text)
        if place is not None:
            place.drop(shards.directory)

    def keep(state: State) -> None:
        with new_directory(_snapshot(call.scratch, state.step)) as folder:
            run.save(folder, state.parameters)
            (folder / SUMS).write_text(sums(folder, (SUMS,)), encoding="utf-8")

    watch = loop.Watch(
        progress, call.context.stopping, call.context.stop, keep, _measure(call, task.context, run), resumed, note
    )
    workers: loop.WorkerGroup | None = lent.workers
    together = workers.train if workers else loop.train
    state = together(task, settings, rows.whole, call.scratch, watch, recompute=lent.recompute, rows=rows)
    part.give(call.scratch, state)
    run.save(call.output, state.parameters)
    for step in (step for step in settings.snapshot_steps if begun < step <= settings.end):
        _release(_snapshot(call.scratch, step), call.output / SNAPSHOTS / f"step-{step:09}")
    for step in (step for step in settings.state_steps if begun < step):
        shutil.copyfile(call.scratch / state_file(step), call.output / state_file(step))
    if settings.keep:
        former.keep(call.output, task, settings, data, call.scratch)
    if left_out:
        reason = f"longer than {task.context + 1} tokens"
        text = json.dumps({"reason": reason, "documents": left_out}, indent=1) + "\n"
        (call.output / LEFT_OUT).write_text(text, encoding="utf-8")
    for name, records in (("losses", state.losses), ("chain", state.chain)):
        (call.output / f"{name}.jsonl").write_text("".join(map(line, records)), encoding="utf-8")


def _place_elsewhere(lent: Surroundings) -> Place | None:
    """Where workers on other machines read, if there are any and there is such a place."""
    elsewhere = lent.place is not None and lent.workers is not None and lent.workers.hosts > 1
    return lent.place if elsewhere else None


def _measure(call: Call[Any], context: int, run: Run) -> Callable[[State], dict[str, Any]]:
    """What to note of a state on the way: the loss on validation text if there is any, and a few words."""
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.model.decoder import Decoder
    from regrow.model.sampling import Sampling, generate

    decoder, sampling, shards = Decoder(run.config), Sampling(seed=run.settings.seed), run.shards
    tokenizer = Tokenizer.open(call.input("tokenizer")) if call.inputs.get("tokenizer") else None
    rows = spread(shards.windows("validation", context), run.settings.sequences_per_step)

    def measure(state: State) -> dict[str, Any]:
        found: dict[str, Any] = {}
        parameters = run.seen(state.parameters)
        if rows:
            summed, counted = nats(decoder, parameters, shards, rows, context)
            found["validation_loss"] = summed / counted
        if tokenizer is not None:
            first = tokenizer.prompt("") or [shards.end_of_text]
            words = generate(decoder, parameters, first, WORDS, sampling, (shards.end_of_text,))
            found["sample"] = tokenizer.decode(list(words))
        return found

    return measure


def _left_out(call: Call[Any], shards: TokenShards, context: int, pairs: bool) -> list[str]:
    """The conversations, or pairs of them, that are longer than a sequence, which is told.

    Raises:
        StageError: if no other is left.
    """
    if not shards.is_packed("train"):
        return []
    what, packing = "pair" if pairs else "conversation", shards.packing("train", context, pairs=pairs)
    count, found = shards.documents("train"), shards.ids("train", packing.left_out)
    if not len(packing):
        raise StageError(
            f"no {what} fits into sequences of {context} tokens",
            where=call.name,
            why=f"the shortest of {counted(count, 'document')} has "
            f"{shards.shortest('train', pairs=pairs):,} tokens, and a {what} is not cut",
            hint=f"raise `context`, as far as the model has room, or use shorter {what}s",
        )
    if found:
        lost = f"{counted(len(found), what)} of {counted(count, 'document')} left out"
        told = f"{lost}: longer than {context + 1:,} tokens"
        call.context.emit("tally", text=told, left_out=True)
    return found


def _snapshot(scratch: Path, step: int) -> Path:
    return scratch / f"snapshot-{step:09}"


def _release(kept: Path, place: Path) -> None:
    """Take over what was kept on the way, which may have been long ago and in another process."""
    listed = kept / SUMS
    if not listed.is_file() or listed.read_text(encoding="utf-8") != sums(kept, (SUMS,)):
        raise StageError(
            "the intermediate parameters of a step are damaged",
            where=str(kept),
            why="its files are not those that were written",
            hint="delete the folder that it is in, and train again",
        )
    shutil.copytree(kept, place, ignore=shutil.ignore_patterns(SUMS))


def _require_enough(call: Call[Any], windows: int, settings: Settings) -> None:
    """Enough for one step."""
    needed = settings.sequences_per_step
    if windows < needed:
        raise StageError(
            f"the corpus makes {windows} sequences, one step needs {needed}",
            where=call.name,
            why="`micro_batch` times `micro_batches_per_step` sequences of `context` tokens are taken at each step",
            hint="add text, or lower `micro_batch`, `micro_batches_per_step` or `context`",
        )
