"""What the user asks of a model. python -m pytest tests/audit/test_policy.py"""

import inspect
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from regrow.auditing import findings, policy
from regrow.auditing.facts import AccessFact, DatasetFact, Fact, Finding, LicenceFact, Relation, Severity
from regrow.auditing.findings import FindingId
from regrow.auditing.lineage import Lineage
from regrow.auditing.result import Audit, Claim, Conflict, Cost, DataShare, Outcome, PolicyCheck
from regrow.errors import RecipeError
from regrow.formats import header
from regrow.licences import Kind, every

from .rules.build import VERSION, alone, complete, derived, drop, judged, licence, weights_only

MET, NOT_MET, NOT_SHOWN = Outcome.MET, Outcome.NOT_MET, Outcome.NOT_SHOWN


def audit(line: Lineage) -> Audit:
    judgement = judged(line)
    return Audit(
        id="path:model",
        kind="release",
        name="model",
        version=VERSION,
        date="2026-11-21",
        parts=judgement.parts,
        freedoms=judgement.freedoms,
        cost=Cost(None, None, "", "not told"),
        definitions=judgement.definitions,
        duties=(),
        conflicts=(),
        data=(),
        lineage=line,
        claims=(),
        findings=(),
        policy=(),
        osaid=judgement.osaid,
        mof_class=judgement.mof_class,
    )


def of(facts: Iterable[Fact]) -> Audit:
    return audit(alone(facts))


def check(audited: Audit, text: str, tmp_path: Path) -> list[PolicyCheck]:
    path = tmp_path / "policy.toml"
    path.write_text(f"policy = 1\n{text}\n")
    return list(policy.check(audited, policy.read(path)))


@pytest.mark.parametrize(
    ("text", "complete_release", "only_weights"),
    [
        ('osaid = "met"', MET, NOT_SHOWN),
        ('eu_exempt = "met"', MET, NOT_SHOWN),
        ('mof_class = "I"', MET, NOT_SHOWN),
        ('ladder = "pinned"', MET, NOT_SHOWN),
        ('ladder = "rebuilt-by-others"', NOT_SHOWN, NOT_SHOWN),
        ('parts = ["weights"]', MET, MET),
        ('parts = ["data"]', MET, NOT_SHOWN),
        ('freedoms = ["fork"]', MET, NOT_SHOWN),
        ('licences.allow = ["Apache-2.0"]', MET, MET),
        ('licences.forbid = ["Apache-2.0"]', NOT_MET, NOT_MET),
        ('licences.forbid_kinds = ["permissive"]', NOT_MET, NOT_MET),
        ('forbid.clauses = ["non-commercial", ]', MET, MET),
    ],
)
def test_each_key(text: str, complete_release: Outcome, only_weights: Outcome, tmp_path: Path) -> None:
    for facts, outcome in ((complete(), complete_release), (weights_only(), only_weights)):
        (line,) = check(of(facts), text, tmp_path)
        assert line.outcome is outcome, line
        assert line.text and line.reason and line.reason.isprintable()


def test_nothing_asked_is_nothing_checked(tmp_path: Path) -> None:
    assert check(of([]), "", tmp_path) == []


def test_a_class_that_is_not_reached_for_a_reason_is_not_met(tmp_path: Path) -> None:
    facts = [*drop(complete(), LicenceFact), licence("cc-by-nc-4.0")]
    (line,) = check(of(facts), 'mof_class = "III"', tmp_path)
    assert (line.outcome, line.reason.startswith("none is reached; put the")) == (NOT_MET, True)


def test_licences_of_ancestors_count(tmp_path: Path) -> None:
    base = [*drop(complete(), LicenceFact), licence("cc-by-nc-4.0")]
    line = derived(complete(), ("hf:org/base", Relation.FINETUNE, base))
    for text in ('licences.forbid_kinds = ["non-commercial"]', 'forbid.clauses = ["non-commercial"]'):
        (found,) = check(audit(line), text, tmp_path)
        assert (found.outcome, found.reason) == (NOT_MET, "cc-by-nc-4.0 of org/base")
    unread = derived(complete(), ("hf:org/base", Relation.FINETUNE, None))
    (found,) = check(audit(unread), 'licences.allow = ["apache-2.0"]', tmp_path)
    assert (found.outcome, found.reason) == (NOT_SHOWN, "not known: the licence of org/base")


def test_what_arrives_from_a_teacher_counts(tmp_path: Path) -> None:
    def outcomes(teacher: list[Fact] | None) -> list[Outcome]:
        text = 'licences.forbid = ["gemma"]\nforbid.clauses = ["field-list", "pass-use-limits", "mutable-terms", "mau"]'
        found = check(audit(derived(complete(), ("hf:org/big", Relation.DISTILLED, teacher))), text, tmp_path)
        return [one.outcome for one in found]

    gemma = [*drop(complete(), LicenceFact), licence("gemma")]
    assert outcomes(gemma) == [NOT_MET, NOT_MET, NOT_MET, NOT_MET, MET]
    assert outcomes(complete()) == [MET] * 5
    assert outcomes(None) == [NOT_SHOWN] * 5


@pytest.mark.parametrize(
    ("name", "clause", "outcome"),
    [
        ("llama3.1", "mau", NOT_MET),
        ("gemma", "mutable-terms", NOT_MET),
        ("bigscience-openrail-m", "field-list", NOT_MET),
        ("apache-2.0", "field-list", MET),
        (None, "mau", NOT_SHOWN),
    ],
)
def test_clauses(name: str | None, clause: str, outcome: Outcome, tmp_path: Path) -> None:
    facts = [*drop(complete(), LicenceFact), licence(name)]
    (line,) = check(of(facts), f'forbid.clauses = ["{clause}"]', tmp_path)
    assert line.outcome is outcome


@pytest.mark.parametrize(
    ("shares", "outcome"),
    [
        ([("cc0-1.0", 900), ("unknown", 100)], MET),
        ([("cc0-1.0", 899), ("", 101)], NOT_MET),
        ([("cc0-1.0", 900), ("mit", None)], NOT_SHOWN),
        ([], NOT_SHOWN),
    ],
)
def test_known_data(shares: list[tuple[str, int | None]], outcome: Outcome, tmp_path: Path) -> None:
    data = tuple(DataShare(name, size, None, 1) for name, size in shares)
    (line,) = check(replace(of(complete()), data=data), "known_data = 0.9", tmp_path)
    assert line.outcome is outcome


def test_findings_conflicts_and_claims(tmp_path: Path) -> None:
    clean = of(complete())
    found = replace(
        clean,
        findings=(Finding("unsafe-file", Severity.WARNING, "a pickle"), Finding("odd-name", Severity.NOTE, "odd")),
        conflicts=(Conflict("MIT on GPL", ("a", "b")),),
        claims=(Claim("all is open", "everything", NOT_SHOWN, "promised, not found: datasets"),),
    )
    text = 'claims = "met"\n[forbid]\nfindings = ["unsafe-file", "odd-name"]\nseverity = "conflict"\nconflicts = true'
    assert {line.outcome for line in check(clean, text, tmp_path)} == {MET}
    outcomes = {line.text: line.outcome for line in check(found, text, tmp_path)}
    assert outcomes == {
        "claims are delivered": NOT_SHOWN,
        "no finding is unsafe-file": NOT_MET,
        "no finding is odd-name": NOT_MET,
        "no finding is a conflict or worse": MET,
        "no licences conflict": NOT_MET,
    }
    (line,) = check(found, '[forbid]\nseverity = "warning"', tmp_path)
    assert line.outcome is NOT_MET


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('policy = 1\nosad = "met"', ":2: osad: unknown key\nhint: did you mean `osaid`?"),
        ('policy = 1\nosaid = "yes"', "must be one of `met`"),
        ('policy = 1\nmof_class = "IV"', "must be one of `III`, `II`, `I`"),
        ('policy = 1\n[licences]\nforbid_kind = ["rail"]', ":3: licences.forbid_kind: unknown key"),
        ('policy = 1\n[forbid]\nclauses = ["noncommercial"]', "did you mean `non-commercial`?"),
        ('policy = 1\n[forbid]\nfindings = ["unsafe-fil"]', ':3: forbid.findings[0]: there is no finding "unsafe-fil"'),
        ('policy = 1\n[forbid]\nfindings = ["unsafe-fil"]', "did you mean `unsafe-file`?"),
        ('policy = 1\n[forbid]\nfindings = ["xyzzy"]', "there are `attestation-other`, "),
        ('policy = 1\n[licences]\nforbid = ["mit", "apach-2.0"]', ":3: licences.forbid[1]: `apach-2.0` is not a known"),
        ('policy = 1\n[licences]\nforbid = ["apach-2.0"]', "did you mean `apache-2.0`?"),
        ('policy = 1\n[licences]\nallow = ["gema"]', "did you mean `gemma`?"),
        ('policy = 1\n[licences]\nallow = ["other"]', "`other` is not a known licence"),
        ('policy = 1\n[licences]\nallow = [""]', "must not be empty"),
        ('policy = 1\n[licences]\nforbid = ["MIT OR Apache-2.0"]', '"MIT OR Apache-2.0" is an expression'),
        ('policy = 1\n[licences]\nforbid = ["LicenseRef-my terms"]', "is not a"),
        ('policy = 1\nparts = "data"', "must be a list"),
        ("policy = 1\nknown_data = 90", "must be at most 1"),
        ('osaid = "met"', "policy: missing"),
        ("policy = 1\npolicy = 1", "not TOML"),
        ("policy = 1\nosaid = 2026-01-01", "must not be a date"),
    ],
)
def test_a_wrong_policy_is_an_error_that_says_where(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        policy.read(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["LicenseRef-Mine-1.0", "Zend-2.0", "zend-2.0", "GPL-3.0+", "llama3.1", "Llama 2"])
def test_a_licence_need_not_be_in_the_table(name: str, tmp_path: Path) -> None:
    for key, outcome in (("allow", NOT_MET), ("forbid", MET)):
        (line,) = check(of(complete()), f'licences.{key} = ["{name}"]', tmp_path)
        assert line.outcome is outcome


def test_all_licences_and_findings_can_be_named(tmp_path: Path) -> None:
    names = {name for licence in every() for name in (licence.id, licence.spdx, *licence.hf, *licence.aliases) if name}
    path = tmp_path / "policy.toml"
    path.write_text(f"policy = 1\nlicences.allow = {sorted(names)}\nforbid.findings = {list(get_args(FindingId))}")
    assert len(policy.read(path).licences.allow) == len(names)


def test_each_finding_is_made_somewhere() -> None:
    """That all are known is what mypy says; this is about those that are gone."""
    folders = (Path(findings.__file__).parent, Path(header.__file__).parent)
    defined = {Path(findings.__file__), Path(header.__file__)}
    text = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py") if path not in defined)
    text += inspect.getsource(header.check_name) + inspect.getsource(header.check_layout)
    assert [name for name in get_args(FindingId) if f'"{name}"' not in text] == []


def test_there_must_be_a_policy(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        policy.read(tmp_path / "none.toml")


def test_every_key_is_documented() -> None:
    keys = policy.reference()
    assert {"policy", "osaid", "licences.forbid_kinds", "forbid.clauses"} <= {key.name for key in keys}
    assert all(key.description.endswith(".") for key in keys)


def test_data_and_access_are_not_asked_of_a_policy_on_licences(tmp_path: Path) -> None:
    bare = drop(complete(), DatasetFact, AccessFact)
    (line,) = check(of(bare), 'licences.allow = ["apache-2.0"]', tmp_path)
    assert line.outcome is MET


def test_every_clause_and_kind_of_licence_can_be_named(tmp_path: Path) -> None:
    names = {clause.name for licence in every() for clause in licence.clauses}
    assert set(policy.clauses()) == names | {"mutable-terms"}
    for kind in Kind:
        path = tmp_path / "policy.toml"
        path.write_text(f'policy = 1\nlicences.forbid_kinds = ["{kind}"]')
        assert policy.read(path).licences.forbid_kinds == (kind,)
