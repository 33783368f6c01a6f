"""``regrow export``: a model as other programs want it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, pass_console
from regrow.errors import RecipeError

if TYPE_CHECKING:
    from regrow.recipe.facts import Facts

_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
_ADAPTER = "adapter"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_OPTIONS = {
    "gguf": ("type", "context", "adapter", "base"),
    "hf": ("dtype", "shard_size"),
    "peft": ("base",),
    "infini-gram": ("store",),
}
"""Which options say something to which format."""


@dataclass(frozen=True)
class _Model:
    """What is exported.

    Attributes:
        folder: its own.
        facts: what is known of it.
        digest: of the release; empty if it is none.
    """

    folder: Path
    facts: Facts
    digest: str

    @property
    def name(self) -> str:
        """What files of it are called."""
        return self.facts.name or self.folder.resolve().name or "model"

    @property
    def adapter(self) -> Path:
        """The folder of its adapter."""
        from regrow.model.adapters.files import CONFIG

        return self.folder if (self.folder / CONFIG).is_file() else self.folder / _ADAPTER


def _bytes(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """A number of bytes, with a unit or without."""
    if value is None:
        return None
    if (found := re.fullmatch(r"([1-9]\d{0,12})([KMG]?)B?", value)) is None:
        raise click.BadParameter(f"`{value}` is no size\nhint: write one such as 500MB or 2GB")
    return int(found[1]) * _UNITS[found[2]]


@click.command(
    epilog=example(
        "  regrow export build/bard --to gguf --type Q8_0\n"
        "  regrow export build/bard --to hf --dtype bfloat16 -o bard-bf16\n"
        "  regrow export build/tuned --to peft --base HuggingFaceTB/SmolLM2-135M-Instruct\n"
        "  regrow export build/bard --to infini-gram -o bard-text"
    )
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(list(_OPTIONS)), required=True, help="What to write.")
@click.option("--type", type=click.Choice(_TYPES), help="gguf: what numbers are stored as. [default: F16]")
@click.option(
    "--context",
    type=click.IntRange(min=1),
    metavar="TOKENS",
    help="gguf: of a model with dynamic NTK, the one length whose base is written.",
)
@click.option("--adapter", is_flag=True, default=None, help="gguf: the release's adapter, without its model.")
@click.option("--base", metavar="MODEL", help="The model an adapter belongs to: peft: its name; gguf: its folder.")
@click.option(
    "--dtype", type=click.Choice(["float32", "bfloat16"]), help="hf: what numbers are stored as. [default: float32]"
)
@click.option("--shard-size", callback=_bytes, metavar="SIZE", help="hf: the most in one file, e.g. 2GB.")
@click.option("--store", type=click.Path(path_type=Path), metavar="DIR", help="infini-gram: has the training text.")
@click.option("--output", "-o", type=Place(), metavar="PATH", help="By default the model's name, here.")
@json_option
@pass_console
def command(
    console: Console,
    model: Path,
    form: str,
    type: str | None,
    context: int | None,
    adapter: bool | None,
    base: str | None,
    dtype: str | None,
    shard_size: int | None,
    store: Path | None,
    output: Path | None,
) -> None:
    """Write a model, or its training text, for other programs.

    MODEL is a release, or a folder with a model as Hugging Face's libraries have it. `gguf` is one file for llama.cpp
    and what is built on it, with the tokenizer, the chat template, and in its header where the model comes from. `hf`
    is a folder for transformers. `peft` are the files of a release's adapter. `infini-gram` is a folder with the text
    that a release was trained on, for its engine: the store has to have the text, or the release an index. The same
    model gives the same bytes on every machine. What a format cannot express is an error, and nothing is written.

    The path of what was written is the only line on stdout.
    """
    options = {
        "type": type, "context": context, "adapter": adapter, "base": base, "dtype": dtype, "shard_size": shard_size,
        "store": store,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    if strange := [name for name in given if name not in _OPTIONS[form]]:
        raise click.UsageError(f"`--{strange[0].replace('_', '-')}` says nothing to `--to {form}`")
    found = _model(model)
    place, kept = _WRITERS[form](found, given, output)
    for line in kept:
        console.say(line)
    if console.json:
        console.document("export/1", {"model": str(model), "to": form, "path": str(place)})
    else:
        console.result(str(place))


def _model(folder: Path) -> _Model:
    """A release, all of whose files are those that were released; or a folder of somebody else's."""
    from regrow.exporting.adapter import is_adapter
    from regrow.exporting.hugging_face import files_of
    from regrow.model.adapters.files import FILES
    from regrow.model.weights import CONFIG
    from regrow.recipe.facts import Facts
    from regrow.release import Release
    from regrow.release.facts import facts
    from regrow.release.layout import SUMS

    if not os.path.lexists(folder / SUMS) and ((folder / CONFIG).is_file() or is_adapter(folder)):
        return _Model(folder, Facts(), "")  # what a folder is called says nothing
    release = Release.open(folder)
    release.require_plain()
    for path in (*files_of(folder), *(f"{_ADAPTER}/{name}" for name in FILES)):
        release.require(path)
    return _Model(folder, facts(release), release.digest)


def _gguf(model: _Model, options: Mapping[str, Any], output: Path | None) -> tuple[Path, list[str]]:
    from regrow.exporting import adapter, gguf
    from regrow.formats.gguf_writer import write_gguf

    if options.get("adapter") or adapter.is_adapter(model.folder):
        if strange := [name for name in ("type", "context") if name in options]:
            raise click.UsageError(f"`--{strange[0]}` says nothing to an adapter, which is F32")
        place = _free(output or Path(f"{model.name}-adapter.gguf"))
        base = Path(options.get("base") or model.folder)
        keys, tensors = adapter.as_gguf(model.adapter, base, model.facts.name, model.digest)
        with _new_file(place) as file:
            write_gguf(file, keys, tensors)
        return place, []
    if "base" in options:
        raise click.UsageError("`--base` says something of an adapter only\nhint: add `--adapter`")
    type = options.get("type", "F16")
    place = _free(output or Path(gguf.file_name(model.name, type)))
    made = gguf.prepared(model.folder, model.folder, type, model.facts, model.digest, options.get("context"))
    with _new_file(place) as file:
        made.write(file)
    return place, made.model.remarks()


def _hf(model: _Model, options: Mapping[str, Any], output: Path | None) -> tuple[Path, list[str]]:
    from regrow.exporting.hugging_face import written

    place = _free(output or Path(f"{model.name}-hf"))
    with _new_directory(place) as folder:
        written(model.folder, folder, options.get("dtype", "float32"), options.get("shard_size"))
    return place, []


def _peft(model: _Model, options: Mapping[str, Any], output: Path | None) -> tuple[Path, list[str]]:
    from regrow.exporting.adapter import copied

    place = _free(output or Path(f"{model.name}-peft"))
    with _new_directory(place) as folder:
        copied(model.adapter, folder, options.get("base", ""))
    return place, []


def _infini_gram(model: _Model, options: Mapping[str, Any], output: Path | None) -> tuple[Path, list[str]]:
    from regrow.exporting.infini_gram import written
    from regrow.release import Release
    from regrow.tracing.corpus import corpus

    place = _free(output or Path(f"{model.name}-infini-gram"))
    text = corpus(Release.open(model.folder), options.get("store"), lambda event: None)
    with _new_directory(place) as folder:
        written(
            folder,
            text.shards(),
            vocabulary=text.index.vocabulary,
            end_of_text=text.tokenizer.end_of_text,
            words=text.beginnings(),
        )
    return place, []


_WRITERS: Mapping[str, Callable[[_Model, Mapping[str, Any], Path | None], tuple[Path, list[str]]]] = {
    "gguf": _gguf,
    "hf": _hf,
    "peft": _peft,
    "infini-gram": _infini_gram,
}


@contextmanager
def _new_file(place: Path) -> Iterator[BinaryIO]:
    from regrow.building.place import explained
    from regrow.store import new_file

    with explained(place), new_file(place) as file:
        yield file


@contextmanager
def _new_directory(place: Path) -> Iterator[Path]:
    from regrow.building.place import explained
    from regrow.store import new_directory

    with explained(place), new_directory(place) as folder:
        yield folder


def _free(place: Path) -> Path:
    if os.path.lexists(place):
        raise RecipeError(
            "there is something already", where=str(place), why="an export replaces nothing",
            hint="remove it, or choose another place with --output",
        )  # fmt: skip
    return place
