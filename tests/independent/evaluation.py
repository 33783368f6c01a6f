"""Measuring a model and letting it write, from docs/arithmetic.md alone."""

import math

import numpy as np

from .arithmetic import exp64, f64, hexadecimal, log64, uniforms
from .decoder import logits, loss_and_gradients

LN2 = hexadecimal("0x1.62e42fefa39efp-1")


def evaluation(shape, parameters, train, held_out, held_out_bytes):
    """What ``evaluation.json`` says, given the rows of tokens of both parts."""
    nats, tokens = validation(shape, parameters, held_out), len(held_out) - 1
    return {
        "validation": {
            "bytes": held_out_bytes,
            "tokens": tokens,
            "loss": nats / tokens,
            "bits_per_byte": nats / LN2 / held_out_bytes,
        },
        "unigram": {"bits_per_byte": unigram(shape.vocabulary, train, held_out) / LN2 / held_out_bytes},
    }


def validation(shape, parameters, row):
    """The summed loss over all tokens but the first."""
    length = shape.context
    whole, nats = (len(row) - 1) // length, 0.0
    batches = [
        [row[i * length : (i + 1) * length + 1] for i in range(start, min(whole, start + 16))]
        for start in range(0, whole, 16)
    ]
    if len(rest := row[whole * length :]) > 1:
        batches.append([rest])
    for sequences in batches:
        tokens = np.stack(sequences).astype(np.int64)
        loss, _ = loss_and_gradients(shape, parameters, tokens)
        nats += float(loss) * tokens[:, 1:].size
    return nats


def on_the_way(shape, parameters, row, most):
    """The loss that is measured during training, on at most so many whole sequences."""
    length, nats = shape.context, 0.0
    whole = (len(row) - 1) // length
    taken = min(whole, most)
    starts = [i * whole // taken * length for i in range(taken)]
    for first in range(0, taken, 16):
        tokens = np.stack([row[start : start + length + 1] for start in starts[first : first + 16]]).astype(np.int64)
        nats += float(loss_and_gradients(shape, parameters, tokens)[0]) * tokens[:, 1:].size
    return nats / (taken * length)


def unigram(vocabulary, train, row):
    """The summed loss of the training frequencies over all tokens but the first."""
    counts = np.bincount(train, minlength=vocabulary).astype(f64) + 1.0
    costs = log64(np.array([len(train) + vocabulary], f64)) - log64(counts)
    seen = np.bincount(row[1:], minlength=vocabulary).astype(f64)
    return math.fsum(seen * costs)


def generate(shape, parameters, prompt, count, temperature, top, seed, stop=None, **settings):
    """Tokens that continue a prompt."""
    tokens, found = list(prompt), []
    for draw in uniforms(seed, "sampling", count):
        half, first = shape.context // 2, 0
        while len(tokens) - first > shape.context:
            first += half
        row = logits(shape, parameters, np.array([tokens[first:]]))[0, -1]
        token = choose(row, draw, temperature, top, written=found, **settings)
        if token == stop:
            break
        found.append(token)
        tokens.append(token)
    return found


def choose(
    row, draw, temperature, top, top_p=1.0, presence_penalty=0.0, frequency_penalty=0.0, logit_bias=(), written=()
):
    """The token that ``draw`` picks from logits."""
    row = adjusted(row, presence_penalty, frequency_penalty, dict(logit_bias), written)
    order = sorted(range(len(row)), key=lambda i: (-row[i], i))[: top or None]
    if temperature == 0.0:
        return order[0]
    scaled = (row[order] - row[order[0]]).astype(f64) / temperature
    cumulative, total = [], 0.0
    for weight in exp64(np.maximum(scaled, -700.0)):
        total += weight
        cumulative.append(total)
    if top_p < 1.0:
        enough = [i for i, weight in enumerate(cumulative) if weight >= top_p * total]
        cumulative = cumulative[: enough[0] + 1]
        total = cumulative[-1]
    places = (i for i, weight in enumerate(cumulative) if weight > draw * total)
    return order[next(places, len(cumulative) - 1)]


def adjusted(row, presence, frequency, bias, written):
    """Logits with what was asked for and what was written taken into account."""
    found = list(row)
    for token, logit in enumerate(row):
        times = list(written).count(token)
        if token in bias or (times and (presence or frequency)):
            value = f64(logit) + bias.get(token, 0.0)
            if times:
                value = value - (presence + frequency * times)
            found[token] = np.float32(value)
    return np.array(found, np.float32)


def logprobs(row):
    """The logarithm of the probability of each token."""
    largest = f64(max(row))
    if not np.isfinite(largest):
        return np.full(len(row), np.nan)
    lanes = np.zeros(8)
    for i, weight in enumerate(exp64(np.maximum(row.astype(f64) - largest, -700.0))):
        lanes[i % 8] += weight
    a, b, c, d, e, f, g, h = lanes
    total = ((a + e) + (c + g)) + ((b + f) + (d + h))
    return (row.astype(f64) - largest) - log64(np.array([total]))
