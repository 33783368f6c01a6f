import pytest

from regrow.errors import InputError
from regrow.model.config import DecoderConfig
from regrow.model.patterns import chosen

NAMES = tuple(DecoderConfig(vocabulary=8, layers=30, width=4, heads=2, kv_heads=1, hidden=4, context=4).shapes())


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("*", len(NAMES)), ("layers", 180), ("layers.3", 6), ("layers.20-29", 60), ("layers.20-29.mlp", 30),
     ("*.attention", 90), ("*.attention.qkv", 30), ("embed", 1), ("layers.0-0.attention.norm", 1)],
)  # fmt: skip
def test_patterns_choose(pattern, count):
    assert len(chosen((pattern,), NAMES)) == count


def test_several_choose_what_any_does_in_the_order_of_the_names():
    found = chosen(("norm", "layers.1"), NAMES)
    assert found == tuple(name for name in NAMES if name == "norm" or name.startswith("layers.001."))


@pytest.mark.parametrize(
    "pattern", ["layers.30", "layers.40-50", "layer.3", "attention", "layers.003.mlpp", "*.*.*.*.*"]
)
def test_a_pattern_that_fits_nothing_is_an_error(pattern):
    with pytest.raises(InputError, match="no parameter fits"):
        chosen((pattern, "norm"), NAMES)
