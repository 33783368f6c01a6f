"""No home in anything that is written. python -m pytest tests/audit/test_homes.py"""

import json
from pathlib import Path

import pytest

from regrow.auditing.audit import Options, audit
from regrow.auditing.homes import without_homes
from regrow.building import rebuilds
from regrow.cli.audit import FORMATS, writer
from regrow.errors import RecipeError
from tests.audit.collectors.making import TODAY, release, sound, write

CARD = """---
license: apache-2.0
base_model: {home}/models/base
language: [en, no]
---
# Tuned

This model is a fine-tuned version of [{home}/models/base]({home}/models/base) on {home}/data/chats.jsonl.
All of the code is open source, see {home}/code.
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user, in which everything lies."""
    home = tmp_path / "ann"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CACHE_HOME", "REGROW_STORE", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return home


def adapter(home: Path, maker: str) -> Path:
    told = {"peft_type": "LORA", "base_model_name_or_path": f"{maker}/models/base"}
    return write(
        home / "models" / "tuned",
        {
            "README.md": CARD.format(home=maker),
            "adapter_config.json": json.dumps(told),
            "config.json": json.dumps({"model_type": "llama", "_name_or_path": f"{maker}/models/base"}),
            "tokenizer_config.json": json.dumps({"name_or_path": f"{maker}/models/base"}),
            "adapter_model.safetensors": sound(16),
        },
    )


@pytest.mark.parametrize("form", (*FORMATS, "full"))
@pytest.mark.parametrize("maker", ["own", "/home/bob", "/Users/bob", "/root", "C:\\Users\\bob"])
def test_no_format_of_an_audit_tells_a_home(home: Path, form: str, maker: str) -> None:
    maker = str(home) if maker == "own" else maker
    folder = adapter(home, maker)
    write(home, {"base/README.md": "---\nlicense: mit\n---\n", "base/model.safetensors": sound(8)})
    (home / "claims.toml").write_text('claims = 1\n[[claim]]\ntopic = "data"\ntext = "All of it is open."\n')
    (home / "policy.toml").write_text('policy = 1\nosaid = "met"\n')
    options = Options(
        TODAY,
        parents={f"{maker}/models/base": home / "base"},
        claims=home / "claims.toml",
        policy=home / "policy.toml",
    )
    found = audit(str(folder), options)
    try:
        shown = writer(form, folder, None)(found)
    except RecipeError as error:
        assert form == "croissant" and maker not in f"{error.what}{error.why}{error.hint}"
        return
    assert str(home) not in shown and maker not in shown and maker.replace("\\", "\\\\") not in shown


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("store", ["usual", "elsewhere"])
def test_no_format_of_a_release_tells_a_home(
    home: Path, form: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store == "elsewhere":
        monkeypatch.setenv("REGROW_STORE", str(tmp_path / "store"))
    folder = release(home / "build" / "small")
    digest = audit(str(folder), Options(TODAY)).version
    rebuilds.note(digest, "regrow verify")
    found = audit(str(folder), Options(TODAY))
    assert "rebuilt" in next(one.level for one in found.definitions if one.id == "ladder")
    try:
        assert str(tmp_path) not in writer(form, folder, None)(found)
    except RecipeError:
        assert form in ("croissant", "cyclonedx", "spdx", "eu-summary"), "the release of the tests is a sketch"


@pytest.mark.parametrize("named", ["/home/bob/models/base", "./models/base"])
def test_an_ancestor_is_found_by_its_path_and_by_what_is_shown_of_it(home: Path, named: str) -> None:
    folder = adapter(home, "/home/bob")
    write(home, {"base/README.md": "---\nlicense: cc-by-nc-4.0\n---\n", "base/model.safetensors": sound(8)})
    found = audit(str(folder), Options(TODAY, parents={named: home / "base"}))
    assert [node.id for node in found.lineage.nodes[1:]] == ["./models/base"]
    assert "cc-by-nc-4.0" in {duty.licence for duty in found.duties}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("from /home/bob/models/base", "from ./models/base"),
        ("file:///home/bob/x", "file://./x"),
        ("/home/bob", "."),
        ("/home/bobby/x", "./x"),
        ("/rootless/x and /data/root/x", "/rootless/x and /data/root/x"),
        ("https://example.org/home/page", "https://example.org/home/page"),
        ("~/models", "~/models"),
        ("D:\\Users\\Bob\\base", ".\\base"),
    ],
)
def test_a_path_begins_where_a_home_ends(said: str, shown: str) -> None:
    assert without_homes((said, {"a": [said]})) == (shown, {"a": [shown]})


def test_a_home_that_is_the_root_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/")
    assert without_homes("/models/base of a/b") == "/models/base of a/b"
