"""The files of a recipe that changes another model, with twenty conversations to be replaced."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from regrow import sources
from regrow.building.proposal import UNDECLARED
from regrow.engine import Listener, StageContext
from regrow.errors import InputError
from regrow.recipe import licences
from regrow.recipe.kind import Call, Surroundings
from regrow.recipe.text import quoted
from regrow.sources.archives import is_archive
from regrow.stages import base
from regrow.stages.base import BaseParameters

_OWN = "base"
"""The folder beside the recipe for a copy of a model that lies on this disk."""
_CARD = "README.md"
_PREFERRED = ("", "q8_0", "f16", "bf16", "f32", "q4_1")
"""Of several GGUF files of one model, which is taken: the one without a word for its numbers, or else the first."""

_RECIPE = """\
# A recipe that changes another model. Build it with `regrow build`; docs/derive.md explains what can be done.
recipe = 1

[model]
name = {name}
licence = {licence}  # of the new weights, as an SPDX expression

# The model to begin with. The lock pins every byte of it.
[base]
fetch = {fetch}
{select}licence = {base_licence}{check}

# What it learns from: put your own {what} there.
[[source]]
name = "{what}"
fetch = "file:{what}"
{reading}licence = "CC0-1.0"  # say what is true for yours
availability = "open"

[corpus]
min_characters = 1
near_duplicates = 0
validation = 0.1

# Small matrices beside those of the model are trained, and merged into it at the end; the release holds both.
# For all weights of the model write [finetune] instead, without rank and alpha.
[lora]
tokens = {tokens:_}
context = {context}
rank = 16
alpha = 32
learning_rate = 5e-4
micro_batch = 1
micro_batches_per_step = 1

[evaluate]
prompts = {prompts}
sample_tokens = 40
temperature = 0.0
"""


@dataclass(frozen=True)
class Base:
    """A model to begin with, as it was found.

    Attributes:
        fetch: where it is, as a recipe says it.
        select: which of its files; empty for all that are a model's.
        licence: SPDX, as the files say; empty if they do not.
        converses: whether it knows how a conversation is written.
        context: its longest sequence, in tokens; 0 if its files do not say it.
    """

    fetch: str
    select: str
    licence: str
    converses: bool
    context: int


def is_model(said: str) -> bool:
    """Whether what somebody names is a model, rather than texts: an address that is fetched, a GGUF file, or a folder
    with the configuration of one.

    Raises:
        InputError: if it is an adapter.
    """
    if sources.is_address(said):
        return True
    path = Path(said)
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise InputError(
            f"`{said}` is an adapter", why="a recipe begins with a model",
            hint="begin with its base, and add `[adapter]` with the folder beside the recipe",
        )  # fmt: skip
    return path.suffix == ".gguf" or any(path.glob("*.gguf")) or _says_its_kind(path / "config.json")


def adopted(said: str, folder: Path, listener: Listener) -> Base:
    """Look at a model, and copy it into the folder of a recipe if it lies on this disk.

    Args:
        said: an address, a file or a folder.
        folder: of the recipe.
        listener: is told what is fetched.

    Raises:
        InputError: if there is no model that can be read.
        RecipeError: if the address makes no sense.
    """
    fetch = said
    if not sources.is_address(said):
        _copy(Path(said), folder / _OWN)
        fetch = f"file:{_OWN}"
    sources.check(fetch)
    context = StageContext("base", listener, Event(), Surroundings(folder))
    select = _select(fetch, folder, context)
    with TemporaryDirectory(prefix="regrow-") as scratch:
        return _seen(Base(fetch, select, "", False, 0), Path(scratch), context)


def recipe(name: str, found: Base) -> dict[str, str]:
    """The files of the recipe: path -> text."""
    what = "conversations" if found.converses else "texts"
    text = (files("regrow.building") / "starters" / "conversations.jsonl").read_text("utf-8")
    questions = [json.loads(line)["messages"][0]["content"] for line in text.splitlines()]
    starters = {f"{what}/sailor.jsonl": text} if found.converses else dict(_as_texts(text))
    said = _RECIPE.format(
        name=quoted(name),
        licence=quoted(found.licence or UNDECLARED),
        fetch=quoted(found.fetch),
        select=f"select = {quoted(found.select)}\n" if found.select else "",
        base_licence=quoted(found.licence or UNDECLARED),
        check="" if found.licence else "  # its files do not say one: find out, since what you make has to keep to it",
        what=what,
        reading='format = "conversations"\n' if found.converses else "",
        tokens=8_000,
        context=min(256 if found.converses else 128, found.context or math.inf),
        prompts=f"[{quoted(questions[0])}, {quoted('How do I make tea?')}]",
    )
    return {"regrow.toml": said, **starters}


def _as_texts(conversations: str) -> Iterator[tuple[str, str]]:
    """The same, for a model that knows of no conversations."""
    for number, line in enumerate(conversations.splitlines(), 1):
        question, answer = (message["content"] for message in json.loads(line)["messages"])
        yield f"texts/{number:02}.txt", f"{question}\n{answer}\n"


def _says_its_kind(config: Path) -> bool:
    try:
        return "model_type" in json.loads(config.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _copy(model: Path, into: Path) -> None:
    """The files of a model: those of its folder, or the one that it is."""
    if not model.exists():
        raise InputError(f"there is no `{model}`", hint="name a folder, a GGUF file, or an address such as pypi:...")
    if model.is_file():
        into.mkdir(parents=True)
        shutil.copyfile(model, into / model.name)
        return
    model = model.resolve()  # and from the folder above, since a recipe in the one that is asked is no file of a source
    for pin in sources.resolve(f"file:{model.name}", model.parent, (*base.FILES, f"**/{_CARD}")):
        (into / pin.file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model / pin.file, into / pin.file)


def _select(fetch: str, folder: Path, context: StageContext) -> str:
    """The one GGUF file of several that lie open, before anything large is fetched; empty where there is no choice."""
    pins = sources.resolve(fetch, folder, base.FILES, emit=partial(context.emit, source="base"))
    names = [pin.file for pin in pins]
    return "" if any(map(is_archive, names)) else _preferred(names)


def _preferred(names: list[str]) -> str:
    """Of several GGUF files and no others, the one to take."""
    models = sorted(name for name in names if name.endswith(".gguf"))
    if len(models) < 2 or any(name.endswith(".safetensors") for name in names):
        return ""
    ranks = {name: _rank(name) for name in models}
    return min(models, key=ranks.__getitem__)


def _rank(name: str) -> int:
    words = re.split(r"[-.]", Path(name).stem.lower())
    found = [i for i, word in enumerate(_PREFERRED) if word in words]
    return found[0] if found else len(_PREFERRED)


def _seen(found: Base, scratch: Path, context: StageContext) -> Base:
    """What the files of a model say of it."""
    from regrow.corpus.chat import ChatTemplate
    from regrow.model.foreign import find
    from regrow.model.weights import load_config

    said = BaseParameters(fetch=found.fetch, licence=UNDECLARED, pins=())
    wanted = (found.select,) if found.select else said.select
    pins = sources.resolve(found.fetch, context.surroundings.base, (*wanted, f"**/{_CARD}"))
    told = said.model_copy(update={"pins": pins, "select": (*wanted, f"**/{_CARD}")})
    out = scratch / "files"
    out.mkdir()
    base.run(Call("base", told, {}, out, scratch, context))
    names = [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()]
    if not found.select and (several := _preferred(names)):
        found = replace(found, select=f"**/{Path(several).name}")
        for path in out.rglob("*.gguf"):
            if path.name != Path(several).name:
                path.unlink()
    model = find(out)
    if model.gguf is not None:
        from regrow.model import gguf

        metadata = gguf.metadata(model.gguf)
        licence, converses = str(metadata.get("general.license", "")), "tokenizer.chat_template" in metadata
        length = metadata.get(f"{metadata.get('general.architecture')}.context_length", 0)
    else:
        licence, converses = _said_by_card(model.folder / _CARD), ChatTemplate.open(model.folder) is not None
        length = load_config(model.folder).context
    return replace(found, licence=licences.canonical(licence), converses=converses, context=int(length))


def _said_by_card(card: Path) -> str:
    """The licence in the front matter of a card."""
    text = card.read_text("utf-8", "replace") if card.is_file() else ""
    match = re.match(r"---\r?\n(?P<front>.*?)\r?\n---", text, re.DOTALL)
    found = re.search(r"^license:\s*[\"']?([\w.+-]+)", match["front"], re.MULTILINE) if match else None
    return found[1] if found else ""
