"""What the tools that make models leave beside them: config.json, PEFT's, mergekit's and the tokenizer's files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from regrow.auditing import names
from regrow.auditing.collectors.folder import Folder, Statement, Text, printable
from regrow.auditing.collectors.structured import mapping, read_json, read_yaml, strings
from regrow.auditing.facts import (
    ArchitectureFact,
    Basis,
    Component,
    ComponentFact,
    Evidence,
    Finding,
    ParentFact,
    Relation,
    Severity,
    State,
)

NAME = "config"
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "max_sequence_length", "seq_length")
_MODALITIES = {"vocab_size": "text", "vision_config": "image", "audio_config": "audio", "video_config": "video"}
_MERGED = ("model", "base_model", "source_model", "lora")
_MOST_PARENTS = 100
_DEEPEST = 16


def collect(folder: Folder) -> Iterator[Statement]:
    """What the files say; those in subfolders belong to something else."""
    readers = {
        "config.json": _config,
        "adapter_config.json": _adapter,
        "mergekit_config.yml": _merge,
        "mergekit_config.yaml": _merge,
        "mergekit_moe_config.yml": _merge,
        "mergekit_moe_config.yaml": _merge,
        "tokenizer_config.json": _tokenizer,
    }
    yield from folder.texts(filter(folder.has, readers), NAME, lambda text: readers[text.path](text))


def _config(text: Text) -> Iterator[Statement]:
    data = read_json(text.text)
    yield from data.findings(text, "config-unreadable")
    config = data.value
    family = next(iter(strings(config.get("model_type"))), "")
    if family or strings(config.get("architectures")):
        inner = {**mapping(config.get("text_config")), **config}
        context = next((inner[key] for key in _CONTEXT if type(inner.get(key)) is int and inner[key] > 0), None)
        modalities = tuple(sorted({name for key, name in _MODALITIES.items() if key in inner}))
        key = "model_type" if family else "architectures"
        yield from _architecture(text, key, family, inner, modalities=modalities, context=context)
    for key in ("_name_or_path", "_model_name_or_path"):
        yield from _named(config.get(key), text.at(f"key {key}"))
    yield from _quantised(mapping(config.get("quantization_config")), text.at("key quantization_config"))
    if "auto_map" in config:
        yield _custom(config["auto_map"], text)


def _architecture(text: Text, key: str, family: str, fields: Mapping[str, Any], **more: Any) -> Iterator[Statement]:
    """The architecture that a configuration names; it is there if there is a number beside the name."""
    shaped = any(type(value) in (int, float) for value in fields.values())
    basis = Basis.FOUND if shaped else Basis.DECLARED
    yield ArchitectureFact(basis, text.at(f"key {key}"), printable(family, 60), **more)
    if shaped:
        yield ComponentFact(Basis.FOUND, text.at(), Component.ARCHITECTURE, State.PRESENT, text.path)


def _named(value: Any, at: Evidence) -> Iterator[Statement]:
    """The model a configuration was loaded from: another model, this one under its own name, or a folder."""
    if isinstance(value, str) and (parent := _id(value)):
        yield ParentFact(Basis.DECLARED, at, parent, Relation.UNKNOWN)


def _id(text: str) -> str:
    """The id of a model on the hub; a single word may as well be a folder of whoever used the tool."""
    return names.model(text) if "/" in text and not names.is_path(text) else ""


def _quantised(config: Mapping[str, Any], at: Evidence) -> Iterator[Statement]:
    if method := next(iter(strings(config.get("quant_method"))), ""):
        said = f"config.json says the weights are quantised by {printable(method, 60)}"
        yield Finding("quantised", Severity.NOTE, said, (at,))


def _custom(value: Any, text: Text) -> Finding:
    elsewhere = sorted(item for item in strings(list(mapping(value).values())) if "--" in item)
    where = f", from {printable(elsewhere[0].partition('--')[0])}" if elsewhere else ""
    said = f"{text.path} asks to run Python code that comes with the model{where}; read it before you load the model"
    return Finding("custom-code", Severity.WARNING, said, (text.at("key auto_map"),))


def _adapter(text: Text) -> Iterator[Statement]:
    data = read_json(text.text)
    yield from data.findings(text, "config-unreadable")
    at = text.at("key base_model_name_or_path")
    for name in strings(data.value.get("base_model_name_or_path"))[:1]:
        revision = next(iter(strings(data.value.get("revision"))), "")
        yield ParentFact(Basis.FOUND, at, _id(name) or printable(name), Relation.ADAPTER, printable(revision, 60))
    if kind := next(iter(strings(data.value.get("peft_type"))), ""):
        yield from _architecture(text, "peft_type", kind.lower(), data.value)


def _merge(text: Text) -> Iterator[Statement]:
    data = read_yaml(text.text)
    yield from data.findings(text, "config-unreadable")
    seen: set[str] = set()
    for key, name in _merged(data.value):
        parent = _id(name) or printable(name)
        if parent not in seen and len(seen) < _MOST_PARENTS:
            seen.add(parent)
            line = data.lines.get(key)
            at = text.line(line) if line else text.at(f"key {key}")
            yield ParentFact(Basis.FOUND, at, parent, Relation.MERGE, names.revision(name))


def _merged(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The models of a merge, wherever its configuration names them, with the top-level key they stand under."""
    pending = [(str(key), str(key), item, 0) for key, item in reversed(list(value.items()))]
    while pending:
        top, key, item, depth = pending.pop()
        if isinstance(item, str):
            if key in _MERGED:
                yield from ((top, part.strip()) for part in item.split("+") if part.strip())  # base+adapter
        elif isinstance(item, dict) and depth < _DEEPEST:
            if key in _MERGED and strings(item.get("path")):  # {model: {path, revision}, lora: {path, revision}}
                yield top, _written(item)
            pending += [(top, str(name), part, depth + 1) for name, part in reversed(list(item.items()))]
        elif isinstance(item, list) and depth < _DEEPEST:
            pending += [(top, key, part, depth + 1) for part in reversed(item)]


def _written(model: Mapping[str, Any]) -> str:
    path, revision = str(model.get("path", "")), str(model.get("revision", ""))
    return f"{path}@{revision}" if revision and revision != "null" else path


def _tokenizer(text: Text) -> Iterator[Statement]:
    data = read_json(text.text)
    yield from data.findings(text, "config-unreadable")
    name = next(iter(strings(data.value.get("name_or_path"))), "")
    if name and not names.is_path(name) and names.is_id(name):
        said = f"the tokenizer says it comes from {printable(name, 100)}"
        yield Finding("tokenizer-from", Severity.NOTE, said, (text.at("key name_or_path"),))
    if "auto_map" in data.value:
        yield _custom(data.value["auto_map"], text)
