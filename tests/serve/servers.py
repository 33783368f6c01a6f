"""Small releases, and servers of them as processes of their own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import regrow
from regrow.corpus import tokenizer
from regrow.model import weights
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.store import sums

TEXT = "Say it now, say it again, and say what the old man said. “Né,” he said. "
CONTEXT = 96
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' and loop.first %}{{ raise_exception('you go first') }}"
    "{% endif %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)
_WITHIN = """
import json, sys
from pathlib import Path
from regrow.release import Release
from regrow.serve.http import app, limits, served, server
serves = served.Served.load(Release.open(Path(sys.argv[1])), limits.Limits(**json.loads(sys.argv[2])))
with server.bound("127.0.0.1", 0) as found:
    server.listen(found)
    print(f"http://127.0.0.1:{found.getsockname()[1]}", flush=True)
    server.run(app.application(serves), found, serves.limits)
serves.close()
"""


def release(folder: Path, template: str | None = TEMPLATE, **generation: Any) -> Path:
    """A model that is not trained, with a tokenizer that is, and a list of checksums."""
    folder.mkdir(parents=True)
    tokenizer.write(tokenizer.learn([TEXT * 3], 290), folder)
    config = DecoderConfig(vocabulary=290, layers=1, width=64, heads=2, kv_heads=2, hidden=64, context=CONTEXT)
    scaled = {name: value * (3.0 if value.dim() > 1 else 1.0) for name, value in initialise(config, 1).items()}
    weights.save(folder, config, scaled, weights.Ends.both(0))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    if generation:
        said = json.loads((folder / "generation_config.json").read_text())
        (folder / "generation_config.json").write_text(json.dumps({**said, **generation}))
    (folder / "regrow.toml").write_text('recipe = 1\n\n[model]\nname = "babble"\n')
    (folder / "SHA256SUMS").write_text(sums(folder))
    return folder


@dataclass
class Server:
    """A server that runs.

    Attributes:
        url: of its root.
        process: of its own.
    """

    url: str
    process: subprocess.Popen[str]

    @property
    def address(self) -> tuple[str, int]:
        """For sockets."""
        at = urlsplit(self.url)
        assert at.hostname and at.port
        return at.hostname, at.port


@contextmanager
def command(folder: Path, *options: str, **env: str) -> Iterator[Server]:
    """`regrow serve`, as a user starts it."""
    with _running("-m", "regrow.cli", "serve", str(folder), "--port", "0", *options, **env) as server:
        yield server


def told(folder: Path) -> Any:
    """What `regrow serve --json` says of a server that begins."""
    with _started("-m", "regrow.cli", "serve", str(folder), "--port", "0", "--json") as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        return json.loads("".join(itertools.takewhile(lambda line: line != "}\n", lines)) + "}")


@contextmanager
def limited(folder: Path, **limits: float) -> Iterator[Server]:
    """A server with limits that the command has no options for."""
    with _running("-c", _WITHIN, str(folder), json.dumps(limits)) as server:
        yield server


@contextmanager
def _running(*args: str, **env: str) -> Iterator[Server]:
    with _started(*args, **env) as process:
        assert process.stdout is not None and process.stderr is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), process.stderr.read()
        yield Server(url, process)


@contextmanager
def _started(*args: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    here = str(Path(regrow.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, *args],
        env={**os.environ, "PYTHONPATH": here, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
