"""Models that a card says this one was made from.

In a line every model is first made one mark: a link to the hub, an address, an id, or an old id without organisation.
The phrases of ``data/parents.toml`` then say how this model was made of the one that follows them. Nothing is an edge
that is not named by its id or its link, that is only compared, possible, denied or asked, or that another model than
this one was made from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

from regrow.auditing import names
from regrow.auditing.collectors.folder import Statement, printable
from regrow.auditing.collectors.markdown import Block, clean, sentences
from regrow.auditing.collectors.prose.subject import is_on_another
from regrow.auditing.facts import Basis, Evidence, ParentFact, Relation
from regrow.auditing.lineage import BY_OUTPUTS
from regrow.data import any_of, toml, whole_words

_MARK = re.compile(r"\[(?P<kind>hf|id|weak|path):(?P<name>[^\[\]]{1,300})\]")
_ID = re.compile(
    r"\[(?:hf|path):[^\[\]]{1,300}+\]"  # a mark is left as it is
    r"|(?<![\w./:@\\-])[A-Za-z0-9][\w-]{0,95}+/[A-Za-z0-9](?:[\w.-]{0,94}\w)?(?![\w/]|\.\w)"
    r"|https?://[^\s<>\"'`|\])}]{1,300}+",
    re.ASCII,
)
_SPELT = re.compile(r"[A-Z0-9_.-]")
_AFTER = re.compile(  # what makes of a model's name that of a thing that belongs to it
    r"\]\W{0,3}(?:architectures?|topology|tokeni[sz]er|config(?:uration)?|format|famil(?:y|ies)|datasets?|code(?:base)?"
    r"|scripts?|librar(?:y|ies)|papers?|benchmarks?|template|repo(?:sitory)?|space|demo|collection)\b"
    r"|\](?:\smodels?)?\s(?:is|are|can\sbe)\s(?:also\s)?(?:available|at|here|found|hosted|provided|downloaded|published)\b"
    r"|\]\s(?:models?\s)?as\s(?:a|the|our)\s(?:[\w-]{1,15}\s)?(?:baseline|judge|comparison)",
    re.IGNORECASE,
)
_CHECKPOINT = re.compile(r"checkpoint-\d+$")
_INSIDE = re.compile(r"/(?:blob|resolve|raw|discussions)/")
_FILE = re.compile(
    r"\.(?:py|md|json|jsonl|sh|ipynb|txt|bin|pt|pth|gguf|safetensors|ya?ml|zip|png|jpg|csv|html?|pdf|cpp|js)$"
)
_PATCH = re.compile(r"/\d{1,4}$")  # ViT-B/16 is a shape, and 1/2 a half
_NOTHING = frozenset(("none", "null", "na", "n/a", "unknown", "model", "base", ""))
_OLD = re.compile(
    rf"(?<![\w./:@-])(?:{'|'.join(sorted(map(re.escape, names.moved()), reverse=True))})(?![\w/-]|\.\w)",
)
_BETWEEN = re.compile(r"(?:\s?(?:,|and|&|\+|with|/)\s?){1,2}(?:the )?")
_LONE = re.compile(r"[`\"'(]?(?P<name>(?=[\w.-]{0,100}\d)(?=[\w.-]{0,100}[a-zA-Z])[\w.-]{3,100})[`\"')]?", re.ASCII)
_FEW = 2
_LONGEST = 1500  # characters of a sentence
_TRAINED = re.compile(r"\bfine-?tun", re.IGNORECASE)


def parents(block: Block, at: Evidence) -> Iterator[Statement]:
    """What the model was made from, where it is named so that one can find it."""
    for name, relation in _told(block):
        yield ParentFact(Basis.DECLARED, at, name, relation)


def is_of_another(block: Block) -> bool:
    """Whether it is an item under one that names a model, and so speaks of that model."""
    return block.source[:1].isspace() and _MARK.search(_marked(block.lead)) is not None


def _told(block: Block) -> Iterator[tuple[str, Relation]]:
    if block.kind == "code" or is_of_another(block):
        return
    if block.kind == "table":
        for row in block.source.split("\n"):
            cells = [cell for cell in _marked(row).strip(" |").split("|") if cell.strip()]
            if len(cells) == 2:
                yield from _of_line(": ".join(cell.strip() for cell in cells))
        return
    line = _marked(block.source)
    found = [*_of_line(line), *_of_list(line, block)]
    yield from found
    title = block.headings[-1].lstrip("#*_ ") if block.headings else ""
    if found or line.startswith(">") or _words()["headings"].match(title):
        return
    for said in sentences(line):
        yield from _of_sentence(said, block.headings)


def _of_line(line: str) -> Iterator[tuple[str, Relation]]:
    """What a line of the form ``Base model: name`` names."""
    match = _keys().match(line)
    if match is None:
        return
    relation = Relation(str(match.lastgroup))
    value = line[match.end() :].lstrip(" `\"'(*:")
    mark = _MARK.match(value)
    if mark and (mark["kind"] != "weak" or mark.end() == len(value.rstrip(" ."))):
        yield from ((name, relation) for name in _run(value, mark))
    elif (lone := _LONE.fullmatch(value.strip(" .`"))) and lone["name"].lower() not in _NOTHING:
        yield lone["name"], relation


def _of_list(line: str, block: Block) -> Iterator[tuple[str, Relation]]:
    """What an item of a list is, whose heading or lead says that the model was made of what is in it."""
    mark = _MARK.match(line.lstrip("*-+ "))
    if mark is None or mark["kind"] == "weak":
        return
    title = block.headings[-1].strip(" :") if block.headings else ""
    said = _groups("leads").search(block.lead) if not _words()["otherwise"].search(block.lead) else None
    if under := _groups("lists").fullmatch(title) or said:
        yield from ((name, Relation(str(under.lastgroup))) for name in _name(mark))


def _of_sentence(said: str, headings: tuple[str, ...]) -> Iterator[tuple[str, Relation]]:
    if len(said) > _LONGEST or "[" not in said or said.endswith("?"):
        return
    on_another = is_on_another(said, headings)
    told: dict[str, Relation] = {}
    for relation, words in _sentences():
        match = words.search(said)
        if match is None or (on_another and relation not in BY_OUTPUTS) or _AFTER.match(said, match.end("name")):
            continue
        if _is_otherwise(said[: said.rindex("[", 0, match.start("name"))], relation, told, headings):
            continue
        run = list(_run(said, match))
        # One model is made from many only if it merges them, or learns from all; else the sentence speaks of several.
        if len(run) <= _FEW or relation in (Relation.MERGE, *BY_OUTPUTS):
            exact = Relation.FINETUNE if relation is Relation.UNKNOWN and _TRAINED.search(said) else relation
            told |= {name: exact for name in run if name not in told}
    yield from told.items()


def _is_otherwise(before: str, relation: Relation, told: Mapping[str, Relation], headings: tuple[str, ...]) -> bool:
    """Whether what comes before a model makes the sentence one about something else, or not one of what is so."""
    own = {names.plain(title) for title in headings}
    for mark in _MARK.finditer(before):
        if not {*_name(mark)} & told.keys() and names.plain(mark["name"]) not in own:
            return True
    plain = _MARK.sub(" ", before)
    clause = re.split(r"[,;:]", plain)[-1]
    about = relation not in BY_OUTPUTS and _words()["about"].search(clause)
    return bool(about or _words()["otherwise"].search(plain))


def _run(said: str, match: re.Match[str]) -> Iterator[str]:
    """The model that was matched, and those that are listed after it."""
    mark = next(one for one in _MARK.finditer(said, match.start()) if one.end("name") >= match.end("name"))
    yield from _name(mark)
    while (joint := _BETWEEN.match(said, mark.end())) and (after := _MARK.match(said, joint.end())):
        mark = after
        yield from _name(mark)


def _name(mark: re.Match[str]) -> Iterator[str]:
    if mark["kind"] == "path":
        yield printable(mark["name"], 200)
    else:
        yield f"hf:{mark['name']}"


def _marked(source: str) -> str:
    """A text in which each model is a mark, without other links' addresses."""
    text = clean(source.replace("`", " "), _link)
    return _OLD.sub(lambda match: f"[{names.model(match[0])}]", _ID.sub(_id, text))


def _link(words: str, address: str) -> str:
    label = words.strip(" `*_")
    if "://" not in label and names.is_path(label) and label.lstrip("./").partition(" ")[0] in address:
        return f"[path:{label}]"  # what a library writes that takes a folder for the id of a model
    elsewhere = _INSIDE.search(address) or _words()["labels"].search(words)
    if found := "" if elsewhere else names.model(address):
        return f"[{found}]" if not _CHECKPOINT.search(found) else f"[path:{label}]"
    if label and label in address and "/" in label:
        return f" {label.replace('/', ' / ')} "  # the id of something at another place
    return f" {words.replace('[', '(').replace(']', ')')} "


def _id(match: re.Match[str]) -> str:
    if match[0].startswith("["):
        return match[0]
    said = match[0].rstrip(".,;:!?")
    found = "" if _INSIDE.search(said) or _FILE.search(said) or _PATCH.search(said) else names.model(said)
    if not found:
        return match[0] if "://" not in said else " "
    kind = "hf" if "://" in said else "id" if _SPELT.search(found, 3) else "weak"
    return f"[{kind}:{found.removeprefix('hf:')}]{match[0][len(said) :]}"


@cache
def _keys() -> re.Pattern[str]:
    end = r"\s{0,2}(?:[\[(](?:optional|s)[\])])?\s{0,2}(?:[:\uff1a=]|->|\u2192)"
    return re.compile(rf"\W{{0,8}}{_groups('keys').pattern}{end}", re.IGNORECASE)


@cache
def _groups(table: str) -> re.Pattern[str]:
    """The phrases of a table, in a group for each relation."""
    groups = (f"(?P<{name}>{any_of(words)})" for name, words in toml("auditing.collectors", "parents")[table].items())
    return re.compile(any_of(groups), re.IGNORECASE)


@cache
def _sentences() -> tuple[tuple[Relation, re.Pattern[str]], ...]:
    table = toml("auditing.collectors", "parents")
    slots = {
        "{the}": table["the"],
        "{ANY}": r"\[(?:hf|id|weak|path):(?P<name>[^\[\]]{1,300})\]",
        "{X}": r"\[(?:hf|id|path):(?P<name>[^\[\]]{1,300})\]",
        "{LINKED}": r"\[hf:(?P<name>[^\[\]]{1,300})\]",
    }

    def filled(words: str) -> str:
        for slot, pattern in slots.items():
            words = words.replace(slot, pattern)
        return words

    return tuple(
        (Relation(name), re.compile(filled(words), re.IGNORECASE))
        for name, phrases in table["sentences"].items()
        for words in phrases
    )


@cache
def _words() -> Mapping[str, re.Pattern[str]]:
    return {name: whole_words(words) for name, words in toml("auditing.collectors", "parents")["not"].items()}
