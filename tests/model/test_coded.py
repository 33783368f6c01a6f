"""Matrices that a file holds as integers stay such in a model that runs; texts have the same bits however read."""

import itertools
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir

from regrow.exact import coded_products, comparison, definition, inference
from regrow.exact.coded import Coded, Stacked
from regrow.exact.microkernels import coded_vectors
from regrow.exact.microkernels import emission as emit
from regrow.exact.microkernels.coded import Form
from regrow.exact.selection import use
from regrow.model import gguf_blocks
from regrow.model.cache import Cache
from regrow.model.coding import Piece, joined
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.model.families import families
from regrow.model.packed import Codes
from regrow.model.weights import Ends, load, load_weights, save

CONFIG = DecoderConfig(
    vocabulary=50, layers=2, width=64, heads=4, kv_heads=2, hidden=96, context=60, tied_embeddings=False
)
TOKENS = torch.arange(2 * 40).view(2, 40) ** 2 * 7 % 50


def integers(rows, columns, low, high, seed=1):
    return (torch.arange(rows * columns).view(rows, columns) ** 2 * (2 * seed + 5) % (high - low + 1) + low).to(
        torch.int8
    )


def codes(rows, columns, bits, seed=1):
    """Integers with scales of few digits, as files have them."""
    half = 1 << (bits - 1)
    scales = (comparison.sample((rows, columns // 32), seed) / half).to(torch.float16).float()
    return Codes(integers(rows, columns, -half, half - 1, seed), scales, bits)


def packed(bits=4):
    """A model whose matrices in the layers are codes, and the same as codes alone."""
    matrices = [name for name in initialise(CONFIG, 1) if name.startswith("layers") and "norm" not in name]
    shapes = CONFIG.shapes()
    return {name: codes(*shapes[name], bits, seed) for seed, name in enumerate(matrices)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("model"), packed()
    plain = {n: p + 0.1 if p.dim() == 1 else p * 9.0 for n, p in initialise(CONFIG, 1).items() if n not in found}
    save(folder, CONFIG, plain, Ends.both(0), found)
    return folder


def test_a_folder_with_packed_matrices_gives_them_as_codes_and_the_rest_as_numbers(model):
    (config, numbers), (_, weights) = load(model), load_weights(model)
    assert config == CONFIG
    assert {name for name, one in weights.items() if isinstance(one, Coded)} == set(packed())
    for name, one in weights.items():
        whole = one.embedded(torch.arange(one.rows)) if isinstance(one, Coded) else one
        assert comparison.difference(whole, numbers[name]) == ""
    small = sum(weights[name].nbytes for name in packed())
    assert small < 0.2 * sum(numbers[name].nbytes for name in packed())


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.sets(st.integers(1, 39), max_size=4), min_size=1, max_size=6))
def test_texts_are_read_together_and_in_parts_as_each_alone_and_whole(model, cuts):
    (config, weights), waiting = load_weights(model), []
    decoder = Decoder(config)
    whole = decoder.logits(weights, TOKENS)
    for number, some in enumerate(cuts):
        ends = [0, *sorted(some), 40]
        waiting.append((Cache(), number % 2, [slice(*pair) for pair in itertools.pairwise(ends)], []))
    while left := [one for one in waiting if one[2]]:
        parts = [TOKENS[text, slices.pop(0)] for _, text, slices, _ in left]
        final = decoder.step(weights, parts, [cache for cache, *_ in left])
        rows = decoder.outputs(weights, final).split([len(part) for part in parts])
        for (*_, found), mine in zip(left, rows, strict=True):
            found.append(mine)
    for _, text, _, found in waiting:
        assert comparison.difference(torch.cat(found), whole[text]) == ""


def test_operation_by_operation_and_by_the_definition_the_logits_are_the_same(model, monkeypatch):
    config, weights = load_weights(model)
    decoder = Decoder(config)
    found = decoder.logits(weights, TOKENS[:, :9])
    with use("reference", "float64"):
        assert comparison.difference(decoder.logits(weights, TOKENS[:, :9]), found) == ""
    monkeypatch.setattr("regrow.model.decoder.Blocks", lambda *_: None)
    assert comparison.difference(decoder.logits(weights, TOKENS[:, :9]), found) == ""


def of_several_kinds():
    """A model of which the first two layers are of one kind, the third of another, and the last not codes alone."""
    config = replace(CONFIG, layers=4, context=140)
    weights = {n: p + 0.1 if p.dim() == 1 else p * 9.0 for n, p in initialise(config, 1).items()}
    for seed, (name, shape) in enumerate(sorted(config.shapes().items())):
        if name.startswith("layers") and len(shape) == 2 and name != "layers.003.attention.out":
            bits = 8 if name.startswith("layers.002.") else 4
            weights[name] = Piece.of(codes(*shape, bits, seed)).rows(torch.arange(shape[0]))
    return config, weights


def test_layers_of_several_kinds_give_what_operations_give_also_where_a_cache_grows(monkeypatch):
    config, weights = of_several_kinds()
    decoder, tokens, caches = Decoder(config), torch.arange(2 * 135).view(2, 135) ** 2 * 7 % 50, [Cache(), Cache(140)]
    found = []
    for cut in itertools.pairwise((0, 60, 61, 70, 130, 131, 135)):
        new = [row[slice(*cut)] for row in tokens]
        found.append(decoder.outputs(weights, decoder.step(weights, new, caches)).view(2, -1, 50))
    assert caches[0].room > 130
    monkeypatch.setattr("regrow.model.decoder.Blocks", lambda *_: None)
    assert comparison.difference(torch.cat(found, 1), decoder.logits(weights, tokens)) == ""


def test_the_logits_are_those_of_the_numbers_that_the_codes_stand_for_but_for_the_grid(model):
    (config, numbers), (_, weights) = load(model), load_weights(model)
    decoder = Decoder(config)
    found, close = decoder.logits(weights, TOKENS), decoder.logits(numbers, TOKENS)
    assert not torch.equal(found, close)
    assert float((found - close).abs().max()) < 1e-4 * float(close.abs().max())


each_way = pytest.mark.parametrize("way", coded_products.ways())


@each_way
@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("name", list(comparison.CODED))
@pytest.mark.parametrize("kind", ["normal", "wide", "edges"])
def test_by_any_of_the_processors_products_and_without_them_the_bits_are_the_same(name, kind, rows, way):
    x, weight = comparison.sample((rows, 96), 3, kind), comparison.coded(*comparison.CODED[name])
    found = coded_products.coded_product(x, weight, way)
    assert comparison.difference(found, definition.coded_product(x, weight)) == ""


@each_way
@pytest.mark.parametrize("rows", [8, 24, 70])
@pytest.mark.parametrize(
    ("low", "high", "group", "offset"),
    [
        (-8, 7, 32, False),
        (0, 15, 32, True),
        (-8, 7, 16, False),
        (-4, 3, 32, False),
        (-32, 31, 16, False),
        (0, 31, 32, True),
        (-128, 127, 32, False),
    ],
)
def test_many_rows_of_more_blocks_than_are_taken_at_a_time_have_the_same_bits(low, high, group, offset, rows, way):
    x, scales = comparison.sample((rows, 864), 3, "wide"), comparison.sample((20, 864 // group), 2)
    x[rows // 2, 40], x[rows - 1, 863] = torch.nan, torch.inf
    weight = Coded.of(integers(20, 864, low, high), scales, scales * 0.3 if offset else None, (low, high))
    found = coded_products.coded_product(x, weight, way)
    assert comparison.difference(found, definition.coded_product(x, weight)) == ""


@each_way
@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize(("zero", "bits"), [(0, 4), (8, 4), (15, 4), (0, 7), (128, 8)])
def test_sums_that_are_as_large_as_they_can_be_have_the_same_bits(zero, bits, rows, way):
    x = torch.full((rows, 64), 1.0 - 2.0**-24)
    x[: rows // 2] = -x[: rows // 2]
    span = -zero, (1 << bits) - 1 - zero
    for value in span:
        extremes, scales = torch.full((16, 64), value, dtype=torch.int8), torch.ones((16, 2))
        weight = Coded.of(extremes, scales, scales if not zero else None, span)
        found = coded_products.coded_product(x, weight, way)
        assert comparison.difference(found, definition.coded_product(x, weight)) == ""


def by_hand(bits, signed):
    """Products in registers of 16 int32, which any processor has."""

    def add(builder, total, *factors):
        count = 16 * 32 // bits
        codes, digits = (builder.bitcast(x, ir.VectorType(ir.IntType(bits), count)) for x in factors)
        wide = ir.VectorType(emit.INT, count)
        products = builder.mul((builder.sext if signed else builder.zext)(codes, wide), builder.sext(digits, wide))
        while products.type.count > 16:
            even, odd = (list(range(start, products.type.count, 2)) for start in range(2))
            products = builder.add(
                emit.shuffle(builder, products, products, even), emit.shuffle(builder, products, products, odd)
            )
        return builder.add(total, products)

    return coded_vectors.Products(add)


@pytest.mark.parametrize("few", [Form.MIXED, Form.WHOLE])
@pytest.mark.parametrize("name", list(comparison.CODED))
def test_by_registers_of_another_width_the_bits_are_the_same(name, few, monkeypatch):
    way = coded_vectors.Way(16, {4: few, 8: Form.WORDS}, {8: by_hand(8, False), 16: by_hand(16, True)})
    monkeypatch.setitem(coded_vectors.WAYS, f"by hand, {few.name}", way)
    weight = comparison.coded(*comparison.CODED[name])
    for rows, kind in itertools.product((1, 9), ("normal", "edges")):
        x = comparison.sample((rows, 96), 3, kind)
        found = coded_products.coded_product(x, weight, f"by hand, {few.name}")
        assert comparison.difference(found, definition.coded_product(x, weight)) == ""


@pytest.mark.parametrize("name", sorted(gguf_blocks.KINDS))
def test_blocks_of_a_gguf_file_stand_for_the_numbers_that_its_own_library_gives(name):
    kind, generator = gguf.GGMLQuantizationType[name], np.random.default_rng(1)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    raw = generator.integers(0, 256, (3, 512 // block, size), dtype=np.uint8)
    halves = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q6_K": (208,)}.get(name, (0,))
    for place in halves:  # of which any other bytes would be NaN now and then
        raw[..., place : place + 2] = generator.standard_normal((3, 512 // block, 1)).astype("<f2").view(np.uint8)
    found = gguf_blocks.piece(name, raw.reshape(-1), (3, 512)).rows(torch.arange(3)).embedded(torch.arange(3))
    expected = gguf.quants.dequantize(raw.reshape(3, -1), kind).astype(np.float32)
    assert comparison.difference(found, torch.from_numpy(expected)) == ""


def piece(low, high, rows=32, columns=64, group=32):
    return Piece(integers(rows, columns, low, high), comparison.sample((rows, columns // group), 2), None, (low, high))


def test_pieces_of_several_kinds_lie_above_each_other_and_give_the_rows_of_each():
    config = replace(CONFIG, heads=2, kv_heads=2, head_width=16)
    form = families()["llama"].parameters["layers.*.attention.qkv"]
    pieces = [piece(-8, 7), piece(-8, 7), piece(-32, 31, group=16)]
    weight, x = joined(form, config, pieces), comparison.sample((3, 64), 1)
    assert isinstance(weight, Stacked)
    each = [inference.linear(x, one.rows(torch.arange(32))) for one in pieces]
    assert comparison.difference(inference.linear(x, weight), torch.cat(each, 1)) == ""
    assert isinstance(joined(form, config, [piece(-8, 7)] * 3), Coded)


@pytest.mark.parametrize(("columns", "group"), [(64, 64), (96, 48), (40, 8), (48, 24)])
def test_groups_that_make_no_blocks_are_not_kept(columns, group):
    form = families()["llama"].parameters["layers.*.attention.out"]
    found = joined(form, CONFIG, [piece(-8, 7, columns=columns, group=group)])
    assert (found is not None) == (group == 64)
