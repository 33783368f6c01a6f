"""Merging: each method by cases worked out by hand, ties and draws as stated, and what does not fit is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regrow
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import RegrowError
from regrow.exact.random import uniforms
from regrow.model.merging import Merge, largest, total
from regrow.model.weights import Ends, ends, load, save
from regrow.store.digest import tree_digest
from tests.models import CONFIG, TEXTS, model, recipe

from .conftest import Bench

GOLDEN = "5b2ed01f66709c8d677c7a616a7e076a697bed895aea5b3d7f156090203b6d8f"


def merged(merge: Merge, *tensors: Sequence[float]) -> list[float]:
    found = merge("x", [(f"m{i}", np.array(x, np.float32)) for i, x in enumerate(tensors)])
    assert found.dtype == np.float32
    return [round(float(x), 6) for x in found]


def test_linear_and_task_arithmetic() -> None:
    assert merged(Merge("linear", (1.0, 3.0), True), [1, 2], [5, -2]) == [4, -1]
    assert merged(Merge("linear", (1.0, 3.0), False), [1, 2], [5, -2]) == [16, -4]
    three = [1, 2], [2, 2], [1, -2]
    assert merged(Merge("task-arithmetic", (1.0, 0.5), False, scale=2.0), *three) == [3, -2]
    assert merged(Merge("task-arithmetic", (1.0, 0.5), True), *three) == [round(1 + 1 / 1.5, 6), round(2 - 2 / 1.5, 6)]


def test_ties_keeps_the_largest_and_the_sign_of_most() -> None:
    first = [0, 0, 0, 0]
    # Of each two are kept; the third entry has the sum -1, so that the second model's 2 does not count.
    said = Merge("ties", (1.0, 1.0), True, density=0.5)
    assert merged(said, first, [4, 1, -3, 1], [2, -1, 2, 1]) == [3, 0, -3, 0]
    assert merged(replace(said, weights=(1.0, 3.0)), first, [4, 1, -3, 1], [2, -1, 2, 1]) == [2.5, 0, 2, 0]
    assert merged(replace(said, normalise=False), first, [4, 1, -3, 1], [2, -1, 2, 1]) == [6, 0, -3, 0]


def test_of_equal_ones_the_first_are_kept() -> None:
    assert largest(np.array([1.0, 3.0, 3.0, 3.0, 2.0]), 0.4).tolist() == [False, True, True, False, False]
    assert largest(np.array([0.0, 0.0]), 0.1).tolist() == [True, False]


def test_dare_keeps_what_is_drawn_and_the_sum() -> None:
    change = [1.0, -2.0, 3.0, 4.0, -5.0, 6.0, 7.0, 8.0]
    drawn = uniforms(7, "dare m1 x", 8) < 0.5
    kept = np.where(drawn, change, 0.0)
    expected = kept * (np.abs(change).sum() / np.abs(kept).sum())
    for method in ("dare-linear", "dare-ties"):
        found = merged(Merge(method, (1.0,), False, density=0.5, seed=7), [0.0] * 8, change)
        assert found == pytest.approx(expected.tolist(), rel=1e-6)


def test_slerp_goes_along_the_arc() -> None:
    said = Merge("slerp", (), False, t=0.5)
    half = float(np.float32(np.sqrt(0.5)))
    assert merged(said, [1, 0], [0, 1]) == [round(half, 6)] * 2
    assert merged(replace(said, t=0.0), [1, 0], [0, 2]) == [1, 0]
    assert merged(replace(said, t=1 / 3), [1, 0], [0, 1]) == [round(np.cos(np.pi / 6), 6), 0.5]
    assert merged(said, [1, 2], [2, 4]) == [1.5, 3]  # of one direction
    assert merged(said, [0, 0], [2, 4]) == pytest.approx([2 * half, 4 * half], rel=1e-6)
    assert merged(said, [1, 0], [-1, 0]) == [0, 0]


def test_a_total_does_not_go_by_what_a_library_does() -> None:
    x = np.random.default_rng(1).normal(size=(7, 13))
    assert total(x) == pytest.approx(x.sum(), rel=1e-12)
    assert (total(np.zeros(0)), total(np.array([2.0, 3.0, 4.0]))) == (0.0, 9.0)
    assert total(np.array([2.0**53, 1.0, 1.0, -(2.0**53)])) == total(
        np.array([2.0**53, 1.0, 1.0, -(2.0**53)])[[0, 1, 2, 3]]
    )


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("merge")
    return {name: model(root / name, CONFIG, seed) for seed, name in enumerate(("base", "poems", "plays"), 1)}


def join(root: Path, given: dict[str, Path], **said: Any) -> Path:
    said = {"method": "linear", "models": ("poems", "plays"), **said}
    models = [given[name] for name in said["models"]]
    return Bench(root).run("merge", said, weights=given["base"], tokenizer=given["base"], models=models)


def test_the_output_is_what_it_was(tmp_path: Path, given: dict[str, Path]) -> None:
    """If it fails, bump the version of the kind."""
    found = join(tmp_path, given, method="dare-ties", density=0.3, weights=(0.5, 0.8), scale=0.9)
    assert tree_digest(found) == GOLDEN


def test_heads_and_halves_are_merged_as_the_tensors_of_the_files(tmp_path: Path, given: dict[str, Path]) -> None:
    base, poems = (load(given[name])[1] for name in ("base", "poems"))
    found = load(join(tmp_path, given, method="ties", models=("poems",), density=0.25))[1]
    name = "layers.001.attention.qkv"
    changed = (found[name] != base[name]).sum(1)
    queries = changed[:16].sum(), changed[16:24].sum(), changed[24:].sum()
    assert [int(x) for x in queries] == [64, 32, 32]  # a quarter of each of the three
    assert bool(((found[name] == poems[name]) | (found[name] == base[name])).float().mean() > 0.9)


def test_tokens_are_found_by_their_text(tmp_path: Path, given: dict[str, Path]) -> None:
    other = model(tmp_path / "other", replace(CONFIG, vocabulary=310), 9, ("zebra zoo one two " * 50,))
    given = {**given, "other": other}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(RegrowError, match="the model `other` has another tokenizer: token") as error:
        join(tmp_path / "a", given, models=("other",))
    assert 'or write `vocabulary = "union"`' in error.value.hint
    found = join(tmp_path / "b", given, models=("other",), weight=0.0, vocabulary="base")
    rows = [json.loads(line) for line in (found / "vocabulary.jsonl").read_text("utf-8").splitlines()]
    merged, theirs, ours = (load(one)[1]["embed"] for one in (found, other, given["base"]))
    lost = [row for row in rows if row["from"]["other"] is None]
    moved = [row for row in rows if row["from"]["other"] not in (None, row["row"])]
    assert lost and moved and len(rows) == 284
    assert all(merged[row["row"]].equal(theirs[row["from"]["other"]]) for row in moved)
    # Weights of 0 and 1, but what the other lacks is ours in both places.
    assert all(merged[row["row"]].equal(ours[row["row"]]) for row in lost)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three models with tokens of their own; the third also has one that stands for a whole text, and ends one."""
    root = tmp_path_factory.mktemp("zoo")
    texts = {"base": TEXTS, "one": ("zebra zoo one two " * 50,), "two": ("zebra lion one lion " * 50,)}
    found = {name: model(root / name, CONFIG, seed, texts[name]) for seed, name in enumerate(texts, 1)}
    raw = json.loads((found["two"] / "tokenizer.json").read_text("utf-8"))
    number = len(raw["model"]["vocab"])
    raw["added_tokens"].append({**raw["added_tokens"][0], "id": number, "content": "<|done|>"})
    (found["two"] / "tokenizer.json").write_text(json.dumps(raw), encoding="utf-8")
    save(found["two"], *load(found["two"]), Ends(0, 0, (number,)))
    return found


def united(root: Path, zoo: dict[str, Path], **said: Any) -> tuple[Path, Path]:
    """The tokenizer with the tokens of all, and the merge."""
    said = {"method": "linear", "models": ("one", "two"), "vocabulary": "union", **said}
    bench, models = Bench(root), [zoo[name] for name in said["models"]]
    chosen = {key: said[key] for key in ("models", "vocabulary")}
    tokenizer = bench.run("merge-tokenizer", chosen, files=zoo["base"], tokenizer=zoo["base"], models=models)
    return tokenizer, bench.run("merge", said, weights=zoo["base"], tokenizer=tokenizer, models=models)


def test_tokens_of_all_models_each_with_the_row_of_who_has_it(tmp_path: Path, zoo: dict[str, Path]) -> None:
    tokenizer, found = united(tmp_path, zoo, weight=0.25, weights=(0.25, 0.5))
    known = {name: Tokenizer.open(folder) for name, folder in {**zoo, "all": tokenizer}.items()}
    rows = {name: load(folder)[1]["embed"].double() for name, folder in {**zoo, "all": found}.items()}
    texts = known["all"].tokens()
    assert texts[: known["base"].vocabulary] == known["base"].tokens()
    assert set(texts) == {*known["base"].tokens(), *known["one"].tokens(), *known["two"].tokens()}
    told = [json.loads(line) for line in (found / "vocabulary.jsonl").read_text("utf-8").splitlines()]
    seen = set()
    for number, text in enumerate(texts):
        own = {name: rows[name][known[name].id(text)] for name in zoo if known[name].id(text) is not None}
        stands = own.get("base", sum(own.values()) / len(own))
        wanted = sum(w * own.get(name, stands) for name, w in (("base", 0.25), ("one", 0.25), ("two", 0.5)))
        assert (rows["all"][number] - wanted).abs().max() < 1e-7, text
        assert told[number]["from"] == {name: known[name].id(text) for name in ("one", "two")}
        assert told[number].get("otherwise") == (None if "base" in own else list(own))
        seen.add(tuple(own))
    assert seen >= {("base",), ("one",), ("two",), ("one", "two"), ("base", "one", "two")}
    assert len(rows["all"]) == max(300, len(texts))
    assert ends(found) == Ends(0, 0, (known["all"].id("<|done|>"),))  # both stop there


def test_text_is_cut_as_the_first_does_and_then_as_the_others(tmp_path: Path, zoo: dict[str, Path]) -> None:
    tokenizer, _ = united(tmp_path, zoo)
    one, base = Tokenizer.open(tokenizer), Tokenizer.open(zoo["base"])
    assert one.documents(["one two three seven"]) == base.documents(["one two three seven"])
    assert [one.decode([token]) for token in one.documents([" zebra lion zoo<|done|>"])[0]][:3] == [
        " zebra",
        " lion",
        " zoo",
    ]
    assert one.prompt("zoo<|done|>")[-1] == one.id("<|done|>")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(tokenizer)
    for text in ("one zebra, two lions in the zoo<|done|>\n", *TEXTS[:2]):
        assert theirs(text)["input_ids"] == one.prompt(text)
    assert theirs.convert_ids_to_tokens(list(range(len(theirs)))) == list(one.tokens())


def test_models_that_end_texts_in_other_ways_are_not_put_together(tmp_path: Path, zoo: dict[str, Path]) -> None:
    other = shutil.copytree(zoo["one"], tmp_path / "other")
    for path in other.glob("*.json"):
        path.write_text(path.read_text("utf-8").replace("<|endoftext|>", "</s>"), encoding="utf-8")
    with pytest.raises(RegrowError, match='the model `other` ends a text with "</s>", and here it is'):
        united(tmp_path, {**zoo, "other": other}, models=("other",))


UNION = '[merge]\nmethod = "linear"\nmodels = ["one"]\nvocabulary = "union"\n'
ONE = '[[parent]]\nname = "one"\nfetch = "file:one"\nlicence = "MIT"\n'


def test_a_recipe_with_the_tokens_of_all_is_built_and_built_again(tmp_path: Path, zoo: dict[str, Path]) -> None:
    folder = recipe(tmp_path / "child", ONE, UNION, '[vocabulary]\nadd = ["<|new|>"]\n', texts=False)
    for name in ("base", "one"):
        shutil.copytree(zoo[name], folder / name)
    regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    report = regrow.verify(tmp_path / "release", sources=folder, store=tmp_path / "other")
    assert report.verdict.value == "same", report
    known = Tokenizer.open(tmp_path / "release")
    assert known.id("<|new|>") == 284 and None not in (known.id("Ġzebra"), known.id("Ġseven"))
    assert (tmp_path / "release" / "merge" / "vocabulary.jsonl").is_file()


def test_training_on_tokens_before_there_are_rows_for_them_is_refused(tmp_path: Path, zoo: dict[str, Path]) -> None:
    folder = recipe(tmp_path / "child", ONE, "[finetune]\ntokens = 512\ncontext = 16\n", UNION)
    for name in ("base", "one"):
        shutil.copytree(zoo[name], folder / name)
    with pytest.raises(RegrowError, match="`finetune` would take the tokens of `merge-tokenizer`, and") as error:
        regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    assert "let it come behind `merge`" in str(error.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"hidden": 32}, "its `layers.000.mlp.gate_up` is 64 by 16, and here it is 48 by 16"),
        ({"layers": 3}, "its `layers.002.attention.norm` is 16, and here it is not there"),
        ({"vocabulary": 304}, "its `embed` is 304 by 16, and here it is 300 by 16"),
        ({"rope_theta": 5e5}, "its `rope_theta` is 500000.0, and here it is 10000.0"),
    ],
)
def test_other_shapes_are_refused(tmp_path: Path, given: dict[str, Path], change: dict[str, Any], fault: str) -> None:
    other = model(tmp_path / "other", replace(CONFIG, **change), 5)
    with pytest.raises(RegrowError, match=fault) as error:
        join(tmp_path, {**given, "other": other}, models=("other",))
    assert ("vocabulary" in error.value.hint) == ("vocabulary" in change)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"method": "slerp"}, "goes from the weights so far to one model"),
        ({"density": 0.5}, "`linear` has no use for it"),
        ({"method": "ties", "t": 0.2}, "`ties` has no use for it"),
        ({"weights": (1.0,)}, "there are 2 models and 1 weights"),
        ({"weights": (-2.0, 1.0)}, "the weights add up to 0"),
        ({"models": ("poems", "poems")}, "a model is named twice"),
        ({"models": ()}, "models"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, given: dict[str, Path], said: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        join(tmp_path, given, **said)


def test_a_recipe_that_merges_is_built_and_built_again(tmp_path: Path) -> None:
    table = '[[parent]]\nname = "{0}"\nfetch = "file:{0}"\nlicence = "MIT"\n'
    said = '[merge]\nmethod = "ties"\nmodels = ["plays", "poems"]\nweights = [0.5, 1.0]\ndensity = 0.5\nlambda = 0.8\n'
    folder = recipe(tmp_path / "child", table.format("poems"), table.format("plays"), said, texts=False)
    for seed, name in enumerate(("base", "poems", "plays"), 1):
        model(folder / name, CONFIG, seed)
    regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    report = regrow.verify(tmp_path / "release", sources=folder, store=tmp_path / "other")
    assert report.verdict.value == "same", report
    merge = Merge("ties", (0.5, 1.0), True, density=0.5, scale=0.8)
    three = [(name, load(folder / name)[1]["norm"].numpy()) for name in ("base", "plays", "poems")]
    assert load(tmp_path / "release")[1]["norm"].numpy().tolist() == merge("model.norm.weight", three).tolist()
    assert "merged (stage `merge`)" in (tmp_path / "release" / "README.md").read_text("utf-8")
