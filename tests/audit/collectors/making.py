"""Small models to read, and reading them."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from regrow.auditing.collectors import collect
from regrow.auditing.facts import Collected, Fact

TODAY = "2026-11-21"


def read(path: Path) -> Collected:
    return collect(str(path), today=TODAY, network=False)


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def of(collected: Collected, kind: type[Fact]) -> list[Any]:
    return [fact for fact in collected.facts if type(fact) is kind]


def findings(collected: Collected) -> set[str]:
    return {finding.id for finding in collected.findings}


def safetensors(header: Any, data: bytes = b"", pad: bool = True) -> bytes:
    """A file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    if pad:
        text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def tensors(*sizes: int) -> dict[str, Any]:
    """A sound header for tensors of bytes."""
    entries, begin = {}, 0
    for number, size in enumerate(sizes):
        entries[f"t{number}"] = {"dtype": "U8", "shape": [size], "data_offsets": [begin, begin + size]}
        begin += size
    return entries


def sound(*sizes: int) -> bytes:
    return safetensors(tensors(*sizes), bytes(sum(sizes)))


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, value: Any) -> bytes:
    """A key of a GGUF file."""
    if isinstance(value, bool):
        body = struct.pack("<IB", 7, value)
    elif isinstance(value, int):
        body = struct.pack("<II", 4, value)
    elif isinstance(value, list):
        body = struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    else:
        body = struct.pack("<I", 8) + text(value)
    return text(key) + body


def tensor(name: str, shape: list[int], begin: int, type: int = 0) -> bytes:
    sizes = b"".join(struct.pack("<Q", size) for size in shape)
    return text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", type, begin)


def gguf(pairs: list[bytes], infos: list[bytes], data: int, version: int = 3) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
    return head + bytes(-len(head) % 32) + bytes(data)


def small_gguf(**values: Any) -> bytes:
    """A sound file of two tensors."""
    pairs = [pair(key, value) for key, value in {"general.architecture": "llama", **values}.items()]
    return gguf(pairs, [tensor("a", [8], 0), tensor("b", [32, 1], 32, 2)], 32 + 18)


LOCK = """\
lock = 1
recipe = "{zero}"
arithmetic = 1

[model]
name = "small"
licence = "Apache-2.0"

[[source]]
name = "tales"
fetch = "{fetch}"
select = "**/*"
licence = "CC0-1.0"

[[source.file]]
file = "tales.txt"
sha256 = "{zero}"
size = 100

[[stage]]
name = "documents-tales"
kind = "documents"
version = 1

[stage.parameters]
source = "tales"
availability = "open"
select = ["**/*"]

[[stage]]
name = "split"
kind = "split"
version = 1

[[stage]]
name = "tokenizer"
kind = "tokenizer"
version = 1

[stage.parameters]
vocabulary = 512

[[stage]]
name = "pretrain"
kind = "pretrain"
version = 1

[stage.parameters.architecture]
layers = 2
width = 64
heads = 4
kv_heads = 2
context = 128

[stage.parameters.train]
tokens = 4100
micro_batch = 8
micro_batches_per_step = 2
learning_rate = 0.003

[[stage]]
name = "evaluate"
kind = "evaluate"
version = 1

[outputs]
pretrain = "{zero}"
"""


ARTIFACTS = {
    "documents-tales": "documents",
    "split": "split",
    "tokenizer": "tokenizer",
    "evaluate": "evaluation",
}
"""What the other stages of the lock give."""


def statement(stage: str, *inputs: str, artifact: str = "weights", parameters: Any = None, **internal: Any) -> str:
    """What a release says of a stage; ``internal`` may hold its origin, and what it did about documents."""
    definition = {
        "externalParameters": parameters or {},
        "internalParameters": {"kind": stage, "version": 1, **internal},
        "resolvedDependencies": [{"name": one, "annotations": {"slot": "from", "stage": one}} for one in inputs],
    }
    subject = {"name": stage, "digest": {"sha256": "2" * 64}, "annotations": {"artifact": artifact}}
    return json.dumps({"subject": [subject], "predicate": {"buildDefinition": definition}})


def release(root: Path, fetch: str = "pypi:tales==1.0", origin: str | None = "random") -> Path:
    """Something laid out like a release, with a few bytes of everything."""
    import pyarrow
    import pyarrow.parquet

    write(
        root,
        {
            "README.md": "---\nlicense: apache-2.0\n---\n# small\n\nThis model continues text and is for tests only.\n",
            "LICENSE": "SPDX-License-Identifier: Apache-2.0\n",
            "regrow.toml": "recipe = 1\n",
            "regrow.lock": LOCK.format(zero="0" * 64, fetch=fetch),
            "config.json": '{"model_type": "llama", "max_position_embeddings": 128}',
            "model.safetensors": sound(16),
            "evaluation.json": '{"validation": {}}',
            "samples.json": '[{"prompt": "a"}]',
            "training/chain.jsonl": "{}\n",
            "report.html": "<html>",
            "data/excluded.parquet": b"",
            "provenance/pretrain.intoto.json": statement("pretrain", **({"origin": origin} if origin else {})),
            **{
                f"provenance/{stage}.intoto.json": statement(stage, artifact=artifact, kind=stage.partition("-")[0])
                for stage, artifact in ARTIFACTS.items()
            },
        },
    )
    rows = [
        ("tales", "train", "CC0-1.0", 60),
        ("tales", "train", "CC0-1.0", 30),
        ("tales", "validation", "CC0-1.0", 10),
    ]
    columns = dict(zip(("source", "split", "licence", "bytes"), map(list, zip(*rows, strict=True)), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns), root / "data" / "documents.parquet")
    sum_up(root)
    return root


def sum_up(root: Path) -> None:
    """List the files as a release does."""
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    covered = [path for path in paths if path not in ("SHA256SUMS", "report.html")]
    lines = (f"{hashlib.sha256((root / path).read_bytes()).hexdigest()}  {path}\n" for path in covered)
    (root / "SHA256SUMS").write_text("".join(lines))
