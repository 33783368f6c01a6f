"""Adapters beside one model, each asked for by its name. python -m pytest tests/serve/test_http_adapters.py"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from regrow.cli.root import cli as root
from regrow.errors import RecipeError
from regrow.release import Release
from regrow.serve.generate import Generator
from regrow.serve.http.app import application
from regrow.serve.http.served import Served
from tests.serve import servers
from tests.serve.test_loading import ADAPTERS, adapter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.release(tmp_path_factory.mktemp("serve") / "babble")


@pytest.fixture(scope="module")
def places(folder: Path) -> dict[str, Path]:
    kinds = ("lora", "dora")
    return {name: adapter(folder.parent / name, folder, ADAPTERS[name], seed) for seed, name in enumerate(kinds)}


@pytest.fixture(scope="module")
def client(folder: Path, places: dict[str, Path]) -> Iterator[TestClient]:
    serves = Served.load(folder, adapters=places)
    yield TestClient(application(serves), "http://localhost")
    serves.close()


def ask(client: TestClient, **fields: Any) -> Any:
    answer = client.post("/v1/completions", json={"prompt": "Say it", "max_tokens": 15, "temperature": 0.8, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_name_is_answered_by_its_own_model(client: TestClient, folder: Path, places: dict[str, Path]) -> None:
    generator = Generator.load(folder, places)
    texts = {}
    for name, known in (("babble", ""), ("lora", "lora"), ("dora", "dora")):
        made = ask(client, model=name, seed=4)
        texts[name] = made["choices"][0]["text"]
        assert made["model"] == name
        assert texts[name] == "".join(generator.generate("Say it", 15, top=0, seed=4, adapter=known))
    assert len(set(texts.values())) == 3
    assert ask(client, seed=4)["choices"][0]["text"] == texts["babble"]


def test_an_answer_names_release_and_adapter(client: TestClient, folder: Path, places: dict[str, Path]) -> None:
    [model, *beside] = client.get("/v1/models").json()["data"]
    assert [one["parent"] for one in (model, *beside)] == [None, "babble", "babble"]
    for one in beside:
        names = sorted(path.name for path in places[one["id"]].iterdir())
        lines = [f"{hashlib.sha256((places[one['id']] / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
        digest = hashlib.sha256("".join(lines).encode()).hexdigest()
        made = ask(client, model=f"{one['id']}@{digest}")
        assert made["regrow"]["adapter"] == f"sha256:{digest}"
        assert made["regrow"]["release"] == f"sha256:{Release.open(folder).digest}"
        assert digest in made["system_fingerprint"] and Release.open(folder).digest in made["system_fingerprint"]
        assert made["system_fingerprint"] != model["regrow"]["system_fingerprint"]
    assert "adapter" not in ask(client)["regrow"]
    assert client.get("/v1/models/lora@0").status_code == client.get("/v1/models/other").status_code == 404


def test_an_adapter_has_a_name_of_its_own(folder: Path, places: dict[str, Path]) -> None:
    with pytest.raises(RecipeError, match="an adapter cannot be called `babble`"):
        Served.load(folder, adapters={"babble": places["lora"]})
    for said in ("lora", "=x", "a=", "a b=x", "a@b=x"):
        result = CliRunner().invoke(root, ["serve", str(folder), "--port", "0", "--adapter", said])
        assert result.exit_code == RecipeError.exit_code and "is no NAME=FOLDER" in result.output
