"""How tokens are chosen for a request: as it asks, or as the release is usually let write, and what of both it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from regrow.model.sampling import Sampling
from regrow.model.usual import SEED, Usual
from regrow.serve.http.asked import LARGEST_SEED, Asked
from regrow.serve.http.errors import RefusedError
from regrow.words import shown

_SILENT: Mapping[str, Any] = {
    **asdict(Usual()),
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "logit_bias": {},
    "seed": SEED,
}
"""Where neither a request nor the release says anything: what the model holds likely, as it is."""
_DIGITS = 18
"""Of the number of a token; some thousand of them take Python a while to read."""


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
        """What a request and the settings of a release make together."""
        wanted = {name: value for name in _SILENT if (value := getattr(asked, name)) is not None}
        values = {**_SILENT, **asdict(Usual.of(usual)), **wanted}
        values["top_k"] = max(0, values["top_k"])  # others say -1 for all
        return Chosen(values, tuple(name for name in _SILENT if name not in wanted))

    def samplings(self, count: int, vocabulary: int) -> list[Sampling]:
        """For each of several answers to one prompt.

        Raises:
            RefusedError: if there is no such token as one of `logit_bias`.
        """
        values, bias = self.values, self._bias(vocabulary)
        given = (values["top_p"], values["presence_penalty"], values["frequency_penalty"], bias)
        return [Sampling(values["temperature"], values["top_k"], seed, *given) for seed in self.seeds(count)]

    def seeds(self, count: int) -> Sequence[int]:
        """Of each of several answers to one prompt: the first has the one that is told, the next the next."""
        return [(self.values["seed"] + number) % (LARGEST_SEED + 1) for number in range(count)]

    def _bias(self, vocabulary: int) -> dict[int, float]:
        found = {}
        for token, value in self.values["logit_bias"].items():
            number = int(token) if token.isascii() and token.isdecimal() and len(token) < _DIGITS else vocabulary
            if not (number < vocabulary and str(number) == token):  # 01 would be another name for 1
                why = f"`logit_bias` is for tokens by their numbers, from 0 to {vocabulary - 1:,}"
                raise RefusedError(f"{why}, and {shown(token)} is none", param="logit_bias", code="invalid_value")
            found[number] = float(value)
        return found
