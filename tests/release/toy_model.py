"""A model of a few bytes, made by stages that give the files the real ones give, in milliseconds."""

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from regrow.building.assemble import Contents
from regrow.building.locking import Locked
from regrow.corpus.tokenizer import LEARNT
from regrow.engine import Evaluation, evaluate
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Call, Kind, Parameters, Slot, Surroundings
from regrow.recipe.pin import Pin, Pinned
from regrow.stages import KINDS as REAL
from regrow.store import Store

TEXTS = {
    "play": ["To be, or not to be", "Exit, pursued by a bear", "Words, words, wörds"],
    "song": ["Hey ho, the wind"],
}
RECIPE = b"""recipe = 1
[model]
name = "toy"
licence = "Apache-2.0"
description = "A toy."
[[source]]
name = "play"
fetch = "pypi:toy_Play==0.6"
licence = "CC0-1.0"
availability = "open"
attribution = "The players"
[[source]]
name = "song"
fetch = "file:song.txt"
licence = "MIT"
availability = "public"
"""


class Fetch(Pinned):
    pass


class Train(Parameters):
    seed: int = 1
    learning_rate: float = 0.002


class Nothing(Parameters):
    pass


def fetch(call: Call) -> None:
    (call.output / "text.txt").write_bytes("\n".join(TEXTS[call.name.removeprefix("fetch-")]).encode())


def split(call: Call) -> None:
    rows = []
    for source, texts in TEXTS.items():
        for i, text in enumerate(texts):
            rows.append(
                {
                    "id": hashlib.sha256(f"{source}\0{i}\0{text}".encode()).hexdigest(),
                    "source": source,
                    "licence": "CC0-1.0",
                    "availability": "open",
                    "file": f"{source}.txt",
                    "start": 10 * i,
                    "end": 10 * i + len(text.encode()),
                    "sha256": hashlib.sha256(text.encode()).hexdigest(),
                    "text": text,
                }
            )
    pq.write_table(pa.Table.from_pylist(rows[:-2] + rows[-1:]), call.output / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[-2:-1]), call.output / "validation.parquet")
    dropped = {"id": "0" * 64, "source": "play", "locator": "play.txt 90-95", "stage": "clean", "characters": 5}
    rows = [{**dropped, "reason": "too-short", "detail": "5 < 10"}, {**dropped, "reason": "duplicate", "detail": None}]
    pq.write_table(pa.Table.from_pylist(rows), call.output / "excluded.parquet")


def tokenizer(call: Call) -> None:
    said = {
        "tokenizer.json": {"added_tokens": [{"id": 3, "content": "<|endoftext|>"}], "post_processor": None},
        "tokenizer_config.json": dict(LEARNT),
    }
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (call.output / name).write_text(json.dumps(said.get(name, {})))


def tokenize(call: Call) -> None:
    (call.output / "train.bin").write_bytes(b"\0\1\0\2")
    pq.write_table(pa.table({"id": ["a"], "start": [0], "end": [2]}), call.output / "train.documents.parquet")


def pretrain(call: Call) -> None:
    values = (call.parameters.seed).to_bytes(8, "little") * 3
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    (call.output / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + values)
    config = {"num_hidden_layers": 1, "hidden_size": 3, "num_attention_heads": 1, "vocab_size": 4}
    (call.output / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8}))
    (call.output / "generation_config.json").write_text("{}")
    (call.output / "chain.jsonl").write_text('{"step":2,"state":"aa","chain":"bb"}\n')
    (call.output / "losses.jsonl").write_text('{"step":1,"loss":8.0}\n{"step":2,"loss":4.0}\n{"step":3,"loss":3.5}\n')
    (call.output / "state.json").write_text("{}")


def judge(call: Call) -> None:
    (call.output / "evaluation.json").write_text(
        '{"validation":{"bits_per_byte":2.5,"loss":3.75},"unigram":{"bits_per_byte":4.0}}'
    )
    (call.output / "samples.json").write_text('[{"prompt":"To be","text":" or </script> not"}]')


def _kind(name: str, *rest: Any, **more: Any) -> Kind[Any]:
    """A kind whose files are released, and whose doings are told, as those of the real one."""
    real = REAL[name]
    return Kind(name, *rest, released=real.released, origin=real.origin, on_documents=real.on_documents, **more)


KINDS = {
    "fetch": Kind("fetch", 1, Fetch, {}, "files", fetch),
    "split": _kind("split", 1, Nothing, {"files": Slot("files", many=True)}, "split", split),
    "tokenizer": _kind("tokenizer", 1, Nothing, {"split": Slot("split")}, "tokenizer", tokenizer),
    "tokenize": _kind(
        "tokenize", 1, Nothing, {"split": Slot("split"), "tokenizer": Slot("tokenizer")}, "tokens", tokenize
    ),
    "pretrain": _kind("pretrain", 2, Train, {"tokens": Slot("tokens")}, "weights", pretrain, exact=True),
    "evaluate": _kind("evaluate", 1, Nothing, {"weights": Slot("weights")}, "evaluation", judge),
}


def graph(seed: int = 1) -> Graph:
    play = Fetch(fetch="pypi:toy_Play==0.6", pins=(Pin("play.txt", "ab" * 32, 3),))
    return Graph(
        (
            Stage("fetch-play", KINDS["fetch"], play, {}),
            Stage("fetch-song", KINDS["fetch"], Fetch(fetch="file:song.txt"), {}),
            Stage("split", KINDS["split"], Nothing(), {"files": ("fetch-play", "fetch-song")}),
            Stage("tokenizer", KINDS["tokenizer"], Nothing(), {"split": ("split",)}),
            Stage("tokenize", KINDS["tokenize"], Nothing(), {"split": ("split",), "tokenizer": ("tokenizer",)}),
            Stage("pretrain", KINDS["pretrain"], Train(seed=seed), {"tokens": ("tokenize",)}),
            Stage("evaluate", KINDS["evaluate"], Nothing(), {"weights": ("pretrain",)}),
        )
    )


def evaluated(store: Store, seed: int = 1) -> Evaluation:
    return evaluate(graph(seed), store, scope="toy", listener=lambda _: None, stop=threading.Event())


def contents(root: Path, seed: int = 1, **changes: object) -> Contents:
    store = Store(root)
    made = evaluated(store, seed)
    fields = {
        "graph": graph(seed),
        "evaluation": made,
        "recipe": RECIPE,
        "lock": "arithmetic = 1\n",
        "licence": b"Apache\n",
        "paper": None,
        "buildinfo": {"buildinfo/build.json": '{"started": "then"}'},
        **changes,
    }
    KEPT_OPEN.append(store)
    return Contents(**fields)  # type: ignore[arg-type]


KEPT_OPEN: list[Store] = []


def lock_file(folder: Path, outputs: Mapping[str, str], release: str | None) -> str:
    recipe = hashlib.sha256((folder / "regrow.toml").read_bytes()).hexdigest()
    return json.dumps({"recipe": recipe, "outputs": dict(outputs), "release": release}, indent=1)


def locked(folder: Path, seed: int = 1) -> Locked:
    """A stand-in for the real lock: as much of it as a build or a verification needs."""
    there = json.loads((folder / "regrow.lock").read_text()) if (folder / "regrow.lock").exists() else {}
    return Locked(
        folder=folder,
        recipe=(folder / "regrow.toml").read_bytes(),
        model="toy",
        licence="Apache-2.0",
        graph=graph(seed),
        surroundings=Surroundings(),
        promised=there.get("outputs", {}),
        promised_release=there.get("release"),
        text=lambda outputs, release: lock_file(folder, outputs, release),
    )


def reasons(folder: Path) -> tuple[str, ...]:
    there = json.loads((folder / "regrow.lock").read_text())
    same = there["recipe"] == hashlib.sha256((folder / "regrow.toml").read_bytes()).hexdigest()
    return () if same else ("the recipe has changed",)
