"""What makers say against what was found. python -m pytest tests/audit/test_claims.py"""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.auditing import claims
from regrow.auditing.facts import Basis, ClaimFact, Collected, Component, Fact, FileEntry, State
from regrow.auditing.result import Claim, Outcome
from regrow.errors import RegrowError

from .rules.build import alone, at, complete, component, licence, model, without

TODAY = "2026-11-21"
SAYS = "All design and engineering is open source"


def claim(topic: str, text: str, *links: str) -> ClaimFact:
    return ClaimFact(Basis.DECLARED, at("README.md", f"line {len(text)}"), topic, text, links)


def check(
    facts: list[Fact],
    said: ClaimFact,
    answers: Callable[[str], bool | None] = lambda link: None,
    files: tuple[FileEntry, ...] = (),
) -> Claim:
    collected = Collected("hf:a/b", "huggingface", "b", "1", (*facts, said), (), files)
    (found,) = claims.check(collected, (), answers)
    return found


def test_all_is_open_source_with_three_files_behind_it() -> None:
    there = [component(Component.PARAMETERS), component(Component.ARCHITECTURE), component(Component.MODEL_CARD)]
    files = tuple(FileEntry(name, 1, kind) for name, kind in (("a.safetensors", "weights"), ("b", "config"), ("c", "")))
    found = check([*there, licence("apache-2.0")], claim("everything", SAYS), files=files)
    assert found.outcome is Outcome.NOT_SHOWN
    assert found.reason.startswith("promised, not found: inference code (not seen); training code (not seen); ")
    assert "found: final weights, architecture" in found.reason
    assert found.reason.endswith("3 files in all")
    gone = [component(Component.TRAINING_CODE, State.ABSENT), component(Component.DATASETS, State.ABSENT)]
    found = check([*there, *gone], claim("everything", SAYS), files=files)
    assert found.outcome is Outcome.NOT_MET
    assert found.reason.startswith("promised, not found: training code (not there); datasets (not there)")


def test_all_is_open_source_and_it_is() -> None:
    found = check(complete(), claim("everything", SAYS))
    assert found.outcome is Outcome.MET
    assert found.evidence


@pytest.mark.parametrize(
    ("name", "outcome"), [("apache-2.0", Outcome.MET), ("llama3.1", Outcome.NOT_MET), (None, Outcome.NOT_SHOWN)]
)
def test_what_is_called_open_has_an_open_licence(name: str | None, outcome: Outcome) -> None:
    weights = [component(Component.PARAMETERS), licence(name)]
    assert check(weights, claim("weights", "We release open weights")).outcome is outcome
    assert check(weights, claim("weights", "We release the weights")).outcome is Outcome.MET
    assert check(weights, claim("licence", "Do what you like")).outcome is outcome


def test_a_licence_text_beats_a_tag() -> None:
    tag = licence("apache-2.0")
    declared = type(tag)(Basis.DECLARED, tag.evidence, tag.scope, tag.id, tag.raw)
    said = claim("licence", "Apache licensed")
    assert check([declared], said).outcome is Outcome.MET
    assert check([declared, licence("llama3.1")], said).outcome is Outcome.NOT_MET


def test_links_that_lead_nowhere_are_no_delivery() -> None:
    promised = [component(Component.TRAINING_CODE, State.PROMISED)]
    said = claim("training-code", "Training code is released", "https://a/code", "https://b/code")
    dead = check(promised, said, lambda link: False)
    assert dead.outcome is Outcome.NOT_MET
    assert dead.reason == (
        "promised, not found: training code (only promised); nothing is at https://a/code, https://b/code"
    )
    one = check(promised, said, lambda link: link.startswith("https://a"))
    assert one.outcome is Outcome.NOT_SHOWN
    assert "https://a/code answers, but was not read" in one.reason
    assert check(promised, said).outcome is Outcome.NOT_SHOWN


def test_a_delivered_claim_asks_no_links() -> None:
    def never(link: str) -> bool | None:
        raise AssertionError(link)

    said = claim("training-code", "Training code is released", "https://a/code")
    assert check([component(Component.TRAINING_CODE)], said, never).outcome is Outcome.MET


@given(st.sets(st.sampled_from(list(Component))), st.sampled_from(["data", "recipe", "weights", "everything", "odd"]))
def test_taking_things_away_never_fulfils_a_claim(gone: set[Component], topic: str) -> None:
    order = [Outcome.NOT_MET, Outcome.NOT_SHOWN, Outcome.MET]
    whole = check(complete(), claim(topic, SAYS))
    less = check(without(complete(), *gone), claim(topic, SAYS))
    assert order.index(less.outcome) <= order.index(whole.outcome)
    assert less.reason.isprintable()


def test_claims_from_elsewhere_are_checked_too_and_each_once() -> None:
    collected = alone(complete()).nodes[0].collected
    said = claim("weights", "The weights are there")
    twice = claims.check(model([*collected.facts, said]), (said, claim("data", "The data is there")))
    assert [one.topic for one in twice] == ["weights", "data"]


def test_reading_a_claims_file(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text('claims = 1\n\n[[claim]]\ntopic = "data"\ntext = "All data is open."\nlinks = ["https://a"]\n')
    (fact,) = claims.read(path, TODAY)
    assert (fact.topic, fact.text, fact.links) == ("data", "All data is open.", ("https://a",))
    assert (fact.evidence.locator, fact.evidence.date, len(fact.evidence.sha256)) == ("line 3", TODAY, 64)
    assert fact.basis is Basis.DECLARED


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('claims = 1\nclaim = [{ topic = "data", text = "x" }, { topic = "data", text = "y" }]\n', "line 2"),
        ('claims = 1\n\n"claim" = [\n  { topic = "data", text = "x" },\n]\n', "line 3"),
    ],
)
def test_claims_may_be_inline_tables(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    assert {fact.evidence.locator for fact in claims.read(path, TODAY)} == {line}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('claims = 1\n[[claim]]\ntopc = "data"\ntext = "x"\n', ":3: claim[0].topc: unknown key"),
        ('claims = 1\n[[claim]]\ntopic = "dta"\ntext = "x"\n', "did you mean `data`?"),
        ('claims = 2\n[[claim]]\ntopic = "data"\ntext = "x"\n', "must be one of `1`"),
        ("claims = 1\n", "add a table `[[claim]]`"),
        ("claims = \n", "not TOML"),
        ('claims = 1\n[[claim]]\ntopic = "data"\ntext = 7\n', "must be a text"),
    ],
)
def test_a_wrong_claims_file_is_an_error_that_says_where(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text)
    with pytest.raises(RegrowError) as error:
        claims.read(path, TODAY)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_there_must_be_a_claims_file(tmp_path: Path) -> None:
    with pytest.raises(RegrowError, match="no such file"):
        claims.read(tmp_path / "none.toml", TODAY)
