"""Templates of others, rendered where they can do no harm.

A chat template is a program that comes with a model. It is read before it runs, and refused if it uses anything but
what such templates need. What is left can only make text; but it could do so for ever, or fill the memory. So each
value that it makes and each turn of a loop is paid for out of a budget, which depends on nothing but what goes in: the
same template is refused on every machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import FILTERS, do_indent, sync_do_join
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from regrow.errors import InputError
from regrow.words import listed

LARGEST = 1 << 20
"""Characters of a template."""

_BASE, _FOR_EACH = 1_000_000, 200
"""What a rendering may cost in all, and in addition for each character that goes in."""
_BITS = 1024  # of a whole number: more than any template counts
_HINT = "use a template that does without, or a model that brings one"

_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "safe", "select",
    "selectattr", "sort", "string", "title", "trim", "unique", "upper", "wordcount",
)  # fmt: skip
_GLANCES = frozenset(("count", "d", "default", "first", "last", "length"))
"""Filters that do not go through what they are given."""
_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(
        (
            "capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdecimal", "isdigit", "islower",
            "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip", "partition", "removeprefix",
            "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "split", "splitlines",
            "startswith", "strip", "swapcase", "title", "upper",
        )
    ),
    dict: frozenset(("copy", "get", "items", "keys", "values")),
    list: frozenset(("count", "index")),
    tuple: frozenset(("count", "index")),
}  # fmt: skip
_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.NSRef, nodes.If, nodes.For,
    nodes.Macro, nodes.CallBlock, nodes.Assign, nodes.AssignBlock, nodes.With, nodes.Scope, nodes.Continue, nodes.Break,
    nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Filter, nodes.Test, nodes.Call, nodes.Getattr,
    nodes.Getitem, nodes.Slice, nodes.Concat, nodes.Compare, nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div,
    nodes.FloorDiv, nodes.Mod, nodes.Pow, nodes.Not, nodes.Neg, nodes.Pos, nodes.And, nodes.Or, nodes.CondExpr,
)  # fmt: skip
_FORMATS = ("format", "format_map")
_PLAIN_FORMAT = re.compile(r"(?:[^%]|%[sdi%])*")
_LOCAL = ("_block_vars", "_loop_vars")  # what Jinja hands to functions that ask for the context
_SPEND, _SEEN = "__spend", "__seen"  # no name of a template begins so


@dataclass(frozen=True)
class Template:
    """A template that has been read and found harmless.

    Attributes:
        source: the text of the template.
        where: it lies, for messages.
    """

    source: str
    where: str

    def render(self, values: Mapping[str, Any]) -> str:
        """The text that it makes of plain values.

        Raises:
            InputError: if the template may not be run, fails, refuses the values, or makes more than it may.
        """
        budget = _Budget(self.where, _BASE)
        budget.left += _FOR_EACH * budget.size(values)
        try:
            made: str = self._compiled.render(**values, **{_SPEND: budget.spend, _SEEN: budget.seen})
            return made
        except InputError:
            raise
        except _Said as error:
            raise InputError("the chat template refuses the messages", where=self.where, why=str(error)) from None
        except Exception as error:  # whatever a program can do wrong
            raise InputError("the chat template fails", where=self.where, why=_reason(error), hint=_HINT) from error

    @cached_property
    def _compiled(self) -> Any:
        if len(self.source) > LARGEST:
            why = f"it has {len(self.source):,} characters, and {LARGEST:,} are read"
            raise InputError("the chat template is too long", where=self.where, why=why, hint=_HINT)
        environment = _environment()
        try:
            tree = environment.parse(self.source)
            refused = next(_refused(tree, environment), None)
            if refused is None:
                weights = {id(node): _weight(node) for node in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock))}
                metered = _Meters(weights).visit(tree)
                metered.set_environment(environment)
                return environment.from_string(metered)
        except Exception as error:  # a parser that is written in Python has many ways of giving up
            line = getattr(error, "lineno", None)
            where = f"{self.where}:{line}" if line else self.where
            raise InputError("the chat template cannot be read", where=where, why=_reason(error), hint=_HINT) from error
        line, what = refused
        where = f"{self.where}:{line}"
        raise InputError(f"the chat template uses {what}", where=where, why="it is not run", hint=_HINT)


class _Said(TemplateError):
    """What a template says of the messages, by `raise_exception`."""


class _Budget:
    """What a rendering may still cost: a unit for each character, value and turn."""

    def __init__(self, where: str, left: int) -> None:
        self.where, self.left = where, left

    def spend(self, cost: int) -> bool:
        """Pay; True, so that it can stand in a condition.

        Raises:
            InputError: if there is not as much left.
        """
        self.left -= cost
        if self.left < 0:
            raise InputError(
                "the chat template does not come to an end",
                where=self.where,
                why="it makes more text and takes more turns than any conversation of this length needs",
                hint=_HINT,
            )
        return True

    def seen(self, value: Any) -> Any:
        """Pay for a value and all that is in it; the same value."""
        if isinstance(value, str):
            self.spend(len(value) + 1)
            return value
        self.size(value, self.spend)
        return value

    @staticmethod
    def size(value: Any, pay: Callable[[int], object] = lambda cost: None) -> int:
        """How much text a value is at least; ``pay`` is called as it is added up."""
        total, waiting = 0, [value]
        while waiting:
            one = waiting.pop()
            cost = len(one) + 1 if isinstance(one, str) else 1
            total += cost
            pay(cost)
            if isinstance(one, Mapping):
                waiting.extend(one.keys())
                waiting.extend(one.values())
            elif isinstance(one, _SEVERAL):
                waiting.extend(one)
        return total


_SEVERAL: tuple[Any, ...] = (list, tuple, type({}.items()), type({}.keys()), type({}.values()))


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with those methods of values alone that are known, and each operation paid for."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if not super().is_safe_attribute(obj, attr, value):
            return False
        return next((attr in known for kind, known in _METHODS.items() if isinstance(obj, kind)), _is_ours(obj))

    def wrap_str_format(self, value: Any) -> None:
        if getattr(value, "__name__", "") in _FORMATS and isinstance(getattr(value, "__self__", None), str):
            raise SecurityError("`format` can reach into what it formats")

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        if getattr(__obj, "__self__", None).__class__ is _Budget:
            return __obj(*args)
        budget = _budget(__context)
        budget.seen((args, {name: value for name, value in kwargs.items() if name not in _LOCAL}))
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(owner, str):
            budget.spend(len(owner) + _growth(name, owner, args))
        return budget.seen(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget = _budget(context)
        budget.seen((left, right))
        for one, other in ((left, right), (right, left)):
            if operator == "*" and isinstance(one, (str, list, tuple)) and isinstance(other, int):
                budget.spend(max(0, budget.size(one) * other))
        if operator == "%" and isinstance(left, str) and not _PLAIN_FORMAT.fullmatch(left):
            raise SecurityError("`%` formats with widths")
        if operator == "**" and not _is_small(left, right):
            raise SecurityError("the number is too large")
        made = super().call_binop(context, operator, left, right)
        if isinstance(made, int) and made.bit_length() > _BITS:
            raise SecurityError("the number is too large")
        return budget.seen(made)


class _Names(Namespace):
    """Variables that outlive a loop. It does not show what it holds, which nobody has paid for."""

    def __repr__(self) -> str:
        return "<Namespace>"


class _Generation(Extension):
    """The tag around what a model says, which changes nothing of the text."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)


def _environment() -> _Environment:
    environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    ours = {"indent": _indent, "join": _join, "replace": _replace, "tojson": _tojson}
    environment.filters = {**{name: FILTERS[name] for name in _FILTERS}, **ours}
    environment.globals = {
        "range": environment.globals["range"],
        "dict": lambda *args, **kwargs: dict(*args, **kwargs),
        "namespace": lambda *args, **kwargs: _Names(*args, **kwargs),
        "raise_exception": _raise_exception,
    }
    return environment


def _budget(context: Context) -> _Budget:
    budget: _Budget = context.parent[_SPEND].__self__
    return budget


def _is_ours(value: Any) -> bool:
    """Whether it is of a class of the template language, all of whose public attributes are meant for templates."""
    return isinstance(value, Namespace) or type(value).__module__ == "jinja2.runtime"


def _is_small(base: Any, exponent: Any) -> bool:
    """Whether a power can be taken in no time."""
    if isinstance(base, int) and isinstance(exponent, int):
        return base.bit_length() * max(0, exponent) <= _BITS
    return True


def _growth(name: str, owner: str, args: tuple[Any, ...]) -> int:
    """How much longer a method can make a text than what it is given."""
    if name == "replace" and len(args) >= 2 and all(isinstance(text, str) for text in args[:2]):
        return owner.count(args[0]) * len(args[1])
    if name == "join" and args:
        return len(owner) * len(args[0]) if hasattr(args[0], "__len__") else 0
    return 0


def _raise_exception(message: Any = "") -> NoReturn:
    raise _Said(str(message))


def _pay(context: Context, cost: int) -> None:
    _budget(context).spend(cost)


@pass_context
def _replace(context: Context, text: Any, old: str, new: str, count: int | None = None) -> str:
    text = str(text)
    _pay(context, text.count(str(old)) * len(str(new)))
    replaced: str = text.replace(str(old), str(new), -1 if count is None else count)
    return replaced


@pass_context
def _join(context: Context, values: Any, between: str = "", attribute: str | int | None = None) -> str:
    values = list(values)
    _pay(context, len(values) * (len(str(between)) + 1))
    return str(sync_do_join(context.eval_ctx, values, str(between), attribute))


@pass_context
def _indent(context: Context, text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    _pay(context, (text.count("\n") + 1) * (len(width) if isinstance(width, str) else max(0, width)))
    return do_indent(text, width, first, blank)


@pass_context
def _tojson(
    context: Context,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """As transformers' own has it: nothing is escaped for HTML."""
    wide = len(indent) if isinstance(indent, str) else max(0, indent or 0)
    _pay(context, _Budget.size(value) * (1 + wide))
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _weight(node: nodes.Node) -> int:
    """What a turn through a body costs: what stands in it."""
    inside = (len(one.data) if isinstance(one, nodes.TemplateData) else 1 for one in node.find_all(nodes.Node))
    return 1 + sum(inside)


def _refused(tree: nodes.Template, environment: _Environment) -> Iterator[tuple[int, str]]:
    """What a template uses and may not, each with its line."""
    for node in tree.find_all(nodes.Node):
        for what in _faults(node, environment):
            yield node.lineno, what


def _faults(node: nodes.Node, environment: _Environment) -> Iterator[str]:
    if not isinstance(node, _NODES):
        yield f"`{type(node).__name__.lower()}`, which is not for chat templates"
    name = next((getattr(node, part) for part in ("attr", "name", "key") if hasattr(node, part)), None)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        name = node.arg.value
    if isinstance(name, str) and name.startswith("__"):
        yield f"the name `{name}`, which leads into Python"
    if isinstance(node, (nodes.Getattr, nodes.NSRef)) and isinstance(name, str) and name.startswith("_"):
        yield f"the attribute `{name}`, which is private"
    if isinstance(node, (nodes.Getattr, nodes.Getitem)) and name in _FORMATS:
        yield f"`{name}`, which can reach into what it formats"
    if isinstance(node, nodes.Filter) and node.name not in environment.filters:
        yield f"the filter `{node.name}`, and known are {listed(sorted(environment.filters))}"
    if isinstance(node, nodes.Filter) and node.name == "map" and (node.args or node.dyn_args or node.dyn_kwargs):
        yield "`map` with a filter; known is `map(attribute=...)`"
    if isinstance(node, nodes.Filter) and node.node is None:
        yield "a filter of a block"
    if isinstance(node, nodes.Test) and node.name not in environment.tests:
        yield f"the test `{node.name}`, and known are {listed(sorted(environment.tests))}"
    if isinstance(node, nodes.For) and node.recursive:
        yield "a recursive loop"


class _Meters(NodeTransformer):
    """Puts into a template what pays for its turns and its values."""

    def __init__(self, weights: Mapping[int, int]) -> None:
        self._weights = weights

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        spend = self._spend(node)
        self.generic_visit(node)
        if node.test is not None:
            node.test = nodes.And(spend, node.test, lineno=node.lineno)
        return self._counted(node, spend)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        spend = self._spend(node)
        return self._counted(self.generic_visit(node), spend)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        spend = self._spend(node)
        # What is called stays a call, and is visited for what is in it.
        node.call = self.generic_visit(node.call)  # type: ignore[assignment]
        node.body = [self.visit(one) for one in node.body]
        return self._counted(node, spend)

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        glances = node.name in _GLANCES
        self.generic_visit(node)
        if not glances and node.node is not None:
            node.node = _seen(node.node)
        return _seen(node)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.args:
            node.node, node.args = _seen(node.node), [_seen(one) for one in node.args]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [_seen(one) for one in node.nodes]
        return _seen(node)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _seen(node.expr)
        for operand in node.ops:
            operand.expr = _seen(operand.expr)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [one if isinstance(one, nodes.TemplateData) else _seen(one) for one in node.nodes]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            return _seen(node)
        if not isinstance(node.arg, nodes.Const):
            node.arg = _seen(node.arg)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        return _seen(self.generic_visit(node))

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        return _seen(self.generic_visit(node))

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _seen(node) if node.ctx == "load" else node

    def _spend(self, node: nodes.Node) -> nodes.Expr:
        return _call(_SPEND, nodes.Const(self._weights[id(node)], lineno=node.lineno))

    @staticmethod
    def _counted(node: Any, spend: nodes.Expr) -> nodes.Node:
        node.body = [nodes.ExprStmt(spend, lineno=node.lineno), *node.body]
        counted_node: nodes.Node = node
        return counted_node


def _seen(node: nodes.Node) -> nodes.Call:
    return _call(_SEEN, node)


def _call(name: str, argument: nodes.Node) -> nodes.Call:
    line = argument.lineno
    return nodes.Call(nodes.Name(name, "load", lineno=line), [argument], [], None, None, lineno=line)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it goes too deep"
    return str(error) or type(error).__name__
