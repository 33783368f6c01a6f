"""Make the index of licence texts that the audit ships from a folder of texts, which are not shipped.

    python -m tools.licence_index CORPUS

CORPUS holds a file ``NAME.LICENSE`` or ``NAME.RULE`` for each name in ``licence_texts.toml``: an optional YAML head
between two lines ``---``, then the text, as in ScanCode's licence data (``licensedcode/data/licenses`` in the package
``scancode-toolkit-mini``, ``licensedcode/data/rules`` in ``licensedcode-data``). The texts of model licences that
ScanCode has not were taken from the repositories of their makers; ``docs/log.md`` says which.
"""

from __future__ import annotations

import fnmatch
import json
import re
import sys
import tomllib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from regrow.errors import InputError, RecipeError
from regrow.licences import index
from regrow.licences.index import Part, Text
from regrow.licences.words import LENGTH, shingles, words

PLAN = Path(__file__).parent / "licence_texts.toml"
INDEX = Path(str(index.place()))
# In the place of these words others write the names of those who made the work.
HOLDERS = frozenset(
    {"author", "authors", "company", "contributor", "contributors", "copyright", "development", "foundation", "group"}
    | {"holder", "holders", "institution", "name", "names", "organization", "owner", "owners", "project", "provider"}
    | {"providers", "regents"}
)
_BETWEEN_HOLDERS = frozenset(("by", "the", "and", "or", "nor", "of", "its", "their"))
_COPYRIGHT = re.compile(r"\W*(?:portions )?(?:copyright|\(c\)|©)\W*(?:\(c\)|©|\d{4}|[<\[{])", re.IGNORECASE)
_TITLE_WORDS = 9
_TITLE_LINES = 6


def build(corpus: Path) -> bytes:
    """The index of the texts in a folder."""
    plan = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    texts: list[Text] = []
    for id, names in plan["files"].items():
        for name in names:
            content = _without_holders(text_of(corpus, name))
            optional = [
                tuple(pair) for glob, pairs in plan["optional"].items() if fnmatch.fnmatch(name, glob) for pair in pairs
            ]
            texts.append(_text(id, _parts(content, optional, name)))
            for pair in plan["extracts"].get(name, ()):
                extract = [(part, False) for part, inside in _parts(content, [tuple(pair)], name) if inside]
                texts.append(_text(id, extract[-1:]))
    return write(texts)


def write(texts: Sequence[Text]) -> bytes:
    """The bytes of the index."""
    head = [[text.id, [[part.words, int(part.optional), f"{part.names:x}"] for part in text.parts]] for text in texts]
    hashes = array("I", (hash for text in texts for hash in text.hashes))
    described = json.dumps({"format": index.FORMAT, "texts": head}, separators=(",", ":")).encode()
    return described + b"\n" + index.little_endian(hashes).tobytes()


def fingerprint(id: str, parts: Iterable[tuple[Sequence[str], bool, Sequence[bool]]]) -> Text:
    """The fingerprint of a text, given for each part its words, whether it is optional, and which words are names."""
    described, hashes = [], array("I")
    for part, optional, names in parts:
        described.append(Part(len(part), optional, sum(1 << i for i, name in enumerate(names) if name)))
        hashes.extend(shingles(list(part)))
    return Text(id, tuple(described), hashes)


def _text(id: str, parts: Iterable[tuple[list[str], bool]]) -> Text:
    return fingerprint(id, [(part, optional, _names(part)) for part, optional in parts])


def _names(part: list[str]) -> list[bool]:
    """Which words others replace: those that stand for holders, and the small words right beside them."""
    names = [word in HOLDERS for word in part]
    for order in (range(1, len(part)), range(len(part) - 2, -1, -1)):
        step = -1 if order.step > 0 else 1
        for i in order:
            names[i] = names[i] or (part[i] in _BETWEEN_HOLDERS and names[i + step])
    return names


def text_of(corpus: Path, name: str) -> str:
    """A text of the corpus, without its YAML head."""
    paths = [path for path in (corpus / f"{name}.LICENSE", corpus / f"{name}.RULE") if path.is_file()]
    if not paths:
        raise InputError("a licence text is missing", where=str(corpus / name))
    content = paths[0].read_text(encoding="utf-8")
    return re.split(r"\n-{3,}\n?", content, maxsplit=1)[1] if content.startswith("---\n") else content


def _without_holders(content: str) -> str:
    """With a form feed for each line that names copyright holders."""
    return "\n".join("\f" if _names_holders(line) else line for line in content.splitlines())


def _names_holders(line: str) -> bool:
    return len(line) < 120 and _COPYRIGHT.match(line) is not None and "licensed" not in line.lower()


def _parts(content: str, optional: list[tuple[str, ...]], name: str) -> Iterator[tuple[list[str], bool]]:
    """The words between removed lines, cut where an optional part begins or ends."""
    pieces = [words(piece) for piece in content.split("\f")]
    flat = [word for piece in pieces for word in piece]
    marks = bytearray(len(flat))
    marks[: _title(content)] = b"\1" * _title(content)
    for start, end in optional:
        first = _find(flat, words(start), 0, name) if start else 0
        last = _find(flat, words(end), first, name) if end else len(flat)
        marks[first:last] = b"\1" * (last - first)
    at = 0
    for piece in pieces:
        begin = at
        for i in range(at + 1, at + len(piece) + 1):
            if i == at + len(piece) or marks[i] != marks[begin]:
                yield flat[begin:i], bool(marks[begin])
                begin = i
        at += len(piece)


def _title(content: str) -> int:
    """How many words the short lines at the top have: a title, which copies leave out or change."""
    count = 0
    for line in [line for line in content.splitlines() if line.strip()][:_TITLE_LINES]:
        if len(words(line)) > _TITLE_WORDS:
            break
        count += len(words(line))
    return count


def _find(flat: list[str], phrase: list[str], start: int, name: str) -> int:
    for i in range(start, len(flat) - len(phrase) + 1):
        if flat[i : i + len(phrase)] == phrase:
            return i
    raise RecipeError(f"`{' '.join(phrase)}` is not in the text of `{name}`", where=PLAN.name)


if __name__ == "__main__":
    content = build(Path(sys.argv[1]))
    INDEX.write_bytes(content)
    print(f"{len(index.read(content))} texts, {len(content):,} bytes, shingles of {LENGTH} words")
