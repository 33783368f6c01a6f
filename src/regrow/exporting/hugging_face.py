"""A model as a folder that transformers loads, and nothing else in it: weights, configuration, tokenizer, licence."""

from __future__ import annotations

import shutil
from pathlib import Path

from regrow.corpus.tokenizer import CONFIG, FILE, SPECIAL, TEMPLATE, Tokenizer
from regrow.errors import InputError
from regrow.formats.safetensors import SIZES, Dtype
from regrow.model import weights
from regrow.model.families import families
from regrow.model.family import LIBRARY
from regrow.model.options import OptionError

DTYPES = tuple(SIZES)
"""What numbers can be stored as."""

_BESIDE = (FILE, CONFIG, SPECIAL, TEMPLATE, weights.GENERATION, "LICENSE")
"""What comes along as it is."""


def files_of(model: Path) -> list[str]:
    """The files of a folder that an export is made from, if they are there."""
    names = (*_BESIDE, weights.CONFIG, *weights.files(model))
    return [name for name in names if (model / name).exists()]


def written(model: Path, output: Path, dtype: Dtype = "float32", largest: int | None = None) -> None:
    """Write a model into an empty folder.

    Args:
        model: the folder of a model, or of a release.
        output: where it goes.
        dtype: what its numbers are stored as; those that are integers of few bits stay that.
        largest: bytes of tensors in a file of weights, with more than which there are several; None for the usual.

    Raises:
        InputError: if there is no model, or one for which Hugging Face's libraries have no class.
    """
    config, parameters = weights.load(model)
    if families()[config.family].library != LIBRARY:
        raise _unknown(model, f"{LIBRARY} has no class for models of the kind `{config.family}`")
    ends = weights.ends(model, Tokenizer.open(model).end_of_text)
    try:
        most = weights.LARGEST_FILE if largest is None else largest
        weights.save(output, config, parameters, ends, weights.load_codes(model), dtype, most)
    except OptionError as error:
        raise _unknown(model, error.what) from error
    for name in _BESIDE:
        if (model / name).is_file():
            shutil.copyfile(model / name, output / name)


def _unknown(model: Path, why: str) -> InputError:
    return InputError(
        "this model cannot be written for Hugging Face's libraries", where=str(model), why=why,
        hint="it runs with `regrow chat`",
    )  # fmt: skip
