"""The tasks there are: a module each, found by being here.

A module holds one class with the methods of :class:`regrow.train.task.Task`, a ``name`` of its own, and a static method
``described`` that rebuilds a task from its description; the module calls it ``TASK``.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from regrow.train.task import Tasks


@cache
def tasks() -> Tasks:
    """How to rebuild the tasks of each name from their descriptions."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {module.TASK.name: module.TASK.described for module in modules}
