"""The peer: the same decoder in plain torch, float32 or bfloat16 autocast, with the same parameters and optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from regrow.exact.layers import rotary_tables
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.train.settings import Settings


class PlainDecoder(torch.nn.Module):
    """A Llama-kind decoder with torch's own operations; parameters as in ``regrow.model``.

    ``linear`` takes the place of ``F.linear``, ``first`` gives the initial parameters for a seed.
    """

    def __init__(
        self,
        config: DecoderConfig,
        seed: int = 1,
        linear: Callable[[Tensor, Tensor], Tensor] = F.linear,
        first: Callable[[DecoderConfig, int], dict[str, Tensor]] = initialise,
    ) -> None:
        super().__init__()
        self.config, self.linear = config, linear
        start = first(config, seed)
        self.weights = torch.nn.ParameterDict({name.replace(".", "_"): p.clone() for name, p in start.items()})
        self.cosine, self.sine = rotary_tables(config.context, config.head_width, config.rope_theta)

    def _weight(self, name: str) -> Tensor:
        weight: Tensor = self.weights[name.replace(".", "_")]
        return weight

    def _turn(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        c, s = self.cosine[: x.shape[1], None], self.sine[: x.shape[1], None]
        return torch.cat((first * c - second * s, second * c + first * s), -1)

    def _attention(self, name: str, x: Tensor) -> Tensor:
        config = self.config
        qkv = self.linear(x, self._weight(f"{name}.qkv")).view(*x.shape[:2], -1, config.head_width)
        q, k, v = qkv.split((config.heads, config.kv_heads, config.kv_heads), 2)
        q, k, v = (t.transpose(1, 2) for t in (self._turn(q), self._turn(k), v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=config.heads != config.kv_heads)
        return self.linear(out.transpose(1, 2).reshape(x.shape), self._weight(f"{name}.out"))

    def _mlp(self, name: str, x: Tensor) -> Tensor:
        gate, up = self.linear(x, self._weight(f"{name}.gate_up")).chunk(2, -1)
        return self.linear(F.silu(gate) * up, self._weight(f"{name}.down"))

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.rms_norm(x, (self.config.width,), self._weight(name), self.config.norm_epsilon)

    def forward(self, tokens: Tensor) -> Tensor:
        """The mean loss over ``(B, T + 1)`` tokens."""
        x = F.embedding(tokens[:, :-1], self._weight("embed"))
        for i in range(self.config.layers):
            layer = f"layers.{i:03}"
            x = x + self._attention(f"{layer}.attention", self._norm(f"{layer}.attention.norm", x))
            x = x + self._mlp(f"{layer}.mlp", self._norm(f"{layer}.mlp.norm", x))
        head = self._weight("embed" if self.config.tied_embeddings else "head")
        logits = self.linear(self._norm("norm", x), head)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))  # from bfloat16; float64 stays
        return F.cross_entropy(wide.flatten(0, 1), tokens[:, 1:].reshape(-1))


def optimizer(model: PlainDecoder, settings: Settings) -> torch.optim.AdamW:
    """torch's fused AdamW with the settings' constants; only matrices decay."""
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, eps=settings.epsilon, fused=True)


def step(
    model: PlainDecoder, adamw: torch.optim.AdamW, settings: Settings, number: int, tokens: Tensor, bf16: bool = False
) -> float:
    """One optimizer step over all micro-batches; gives the mean loss."""
    adamw.zero_grad(set_to_none=True)
    parts = tokens.split(settings.micro_batch)
    total = 0.0
    for part in parts:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(part) / len(parts)
        loss.backward()
        total += float(loss.detach())
    if settings.clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    for group in adamw.param_groups:
        group["lr"] = settings.rate(number)
    adamw.step()
    return total


def parameters(config: DecoderConfig) -> int:
    """How many there are."""
    return sum(math.prod(shape) for shape in config.shapes().values())


def state(model: PlainDecoder) -> Mapping[str, Tensor]:
    """The parameters under their names in ``regrow.model``."""
    names = {name.replace(".", "_"): name for name in model.config.shapes()}
    return {names[key]: p.detach() for key, p in model.weights.items()}


def gradients(model: PlainDecoder) -> Mapping[str, Tensor]:
    """Their gradients, under the same names."""
    names = {name.replace(".", "_"): name for name in model.config.shapes()}
    return {names[key]: p.grad for key, p in model.weights.items() if p.grad is not None}


def loaded(
    config: DecoderConfig, weights: Mapping[str, Tensor], linear: Callable[[Tensor, Tensor], Tensor] = F.linear
) -> PlainDecoder:
    """A decoder with the given weights."""
    model = PlainDecoder(config, linear=linear)
    for name, p in state(model).items():
        p.copy_(weights[name])
    return model
