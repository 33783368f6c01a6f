"""The matrices of a decoder as Hugging Face calls them, which is how adapters name what they change.

Example:
    >>> known = modules(config)
    >>> chosen(("q_proj", "layers.0-3.mlp.*"), linear(known))
    ('model.layers.0.self_attn.q_proj', ...)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from regrow.errors import InputError
from regrow.model.config import DecoderConfig
from regrow.model.families import families
from regrow.model.patterns import ends_with
from regrow.model.pieces import Form
from regrow.words import suggestion


@dataclass(frozen=True)
class Module:
    """A module with a matrix.

    Attributes:
        ours: the parameter of ours that it is, or a part of.
        form: how that is cut into modules.
        part: which of them it is.
        rows: outputs of the matrix; of a table of vectors, how many there are.
        columns: inputs; of a table, the width of a vector.
    """

    ours: str
    form: Form
    part: int
    rows: int
    columns: int

    @property
    def is_linear(self) -> bool:
        """Whether it is one of the matrices inside the layers."""
        return self.ours.startswith("layers.")


def modules(config: DecoderConfig) -> dict[str, Module]:
    """All of them by name; the head too where it is the embedding."""
    whole = replace(config, tied_embeddings=False)
    family = families()[config.family]
    shapes, found = family.shapes(whole), dict[str, Module]()
    for ours, form, theirs in family.places(whole):
        for part, name in enumerate(theirs):
            if len(shape := shapes[name]) == 2:
                rows, columns = reversed(shape) if form.turned else shape
                found[name.removesuffix(".weight")] = Module(ours, form, part, rows, columns)
    return found


def linear(known: Mapping[str, Module]) -> tuple[str, ...]:
    """The names of those inside the layers."""
    return tuple(name for name, module in known.items() if module.is_linear)


def alone(config: DecoderConfig) -> dict[str, tuple[str, ...]]:
    """The modules that are a parameter of ours, with its bias, and no part of one; a head that is the embedding too."""
    family, found = families()[config.family], dict[str, tuple[str, ...]]()
    for ours, _, theirs in family.places(config):
        if len(theirs) == 1:
            module = theirs[0].rpartition(".")[0]
            found[module] = (*found.get(module, ()), ours)
    if config.tied_embeddings:
        head, embed = (family.parameters[part].modules[0] for part in ("head", "embed"))
        found[head] = found[embed]
    return found


def chosen(targets: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """The names that end as one of the targets says, in their order.

    A target is the end of a name in whole parts: ``q_proj``, or ``layers.20-29.mlp.*``, where numbers may be ranges and
    ``*`` stands for any parts.

    Raises:
        InputError: if a target fits nothing; it names it.
    """
    names, targets = tuple(names), tuple(targets)
    for target in targets:
        if not any(ends_with(target, name) for name in names):
            raise InputError(
                f"no module of this model fits `{target}`",
                why="a target is the end of a module's name, in whole parts; `*` stands for any",
                hint=suggestion(target, dict.fromkeys(name.rpartition(".")[2] for name in names), "there are"),
            )
    return tuple(name for name in names if any(ends_with(target, name) for target in targets))


def briefly(some: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Some of the names as targets of PEFT, sorted: by their last parts, if no other name ends so."""
    wanted = set(some)
    last = {name.rpartition(".")[2] for name in wanted}
    return tuple(sorted(last if {name for name in names if name.rpartition(".")[2] in last} == wanted else wanted))
