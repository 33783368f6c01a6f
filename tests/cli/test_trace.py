"""python -m pytest tests/cli/test_trace.py"""

import pytest

from .conftest import Shell

STEPS, PER_STEP = 30, 8


def passage(shell: Shell, words: int = 12) -> str:
    """Words that stand in the training text."""
    piece = shell.json("data", "build/small", "--step", "1", "--text")["pieces"][0]["text"]
    return " ".join(piece.split()[2 : 2 + words])


def test_what_was_trained_on_is_found_where_it_stands(built: Shell) -> None:
    said = passage(built)
    text = f"Zounds! {said} qwxz"
    document = built.json("trace", "build/small", text)
    assert document["schema"] == "regrow/trace/1"
    (span, *_) = sorted(document["spans"], key=lambda one: -one["tokens"])
    assert text[span["start"] : span["end"]] == span["text"]
    assert span["text"] in said
    assert len(span["text"].split()) >= 3
    assert span["count"] >= 1
    found = span["documents"][0]
    assert (found["source"], found["licence"]) == ("texts", "CC0-1.0")
    assert " ".join(found["text"].split()) == " ".join(span["text"].split())
    whole = (built.folder / "small" / "texts" / found["locator"].rpartition(":")[0]).read_text("utf-8")
    assert found["before"] + found["text"] + found["after"] in whole
    assert 0 < document["covered"] < 1


def test_the_steps_are_those_that_data_tells(built: Shell) -> None:
    """`data --step` backwards: the document of a span is among the pieces of a step that is named."""
    span = built.json("trace", "build/small", passage(built), "--documents", "1")["spans"][0]
    (found,) = span["documents"]
    assert found["seen"] >= 1
    step = found["steps"][0]
    pieces = built.json("data", "build/small", "--step", str(step), "--text")["pieces"]
    start = found["text"].split()[0]
    assert any(found["document"] == one["document"] and start in one["text"] for one in pieces)


def test_people_see_the_text_with_marks(built: Shell) -> None:
    said = passage(built)
    shown = built.run("trace", "build/small", f"Zounds! {said}")
    assert shown.returncode == 0, shown.stderr
    first, *_ = shown.stdout.splitlines()
    assert first.startswith("Zounds! [")
    assert "]1" in first
    assert "CC0-1.0  seen at step" in shown.stdout
    assert shown.stdout.rstrip().endswith("That does not say that the text was made from it.")
    nothing = built.run("trace", "build/small", "qwxz zyqv wqqk")
    assert nothing.stdout.startswith("nothing of this stands in the training data")


def test_standard_input(built: Shell) -> None:
    assert "]1" in built.run("trace", "build/small", "-", given=passage(built).encode()).stdout
    bad = built.run("trace", "build/small", "-", given=b"a\xff")
    assert bad.returncode == 6
    assert "the text is not UTF-8\n  standard input, byte 1" in bad.stderr


def test_a_string_is_found_wherever_it_begins(built: Shell) -> None:
    said = passage(built, 5)
    whole = (built.folder / "small" / "texts" / "about-models.txt").read_text("utf-8")
    inner = said[1:-1]
    found = built.json("trace", "build/small", inner, "--find")
    assert (found["schema"], found["text"]) == ("regrow/find/1", inner)
    assert 1 <= found["count"] <= whole.count(inner)
    folded = built.json("trace", "build/small", inner.upper().replace(" ", "\n  "), "--find", "--fold")
    assert folded["count"] >= found["count"]
    assert built.json("trace", "build/small", inner.upper(), "--find")["count"] == 0
    assert "stands nowhere" in built.run("trace", "build/small", "qwxz", "--find").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build/small", "x", "--fold"), "--fold is for --find"),
        (("build/small", "x", "--store", "no-such-store"), "the store does not have the training text of this release"),
        (("small", "x"), "no release"),
    ],
)
def test_what_cannot_be_traced(arguments: tuple[str, ...], message: str, built: Shell) -> None:
    done = built.run("trace", *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (built.folder / "no-such-store").exists()


@pytest.mark.parametrize("options", [(), ("--find",)])
def test_no_text_is_no_text_that_stands_nowhere(built: Shell, options: tuple[str, ...]) -> None:
    for text in ("", " \n"):
        shown = built.run("trace", "build/small", *options, text)
        assert (shown.returncode, shown.stdout) == (6, "")
        assert "there is no text to look for" in shown.stderr
