from __future__ import annotations

import pytest
from pydantic import ValidationError

from regrow.errors import InputError
from regrow.recipe.pin import Pin
from regrow.sources import resolve
from regrow.stages import KINDS
from regrow.store.digest import tree_digest

from .conftest import TINY, Bench


def test_the_pinned_files_and_no_others(bench: Bench) -> None:
    pins = resolve("file:texts", TINY.parent, ["*.md", "*.html"])
    bench.base = TINY.parent
    out = bench.run("fetch", {"fetch": "file:texts", "pins": pins})
    assert [path.name for path in sorted(out.iterdir())] == ["explanations.md", "garden.html"]
    assert (out / "garden.html").read_bytes() == (TINY / "garden.html").read_bytes()
    assert tree_digest(out)


def test_without_pins(bench: Bench) -> None:
    with pytest.raises(InputError, match="is not pinned"):
        bench.run("fetch", {"fetch": "file:texts", "pins": []})


def test_an_unknown_scheme_is_a_fault_of_the_recipe() -> None:
    with pytest.raises(ValidationError, match="unknown scheme `http:`"):
        KINDS["fetch"].parameters(fetch="http:example", pins=[])


def test_the_plan_knows_the_bytes() -> None:
    kind = KINDS["fetch"]
    assert kind.cost is not None
    pins = (Pin("a.txt", "0" * 64, 3), Pin("b.txt", "0" * 64, 4))
    here, elsewhere = (kind.cost(kind.parameters(fetch=fetch, pins=pins), {}) for fetch in ("file:a", "pypi:a==1"))
    assert (here.gives.size, here.download_bytes) == (7, 0)
    assert (elsewhere.gives.size, elsewhere.download_bytes) == (7, 7)
    assert elsewhere.seconds > 10 * here.seconds  # what lies beside the recipe is taken over, not downloaded


def test_a_source_that_is_larger_than_memory_is_not_held() -> None:
    kind = KINDS["fetch"]
    assert kind.cost is not None
    sizes = (10, 1 << 40)
    small, large = (
        kind.cost(kind.parameters(fetch="file:a", pins=(Pin("a.zip", "0" * 64, size),)), {}) for size in sizes
    )
    assert small.memory_bytes == large.memory_bytes


@pytest.mark.parametrize("sha256", ["", "/etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_pin_that_is_no_sha256_is_a_fault_of_the_recipe(sha256: str) -> None:
    with pytest.raises(ValidationError, match="is not a sha256"):
        KINDS["fetch"].parameters(
            fetch="file:texts", pins=[{"file": "a.txt", "sha256": sha256, "size": 1, "licences_found": []}]
        )
