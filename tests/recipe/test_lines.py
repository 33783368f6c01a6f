import time
import tomllib
from typing import Any

import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from regrow.recipe.lines import line_of, lines

TEXT = '''\
a = 1 # ] comment = "x"
"b c".d = """
not = "a key"
[nor a table]
"""
e = [
  { f = 1 },  # ]
  "]",
]
[[s]]
name = 'x'
[[s]]
[s.deep]
"name" = 2
[t.u]
v = '\\'
w = ''
'''


def test_every_key_and_table_has_its_line() -> None:
    tomllib.loads(TEXT)
    assert lines(TEXT) == {
        ("a",): 1,
        ("b c",): 2,
        ("b c", "d"): 2,
        ("e",): 6,
        ("s",): 10,
        ("s", 0): 10,
        ("s", 0, "name"): 11,
        ("s", 1): 12,
        ("s", 1, "deep"): 13,
        ("s", 1, "deep", "name"): 14,
        ("t", "u"): 15,
        ("t", "u", "v"): 16,
        ("t", "u", "w"): 17,
    }


def test_what_has_no_line_has_that_of_what_is_around_it() -> None:
    known = lines(TEXT)
    assert line_of(("s", 1, "deep", "missing"), known) == 13
    assert line_of(("e", 0, "f"), known) == 6
    assert line_of(("missing",), known) is None


def test_a_lock_of_many_files_takes_no_more_time_for_each() -> None:
    few, many = (min(_seconds(count) for _ in range(3)) for count in (200, 3200))
    assert many < 16 * 2 * few


def _seconds(count: int) -> float:
    text = "".join(f'[[s]]\nname = "{n}"\n' for n in range(count))
    begin = time.process_time()
    found = lines(text)
    assert found["s", count - 1, "name"] == 2 * count
    return time.process_time() - begin


VALUES = st.recursive(
    st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1), st.booleans()),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
KEYS = st.one_of(st.sampled_from(["a", "b-c", "d.e", 'f"g', "h'i", "j\nk", "="]), st.text(st.characters(codec="ascii")))
TABLES = st.recursive(st.dictionaries(KEYS, VALUES, max_size=4), lambda inner: st.dictionaries(KEYS, inner, max_size=3))


def keys(value: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if not isinstance(value, dict):
        return set()
    return {p for key, item in value.items() for p in {(*path, key), *keys(item, (*path, key))}}


@given(TABLES, st.booleans())
def test_whatever_a_text_says_it_finds_the_keys_and_no_others(data: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(data, multiline_strings=multiline)
    found = lines(text)
    # a table that holds only tables needs no header of its own, and keys of inline tables have no line of their own
    assert set(found) <= keys(data)
    scalars = {path for path in keys(data) if not isinstance(_at(data, path), dict)}
    assert scalars <= set(found)
    for path in scalars:
        rest = "".join(text.splitlines(keepends=True)[found[path] - 1 :]) if "\r" not in text else None
        assert rest is None or "=" in rest


def _at(data: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        data = data[key]
    return data
