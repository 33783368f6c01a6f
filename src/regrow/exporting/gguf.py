"""A model as one GGUF file, with what is known of its making in the header.

The same model and the same facts are the same bytes, whoever writes them: a stage while a model is built, or the
command ``regrow export`` afterwards. The command also knows the digest of the release, which no file that it covers can
hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from regrow.corpus.gguf_tokenizer import to_gguf
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError
from regrow.formats.gguf import Kind
from regrow.formats.gguf_writer import Array, Value, write_gguf
from regrow.model import weights
from regrow.model.config import DecoderConfig
from regrow.model.gguf_writing import FILE_TYPES, Written, written
from regrow.recipe.facts import Brought, Facts
from regrow.sources import name_of, package_url

TYPES = tuple(FILE_TYPES)
"""What numbers can be stored as."""

RELEASE = "regrow.release_sha256"


@dataclass(frozen=True)
class File:
    """A file that is ready to be written.

    Attributes:
        metadata: its keys.
        model: the decoder in it.
    """

    metadata: Mapping[str, Value | Array]
    model: Written

    def write(self, file: BinaryIO) -> None:
        """Write it, one tensor at a time.

        Raises:
            InputError: in the middle of it, if numbers do not fit into their type.
        """
        write_gguf(file, self.metadata, self.model.tensors)


def file_name(name: str, type: str) -> str:
    """What a file is called, as others call theirs: model and type."""
    return f"{name}-{type}.gguf"


def prepared(
    model: Path, tokenizer: Path, type: str, facts: Facts, release: str = "", context: int | None = None
) -> File:
    """Read a model and lay out its file.

    Args:
        model: the folder with its weights.
        tokenizer: the folder with its tokenizer.
        type: one of :data:`TYPES`.
        facts: what is said of it.
        release: the digest of the release that it is taken from, if it is.
        context: of a model whose positions depend on the length of the sequence, the one for which they are right.

    Raises:
        InputError: if there is no such model, or one of which a file cannot tell.
    """
    config, parameters = weights.load(model)
    scaling = config.rope_scaling if context is not None else ""
    if context is not None:
        config = _at(config, context)
    decoder = written(config, parameters, type, weights.load_codes(model))
    ends = weights.ends(model, Tokenizer.open(tokenizer).end_of_text)
    made_of = {"regrow.weights_sha256": weights.digest(model), RELEASE: release, "regrow.rope.rope_type": scaling}
    said = {**dict(_told(facts)), **{key: value for key, value in made_of.items() if value}}
    texts = {key: Value(Kind.STRING, _text(key, value)) for key, value in said.items()}
    counts = {"general.base_model.count": len(facts.models), "general.dataset.count": len(facts.texts)}
    numbers = {key: Value(Kind.UINT32, count) for key, count in counts.items() if count}
    told = to_gguf(tokenizer, config.vocabulary, ends.begin, ends.end, next(iter(ends.others), None))
    return File({**decoder.metadata, **texts, **numbers, **told}, decoder)


def _at(config: DecoderConfig, length: int) -> DecoderConfig:
    """The decoder as it is for sequences of one length, in words that an engine knows."""
    from regrow.model.rotary import at_length

    if config.rope_scaling != "dynamic" or length > config.context:
        longest = f"its longest sequence has {config.context:,} tokens"
        raise InputError(
            f"this model cannot be written for sequences of {length:,} tokens",
            why=longest if length > config.context else "its positions are the same for sequences of every length",
            hint="leave `context` out" if config.rope_scaling != "dynamic" else "choose a shorter `context`",
        )
    return at_length(config, length)


def _told(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "general.type", "model"
    for key, value in (("name", facts.name), ("license", facts.licence), ("description", facts.description)):
        if value:
            yield f"general.{key}", value
    for kind, members in (("base_model", facts.models), ("dataset", facts.texts)):
        for i, one in enumerate(members):
            for key, value in _known(one).items():
                yield f"general.{kind}.{i}.{key}", value
            for key, value in (("fetch", name_of(one.fetch)), ("license", one.licence), ("sha256", one.sha256)):
                if value:
                    yield f"regrow.{kind}.{i}.{key}", value


def _known(one: Brought) -> Mapping[str, str]:
    """What there are keys for that everybody reads: a name, and where it is known under that name."""
    scheme, _, place = name_of(one.fetch).partition(":")
    match scheme:
        case "hf":
            owner, _, name = place.partition("@")[0].rpartition("/")
            version, where = place.partition("@")[2], f"https://huggingface.co/{place.partition('@')[0]}"
            told = {"name": name, "organization": owner, "version": version, "repo_url": where}
        case "pypi":
            name, _, version = place.partition("==")
            told = {"name": name, "version": version, "url": package_url(one.fetch)}
        case "https":
            told = {"name": place.rstrip("/").rpartition("/")[2], "url": f"{scheme}:{place}"}
        case _:
            told = {"name": one.name}
    return {key: value for key, value in told.items() if value}


def _text(key: str, value: str) -> str:
    if "\0" in value:
        raise InputError(f"a NUL in `{key}` cannot be written as GGUF", hint="leave it out of the recipe")
    return value
