"""A build system for open-source language models: a recipe goes in, a release comes out, the same for everyone.

Example:
    >>> import regrow
    >>> release = regrow.build("examples/tiny").release
    >>> regrow.verify(release, sources="examples/tiny").verdict
    >>> "".join(regrow.Generator.load(release).generate("The", max_tokens=20))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrow.version import __version__

if TYPE_CHECKING:
    from regrow.interface import Generator, audit, build, scan, trace, verify

__all__ = ["Generator", "__version__", "audit", "build", "scan", "trace", "verify"]

_INTERFACE = ("Generator", "audit", "build", "scan", "trace", "verify")


if not TYPE_CHECKING:  # or checkers would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """Load the interface when it is asked for: commands that need none of it start without."""
        if name not in _INTERFACE:
            raise AttributeError(f"module `regrow` has no `{name}`")
        from regrow.system import require_known_system

        require_known_system()
        from regrow import interface

        value = getattr(interface, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
