"""Answers from weights, one text at a time: how a build asks the model that it has made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from regrow.corpus.tokenizer import Tokenizer
from regrow.evaluating.asking import Likely, Span, Writing, Written, before_stop
from regrow.exact.random import uniforms
from regrow.model.cache import Cache
from regrow.model.decoder import Decoder, Weights
from regrow.model.sampling import Chances, Reader, choose
from regrow.model.weights import ends, load_weights


@dataclass(frozen=True)
class Alone:
    """Answers for a model, see :class:`regrow.evaluating.asking.Answering`.

    Attributes:
        decoder: the computation.
        parameters: by name.
        tokenizer: of the model.
        stops: the tokens that end a text.
        usual: how the model is usually let write: members of ``generation_config.json``.
    """

    decoder: Decoder
    parameters: Weights
    tokenizer: Tokenizer
    stops: frozenset[int]
    usual: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def load(folder: Path, tokenizer: Tokenizer) -> Alone:
        """For the weights in a folder.

        Raises:
            InputError: if they cannot be read.
        """
        config, parameters = load_weights(folder)  # as it runs: integers of few bits stay such
        said = ends(folder, tokenizer.end_of_text)
        stops = frozenset((tokenizer.end_of_text, *said.stops))
        return Alone(Decoder(config), parameters, tokenizer, stops, said.settings)

    @property
    def room(self) -> int:
        """Tokens that a text may have."""
        return self.decoder.config.context

    def likely(self, spans: Sequence[Span]) -> Iterator[Likely]:
        """How likely the ends of texts are."""
        return map(self._likely, spans)

    @torch.no_grad()
    def _likely(self, span: Span) -> Likely:
        read = self.decoder.read(self.parameters, torch.tensor([span.tokens[:-1]]), Cache())[0, span.first - 1 :]
        chances = Chances.of(self.decoder.outputs(self.parameters, read).cpu().numpy())
        asked = zip(chances, span.tokens[span.first :], strict=True)
        found = [(one.logprob(token), one.likeliest(1)) for one, token in asked]
        return Likely(tuple(one for one, _ in found), all(one == best for one, ((_, best),) in found))

    def written(self, writings: Sequence[Writing]) -> Iterator[Written]:
        """What follows texts."""
        return map(self._written, writings)

    def _written(self, writing: Writing) -> Written:
        tokens, chosen, text = list(writing.tokens), list[int](), ""
        reader = Reader(self.decoder, self.parameters)
        for draw in uniforms(writing.sampling.seed, "sampling", writing.most):
            token = choose(reader.logits(tokens), float(draw), writing.sampling)
            if token in self.stops:
                return Written(text, tuple(chosen), "stop")
            chosen.append(token)
            tokens.append(token)
            text = self.tokenizer.decode(chosen)
            if (before := before_stop(text, writing.stops)) is not None:
                return Written(before, tuple(chosen), "stop")
        return Written(text, tuple(chosen), "length")
