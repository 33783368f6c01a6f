"""What other engines read beside the weights, so that a text begins for them as it begins here.

Training has no use for it: its tokens are the letters of documents and what stands between them. Whoever continues a
text, `regrow chat` and `evaluate` among them, puts the token in front that begins every text. Others do what these
files say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regrow.corpus.tokenizer import END_OF_TEXT, LEARNT
from regrow.release import Release
from regrow.release.files import Files, read_json
from regrow.release.layout import GENERATION, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS, WEIGHTS_INDEX

EQUIPPED = (TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, GENERATION)
"""The names of the files that are changed for other engines."""

_OF_ALL = {"top_k": 0}
"""From how many tokens to choose: from all of them, where transformers takes the likeliest 50 of what says nothing."""

_NO_END = int(1e30)
"""What transformers writes for a length without a limit."""


def equip(folder: Path) -> None:
    """Let the tokenizer in a release begin each text as ours does, and lie beside all weights that are in it."""
    release = Release.at(folder)
    files = release.files
    said = _read(files, TOKENIZER)
    begin = next((one["id"] for one in said.get("added_tokens", ()) if one["content"] == END_OF_TEXT), None)
    if begin is None or _read(files, TOKENIZER_CONFIG) != LEARNT:
        return  # it is another's, and comes along as it is
    context = release.facts.get("context", _NO_END)
    same = {
        TOKENIZER: {**said, "post_processor": _template(begin)},
        TOKENIZER_CONFIG: _sorted({**_read(files, TOKENIZER_CONFIG), **_settings(context)}),
        SPECIAL_TOKENS: _sorted({**_read(files, SPECIAL_TOKENS), "pad_token": END_OF_TEXT}),
    }
    for place in (Path(path).parent for path in sorted(files.paths()) if Path(path).name in (WEIGHTS, WEIGHTS_INDEX)):
        generation = _sorted({**_OF_ALL, **_read(files, (place / GENERATION).as_posix()), "pad_token_id": begin})
        for name, value in {**same, GENERATION: generation}.items():
            text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
            (folder / place / name).write_text(text, "utf-8", newline="\n")


def unequipped(name: str, data: bytes) -> bytes:
    """What a file may have been before :func:`equip` changed it; whoever asks knows the hash of what it was.

    Args:
        name: of the file.
        data: what it is now.

    Raises:
        ValueError: if it is none that :func:`equip` writes.
    """
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("it is no table")
    if name == TOKENIZER:
        return json.dumps({**value, "post_processor": None}, indent=2, ensure_ascii=False).encode()
    added = {
        TOKENIZER_CONFIG: {*value} - {*LEARNT},
        SPECIAL_TOKENS: {"pad_token"},
        GENERATION: {"pad_token_id", *_OF_ALL},
    }
    before = {key: one for key, one in value.items() if key not in added.get(name, ())}
    return json.dumps(before, indent=2, sort_keys=True).encode() + b"\n"


def _template(begin: int) -> Mapping[str, Any]:
    """The post-processor of a tokenizer that puts a token in front of a text, or of a pair of them."""
    first = {"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}
    one, other = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [first, one],
        "pair": [first, one, other],
        "special_tokens": {END_OF_TEXT: {"id": END_OF_TEXT, "ids": [begin], "tokens": [END_OF_TEXT]}},
    }


def _settings(context: int) -> Mapping[str, Any]:
    """What transformers wants to know: padding is in front, where a text that is continued does not end."""
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": context,
        "pad_token": END_OF_TEXT,
        "padding_side": "left",
    }


def _read(files: Files, path: str) -> dict[str, Any]:
    value = read_json(files, path)
    return value if isinstance(value, dict) else {}


def _sorted(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(value.items()))
