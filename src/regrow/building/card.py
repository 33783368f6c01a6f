"""The model card: the README.md of a release, with the front matter that model hubs read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from regrow.model.families import families
from regrow.recipe.values import UNSHAREABLE
from regrow.release.layout import EFFECTS, EVIDENCE, LINEAGE
from regrow.release.lineage import Model, made, relation_on_hubs
from regrow.report import ReportData, said
from regrow.sources import is_local, name_of

# SPDX identifiers whose name on the hub is not simply the identifier in lower case.
_RENAMED = {
    "ODC-By-1.0": "odc-by",
    "ODbL-1.0": "odbl",
    "PDDL-1.0": "pddl",
    "C-UDA-1.0": "c-uda",
    "LGPLLR": "lgpl-lr",
}
# Of those with versions `-only` and `-or-later`, the hub knows the version.
_GNU = re.compile(r"(?P<id>(?:AGPL-3|GPL-[23]|LGPL-3)\.0|LGPL-2\.1)(?:-only|-or-later)?")
_IN_LOWER_CASE = """
    afl-3.0 apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0
    cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
    cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
    cdla-sharing-1.0 ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 isc lppl-1.3c mit mpl-2.0 ms-pl ncsa ofl-1.1
    osl-3.0 postgresql unlicense wtfpl zlib
"""


_ON_HUB = re.compile(
    r"(?:hf:|https://(?:huggingface\.co|hf\.co)/)(?P<id>[\w.-]{1,96}/[\w.-]{1,96})(?:@|/(?:resolve|blob|tree)/|$)",
    re.ASCII,
)

_FAMILIES = {
    "llama": "Llama", "gpt2": "GPT-2", "gpt_neox": "GPT-NeoX", "mistral": "Mistral", "olmo2": "OLMo 2",
    "qwen2": "Qwen 2", "qwen3": "Qwen 3",
}  # fmt: skip
_SHAPE = {
    "parameters": "{:,} parameters",
    "layers": "{} layers",
    "width": "a width of {}",
    "heads": "{} heads",
    "context": "a context of {} tokens",
    "vocabulary": "a vocabulary of {}",
}
_CONTINUING = (
    'prompt = tokenizer("Once", return_tensors="pt")',
    "text = tokenizer.decode(model.generate(**prompt, max_new_tokens=100)[0], skip_special_tokens=True)",
)
_ANSWERING = (
    'messages = [{"role": "user", "content": "Who are you?"}]',
    "prompt = tokenizer.apply_chat_template(",
    '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
    ")",
    'answer = model.generate(**prompt, max_new_tokens=100)[0][prompt["input_ids"].shape[1] :]',
    "text = tokenizer.decode(answer, skip_special_tokens=True)",
)


def hub_licence(expression: str) -> str | None:
    """What model hubs call a licence, or None if they have no name for it."""
    if expression in _RENAMED:
        return _RENAMED[expression]
    if gnu := _GNU.fullmatch(expression):
        return gnu["id"].lower()
    return lower if (lower := expression.lower()) in _IN_LOWER_CASE.split() else None


def model_card(data: ReportData) -> str:
    """The card of a release. It cannot name the release digest, which covers it."""
    about = (_front_matter(data), _head(data), _purpose(data), _use(data))
    details = (_check(data), _data(data), _evidence(data), _results(data), _effects(data), _licence(data))
    return "\n".join(line for part in (*about, *details) for line in part)


def _front_matter(data: ReportData) -> Iterator[str]:
    yield "---"
    if hub := hub_licence(data.licence):
        yield f"license: {hub}"
    else:
        yield from ("license: other", f"license_name: {_yaml(data.licence)}", "license_link: LICENSE")
    yield from _parents_on_hub(data)
    yield from _parents_anywhere(data)
    yield from (f"library_name: {_library(data)}", "pipeline_tag: text-generation")
    yield from ("tags:", "- regrow", "- reproducible-build", *_index(data), "---", "")


def _index(data: ReportData) -> Iterator[str]:
    """The scores as hubs read them from a card."""
    if data.scores:
        from regrow.evaluating.hub import model_index

        yield from ("model-index:", *model_index(data.name, data.scores.values()))


def _head(data: ReportData) -> Iterator[str]:
    yield from (f"# {_text(data.name)}", "")
    if data.description:
        yield from (_text(data.description), "")
    family = _text(_FAMILIES.get(data.family, data.family or "usual"))
    shape = ", ".join(words.format(data.facts[name]) for name, words in _SHAPE.items() if name in data.facts)
    yield f"A decoder of the {family} kind{f' with {shape}' if shape else ''}. {_made(data)}"
    yield ""


def _made(data: ReportData) -> str:
    """How the weights came about, as far as every stage that gave some says it."""
    if [origin for _, origin in data.line] == ["random"]:
        return "It was trained from scratch by regrow, from the recipe in `regrow.toml`, and continues text."
    steps = ", then ".join(f"{made(origin)} (stage `{stage}`)" for stage, origin in data.line)
    how = f": {_text(steps)}" if steps else ""
    begun = "".join(_begun(parent) for parent in _parents(data))
    does = "It answers, through the template in `chat_template.jinja`." if data.answers else "It continues text."
    return f"It was made by regrow, from the recipe in `regrow.toml`{how}.{begun} {does}"


def _parents(data: ReportData) -> tuple[Model, ...]:
    return data.lineage.parents if data.lineage else ()


def _begun(parent: Model) -> str:
    """Of one parent: where it was got, its terms, and what is known of how it was made."""
    verb = "It learned from" if "distilled" in parent.relation else "It begins with"
    where = f" {verb} {_text(_place(parent.fetch))}, under `{_text(parent.licence)}`"
    if parent.steps:
        return (
            f"{where}, which is the release `{_text(parent.name)}` with the digest `{parent.digest}`: "
            f"how that one was made stands in `{LINEAGE}/{parent.taken}/`."
        )
    return f"{where}; how that one was made is not known here, so what is built again is what was done to it."


def _place(fetch: str) -> str:
    """Where a model was got, in words."""
    scheme, _, place = fetch.partition(":")
    name, _, version = place.partition("==" if scheme == "pypi" else "@")
    match scheme:
        case "hf":
            return f"the model `{name}` of the hub" + (f" at the revision `{version}`" if version else "")
        case "pypi":
            return f"the model in the Python package `{name}`, version `{version}`"
        case "file":
            return f"the model in `{place}`, which lay beside the recipe"
        case _:
            return f"the model in `{name_of(fetch)}`"


def _parents_on_hub(data: ReportData) -> Iterator[str]:
    """The parents that have a place on the hub, whose pages draw the tree; others cannot be named there."""
    if found := {id: parent for parent in _parents(data) if (id := _hub_id(parent.fetch))}:
        yield "base_model:"
        yield from (f"- {_yaml(id)}" for id in found)
        yield f"base_model_relation: {relation_on_hubs(next(iter(found.values())).relation)}"


def _parents_anywhere(data: ReportData) -> Iterator[str]:
    """All parents, for programs: hubs pass over keys that they do not know."""
    if parents := _parents(data):
        yield "regrow_parents:"
    for parent in parents:
        told = {
            "fetch": name_of(parent.fetch),
            "relation": list(parent.relation),
            "license": parent.licence,
            "digest": parent.digest,
        }
        yield f"- {_yaml({key: value for key, value in told.items() if value})}"


def _hub_id(fetch: str) -> str:
    """The id of a model of the hub, if an address is one of its files or `hf:ID@REVISION`."""
    found = _ON_HUB.match(fetch)
    return found["id"] if found else ""


def _effects(data: ReportData) -> Iterator[str]:
    if data.effects:
        yield from (
            "## What each change did",
            "",
            "| stage | function | weights | held-out text | size |",
            "|---|---|---|---|---|",
        )
        for one in data.effects:
            words = (f"`{one.stage}`", said.function(one), said.weights(one), said.bits(one), said.sizes(one))
            yield f"| {' | '.join(map(_text, words))} |"
        yield from ("", f"Measured on the same texts before and after; all of it is in `{EFFECTS}/`.", "")


def _purpose(data: ReportData) -> Iterator[str]:
    own = (
        "It can be used to continue a text in the manner of its training text, to study how training text becomes a "
        "model, and to test tools. Input and output are text.",
        "It does not follow instructions and knows nothing beyond its training text, whose errors, omissions and views "
        "it repeats.",
    )
    derived = (
        "It can be used as the model that it begins with, and to study what was done to it. Input and output are text.",
        "It has the errors, omissions and views of the model that it begins with, and of the text that it was trained "
        "on since.",
    )
    use, limits = derived if data.bases else own
    yield from ("## Intended use", "", use, "", "## Limitations", "")
    yield f"{limits} What it writes may be inaccurate or offensive. It should not be used for decisions about people."
    yield ""


def _library(data: ReportData) -> str:
    family = families().get(data.family)
    return family.library if family else "transformers"


def _use(data: ReportData) -> Iterator[str]:
    if _library(data) == "regrow":
        yield from ("## Use", "", "```sh", "regrow chat .  # the directory of this file", "```", "")
        yield "No class of transformers computes this decoder, and no file of another engine can say what it is: it has"
        yield "connections between layers that are far apart."
        yield ""
        return
    yield from (
        "## Use",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained(".")  # the directory of this file',
        'model = AutoModelForCausalLM.from_pretrained(".")',
        *(_ANSWERING if data.answers else _CONTINUING),
        "```",
        "",
    )
    if not data.bases:
        yield "The tokenizer puts the token in front that begins every text, as training did and as `regrow chat` does."
        yield ""


def _check(data: ReportData) -> Iterator[str]:
    yield from (
        "## Check",
        "",
        "The release digest covers every file that is loaded or relied on. The last line these commands print is it:",
        "",
        "```sh",
        "sha256sum -c SHA256SUMS && sha256sum SHA256SUMS",
        "```",
        "",
        "`regrow verify .` builds everything again from recipe, lock and sources, and compares bit for bit.",
    )
    beside = ["the base"] if any(is_local(base.fetch) for base in data.bases) else []
    kept = [source.name for source in data.sources if source.availability == UNSHAREABLE]
    beside += [source.name for source in data.sources if is_local(source.fetch) and source.name not in kept]
    if beside:
        names = ", ".join(beside)
        yield f"It needs the files of {names}, which are not in the release: `--source DIR` says where they are."
    if kept:
        yield f"The texts of {', '.join(kept)} may not be shared, so only who holds them can build all of it; to others"
        yield "it says what could be checked. `regrow commitment check . PROOF` checks a proof that a text is one."
    yield ""


def _data(data: ReportData) -> Iterator[str]:
    yield from ("## Training data", "")
    yield from ("| source | from | licence | availability | documents | bytes |", "|---|---|---|---|---:|---:|")
    for source in data.sources:
        words = (source.name, f"`{source.fetch}`", source.licence, source.availability)
        yield f"| {' | '.join(map(_text, words))} | {source.documents:,} | {source.bytes:,} |"
    yield ""
    for source in data.sources:
        if source.attribution:
            yield f"- {_text(source.name)}: {_text(source.attribution)}"
    if any(source.attribution for source in data.sources):
        yield ""
    dropped = sum(exclusion.documents for exclusion in data.exclusions)
    yield "`data/documents.parquet` names every document by file, byte range, licence and hash;"
    if any(source.availability == UNSHAREABLE for source in data.sources):
        yield "of texts that may not be shared, files are numbers, and hashes and ids are made under a secret key;"
    yield f"`data/excluded.parquet` names the {dropped:,} that were read but not used, with reasons."
    yield ""


def _evidence(data: ReportData) -> Iterator[str]:
    """What was found in the text, with what was not looked for in the files that it names."""
    if data.evidence:
        yield from ("## What is in the training data", "")
    for found in data.evidence:
        yield f"- **{_text(found.evidence.question)}** {_text(found.evidence.answer)}"
        yield from (f"  - **Notice:** {_text(notice)}" for notice in found.evidence.notices)
    if data.evidence:
        yield from ("", f"How each was looked for, and what such a search cannot see, stands in `{EVIDENCE}/`.", "")


def _results(data: ReportData) -> Iterator[str]:
    if data.measures:
        yield from ("## Evaluation", "", "| bits per byte of validation text | |", "|---|---:|")
        yield from (f"| {_text(measure.name)} | {measure.bits_per_byte:.3f} |" for measure in data.measures)
        yield ""
    yield from _scores(data)
    for doubt in data.doubts:
        yield from (f"> **Warning:** {_text(doubt.what)}.", "")


def _scores(data: ReportData) -> Iterator[str]:
    if not data.scores:
        return
    yield from (
        "## Scores",
        "",
        "| task | items | measure | value | standard error | chance |",
        "|---|---:|---|---:|---:|---:|",
    )
    for row in (row for one in data.scores.values() for row in one["scores"]):
        for name, found in row["measures"].items():
            error, chance = (
                "" if value is None else f"{value:.4f}" for value in (found.get("standard_error"), row.get("chance"))
            )
            yield f"| {_text(row['task'])} | {row['items']:,} | {name} | {found['value']:.4f} | {error} | {chance} |"
    yield from ("", "`regrow test .` asks all of it again, and gets the same to the last digit.", "")


def _licence(data: ReportData) -> Iterator[str]:
    yield from ("## Licence", "")
    yield from (
        f"The weights, and what is written about them here: `{data.licence}`. Each source of training text has its own "
        "licence, see above. The code that prepared the text, trained the model and runs it is regrow's, under "
        "`Apache-2.0`.",
        "",
    )


def _text(value: str) -> str:
    """Text in one line that cannot break out of a table or a heading."""
    return " ".join(value.split()).replace("|", "\\|").replace("<", "&lt;")


def _yaml(value: object) -> str:
    """A value as YAML, of which JSON is a part."""
    return json.dumps(value, ensure_ascii=False)
