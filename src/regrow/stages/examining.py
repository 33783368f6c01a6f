"""What kinds have in common that ask the finished model something, and keep what it says for `regrow test`."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from regrow.corpus.withheld import SECRET
from regrow.errors import InputError
from regrow.recipe.kind import Call, Given, Slot
from regrow.recipe.values import Name, Texts
from regrow.sections import Parameters
from regrow.words import listed

if TYPE_CHECKING:
    from regrow.corpus.chat import ChatTemplate
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.evaluating.alone import Alone

INPUTS = {"weights": Slot("weights"), "tokenizer": Slot("tokenizer")}
FILES = "files"
"""The slot of sources whose files say what is asked."""

_SUFFIXES = (".jsonl", ".ndjson")


class Examining(Parameters):
    """An entry that asks something."""

    name: Name = Field(
        description="What it is called, used in the name of its stage and of its file.",
        examples=["greeting"],
        json_schema_extra={"settled": True},
    )
    sources: Texts = Field(
        default=(),
        description='Names of sources, which have `role = "evaluation"`, whose files of JSON, an object to a line, say '
        "what is asked ([scores and tests](eval.md#from-files)).",
        examples=[["greetings"]],
        exclude_if=operator.not_,  # locks that do not name any stay as they were
    )


@dataclass(frozen=True)
class Examinee:
    """The finished model, to be asked."""

    tokenizer: Tokenizer
    template: ChatTemplate | None
    alone: Alone

    @staticmethod
    def of(call: Call[Any]) -> Examinee:
        """The one that a stage is given."""
        from regrow.corpus.chat import ChatTemplate
        from regrow.corpus.tokenizer import Tokenizer
        from regrow.evaluating.alone import Alone

        folder = call.input("tokenizer")
        tokenizer = Tokenizer.open(folder)
        return Examinee(tokenizer, ChatTemplate.open(folder), Alone.load(call.input("weights"), tokenizer))


def files(call: Given[Any]) -> Iterator[tuple[str, Path]]:
    """The files of the sources that a stage is given, each with what it is called in its source.

    Raises:
        InputError: if one is not made of lines.
    """
    for folder in call.inputs.get(FILES, ()):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SECRET):
            name = path.relative_to(folder).as_posix()
            if path.suffix not in _SUFFIXES:
                raise InputError(
                    "this file does not say what is asked",
                    where=name,
                    why=f"a file that does is called {listed(f'*{one}' for one in _SUFFIXES)}, and has a JSON object "
                    "to a line",
                    hint="say with `select` of its `[[source]]` which files are meant",
                )
            yield name, path


def keep(place: Path, *told: Any, indent: int | None = 2) -> None:
    """Write down what came of it: a document, or without ``indent`` one to a line."""
    alone = indent is None  # on a line of its own, which some characters beyond ASCII would end for some readers
    written = (json.dumps(one, indent=indent, sort_keys=True, ensure_ascii=alone) + "\n" for one in told)
    place.write_text("".join(written), encoding="utf-8")
