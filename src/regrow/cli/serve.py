"""``regrow serve``: a release for programs that speak OpenAI's language."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import (
    Finite,
    example,
    json_option,
    pass_console,
    release_argument,
    store_option,
    threads_option,
)
from regrow.errors import InputError, RecipeError
from regrow.words import listed

if TYPE_CHECKING:
    from regrow.serve.http.guard import Doors
    from regrow.serve.http.served import Served

_NEEDED = ("anyio", "h11", "prometheus_client", "starlette", "uvicorn")
_KEY = "REGROW_API_KEY"
_LARGEST_KEY = 4096


@click.command(epilog=example("  regrow serve build/bard\n  regrow serve model.gguf --port 0 --api-key-file key.txt"))
@release_argument
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME=FOLDER",
    help="An adapter for it, and what clients call the two together.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 is everywhere.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: one that is free.")
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help=f"A key that clients have to show; or in ${_KEY}.",
)
@click.option("--cors-origin", "origins", multiple=True, metavar="ORIGIN", help="Pages that may ask; `*` is all.")
@click.option("--max-body", type=click.IntRange(min=1), metavar="BYTES", help="Of a request; by default 2 MiB.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Of an answer; by default 4096.")
@click.option("--max-texts", type=click.IntRange(min=1), metavar="N", help="At a time, with those that wait; 256.")
@click.option("--max-seconds", type=Finite(min=0.1), metavar="S", help="For an answer; by default 600.")
@click.option("--max-memory", type=click.IntRange(min=1), metavar="MIB", help="For texts; a quarter of what is there.")
@click.option(
    "--trust",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Rebuilders whose signatures the page counts, and their keys.",
)
@store_option
@threads_option
@json_option
@pass_console
def command(
    console: Console,
    release: Path,
    adapters: tuple[str, ...],
    host: str,
    port: int,
    api_key_file: Path | None,
    origins: tuple[str, ...],
    max_body: int | None,
    max_tokens: int | None,
    max_texts: int | None,
    max_seconds: float | None,
    max_memory: int | None,
    trust: Path | None,
    store: Path | None,
) -> None:
    """Serve a release on a port, to a browser and to any client of OpenAI's interface.

    RELEASE may be another model too: a GGUF file, or a folder of Hugging Face's libraries.

    In a browser, one can ask, read the answer as it is written, and see where its words stand in the training data.
    Only this machine is listened to unless --host says otherwise. The same request gives the same answer, for any
    number of clients; each answer names the release, and how its tokens were chosen. Ctrl-C ends it.
    """
    _require_libraries()
    from datetime import UTC, datetime

    from regrow.attesting.trust import NOBODY, trusted
    from regrow.serve.http.app import application
    from regrow.serve.http.guard import Doors
    from regrow.serve.http.limits import Limits
    from regrow.serve.http.served import Served
    from regrow.serve.http.server import bound, listen, run
    from regrow.serve.page.places import Places
    from regrow.serve.page.routes import OPEN, Page, routes

    memory = None if max_memory is None else max_memory << 20
    asked = {"body": max_body, "answer": max_tokens, "texts": max_texts, "seconds": max_seconds, "memory": memory}
    limits = Limits(**{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]
    allowed = tuple(one.lower().rstrip("/") for one in origins)
    doors = Doors(host, _key(api_key_file), allowed, (*Doors.open, *OPEN))
    beside = _adapters(adapters)
    believed = trusted(trust, datetime.now(UTC).date()) if trust else NOBODY
    with bound(host, port) as listener:  # before loading, which takes longer than to find a port taken
        console.verb("Loading", str(release))
        with (
            closing(Served.load(release, limits, beside)) as served,
            closing(Places(served.release, store)) as places,
        ):
            app = application(served, doors, routes(Page(served, places, believed)))
            listen(listener)
            _tell(console, served, doors, listener.getsockname()[1])
            run(app, listener, limits)
    console.verb("Stopped", "")


def _require_libraries() -> None:
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        hint = "python -m pip install 'regrow[serve]'"
        raise InputError("a server needs more libraries", why=f"{listed(missing)} are not there", hint=hint)


def _adapters(said: tuple[str, ...]) -> dict[str, Path]:
    """Folders of adapters by their names."""
    found: dict[str, Path] = {}
    for one in said:
        name, _, folder = one.partition("=")
        if not (name and folder and name.isprintable() and not {*" @/"} & {*name}) or name in found:
            raise click.BadParameter(f"`{one}` is no NAME=FOLDER with a name of its own", param_hint="--adapter")
        found[name] = Path(folder)
    return found


def _key(path: Path | None) -> str:
    """The key that clients have to show; empty if none is asked for."""
    if path is None:
        return _checked(os.environ[_KEY], f"${_KEY}") if _KEY in os.environ else ""
    with path.open("rb") as file:
        said = file.read(_LARGEST_KEY + 1)
    return _checked(said.decode("utf-8", "replace"), str(path))


def _checked(said: str, where: str) -> str:
    key = said.strip()
    if not key or len(key) > _LARGEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        why = "it is empty" if not key else f"it is not one word of ASCII with up to {_LARGEST_KEY:,} characters"
        hint = f"python -c 'import secrets; print(secrets.token_urlsafe())' makes one; unset ${_KEY} to ask for none"
        raise RecipeError("this is no key", where=where, why=why, hint=hint)
    return key


def _tell(console: Console, served: Served, doors: Doors, port: int) -> None:
    limits = served.limits
    console.verb("Serving", f"{served.name}, which reads {served.context:,} tokens at once")
    console.verb("Release" if served.release else "Files", served.digest)
    if not served.release:
        console.verb("Note", "this is not a release: nothing is known of what it was made from", "yellow")
    for writer in served.writers[1:]:
        console.verb("Adapter", f"{writer.name}, {writer.digest}")
    per_answer = f"{limits.answer:,} tokens and {limits.seconds:g} seconds an answer"
    console.verb("Limits", f"{limits.texts:,} texts at a time, {per_answer}, {limits.body:,} bytes a request")
    weights = sum(one.nbytes for one in served.generator.parameters.values())
    most = f"{served.engine.limits.memory_bytes >> 20:,} MiB at most for keys and values"
    console.verb("Memory", f"{-(-weights >> 20):,} MiB of weights, {most}")
    console.verb("Key", "has to be shown" if doors.key else "none is asked for")
    for name in served.unheeded:
        console.verb("Note", f"`{name}` of generation_config.json is not followed here", "yellow")
    if not doors.key and not doors.local:
        console.verb("Note", "whoever reaches this machine may ask: think of --api-key-file", "yellow")
    url = f"http://{doors.named}:{port}"
    if console.json:
        models = {writer.name: writer.fingerprint for writer in served.writers}
        console.document("serve/1", {"url": url, "models": models, "limits": asdict(limits)})
    else:
        console.result(url)
