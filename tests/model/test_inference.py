"""What a position gives follows from its token and those before it, and from nothing else."""

import functools
import itertools
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.exact import comparison, inference, ordered, ordered_attention
from regrow.exact.random import uniforms
from regrow.exact.selection import use
from regrow.model import sampling
from regrow.model.cache import Cache
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise

CONFIG = DecoderConfig(vocabulary=50, layers=2, width=24, heads=4, kv_heads=2, hidden=20, context=90)
CONFIGS = {
    "llama": CONFIG,
    "learned": replace(CONFIG, positions="learned", norm="layer", gated=False, activation="gelu", qkv_bias=True),
    "parallel": replace(CONFIG, parallel=True, rope_share=0.5, head_width=8, kv_heads=4, norm="layer"),
    "whole": replace(CONFIG, norm_place="after", head_norm="whole", kv_heads=1, tied_embeddings=False),
}
LENGTH = 80


def made(config):
    """Parameters large enough for positions to matter, biases included."""
    return {n: p * 9.0 if p.dim() > 1 else p + 0.1 for n, p in initialise(config, 1).items()}


MODELS = {name: (Decoder(config), made(config)) for name, config in CONFIGS.items()}
TOKENS = torch.arange(2 * LENGTH).view(2, LENGTH) ** 2 * 7 % 50


@functools.cache
def whole(name):
    """What the whole texts give, read at once."""
    decoder, parameters = MODELS[name]
    return decoder.logits(parameters, TOKENS)


def parts(cuts):
    """The slices between cuts of the positions."""
    ends = [0, *sorted(cuts), LENGTH]
    return [slice(a, b) for a, b in itertools.pairwise(ends) if a < b]


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(list(CONFIGS)),
    cuts=st.sets(st.integers(1, LENGTH - 1), max_size=9),
    row=st.sampled_from([slice(0, 1), slice(1, 2), slice(0, 2), slice(None, None, -1)]),
)
def test_logits_depend_neither_on_the_parts_in_which_a_text_is_read_nor_on_other_texts(name, cuts, row):
    (decoder, parameters), cache = MODELS[name], Cache()
    tokens = TOKENS.flip(0) if row.step else TOKENS[row]
    found = [decoder.logits(parameters, tokens[:, part], cache) for part in parts(cuts)]
    expected = whole(name).flip(0) if row.step else whole(name)[row]
    assert comparison.difference(torch.cat(found, 1), expected.contiguous()) == ""
    assert cache.length == LENGTH


@pytest.mark.parametrize("name", CONFIGS)
def test_one_token_at_a_time_gives_the_same_bits(name):
    (decoder, parameters), cache = MODELS[name], Cache()
    found = [decoder.last_logits(parameters, TOKENS[:, i : i + 1], cache) for i in range(LENGTH)]
    assert comparison.difference(torch.stack(found, 1), whole(name)) == ""


@pytest.mark.parametrize("name", CONFIGS)
def test_a_later_token_does_not_change_an_earlier_logit(name):
    decoder, parameters = MODELS[name]
    for place in (1, 40, LENGTH - 1):
        changed = TOKENS.clone()
        changed[:, place] = (changed[:, place] + 1) % 50
        found = decoder.logits(parameters, changed)
        assert comparison.difference(found[:, :place], whole(name)[:, :place]) == ""
        assert not torch.equal(found[:, place], whole(name)[:, place])


def test_nor_does_one_that_is_not_finite():
    config = replace(CONFIG, tied_embeddings=False)
    decoder, parameters = Decoder(config), made(config)
    tokens = torch.cat((TOKENS[:, :20] % 49, torch.full((2, 1), 49)), 1)
    for value in (torch.inf, torch.nan):
        parameters["embed"][49] = value
        found = decoder.logits(parameters, tokens)
        assert bool(found[:, :20].isfinite().all())
        assert comparison.difference(found[:, :20], decoder.logits(parameters, tokens[:, :20])) == ""
        assert bool(found[:, 20].isnan().all())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_definition_gives_the_same_logits(name):
    decoder, parameters = MODELS[name]
    with use("reference", "float64"):
        found = decoder.logits(parameters, TOKENS[:, :30])
    assert comparison.difference(found, whole(name)[:, :30].contiguous()) == ""


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(list(CONFIGS)), cuts=st.lists(st.sets(st.integers(1, 79), max_size=5), min_size=5))
def test_texts_of_any_lengths_are_read_together_as_each_alone(name, cuts):
    decoder, parameters = MODELS[name]
    waiting = [(Cache(), text % 2, parts(cut), []) for text, cut in enumerate(cuts)]
    while left := [one for one in waiting if one[2]]:
        some = [TOKENS[text, left.pop(0)] for _, text, left, _ in left]
        final = decoder.step(parameters, some, [cache for cache, *_ in left])
        rows = decoder.outputs(parameters, final).split([len(tokens) for tokens in some])
        for (*_, found), mine in zip(left, rows, strict=True):
            found.append(mine)
    for cache, text, _, found in waiting:
        assert cache.length == LENGTH
        assert comparison.difference(torch.cat(found), whole(name)[text]) == ""


def test_a_step_in_which_a_text_does_not_fit_computes_nothing():
    (decoder, parameters), caches = MODELS["llama"], [Cache(), Cache()]
    with pytest.raises(ValueError, match="91 positions are more than the 90 of the context"):
        decoder.step(parameters, [TOKENS[0, :3], TOKENS[0].repeat(2)[:91]], caches)
    assert [cache.length for cache in caches] == [0, 0]


@pytest.mark.parametrize("count", [1, 2, 7, 32, 33])
def test_threads_have_about_as_much_to_do_in_attention(count):
    order = [ordered_attention.folded(number, count) for number in range(count)]
    assert sorted(order) == [*range(count)]
    for threads in (2, 4):
        shares = np.array_split(np.array(order) + 1.0, threads)
        assert max(share.sum() for share in shares) <= sum(order) / threads + 1.5 * count


def test_threads_change_nothing():
    x, w = comparison.sample((70, 48), 1, "wide"), comparison.sample((130, 48), 2, "wide")
    q, k = comparison.sample((3, 100, 16), 3), comparison.sample((3, 100, 16), 4)
    held = np.array([[group.data_ptr()] * 2 for group in k], np.int64)
    found = []
    for threads in (1, 2):
        product, means = torch.empty((70, 130)), torch.empty(q.shape)
        ordered._product_kernel(x.numpy(), w.numpy(), product.numpy(), threads=threads)
        ordered_attention._attention_kernel(q.numpy(), held, 0, 1, np.float32(0.3), means.numpy(), threads=threads)
        found.append((product, means))
    assert comparison.difference(*found) == ""


def test_where_numba_compiles_for_less_than_the_processor_has_half_precision_is_read_too():
    code = (
        "import torch\n"
        "from regrow.exact import definition, ordered\n"
        "x, weight = torch.arange(48.0).view(3, 16) / 7, torch.arange(80.0).view(5, 16) / 9\n"
        "short = weight.half()\n"
        "assert torch.equal(ordered.ordered_product(x, short), definition.ordered_product(x, short.float()))"
    )
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("rows", "columns", "depth"), [(1, 37, 40), (3, 50, 21), (70, 131, 64), (8, 96, 9)])
def test_weights_of_fewer_bits_give_what_the_same_numbers_give(kind, rows, columns, depth):
    x, w = comparison.sample((rows, depth), 1, "wide"), comparison.sample((columns, depth), 2, "wide").to(kind)
    with use("reference", "float64"):
        expected = inference.linear(x, w.to(torch.float32))
    assert comparison.difference(inference.linear(x, w), expected) == ""
    with use("reference", "float64"):
        assert comparison.difference(inference.linear(x, w), expected) == ""


@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_of_bfloat16_writes_as_the_same_numbers_do(name):
    decoder, parameters = MODELS[name]
    short = {n: p.to(torch.bfloat16) if p.dim() > 1 else p for n, p in parameters.items()}
    wide = {n: p.to(torch.float32) for n, p in short.items()}
    found = decoder.logits(short, TOKENS)
    assert comparison.difference(found, decoder.logits(wide, TOKENS)) == ""


def test_small_entries_beside_large_ones_are_not_lost():
    """On a grid of 20 bits for a row, as it was, they would be: models have numbers like these behind an activation."""
    x, w = comparison.sample((1, 200), 1), comparison.sample((30, 200), 2)
    x[0, 7], w[:, 7] = 3e4, 0.0
    found = inference.linear(x, w)
    assert torch.allclose(found.double(), x.double() @ w.double().T, rtol=1e-6, atol=1e-6)


def test_a_pass_that_breaks_off_is_as_if_it_had_not_begun():
    (decoder, parameters), cache = MODELS["llama"], Cache()
    decoder.logits(parameters, TOKENS[:, :30], cache)
    broken = {n: p for n, p in parameters.items() if n != "layers.001.mlp.down"}
    with pytest.raises(KeyError):
        decoder.logits(broken, TOKENS[:, 50:], cache)
    assert cache.length == 30
    found = decoder.logits(parameters, TOKENS[:, 30:], cache)
    assert comparison.difference(found, whole("llama")[:, 30:].contiguous()) == ""


def test_no_more_than_the_context_is_read():
    (decoder, parameters), cache = MODELS["llama"], Cache()
    decoder.logits(parameters, TOKENS, cache)
    with pytest.raises(ValueError, match="91 positions are more than the 90 of the context"):
        decoder.logits(parameters, TOKENS[:, :11], cache)


@given(count=st.integers(0, 400), context=st.integers(2, 60))
def test_the_window_holds_more_than_half_a_context_and_moves_by_halves(count, context):
    first, half = sampling.window(count, context), context // 2
    assert first % half == 0
    assert count - first <= context
    assert first == 0 or count - first > context - half
    assert sampling.window(count + 1, context) in (first, first + half)


@pytest.mark.parametrize("prompt", [3, 7, 8, 30])
def test_a_long_text_is_written_as_if_each_token_were_chosen_from_the_window_alone(prompt):
    config = replace(CONFIG, context=7)
    decoder, parameters = Decoder(config), made(config)
    tokens = TOKENS[0, :prompt].tolist()
    how = sampling.Sampling(temperature=1.5, top=0)
    written = list(sampling.generate(decoder, parameters, tokens, 25, how))
    for token, draw in zip(written, uniforms(how.seed, "sampling", 25), strict=True):
        window = torch.tensor([tokens[sampling.window(len(tokens), 7) :]])
        logits = decoder.logits(parameters, window)[0, -1].numpy()
        assert token == sampling.choose(logits, float(draw), how)
        tokens.append(token)
    assert len(set(written)) > 5


def test_a_prompt_is_read_in_parts_and_each_token_once(monkeypatch):
    monkeypatch.setattr(sampling, "_TOKENS_AT_ONCE", 30)
    decoder, parameters = MODELS["llama"]
    seen, read = [], decoder.read

    def counted(parameters, tokens, cache):
        seen.append(tokens.shape[1])
        return read(parameters, tokens, cache)

    monkeypatch.setattr(decoder, "read", counted)
    found = list(sampling.generate(decoder, parameters, TOKENS[0].tolist(), 5, sampling.Sampling()))
    assert len(found) == 5
    assert seen == [30, 30, 20, 1, 1, 1, 1]
