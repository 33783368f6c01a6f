"""Models that are no releases are asked as releases are, and nothing is said of them that nobody knows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from regrow.cli.root import cli
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError
from regrow.evaluating.alone import Alone
from regrow.evaluating.forms import Form
from regrow.exporting.gguf import prepared
from regrow.model.sampling import Sampling
from regrow.model.usual import stops
from regrow.recipe.facts import Facts
from regrow.release.layout import SUMS
from regrow.serve.generate import Generator
from regrow.serve.http.app import application
from regrow.serve.http.served import Served
from regrow.serve.origin import READ, Origin
from regrow.serve.page.places import Places
from regrow.serve.page.routes import Page, routes
from regrow.serve.page.shown import Shown
from regrow.testing.subject import subject
from tests.exporting.models import folder as model_folder
from tests.serve import servers

ASKED: dict[str, Any] = {"prompt": "Say it", "max_tokens": 12, "seed": 5}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return servers.release(tmp_path_factory.mktemp("origin") / "babble", temperature=1.3, top_p=0.9)


@pytest.fixture(scope="module")
def bare(release: Path) -> Path:
    """The model of the release as a folder of files."""
    folder = release.parent / "files"
    folder.mkdir()
    for name in READ:
        if (release / name).is_file():
            shutil.copyfile(release / name, folder / name)
    return folder


def served(place: Path) -> tuple[Served, TestClient]:
    one = Served.load(place)
    return one, TestClient(application(one, beside=routes(Page(one, Places(one.release)))), "http://localhost")


def test_a_folder_that_is_no_release_is_served_as_what_it_is(release: Path, bare: Path) -> None:
    names = sorted(path.name for path in bare.iterdir())
    lines = [f"{hashlib.sha256((bare / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    one, client = served(bare)
    other, known = served(release)
    answer, of_release = (asks.post("/v1/completions", json=ASKED).json() for asks in (client, known))
    assert answer["choices"] == of_release["choices"]
    assert answer["regrow"]["files"] == f"sha256:{digest}" and "release" not in answer["regrow"]
    assert answer["system_fingerprint"].startswith(f"sha256:{digest}+")
    assert client.get("/v1/models").json()["data"][0]["regrow"]["files"] == f"sha256:{digest}"
    said = client.get("/regrow/release").json()
    assert said["standing"]["words"] == "Not a release" and not said["licence"] and not said["sources"]
    assert "Not a release." in (page := client.get("/").text) and "Release digest" not in page
    assert known.get("/regrow/release").json()["standing"]["words"] == "Not verified here"
    refused = client.post("/regrow/trace", json={"text": "Say it now"})
    assert refused.status_code == 404 and "not a release" in refused.json()["error"]["message"]
    for each in (one, other):
        each.close()


def test_a_gguf_file_is_named_by_its_bytes(tmp_path: Path) -> None:
    base, file = model_folder(tmp_path / "base"), tmp_path / "files" / "small.gguf"
    file.parent.mkdir()
    with file.open("xb") as opened:
        prepared(base, base, "F16", Facts(), context=None).write(opened)
    one, client = served(file)
    answer = client.post("/v1/completions", json={**ASKED, "temperature": 0}).json()
    one.close()
    assert answer["model"] == "small"
    assert answer["regrow"]["files"] == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert Origin.of(file.parent).place == file
    asked = ["chat", str(file), "Say it", "--max-tokens", "12", "--temperature", "0"]
    assert CliRunner().invoke(cli, asked).stdout == f"Say it{answer['choices'][0]['text']}\n"


def test_a_file_that_is_not_there_is_told_with_one_that_is(tmp_path: Path) -> None:
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    for name, hint in (
        ("smal.gguf", f"did you mean `{tmp_path / 'small.gguf'}`?"),
        ("files/x.gguf", "look at the spelling"),
    ):
        with pytest.raises(InputError, match="there is no such file") as caught:
            Origin.of(tmp_path / name)
        assert (caught.value.where, caught.value.hint) == (str(tmp_path / name), hint)


@pytest.mark.parametrize("command", ["chat", "serve", "eval"])
def test_what_is_no_model_is_said_to_be_none(tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF and no more")
    for name in ("empty", "notes.txt", "bad.gguf", "nowhere"):
        more = {"chat": ["x"], "serve": ["--port", "0"], "eval": []}[command]
        result = CliRunner().invoke(cli, [command, str(tmp_path / name), *more])
        assert result.exit_code == 6 and str(tmp_path / name) in result.stderr, (result.output, result.exception)


def test_a_chat_refuses_what_is_too_long_and_reads_its_end_if_told_to(release: Path) -> None:
    asked = ["chat", str(release), "say it " * 96, "--max-tokens", "2", "--continue"]
    refused, written = CliRunner().invoke(cli, asked), CliRunner().invoke(cli, [*asked, "--truncate"])
    assert refused.exit_code == 2 and "the prompt is too long" in refused.stderr and not refused.stdout
    assert "--truncate" in refused.stderr
    assert written.exit_code == 0, written.stderr


@pytest.mark.parametrize("name", sorted(set(READ) - {"model.safetensors.index.json"}))
def test_nothing_that_changes_an_answer_can_change_under_the_digest(release: Path, tmp_path: Path, name: str) -> None:
    for path in release.iterdir():
        os.link(path, tmp_path / path.name)
    kept = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match="a file of the release is missing"):
        Generator.load(tmp_path)
    (tmp_path / name).write_bytes(kept + b" ")
    with pytest.raises(InputError, match="not the file that was released"):
        Generator.load(tmp_path)
    (tmp_path / name).write_bytes(kept)
    lines = (tmp_path / SUMS).read_text().splitlines(keepends=True)
    (tmp_path / SUMS).unlink()
    (tmp_path / SUMS).write_text("".join(line for line in lines if not line.endswith(f"  {name}\n")))
    with pytest.raises(InputError, match="does not list it"):
        Generator.load(tmp_path)


def test_all_who_ask_without_wishes_get_the_same(release: Path) -> None:
    """The server, the library and the command follow the release where nobody says how tokens are chosen."""
    one, client = served(release)
    answer = client.post("/v1/completions", json=ASKED).json()
    one.close()
    assert answer["regrow"]["sampling"] | {"temperature": 1.3, "top_p": 0.9} == answer["regrow"]["sampling"]
    text = "".join(Generator.load(release).generate("Say it", 12, seed=5))
    assert text == answer["choices"][0]["text"]
    asked = ["chat", str(release), "Say it", "--continue", "--max-tokens", "12", "--seed", "5", "--json"]
    said = json.loads(CliRunner().invoke(cli, asked).stdout)
    assert (said["text"], said["temperature"], said["top_p"], said["top_k"]) == (text, 1.3, 0.9, 0)


def test_all_who_ask_without_wishes_end_where_the_release_does(tmp_path: Path) -> None:
    """What a text ends before stands in `generation_config.json`; a build that scores ends there too."""
    plain = "".join(Generator.load(servers.release(tmp_path / "plain")).generate("Say it", 12, seed=5))
    stop = plain[len(plain) // 2 :][:2]
    folder = servers.release(tmp_path / "babble", stop_strings=[stop])
    one, client = served(folder)
    answer = client.post("/v1/completions", json=ASKED).json()
    other = client.post("/v1/completions", json=ASKED | {"stop": []}).json()
    one.close()
    before, _, after = plain.partition(stop)
    assert answer["regrow"]["stop"] == [stop] and answer["choices"][0]["text"] == before and after
    assert other["regrow"]["stop"] == [] and other["choices"][0]["text"] == plain
    assert "".join(Generator.load(folder).generate("Say it", 12, seed=5)) == before
    tokenizer = Tokenizer.open(folder)
    alone = Alone.load(folder, tokenizer)
    with subject(folder) as who:
        forms = (who.form(), Form(tokenizer, alone.room, stops=stops(alone.usual)))
        sampling = Sampling(temperature=0.8, top=0, seed=5)
        writings = [form.writing("Say it", 12, (), "here", sampling) for form in forms]
        assert [next(one.written([writing])).text for one in (who.answering, alone) for writing in writings] == 4 * [
            before
        ]
        named = who.form().writing("Say it", 12, ("\0",), "here", sampling)
        assert next(who.answering.written([named])).text == plain


def test_the_page_knows_its_adapters(release: Path, bare: Path) -> None:
    from tests.serve.test_loading import ADAPTERS, adapter

    place = adapter(release.parent / "lora", bare, ADAPTERS["lora"], 1)
    one = Served.load(bare, adapters={"mine": place})
    told = Shown.of(one).to_json()
    one.close()
    assert told["adapters"] == {"mine": one.writers[1].fingerprint}
