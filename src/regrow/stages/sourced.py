"""What a recipe says of every source of texts, whatever they are for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from regrow.recipe.roles import TRAINING, Role
from regrow.recipe.values import Licence, Name, Patterns
from regrow.sections import Parameters


class SourceParameters(Parameters):
    """A source of texts: its terms, and which of its files are read."""

    source: Name = Field(
        alias="name",
        description="The name of the source, used in the names of its stages.",
        examples=["shakespeare"],
        json_schema_extra={"settled": True},
    )
    licence: Licence = Field(
        description="SPDX expression: the licence of the texts, which may differ from that of the package around them.",
        examples=["CC0-1.0"],
        json_schema_extra={"settled": True, "why": "nobody could tell on which terms the text may be used"},
    )
    availability: Literal["open", "public", "obtainable", "unshareable"] = Field(
        description="Who can get the texts: `open`, anyone, to use and pass on; `public`, anyone can read them; "
        "`obtainable`, anyone can ask for them or buy them; `unshareable`, only described.",
        examples=["open"],
        json_schema_extra={"settled": True, "why": "a stranger must know whether the build can be repeated"},
    )
    role: Role = Field(
        default=TRAINING,
        exclude=True,  # which stages there are depends on it, and nothing else
        description="What the texts are for: `training`; `evaluation`, a benchmark, whose items are looked for in the "
        "training text; `reference`, texts that should not be in it.",
        examples=["evaluation"],
        json_schema_extra={"settled": True},
    )
    select: Patterns = Field(
        default=("**/*",),
        description="Patterns of the files to use, inside archives too. `*` stops at `/`, `**` does not, and neither "
        "takes hidden files, backups or what systems leave behind unless it is spelled out, as in `.github/**`. "
        "`texts.zip` is all in an archive, `texts.zip!/a.txt` one file in it.",
        examples=["**/*_gut.txt"],
        min_length=1,
    )
    exclude: Patterns = Field(
        default=(), description="Patterns of files to leave out again, and of archives.", examples=["**/README*"]
    )
    attribution: str = Field(
        default="",
        exclude=True,  # no document depends on it
        description="Whom to name, in the words the licence asks for.",
        examples=["J. Doe"],
        json_schema_extra={"settled": True},
    )
