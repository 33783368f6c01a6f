"""A small GPT-2 trained with `regrow.exact`: the same parameters, bit for bit, on every machine.

python examples/gpt2/train.py
OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python examples/gpt2/train.py   # the same hash
REGROW_BACKEND=reference python examples/gpt2/train.py                # the same hash, more slowly
"""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from regrow import exact

TEXT = Path(__file__).resolve().parents[1] / "tiny" / "texts" / "fables.txt"
SEED = 1


@dataclass(frozen=True)
class Config:
    """The shape of the model, whose tokens are bytes."""

    vocabulary: int = 256
    positions: int = 64
    layers: int = 2
    width: int = 64
    heads: int = 4


def matrix(name: str, rows: int, columns: int, deviation: float = 0.02) -> nn.Parameter:
    """A parameter of normal numbers that depend on the seed and its name."""
    return nn.Parameter(exact.normal((rows, columns), SEED, name, deviation=deviation))


class Linear(nn.Module):
    """A matrix and a bias."""

    def __init__(self, name: str, inputs: int, outputs: int, deviation: float = 0.02) -> None:
        super().__init__()
        self.weight = matrix(name, outputs, inputs, deviation)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return exact.linear(x, self.weight, self.bias)


class LayerNorm(nn.Module):
    """Normalisation with gain and bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same shape."""
        return exact.layer_norm(x, self.gain, self.bias)


class Block(nn.Module):
    """Attention and a perceptron, each added to the residual stream."""

    def __init__(self, name: str, config: Config) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        residual = 0.02 / (2 * config.layers) ** 0.5
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.qkv = Linear(f"{name}.qkv", width, 3 * width)
        self.out = Linear(f"{name}.out", width, width, residual)
        self.up = Linear(f"{name}.up", width, 4 * width)
        self.down = Linear(f"{name}.down", 4 * width, width, residual)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to the same shape."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).unbind(2)
        x = x + self.out(exact.attention(q, k, v).flatten(2))
        return x + self.down(exact.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT2(nn.Module):
    """The model of Radford et al. (2019), small."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.tokens = matrix("tokens", config.vocabulary, config.width)
        self.positions = matrix("positions", config.positions, config.width, 0.01)
        self.blocks = nn.ModuleList(Block(f"blocks.{i}", config) for i in range(config.layers))
        self.norm = LayerNorm(config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """The mean loss in nats of predicting each token of (B, T + 1) from those before it."""
        seen, targets = tokens[:, :-1], tokens[:, 1:]
        # Positions are looked up for every sequence: adding one (T, width) to all would leave the sum of its
        # gradients to torch, which takes it in any order.
        places = torch.arange(seen.shape[1]).expand(seen.shape)
        x = exact.embedding(seen, self.tokens) + exact.embedding(places, self.positions)
        for block in self.blocks:
            x = block(x)
        return exact.linear_cross_entropy(self.norm(x), self.tokens, targets)


def batches(config: Config, steps: int, size: int = 8) -> list[Tensor]:
    """Windows of the text in an order of chance, int64 (size, positions + 1) each."""
    text = torch.frombuffer(bytearray(TEXT.read_bytes()), dtype=torch.uint8).long()
    windows = text.unfold(0, config.positions + 1, 1)
    epochs = -(-steps * size // len(windows))
    order = torch.cat([exact.permutation(len(windows), SEED, f"epoch {i}") for i in range(epochs)])
    return [windows[order[i * size : (i + 1) * size]] for i in range(steps)]


def digest(model: nn.Module) -> str:
    """The sha256 of all parameters in the order of their names."""
    parameters = dict(model.named_parameters())
    return hashlib.sha256(
        b"".join(parameters[name].detach().numpy().tobytes() for name in sorted(parameters))
    ).hexdigest()


def train(steps: int, config: Config = Config()) -> GPT2:
    """Train and print the loss now and then."""
    model = GPT2(config)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = exact.AdamW(groups, lr=3e-3)
    for step, tokens in enumerate(batches(config, steps), 1):
        loss = model(tokens)
        optimizer.zero_grad()
        loss.backward()
        exact.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 10 == 0 or step in (1, steps):
            print(f"step {step:3}  loss {float(loss.detach()):.4f}")
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a small GPT-2 and print the sha256 of its parameters.")
    parser.add_argument("--steps", type=int, default=50)
    print(f"sha256 {digest(train(parser.parse_args().steps))}")
