"""The pinned files of a source, byte for byte."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from regrow.errors import InputError, RecipeError
from regrow.recipe.kind import Call, Kind, Parameters
from regrow.recipe.pin import Pin


class FetchParameters(Parameters):
    """What to fetch."""

    fetch: str = Field(description="Where the files are: scheme:locator.")
    pins: tuple[Pin, ...] = Field(description="The files it must give, with their hashes.")

    @field_validator("fetch")
    @classmethod
    def _known(cls, fetch: str) -> str:
        from regrow.sources import check

        try:
            check(fetch)
        except RecipeError as error:
            raise ValueError(" ".join(part for part in (error.what, error.why, error.hint) if part)) from error
        return fetch


def run(call: Call) -> None:
    """Get the files, or fail saying what came instead."""
    from regrow.sources import retrieve

    wanted: FetchParameters = call.parameters
    if not wanted.pins:
        raise InputError(f"`{wanted.fetch}` is not pinned", hint="`regrow lock` finds out what it has and pins it")
    retrieve(
        wanted.fetch,
        wanted.pins,
        call.context.surroundings.base,
        call.output,
        emit=call.context.emit,
        offline=call.context.surroundings.offline,
        poll=lambda: call.context.stop() if call.context.stopping() else None,
    )


def estimate(parameters: Any) -> dict[str, float]:
    """The bytes to keep, and at most to fetch."""
    return {"disk_bytes": float(sum(pin.size for pin in parameters.pins))}


KIND = Kind(
    name="fetch",
    version=1,
    parameters=FetchParameters,
    inputs={},
    output="files",
    run=run,
    summary="get the pinned files of a source",
    estimate=estimate,
)
