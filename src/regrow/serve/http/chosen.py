"""How tokens are chosen for a request: as it asks, or as the release is usually let write, and what of both it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from regrow.model.sampling import Sampling
from regrow.serve.http.asked import HOTTEST, LARGEST_SEED, Asked
from regrow.serve.http.errors import RefusedError

SEED = 1
"""As `regrow chat` has it: the same request gives the same answer, until another seed is asked for."""
_PLAIN: Mapping[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": SEED}
"""Where neither a request nor the release says anything: what the model holds likely, as it is."""
_IDLE: Mapping[str, Any] = {"presence_penalty": 0.0, "frequency_penalty": 0.0, "logit_bias": {}}
"""What is not usually said, and what it then is."""
_OURS = {"top_k": "top"}
_KNOWN = frozenset(field.name for field in fields(Sampling))


@dataclass(frozen=True)
class Chosen:
    """What is used.

    Attributes:
        values: by the names that requests have for them.
        usual: the names of those that were not asked for.
    """

    values: Mapping[str, Any]
    usual: tuple[str, ...]

    @staticmethod
    def of(asked: Asked, usual: Mapping[str, Any]) -> Chosen:
        """What a request and the settings of a release make together.

        Raises:
            RefusedError: if the engine cannot choose so.
        """
        wanted = {name: getattr(asked, name) for name in (*_PLAIN, *_IDLE)}
        silent = tuple(name for name in _PLAIN if wanted[name] is None)
        values = {**_PLAIN, **_IDLE, **_said(usual), **{name: x for name, x in wanted.items() if x is not None}}
        values["top_k"] = max(0, values["top_k"])  # others say -1 for all
        for name, value in values.items():
            if _OURS.get(name, name) not in _KNOWN and value != {**_PLAIN, **_IDLE}[name]:
                raise RefusedError(f"`{name}` is not supported", param=name, code="unsupported_parameter")
        return Chosen(values, silent)

    def sampling(self, number: int) -> Sampling:
        """For the answer of a number, from 0, of several to one prompt: the first has the seed, the next the next."""
        ours = {_OURS.get(name, name): value for name, value in self.values.items()}
        ours["seed"] = self.seed(number)
        return Sampling(**{name: value for name, value in ours.items() if name in _KNOWN})

    def seed(self, number: int) -> int:
        """Of an answer of several."""
        return int(self.values["seed"] + number) % (LARGEST_SEED + 1)


def unheeded(usual: Mapping[str, Any]) -> list[str]:
    """What a release says of how it is let write that is not done here."""
    idle = {"repetition_penalty": 1, "no_repeat_ngram_size": 0, "min_p": 0, "typical_p": 1, "num_beams": 1, "top_p": 1}
    return [name for name, value in idle.items() if usual.get(name, value) not in (value, None) and name not in _KNOWN]


def _said(usual: Mapping[str, Any]) -> dict[str, Any]:
    """Of the settings of a release those that can be followed; one that does not sample takes the likeliest."""
    if usual.get("do_sample") is False:
        return {"temperature": 0.0}
    said = {name: usual[name] for name in ("temperature", "top_p") if _is_number(usual.get(name))}
    if type(top := usual.get("top_k")) is int:
        said["top_k"] = top
    if "temperature" in said:
        said["temperature"] = min(max(float(said["temperature"]), 0.0), HOTTEST)
    if "top_p" not in _KNOWN:
        said.pop("top_p", None)
    return said


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
