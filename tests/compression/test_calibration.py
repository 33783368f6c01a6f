"""What matrices read of a text is what they will read in the changed model, however much is read at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from regrow.compression.calibration import Read, changed
from regrow.exact import operations as ops
from regrow.model.config import DecoderConfig
from regrow.model.decoder import TRAINING, Decoder, initialise
from tests.compression.conftest import CONFIG

LENGTH = 8
CONFIGS = {
    "plain": CONFIG,
    "connected": replace(CONFIG, layers=3, skips=((0, 2),)),
    "parallel": replace(CONFIG, parallel=True),
    "learned positions": replace(CONFIG, positions="learned"),
}


def _halved(_name: str, matrix: Tensor, read: Read) -> Tensor:
    assert read.width == matrix.shape[1]
    return matrix * 0.5 + 0.25 * torch.cat(list(read)).mean()


@pytest.mark.parametrize("batch", [1, 3 * LENGTH, 1000])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_matrix_reads_what_it_will_read(config: DecoderConfig, batch: int) -> None:
    parameters = initialise(config, 1)
    if config.skips:
        parameters |= {name: torch.ones_like(x) for name, x in parameters.items() if ".skip." in name}
    names = [
        name for name, x in parameters.items() if name.startswith("layers.") and x.dim() == 2 and "001" not in name
    ]
    tokens = torch.arange(7 * LENGTH).view(7, LENGTH) % config.vocabulary
    become, read, most = dict(parameters), dict[str, Tensor](), 0

    def change(name: str, matrix: Tensor, seen: Read) -> Tensor:
        nonlocal most
        parts = list(seen)
        most = max(most, *(len(part) for part in parts))
        read[name] = torch.cat(parts)
        become[name] = _halved(name, matrix, Read(seen.width, parts))
        return become[name]

    changed(Decoder(config), parameters, names, tokens, change, batch)
    assert list(read) == names
    assert most == min(7 * LENGTH, max(LENGTH, batch))

    of = {id(matrix): name for name, matrix in become.items()}
    found: dict[str, Tensor] = {}

    def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        found[of[id(weight)]] = x
        return ops.linear(x, weight, bias)

    with torch.no_grad():
        Decoder(config).final(become, tokens, replace(TRAINING, linear=linear))
    assert all(torch.equal(read[name], found[name]) for name in names)
