"""Learn a byte-level BPE tokenizer from the training documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from regrow.corpus.documents import read_documents
from regrow.errors import StageError
from regrow.recipe.kind import Call, Cost, Expected, Kind, Released, Slot, Table
from regrow.sections import Parameters
from regrow.stages.costs import all_of, text_memory

END_OF_TEXT = "<|endoftext|>"
_CONFIG = {
    "added_tokens_decoder": {
        "0": {
            "content": END_OF_TEXT,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
    },
    "bos_token": END_OF_TEXT,
    "clean_up_tokenization_spaces": False,
    "eos_token": END_OF_TEXT,
    "tokenizer_class": "PreTrainedTokenizerFast",
}


class TokenizerParameters(Parameters):
    """The byte-level BPE tokenizer, trained on the training documents."""

    vocabulary: int = Field(
        description="Tokens to tell apart: 256 bytes, the end of a text, and merges.",
        examples=[4096],
        ge=257,
        le=2**18,
        json_schema_extra={"why": "every byte and the end of a text are tokens, and more than 2**18 are of no use"},
    )


def run(call: Call[TokenizerParameters]) -> None:
    """Train on the documents in canonical order."""
    documents = read_documents(call.input("split") / "train.parquet")
    tokenizer = _trained((document.text for document in documents), call.parameters.vocabulary)
    found = tokenizer.get_vocab_size()
    if found != call.parameters.vocabulary:
        raise StageError(
            f"a vocabulary of {call.parameters.vocabulary} tokens is more than the text allows",
            why=f"in {len(documents)} documents every pair of tokens that occurs twice is merged at {found}",
            hint=f"set `tokenizer.vocabulary` to {found} or less, or add text",
        )
    tokenizer.save(str(call.output / "tokenizer.json"))
    _write(call.output / "tokenizer_config.json", _CONFIG)
    _write(call.output / "special_tokens_map.json", {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT})


def _trained(texts: Iterator[str], vocabulary: int) -> Any:
    """A tokenizer that knows every byte, so that it can say any text. Ties between pairs go to the smaller ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        show_progress=False,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _write(path: Path, value: Any) -> None:
    path.write_bytes(json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")


def cost(parameters: TokenizerParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: all text is read, and a table of tokens comes out."""
    text = all_of(inputs, "split").text
    return Cost(Expected(vocabulary=parameters.vocabulary), seconds=text / 3e6, memory_bytes=text_memory(text))


KIND = Kind(
    name="tokenizer",
    version=1,
    parameters=TokenizerParameters,
    inputs={"split": Slot("split")},
    output="tokenizer",
    run=run,
    libraries=("tokenizers",),
    summary="learn a byte-level BPE tokenizer",
    table=Table("tokenizer", about="The byte-level BPE tokenizer, trained on the training documents."),
    cost=cost,
    released=tuple(map(Released, ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"))),
)
