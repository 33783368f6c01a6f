"""What an adapter adds to a base: narrow matrices beside its own, or one sum with them.

Example:
    >>> adapter = fitted(config, files)
    >>> config, parameters = merged(config, parameters, adapter)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from regrow.errors import InputError
from regrow.formats.header import printable
from regrow.model.adapters.files import WEIGHTS, Files, Settings, fits
from regrow.model.adapters.modules import Module, modules
from regrow.model.config import DecoderConfig
from regrow.model.families import families
from regrow.words import listed, some

_ROLES = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_embedding_A": "table_a",
    ".lora_embedding_B": "table_b",
    ".lora_magnitude_vector": "lengths",
    ".lora_magnitude_vector.weight": "lengths",
    ".base_layer.weight": "base",
}
"""How names of tensors end -> what they are."""

_ROWS = 16
"""Rows of a product whose float64 sums stay in the second-level cache."""


@dataclass(frozen=True)
class Pair:
    """A change ``scale * b @ a`` of a matrix.

    Attributes:
        a: float32 ``(r, columns)``.
        b: float32 ``(rows, r)``.
        scale: how much it counts.
        lengths: ``(rows,)``, the lengths to which the rows of the sum are brought; None to leave them (Liu et al.,
            2024).
    """

    a: Tensor
    b: Tensor
    scale: float = 1.0
    lengths: Tensor | None = None


@dataclass(frozen=True)
class Adapter:
    """An adapter that fits a base.

    Attributes:
        pairs: module -> its change.
        saved: tensors of the base's files that were learned whole, by name.
        ties: whether the embedding and a head that is the same are changed together.
    """

    pairs: Mapping[str, Pair]
    saved: Mapping[str, Tensor]
    ties: bool


def fitted(config: DecoderConfig, files: Files, base: Mapping[str, Tensor]) -> Adapter:
    """An adapter as what it does to a base; all of it, or none.

    Args:
        config: of the base.
        files: of the adapter.
        base: the base's tensors by their names in the files of its family.

    Raises:
        InputError: if anything of it is not for this base, or asks for what is not there.
    """
    parts = _sorted(files.tensors)
    known, shapes = modules(config), _shapes(config)
    _require_known({module: tensors for module, tensors in parts.items() if tensors.keys() - {""}}, known)
    pairs = {
        name: _pair(name, known[name], tensors, files.settings) for name, tensors in parts.items() if _is_pair(tensors)
    }
    saved = {name: tensors[""] for name, tensors in parts.items() if "" in tensors}
    for name, values in saved.items():
        _require_shape(name, values, shapes.get(name), shapes)
    for name, tensors in parts.items():
        if "base" in tensors and not torch.equal(tensors["base"], base.get(f"{name}.weight", tensors["base"])):
            raise _unfit(f"the adapter holds the base's `{name}`, and it is another than this base's")
    _require_used(files.settings, known, pairs, saved)
    return Adapter(pairs, saved, files.settings.ties)


def tensors_of(config: DecoderConfig, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Some or all parameters as the tensors of the base's files, the head too where it is the embedding."""
    tensors: dict[str, Tensor] = {}
    for ours, form, theirs in families()[config.family].places(config):
        if ours in parameters:
            tensors |= zip(theirs, form.apart(config, parameters[ours]), strict=True)
    head, embed = _ends(config)
    if config.tied_embeddings and embed in tensors:
        tensors[head] = tensors[embed]
    return tensors


def beside(config: DecoderConfig, pairs: Mapping[str, Pair]) -> dict[str, Tensor]:
    """What the decoder computes beside its matrices: for each that is changed, or a part of which is, ``NAME.lora_a``
    and ``NAME.lora_b``, as it has its matrices. Gradients go through to the pairs.
    """
    known, grouped, found = modules(config), dict[str, list[str]](), dict[str, Tensor]()
    for name, module in known.items():
        if module.is_linear:
            grouped.setdefault(module.ours, []).append(name)
    for ours, names in grouped.items():
        if there := [name for name in names if name in pairs]:
            found[f"{ours}.lora_a"] = torch.cat([pairs[name].a for name in there])
            found[f"{ours}.lora_b"] = _joined(config, known, names, pairs)
    return found


def _joined(config: DecoderConfig, known: Mapping[str, Module], names: list[str], pairs: Mapping[str, Pair]) -> Tensor:
    """The second matrices of a parameter's modules, each with columns of its own, in our order of rows."""
    width, start, pieces = sum(len(pairs[name].a) for name in names if name in pairs), 0, list[Tensor]()
    for name in names:
        if name not in pairs:
            pieces.append(torch.zeros((known[name].rows, width)))
            continue
        pair = pairs[name]
        rank = len(pair.a)
        pieces.append(torch.nn.functional.pad(pair.b * pair.scale, (start, width - start - rank)))
        start += rank
    form = known[names[0]].form
    return pieces[0] if form.turned else form.together(config, pieces)


def merged(
    config: DecoderConfig, parameters: Mapping[str, Tensor], adapter: Adapter
) -> tuple[DecoderConfig, dict[str, Tensor]]:
    """The base with all changes added: each number is summed in float64, in the order of the rank, and rounded once.

    Where that makes another head of one that was the embedding, the two are apart from then on, and the configuration
    says so.
    """
    tensors, known = tensors_of(config, parameters), modules(config)
    head, embed = _ends(config)
    tied = [name for name in (embed, head) if config.tied_embeddings]
    before = tensors[embed]
    for name, pair in adapter.pairs.items():
        weight = tensors[f"{name}.weight"]
        turned = known[name].form.turned
        sum_ = changed(weight.mT if turned else weight, pair)
        tensors[f"{name}.weight"] = sum_.mT.contiguous() if turned else sum_
    tensors |= adapter.saved
    if tied and adapter.ties:
        new = next((tensors[name] for name in tied if tensors[name] is not before), before)
        tensors |= dict.fromkeys(tied, new)
    if tied:
        config = replace(config, tied_embeddings=torch.equal(tensors[embed], tensors[head]))
    return config, families()[config.family].together(config, tensors)


def unmerged(
    config: DecoderConfig, parameters: Mapping[str, Tensor], adapter: Adapter
) -> tuple[DecoderConfig, dict[str, Tensor]]:
    """The same function with the narrow matrices beside those of the layers."""
    known, apart = modules(config), dict[str, Pair]()
    linear = {name: pair for name, pair in adapter.pairs.items() if known[name].is_linear}
    others = {name: pair for name, pair in adapter.pairs.items() if name not in linear}
    tensors = tensors_of(config, parameters)
    for name, pair in linear.items():
        apart[name] = pair
        if pair.lengths is not None:
            turned = known[name].form.turned
            weight = tensors[f"{name}.weight"]
            factor = _factors(changed_rows(weight.mT if turned else weight, pair), pair.lengths)[:, None]
            tensors[f"{name}.weight"] = weight * (factor.mT if turned else factor)
            apart[name] = Pair(pair.a, pair.b * factor, pair.scale)
    given = families()[config.family].together(config, tensors)
    config, given = merged(config, given, replace(adapter, pairs=others))
    return config, {**given, **beside(config, apart)}


def changed(weight: Tensor, pair: Pair) -> Tensor:
    """A matrix ``(rows, columns)`` with its change."""
    total = changed_rows(weight, pair)
    if pair.lengths is not None:
        total *= _factors(total, pair.lengths)[:, None].to(torch.float64)
    return total.to(torch.float32)


def changed_rows(weight: Tensor, pair: Pair) -> Tensor:
    """``weight + scale * b @ a`` in float64, the products, which are exact, added in the order of the rank."""
    out = torch.empty(weight.shape, dtype=torch.float64)
    a, b = pair.a.to(torch.float64), pair.b.to(torch.float64)
    for start in range(0, len(weight), _ROWS):
        rows = slice(start, start + _ROWS)
        total = torch.zeros_like(out[rows])
        for k in range(len(a)):
            total.addcmul_(b[rows, k, None], a[k])
        out[rows] = weight[rows].to(torch.float64) + total * pair.scale
    return out


def _factors(total: Tensor, lengths: Tensor) -> Tensor:
    """What brings rows to their lengths, float32; their own lengths are summed from left to right."""
    own = (total * total).cumsum(1)[:, -1].sqrt()
    return (lengths.to(torch.float64) / own).to(torch.float32)


def _ends(config: DecoderConfig) -> tuple[str, str]:
    """The names of head and embedding."""
    parts = families()[config.family].parameters
    head, embed = (f"{parts[part].modules[0]}.weight" for part in ("head", "embed"))
    return head, embed


def _shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    return families()[config.family].shapes(replace(config, tied_embeddings=False))


def _sorted(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Module -> role -> tensor; a tensor that was learned whole is under its own name, with no role."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, values in tensors.items():
        end = next((end for end in _ROLES if name.endswith(end)), "")
        found.setdefault(name.removesuffix(end) if end else name, {})[_ROLES.get(end, "")] = values
    return found


def _is_pair(tensors: Mapping[str, Tensor]) -> bool:
    return bool(tensors.keys() - {"", "base"})


def _pair(name: str, module: Module, tensors: Mapping[str, Tensor], settings: Settings) -> Pair:
    """The change of a module, if its tensors are those of one."""
    roles = set(tensors) - {"base"}
    lengths = tensors.get("lengths")
    if roles - {"lengths"} == {"a", "b"}:
        a, b = tensors["a"], tensors["b"]
    elif roles == {"table_a", "table_b"} and tensors["table_a"].dim() == tensors["table_b"].dim() == 2:
        a, b = tensors["table_b"].mT, tensors["table_a"].mT
    else:
        raise _unfit(f"`{name}` has {listed(sorted(roles))}, which make no pair of matrices")
    if settings.dora != (lengths is not None):
        raise _unfit(f"`use_dora` is {settings.dora}, and `{name}` has {'no ' if settings.dora else ''}lengths of rows")
    rank = settings.rank_of(name)
    wanted = {"A": (rank, module.columns), "B": (module.rows, rank), "lengths": (module.rows,)}
    found = {"A": a, "B": b} | ({} if lengths is None else {"lengths": lengths.reshape(-1)})
    for part, values in found.items():
        if tuple(values.shape) != wanted[part]:
            raise _unfit(
                f"the matrix {part} beside `{name}` is {tuple(values.shape)}, and not {wanted[part]}: rank {rank}, "
                f"and a base of {module.rows} to {module.columns}"
            )
    return Pair(a, b, settings.scale(name), found.get("lengths"))


def _require_known(parts: Iterable[str], known: Mapping[str, Module]) -> None:
    if strange := [name for name in parts if name not in known]:
        raise _unfit(
            f"the base has no module {some(map(printable, strange))}",
            f"its modules are called like {some(known)}",
        )


def _require_shape(
    name: str, values: Tensor, shape: tuple[int, ...] | None, shapes: Mapping[str, tuple[int, ...]]
) -> None:
    if shape is None:
        raise _unfit(f"the base has no tensor `{printable(name)}`", f"its tensors are called like {some(shapes)}")
    if tuple(values.shape) != shape:
        raise _unfit(f"`{name}` of the adapter is {tuple(values.shape)}, and the base's is {shape}")


def _require_used(
    settings: Settings, known: Mapping[str, Module], pairs: Mapping[str, Pair], saved: Mapping[str, Tensor]
) -> None:
    """Whatever the configuration names is there, and whatever is there was named."""
    whole = {name.rpartition(".")[0] for name in saved}
    for module in settings.saved:
        if not any(name.endswith(module) for name in whole):
            raise _unfit(f"`modules_to_save` names `{printable(module)}`, and the adapter holds no such module")
    if strange := sorted(name for name in whole if not any(name.endswith(one) for one in settings.saved)):
        raise _unfit(f"the adapter holds {some(map(printable, strange))} whole, which `modules_to_save` does not name")
    if strange := sorted(name for name in pairs if not settings.chooses(name)):
        raise _unfit(f"the adapter changes {some(map(printable, strange))}, which `target_modules` does not choose")
    for target in () if isinstance(settings.targets, str) else settings.targets:
        if not any(replace(settings, targets=(target,)).chooses(name) for name in pairs):
            raise _unfit(f"`target_modules` names `{printable(target)}`, and the adapter changes no such module")
    linear = {name for name, module in known.items() if module.is_linear}
    if lacking := sorted(name for name in linear - pairs.keys() - whole if settings.chooses(name)):
        raise _unfit(f"`target_modules` chooses {some(map(printable, lacking))}, for which the adapter has nothing")
    for key, patterns in (("rank_pattern", settings.rank_pattern), ("alpha_pattern", settings.alpha_pattern)):
        for pattern in patterns:
            if not any(fits(pattern, name) for name in pairs):
                raise _unfit(f"`{printable(pattern)}` of `{key}` fits no module that the adapter changes")


def _unfit(why: str, hint: str = "") -> InputError:
    return InputError(
        "the adapter does not fit this base", where=WEIGHTS, why=why, hint=hint or "get the base that it was made for"
    )
