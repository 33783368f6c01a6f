"""Tokenizers of others, as artifacts of ours: taken over as they are, or written out of a GGUF file.

A GGUF file has the tokens, the merges and a name for the way in which text is cut before merging. The names are those
of llama.cpp; the patterns behind them are part of the tokenizers that they are the names of.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regrow.corpus.tokenizer import CONFIG, FILE, LLAMA3, QWEN2, SPECIAL, Tokenizer
from regrow.errors import InputError
from regrow.words import listed, shown

TEMPLATE = "chat_template.jinja"
"""How a conversation is written as one text."""

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_HINT = "what can be read is byte-level BPE in a `tokenizer.json`, with a token that ends a text"
_NAMED = ("bos", "eos", "unknown", "padding")
_SPECIAL, _MEANT = 3, 4
"""Types of tokens in a GGUF file: those that say what a text is about, and those that somebody added."""


def _cut(pattern: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, {**_BYTES, "use_regex": False}]}


_CUTS: Mapping[str, Mapping[str, Any]] = {
    "gpt-2": _BYTES,
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTES]},
    "llama-bpe": _cut(LLAMA3),
    "dbrx": _cut(LLAMA3),
    "qwen2": _cut(QWEN2),
}
_NORMALIZERS = {"qwen2": {"type": "NFC"}}


def take_over(source: Path, folder: Path) -> None:
    """Copy a tokenizer that lies beside weights.

    Args:
        source: the folder with ``tokenizer.json``.
        folder: the artifact.

    Raises:
        InputError: if it is of a kind that is not known here.
    """
    for name in (FILE, CONFIG, SPECIAL, TEMPLATE):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    _require_known(folder, FILE)


def from_gguf(said: Mapping[str, Any], where: str, folder: Path) -> None:
    """Write the tokenizer of a GGUF file.

    Args:
        said: the file's metadata, with ``tokens``, ``token_type`` and ``merges`` built.
        where: the file, for messages.
        folder: the artifact.

    Raises:
        InputError: if it is of a kind that is not known here.
    """
    keys = {key.removeprefix("tokenizer.ggml."): value for key, value in said.items()}
    if keys.get("model") != "gpt2" or keys.get("pre", "gpt-2") not in _CUTS:
        raise InputError(
            f"the tokenizer {shown(keys.get('model'))} with the cuts {shown(keys.get('pre'))} cannot be read",
            where=f"{where}: tokenizer.ggml.pre",
            why="what is known here is byte-level BPE",
            hint=f"known are gpt2 with the cuts {listed(_CUTS)}",
        )
    parts: list[Any] = [keys.get(name) for name in ("tokens", "token_type", "merges")]
    tokens, kinds, merges = parts
    named = {name: keys[f"{name}_token_id"] for name in _NAMED if f"{name}_token_id" in keys}
    if fault := next(_faults(tokens, kinds, merges, named), None):
        raise InputError("the tokenizer cannot be read", where=f"{where}: tokenizer.ggml.{fault[0]}", why=fault[1])
    added = [_added(i, tokens[i], kind) for i, kind in enumerate(kinds) if kind in (_SPECIAL, _MEANT)]
    names = {name: tokens[i] for name, i in named.items()}
    begins = bool(keys.get("add_bos_token", False)) and "bos" in names
    cut = keys.get("pre", "gpt-2")
    _write(
        folder / FILE,
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": _NORMALIZERS.get(cut),
            "pre_tokenizer": _CUTS[cut],
            "post_processor": _template(names["bos"], named["bos"]) if begins else None,
            "decoder": {**_BYTES, "add_prefix_space": True},
            "model": _model(tokens, merges),
        },
    )
    words = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
    special = {words[name]: token for name, token in names.items()}
    _write(
        folder / CONFIG,
        {
            "add_bos_token": begins,
            "added_tokens_decoder": {str(one["id"]): {k: v for k, v in one.items() if k != "id"} for one in added},
            "clean_up_tokenization_spaces": False,
            "tokenizer_class": "PreTrainedTokenizerFast",
            **special,
        },
    )
    _write(folder / SPECIAL, special)
    if isinstance(template := said.get("tokenizer.chat_template"), str):
        (folder / TEMPLATE).write_text(template, "utf-8", newline="")
    _require_known(folder, where)


def _require_known(folder: Path, where: str) -> None:
    """What came from others is told as theirs, by its name there: nothing of ours is damaged."""
    from tokenizers.pre_tokenizers import ByteLevel

    try:
        opened = Tokenizer.open(folder)
    except InputError as error:
        raise InputError(error.what, where=where, why=error.why, hint=_HINT) from error
    if lost := sum(opened.id(letter) is None for letter in ByteLevel.alphabet()):
        why = f"it has no token for {lost} of the 256 bytes, and texts would lose letters"
        raise InputError("the tokenizer cannot be read", where=where, why=why, hint=_HINT)


def _faults(tokens: Any, kinds: Any, merges: Any, named: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The parts of a tokenizer in a GGUF file that do not fit together, each with the reason."""
    for part, values, of in (("tokens", tokens, str), ("token_type", kinds, int), ("merges", merges, str)):
        if not isinstance(values, tuple) or not all(isinstance(value, of) for value in values):
            yield part, "it is missing, or no list of what it should be"
            return
    if len(kinds) != len(tokens):
        yield "token_type", f"there are {len(kinds):,} types for {len(tokens):,} tokens"
    for part, values in (("tokens", tokens), ("merges", merges)):
        places = {value: i for i, value in enumerate(values)}
        if twice := [value for i, value in enumerate(values) if places[value] != i]:
            yield part, f"{shown(twice[0])} is there twice"
    known = frozenset(tokens)
    for merge in merges:
        pair = merge.split(" ")
        if len(pair) != 2 or not all(pair):
            yield "merges", f"{shown(merge)} is not two tokens with a space between them"
        elif lost := [token for token in (*pair, "".join(pair)) if token not in known]:
            yield "merges", f"{shown(merge)} is of or makes {shown(lost[0])}, which is no token"
    for name, i in named.items():
        if type(i) is not int or not 0 <= i < len(tokens):
            yield f"{name}_token_id", f"{shown(i)} is none of the {len(tokens):,} tokens, which are counted from 0"


def _model(tokens: tuple[str, ...], merges: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [merge.split(" ") for merge in merges],
    }


def _added(id: int, content: str, kind: int) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": id, "content": content, **plain, "special": kind == _SPECIAL}


def _template(token: str, id: int) -> dict[str, Any]:
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    one, other = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [first, one],
        "pair": [first, one, other],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    }


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8", newline="\n")
