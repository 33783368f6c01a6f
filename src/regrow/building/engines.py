"""What other engines read beside the weights, so that a text begins for them as it begins here.

Training has no use for it: its tokens are the letters of documents and what stands between them. Whoever continues a
text, `regrow chat` and `evaluate` among them, puts the token in front that begins every text. Others do what these
files say.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from regrow.corpus.tokenizer import END_OF_TEXT, LEARNT
from regrow.release import Release
from regrow.release.files import Files, read_json
from regrow.release.layout import GENERATION, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS, WEIGHTS_INDEX
from regrow.store import sha256_bytes

EQUIPPED = (TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, GENERATION)
"""The names of the files that are changed for other engines."""

_OF_ALL = {"top_k": 0}
"""From how many tokens to choose: from all of them, where transformers takes the likeliest 50 of what says nothing. To
what does not sample it must not be said: transformers then refuses to write the file.
"""

_NO_END = int(1e30)
"""What transformers writes for a length without a limit."""


def equip(folder: Path) -> None:
    """Let a release be read as we read it.

    Its tokenizer, if it is one of ours, begins each text as ours does and lies beside all weights that are in it.
    Another's comes along as it is. Where texts are sampled, it is said from how many tokens, unless a base said so.
    """
    release = Release.at(folder)
    files = release.files
    same = _tokenizer(release)
    for place in (Path(path).parent for path in sorted(files.paths()) if Path(path).name in (WEIGHTS, WEIGHTS_INDEX)):
        said = _read(files, (place / GENERATION).as_posix())
        padding = {"pad_token_id": _begin(_read(files, TOKENIZER))} if same else {}
        generation = _sorted({**(_OF_ALL if said.get("do_sample") is True else {}), **said, **padding})
        changed = {GENERATION: generation} if generation != said else {}
        for name, value in {**same, **changed}.items():
            text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
            (folder / place / name).write_text(text, "utf-8", newline="\n")


def _tokenizer(release: Release) -> Mapping[str, Any]:
    """The files of a tokenizer of ours, as other engines want them; none if it is another's."""
    said, settings = _read(release.files, TOKENIZER), _read(release.files, TOKENIZER_CONFIG)
    begin = _begin(said)
    if begin is None or settings != LEARNT:
        return {}
    context = release.facts.get("context", _NO_END)
    return {
        TOKENIZER: {**said, "post_processor": _template(begin)},
        TOKENIZER_CONFIG: _sorted({**settings, **_settings(context)}),
        SPECIAL_TOKENS: _sorted({**_read(release.files, SPECIAL_TOKENS), "pad_token": END_OF_TEXT}),
    }


def _begin(tokenizer: Mapping[str, Any]) -> int | None:
    return next((one["id"] for one in tokenizer.get("added_tokens", ()) if one["content"] == END_OF_TEXT), None)


def unequipped(name: str, data: bytes, sha256: str) -> bytes | None:
    """What a file was before :func:`equip` changed it, by the hash of what it was; None if it was something else.

    Args:
        name: of the file.
        data: what it is now.
        sha256: of what it was.

    Raises:
        ValueError: if it is none that :func:`equip` writes.
    """
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("it is no table")
    return next((one for one in _before(name, value) if sha256_bytes(one) == sha256), None)


def _before(name: str, value: Mapping[str, Any]) -> Iterator[bytes]:
    """All that a file may have been."""
    if name == TOKENIZER:
        yield json.dumps({**value, "post_processor": None}, indent=2, ensure_ascii=False).encode()
        return
    added: Mapping[str, tuple[Collection[str], ...]] = {
        TOKENIZER_CONFIG: ({*value} - {*LEARNT},),
        SPECIAL_TOKENS: ({"pad_token"},),
        GENERATION: ({"pad_token_id", *_OF_ALL}, {"pad_token_id"}, _OF_ALL),  # a base may have said either
    }
    for keys in added.get(name, ()):
        before = {key: one for key, one in value.items() if key not in keys}
        yield json.dumps(before, indent=2, sort_keys=True).encode() + b"\n"


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
