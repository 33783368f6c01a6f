"""What stands in a ``config.json``, and which of our options it says: each way from one declaration.

Example:
    >>> Key("num_hidden_layers", "layers").read({"num_hidden_layers": 3}, {})
    {'layers': 3}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from regrow.model.config import LONGEST, DecoderConfig, hints
from regrow.model.options import OptionError, checked
from regrow.words import listed, shown

REQUIRED = object()
ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh",
}  # fmt: skip
"""Hugging Face's names of the activations there are, and ours; of several, the first is written."""

_WHY = "what another value asks for is not computed here"
_HINT = "such a model cannot be read"

Values = Mapping[str, Any]


class Member(Protocol):
    """Some keys of a ``config.json``, and the options they say."""

    def read(self, values: Values, said: Values) -> dict[str, Any]:
        """The options, given all keys and the options that were read before.

        Raises:
            OptionError: naming the key.
        """

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """The keys."""

    def place(self, option: str) -> str | None:
        """The key that says an option, if one of these does."""


@dataclass(frozen=True)
class Key:
    """A key that says one option.

    Attributes:
        name: the key.
        option: our name.
        absent: what it means if it is not there, or null: a value of ours, or a function of what was read before;
            None for what a decoder has by itself.
        words: ours for theirs, where they differ.
        check: what is wrong with a value in this family only, in words, given what was read before.
    """

    name: str
    option: str
    absent: Any = REQUIRED
    words: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Any, Values], str] = lambda value, said: ""

    def read(self, values: Values, said: Values) -> dict[str, Any]:
        """See :class:`Member`."""
        value = values.get(self.name)
        if value is None and self.absent is None:
            return {}
        if value is None and self.absent is not REQUIRED:
            return {self.option: self.absent(said) if callable(self.absent) else self.absent}
        if self.name not in values:
            raise OptionError("missing", where=self.name)
        if self.words:
            value = _ours(self.name, self.words, value)
        value = checked(self.name, hints()[self.option], value)
        if fault := self.check(value, said):
            raise OptionError(fault, where=self.name)
        return {self.option: value}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """See :class:`Member`."""
        value = getattr(config, self.option)
        return {self.name: _theirs(self.words, value) if self.words else value}

    def place(self, option: str) -> str | None:
        """See :class:`Member`."""
        return self.name if option == self.option else None


@dataclass(frozen=True)
class Fixed:
    """A key that has one value wherever the family is one that can be computed here."""

    name: str
    value: Any

    def read(self, values: Values, said: Values) -> dict[str, Any]:
        """See :class:`Member`."""
        if (found := values.get(self.name, self.value)) != self.value:
            raise OptionError(f"must be {shown(self.value)}, not {shown(found)}", where=self.name, why=_WHY, hint=_HINT)
        return {}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """See :class:`Member`."""
        return {self.name: self.value}

    def place(self, option: str) -> str | None:
        """See :class:`Member`."""
        return None


SCALINGS = {"default": "none", "linear": "linear", "llama3": "llama3", "yarn": "yarn", "dynamic": "dynamic"}
_ORIGINAL = "original_max_position_embeddings"
_SCALED = {
    _ORIGINAL: ("rope_original_context", ("llama3", "yarn")),
    "factor": ("rope_factor", ("linear", "llama3", "yarn", "dynamic")),
    "low_freq_factor": ("rope_low_factor", ("llama3",)),
    "high_freq_factor": ("rope_high_factor", ("llama3",)),
}
_MAY_BE_SAID = {
    "beta_fast": "rope_beta_fast",
    "beta_slow": "rope_beta_slow",
    "truncate": "rope_truncate",
    "attention_factor": "rope_attention_factor",
    "mscale": "rope_mscale",
    "mscale_all_dim": "rope_mscale_all_dim",
}
"""Of YaRN, and written where they are not as usual."""

INTENDED = "max_sequence_length"
"""How long sequences are meant to get where `max_position_embeddings` has to stay what it was: with `dynamic` scaling
transformers takes that for the length from which on the base grows. A key of our own.
"""


@dataclass(frozen=True)
class Rotary:
    """The table ``rope_parameters``; before transformers 5, ``rope_scaling`` with other keys beside it.

    Attributes:
        theta: the older key of the base.
        share: the older key of the share that is turned, if there can be one.
        usual: the base if none is named.
        usual_share: the share if none is named.
        context: the key of the longest sequence.
    """

    theta: str = "rope_theta"
    share: str = ""
    usual: float = 10000.0
    usual_share: float = 1.0
    context: str = "max_position_embeddings"

    def read(self, values: Values, said: Values) -> dict[str, Any]:
        """See :class:`Member`."""
        keys = dict(self._keys(values))
        kind, where = keys["rope_scaling"]
        scaling = _ours(where, SCALINGS, "default" if kind is None else kind)
        found: dict[str, Any] = {"rope_scaling": scaling}
        for option, usual in (("rope_theta", self.usual), ("rope_share", self.usual_share)):
            value, where = keys[option]
            found[option] = usual if value is None else checked(where, hints()[option], value)
        for option, scalings in _SCALED.values():
            if scaling in scalings:
                value, where = keys[option]
                value = _implied(option, found, said) if value is None else value
                found[option] = checked(where, hints()[option], value)
        for option in _MAY_BE_SAID.values() if scaling == "yarn" else ():
            value, where = keys[option]
            if value is not None:
                found[option] = checked(where, hints()[option], value)
        if scaling == "dynamic":
            found["rope_original_context"] = said["context"]
            longer = min(int(found["rope_factor"] * said["context"]), max(LONGEST, said["context"]))
            found["context"] = checked(INTENDED, hints()["context"], values.get(INTENDED, longer))
        return found

    def _keys(self, values: Values) -> Iterator[tuple[str, tuple[Any, str]]]:
        """Each option with its value, None if there is none, and where it stands."""
        name = "rope_parameters" if values.get("rope_parameters") is not None else "rope_scaling"
        table = values.get(name) or {}
        if not isinstance(table, Mapping):
            raise OptionError(f"must be a table, not {shown(table)}", where=name)
        if parts := [key for key, value in table.items() if isinstance(value, Mapping)]:
            raise OptionError(
                f"must be one table, not one for each of {listed(parts)}",
                where=name,
                why="layers that are not all alike are not known here",
                hint=_HINT,
            )
        for option, key, older in (
            ("rope_theta", "rope_theta", self.theta),
            ("rope_share", "partial_rotary_factor", self.share),
        ):
            place = (table.get(key), f"{name}.{key}")
            yield option, place if key in table or not older else (values.get(older), older)
        kind = "rope_type" if "rope_type" in table or "type" not in table else "type"
        yield "rope_scaling", (table.get(kind), f"{name}.{kind}")
        for key, option in {**{key: option for key, (option, _) in _SCALED.items()}, **_MAY_BE_SAID}.items():
            yield option, (table.get(key), f"{name}.{key}")
        if _ORIGINAL in values:  # beside the table it comes first, as in transformers
            yield "rope_original_context", (values[_ORIGINAL], _ORIGINAL)

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """See :class:`Member`."""
        table: dict[str, Any] = {"rope_theta": config.rope_theta, "rope_type": _theirs(SCALINGS, config.rope_scaling)}
        older = {self.theta: config.rope_theta}
        if self.share:
            table["partial_rotary_factor"] = older[self.share] = config.rope_share
        for key, (option, scalings) in _SCALED.items():
            if config.rope_scaling in scalings:
                table[key] = getattr(config, option)
        if config.rope_scaling == "yarn":
            usual = {one.name: one.default for one in fields(config)}
            said = {key: (getattr(config, option), usual[option]) for key, option in _MAY_BE_SAID.items()}
            table |= {key: value for key, (value, default) in said.items() if value != default}
        if config.rope_scaling == "dynamic":
            older |= {self.context: config.rope_original_context, INTENDED: config.context}
        return {"rope_parameters": table, **older}

    def place(self, option: str) -> str | None:
        """See :class:`Member`."""
        return "rope_parameters" if option.startswith("rope_") else None


def _implied(option: str, found: Values, said: Values) -> Any:
    """What transformers takes if a table does not say it; None if it has to be said."""
    if option == "rope_original_context":
        return said["context"]
    if option == "rope_factor" and found["rope_scaling"] == "yarn":
        return said["context"] / found["rope_original_context"]
    return None


def _ours(where: str, words: Mapping[str, str], value: Any) -> str:
    if not isinstance(value, str) or value not in words:
        raise OptionError(f"must be one of {listed(words)}, not {shown(value)}", where=where, why=_WHY, hint=_HINT)
    return words[value]


def _theirs(words: Mapping[str, str], value: str) -> str:
    return next((theirs for theirs, ours in words.items() if ours == value), value)
