"""chat, inspect, report. python -m pytest tests/cli/test_release_commands.py"""

import json
import subprocess

from .conftest import Shell


def test_chat_continues_the_same_way_every_time(built: Shell) -> None:
    one, two = (built.run("chat", "build/small", "A model", "--max-tokens", "12") for _ in range(2))
    assert one.returncode == 0, one.stderr
    assert one.stdout == two.stdout
    assert one.stdout.startswith("A model")
    other = built.run("chat", "build/small", "A model", "--max-tokens", "12", "--seed", "2")
    assert other.stdout != one.stdout


def test_chat_as_json_and_from_stdin(built: Shell) -> None:
    document = built.json("chat", "build/small", "A model", "--max-tokens", "12")
    assert (document["schema"], document["prompt"]) == ("regrow/chat/1", "A model")
    done = built.run("chat", "build/small", "--max-tokens", "12", given=b"A model\n")
    assert done.stdout == f"A model{document['text']}\n"


def test_next_to_no_temperature_takes_the_likeliest_token_without_a_warning(built: Shell) -> None:
    cold, coldest = (
        built.run("chat", "build/small", "A model", "--max-tokens", "3", "--temperature", value)
        for value in ("0", "1e-320")
    )
    assert (coldest.returncode, coldest.stderr) == (0, "")
    assert coldest.stdout == cold.stdout


def test_inspect(built: Shell, first_build: subprocess.CompletedProcess[str]) -> None:
    done = built.run("inspect", "build/small")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == first_build.stdout.strip()
    for word in ("115,008 parameters", "CC0-1.0", "model.safetensors", "bits per byte, this model"):
        assert word in done.stdout
    document = built.json("inspect", "build/small")
    assert document["schema"] == "regrow/inspect/1"
    assert document["digest"] == first_build.stdout.strip()
    assert document["sources"][0]["licence"] == "CC0-1.0"


def test_a_prompt_that_is_no_text(built: Shell) -> None:
    for argument, given in (["A\udcff"], b""), ([], b"A\xff"):
        done = built.run("chat", "build/small", *argument, given=given)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: the prompt is not UTF-8\n  because it has byte 0xff after 1 characters\n")


def test_report_is_the_same_again(copy: Shell) -> None:
    path = copy.folder / "build" / "small" / "report.html"
    before = path.read_bytes()
    path.unlink()
    done = copy.run("report", "build/small")
    assert (done.returncode, done.stdout) == (0, "build/small/report.html\n")
    assert path.read_bytes() == before
    assert copy.run("report", "build/small", "-o", "x.html", "--json").returncode == 0
    assert (copy.folder / "x.html").read_bytes() == before


def test_outputs_are_json_with_a_schema(built: Shell) -> None:
    for command in (["store", "list"], ["store", "size"], ["store", "verify"], ["store", "gc", "--dry-run"]):
        document = json.loads(built.run(*command, "--json").stdout)
        assert document["schema"] == f"regrow/store-{command[1]}/1"


def test_a_release_tells_no_place_of_the_machine_that_built_it(built: Shell) -> None:
    home = str(built.folder.parent).encode()  # the recipe, the store and the release lie below it
    files = [path for path in (built.folder / "build" / "small").rglob("*") if path.is_file()]
    assert files and [path.name for path in files if home in path.read_bytes()] == []
