"""The page of a fork: what it has, what it lacks and what that means, and what licences ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.printable import escaped
from regrow.words import listed

if TYPE_CHECKING:
    from regrow.forking.fork import Fork, Part

_STANDING = {
    "copied": "here",
    "elsewhere": "fetched from where the recipe says, when it is built",
    "missing": "missing",
}


def page(fork: Fork) -> str:
    """The page, as Markdown."""
    return "\n".join(map(escaped, _lines(fork))) + "\n"


def outcome(fork: Fork) -> str:
    """What can be built of a fork, in a sentence."""
    if fork.stuck:
        return f"It cannot be built: {fork.stuck}. One can go on from its weights."
    if fork.changed:
        return (
            f"Its recipe goes on without {listed(fork.changed)}, which could not be copied, and makes another model, "
            "of another name."
        )
    if fork.alone:
        return "It builds to the same digest with what lies here, offline."
    away = listed(one.name for one in fork.parts if one.standing == "elsewhere")
    return f"It builds to the same digest, and fetches {away} for it."


def _lines(fork: Fork) -> Iterator[str]:
    yield f"# A fork of {fork.name}"
    yield ""
    yield f"Made by regrow from the release `{fork.digest}`. {outcome(fork)}"
    yield ""
    yield "| what | from | licence | files | bytes | where it is |"
    yield "|---|---|---|---:|---:|---|"
    for part in fork.parts:
        why = f": {part.why}" if part.why else ""
        where = f"{_STANDING[part.standing]}{why}"
        cells = (part.name, part.fetch, part.licence, _count(part.files), _count(part.bytes), where)
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""
    yield "## Weights"
    yield ""
    if fork.weights:
        yield f"The weights are not here: {fork.weights}."
    else:
        yield "The release is in `release/`, whole: `regrow verify` and `sha256sum --check` take it, and a recipe can"
        yield "begin with it."
    yield ""
    yield "## What licences ask of whoever passes this on, or what is made from it"
    yield ""
    for duty in fork.duties:
        yield f"* {duty.licence} ({', '.join(duty.of)})" + ("" if duty.asks else ": nothing")
        yield from (f"    * {one}" for one in duty.asks)
    for part in (part for part in fork.parts if part.found):
        yield f"* the files of {part.name} say of themselves: {', '.join(part.found)}"
    for part in (part for part in fork.parts if part.packed and part.standing == "copied"):
        yield f"* {part.name} is here as it is published, packed; it may hold more than the recipe reads of it, and"
        yield "  whoever passes it on passes that on, too"
    for part in (part for part in fork.parts if part.attribution):
        yield f"* {part.name} asks to name: {part.attribution}"
    yield f"* {fork.name} is the name of somebody else's model: give what you change a name of its own in `regrow.toml`"


def words(part: Part) -> str:
    """A part in a line."""
    why = f": {part.why}" if part.why else ""
    return f"{part.name}, {part.size}, {part.licence}{why}"


def _count(number: int | None) -> str:
    return "not told" if number is None else f"{number:,}"
