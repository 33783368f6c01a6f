from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.engine import why

BASE: dict[str, Any] = {
    "kind": "pretrain",
    "version": 1,
    "parameters": {"learning_rate": 0.001, "seed": 1, "optimizer": {"beta1": 0.9}, "pins": [{"file": "a", "size": 1}]},
    "inputs": {"tokens": ["a" * 64]},
    "libraries": {"pyarrow": "26.0.1"},
    "arithmetic": 1,
}


def changed(**fields: Any) -> dict[str, Any]:
    return {**BASE, **fields}


def parameters(**fields: Any) -> dict[str, Any]:
    return changed(parameters={**BASE["parameters"], **fields})


def without(name: str) -> dict[str, Any]:
    return changed(parameters={key: value for key, value in BASE["parameters"].items() if key != name})


@pytest.mark.parametrize(
    ("new", "reasons"),
    [
        (BASE, []),
        (parameters(learning_rate=0.002), ["parameters.learning_rate 0.001 -> 0.002"]),
        (parameters(seed=True), ["parameters.seed 1 -> true"]),
        (parameters(seed=None), ["parameters.seed 1 -> null"]),
        (parameters(seed="one"), ["parameters.seed 1 -> one"]),
        (parameters(seed=""), ['parameters.seed 1 -> ""']),
        (parameters(optimizer={"beta1": 0.95}), ["parameters.optimizer.beta1 0.9 -> 0.95"]),
        (parameters(pins=[{"file": "b", "size": 1}]), ["parameters.pins[0].file a -> b"]),
        (parameters(pins=[]), ['parameters.pins [{"file": "a", "size": 1}] -> []']),
        (parameters(clip=1.0), ["parameters.clip added: 1.0"]),
        (without("seed"), ["parameters.seed removed"]),
        (changed(inputs={"tokens": ["b" * 64]}), ["input tokens changed"]),
        (changed(inputs={"tokens": ["a" * 64, "b" * 64]}), ["input tokens changed"]),
        (changed(inputs={"tokens": ["a" * 64], "extra": ["b" * 64]}), ["input extra added"]),
        (changed(inputs={}), ["input tokens removed"]),
        (changed(version=2), ["kind version 1 -> 2"]),
        (changed(arithmetic=2), ["arithmetic 1 -> 2"]),
        (changed(kind="finetune", version=3), ["kind pretrain -> finetune"]),
        (changed(libraries={"pyarrow": "27.0.0"}), ["library pyarrow 26.0.1 -> 27.0.0"]),
        (changed(libraries={"pyarrow": "26.0.1", "rensa": "0.5.0"}), ["library rensa added: 0.5.0"]),
        (changed(version=2, arithmetic=2), ["kind version 1 -> 2", "arithmetic 1 -> 2"]),
    ],
)
def test_reasons_field_by_field(new, reasons):
    assert why(BASE, new) == reasons


def test_no_ingredients_is_a_first_build():
    assert why(None, BASE) == ["first build"]


def test_long_values_are_cut_and_never_look_the_same():
    long = "x" * 1000
    (reason,) = why(parameters(seed="short"), parameters(seed=long))
    assert reason == "parameters.seed short -> " + "x" * 57 + "..."
    assert why(parameters(seed=long + "a"), parameters(seed=long + "b")) == ["parameters.seed changed"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=2), PLAIN), st.dictionaries(st.text(max_size=2), PLAIN))
def test_there_is_a_reason_exactly_if_something_differs(old, new):
    assert bool(why(changed(parameters=old), changed(parameters=new))) == (repr_of(old) != repr_of(new))


def repr_of(value: Any) -> Any:
    """Like the key, this tells 1 from true."""
    from regrow.store import canonical_json

    return canonical_json(value)
