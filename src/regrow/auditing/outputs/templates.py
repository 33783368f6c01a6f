"""Templates of outputs, filled in a sandbox in which nothing of Python can be reached."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment


def environment(*, autoescape: bool, **filters: Callable[..., Any]) -> SandboxedEnvironment:
    """An environment with filters in which whatever is not given is an error."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    found = SandboxedEnvironment(
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not autoescape,
    )
    found.filters.update(filters)
    return found


def source(name: str) -> str:
    """A file beside this one."""
    return (files("regrow.auditing.outputs") / name).read_text("utf-8")
