import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.sources.select import Choice, aside, matches


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", "b/a.txt", False),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "b/c/a.txt", True),
        ("**/*.txt", "b/c/a.txt.gz", False),
        ("**", "b/c/a.txt", True),
        ("b/**", "b/c/a.txt", True),
        ("b/**", "a.txt", False),
        ("b/**/a.txt", "b/a.txt", True),
        ("b/*/a.txt", "b/a.txt", False),
        ("**/c/*", "b/c/a.txt", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].txt", "b.txt", True),
        ("[!ab].txt", "b.txt", False),
        ("[!ab].txt", "/.txt", False),
        ("a[!-z]b", "a/b", False),
        ("[a", "[a", True),
        ("[]", "[]", True),
        ("[!]", "[!]", True),
        ("[!]", "a", False),
        ("[]]", "]", True),
        ("[]a].txt", "].txt", True),
        ("[!]a]", "]", False),
        ("[!]a]", "b", True),
        ("[!!]", "!", False),
        ("[z-a].txt", "b.txt", False),
        ("[z-a].txt", ".txt", False),
        ("[z-ac].txt", "c.txt", True),
        ("[!z-a].txt", "b.txt", True),
        ("[!z-a]", "/", False),
        ("[a-c-]", "-", True),
        ("[a-c-]", "b", True),
        ("[+--]", ",", True),
        ("[a^&&~~||[]", "^", True),
        ("[\\w]", "a", False),
        ("a.txt", "aXtxt", False),
        ("A.txt", "a.txt", False),
        ("x+(1)|.txt", "x+(1)|.txt", True),
        ("./a.txt", "a.txt", True),
        ("**/**/a.txt", "b/a.txt", True),
        ("b/**", "b", False),
        ("**/*.b*.txt", "x/a.bb.c.txt", True),
        ("*a*b*", "ba", False),
    ],
)
def test_patterns(pattern: str, path: str, fits: bool) -> None:
    assert matches(path, [pattern]) is fits


def test_any_pattern_is_enough() -> None:
    assert matches("a.md", ["*.txt", "*.md"])
    assert not matches("a.md", [])


@given(st.text(min_size=1).filter(lambda text: not set(text) & set("*?[/") and text != "."))
def test_plain_names_fit_themselves_only(name: str) -> None:
    assert matches(name, [name])
    assert not matches(name + "x", [name])


@given(st.text(), st.text())
def test_no_pattern_is_a_fault(pattern: str, path: str) -> None:
    matches(path, [pattern])


ASIDE = {
    ".git/config": "hidden",
    "a/.DS_Store": "hidden",
    "._a.txt": "hidden",
    ".a.txt.swp": "hidden",
    "a.txt~": "backups",
    "#a.txt#": "backups",
    "~$a.docx": "backups",
    "a.txt.bak": "backups",
    "a.ORIG": "backups",
    "__MACOSX/a.txt": "left by programs",
    "x/__pycache__/a.txt": "left by programs",
    "Thumbs.db": "left by programs",
    "out.events.jsonl": "left by programs",
    "out.metrics.csv": "left by programs",
    "runs/events.out.tfevents.1795981392.host.30559.0": "left by programs",
}


@pytest.mark.parametrize("path", ASIDE)
def test_wildcards_pass_over_what_is_no_text(path: str) -> None:
    for pattern in ("**", "**/*", "*", "*/*", "**/?*", "**/[!a]*", "**/*.*"):
        assert not matches(path, [pattern])
    assert Choice().reason(path) == ASIDE[path]
    assert matches(path, [path])
    assert Choice(("**",), ("**/*",)).reason(path) == "excluded"


@pytest.mark.parametrize("name", ["a.txt", "a.bakery", "C#", "~", "..", "events.jsonl", "a.b.c", "orig", "\u00e9"])
def test_other_names_are_nothing_special(name: str) -> None:
    assert aside(name) == ("backups" if name == "~" else "")


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        (".github/**", ".github/a/b.yml", True),
        (".github/**", ".github/.hidden/b.yml", False),
        ("**/.github/*", "x/.github/b.yml", True),
        ("**/.*", "x/.profile", True),
        ("**/*.bak", "x/a.bak", True),
        ("**/*~", "x/a~", True),
        ("**/*.events.jsonl", "x.events.jsonl", True),
        ("**/*.jsonl", "x.events.jsonl", False),
    ],
)
def test_a_pattern_may_spell_them_out(pattern: str, path: str, fits: bool) -> None:
    assert matches(path, [pattern]) is fits
    folder = path.partition("/")[0]
    assert Choice((pattern,)).walks(folder) or not fits


def test_archives_that_cannot_hold_what_is_wanted_are_not_entered() -> None:
    assert Choice(("**/*.txt",)).enters("a/b.zip")
    assert not Choice(("a.zip!/*.txt",)).enters("b.zip")
    assert not Choice(("**/*.txt",)).enters(".old/b.zip")
    assert not Choice(("**/*.txt",)).enters("b.zip~/c.zip")
    assert Choice((".old/b.zip!/*.txt",)).enters(".old/b.zip")
    for all_of_it in ("b.zip", "**/b.zip", "**/*.zip", "b.zip!/**", "b.zip/**", "**/b.zip/**"):
        assert not Choice(("**",), (all_of_it,)).enters("b.zip")
    assert Choice(("**",), ("b.zip/*",)).enters("b.zip")
    assert Choice(("**",), ("b.zip!/*.md",)).enters("b.zip")


def test_no_pattern_takes_long() -> None:
    assert not matches("a" * 3000, ["*a" * 12 + "b"])
    assert not matches("a/" * 500 + "b", ["**/a/" * 12 + "c"])
