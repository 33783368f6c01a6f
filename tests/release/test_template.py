import subprocess
import sys
from pathlib import Path

import pytest

from regrow.building.template import start, template
from regrow.errors import RecipeError
from regrow.recipe.schema import load
from regrow.stages import KINDS


def test_is_a_valid_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "my-model.2"
    assert sorted(start(folder)) == [".gitattributes", "regrow.toml", "texts/about-models.txt"]
    recipe = load(folder, KINDS)
    assert recipe.model.name == "my-model.2"
    (source,) = recipe.sources
    assert source.fetch == "file:texts"
    assert (folder / "texts" / "about-models.txt").stat().st_size > 2000


@pytest.mark.parametrize("name", ["", "a b", "../x", 'a"b', "a'b\"", "a\nb", "a\\b", "-a", "a--b", "x" * 97])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(RecipeError, match=r"cannot be the name|at most 96|not TOML"):
        template(name)


@pytest.mark.parametrize("name", ["tiny", "bard"])
def test_the_examples_are_valid(name: str) -> None:
    assert load(Path(__file__).parents[2] / "examples" / name, KINDS).model.name.startswith(name)


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; import regrow.recipe.lock, regrow.recipe.manual, regrow.building.template, regrow.stages;"
        "print(sorted(sys.modules.keys() & {'torch', 'numpy', 'numba', 'pyarrow', 'tokenizers', 'license_expression'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
