"""The families of models there are: a module each, found by being here.

A module holds one :class:`regrow.model.family.Family` by the name ``FAMILY``. To add a family, write such a module, and
give the tests (``tests/model/test_families.py``) a model of it to compare with; there is no other list.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from regrow.model.family import Family


@cache
def families() -> Mapping[str, Family]:
    """All of them by their ``model_type``, in its order."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    found: dict[str, Family] = {module.FAMILY.name: module.FAMILY for module in modules}
    return dict(sorted(found.items()))
