"""What the text of a card says about data, training, use and openness.

Sentences are recognised by the words in them under the headings they stand under. This is meant to find what a reader
can then look up at the line given, and leaves out what it is not sure of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from regrow.audit import names
from regrow.audit.collectors.folder import Statement, Text, printable
from regrow.audit.collectors.markdown import Block, blocks
from regrow.audit.facts import (
    Aspect,
    Basis,
    ClaimFact,
    Component,
    ComponentFact,
    DataAspectFact,
    OriginFact,
    ParentFact,
    Relation,
    State,
    TrainingFact,
    UsageFact,
)

_MOST_PER_KIND = 40
_QUOTE = 300


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)


_DATA_HEADING = _words(
    r"(?:pre-?|mid-?|post-?)?(?:training|tuning|finetuning|fine-tuning)?[- ]?(?:data|datasets?|corpus|corpora)"
    r"(?: (?:sources?|mixture|mix|composition|details|information|overview))?|pre-?processing"
)
_NOT_TRAINING_DATA = _words(r"evaluation|testing|test data|benchmarks?|results|metrics|privacy|how to|usage|download")
_ASPECTS = {
    Aspect.PROVENANCE: _words(
        r"sources?d?|collected from|crawl(?:ed)?|common crawl|obtained from|derived from|taken from|comes? from|"
        r"scraped|wikipedia|available (?:at|from|on)|from `?[\w-]+/[\w.-]+`?"
    ),
    Aspect.SCOPE: _words(
        r"[\d.,]{1,20} ?(?:[TBMKG]|trillion|billion|million|thousand)? ?(?:tokens|documents|words|examples|samples|"
        r"characters|bytes|[GTM]i?B|pages|rows|images|hours)|languages|domains|covers?|cut-?off"
    ),
    Aspect.CHARACTERISTICS: _words(
        r"consists? of|composed of|composition|comprises?|contains?|mixture|proportions?|percent|distribution|"
        r"statistics|\d+(?:\.\d+)? ?%"
    ),
    Aspect.SELECTION: _words(r"select(?:ed|ion)|chosen|curat\w+|sampl(?:ed|ing)|weight(?:ed|ing|s)|up-?sampled"),
    Aspect.LABELLING: _words(r"annotat\w+|label(?:l?ed|l?ing|s)?|human raters?|preferences?|instruction pairs"),
    Aspect.PROCESSING: _words(
        r"pre-?process\w*|tokeni[sz]\w+|normali[sz]\w+|clean(?:ed|ing)|extract(?:ed|ion)|convert(?:ed|ing)|"
        r"packed|chunk\w*|de-?duplicat\w+"
    ),
    Aspect.FILTERING: _words(
        r"filter\w*|remov(?:ed|al|ing)|exclud\w+|de-?duplicat\w+|de-?contaminat\w+|block-?lists?|discard\w*|toxic\w*"
    ),
}
_USES = (
    ("limitations", _words(r"limitations?|biases|bias|risks?|ethical|out-of-scope(?: use)?|safety|harms?")),
    ("integration", _words(r"how to (?:use|get started|run)|quick ?start|usage|get started|inference|install\w*")),
    ("use", _words(r"intended uses?|direct use|downstream use|uses?|use cases?|applications?")),
    ("capabilities", _words(r"capabilit(?:y|ies)|model (?:description|summary|overview|details)|introduction")),
    ("modalities", _words(r"modalit(?:y|ies)|inputs?(?: and |/)outputs?|input format")),
)
_SENTENCES = (
    (
        "limitations",
        _words(
            r"(?:does|do|is|are|can|should|must) ?not (?:be used|intended|designed|suitable|follow|understand|support)|"
            r"hallucinat\w+|may (?:produce|generate|contain|reflect|be inaccurate)|knows nothing|limited to"
        ),
    ),
    (
        "capabilities",
        _words(
            r"capable of|can (?:be used|generate|answer|write|follow)|continues? text|follows? instructions|"
            r"(?:designed|intended|optimi[sz]ed) (?:for|to)"
        ),
    ),
)
# Everything that repeats is bounded: a card is a stranger's, and must not make a search take longer than it is long.
_NUMBER = (
    r"(?<![\d.])(?P<number>\d[\d,]{0,20}(?:\.\d{1,9})?)\s{0,3}"
    r"(?P<unit>trillion|billion|million|thousand|[TBMKtbmk](?![a-zA-Z]))?\+?"
)
_TOKENS = re.compile(rf"{_NUMBER}[- ](?:\w{{1,30}} ){{0,2}}tokens\b", re.IGNORECASE)
_TRAINED = _words(r"(?:pre-?|re-?|post-?|mid-?)?train(?:ed|ing)|training data|corpus|dataset|saw|seen")
_NOT_A_TOTAL = _words(r"context|batch(?:es)?|vocabulary|window|length|sequences? of|at once|up to|every|per")
_HOURS = re.compile(
    rf"{_NUMBER}\s{{0,3}}(?:[\w-]{{1,30}} ){{0,3}}(?:[GT]PU|accelerator|device|[AH]\d+)[- ]?hours\b", re.IGNORECASE
)
_TEMPLATE_HOURS = re.compile(rf"hours used:?\s{{0,3}}{_NUMBER}", re.IGNORECASE)
_HARDWARE = re.compile(
    r"(?:(?:\d[\d,]{0,6})\s?(?:x|\u00d7|\*)?\s?)?(?:NVIDIA |AMD |Google )?"
    r"(?:[ABHLV]\d{2,3}L?(?:-\w{2,5})?|GB?200|RTX ?\d{4}|MI\d{3}X?|TPU ?v\d\w?(?:-\d+)?|Gaudi ?\d?|Trainium\d?)"
    r"(?:[ -](?:80|40|96|192) ?GB)?(?: [GT]PUs?)?\b"
)
_SCALE = {"t": 10**12, "b": 10**9, "m": 10**6, "k": 10**3}
_WITHHELD = _words(
    r"(?:not|never|cannot|can't|won't|without)(?: \w{1,20}){0,2} "
    r"(?:disclos|reveal|divulg|specif|document|describ|stat)\w*|"
    r"undisclosed|unspecified|trade secrets?|"
    r"(?:is|are|be|remains?|kept|stays?|held)(?: \w{1,20})? (?:confidential|secret|private)"
)
_SCRATCH = re.compile(r"\b(?:trained|training|pre-?trained|built|learned)\b[^.]{0,80}\bfrom scratch\b", re.IGNORECASE)
_WHOLE = _words(r"models?|LLMs?|weights|parameters|networks?|transformers?|students?|it (?:is|was|has been)")
_PART = _words(r"tokeni[sz]ers?|vocabular(?:y|ies)|embeddings?|classifiers?|(?:reward|draft|judge) models?|heads?")
_NAMES = r"\b[^.;]{0,40}?(?<![\w./-])(?P<id>[A-Za-z0-9][\w-]{0,95}+/[A-Za-z0-9][\w.-]{0,95}\w)"
_TEXT = r"(?:data|datasets?|examples?|instructions?|conversations?|answers?|completions?|texts?|outputs?)"
_SPELT = re.compile(r"[A-Z0-9]")
_MADE = r"(?:generated|written|synthesi[sz]ed|produced)"
_TEACHERS = tuple(
    (relation, re.compile(rf"\b{words}{_NAMES}", re.IGNORECASE))
    for relation, words in (
        (Relation.DISTILLED, r"distill?\w*\b[^.:;]{0,60}?\b(?:from|of)"),
        (Relation.DISTILLED, r"teachers?"),
        (Relation.SYNTHETIC_DATA, rf"{_TEXT}\b[^.;]{{0,40}}?\b{_MADE} (?:by|with|using|from)"),
        (Relation.SYNTHETIC_DATA, r"trained on (?:the )?outputs? (?:of|from)"),
    )
)
_NEGATED = _words(
    r"not|no|never|cannot|can't|won't|isn't|aren't|don't|doesn't|unlike|instead of|rather than|without|neither|nor|"
    r"compared (?:to|with)|if you|you can|you must|please"
)
_OPENS = _words(
    r"open[- ]?sourc(?:e|ed|es|ing)|open[- ]?weights?|open[- ]?data|fully open|truly open|"
    r"openly (?:available|released|licensed)|(?:we|and|are|is|been|have|also|hereby) (?:\w+ )?releas(?:e|ed|es|ing)|"
    r"publicly released|made (?:publicly |freely |openly )?available|we (?:provide|share|publish)|"
    r"reproducib\w+|(?:can|to) reproduce|freely available|"
    r"(?:data|datasets?|corpus|code|scripts?|weights|checkpoints|recipes?|logs)[^.]{0,60}"
    r"(?:is|are|can be) (?:publicly )?(?:available|found|public|open)"
)
_ABOUT_OTHERS = _words(
    r"outperform\w*|better than|comparable|competitive|existing|many of|other|versus|similar(?:ly)?[- ]sized|"
    r"release dates?|feedback|stories"
)
_EVALUATION = _words(r"evaluat\w+|evals?|benchmark\w*|lm[- ]?eval\w*")
_TOPICS = (
    (
        "everything",
        _words(
            r"everything|all artifacts|entire (?:pipeline|process)|fully open|truly open|100% open|"
            r"all (?:of )?(?:our |its |the )?(?:design|engineering|development|research|work|components|parts|stages)"
        ),
    ),
    ("data", _words(r"(?:training |pre-?training |tuning |our |the |all )?(?:data(?:sets?)?|corpus|corpora)")),
    (
        "training-code",
        _words(
            r"(?:training|pre-?training|tuning|source) (?:scripts?|framework|logs?|code)|codebase|"
            r"(?:our|the|all|full|and|data,|weights,) code"
        ),
    ),
    ("recipe", _words(r"recipes?|hyper-?parameters?|training (?:details|configuration|procedure)|end-to-end")),
    ("inference", _words(r"inference (?:code|scripts?)")),
    ("weights", _words(r"weights|checkpoints?|parameters")),
    ("licence", _words(r"licen[cs]ed? under|apache|permissive(?:ly)?|osi[- ]approved")),
)
_MODEL = _words(r"models?")
_STRONG = _words(r"open[- ]?sourc(?:e|ed|ing)|open[- ]?weights?|we (?:are |also )?releas(?:e|ed|ing)")
_COMPONENT = {
    "data": Component.DATASETS,
    "training-code": Component.TRAINING_CODE,
    "inference": Component.INFERENCE_CODE,
}
_JUDGING = {"data": Component.EVALUATION_DATA, "training-code": Component.EVALUATION_CODE}
_TRAINED_ON = _words(r"(?:pre-?|post-?|mid-?)?train(?:ed|ing)|weights|recipes?")
_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})", re.IGNORECASE)
_PAPER = _words(r"papers?|reports?|cit(?:e|ation|ing)|article|preprint|bibtex|arxiv|publication")
_REPORT = _words(r"(?:technical|tech) report")
_SAMPLES = _words(r"(?:sample|example|generated)s? (?:outputs?|generations?|completions?|texts?|responses?)|samples")
_RESULTS = _words(r"evaluations?|benchmarks?|results|performance|scores|metrics")
_SCORE = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def read(text: Text, body: str, line: int) -> Iterator[Statement]:
    """What the body of a card says.

    Args:
        text: the card, for evidence.
        body: its text below the front matter.
        line: the line on which the body begins.
    """
    found = list(blocks(body, line))
    for reader in (_aspects, _uses, _training, _teachers, _claims, _papers, _results):
        yield from _limited(reader, found, text)


def aspects(text: Text, body: str, line: int) -> Iterator[Statement]:
    """What a text that is all about data tells of it."""
    for block in blocks(body, line):
        yield from _of_data(block, text)


def _limited(
    reader: Callable[[Block, Text], Iterator[Statement]], found: list[Block], text: Text
) -> Iterator[Statement]:
    """A reader's statements, each once, up to a number that still can be looked through."""
    seen: set[object] = set()
    for block in found:
        for statement in reader(block, text):
            key = _key(statement)
            if key not in seen and len(seen) < _MOST_PER_KIND:
                seen.add(key)
                yield statement


def _key(statement: Statement) -> object:
    """What makes a second statement superfluous: of an aspect and of a use, the first under each heading is enough."""
    match statement:
        case DataAspectFact(aspect=aspect, text=said):
            return aspect, said
        case UsageFact(topic=topic):
            return topic
        case ComponentFact(component=component, where=where):
            return component, where
        case _:
            return statement


def _aspects(block: Block, text: Text) -> Iterator[Statement]:
    about = any(_DATA_HEADING.search(title) for title in block.headings)
    if about and not any(_NOT_TRAINING_DATA.search(title) for title in block.headings):
        yield from _of_data(block, text)


def _of_data(block: Block, text: Text) -> Iterator[Statement]:
    if block.kind == "code":
        return
    at = text.line(block.line, block.last)
    if block.kind == "table":
        yield DataAspectFact(Basis.DECLARED, at, Aspect.CHARACTERISTICS, _short(block.text))
        return
    for aspect, words in _ASPECTS.items():
        told = (one for one in block.sentences() if words.search(one) and not _WITHHELD.search(one))
        said = next((one for one in told if len(one) > 20), None)
        if said:
            yield DataAspectFact(Basis.DECLARED, at, aspect, _short(said))


def _uses(block: Block, text: Text) -> Iterator[Statement]:
    if len(block.text) < 20:
        return
    at = text.line(block.line, block.last)
    for topic, words in _USES:
        if block.headings and words.search(block.headings[-1]):
            topic = "integration" if block.kind == "code" else topic
            yield UsageFact(Basis.DECLARED, at, topic, _short(block.text))
            return
    if block.kind == "text":
        for said in block.sentences():
            for topic, words in _SENTENCES:
                if words.search(said):
                    yield UsageFact(Basis.DECLARED, at, topic, _short(said))


def _training(block: Block, text: Text) -> Iterator[Statement]:
    if block.kind == "code":
        return
    at = text.line(block.line, block.last)
    for said in block.sentences() if block.kind == "text" else block.text.split("\n"):
        fact = _training_of(said, " ".join(block.headings))
        if fact != (None, None, ""):
            tokens, hours, hardware = fact
            yield TrainingFact(Basis.DECLARED, at, tokens, None, hours, hardware)
        if _SCRATCH.search(said) and _WHOLE.search(said) and not (_NEGATED.search(said) or _PART.search(said)):
            yield OriginFact(Basis.DECLARED, at, _short(said))


def _teachers(block: Block, text: Text) -> Iterator[Statement]:
    """Models whose outputs this one learned from, where a sentence gives their id."""
    for said in block.sentences() if block.kind == "text" else ():
        for relation, words in _TEACHERS:
            name = names.model(match["id"]) if (match := words.search(said)) and not _NEGATED.search(said) else ""
            # Two words with a stroke between them are seldom a model, unless they are spelt or linked like one; but
            # nothing else is distilled from.
            spelt = _SPELT.search(name, 3) or name in map(names.model, block.links)
            if name and (spelt or words is _TEACHERS[0][1]):
                yield ParentFact(Basis.DECLARED, text.line(block.line, block.last), name, relation)
                break


def _training_of(said: str, headings: str) -> tuple[int | None, float | None, str]:
    trained = bool(_TRAINED.search(said) or _TRAINED.search(headings))
    tokens = [_scaled(match) for match in _TOKENS.finditer(said) if _is_total(match)] if _TRAINED.search(said) else []
    hours = _HOURS.search(said) or _TEMPLATE_HOURS.search(said)
    hardware = _HARDWARE.search(said) if trained or hours or "hardware" in f"{said} {headings}".lower() else None
    return (
        int(max(tokens)) if tokens else None,
        _scaled(hours) if hours else None,
        printable(hardware[0].strip(), 80) if hardware else "",
    )


def _is_total(match: re.Match[str]) -> bool:
    """Whether the words around a number of tokens leave it a total: not a context, a batch or a speed."""
    before, after = match.string[max(0, match.start() - 30) : match.start()], match.string[match.end() :][:14]
    return not _NOT_A_TOTAL.search(before) and not _NOT_A_TOTAL.search(after)


def _scaled(match: re.Match[str]) -> float:
    scale = _SCALE.get((match["unit"] or "")[:1].lower(), 1)
    whole, _, part = match["number"].replace(",", "")[:18].partition(".")
    # In whole numbers as far as possible, so that 1.4 trillion is just that.
    return int(whole) * scale + (int(part[:9]) * scale / 10 ** len(part[:9]) if part else 0)


def _claims(block: Block, text: Text) -> Iterator[Statement]:
    if block.kind != "text":
        return
    at = text.line(block.line, block.last)
    for said in block.sentences():
        if len(said) > 1000 or any(words.search(said) for words in (_NEGATED, _ABOUT_OTHERS)):
            continue
        topics = [topic for topic, words in _TOPICS if words.search(said)] if _OPENS.search(said) else []
        if not topics and _MODEL.search(said) and _STRONG.search(said):
            topics = ["weights"]
        # What is open about an evaluation is no claim about how the model was made.
        judging = bool(_EVALUATION.search(said)) and not _TRAINED_ON.search(said)
        for topic in topics:
            if not judging:
                yield ClaimFact(Basis.DECLARED, at, topic, _short(said), block.links)
            yield from _promised(topic, judging, block, text)


def _promised(topic: str, judging: bool, block: Block, text: Text) -> Iterator[Statement]:
    component = (_JUDGING if judging else _COMPONENT).get(topic)
    if component is not None and block.links:
        at = text.line(block.line, block.last)
        yield ComponentFact(Basis.DECLARED, at, component, State.PROMISED, printable(block.links[0]))


def _papers(block: Block, text: Text) -> Iterator[Statement]:
    about = f"{' '.join(block.headings[-1:])} {block.text}"
    if not _PAPER.search(about):
        return
    component = Component.TECHNICAL_REPORT if _REPORT.search(about) else Component.RESEARCH_PAPER
    for link in block.links:
        if match := _ARXIV.search(link):
            at = text.line(block.line, block.last)
            yield ComponentFact(Basis.DECLARED, at, component, State.PROMISED, f"arXiv:{match[1]}")


def _results(block: Block, text: Text) -> Iterator[Statement]:
    at = text.line(block.line, block.last)
    if block.kind == "table" and any(_RESULTS.search(title) for title in block.headings):
        if any(_SCORE.fullmatch(cell.strip(" \t\n*%")) for cell in block.text.split("|")[1:-1]):
            yield ComponentFact(Basis.FOUND, at, Component.EVALUATION_RESULTS, State.PRESENT, text.path)
    elif block.headings and _SAMPLES.search(block.headings[-1]) and len(block.text) > 20:
        yield ComponentFact(Basis.FOUND, at, Component.SAMPLE_OUTPUTS, State.PRESENT, text.path)


def _short(text: str) -> str:
    return printable(" ".join(text.split()), _QUOTE)
