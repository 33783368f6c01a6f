"""Small models with a tokenizer, as folders that recipes begin with."""

from __future__ import annotations

import json
from pathlib import Path

from regrow.corpus import tokenizer
from regrow.corpus.encoded import Encoded, write
from regrow.corpus.split import Part
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, save

TEXTS = tuple(f"text {number}: " + "one two three four five six seven " * 9 for number in range(12))
CONFIG = DecoderConfig(vocabulary=300, layers=2, width=16, heads=2, kv_heads=1, hidden=24, context=64)


def model(folder: Path, config: DecoderConfig = CONFIG, seed: int = 3, texts: tuple[str, ...] = TEXTS) -> Path:
    """A model of random numbers in a folder, with a tokenizer that was learnt from texts."""
    folder.mkdir(parents=True)
    tokenizer.write(tokenizer.learn(list(texts), 300), folder)
    theirs = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(theirs))
    save(folder, config, initialise(config, seed), Ends(0, 0))
    return folder


def recipe(folder: Path, *tables: str, texts: bool = True) -> Path:
    """A recipe that begins with the model in ``base`` beside it, and does what the tables say."""
    folder.mkdir(parents=True, exist_ok=True)
    head = 'recipe = 1\n\n[model]\nname = "child"\nlicence = "MIT"\n\n[base]\nfetch = "file:base"\nlicence = "MIT"\n'
    if texts:
        (folder / "texts").mkdir()
        for number, text in enumerate(TEXTS):
            (folder / "texts" / f"{number}.txt").write_text(text)
        head += '\n[[source]]\nname = "texts"\nfetch = "file:texts"\nlicence = "CC0-1.0"\navailability = "open"\n'
        head += "\n[corpus]\nnear_duplicates = 0\n\n[evaluate]\nprompts = []\n"
    (folder / "regrow.toml").write_text("\n".join((head, *tables)))
    return folder


def tokens(folder: Path, vocabulary: int = 300) -> Path:
    """Tokens to train on, which follow a rule."""
    folder.mkdir()
    train, validation = ([(i * i * 7 + i) % vocabulary for i in range(count)] for count in (400, 90))
    parts: dict[Part, list[Encoded]] = {"train": [Encoded("train", train)]}
    parts["validation"] = [Encoded("validation", validation, size=100)]
    write(folder, parts, vocabulary=vocabulary, end_of_text=0)
    return folder
