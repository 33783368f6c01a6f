"""What a model that lies somewhere needs to write: a release, a folder of Hugging Face's libraries, or a GGUF file; and
adapters beside it, which share its memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from regrow.corpus.chat import ChatTemplate
from regrow.corpus.gguf_tokenizer import from_gguf
from regrow.corpus.tokenizer import Tokenizer, settings
from regrow.errors import InputError
from regrow.exact.selection import current
from regrow.model import gguf, weights
from regrow.model.adapters import files
from regrow.model.adapters.low_rank import fitted, tensors_of, unmerged
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, Weights
from regrow.release import Release
from regrow.release.layout import SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG
from regrow.serve.origin import model_file, read_in
from regrow.serve.writing import Model
from regrow.words import DAMAGED


@dataclass(frozen=True)
class Loaded:
    """A model with what lies beside its weights.

    Attributes:
        model: what computes.
        tokenizer: text to tokens and back.
        template: how the model takes a conversation; None if it knows of none.
        stops: the tokens that end a text.
        source: where it lies.
        usual: how its maker says that it is usually let write: members of ``generation_config.json``.
        described: what stands beside the tokenizer: special tokens, and its class.
    """

    model: Model
    tokenizer: Tokenizer
    template: ChatTemplate | None
    stops: frozenset[int]
    source: Path
    usual: Mapping[str, Any]
    described: Mapping[str, Any]


def load(place: Path) -> Loaded:
    """Read a model.

    Args:
        place: a folder that holds one, or a GGUF file.

    Raises:
        InputError: if there is no model or tokenizer, one that cannot be read, or another than a release's list of
            checksums names.
        RecipeError: if the way to compute that the environment asks for is not to be had.
    """
    current()  # a way to compute that is asked for in vain is an error now, and not amid a text
    file = model_file(place)
    loaded = _from_folder(place) if file is None else _from_file(file)
    known, given = loaded.model.decoder.config.vocabulary, loaded.tokenizer.vocabulary
    if given > known:
        raise InputError(
            f"the tokenizer has {given:,} tokens, and the model knows {known:,}",
            where=str(file or place / TOKENIZER),
            why="the two were not made for each other",
            hint=DAMAGED,
        )
    return loaded


def _from_folder(folder: Path) -> Loaded:
    release = Release.at(folder)
    for name in read_in(folder):
        release.require(name)
    config, parameters = weights.load_weights(folder)
    if not release.files.has(TOKENIZER):
        raise InputError(
            f"`{folder}` has no tokenizer",
            where=str(folder / TOKENIZER),
            hint="give the folder that `regrow build` wrote",
        )
    tokenizer = Tokenizer.open(folder)
    return _loaded(Model(Decoder(config), parameters), folder, weights.ends(folder, tokenizer.end_of_text), folder)


def _from_file(path: Path) -> Loaded:
    config, parameters = gguf.load_weights(path)
    said = gguf.metadata(path)
    with tempfile.TemporaryDirectory(prefix="regrow-tokenizer-") as scratch:
        from_gguf(said, str(path), Path(scratch))
        return _loaded(Model(Decoder(config), parameters), Path(scratch), gguf.ends(said), path)


def _loaded(model: Model, beside: Path, ends: weights.Ends, source: Path) -> Loaded:
    """A model with the tokenizer in a folder."""
    tokenizer, template = Tokenizer.open(beside), ChatTemplate.open(beside)
    described = {**settings(beside / SPECIAL_TOKENS), **settings(beside / TOKENIZER_CONFIG)}
    return Loaded(
        model, tokenizer, template, frozenset((tokenizer.end_of_text, *ends.stops)), source, ends.settings, described
    )


def adapted(base: Loaded, folder: Path) -> Model:
    """A model with an adapter of PEFT beside its matrices; what the adapter leaves as it is takes no memory again.

    Args:
        base: the model.
        folder: holds the adapter, or has a folder below it that does.

    Raises:
        InputError: if the adapter cannot be read, or was made for another base.
    """
    place = files.find(folder)
    read = files.read(place)
    if base.source.is_dir():
        files.require_base(read.base, weights.digest(base.source), str(place))
    # As float32, which takes memory for a while: what the adapter leaves alone stays as the base has it.
    config, floats = weights.load(base.source) if base.source.is_dir() else _numbers(base.source)
    changed, parameters = unmerged(config, floats, fitted(config, read, tensors_of(config, floats)))
    alone = {name for name, value in parameters.items() if name in floats and torch.equal(floats[name], value)}
    shared: Weights = {name: base.model.parameters[name] if name in alone else x for name, x in parameters.items()}
    return Model(base.model.decoder if changed == config else Decoder(changed), shared)


def _numbers(file: Path) -> tuple[DecoderConfig, dict[str, torch.Tensor]]:
    model = gguf.load(file)
    return model.config, model.parameters
