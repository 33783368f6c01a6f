"""Variants: recipes that extend others."""

from pathlib import Path

import fakes
import pytest

from regrow.errors import RecipeError
from regrow.recipe.inherit import spoken
from regrow.recipe.schema import Recipe, load, parse

BASE = """\
recipe = 1

[model]
name = "base"
licence = "MIT"
description = "The first."

[[source]]
name = "plays"
fetch = "file:plays"
licence = "CC0-1.0"
availability = "open"

[[source]]
name = "bible"
fetch = "file:bible"
licence = "CC0-1.0"
availability = "open"

[tokenizer]
vocabulary = 300

[architecture]
layers = 2
width = 64
heads = 4
context = 32

[train]
tokens = 100_000
seed = 1

[evaluate]
prompts = ["A"]
"""


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "regrow.toml").write_text(text)
    return folder / name


def read(folder: Path) -> Recipe:
    return load(folder, fakes.KINDS)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return written(tmp_path, "base", BASE)


def test_says_only_what_is_different(base: Path, tmp_path: Path) -> None:
    change = """\
extends = "../base"
[model]
name = "wide"
[[source]]
name = "letters"
fetch = "file:letters"
licence = "MIT"
availability = "open"
[[source]]
name = "bible"
licence = "MIT"
[architecture]
width = 128
[evaluate]
prompts = ["B", "C"]
"""
    recipe = read(written(tmp_path, "wide", change))
    plain = BASE.replace('name = "base"', 'name = "wide"').replace("width = 64", "width = 128")
    plain = plain.replace('fetch = "file:bible"\nlicence = "CC0-1.0"', 'fetch = "file:bible"\nlicence = "MIT"')
    plain = plain.replace("[tokenizer]", "").replace("vocabulary = 300", "").replace('["A"]', '["B", "C"]')
    plain += (
        "[tokenizer]\nvocabulary = 300\n"
        '[[source]]\nname = "letters"\nfetch = "file:letters"\nlicence = "MIT"\navailability = "open"\n'
    )
    assert recipe.model_dump() == parse(plain, fakes.KINDS).model_dump()
    assert [source.name for source in recipe.sources] == ["plays", "bible", "letters"]


def test_the_text_stands_alone(base: Path, tmp_path: Path) -> None:
    recipe = read(written(tmp_path, "other", 'extends = "../base"\nmodel.name = "other"\n'))
    said = spoken(tmp_path / "other" / "regrow.toml")
    assert parse(said.text, fakes.KINDS).model_dump() == recipe.model_dump()
    assert parse(said.text, fakes.KINDS).digest == recipe.digest
    assert said.root == base


def test_a_change_of_the_base_changes_the_variant(base: Path, tmp_path: Path) -> None:
    variant = written(tmp_path, "other", 'extends = "../base"\nmodel.name = "other"\n')
    before = read(variant).digest
    (base / "regrow.toml").write_text(BASE.replace("seed = 1", "seed = 2"))
    assert read(variant).digest != before


def test_several_steps(base: Path, tmp_path: Path) -> None:
    written(base, "wide", 'extends = ".."\nmodel.name = "wide"\narchitecture.width = 96\n')
    deep = written(tmp_path, "deep", 'extends = "../base/wide"\nmodel.name = "deep"\narchitecture.layers = 3\n')
    recipe = read(deep)
    assert (recipe.model.name, recipe.model.licence) == ("deep", "MIT")
    data = recipe.origin.data["architecture"]
    assert data == {"layers": 3, "width": 96, "heads": 4, "context": 32}
    assert spoken(deep / "regrow.toml").root == base


def test_faults_are_told_where_they_stand(base: Path, tmp_path: Path) -> None:
    (base / "regrow.toml").write_text(BASE.replace("seed = 1", "sed = 1"))
    change = 'extends = "../base"\n[model]\nname = "x"\n[[source]]\nname = "bible"\nlicense = "MIT"\n'
    with pytest.raises(RecipeError) as caught:
        read(written(tmp_path, "x", change))
    told = str(caught.value)
    assert f"{tmp_path}/x/regrow.toml:6: source.bible.license: unknown key" in told
    assert f"{tmp_path}/base/regrow.toml:31: train.sed: unknown key" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('extends = "../none"\nmodel.name = "x"', "none: there is no such file"),
        ('extends = "."\nmodel.name = "x"', "leads back"),
        ('extends = "../x/regrow.toml"\nmodel.name = "x"', "leads back"),
        ("extends = 3", "x/regrow.toml:1: extends: must be a path"),
        ('extends = ""', "x/regrow.toml:1: extends: must be a path"),
        ('extends = "a\\u0000"', "x/regrow.toml:1: extends: must be a path"),
        ('extends = "../base"', "x/regrow.toml: model.name: missing"),
        ('extends = "../base"\n[model]\nlicence = "MIT"', "x/regrow.toml:2: model.name: missing"),
        ('extends = "../base"\nmodel = 3', "x/regrow.toml:2: model.name: missing"),
        ('extends = "../base"\nmodel.name = "x"\nsource = 3', "x/regrow.toml:3: source: must be a list"),
    ],
)
def test_what_cannot_be_extended(base: Path, tmp_path: Path, change: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(written(tmp_path, "x", change))
    assert told in str(caught.value)


def test_a_chain_has_an_end(base: Path, tmp_path: Path) -> None:
    for i in range(10):
        before = "base" if i == 0 else f"v{i - 1}"
        written(tmp_path, f"v{i}", f'extends = "../{before}"\nmodel.name = "v{i}"\n')
    assert read(tmp_path / "v6").model.name == "v6"
    with pytest.raises(RecipeError, match="more than 8 in a row"):
        read(tmp_path / "v9")


def test_the_mark_of_some_editors_is_no_fault(tmp_path: Path) -> None:
    marked = read(written(tmp_path, "marked", "\ufeff" + BASE))
    assert marked.model_dump() == parse(BASE, fakes.KINDS).model_dump()


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("models/bsae", "did you mean `models/base`?"),
        ("modles/base/regrow.toml", "did you mean `models/base`?"),
        ("models/base/regrow.tml", f"did you mean `{Path('models', 'base', 'regrow.toml')}`?"),
        ("models/something/else", "`regrow new NAME`"),
        ("models", "`regrow new NAME`"),
    ],
)
def test_a_misspelt_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, hint: str) -> None:
    written(tmp_path / "models", "base", BASE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="there is no such file") as caught:
        load(Path(said), fakes.KINDS)
    assert hint in caught.value.hint
