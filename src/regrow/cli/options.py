"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from regrow.cli.console import Console

F = TypeVar("F", bound=Callable[..., Any])

pass_console = click.make_pass_decorator(Console)


def _folder(_: click.Context, __: click.Parameter, value: Path) -> Path:
    """A recipe is named by its folder; its file will do."""
    return value.parent if value.name == "regrow.toml" and not value.is_dir() else value


recipe_argument = click.argument(
    "recipe", type=click.Path(path_type=Path), default=".", metavar="[RECIPE]", callback=_folder
)
release_argument = click.argument("release", type=click.Path(path_type=Path))
store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The store; by default $REGROW_STORE or the user cache.",
)
offline_option = click.option("--offline", is_flag=True, help="Leave the network alone.")


def _json(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.ensure_object(Console).json |= value


json_option = click.option(
    "--json", is_flag=True, expose_value=False, is_eager=True, callback=_json, help="Put one JSON document on stdout."
)


def _threads(_: click.Context, __: click.Parameter, value: int | None) -> None:
    """Tell the libraries before any of them is imported: afterwards most do not listen."""
    if value is not None:
        import os

        for name in ("OMP", "MKL", "OPENBLAS", "NUMBA", "RAYON"):
            os.environ[f"{name}_NUM_THREADS"] = str(value)


threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    expose_value=False,
    callback=_threads,
    help="Processor threads to use. The result is the same for any number.",
)


def example(text: str) -> str:
    """An epilog with examples, which click leaves as it is."""
    return f"\b\nExample:\n{text}"


def release_folder(path: Path) -> Path:
    """The path of a release that can be read, or a clear error.

    Raises:
        InputError: if there is no release, or something in it that is no file: reading a pipe might never end.
    """
    import os

    from regrow.errors import InputError

    if not (path / "SHA256SUMS").is_file():
        raise InputError(
            "there is no release here" if path.is_dir() else "there is no such folder",
            where=str(path),
            hint="`regrow build` makes releases, in `build/` by default",
        )
    for folder, _, names in os.walk(path):
        for one in (Path(folder, name) for name in names):
            if one.exists() and not one.is_file():
                raise InputError(
                    "this is neither a file nor a folder",
                    where=str(one),
                    why="it is a pipe or a device, which no release holds",
                    hint="get the release again from where it came",
                )
    return path
