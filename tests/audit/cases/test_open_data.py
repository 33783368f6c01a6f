"""Models whose makers tell how others can have the training data.

python -m pytest tests/audit/cases/test_open_data.py"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from regrow.auditing.audit import Options, audit
from regrow.auditing.result import Audit, Outcome, Verdict
from tests.audit.collectors.making import sound, write
from tests.house.tree import ROOT

MET, NOT_MET, NOT_SHOWN = Outcome.MET, Outcome.NOT_MET, Outcome.NOT_SHOWN
HEAD = "---\nlicense: apache-2.0\n---\n# Harbour\n\n## Training data\n\n"
TABLE = "| name | availability | licence | where | sha256 |\n|---|---|---|---|---|\n"
ROWS = {
    "open": f"| Tales | open | CC0-1.0 | https://example.org/tales.txt | {'a1' * 32} |\n",
    "public": "| Gazette | public | | https://example.org/gazette | |\n",
    "obtainable": "| Lexicon | obtainable | | https://example.org/lexicon | |\n",
    "unshareable": "| Letters | unshareable | agreement with the archive | | |\n",
}
TOLD = (
    "It has 9 million words, collected from books. It consists of equal parts. Those in English were selected. Nothing "
    "was labelled. Text was normalised. Lines without letters were removed.\n"
)


def shortest() -> str:
    """The card that the documentation shows."""
    page = (ROOT / "docs" / "audit.md").read_text("utf-8")
    [card] = re.findall(r"```markdown\n(---\n.*?)```", page, re.DOTALL)
    return card


def card(kinds: str, all_of_it: str = "This is all training data.", more: str = "") -> str:
    rows = "".join(ROWS[kind] for kind in kinds.split())
    return (
        f"---\nlicense: apache-2.0\n---\n# Harbour\n\n## Training data\n\n{all_of_it}\n\n{TABLE}{rows}\n{TOLD}\n{more}"
    )


def judged(root: Path, text: str, **files: Any) -> Audit:
    code = {"train.py": "loss.backward()", "modeling.py": "class Net(nn.Module):\n    pass\n", "LICENSE-CODE": "MIT"}
    there = {"config.json": '{"model_type": "llama"}', "model.safetensors": sound(16), **code}
    return audit(str(write(root, {**there, "README.md": text, **files})), Options("2026-11-21"))


def verdict(found: Audit, rule: str) -> Verdict:
    return next(one for whole in found.definitions for one in whole.verdicts if one.rule == rule)


def data_rules(found: Audit) -> dict[str, Outcome]:
    prefix = "osaid-1.0/data-information/"
    every = (one for whole in found.definitions for one in whole.verdicts)
    return {one.rule.removeprefix(prefix): one.outcome for one in every if one.rule.startswith(prefix)}


def answers(found: Audit) -> dict[str, str]:
    return {one.name: one.answer for one in (*found.parts, *found.freedoms)}


class TestTheShortestCard:
    @pytest.fixture
    def found(self, tmp_path: Path) -> Audit:
        return judged(tmp_path / "harbour", shortest())

    def test_it_meets_every_rule_about_data(self, found: Audit) -> None:
        assert len(data_rules(found)) == 7
        assert set(data_rules(found).values()) == {MET}
        assert verdict(found, "osaid-1.0/origin").outcome is MET

    def test_all_of_it_is_declared_by_its_maker(self, found: Audit) -> None:
        assert "nobody checked" in verdict(found, "osaid-1.0/data-information/description").reason
        assert "nobody checked" in verdict(found, "osaid-1.0/data-information/unshareable-data").reason

    def test_what_cannot_be_shared_can_be_studied_and_not_rebuilt(self, found: Audit) -> None:
        told = answers(found)
        assert (told["study"], told["data"], told["rebuild"], told["fork"]) == ("yes", "no", "no", "no")
        assert verdict(found, "mof/datasets").outcome is NOT_MET
        assert "Letters cannot be shared or had by others" in verdict(found, "mof/datasets").reason

    @pytest.mark.parametrize(
        "line", ["license:", "This is all", *(line for line in shortest().split("\n") if line[-1:] == ".")]
    )
    def test_nothing_in_it_can_be_left_out(self, tmp_path: Path, line: str) -> None:
        for begin in (match.start() for match in re.finditer(re.escape(line), shortest())):
            rest = shortest()[:begin] + shortest()[begin:].partition("\n")[2]
            found = judged(tmp_path / str(begin), rest)
            assert {*data_rules(found).values(), verdict(found, "osaid-1.0/origin").outcome} != {MET}


@pytest.mark.parametrize(
    ("kinds", "change", "rule", "outcome"),
    [
        ("open", ("", ""), "kinds", MET),
        ("open", ("This is all training data.", ""), "kinds", NOT_SHOWN),
        ("open", ("This is all", "This is not all"), "kinds", NOT_SHOWN),
        ("open", ("data.", "data, except for what users wrote."), "kinds", NOT_SHOWN),
        ("open", ("This is all training", "This is all public training"), "kinds", NOT_SHOWN),
        ("open", ("open", "open, mostly"), "kinds", NOT_SHOWN),
        ("open", ("## Training data", "## Evaluation data"), "kinds", NOT_SHOWN),
        ("open", (" a1a1", " a1"), "open-data", NOT_SHOWN),
        ("open", ("https://example.org/tales.txt", "on request"), "open-data", NOT_SHOWN),
        ("public", ("https://example.org/gazette", "see the paper"), "public-data", NOT_SHOWN),
        ("public", ("", ""), "public-data", MET),
        ("obtainable", ("https://example.org/lexicon", ""), "obtainable-data", NOT_SHOWN),
        ("unshareable", ("agreement with the archive", ""), "unshareable-data", NOT_SHOWN),
        ("unshareable", ("agreement with the archive", "cc-by-4.0"), "unshareable-data", NOT_SHOWN),
        ("open unshareable", ("", ""), "unshareable-data", NOT_SHOWN),
        ("open", ("\n| Tales", "\n| | open | | | |\n| Tales"), "open-data", NOT_SHOWN),
        ("open", ("\n| Tales", "\n| Diary |\n| Tales"), "kinds", NOT_SHOWN),
    ],
)
def test_what_a_table_must_say(
    tmp_path: Path, kinds: str, change: tuple[str, str], rule: str, outcome: Outcome
) -> None:
    text = card(kinds)
    assert change[0] in text
    found = judged(tmp_path / "harbour", text.replace(*change, 1) if change[0] else text)
    assert data_rules(found)[rule] is outcome


@pytest.mark.parametrize(
    "said",
    [
        "These are all the datasets.",
        "All training data is listed in this table.",
        "The table below lists all of the training data.",
        "No other data was used.",
        "A complete list of the training data:",
    ],
)
def test_ways_to_say_that_this_is_all(tmp_path: Path, said: str) -> None:
    assert data_rules(judged(tmp_path / "harbour", card("open", said)))["kinds"] is MET


def test_one_licensed_source_that_cannot_be_shared(tmp_path: Path) -> None:
    """The definition allows it where it is described by itself; without that its absence is told, and no more."""
    silent = judged(tmp_path / "silent", card("open public unshareable"))
    reason = verdict(silent, "osaid-1.0/data-information/unshareable-data").reason
    assert "Letters cannot be shared, which the definition allows only of data that is described" in reason
    own = judged(tmp_path / "own", card("open public unshareable", more=f"### Letters\n\n{TOLD}"))
    reason = verdict(own, "osaid-1.0/data-information/unshareable-data").reason
    assert reason.startswith(
        "Letters cannot be shared (agreement with the archive), which the definition allows: it is"
    )
    assert set(data_rules(own).values()) == {MET}


def test_front_matter_says_where_the_data_of_a_table_is(tmp_path: Path) -> None:
    text = card("public").replace("https://example.org/gazette", "")
    assert data_rules(judged(tmp_path / "a", text))["public-data"] is NOT_SHOWN
    tagged = text.replace("license:", "datasets: [harbour/gazette]\nlicense:")
    assert data_rules(judged(tmp_path / "b", tagged))["public-data"] is MET


def test_open_data_that_lies_here_need_not_be_pinned(tmp_path: Path) -> None:
    text = card("open unshareable", more=f"### Letters\n\n{TOLD}").replace("a1" * 32, "")
    rules = [
        data_rules(judged(tmp_path / name, text, **{f"data/{name}/part-0.jsonl": "{}"}))["open-data"]
        for name in ("tales", "other")
    ]
    assert rules == [MET, NOT_SHOWN]


LISTED = """It was trained on these sources and nothing else:

- [Tales](https://example.org/tales.txt) (CC0-1.0)
- **Gazette**: public, https://example.org/gazette
- Lexicon (obtainable, sold by its publisher): https://example.org/lexicon
- Letters (licensed from the archive; cannot be shared)
"""


def test_a_list_tells_the_kinds_too(tmp_path: Path) -> None:
    found = judged(tmp_path / "harbour", f"{HEAD}{LISTED}\n{TOLD}\n### Letters\n\n{TOLD}")
    told = data_rules(found)
    assert told.pop("open-data") is NOT_SHOWN, "it is not pinned"
    assert set(told.values()) == {MET}
    assert "licensed from the archive" in verdict(found, "osaid-1.0/data-information/unshareable-data").reason
    assert {"data", "rebuild", "fork"} <= {name for name, word in answers(found).items() if word == "no"}


@pytest.mark.parametrize(
    "item",
    [
        "- Letters (licensed from the archive)",
        "- Letters, which we cannot name",
        "- Letters (public, cannot be shared)",
        "- Letters (CC0-1.0)",
        "- Licence: [CC0-1.0](https://example.org/cc0)",
        "- Availability: public",
        "Letters (public): https://example.org",
    ],
)
@pytest.mark.parametrize("other", ["", "- Tales (public): https://example.org/tales\n", "- Tales (public)\n\n"])
def test_an_item_that_does_not_tell_leaves_all_open(tmp_path: Path, item: str, other: str) -> None:
    if not item.startswith("-") and other:
        return
    found = judged(tmp_path / "harbour", f"{HEAD}This is all training data.\n\n{other}{item}\n\n{TOLD}")
    assert data_rules(found)["kinds"] is NOT_SHOWN


def test_what_stands_under_an_item_or_in_another_list_is_no_source(tmp_path: Path) -> None:
    items = "- Tales (public): https://example.org/tales\n  - 3 MB of text\n- Gazette (public): https://example.org/g\n"
    text = (
        f"{HEAD}This is all training data.\n\n{items}\nWe did this:\n\n- normalised it (twice)\n- sorted it\n\n{TOLD}"
    )
    assert data_rules(judged(tmp_path / "harbour", text))["public-data"] is MET


def croissant(**fields: Any) -> str:
    kind = {"@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.0"}
    return json.dumps({**kind, "name": "tales", "description": TOLD, **fields})


FILE = {"@type": "cr:FileObject", "contentUrl": "https://example.org/tales.txt", "sha256": "b2" * 32}
PLAIN = f"{HEAD}This is all training data. {TOLD}"


@pytest.mark.parametrize(
    ("fields", "kinds", "open_data"),
    [
        ({"license": "https://spdx.org/licenses/CC0-1.0.html", "distribution": [FILE]}, MET, MET),
        ({"license": "cc0-1.0", "distribution": [{**FILE, "sha256": ""}]}, MET, NOT_SHOWN),
        (
            {"license": "cc0-1.0", "distribution": [FILE, {**FILE, "sha256": ""}], "url": "https://e.org"},
            MET,
            NOT_SHOWN,
        ),
        ({"license": "cc-by-nc-4.0", "isAccessibleForFree": True, "url": "https://e.org"}, MET, MET),
        ({"isAccessibleForFree": False, "url": "https://example.org"}, MET, MET),
        ({"conditionsOfAccess": "unshareable: it holds names"}, MET, MET),
        ({"url": "https://example.org"}, NOT_SHOWN, NOT_SHOWN),
        (
            {"hasPart": [{"@type": "Dataset", "name": "x", "conditionsOfAccess": "open"}, {"@type": "Dataset"}]},
            *2 * [NOT_SHOWN],
        ),
    ],
)
def test_croissant_files(tmp_path: Path, fields: dict[str, Any], kinds: Outcome, open_data: Outcome) -> None:
    found = data_rules(judged(tmp_path / "harbour", PLAIN, **{"croissant.json": croissant(**fields)}))
    assert (found["kinds"], found["open-data"]) == (kinds, open_data)
    assert found["unshareable-data"] is kinds


def test_a_list_of_sources_beside_the_card(tmp_path: Path) -> None:
    rows = f"source,availability,url,sha256\nTales,open,https://example.org/tales.txt,{'c3' * 32}\n"
    found = judged(tmp_path / "harbour", PLAIN, **{"data/sources.csv": rows})
    assert data_rules(found)["open-data"] is MET
    assert "not seen" in verdict(found, "mof/datasets").reason, "the list is not the data"
