"""Arithmetic whose result does not depend on the order of the sums: operations for models, with exact sums inside.

The public interface is what ``__all__`` lists (``docs/library.md``); what it computes, bit by bit, is in
``docs/arithmetic.md``. Nothing heavy is imported before a name is used.

Example:
    >>> from regrow import exact
    >>> y = exact.linear(x, weight, bias)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regrow.exact.adamw import AdamW, clip_grad_norm_
    from regrow.exact.checks import ArgumentError, finite
    from regrow.exact.initial import normal, permutation, uniform
    from regrow.exact.layers import cross_entropy, gelu, layer_norm, rotary_tables, silu, softmax
    from regrow.exact.operations import (
        attention,
        embedding,
        linear,
        linear_cross_entropy,
        linear_distillation,
        mean,
        rms_norm,
        rotate,
        swiglu,
    )
    from regrow.exact.selection import use
    from regrow.exact.selftest import self_test
    from regrow.exact.version import ARITHMETIC

__all__ = [
    "ARITHMETIC",
    "AdamW",
    "ArgumentError",
    "attention",
    "clip_grad_norm_",
    "cross_entropy",
    "embedding",
    "finite",
    "gelu",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "linear_distillation",
    "mean",
    "normal",
    "permutation",
    "rms_norm",
    "rotary_tables",
    "rotate",
    "self_test",
    "silu",
    "softmax",
    "swiglu",
    "uniform",
    "use",
]

_PLACES = {
    "adamw": ("AdamW", "clip_grad_norm_"),
    "checks": ("ArgumentError", "finite"),
    "initial": ("normal", "permutation", "uniform"),
    "layers": ("cross_entropy", "gelu", "layer_norm", "rotary_tables", "silu", "softmax"),
    "operations": (
        "attention", "embedding", "linear", "linear_cross_entropy", "linear_distillation", "mean", "rms_norm",
        "rotate", "swiglu",
    ),
    "selection": ("use",),
    "selftest": ("self_test",),
    "version": ("ARITHMETIC",),
}  # fmt: skip
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module `regrow.exact` has no `{name}`")
    value = getattr(import_module(f"regrow.exact.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
