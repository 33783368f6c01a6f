"""``regrow audit`` as a user types it. python -m pytest tests/cli/test_audit.py"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regrow.cli.audit import FORMATS
from regrow.store.digest import sha256_file
from tests.audit.collectors.making import release, sound, write

from .conftest import Shell

DAY = {"SOURCE_DATE_EPOCH": "1763683200"}
TUNED = "---\nlicense: apache-2.0\nbase_model: meta-llama/Llama-3.1-8B\n---\n# Tuned\n"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    write(tmp_path / "tuned", {"README.md": TUNED, "config.json": "{}", "model.safetensors": sound(16)})
    release(tmp_path / "ours")
    return Shell(tmp_path, tmp_path / "store")


def test_the_answer_comes_first(shell: Shell) -> None:
    done = shell.run("audit", "tuned", **DAY)
    assert (done.returncode, done.stderr) == (0, "")
    head = done.stdout.splitlines()[:3]
    assert head[0].endswith("audited on 2025-11-21")
    assert "  not open source AI: meta-llama/Llama-3.1-8B does not give" in head[2]
    assert len(done.stdout.splitlines()) <= 26
    more = shell.run("audit", "tuned", "--full", **DAY).stdout
    assert more.startswith(head[0]) and "Is it all there?" in more and len(more) > 2 * len(done.stdout)


def test_every_format_gives_the_same_bytes_again(built: Shell, tmp_path: Path) -> None:
    audits = """
import contextlib, sys
from regrow.cli.root import cli
for form in sys.argv[2:]:
    with contextlib.suppress(SystemExit):
        cli(["audit", "build/small", "--format", form, "-o", f"{sys.argv[1]}/{form}"])
"""
    alone = {**DAY, "REGROW_STORE": str(tmp_path / "store")}  # in which nobody notes that it was built again
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        command = [sys.executable, "-c", audits, str(tmp_path / seed), *FORMATS]
        environment = built.environment(**alone, PYTHONHASHSEED=seed)
        subprocess.run(command, cwd=built.folder, env=environment, check=True, capture_output=True)
    for form in FORMATS:
        first, second = ((tmp_path / seed / form).read_bytes() for seed in ("1", "2"))
        assert first and first == second, form
        if form not in ("text", "html", "eu-summary", "mot"):
            json.loads(first)


@pytest.mark.parametrize("form", sorted({*FORMATS} - {"croissant"}))
def test_every_format_but_that_of_a_releases_data_is_for_any_model(shell: Shell, form: str) -> None:
    first, second = (shell.run("audit", "tuned", "--format", form, **DAY) for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout and first.stdout == second.stdout


def test_a_statement_names_the_bytes_of_the_weights(shell: Shell) -> None:
    def subject(target: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(shell.run("audit", target, "--format", "statement").stdout)[
            "subject"
        ]
        return found

    file = shell.folder / "tuned" / "model.safetensors"
    named = {"name": "model.safetensors", "digest": {"sha256": sha256_file(file)}}
    assert subject("tuned") == subject("tuned/model.safetensors") == [named]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert subject("tuned") == [named | {"digest": {"sha256": sha256_file(file)}}] != [named]


def test_a_statement_is_refused_if_the_weights_are_elsewhere(shell: Shell) -> None:
    weights = shell.folder / "tuned" / "model.safetensors"
    weights.rename(shell.folder / "elsewhere.safetensors")
    weights.symlink_to(shell.folder / "elsewhere.safetensors")
    done = shell.run("audit", "tuned", "--format", "statement", **DAY)
    assert (done.returncode, done.stdout) == (6, "")
    assert "model.safetensors` is no file of the model" in done.stderr


def test_a_link_to_what_is_in_the_folder_is_no_second_file(shell: Shell) -> None:
    (shell.folder / "tuned" / "latest.safetensors").symlink_to("model.safetensors")
    (shell.folder / "tuned" / "here").symlink_to(".")
    (shell.folder / "tuned" / "circle").symlink_to("circle")
    done = shell.run("audit", "tuned", "--format", "statement", **DAY)
    assert [one["name"] for one in json.loads(done.stdout)["subject"]] == ["model.safetensors"]


def test_a_statement_is_refused_if_some_of_the_files_are_elsewhere(shell: Shell) -> None:
    (shell.folder / "tuned" / "more.safetensors").symlink_to("/etc/hosts")
    done = shell.run("audit", "tuned", "--format", "statement", **DAY)
    assert (done.returncode, done.stdout) == (6, "")
    assert "more.safetensors` is no file of the model" in done.stderr


def test_json(shell: Shell) -> None:
    found = shell.json("audit", "tuned")
    assert (found["schema"], found["osaid"], found["mof_class"]) == ("regrow/audit/1", "not met", None)


def test_a_file_instead_of_stdout(shell: Shell) -> None:
    done = shell.run("audit", "ours", "--format", "html", "--output", "page.html")
    assert done.stdout == "page.html\n"
    assert (shell.folder / "page.html").read_text().startswith("<!doctype html>")


def test_json_says_where_the_file_is(shell: Shell) -> None:
    told = shell.json("audit", "ours", "--output", "found.json")
    assert told == {"schema": "regrow/audit-written/1", "audit": "found.json"}
    assert json.loads((shell.folder / "found.json").read_text())["schema"] == "regrow/audit/1"


def test_a_policy_that_is_not_met_exits_with_5(shell: Shell) -> None:
    (shell.folder / "policy.toml").write_text('policy = 1\nosaid = "met"\n')
    done = shell.run("audit", "tuned", "--policy", "policy.toml")
    assert done.returncode == 5
    assert "1 of 1 lines of the policy" in done.stderr
    (shell.folder / "policy.toml").write_text("policy = 1\n[forbid]\nfindings = ['unsafe-file']\n")
    assert shell.run("audit", "tuned", "--policy", "policy.toml").returncode == 0


def test_a_rule_is_explained_alone_and_for_a_model(shell: Shell) -> None:
    alone = shell.run("audit", "--explain", "osaid-1.0/code/training").stdout
    judged = shell.run("audit", "ours", "--explain", "osaid-1.0/code/training").stdout
    assert judged.startswith(alone)
    assert "evidence" in judged and "regrow.lock" in judged and "evidence" not in alone


@pytest.mark.parametrize("name", ["data", "use", "osaid-1.0", "mof/model-card"])
def test_parts_freedoms_and_definitions_are_explained_too(shell: Shell, name: str) -> None:
    alone = shell.run("audit", "--explain", name).stdout
    judged = shell.run("audit", "tuned", "--explain", name).stdout
    assert name in alone and judged.startswith(alone)
    assert any(
        word in judged.removeprefix(alone) for word in ("  yes ", "  no ", "  not shown ", "  not met ", "  met ")
    )


def test_a_parent_on_this_machine_is_read(shell: Shell) -> None:
    card = "---\nlicense: cc-by-nc-4.0\n---\n# Base\n"
    write(shell.folder / "base", {"README.md": card, "config.json": "{}", "model.safetensors": sound(16)})
    told = json.loads(shell.run("audit", "tuned", "--json", "--parent", "hf:meta-llama/Llama-3.1-8B=base").stdout)
    assert "cc-by-nc-4.0" in json.dumps(told["duties"])


def test_a_signed_statement_is_signed_by_the_key(shell: Shell) -> None:
    key = shell.folder / "key.pem"
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.generate()
    none = serialization.NoEncryption()
    key.write_bytes(made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none))
    public = shell.folder / "key.pub"
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(made.public_key().public_bytes(serialization.Encoding.PEM, form))
    from regrow.auditing.outputs import verify

    plain = shell.run("audit", "ours", "--format", "statement", **DAY).stdout
    signed = shell.run("audit", "ours", "--format", "statement", "--key", "key.pem", **DAY).stdout
    assert verify(json.loads(signed), public) == json.loads(plain)


WRONG = {
    "nothing": (["audit"], 2, "missing argument"),
    "no such model": (["audit", "nope"], 6, "there is no `nope`"),
    "no such rule": (["audit", "--explain", "osaid-1.0/code/trainin"], 2, "did you mean"),
    "no such parent": (["audit", "tuned", "--parent", "hf:a/b=nope"], 2, "there is no `nope`"),
    "half a parent": (["audit", "tuned", "--parent", "hf:a/b"], 2, "is not ID=PATH"),
    "two formats": (["audit", "tuned", "--json", "--format", "html"], 2, "leave one of them"),
    "a key for nothing": (["audit", "tuned", "--key", "key.pem"], 2, "--format statement"),
    "no such key": (["audit", "ours", "--format", "statement", "--key", "nope"], 2, "nope"),
    "no such claims": (["audit", "tuned", "--claims", "nope"], 2, "there is no such file"),
    "no such policy": (["audit", "tuned", "--policy", "nope"], 2, "there is no such file"),
    "a damaged release": (["audit", "ours", "--format", "croissant"], 2, "damaged"),
    "data of no release": (["audit", "tuned", "--format", "croissant"], 2, "no training data here"),
    "data of a file": (["audit", "tuned/model.safetensors", "--format", "croissant"], 2, "no training data here"),
    "data into a file": (["audit", "tuned", "--format", "croissant", "-o", "x"], 2, "no training data here"),
    "a place for nothing": (["audit", "tuned", "--output", "tuned/README.md/x"], 2, "cannot be written"),
    "a folder for a file": (["audit", "tuned", "--output", "tuned"], 2, "'tuned' is a directory"),
    "no model as json": (["audit", "nope", "--json"], 6, "there is no `nope`"),
    "no model in json": (["audit", "nope", "--format", "json"], 6, "there is no `nope`"),
    "no such option": (["audit", "tuned", "--format=json", "--nosuch"], 2, "no such option"),
    "everything as json": (["audit", "tuned", "--full", "--json"], 2, "--full is for text"),
    "an explanation as json": (["audit", "--explain", "osaid-1.0/code/training", "--json"], 2, "shows text"),
    "an explanation as a page": (
        ["audit", "ours", "--explain", "osaid-1.0/code/training", "--format", "html"],
        2,
        "shows text",
    ),
    "an explanation and a file": (["audit", "--explain", "osaid-1.0/code/training", "-o", "x"], 2, "about a model"),
    "an explanation and a policy": (
        ["audit", "--explain", "osaid-1.0/code/training", "--policy", "x"],
        2,
        "--policy is about a model",
    ),
    "no such ancestor": (["audit", "tuned", "--parent", "hf:a/b=ours"], 2, "names no ancestor `hf:a/b`"),
    "no ancestors": (["audit", "ours", "--parent", "hf:a/b=tuned"], 2, "names no ancestor `hf:a/b`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_and_what_to_do(shell: Shell, case: str) -> None:
    arguments, code, said = WRONG[case]
    done = shell.run(*arguments)
    assert done.returncode == code
    asked = not {"--json", "json", "--format=json"}.isdisjoint(arguments)
    assert json.loads(done.stdout)["exit_code"] == code if asked else done.stdout == ""
    assert said in done.stderr and "hint:" in done.stderr
    assert not (shell.folder / "x").exists()
    assert "Traceback" not in done.stderr and "failed, sorry" not in done.stderr


@pytest.mark.parametrize("epoch", ["yesterday", "9" * 30, ""])
def test_a_day_that_is_none(shell: Shell, epoch: str) -> None:
    done = shell.run("audit", "tuned", SOURCE_DATE_EPOCH=epoch)
    assert done.returncode == 2
    assert "SOURCE_DATE_EPOCH" in done.stderr and "hint:" in done.stderr


def test_pickles_are_not_opened(shell: Shell) -> None:
    pickle = b"cos\nsystem\n(S'touch owned'\ntR."
    write(shell.folder / "trap", {"config.json": "{}", "pytorch_model.bin": pickle})
    done = shell.run("audit", "trap")
    assert done.returncode == 0 and "warnings: unsafe-file" in done.stdout
    assert not (shell.folder / "owned").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(shell: Shell) -> None:
    subprocess.run(["chmod", "000", shell.folder / "tuned"], check=True)
    done = shell.run("audit", "tuned")
    subprocess.run(["chmod", "755", shell.folder / "tuned"], check=True)
    assert done.returncode == 6 and "hint:" in done.stderr
