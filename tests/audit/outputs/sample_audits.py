"""Audits to show: our own small release, and a fine-tune of a model with a licence of its own. The facts are invented.

`hostile()` makes any audit one whose every text comes from somebody who means harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from hypothesis import strategies as st

from regrow.auditing.facts import (
    AccessFact,
    ArchitectureFact,
    Aspect,
    Availability,
    Basis,
    ClaimFact,
    Collected,
    Component,
    ComponentFact,
    DataAspectFact,
    DatasetFact,
    Evidence,
    FileEntry,
    Finding,
    LicenceFact,
    OriginFact,
    ParentFact,
    Rebuild,
    RebuildFact,
    Relation,
    Role,
    Scope,
    Severity,
    State,
    TrainingFact,
    UsageFact,
)
from regrow.auditing.lineage import Edge, Lineage, Node
from regrow.auditing.result import (
    Answer,
    Audit,
    Claim,
    Conflict,
    Cost,
    DataShare,
    Definition,
    Duty,
    Outcome,
    PolicyCheck,
    Verdict,
)

DAY = "2026-11-21"
DIGEST = "54df4d6b787060293135d24069aea318ba57e088d6ede55429ce1878b3df6dde"
LLAMA = "hf:example/Llama-3.1-8B"
TUNE = "hf:someone/chatty-8b"


def read(file: str, locator: str = "", collector: str = "release") -> Evidence:
    """Evidence in a file whose hash is made of its name."""
    return Evidence(file, locator, (file.encode().hex() + "0" * 64)[:64], collector, DAY)


CARD = read("README.md", "key license", "huggingface")
CONFIG = read("config.json", "key architectures", "huggingface")
LOCK = read("regrow.lock")
FOUND, DECLARED, KNOWN = Basis.FOUND, Basis.DECLARED, Basis.KNOWN


def _has(component: Component, where: str, licence: str | None = None) -> ComponentFact:
    return ComponentFact(FOUND, read(where), component, State.PRESENT, where, licence)


def verdict(rule: str, title: str, outcome: Outcome, reason: str, **more: Any) -> Verdict:
    """A verdict with the place it was read in."""
    return Verdict(rule, title, outcome, reason, **{"evidence": (read("regrow.toml"),), **more})


MET, NOT_MET, NOT_SHOWN = Outcome.MET, Outcome.NOT_MET, Outcome.NOT_SHOWN

TINY = Collected(
    id="path:tiny",
    kind="release",
    name="tiny",
    version=DIGEST,
    facts=(
        LicenceFact(DECLARED, read("regrow.toml", "key model.licence"), Scope.WEIGHTS, "apache-2.0", "Apache-2.0"),
        LicenceFact(FOUND, read("LICENSE"), Scope.EVERYTHING, "apache-2.0", "LICENSE", score=0.98),
        OriginFact(FOUND, read("provenance/pretrain.intoto.json"), "trained from random values"),
        ArchitectureFact(FOUND, read("config.json"), "llama", 119_104, ("F32",), ("text",), 128),
        DatasetFact(
            FOUND,
            read("data/documents.parquet"),
            "texts",
            Role.TRAINING,
            Availability.OPEN,
            "CC0-1.0",
            113_134,
            "ab" * 32,
            "file:texts",
        ),
        DataAspectFact(FOUND, read("data/excluded.parquet"), Aspect.FILTERING, "7 documents were dropped"),
        DataAspectFact(FOUND, read("regrow.toml"), Aspect.PROVENANCE, "every source by place and hash"),
        TrainingFact(FOUND, LOCK, tokens=160_000, flops=1.14e11),
        RebuildFact(FOUND, LOCK, Rebuild.REBUILT_HERE, "", DIGEST),
        UsageFact(DECLARED, read("README.md"), "use", "continues text"),
        UsageFact(DECLARED, read("README.md"), "limitations", "knows nothing beyond its training text"),
        ClaimFact(DECLARED, read("README.md", "line 20"), "data", "Every document is named.", ("data",)),
        _has(Component.ARCHITECTURE, "config.json"),
        _has(Component.PARAMETERS, "model.safetensors", "Apache-2.0"),
        _has(Component.MODEL_CARD, "README.md"),
        _has(Component.DATASETS, "data/documents.parquet", "CC0-1.0"),
        _has(Component.TRAINING_CODE, "regrow.toml"),
        ComponentFact(FOUND, read("README.md"), Component.RESEARCH_PAPER, State.ABSENT, ""),
    ),
    files=(
        FileEntry("README.md", 1588, "document"),
        FileEntry("model.safetensors", 478_488, "weights"),
        FileEntry("regrow.toml", 659, "code"),
    ),
)

_FREEDOMS = ("use", "study", "modify", "share", "sell", "rebuild")

OURS = Audit(
    id="path:tiny",
    kind="release",
    name="tiny",
    version=DIGEST,
    date=DAY,
    parts=(
        Answer("weights", "yes", "119,104 parameters lie in model.safetensors", (read("model.safetensors"),)),
        Answer("data", "yes", "all 155 documents are named and open", (read("data/documents.parquet"),)),
        Answer("code", "yes", "the recipe and the tool that builds it are there", (read("regrow.toml"),)),
        Answer("recipe", "yes", "the lock pins every input and every default", (LOCK,)),
    ),
    freedoms=tuple(Answer(name, "yes", "Apache-2.0 permits it", (read("LICENSE"),)) for name in _FREEDOMS),
    cost=Cost(1.14e11, 0.0045, "CPU with 2 cores", "the plan"),
    definitions=(
        Definition(
            "osaid-1.0",
            "Open Source AI Definition 1.0",
            MET,
            "",
            (
                verdict("osaid-1.0/parameters/terms", "Terms of the parameters", MET, "Apache-2.0 is OSI-approved"),
                verdict("osaid-1.0/data-information/description", "Description of all data", MET, "all seven aspects"),
                verdict("osaid-1.0/lineage", "The whole chain", MET, "there is no parent", reading=True),
            ),
        ),
        Definition(
            "mof",
            "Model Openness Framework 1.0",
            MET,
            "II",
            (
                verdict("mof/model-card", "Model card", MET, "README.md"),
                verdict(
                    "mof/research-paper", "Research paper", NOT_MET, "none is there", missing=("a paper, CC-BY-4.0",)
                ),
            ),
            next=("a research paper under an open licence for documents",),
        ),
        Definition(
            "eu-ai-act-53-2",
            "EU AI Act, exemption of Article 53(2)",
            MET,
            "",
            (verdict("eu-ai-act-53-2/licence", "Licence", MET, "use, change and sharing are free"),),
            notes=("The summary of training content stays due.",),
        ),
        Definition(
            "ladder",
            "How far it was checked",
            MET,
            "rebuilt-here",
            (verdict("ladder/rebuilt-here", "Rebuilt here", MET, "this machine reached the same digest"),),
            next=("an attestation by somebody else",),
        ),
    ),
    duties=(
        Duty("Keep the licence text and the notices.", "apache-2.0", "path:tiny", "share", (read("LICENSE"),)),
        Duty("Say which files you changed.", "apache-2.0", "path:tiny", "modify", (read("LICENSE"),)),
    ),
    conflicts=(),
    data=(DataShare("CC0-1.0", 113_134, 1.0, 1),),
    lineage=Lineage((Node("path:tiny", 0, TINY),), ()),
    claims=(Claim("Every document is named.", "data", MET, "155 of 155 are in data/documents.parquet"),),
    findings=(Finding("no-contact", Severity.NOTE, "README.md names nobody to write to"),),
    policy=(PolicyCheck("mof at least II", MET, "class II"),),
    osaid=MET,
    mof_class="II",
)

CHATTY = Collected(
    id=f"{TUNE}@{'c0ffee12' * 5}",
    kind="huggingface",
    name="chatty-8b",
    version="c0ffee12" * 5,
    facts=(
        LicenceFact(DECLARED, CARD, Scope.EVERYTHING, "apache-2.0", "apache-2.0"),
        LicenceFact(FOUND, read("LICENSE", "", "licence"), Scope.WEIGHTS, "llama3.1", "LICENSE", score=0.97),
        ParentFact(DECLARED, read("README.md", "key base_model"), LLAMA, Relation.FINETUNE),
        ParentFact(DECLARED, read("README.md", "line 31"), "GPT-4", Relation.SYNTHETIC_DATA),
        ArchitectureFact(FOUND, CONFIG, "llama", 8_030_261_248, ("BF16",), ("text",), 131_072),
        DatasetFact(DECLARED, CARD, "ultrachat", Role.FINETUNING, Availability.PUBLIC, "mit", where="hf:x/ultrachat"),
        DatasetFact(DECLARED, CARD, "our own chats", Role.FINETUNING, Availability.UNSHAREABLE),
        AccessFact(DECLARED, CARD, "gated", "asks for name and address"),
        _has(Component.PARAMETERS, "model.safetensors"),
        _has(Component.MODEL_CARD, "README.md"),
        ComponentFact(
            DECLARED, read("README.md"), Component.TRAINING_CODE, State.PROMISED, "https://github.com/someone/train"
        ),
    ),
    findings=(),
    files=(FileEntry("README.md", 9120, "document"), FileEntry("model.safetensors", 16_060_556_376, "weights")),
)
BASE = Collected(
    id=LLAMA,
    kind="unreached",
    name="Llama-3.1-8B",
    version="",
    facts=(
        LicenceFact(KNOWN, read("known/models.toml", "key llama-3.1", "known"), Scope.WEIGHTS, "llama3.1", "llama3.1"),
        TrainingFact(KNOWN, read("known/models.toml", "", "known"), 15_000_000_000_000, 7.2e23, 1_460_000, "H100"),
    ),
)

FOREIGN = Audit(
    id=CHATTY.id,
    kind="huggingface",
    name="chatty-8b",
    version=CHATTY.version,
    date=DAY,
    parts=(
        Answer("weights", "yes", "8,030,261,248 parameters lie in model.safetensors", (CONFIG,)),
        Answer("data", "no", "the pre-training data of Llama 3.1 is not described", (), LLAMA),
        Answer("code", "not shown", "training code is promised at an address that gave nothing", (CARD,)),
        Answer("recipe", "no", "no settings of the training are given"),
    ),
    freedoms=(
        Answer("use", "no", "an acceptable-use policy limits the purposes", (read("LICENSE"),), LLAMA),
        Answer("study", "no", "what it was trained on is not told", (), LLAMA),
        Answer("modify", "yes", "the licence allows derivatives", (read("LICENSE"),)),
        Answer("share", "yes", "with the licence, the notice and the name", (read("LICENSE"),)),
        Answer("sell", "no", "above 700 million monthly users a licence of its own is needed", (), LLAMA),
        Answer("rebuild", "no", "neither data nor recipe is there"),
    ),
    cost=Cost(7.2e23, 1_460_000.0, "H100", "stated"),
    definitions=(
        Definition(
            "osaid-1.0",
            "Open Source AI Definition 1.0",
            NOT_MET,
            "",
            (
                verdict(
                    "osaid-1.0/parameters/terms",
                    "Terms of the parameters",
                    NOT_MET,
                    "llama3.1 is not OSI-approved: it limits fields of use and asks large users for another licence",
                    limited_by=LLAMA,
                    missing=("parameters under OSI-approved terms",),
                ),
                verdict(
                    "osaid-1.0/data-information/description",
                    "Description of all data",
                    NOT_SHOWN,
                    "two of three data sets are named, none is described",
                    missing=("a description of every data set",),
                ),
                verdict("osaid-1.0/lineage", "The whole chain", NOT_MET, "the base tells too little", reading=True),
            ),
            next=("parameters that do not come from Llama 3.1", "a description of every data set", "training code"),
            notes=("Whether a teacher of synthetic data must itself be open is an open question.",),
        ),
        Definition(
            "mof",
            "Model Openness Framework 1.0",
            NOT_MET,
            "",
            (
                verdict("mof/model-card", "Model card", MET, "README.md"),
                verdict("mof/parameters", "Model parameters (final)", NOT_MET, "not an open licence"),
            ),
            next=("model parameters under an open licence", "a data card", "a technical report"),
        ),
        Definition(
            "eu-ai-act-53-2",
            "EU AI Act, exemption of Article 53(2)",
            NOT_MET,
            "",
            (verdict("eu-ai-act-53-2/licence", "Licence", NOT_MET, "a threshold of monthly users"),),
        ),
        Definition(
            "ladder",
            "How far it was checked",
            MET,
            "declared",
            (verdict("ladder/declared", "Declared", MET, "a card says what it is"),),
            next=("pinned inputs: a lock with the sha256 of all data",),
        ),
    ),
    duties=(
        Duty("Show “Built with Llama” where people see it.", "llama3.1", LLAMA, "share", (read("LICENSE"),)),
        Duty("Begin the name of the model with “Llama”.", "llama3.1", LLAMA, "modify", (read("LICENSE"),)),
        Duty("Keep to the acceptable-use policy.", "llama3.1", LLAMA, "use", (read("LICENSE"),)),
        Duty("Ask for a licence above 700 million users a month.", "llama3.1", LLAMA, "scale", (read("LICENSE"),)),
        Duty("Name a model trained on its output “Llama …”.", "llama3.1", LLAMA, "output", (read("LICENSE"),)),
    ),
    conflicts=(
        Conflict(
            "the card says apache-2.0, but a derivative of Llama 3.1 stays under llama3.1",
            ("apache-2.0 of chatty-8b", f"llama3.1 of {LLAMA}"),
            (CARD, read("LICENSE")),
        ),
    ),
    data=(DataShare("mit", None, None, 1), DataShare("", None, None, 1)),
    lineage=Lineage(
        (
            Node(CHATTY.id, 0, CHATTY),
            Node(LLAMA, 1, BASE),
            Node("GPT-4", 1, Collected("GPT-4", "unreached", "GPT-4", "")),
        ),
        (
            Edge(CHATTY.id, LLAMA, Relation.FINETUNE, "declared", (read("README.md", "key base_model"),)),
            Edge(CHATTY.id, LLAMA, Relation.FINETUNE, "known", (read("known/models.toml"),)),
            Edge(CHATTY.id, "GPT-4", Relation.SYNTHETIC_DATA, "declared", (read("README.md", "line 31"),)),
        ),
    ),
    claims=(
        Claim("Fully open source!", "everything", NOT_MET, "the licence is not open, and no data is there", (CARD,)),
        Claim("Code will follow.", "training-code", NOT_SHOWN, "the address gave nothing"),
    ),
    findings=(
        Finding("licence-differs", Severity.CONFLICT, "the tag says apache-2.0, the text is llama3.1", (CARD,)),
        Finding("unsafe-file", Severity.WARNING, "optimizer.pt is a pickle and was not opened"),
        Finding("gated", Severity.NOTE, "the repository asks for a name before it gives files", (CARD,)),
    ),
    policy=(
        PolicyCheck("osaid", NOT_MET, "the Open Source AI Definition is not met"),
        PolicyCheck("no conflict between licences", NOT_MET, "1 conflict"),
    ),
    osaid=NOT_MET,
    mof_class=None,
)

HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>' onmouseover='x",
    "{{ 7*7 }}{% raise %}",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "\u202egnp.exe\u2066\u200b",
    "a: b\n- c\n---\n!!python/object/apply:os.system ['x']\n",
    "| a | b |\n\n# heading\n<script>x</script> [x](javascript:alert(1)) ![y](https://evil.example/y)",
    "\ud800half\udfff",
    "\x00",
    "漢字" * 300,
    "x" * 5000,
    "",
    " ",
    "null",
    "../../etc/passwd",
    "urn:cdx:not-a-uuid",
    'hf:a b/<>"{}|\\^`@',
)

nasty = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=60))
"""Texts by somebody who means harm, halves of surrogate pairs and all."""

_OURS = {"date", "kind", "sha256", "version", "answer", "when", "basis", "collector", "level"}
_OURS |= {"mof_class", "mof_class_basis"}


def hostile(audit: Audit, word: Callable[[str], str]) -> Audit:
    """``audit`` with every text that comes from outside replaced by ``word`` of it; equal texts stay equal.

    What regrow itself chose from a list (dates, kinds, digests) stays as it is.
    """
    known: dict[str, str] = {}

    def changed(value: Any) -> Any:
        if isinstance(value, Enum):
            return value
        if isinstance(value, str):
            return known.setdefault(value, word(value))
        if isinstance(value, tuple):
            return tuple(map(changed, value))
        if is_dataclass(value) and not isinstance(value, type):
            new = {field.name: getattr(value, field.name) for field in fields(value)}
            return replace(value, **{name: new[name] if name in _OURS else changed(new[name]) for name in new})
        return value

    return changed(audit)


@st.composite
def hostile_audits(draw: st.DrawFn) -> Audit:
    """One of the two examples with hostile texts everywhere."""
    return hostile(draw(st.sampled_from([OURS, FOREIGN])), lambda _: draw(nasty))
