"""Kinds of stages: what a recipe may ask for, and the one contract every stage keeps.

A stage is a pure function from content to content. A :class:`Kind` tells everything about one sort of stage: its
parameters and where a recipe says them, the artifacts it takes and gives, what it costs, what it does to parameters and
documents, which of its files are released, and the function that does the work. The function gets a :class:`Call`
and writes files below ``call.output``; what it writes may depend on the parameters, the bytes of the inputs and nothing
else: no clock, host, path, locale, thread count or order of a dict.

The modules that define kinds must import in milliseconds, since ``plan`` and a cached ``build`` import them
all. Heavy imports (torch, numba, pyarrow, tokenizers) belong inside the function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args

from regrow.sections import Parameters

P = TypeVar("P", bound=Parameters)

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

Origin = Literal[
    "random",
    "imported",
    "continued",
    "fine-tuned",
    "adapter",
    "merged",
    "quantised",
    "pruned",
    "converted",
    "distilled",
    "grown",
    "edited",
]
"""How a stage comes by the weights it gives: from random numbers, from outside, or from weights that it takes."""

OnDocuments = Literal["filter", "label"]
"""What a stage does to documents: leave some of them out, or judge them and write its judgement beside them."""

MODEL_FILES = "model-files"
"""The type of artifact that is another model's files, as they were published."""

MODEL = "model"
"""The type of artifact that is another model, taken over: weights and tokenizer in one folder."""

MODELS = (MODEL_FILES, MODEL)
"""The types of artifacts that are other models."""

ADAPTER = "adapter"
"""The type of artifact that is learned beside a model and kept apart from it, in the files of PEFT."""
BEFORE, AFTER = "before", "after"
"""The slots of a kind that watches others: what they take, and what they give."""

PROGRAM = 400_000_000
"""Bytes of memory of the libraries themselves."""

FLOPS_PER_SECOND = 5.3e11
"""Operations in exact products in a second, where the costs of stages were measured: by two threads of one core of an
Intel Xeon with AMX.
"""


class Workers(Protocol):
    """Processes that share training runs; ``regrow.train.loop.WorkerGroup`` says what they are told."""

    @property
    def hosts(self) -> int:
        """On how many machines they are."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train with all of them."""


class Place(Protocol):
    """A place that other machines reach, for inputs of stages."""

    @property
    def url(self) -> str:
        """As fsspec has it."""

    def lend(self, artifact: Path) -> None:
        """Take an input there, unless it is there."""

    def drop(self, artifact: Path) -> None:
        """Let go of one that is not whole, so that the next who lends it takes it there again."""


@dataclass(frozen=True)
class Surroundings:
    """What a build lends to its stages. None of it may influence the output's bytes.

    Attributes:
        base: the folder in which relative paths of sources begin.
        offline: True to leave the network alone.
        workers: who share a training run; None for this process alone.
        recompute: whether training keeps less between forwards and backwards, and computes it once more.
        place: where workers on other machines find what the stage is given; None if there is no such place.
    """

    base: Path = Path()
    offline: bool = False
    workers: Workers | None = None
    recompute: bool = False
    place: Place | None = None


class Context(Protocol):
    """What a running stage may tell and ask of the engine. None of it may influence the output's bytes."""

    @property
    def surroundings(self) -> Surroundings:
        """What the build lends."""

    def emit(self, event: str, **fields: Any) -> None:
        """Report progress or a fact for the event log, e.g. ``emit("progress", done=3, total=10, unit="steps")``."""

    def stopping(self) -> bool:
        """True once the user asked to stop; save what is needed to resume, then call :meth:`stop`."""

    def stop(self) -> None:
        """Raise :class:`regrow.errors.Interrupted`."""


@dataclass(frozen=True)
class Given(Generic[P]):
    """What a stage is given.

    Attributes:
        name: the stage's name in the recipe, for messages only.
        parameters: an instance of the kind's ``parameters``.
        inputs: slot -> directories of the input artifacts, in the order the recipe gives. Read-only.
    """

    name: str
    parameters: P
    inputs: Mapping[str, tuple[Path, ...]]

    def input(self, slot: str) -> Path:
        """The single artifact in ``slot``."""
        (path,) = self.inputs[slot]
        return path


@dataclass(frozen=True)
class Call(Given[P]):
    """One evaluation of a stage.

    Attributes:
        output: an empty directory to fill.
        scratch: a directory that survives kills, private to this stage key, for checkpoints to resume from.
        context: progress and stop requests.
    """

    output: Path
    scratch: Path
    context: Context


class Files(Protocol):
    """How a task gets at files of its inputs and of earlier phases, which may lie on another machine."""

    def path(self, path: Path) -> Path:
        """Where the file, or the folder with all in it, is on this machine: it is brought here if it is not."""

    def read(self, path: Path, start: int, length: int) -> bytes:
        """Some bytes of a file, without the others."""


class FilesHere:
    """Files that are on this machine."""

    def path(self, path: Path) -> Path:
        """The same path."""
        return path

    def read(self, path: Path, start: int, length: int) -> bytes:
        """Some bytes of it."""
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)


@dataclass(frozen=True)
class Task(Generic[P]):
    """A part of the work of a stage, in a process of its own and perhaps on another machine.

    It reads nothing but ``call.parameters``, ``call.inputs`` and what earlier phases gave, the files of both through
    ``files``; and writes nothing but ``output``. ``call.output`` and ``call.scratch`` are not for tasks.

    Attributes:
        call: what is evaluated.
        index: which of the tasks of its phase this is, from 0.
        count: how many tasks its phase has.
        output: an empty folder to fill.
        results: phase -> what each of its tasks gave, of all earlier phases.
        files: how it gets at files.
    """

    call: Call[P]
    index: int
    count: int
    output: Path
    results: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    files: Files = field(default_factory=FilesHere)

    def given(self, phase: str) -> tuple[Path, ...]:
        """The folders that the tasks of an earlier phase have filled."""
        return self.results[phase]


def _once(call: Call[Any], results: Mapping[str, tuple[Path, ...]]) -> int:
    return 1


@dataclass(frozen=True)
class Phase(Generic[P]):
    """Tasks of a stage that do not need each other, after which the next phase begins.

    Attributes:
        name: of the phase, unlike that of the others of its kind.
        run: does one task; a module's function, so that another process finds it by its name.
        tasks: (call, results of earlier phases) -> how many there are; a function of parameters, inputs and results
            alone, never of how many processes there are. By default one.
        kept: whether what the tasks write is part of the output, all in one folder; else it is only for later phases.
    """

    name: str
    run: Callable[[Task[P]], None]
    tasks: Callable[[Call[P], Mapping[str, tuple[Path, ...]]], int] = _once
    kept: bool = False

    @property
    def is_single(self) -> bool:
        """Whether it has one task, whatever it is about."""
        return self.tasks is _once


@dataclass(frozen=True)
class Slot:
    """An input of a kind: which type of artifact it takes, and whether it takes several or may be absent.

    What feeds it, unless the recipe says otherwise, follows from the types (:mod:`regrow.recipe.expand`).

    Attributes:
        type: of artifact.
        many: whether it takes several.
        optional: whether it may be absent.
        named: the parameter of the kind, a name or several, that says which entries of a ``[[table]]`` feed it, and in
            which order; empty where all do.
        checked: whether ``check`` of the kind reads it, before what else the stage takes is there.
    """

    type: str
    many: bool = False
    optional: bool = False
    named: str = ""
    checked: bool = False


@dataclass(frozen=True)
class Table:
    """Where a recipe speaks of a kind: the keys of the table are the kind's parameters.

    Attributes:
        name: of the table, which several kinds may share; empty for the top of the recipe, where each parameter of the
            kind is a table of its own.
        about: a sentence for the reference; if several kinds share the table, the first one says it.
        why: why there has to be one, for the error when it is missing.
        many: whether there may be several, ``[[name]]``: each makes a stage of its own, called ``KIND-NAME``.
    """

    name: str = ""
    about: str = ""
    why: str = ""
    many: bool = False


@dataclass(frozen=True)
class Released:
    """Files of an artifact that a release holds.

    In ``folder`` and ``name``, ``{stage}`` stands for the stage's name, and ``{entry}`` for that behind its kind.

    Attributes:
        files: a pattern of paths in the artifact, e.g. ``checkpoints/*/*``.
        folder: of the release, in which they lie under the same paths; empty for the release itself.
        name: what the file is called there, where that differs and the pattern names a single one.
        always: True for a record of what was done, which is released whatever comes after; False for files that stand
            for their type of artifact, of which a release holds the last one's.
        verbatim: True if texts can be read off them, so that a release of texts that may not be shared lacks them.
    """

    files: str
    folder: str = ""
    name: str = ""
    always: bool = False
    verbatim: bool = False

    def __post_init__(self) -> None:
        """Refuse a place outside of the release.

        Raises:
            ValueError: naming it.
        """
        for path in (self.files, self.folder, self.name):
            if path.startswith("/") or ".." in path.split("/") or "\\" in path:
                raise ValueError(f"`{path}` leads out of a release")

    def of(self, kind: str, stage: str) -> Released:
        """The same for a stage, whose name stands in it."""
        words = {"{stage}": stage, "{entry}": stage.removeprefix(f"{kind}-")}
        folder, name = self.folder, self.name
        for word, said in words.items():
            folder, name = folder.replace(word, said), name.replace(word, said)
        return replace(self, folder=folder, name=name)


@dataclass(frozen=True)
class Expected:
    """What is expected of an artifact before it is made. What is not known, or not there, is 0.

    Attributes:
        size: bytes on the disk.
        text: bytes of text that it holds or stands for.
        documents: texts that it holds or stands for.
        validation: the share of the text that is held out.
        vocabulary: tokens to tell apart.
        parameters: numbers that were learned.
        context: tokens of the longest sequence.
        sequence_flops: operations of a forward pass over a sequence of that length.
    """

    size: float = 0
    text: float = 0
    documents: float = 0
    validation: float = 0
    vocabulary: int = 0
    parameters: int = 0
    context: int = 0
    sequence_flops: int = 0


@dataclass(frozen=True)
class Training:
    """The size of a training run.

    Attributes:
        parameters: numbers that are learned.
        tokens: that are read.
        steps: of the optimizer.
        seconds: that it takes where the costs of stages were measured.
        micro_batches: of a step, each of which one worker does.
        states: how many complete states are kept on the way.
        states_bytes: of these.
    """

    parameters: int
    tokens: int
    steps: int
    seconds: float = 0.0
    micro_batches: int = 1
    states: int = 0
    states_bytes: int = 0


@dataclass(frozen=True)
class Sharing:
    """Who shares a training run, and what each holds of it. It changes time and memory, and never the bits.

    Attributes:
        workers: processes.
        copies: of the parameters, each of which as many of them hold together.
        recompute: whether training keeps less between forwards and backwards, and computes it once more.
    """

    workers: int = 1
    copies: int = 1
    recompute: bool = False


@dataclass(frozen=True)
class Cost:
    """What a stage takes if it runs.

    Attributes:
        gives: what is expected of its output.
        flops: operations in matrix products, a multiplication and an addition each counted as one.
        seconds: time on two threads of a server, in a program that runs; if a kind only tells operations, it is
            reckoned from them.
        memory_bytes: at its highest.
        scratch_bytes: on the disk while it works, beside its output.
        download_bytes: to get from elsewhere.
        training: the size of the run, if it trains.
        memory_of: the same as ``memory_bytes`` of each worker, where the stage can be shared.
    """

    gives: Expected = field(default_factory=Expected)
    flops: float = 0.0
    seconds: float = 0.0
    memory_bytes: int = PROGRAM
    scratch_bytes: float = 0.0
    download_bytes: int = 0
    training: Training | None = None
    memory_of: Callable[[Sharing], int] | None = None


@dataclass(frozen=True)
class Kind(Generic[P]):
    """A sort of stage.

    Attributes:
        name: as written in recipes, e.g. ``deduplicate``.
        version: bumped whenever the same ingredients give other bytes. Part of the stage key.
        parameters: pydantic model of the parameters, with every default and bound: there is no other declaration.
        inputs: slot name -> :class:`Slot`.
        output: the type of artifact it gives, e.g. ``documents``; checked against the slots it feeds.
        run: does the work; None if it has phases.
        phases: the work in several steps, each of tasks that can be done side by side: what a stage does that goes
            through much text. What tasks of kept phases give together is the output.
        check: raises what ``run`` would have to say of the inputs that are ``checked``, which are all that it is given.
            It is called as soon as they are there, and before more work is done: people write them, and should not
            wait for a training to hear of a slip.
        exact: True if it uses ``regrow.exact``, so that the arithmetic version is part of its key.
        infers: True if it asks a model for logits, or lets it write, so that the version of inference is.
        libraries: distributions whose version can change the output's bytes; their versions are part of the key.
        summary: one line for ``plan`` and the docs.
        table: where a recipe says the parameters; None if they are said in ``[[stage]]`` only, or there are none.
        asked: (what its table says) -> whether that asks for such a stage, where several kinds share a table and not
            all are wanted; by default it always does.
        asking: what a table says to ask for it, in the words of a recipe; empty where that cannot be said in short.
        usual: True if it is part of a recipe that does not mention it, wherever its inputs are there.
        after: kinds that come before it where both take and give the same type.
        watches: a type of artifact: beside each stage that takes and gives it, there is one of this kind, called
            ``KIND-STAGE``. Its slot ``after`` takes what that stage gives, ``before`` what that stage was given; any
            other takes the last of its type that what is in ``after`` was made from or, if its name begins with
            ``before_``, what is in ``before``, and otherwise the last there is.
        cost: (parameters, slot -> what is expected in it) -> what it takes; by default that of going through the bytes.
        found: (what was expected, the artifact) -> what it gives, now that it is there; by default its size is taken
            and the rest left as it was. It reads facts about the artifact, and never all of it.
        done: (parameters, scratch) -> the share of the work that a stopped run has done; by default nothing.
        released: which of its files are part of a release.
        origin: how it comes by the weights it gives; None if it gives none.
        on_documents: what it does to documents; None if it neither leaves any out nor judges them.
    """

    name: str
    version: int
    parameters: type[P]
    inputs: Mapping[str, Slot]
    output: str
    run: Callable[[Call[P]], None] | None = None
    phases: tuple[Phase[P], ...] = ()
    check: Callable[[Given[P]], None] | None = None
    exact: bool = False
    infers: bool = False
    libraries: tuple[str, ...] = ()
    summary: str = ""
    table: Table | None = None
    asked: Callable[[Any], bool] | None = None
    asking: str = ""
    usual: bool = False
    after: tuple[str, ...] = ()
    watches: str = ""
    cost: Callable[[P, Mapping[str, tuple[Expected, ...]]], Cost] | None = None
    found: Callable[[Expected, Path], Expected] | None = None
    done: Callable[[P, Path], float] | None = None
    released: tuple[Released, ...] = ()
    origin: Origin | None = None
    on_documents: OnDocuments | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables in which a recipe speaks of it: one, or one for each of its parameters."""
        if self.table is None:
            return ()
        return (self.table.name,) if self.table.name else tuple(self.parameters.model_fields)

    def __post_init__(self) -> None:
        """Refuse declarations that contradict themselves.

        Raises:
            ValueError: in words for whoever writes a kind.
        """
        if not _NAME.fullmatch(self.name) or len(self.name) > 64:
            raise ValueError(f"`{self.name}` is no name of a kind: small letters, digits and single hyphens between")
        for word, value, known in (
            ("origin", self.origin, get_args(Origin)),
            ("on_documents", self.on_documents, get_args(OnDocuments)),
        ):
            if value is not None and value not in known:
                raise ValueError(f"`{word}` of the kind `{self.name}` is `{value}`, and not one of {', '.join(known)}")
        if self.origin == "random" and any(slot.type == "weights" for slot in self.inputs.values()):
            raise ValueError(f"the kind `{self.name}` takes weights, so those that it gives are not random")
        for slot in self.inputs.values():
            if slot.named and slot.named not in self.parameters.model_fields:
                raise ValueError(f"the kind `{self.name}` has no parameter `{slot.named}` to name what feeds it")
        needed = [name for name, info in self.parameters.model_fields.items() if info.is_required()]
        if self.usual and needed:
            raise ValueError(f"the kind `{self.name}` is usual, so `{needed[0]}` needs a default")
        sides = {name: slot.type for name, slot in self.inputs.items() if name in (BEFORE, AFTER)}
        if self.watches and sides != dict.fromkeys((BEFORE, AFTER), self.watches):
            raise ValueError(f"the kind `{self.name}` watches {self.watches}, so it takes that in `before` and `after`")
        if (self.check is None) is any(slot.checked for slot in self.inputs.values()):
            raise ValueError(f"the kind `{self.name}` has a `check` of inputs that are `checked`, or neither")
        if (self.run is None) is not bool(self.phases):
            raise ValueError(f"the kind `{self.name}` has either `run` or `phases`")
        names = [phase.name for phase in self.phases]
        if len({*names}) < len(names) or not all(map(_NAME.fullmatch, names)):
            raise ValueError(f"the phases of the kind `{self.name}` need different names of small letters: {names}")
        if names and not any(phase.kept for phase in self.phases):
            raise ValueError(f"no phase of the kind `{self.name}` keeps what it writes")
        if self.table is not None and self.table.name in ("recipe", "model", "stage"):
            raise ValueError(f"`{self.table.name}` is not for the kind `{self.name}`: every recipe has it")


Kinds = Mapping[str, Kind[Any]]
"""Name -> kind: what stages there can be."""
