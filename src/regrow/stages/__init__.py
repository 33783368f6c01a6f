"""The kinds of stages a recipe may use: one module each, with its parameters, its version and its function."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from regrow.recipe.kind import Kind
from regrow.stages import clean, deduplicate, documents, evaluate, fetch, pretrain, split, tokenize, tokenizer

__all__ = ["KINDS"]

_MODULES = (fetch, documents, clean, deduplicate, split, tokenizer, tokenize, pretrain, evaluate)

KINDS: Mapping[str, Kind] = MappingProxyType({module.KIND.name: module.KIND for module in _MODULES})
"""Name -> kind."""
