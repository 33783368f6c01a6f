import pytest
from pydantic import TypeAdapter, ValidationError

from regrow.recipe.values import Patterns

PATTERNS: TypeAdapter[tuple[str, ...]] = TypeAdapter(Patterns)

MISREAD = {
    "{a,b}/{c,d}.txt": 'write a list: ["a/c.txt", "a/d.txt", "b/c.txt", "b/d.txt"]',
    "{{a,b},c}.md": 'write a list: ["a.md", "c.md", "b.md"]',
    "*.txt,*.md": 'write a list: ["*.txt", "*.md"]',
    "**/*.txt, **/*.md": 'write a list: ["**/*.txt", "**/*.md"]',
    "a.txt,b.txt": 'write a list: ["a.txt", "b.txt"]',
    "!drafts/**": 'write exclude = "drafts/**"',
    "texts/": 'write "texts/**"',
    "**.txt": 'write "**/*.txt"',
    "texts/**.txt": 'write "texts/**/*.txt"',
    "/texts/*": 'write a pattern such as "**/*.txt"',
    "../*.txt": 'write a pattern such as "**/*.txt"',
    "texts\\\\*.txt": 'write a pattern such as "**/*.txt"',
}


@pytest.mark.parametrize("pattern", MISREAD)
def test_what_is_a_pattern_elsewhere_is_not_just_a_name(pattern: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PATTERNS.validate_python(pattern)
    assert MISREAD[pattern] in str(caught.value.errors())


@pytest.mark.parametrize(
    "pattern",
    ["**", "**/*", "./a/*.txt", "a{b}.txt", "{a,b", "Smith, John.txt", "a,b/*.txt", "[!a]*"],
)
def test_names_with_such_characters_can_be_selected(pattern: str) -> None:
    assert PATTERNS.validate_python(pattern) == (pattern,)


def test_braces_without_end_are_not_spelled_out() -> None:
    with pytest.raises(ValidationError, match="has braces"):
        PATTERNS.validate_python("{a,b}" * 40)
