"""Tokenizers in GGUF files: written out as the files that others load, and written into a file of ours.

A GGUF file has the tokens, the merges and a name for the way in which text is cut before merging. The names are those
of llama.cpp; the patterns behind them are part of the tokenizers that they are the names of.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.corpus.tokenizer import CONFIG, END_OF_TEXT, FILE, LEARNT, LLAMA3, QWEN2, SPECIAL, TEMPLATE, Tokenizer
from regrow.corpus.tokenizers import require_known
from regrow.errors import InputError, Note
from regrow.formats.gguf import Kind
from regrow.formats.gguf_writer import Array, Value
from regrow.words import listed, shown

_MODEL = "gpt2"
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_NFC = {"type": "NFC"}
_NAMED = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
"""Tokens that stand for something -> what the settings of a tokenizer call them."""
_NORMAL, _SPECIAL, _MEANT, _UNUSED = 1, 3, 4, 5
"""Types of tokens: usual ones, those that say what a text is about, those that somebody added, and rows without one."""
_PREFIX = "tokenizer.ggml."
_CHAT = "tokenizer.chat_template"


@dataclass(frozen=True)
class _Cut:
    """How text is cut before merging, under a name of llama.cpp's.

    Attributes:
        parts: of the pre-tokenizer.
        normalizer: which the tokenizers of that name have; no engine applies it.
        ignore_merges: whether a whole word that is a token is taken as it is.
    """

    parts: tuple[Mapping[str, Any], ...]
    normalizer: Mapping[str, Any] | None = None
    ignore_merges: bool = False

    @property
    def pre_tokenizer(self) -> Mapping[str, Any]:
        return self.parts[0] if len(self.parts) == 1 else {"type": "Sequence", "pretokenizers": list(self.parts)}


def _split(pattern: str) -> tuple[Mapping[str, Any], ...]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return split, {**_BYTES, "use_regex": False}


_CUTS: Mapping[str, _Cut] = {
    "gpt-2": _Cut((_BYTES,)),
    "smollm": _Cut(({"type": "Digits", "individual_digits": True}, _BYTES)),
    "llama-bpe": _Cut(_split(LLAMA3), ignore_merges=True),
    "dbrx": _Cut(_split(LLAMA3)),
    "qwen2": _Cut(_split(QWEN2), _NFC),
}


def from_gguf(said: Mapping[str, Any], where: str, folder: Path) -> None:
    """Write the tokenizer of a GGUF file.

    Args:
        said: the file's metadata, with ``tokens``, ``token_type`` and ``merges`` built.
        where: the file, for messages.
        folder: the artifact.

    Raises:
        InputError: if it is of a kind that is not known here.
    """
    keys = {key.removeprefix(_PREFIX): value for key, value in said.items()}
    if keys.get("model") != _MODEL or keys.get("pre", "gpt-2") not in _CUTS:
        raise InputError(
            f"the tokenizer {shown(keys.get('model'))} with the cuts {shown(keys.get('pre'))} cannot be read",
            where=f"{where}: {_PREFIX}pre",
            why="what is known here is byte-level BPE",
            hint=f"known are gpt2 with the cuts {listed(_CUTS)}",
        )
    parts: list[Any] = [keys.get(name) for name in ("tokens", "token_type", "merges")]
    tokens, kinds, merges = parts
    named = {name: keys[f"{name}_token_id"] for name in _NAMED if f"{name}_token_id" in keys}
    if fault := next(_faults(tokens, kinds, merges, named), None):
        raise InputError("the tokenizer cannot be read", where=f"{where}: {_PREFIX}{fault[0]}", why=fault[1])
    tokens = tokens[: _count(kinds)]
    added = [_added(i, tokens[i], kind) for i, kind in enumerate(kinds) if kind in (_SPECIAL, _MEANT)]
    names = {name: tokens[i] for name, i in named.items()}
    begins = bool(keys.get("add_bos_token", False)) and "bos" in names
    cut = _CUTS[keys.get("pre", "gpt-2")]
    _write(
        folder / FILE,
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": cut.normalizer,
            "pre_tokenizer": cut.pre_tokenizer,
            "post_processor": template(names["bos"], named["bos"]) if begins else None,
            "decoder": {**_BYTES, "add_prefix_space": True},
            "model": _model(tokens, merges, cut.ignore_merges),
        },
    )
    special = {_NAMED[name]: token for name, token in names.items()}
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
    if isinstance(chat := said.get(_CHAT), str):
        (folder / TEMPLATE).write_text(chat, "utf-8", newline="")
    require_known(folder, where)


def to_gguf(folder: Path, rows: int, begin: int, end: int, turn: int | None = None) -> dict[str, Value | Array]:
    """The keys that tell of a tokenizer.

    Args:
        folder: with its files.
        rows: of the model's embedding: rows without a token get one that no text makes.
        begin: the token that begins a text.
        end: the one at which a model stops.
        turn: the one at which it stops besides, behind an answer.

    Raises:
        InputError: if there is no tokenizer, or one that such a file cannot tell of.
    """
    opened = Tokenizer.open(folder)
    if opened.vocabulary > rows or not (0 <= begin < rows and 0 <= end < rows):
        raise _untold(folder, f"it has {opened.vocabulary:,} tokens, and the model knows {rows:,}")
    said, settings = _json(folder / FILE), _settings(folder)
    model = said["model"]
    tokens, kinds = _tokens(said, rows)
    merges = tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    if odd := next((merge for merge in merges if merge.count(" ") != 1), None):
        raise _untold(folder, f"it merges {shown(odd)}, in which there is a space")
    if len(opened.start) > 1:
        raise _untold(folder, f"it puts {len(opened.start)} tokens in front of a text, and engines put one")
    named = {name: opened.id(word) for name, key in _NAMED.items() if (word := _word(settings.get(key)))}
    named |= {"bos": opened.start[0] if opened.start else begin, "eos": end}
    named |= {} if turn is None else {"eot": turn}
    found: dict[str, Value | Array] = {
        f"{_PREFIX}model": Value(Kind.STRING, _MODEL),
        f"{_PREFIX}pre": Value(Kind.STRING, _cut_of(folder, said)),
        f"{_PREFIX}tokens": Array(Kind.STRING, tokens),
        f"{_PREFIX}token_type": Array(Kind.INT32, kinds),
        f"{_PREFIX}merges": Array(Kind.STRING, merges),
        f"{_PREFIX}add_bos_token": Value(Kind.BOOL, bool(opened.start)),
    }
    found |= {f"{_PREFIX}{name}_token_id": Value(Kind.UINT32, i) for name, i in named.items() if i is not None}
    return found | {key: Value(Kind.STRING, template) for key, template in _templates(folder, settings)}


def _tokens(said: Mapping[str, Any], rows: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The token of each row, and its type."""
    names = {i: token for token, i in said["model"]["vocab"].items()}
    kinds = dict.fromkeys(names, _NORMAL)
    for one in said.get("added_tokens") or ():
        names[one["id"]] = one["content"]
        kinds[one["id"]] = _SPECIAL if one.get("special") else _MEANT
        if strips := [flag for flag in ("lstrip", "rstrip", "single_word") if one.get(flag)]:
            warnings.warn(
                Note(f"the token {shown(one['content'])} has {listed(strips)}, of which a GGUF file says nothing"),
                stacklevel=2,
            )
    numbers = range(rows)
    return tuple(names.get(i, f"[PAD{i}]") for i in numbers), tuple(kinds.get(i, _UNUSED) for i in numbers)


def _count(kinds: tuple[int, ...]) -> int:
    """How many tokens there are: the rows at the end that have none are the model's, and not the tokenizer's."""
    count = len(kinds)
    while count and kinds[count - 1] == _UNUSED:
        count -= 1
    return count


def _cut_of(folder: Path, said: Mapping[str, Any]) -> str:
    """The name of the cuts of a tokenizer."""
    model = said["model"]
    if odd := [key for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix") if model.get(key)]:
        raise _untold(folder, f"its merges have {listed(odd)}")
    parts, whole = _parts(said.get("pre_tokenizer"), "pretokenizers"), bool(model.get("ignore_merges"))
    fitting = [name for name, cut in _CUTS.items() if [*map(_bare, cut.parts)] == parts]
    name = next((name for name in fitting if _CUTS[name].ignore_merges == whole), None)
    if name is None:
        why = "engines know it only with the other `ignore_merges`" if fitting else f"it is none of {listed(_CUTS)}"
        raise _untold(folder, f"of the way in which it cuts a text: {why}")
    match _parts(said.get("normalizer"), "normalizers"):
        case []:
            pass
        case [{"type": "NFC"}]:
            if _CUTS[name].normalizer is None:
                what = "texts are brought into the form NFC by the tokenizer and not by engines that read GGUF files"
                warnings.warn(Note(what), stacklevel=2)
        case _:
            raise _untold(folder, "it changes the letters of a text first, which no key says")
    return name


def _parts(said: Any, members: str) -> list[Any]:
    """The parts of a sequence, or the one that there is, without what makes no other tokens."""
    inside = said.get(members, []) if isinstance(said, dict) and said.get("type") == "Sequence" else [said]
    return [_bare(part) for part in inside if part is not None]


def _bare(part: Any) -> Any:
    return {key: value for key, value in part.items() if key != "trim_offsets"} if isinstance(part, Mapping) else part


def _settings(folder: Path) -> Mapping[str, Any]:
    """What stands beside the tokenizer; of one that was learnt here, as a release has it."""
    said = _json(folder / CONFIG)
    return {**said, "pad_token": END_OF_TEXT} if said == LEARNT else {**_json(folder / SPECIAL), **said}


def _templates(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The chat templates: the one that is used, and others by their names."""
    if (folder / TEMPLATE).is_file():
        yield _CHAT, (folder / TEMPLATE).read_text("utf-8")
        return
    given = settings.get("chat_template")
    for one in given if isinstance(given, list) else [{"name": "default", "template": given}]:
        name, template = (one.get("name"), one.get("template")) if isinstance(one, dict) else (None, None)
        if isinstance(template, str) and isinstance(name, str) and name.isidentifier() and name.isascii():
            yield _CHAT if name == "default" else f"{_CHAT}.{name.lower()}", template


def _word(token: Any) -> str:
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


def _json(path: Path) -> dict[str, Any]:
    """A file that was opened as a tokenizer's before."""
    value = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _untold(folder: Path, why: str) -> InputError:
    return InputError(
        "the tokenizer cannot be written as GGUF", where=str(folder / FILE), why=why,
        hint="`--to hf` writes its files as they are",
    )  # fmt: skip


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


def _model(tokens: tuple[str, ...], merges: tuple[str, ...], whole: bool) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": whole,
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [merge.split(" ") for merge in merges],
    }


def _added(id: int, content: str, kind: int) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": id, "content": content, **plain, "special": kind == _SPECIAL}


def template(token: str, id: int) -> dict[str, Any]:
    """The post-processor that puts a token in front of a text."""
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
