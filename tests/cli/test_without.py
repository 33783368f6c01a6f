"""``regrow build --without``: the recipe that leaves something out, what it costs, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from regrow.building.without import Without, asked, ids, require_left_out, variant
from regrow.errors import InputError, RecipeError
from regrow.recipe.expand import expand
from regrow.recipe.graph import Graph
from regrow.recipe.inherit import spoken
from regrow.recipe.schema import parse, understood
from regrow.release import Release
from regrow.report import measures
from regrow.stages import KINDS
from regrow.store import sha256_bytes

from .conftest import Shell, write_recipe

SECOND = """
[[source]]
name = "fables"
fetch = "file:fables"
licence = "CC0-1.0"
availability = "open"
"""


def two_sources(folder: Path, tokens: int = 2_560) -> Path:
    """The recipe that `regrow new` writes, with a second source that repeats a paragraph of the first."""
    write_recipe(folder, tokens)
    recipe = folder / "regrow.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("\n[corpus]", f"{SECOND}\n[corpus]"), "utf-8")
    (folder / "fables").mkdir()
    for n in range(6):
        text = f"A fox went by a garden for the {n}th time, and saw {n * n} grapes that hung high above its head. "
        (folder / "fables" / f"{n}.txt").write_text(text * 2 + "\n", "utf-8")
    about = (folder / "texts" / "about-models.txt").read_text("utf-8")
    (folder / "fables" / "repeated.txt").write_text(about.split("\n\n")[1] + "\n", "utf-8")
    return recipe


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell with the recipe `two`, its release, and that without its fables."""
    root = tmp_path_factory.mktemp("without")
    shell = Shell(root, root / "store")
    two_sources(root / "two")
    for options in ([], ["--without", "fables"]):
        done = shell.run("build", "two", *options)
        assert done.returncode == 0, done.stderr
    return shell


def test_it_is_the_variant_that_says_so(without: Shell) -> None:
    variant = without.folder / "variant"
    variant.mkdir()
    text = 'extends = "../two"\n[model]\nname = "two-without-fables"\n[without]\nsources = ["fables"]\n'
    (variant / "regrow.toml").write_text(text, "utf-8")
    done = without.run("build", "variant", "--offline")
    assert done.returncode == 0, done.stderr
    released = without.folder / "build" / "two-without-fables"
    assert done.stdout.strip() == sha256_bytes((released / "SHA256SUMS").read_bytes())


def test_it_says_what_it_cost_on_the_text_that_both_have(without: Shell) -> None:
    before = {path: path.read_bytes() for path in (without.folder / "two").glob("regrow.*")}
    done = without.run("build", "two", "--without", "fables", "--locked", "--json")
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in (without.folder / "two").glob("regrow.*")} == before
    assert "pretrain began anew: it saw other text than the model with everything from its first step on" in done.stderr
    told = json.loads(done.stdout)
    then, now = told["baselines"]["whole"]["bits_per_byte"], told["evaluation"]["validation"]["bits_per_byte"]
    assert f"cost {now - then:+.4f} bits per byte" in told["baselines"]["whole"]["what"]
    release = without.folder / "build" / "two-without-fables"
    assert "whole" in {one.key for one in measures(Release.at(release))}
    assert "the model with everything" in (release / "report.html").read_text("utf-8")


def test_what_it_cost_cannot_be_told_where_the_store_has_nothing_to_compare_with(
    without: Shell, tmp_path: Path
) -> None:
    two_sources(tmp_path / "other", tokens=1_280)
    done = Shell(tmp_path, without.store).run("build", "other", "--without", "fables")
    assert done.returncode == 0, done.stderr
    assert "what it cost cannot be told: the store does not have the model with everything" in done.stderr


def test_nothing_of_it_is_said_to_have_been_learnt(without: Shell) -> None:
    release = Release.at(without.folder / "build" / "two-without-fables")
    assert [one["name"] for one in release.sources] == ["texts"]
    assert "fables" in release.beside_training
    rows = release.manifest(["source"], [])
    assert rows is not None and set(rows["source"].to_pylist()) == {"texts"}
    audit = json.loads(without.run("audit", str(release.path), "--json").stdout)
    assert [one["sources"] for one in audit["data"]] == [1]


def test_it_is_verified_as_any_other(without: Shell) -> None:
    done = without.run("verify", "build/two-without-fables", "--source", "two", "--store", str(without.store))
    assert done.returncode == 0, done.stdout + done.stderr


def test_documents_go_by_their_ids(without: Shell, tmp_path: Path) -> None:
    table = Release.at(without.folder / "build" / "two").manifest(["id", "source"], [])
    assert table is not None
    chosen = [row["id"] for row in table.to_pylist() if row["source"] == "texts"][:2]
    (tmp_path / "ids.txt").write_text("# complaints\n\n" + "  # of May\n".join(chosen) + "\n", "utf-8")
    done = without.run("build", "two", "--without", str(tmp_path / "ids.txt"))
    assert done.returncode == 0, done.stderr
    (release,) = (without.folder / "build").glob("two-without-2-documents-*")
    kept = Release.at(release).manifest(["id"], [])
    assert kept is not None and not set(chosen) & set(kept["id"].to_pylist())


def test_ids_that_are_of_no_document_are_refused_before_training(without: Shell, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("f" * 64 + "\n", "utf-8")
    done = without.run("build", "two", "--without", str(tmp_path / "ids.txt"))
    assert done.returncode == 1
    assert "1 document of 1 that are named to be left out is not there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return two_sources(tmp_path / "two")


@pytest.mark.parametrize(
    ("values", "what", "hint"),
    [
        (["fabels"], 'there is no source "fabels", and no file of that name', "did you mean `fables`?"),
        (["no\x1b[31m\nsuch"], "there is no source", "the sources are"),
        (["../.."], "there is no source", "the sources are"),
        ([""], "there is no source", "the sources are"),
        (["texts", "fables"], "are all sources there are", "leave out single documents"),
    ],
)
def test_what_cannot_be_left_out(recipe: Path, values: list[str], what: str, hint: str) -> None:
    with pytest.raises(RecipeError) as error:
        asked(values, spoken(recipe))
    assert what in str(error.value)
    assert hint in error.value.hint


def test_the_only_source_cannot_be_left_out(tmp_path: Path) -> None:
    write_recipe(tmp_path / "one")
    with pytest.raises(RecipeError, match="`texts` is the only source, and cannot be left out"):
        asked(["texts"], spoken(tmp_path / "one" / "regrow.toml"))


def test_a_recipe_cannot_leave_out_what_it_does_not_have(recipe: Path) -> None:
    text = recipe.read_text("utf-8") + '\n[without]\nsources = ["texts", "fabels"]\n'
    with pytest.raises(RecipeError, match='there is no source "fabels" to leave out') as error:
        expand(parse(text, KINDS), {})
    assert "did you mean `fables`?" in error.value.hint
    with pytest.raises(RecipeError, match="leaves nothing out"):
        parse(recipe.read_text("utf-8") + "\n[without]\n", KINDS)
    with pytest.raises(RecipeError, match="is no id of a document"):
        parse(recipe.read_text("utf-8") + '\n[without]\ndocuments = ["abc"]\n', KINDS)


def test_a_model_that_the_recipe_begins_with_is_named(recipe: Path, without: Shell) -> None:
    base = recipe.parent / "base"
    base.symlink_to(without.folder / "build" / "two")
    text = recipe.read_text("utf-8").replace(
        "\n[[source]]", '\n[base]\nfetch = "file:base"\nlicence = "MIT"\n\n[[source]]', 1
    )
    text = re.sub(r'name = "fables"', 'name = "mine"', text)
    begin, end = text.index("\n[tokenizer]"), text.index("\n[evaluate]")
    text = f"{text[:begin]}\n[finetune]\ntokens = 4000\n{text[end:]}"
    recipe.write_text(text, "utf-8")
    with pytest.raises(RecipeError) as error:
        asked(["fables"], spoken(recipe))
    assert "it is one of `file:base`, which this recipe begins with and cannot change" in error.value.why


def test_a_list_of_a_million_lines(tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("".join(f"{n:064x}\n" for n in range(1_000_000)), "utf-8")
    assert len(ids(file)) == 1_000_000
    two_sources(tmp_path / "two")
    with pytest.raises(RecipeError, match="1,000,000 documents cannot be named one by one") as error:
        asked([str(file)], spoken(tmp_path / "two" / "regrow.toml"))
    assert "whole source" in error.value.hint


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "names no document"),
        (b"# nothing\n", "names no document"),
        (b"\xff\xfe\x00", "it is not text"),
        (b"a" * 63 + b"\n", "is no id of a document"),
        (b"A" * 64, "is no id of a document"),
        (b"0" * 64 + b"\nbook.txt:1-2\n", "ids.txt:2: "),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "ids.txt").write_bytes(data)
    with pytest.raises(InputError) as error:
        ids(tmp_path / "ids.txt")
    assert what in str(error.value)


def test_a_source_comes_before_a_file_of_its_name(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe.parent)
    Path("fables.txt").write_text("0" * 64, "utf-8")
    assert asked(["fables", "fables.txt"], spoken(recipe)) == Without(("fables",), ("0" * 64,))


@pytest.mark.parametrize("option", ["--frozen", "--update-lock"])
def test_what_does_not_go_together(without: Shell, option: str) -> None:
    done = without.run("build", "two", "--without", "fables", option)
    assert done.returncode == 2
    assert f"`--without` and `{option}` do not go together" in done.stderr


def test_names_say_what_is_left_out_and_stay_names() -> None:
    assert Without(("a", "b")).called("m") == "m-without-a-and-b"
    one, other = (Without(("a",), (digit * 64,)).called("m") for digit in "01")
    assert one.startswith("m-without-a-and-1-document-") and one != other
    many = Without(tuple(f"source-{n}" for n in range(40))).called("model")
    assert len(many) <= 96
    assert parse(f'recipe = 1\n[model]\nname = "{many}"\nlicence = "MIT"\n', {}).model.name == many


def test_a_variant_of_a_variant_leaves_out_what_both_do(recipe: Path) -> None:
    text = recipe.read_text("utf-8") + f'\n[without]\ndocuments = ["{"0" * 64}"]\nnear_duplicates = 0.6\n'
    recipe.write_text(text, "utf-8")
    (recipe.parent.parent / "more").mkdir()
    extending = recipe.parent.parent / "more" / "regrow.toml"
    extending.write_text('extends = "../two"\n[model]\nname = "more"\n', "utf-8")
    made = understood(variant(spoken(extending), Without(("fables",))), KINDS)
    (removal,) = (stage for stage in expand(made, {}).stages if stage.kind.name == "removal")
    assert removal.parameters.model_dump() == {
        "sources": ("fables",), "documents": ("0" * 64,), "near_duplicates": 0.6,
    }  # fmt: skip
    assert made.model.name == "more-without-fables"


def test_copies_are_looked_for_where_the_corpus_keeps_them(recipe: Path) -> None:
    text = recipe.read_text("utf-8")
    for said, used in (("0", 0.8), ("0.8", 0.8), ("0.6", 0.6)):
        recipe.write_text(re.sub("near_duplicates = .*", f"near_duplicates = {said}", text), "utf-8")
        made = understood(variant(spoken(recipe), Without(("fables",))), KINDS)
        (removal,) = (stage for stage in expand(made, {}).stages if stage.kind.name == "removal")
        assert removal.parameters.model_dump()["near_duplicates"] == used


def graph_of(recipe: Path) -> Graph:
    return expand(understood(variant(spoken(recipe), Without(("fables",))), KINDS), {})


def test_a_way_past_it_is_refused(recipe: Path) -> None:
    """A stage that is spelled out takes documents from where nothing has been left out yet."""
    stage = '\n[[stage]]\nname = "split"\ninputs = { documents = "deduplicate" }\n'
    text = recipe.read_text("utf-8") + stage
    with pytest.raises(RecipeError, match="to be left out reach stage `split` from `deduplicate`") as error:
        require_left_out(expand(parse(text + '[without]\nsources = ["fables"]\n', KINDS), {}))
    assert "feed `split` from `without`" in error.value.hint
    recipe.write_text(text, "utf-8")
    assert graph_of(recipe)["split"].inputs["documents"] == ("without",)
    require_left_out(graph_of(recipe))


LATER = """
[[stage]]
name = "clean"
inputs = { documents = "documents-texts" }

[[stage]]
name = "clean-later"
kind = "clean"
parameters = { min_characters = 40 }
inputs = { documents = ["documents-fables", "documents-tales"] }

[[stage]]
name = "deduplicate-later"
kind = "deduplicate"
inputs = { documents = "clean-later" }

[[stage]]
name = "split-later"
kind = "split"
parameters = { validation = 0.2 }
inputs = { documents = "deduplicate-later" }

[[stage]]
name = "tokenize-later"
kind = "tokenize"
inputs = { split = "split-later", tokenizer = "tokenizer" }

[[stage]]
name = "finetune"
kind = "finetune"
parameters = { tokens = 512, context = 32, micro_batch = 2, micro_batches_per_step = 1 }
inputs = { weights = "pretrain", tokens = "tokenize-later", tokenizer = "tokenizer" }

[[stage]]
name = "evaluate"
inputs = { weights = "finetune", tokens = "tokenize-later" }
"""


def test_a_training_that_saw_none_of_it_is_taken_over(shell: Shell) -> None:
    """What comes only later goes from there on, and is looked for in the texts before."""
    recipe = two_sources(shell.folder / "two")
    tales = '[[source]]\nname = "tales"\nfetch = "file:tales"\nlicence = "CC0-1.0"\navailability = "open"\n'
    text = recipe.read_text("utf-8").replace("\n[corpus]", f"\n{tales}\n[corpus]")
    recipe.write_text(text + LATER, "utf-8")
    (recipe.parent / "tales").mkdir()
    for n in range(8):
        told = f"Once upon a time, in the year {n * 7}, a miller had {n} sons and a mill that stood by a brook. " * 2
        (recipe.parent / "tales" / f"{n}.txt").write_text(told + "\n", "utf-8")
    (recipe.parent / "fables" / "repeated.txt").unlink()
    made = graph_of(recipe)
    assert made["removal"].inputs["documents"] == ("deduplicate", "deduplicate-later")
    assert made["split-later"].inputs["documents"] == ("without-deduplicate-later",)
    require_left_out(made)
    assert shell.run("build", "two").returncode == 0
    done = shell.run("build", "two", "--without", "fables", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    cached = {stage["name"]: stage["cached"] for stage in told["stages"]}
    assert cached["pretrain"] and not cached["finetune"]
    assert "pretrain is the run of the model with everything" in done.stderr
    assert "finetune began anew" in done.stderr
    assert "whole" in told["baselines"]
