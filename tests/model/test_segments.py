"""A document has the bits that it has alone, wherever it was packed; and workers are sent the same."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.train.task import Batch

CONFIGS = {
    "rotary": DecoderConfig(vocabulary=60, layers=2, width=16, heads=4, kv_heads=2, hidden=24, context=24),
    "dynamic": DecoderConfig(
        vocabulary=60,
        layers=2,
        width=16,
        heads=4,
        kv_heads=2,
        hidden=24,
        context=24,
        rope_scaling="dynamic",
        rope_factor=3.0,
        rope_original_context=8,
    ),
    "learned": DecoderConfig(
        vocabulary=60, layers=1, width=16, heads=2, kv_heads=2, hidden=24, context=24, positions="learned"
    ),
}


def documents(lengths):
    generator = torch.Generator().manual_seed(sum(lengths))
    tokens = [torch.randint(0, 60, (length,), generator=generator) for length in lengths]
    masks = [torch.rand(length - 1, generator=generator) < 0.6 for length in lengths]
    for mask in masks:
        mask[-1] = True
    return tokens, masks


def packed(rows, tokens, masks, context):
    """A batch in which each row holds the documents of those numbers."""
    batch = torch.zeros(len(rows), context + 1, dtype=torch.int64)
    mask = torch.zeros(len(rows), context, dtype=torch.bool)
    segments = torch.zeros(len(rows), context, dtype=torch.int64)
    for row, numbers in enumerate(rows):
        at = 0
        for count, number in enumerate(numbers, 1):
            length = len(tokens[number])
            batch[row, at : at + length] = tokens[number]
            mask[row, at : at + length - 1] = masks[number]
            segments[row, at : at + length - 1] = count
            at += length
    return Batch(batch, mask, segments)


def parameters(config):
    # Large enough that attention is far from even, and every place matters.
    return {name: (9 * value).requires_grad_() for name, value in initialise(config, 1).items()}


def bits(config, weights, batch):
    loss = Decoder(config)(weights, batch.tokens, batch.mask, batch.segments)
    return [loss.detach(), *torch.autograd.grad(loss, list(weights.values()))]


def same(one, other):
    return all(torch.equal(a.view(torch.int32), b.view(torch.int32)) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=6, deadline=None)
@given(lengths=st.lists(st.integers(2, 24), min_size=2, max_size=6), random=st.randoms(use_true_random=False))
def test_a_packed_batch_gives_the_bits_of_the_unpacked_one(name, lengths, random):
    config, (tokens, masks) = CONFIGS[name], documents(lengths)
    weights = parameters(config)
    apart = bits(config, weights, packed([[i] for i in range(len(lengths))], tokens, masks, 24))
    order = random.sample(range(len(lengths)), len(lengths))
    cut = random.randrange(1, len(lengths))
    together = packed([order[:cut], order[cut:]], tokens, masks, sum(lengths))
    assert same(bits(config, weights, together), apart)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_document_alone_is_what_it_is_without_packing(name):
    config, (tokens, masks) = CONFIGS[name], documents([9, 17])
    weights = parameters(config)
    alone = bits(config, weights, Batch(tokens[1][None], masks[1][None]))
    assert same(bits(config, weights, packed([[1]], tokens, masks, 24)), alone)
    assert not same(bits(config, weights, packed([[0, 1]], tokens, masks, 26)), alone)


def test_positions_that_follow_from_the_length_follow_from_that_of_each_document():
    """Beyond the old length of dynamic scaling, where documents of several lengths are turned at several bases."""
    config = CONFIGS["dynamic"]
    tokens, masks = documents((12, 10, 20))
    weights = {name: value.detach() for name, value in parameters(config).items()}

    def read(*rows):
        batch = packed(rows, tokens, masks, 24)
        predicted, _ = Decoder(config).predictions(weights, batch.tokens, batch.mask, batch.segments)
        return predicted

    alone = torch.cat([read([0]), read([1]), read([2])])
    assert torch.equal(read([0, 1], [2]), alone)
    assert torch.equal(read([0], [1], [2]), alone)


def test_no_document_sees_another():
    config, (tokens, masks) = CONFIGS["rotary"], documents([8, 9])
    weights = parameters(config)
    masks[0][:] = False
    before = bits(config, weights, packed([[0, 1]], tokens, masks, 20))[0]
    tokens[0] = (tokens[0] + 7) % 60
    assert torch.equal(bits(config, weights, packed([[0, 1]], tokens, masks, 20))[0], before)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(2, 9), max_size=3), min_size=1, max_size=4))
def test_what_is_sent_to_workers_is_what_they_get(lengths):
    tokens, masks = documents([length for row in lengths for length in row] or [2])
    numbers = iter(range(len(tokens)))
    rows = [[next(numbers) for _ in row] for row in lengths]
    batch = packed(rows, tokens, masks, 30)
    got = Batch.unpacked(batch.packed())
    if not any(rows):
        return
    assert torch.equal(got.tokens, batch.tokens) and torch.equal(got.segments, batch.segments)
    assert torch.equal(got.mask, batch.mask)
    halves = got.split(2)
    assert sum(len(part.segments) for part in halves) == len(rows)
