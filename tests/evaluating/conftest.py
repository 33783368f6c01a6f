"""A release that was put together by hand: a model of random numbers, with what its prompts and scores came to."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regrow.recipe.kind import Call
from regrow.stages import prompt, score
from regrow.store import sums
from tests.models import model


def asked(folder: Path, kind: Any, *files: Path, **parameters: Any) -> dict[str, Any]:
    """What a stage of a kind gives for the model in a folder, if it is asked what stands in the files of others."""
    output = folder.parent / f"{kind.name}-{parameters['name']}"
    output.mkdir()
    said: list[tuple[str, Any]] = []
    context = SimpleNamespace(emit=lambda event, **told: said.append((event, told)), stopping=lambda: False)
    settings = kind.parameters.model_validate(parameters)
    inputs = {"weights": (folder,), "tokenizer": (folder,), "files": files}
    kind.run(Call(kind.name, settings, inputs, output, output, context))
    (path,) = output.iterdir()
    return json.loads(path.read_text("utf-8"))


def seal(folder: Path) -> Path:
    """Make a release of a folder."""
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    (folder / "SHA256SUMS").write_text(sums(folder))
    return folder


def keep(folder: Path, place: str, value: Any) -> None:
    """Put a document into a release."""
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and its tokenizer. Not to be changed."""
    return seal(model(tmp_path_factory.mktemp("plain") / "model"))


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release with a prompt and scores of its own. Not to be changed."""
    folder = model(tmp_path_factory.mktemp("kept") / "model")
    greeting = asked(folder, prompt.KIND, name="greeting", text="one two", max_tokens=6, contains=[])
    warm = asked(folder, prompt.KIND, name="warm", text="one", max_tokens=9, temperature=1.5, seed=5, stop=["x"])
    scores = asked(folder, score.KIND, name="small", tasks=["agreement", "sequences"])
    for place, value in (("prompts/greeting", greeting), ("prompts/warm", warm), ("scores/small", scores)):
        keep(folder, f"{place}.json", value)
    return seal(folder)
