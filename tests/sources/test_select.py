import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.sources.select import matches


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
