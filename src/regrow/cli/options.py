"""Arguments and options that several commands have."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from regrow.cli.console import Console

if TYPE_CHECKING:
    from regrow.release import Release

MOST_THREADS = 1024
"""More than any machine has use for; with a thousand times as many, libraries crash or take the machine down."""

F = TypeVar("F", bound=Callable[..., Any])

pass_console = click.make_pass_decorator(Console)


class Place(click.Path):
    """A path to write to. An empty one is a variable that was not set, and does not mean the current directory."""

    def __init__(self, *, file: bool = False) -> None:
        super().__init__(dir_okay=not file, readable=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if not str(value):
            self.fail("it is empty\nhint: leave the option out, or write `.` for the current directory", param, ctx)
        return super().convert(value, param, ctx)


class Finite(click.FloatRange):
    """A number in a range; click takes ``nan`` for one in any, and ``inf`` in one without an end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no number to reckon with", param, ctx)
        return number


def _folder(_: click.Context, __: click.Parameter, value: Path) -> Path:
    """A recipe is named by its folder; its file will do."""
    if value.name == "regrow.toml" and not value.is_dir():
        return value.parent
    if value.is_file():
        raise click.BadParameter(f"`{value}` is a file\nhint: name the folder of the recipe; its file is `regrow.toml`")
    return value


recipe_argument = click.argument(
    "recipe", type=click.Path(path_type=Path), default=".", metavar="[RECIPE]", callback=_folder
)
required_recipe_argument = click.argument("recipe", type=click.Path(path_type=Path), callback=_folder)
release_argument = click.argument("release", type=click.Path(path_type=Path))
store_option = click.option(
    "--store",
    type=Place(),
    metavar="DIR",
    help="The store; by default $REGROW_STORE or the user cache.",
)
workers_option = click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Processes that share the training."
)
shard_option = click.option(
    "--shard", is_flag=True, help="Workers of a machine hold the parameters together, and not each all of them."
)
recompute_option = click.option(
    "--recompute", is_flag=True, help="Training keeps less of each layer and computes it once more."
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

        from regrow.engine.runners.child import THREADS

        for name in THREADS:
            os.environ[f"{name}_NUM_THREADS"] = str(value)


threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1, max=MOST_THREADS),
    metavar="N",
    expose_value=False,
    callback=_threads,
    help="Processor threads to use. The result is the same for any number.",
)


def who_option(command: F) -> F:
    """Who does the work: options that come to the command as one argument, ``who``."""

    @wraps(command)
    def chosen(*args: Any, jobs: int, runner: str, address: str, location: str, **options: Any) -> Any:
        if address and runner != "ray":
            raise click.UsageError("--address is about a Ray cluster\nhint: add --runner ray, or leave it out")
        from regrow.engine import Choice

        who = Choice("ray" if runner == "ray" else "processes", jobs, address, location)
        return command(*args, who=who, **options)

    options = (
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            default=1,
            metavar="N",
            help="Processes that prepare text, on as many stages at the same time.",
        ),
        click.option(
            "--runner",
            type=click.Choice(["processes", "ray"]),
            default="processes",
            help="Who prepares text: processes of this machine, or tasks of Ray.",
        ),
        click.option(
            "--address", default="", metavar="HOST:PORT", help="The Ray cluster; by default $RAY_ADDRESS, or one here."
        ),
        click.option(
            "--location",
            default="",
            metavar="URL",
            help="Where machines exchange files, such as s3://bucket/folder; by default the store, which all see then.",
        ),
    )
    for option in reversed(options):
        chosen = option(chosen)
    return chosen  # type: ignore[return-value]


def example(text: str) -> str:
    """An epilog with examples, which click leaves as it is."""
    return f"\b\nExample:\n{text}"


def readable(path: Path) -> Release:
    """The release in a folder, all of which can be read without waiting.

    Raises:
        InputError: if there is none, or something in it is neither a file nor a folder.
    """
    from regrow.release import Release

    release = Release.open(path)
    release.require_plain()
    return release
