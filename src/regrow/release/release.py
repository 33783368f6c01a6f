"""A release that is there, whoever made it. Each part is read when it is asked for; damage in one spares the others.

What is not there is None or empty, never guessed::

    release = Release.open(Path("build/bard"))
    release.digest, release.name, [one.kind for one in release.statements]
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError, RecipeError
from regrow.formats import parts
from regrow.formats.safetensors import read_entries
from regrow.model.families import families
from regrow.model.keys import INTENDED
from regrow.nearby import meant
from regrow.recipe.pin import Pin, Pins, list_path, listed_in_short, read_brief
from regrow.recipe.roles import TRAINING, left_out, role_of
from regrow.recipe.text import toml
from regrow.release import tables
from regrow.release.files import (
    DamagedError,
    Directory,
    Files,
    is_flat,
    read_bytes,
    read_json,
    read_json_lines,
    read_text,
)
from regrow.release.layout import (
    CHAIN,
    COMPARISON,
    CONFIG,
    DATES,
    ENVIRONMENT,
    EVALUATION,
    LICENCE,
    LOCK,
    LOSSES,
    MANIFEST,
    PROVENANCE,
    RECIPE,
    SAMPLES,
    SUMS,
    TIMINGS,
    TOKENS,
    WEIGHTS,
    WEIGHTS_INDEX,
    statement_path,
)
from regrow.release.statements import Statement, is_statement, ordered, parse
from regrow.release.sums import Sums
from regrow.release.sums import parse as parse_sums

if TYPE_CHECKING:
    import pyarrow

    from regrow.recipe.lock import Lock

_AGAIN = "get the release again from where it came"
_NAMED = 3
_LARGEST = 1e12  # of whatever is measured in a release
_FACTS = ("layers", "width", "heads", "context", "vocabulary")
"""Options of a decoder that people ask for first."""
_PACKED, _BESIDE_PACKED, _WORD = "weight_packed", ("weight_scale", "weight_shape"), 32
"""How compressed-tensors calls a matrix of small integers in words of so many bits, and what lies beside it."""


@dataclass(frozen=True)
class Sample:
    """What the model wrote after a prompt, and in how many tokens; ``answers`` if the prompt was put as a question."""

    prompt: str
    text: str
    tokens: int | None = None
    answers: bool = False


@dataclass(frozen=True)
class Loss:
    """What is known of one optimizer step.

    Attributes:
        step: its number, from 1.
        loss: in nats per token of training text.
        learning_rate: as it was in this step.
        gradient_norm: before it was clipped.
        validation: the loss on validation text after the step, where it was measured.
        sample: what the model wrote then.
    """

    step: int
    loss: float
    learning_rate: float | None = None
    gradient_norm: float | None = None
    validation: float | None = None
    sample: str | None = None


@dataclass(frozen=True)
class Release:
    """A release. Every attribute may raise :class:`regrow.release.files.DamagedError`, naming file and cause.

    Attributes:
        files: its files.
    """

    files: Files

    @staticmethod
    def at(folder: Path) -> Release:
        """Whatever lies in a folder."""
        return Release(Directory(folder))

    @staticmethod
    def open(folder: Path) -> Release:
        """The release in a folder.

        Raises:
            InputError: if there is none.
        """
        release = Release.at(folder)
        if release.files.has(SUMS):
            return release
        if os.path.lexists(folder / SUMS):
            raise DamagedError(folder, SUMS, "it is no file of the release, or leads out of it")
        hint = "`regrow build` makes releases, in `build/` by default"
        if not folder.is_dir():
            lies = folder.exists() and is_release(folder.parent)
            what = "this is not the folder of a release" if folder.exists() else "there is no such folder"
            if lies:
                hint = f"give the folder it is in, `{folder.parent}`"
            elif near := meant(folder, is_release):
                hint = f"did you mean `{near}`?"
            raise InputError(what, where=str(folder), hint=hint)
        inside = [f"`{path.parent}`" for path in sorted(folder.glob(f"*/{SUMS}"))[:_NAMED]]
        if inside:
            hint = f"give the folder of one: {', '.join(inside)}"
        elif (folder / PROVENANCE).is_dir():  # which no recipe has
            what, why = f"this is a release without `{SUMS}`", "without that list nobody can tell what was released"
            raise InputError(what, where=str(folder), why=why, hint=_AGAIN)
        elif (folder / RECIPE).is_file():
            hint = f"this is a recipe: `regrow build {folder}` makes a release of it, by default `build/NAME`"
        raise InputError("there is no release here", where=str(folder), hint=hint)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.files.root

    def require_plain(self) -> None:
        """Raise if there is anything but files and folders: reading a pipe might never end.

        Raises:
            InputError: naming the first such thing.
        """
        for place in (self.path / path for path in self.files.paths()):
            if place.exists() and not (place.is_file() or place.is_dir()):
                raise InputError(
                    "this is neither a file nor a folder",
                    where=str(place),
                    why="it is a pipe or a device, which no release holds",
                    hint=_AGAIN,
                )

    def require(self, path: str) -> None:
        """Raise if another file is in the place of one, before a library opens it by itself.

        One that is missing although it is listed is another too: without its template, a model says other things.
        Where there is no list of checksums, nobody says what is right.

        Raises:
            InputError: if it is no file, one outside the release, or not the one that is listed.
        """
        place = self.path / path
        there = os.path.lexists(place)
        if there and not self.files.has(path):
            why = "it is neither a file nor in the release"
            raise InputError("this is no file of the release", where=str(place), why=why, hint=_AGAIN)
        if not self.files.has(SUMS):
            return
        if not self.sums.canonical:
            raise DamagedError(self.path, SUMS, "it is not a list as regrow writes it")
        promised, found = self.listed.get(path), self._sha256(path) if there else None
        if found != promised:
            listed = f"lists it with the sha256 {promised}" if promised else "does not list it"
            raise InputError(
                "this is not the file that was released" if found else "a file of the release is missing",
                where=str(place),
                why=f"its sha256 is {found}, and {SUMS} {listed}" if found else f"{SUMS} {listed}",
                hint=_AGAIN,
            )

    def _sha256(self, path: str) -> str:
        try:
            digest = hashlib.sha256()
            with self.files.open(path) as file:
                while data := file.read(1 << 20):
                    digest.update(data)
            return digest.hexdigest()
        except OSError as error:
            raise DamagedError(self.path, path, (error.strerror or str(error)).lower()) from error

    @cached_property
    def sums(self) -> Sums:
        """The list of checksums."""
        return parse_sums(read_bytes(self.files, SUMS))

    @property
    def digest(self) -> str:
        """The release digest; empty before there is a list of checksums."""
        return self.sums.digest if self.files.has(SUMS) else ""

    @property
    def listed(self) -> Mapping[str, str]:
        """Path -> sha256 of the files that are listed, canonically or not."""
        return self.sums.listed

    @cached_property
    def recipe_text(self) -> str:
        """The recipe, as it was written."""
        return read_text(self.files, RECIPE)

    @cached_property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe as plain data."""
        return self._toml(RECIPE, self.recipe_text)

    @cached_property
    def model(self) -> Mapping[str, Any]:
        """What the recipe says of the model as a whole."""
        return self._mapping(RECIPE, self.recipe.get("model", {}))

    @cached_property
    def sources(self) -> tuple[Mapping[str, Any], ...]:
        """What the recipe says of the sources of what the model is trained on."""
        return tuple(one for one in self._told_sources if str(one.get("name")) not in self.beside_training)

    @cached_property
    def beside_training(self) -> frozenset[str]:
        """The names of sources that no model is trained on: benchmarks, texts that should not be in the others, and
        what was left out on purpose.
        """
        beside = (str(one.get("name")) for one in self._told_sources if role_of(one) != TRAINING)
        return frozenset((*beside, *left_out(self.recipe)))

    @cached_property
    def _told_sources(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(self._mapping(RECIPE, one) for one in self._list(RECIPE, self.recipe.get("source", [])))

    @cached_property
    def lock_text(self) -> str:
        """The lock, as it was written."""
        return read_text(self.files, LOCK)

    @cached_property
    def lock_data(self) -> Mapping[str, Any]:
        """The lock as plain data, which another version of regrow may have written."""
        return self._toml(LOCK, self.lock_text)

    @cached_property
    def lock(self) -> Lock:
        """The lock.

        Raises:
            RecipeError: if it is missing, damaged, or of another version.
        """
        from regrow.recipe import lock as locks  # not for those who only look at a release

        place = self.path / LOCK
        if self.files.has(LOCK):
            return locks.parse(self.lock_text, str(place), lambda path: read_text(self.files, path))
        if os.path.lexists(place):
            raise DamagedError(self.path, LOCK, "it is no file of the release, or leads out of it")
        return locks.load(place)  # which says that there is none

    @cached_property
    def name(self) -> str | None:
        """What the model is called, by the recipe or else the lock; None if nothing that can be read says so."""
        return next(self._names(), None)

    def _names(self) -> Iterator[str]:
        for part in ("recipe", "lock_data"):
            try:
                model = getattr(self, part).get("model")
            except DamagedError:
                continue
            name = model.get("name") if isinstance(model, dict) else None
            if isinstance(name, str):
                yield name

    @cached_property
    def licence_text(self) -> str:
        """The licence of the weights."""
        return read_text(self.files, LICENCE)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """The statements about the stages, in the order of the graph."""
        paths = sorted(path for path in self.files.paths() if is_statement(path) and self.files.has(path))
        return ordered(self._statement(path) for path in paths)

    def statement(self, stage: str) -> Statement | None:
        """The statement about one stage, if there is one."""
        path = statement_path(stage)
        return self._statement(path) if self.files.has(path) else None

    def pins(self, said: Statement) -> Pins:
        """The files that a stage brought in from outside: as its statement names them, or the list that it names.

        Those that may not be shared are only described.

        Raises:
            DamagedError: if they are no pins, or the list is missing or another one.
        """
        told = said.parameters.get("pins", ())
        if sums := listed_in_short(told):
            return self.listed_pins(said.entry, sums)
        try:
            if (described := read_brief(told)) is not None:
                return described
            return Pins(Pin(str(one["file"]), str(one["sha256"]), int(one["size"])) for one in told)
        except (TypeError, ValueError, LookupError) as error:
            raise DamagedError(self.path, statement_path(said.stage), "its pins are none") from error

    def listed_pins(self, source: str, sums: str) -> Pins:
        """The files of a source that has many, from their list beside the lock.

        Raises:
            DamagedError: if it is missing, or is not the one with that sha256.
        """
        path = list_path(source, sums)
        try:
            found = Pins.parse(read_text(self.files, path))
        except ValueError as error:
            raise DamagedError(self.path, path, str(error)) from error
        if found.sums != sums:
            what = "it is not the list that the lock names" if self.files.has(path) else "there is no such file"
            raise DamagedError(self.path, path, what)
        return found

    def _statement(self, path: str) -> Statement:
        try:
            said = parse(read_json(self.files, path))
        except ValueError as error:
            raise DamagedError(self.path, path, str(error)) from error
        if statement_path(said.stage) != path:
            raise DamagedError(self.path, path, f"it is about the stage `{said.stage}`")
        return said

    @cached_property
    def evaluation(self) -> Mapping[str, Any]:
        """What was measured."""
        return self._json(EVALUATION)

    def measured(self, of: str, what: str) -> float | None:
        """A number from :attr:`evaluation`, such as the ``loss`` of ``validation``."""
        part = self.evaluation.get(of)
        return number(part.get(what)) if isinstance(part, dict) else None

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """What the model wrote, prompt by prompt."""
        value = read_json(self.files, SAMPLES)
        rows = value.get("samples", []) if isinstance(value, dict) else value or []
        return tuple(_sample(self._mapping(SAMPLES, row)) for row in self._list(SAMPLES, rows))

    @cached_property
    def losses(self) -> tuple[Loss, ...]:
        """The losses that are numbers: one for each step, in the order of the steps."""
        try:
            rows = [_loss(row) for row in read_json_lines(self.files, LOSSES)]
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise DamagedError(self.path, LOSSES, "a line is no step with its loss") from error
        found = {row.step: row for row in rows if row is not None and abs(row.step) <= _LARGEST}
        return tuple(found[step] for step in sorted(found))

    @cached_property
    def chain(self) -> tuple[Mapping[str, Any], ...]:
        """The hashes of the complete training state along the run."""
        return tuple(self._mapping(CHAIN, row) for row in read_json_lines(self.files, CHAIN))

    @cached_property
    def facts(self) -> Mapping[str, int]:
        """Layers, width, heads, context, vocabulary and parameters of the model, as far as they are told."""
        config = self._json(CONFIG)
        family = families().get(self.family) or families()["llama"]
        told = {name: config.get(family.place(name) or "") for name in _FACTS} | {"parameters": self._parameters()}
        told["context"] = config.get(INTENDED, told["context"])
        return {name: value for name, value in told.items() if type(value) is int}

    @cached_property
    def family(self) -> str:
        """What ``config.json`` calls the kind of decoder; empty if it does not say."""
        found = self._json(CONFIG).get("model_type")
        return found if isinstance(found, str) else ""

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The files of weights: none, one, or those that an index beside them lists."""
        if self.files.has(WEIGHTS):
            return (WEIGHTS,)
        named = self._mapping(WEIGHTS_INDEX, self._json(WEIGHTS_INDEX).get("weight_map", {})).values()
        return tuple(sorted({name for name in named if isinstance(name, str)}))

    def _parameters(self) -> int | None:
        """How many numbers the weights hold, from their headers alone."""
        if not self.weights:
            return None
        counts: dict[str, float] = {}
        for path in self.weights:
            counts |= self._counts(path)
        try:
            total = sum(_numbers(counts, self._json(CONFIG)))  # exact up to 2**53
        except (LookupError, TypeError, ArithmeticError) as error:
            raise DamagedError(self.path, CONFIG, "it does not say how its weights are packed") from error
        return int(total) if 0 <= total < 2**53 else None

    def _counts(self, path: str) -> Mapping[str, float]:
        """The numbers of each tensor in a file of weights."""
        try:
            with self.files.open(path) as file:
                entries = read_entries(file, self.files.size(path))
            return {name: math.prod(float(size) for size in entry["shape"]) for name, entry in entries.items()}
        except InputError as error:
            raise DamagedError(self.path, path, error.why or error.what) from error
        except OSError as error:
            raise DamagedError(self.path, path, (error.strerror or str(error)).lower()) from error
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise DamagedError(self.path, path, "its header gives a tensor no shape") from error

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """The machine that built it, as it told."""
        return self._json(ENVIRONMENT)

    @cached_property
    def timings(self) -> Mapping[str, Mapping[str, Any]]:
        """Stage -> its key and how long it took."""
        stages = self._json(TIMINGS).get("stages", {})
        return {
            name: self._mapping(TIMINGS, one) for name, one in self._mapping(TIMINGS, stages).items() if one is not None
        }

    @cached_property
    def comparison(self) -> Mapping[str, Any]:
        """What other ways to train, and a compressor, make of the same text."""
        return self._json(COMPARISON)

    @cached_property
    def dates(self) -> Mapping[str, Any]:
        """When it was built."""
        return self._json(DATES)

    def manifest(self, texts: Sequence[str], numbers: Sequence[str]) -> pyarrow.Table | None:
        """Columns of the list of documents; None if there is no list."""
        return self._table(MANIFEST, texts, numbers)

    def token_rows(
        self, texts: Sequence[str], numbers: Sequence[str], gaps: Sequence[str] = (), path: str = TOKENS
    ) -> pyarrow.Table | None:
        """Columns of a list that says which training tokens are whose; None if there is no list."""
        return self._table(path, texts, numbers, gaps=gaps)

    def parts(self, path: str) -> tuple[str, ...]:
        """The files that a table is in: the one of this path, one for each part, or none if there is no such table.

        Raises:
            DamagedError: if that of a part is missing.
        """
        whole = PurePosixPath(path)
        if self.files.has(path):
            return (path,)
        there = {one for one in map(PurePosixPath, self.files.paths()) if one.match(f"{whole.parent}/*/{whole.name}")}
        count = parts.count(max(there).parent.name) if there else 0
        wanted = [PurePosixPath(parts.folder(Path(whole.parent), part, count), whole.name) for part in range(count)]
        if missing := [one for one in wanted if one not in there]:
            raise DamagedError(self.path, str(missing[0]), f"there is no such file, and the table is in {count} parts")
        return tuple(map(str, wanted))

    def groups(
        self, path: str, texts: Sequence[str], numbers: Sequence[str], optional: Sequence[str] = ()
    ) -> Iterator[pyarrow.Table]:
        """Columns of a table that may be larger than memory, a row group at a time; nothing if there is no table.

        Args:
            path: of the table, which may be in parts.
            texts: columns of texts.
            numbers: columns of whole numbers.
            optional: columns of texts with empty cells.

        Raises:
            DamagedError: if it cannot be read.
        """
        for one in self.parts(path):
            try:
                with self.files.open(one) as file:
                    yield from tables.groups(file, texts, numbers, optional)
            except (OSError, ValueError) as error:
                raise DamagedError(self.path, one, str(error)) from error

    def _table(
        self,
        path: str,
        texts: Sequence[str],
        numbers: Sequence[str],
        optional: Sequence[str] = (),
        gaps: Sequence[str] = (),
    ) -> pyarrow.Table | None:
        if not self.files.has(path):
            return None
        try:
            with self.files.open(path) as file:
                return tables.read(file, texts, numbers, optional, gaps)
        except (OSError, ValueError) as error:
            raise DamagedError(self.path, path, str(error)) from error

    def _toml(self, path: str, text: str) -> Mapping[str, Any]:
        try:
            value = toml(text, path, "")
        except RecipeError as error:
            raise DamagedError(self.path, error.where or path, error.what) from error
        if not is_flat(value):
            raise DamagedError(self.path, path, "lists and tables are nested too deeply")
        return value

    def _json(self, path: str) -> Mapping[str, Any]:
        """The mapping in a JSON file; empty if there is none."""
        value = read_json(self.files, path)
        return value if isinstance(value, dict) else {}

    def _mapping(self, path: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise DamagedError(self.path, path, "it has something else where a table should be")
        return value

    def _list(self, path: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise DamagedError(self.path, path, "it has something else where a list should be")
        return value


def _loss(row: Mapping[str, Any]) -> Loss | None:
    """The record of a step, if its loss is a number. What else it tells may be missing."""
    step, loss = int(row["step"]), number(float(row["loss"]))
    if loss is None or abs(step) > _LARGEST:
        return None
    told = {name: number(row.get(name)) for name in ("learning_rate", "gradient_norm")}
    sample = row.get("sample")
    validation = number(row.get("validation_loss"))
    return Loss(step, loss, **told, validation=validation, sample=sample if isinstance(sample, str) else None)


def _numbers(counts: Mapping[str, float], config: Mapping[str, Any]) -> Iterator[float]:
    """How many numbers of the model each tensor holds: of one that is packed, several in a word, and its scales and its
    shape are none of them.
    """
    said = config.get("quantization_config")
    if said is None:
        yield from counts.values()
        return
    in_word = _WORD / said["config_groups"]["group_0"]["weights"]["num_bits"]
    for name, count in counts.items():
        module, _, what = name.rpartition(".")
        packed = f"{module}.{_PACKED}" in counts
        if not packed or what not in _BESIDE_PACKED:
            yield count * in_word if packed and what == _PACKED else count


def _sample(row: Mapping[str, Any]) -> Sample:
    tokens = row.get("tokens")
    said = str(row.get("prompt", "")), str(row.get("text", ""))
    return Sample(*said, tokens if type(tokens) is int else None, row.get("answers") is True)


def number(value: Any) -> float | None:
    """A number that is one: not infinite, and no larger than anything that is measured here."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_one and abs(value) <= _LARGEST else None


def is_release(folder: Path) -> bool:
    """True if the lock in a folder is part of a release, so that nobody may write to it.

    A list of checksums that cannot be read, such as a link that leads elsewhere, may be a release's.
    """
    release = Release.at(folder)
    return LOCK in release.listed if release.files.has(SUMS) else os.path.lexists(folder / SUMS)
